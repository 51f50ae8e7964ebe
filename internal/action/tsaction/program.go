// Package tsaction runs actions, hooks, jobs, webhooks and routes written in TypeScript
// or JavaScript. It bundles them in process and runs them in an engine of its own in
// which nothing is in scope that could have an effect outside a transaction or a step.
// It promises that no call sees anything of another, that a call run again does the
// same, and that time, memory and host calls are bounded. What a call may read and
// write is the host's to say.
package tsaction

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/spec"
)

// Program is the code of one app, bundled and compiled. It is used by many runs
// at once.
type Program struct {
	// scripts are the files by their folder and name: actions/checkout, hooks/likes.
	scripts map[string]*script
	// sentences holds what each refusal says, by code; every code the app may
	// refuse with is a key.
	sentences map[string]string
	// tables are the collections that code can reach, in their order.
	tables []string
	// jobs and emails are what code can start.
	jobs   []string
	emails []string
	// paths are those of each route, by its unit.
	paths map[string][]string

	plans plans

	mu   sync.Mutex
	idle []*machine
	// prelude and web are compiled with the first machine.
	prelude *goja.Program
	web     *goja.Program
}

var _ action.Program = (*Program)(nil)

// script is the code of one file.
type script struct {
	// at is where it calls action, job, hook, webhook or route.
	at   spec.Pos
	code *goja.Program
	// events are those of a hook that it has functions for, or the paths of a route.
	events []string
}

// script returns the code of a function, and which of a hook's it is.
func (p *Program) script(name string) (s *script, event string) {
	if strings.HasPrefix(name, action.Hooks+"/") {
		name, event, _ = strings.Cut(name, ".")
	}
	return p.scripts[name], event
}

// Load reads and compiles the files in an app's folders of code. With findings among
// which is an error the program must not be run.
func Load(fsys fs.FS, s *spec.Spec) (*Program, []spec.Finding) {
	boundMatches()
	p := &Program{scripts: map[string]*script{}, sentences: sentences(s)}
	for _, c := range s.Collections {
		if !c.Quiet {
			p.tables = append(p.tables, c.Name)
		}
	}
	for _, j := range s.Jobs {
		p.jobs = append(p.jobs, j.Name)
	}
	for _, e := range s.Emails {
		p.emails = append(p.emails, e.Name)
	}
	p.paths = map[string][]string{}
	for _, x := range s.Routes {
		for _, at := range x.Paths {
			unit := action.Routes + "/" + x.Name
			p.paths[unit] = append(p.paths[unit], at.Method+" "+at.Path)
		}
	}
	var files []string
	for _, folder := range action.Folders() {
		found, err := fs.ReadDir(fsys, folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return p, []spec.Finding{{Pos: spec.Pos{File: folder}, Message: err.Error()}}
		}
		for _, f := range found {
			ext := path.Ext(f.Name())
			if !f.IsDir() && !strings.HasSuffix(f.Name(), ".d.ts") && (ext == ".ts" || ext == ".js") {
				files = append(files, path.Join(folder, f.Name()))
			}
		}
	}
	if len(files) == 0 {
		return p, nil
	}
	// An engine takes as long to make as the bundles do; it is there when they are.
	ready := make(chan error, 1)
	go func() { ready <- p.warm() }()
	var found []spec.Finding
	var loaded []string
	known := declared(s)
	for _, file := range files {
		more, ok := p.load(fsys, known, file)
		found = append(found, more...)
		if ok {
			loaded = append(loaded, unit(file))
		}
	}
	if err := <-ready; err != nil {
		return p, append(found, spec.Finding{Pos: spec.Pos{File: files[0]}, Message: err.Error()})
	}
	for _, name := range loaded {
		found = append(found, p.tryModule(name)...)
	}
	return p, found
}

// declared returns the names of the files for which the app file has something, sorted.
func declared(s *spec.Spec) []string {
	var names []string
	for _, f := range action.Functions(s) {
		name := f.Name
		if strings.HasPrefix(name, action.Hooks+"/") {
			name, _, _ = strings.Cut(name, ".")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// unit returns a file's name without its ending.
func unit(file string) string { return strings.TrimSuffix(file, path.Ext(file)) }

// load adds the code of one file and reports whether it did.
func (p *Program) load(fsys fs.FS, known []string, file string) ([]spec.Finding, bool) {
	name, top := unit(file), spec.Pos{File: file, Line: 1, Column: 1}
	say := func(message, help string) []spec.Finding {
		return []spec.Finding{{Pos: top, Message: message, Help: help}}
	}
	if !slices.Contains(known, name) {
		return say(undeclared(name, known)), false
	}
	if old := p.scripts[name]; old != nil {
		return say(fmt.Sprintf("%s is in %s:%d already", action.Title(name), old.at.File,
			old.at.Line), ""), false
	}
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return say(err.Error(), ""), false
	}
	code, found := bundle(fsys, file, codeForm, native)
	found = append(found, scan(file, string(text), p.sentences)...)
	if code == "" {
		return found, false
	}
	prog, err := compile(file, code)
	if errors.Is(err, errRest) {
		if code, _ = bundle(fsys, file, codeForm, stepwise()); code != "" {
			prog, err = compile(file, code)
		}
	}
	if err != nil {
		return append(found, say(err.Error(), "")...), false
	}
	p.scripts[name] = &script{at: startCall(file, string(text)), code: prog}
	return found, true
}

// pathless says which functions of a route do not fit its paths.
func (p *Program) pathless(name string, at spec.Pos, has []string) []spec.Finding {
	var found []spec.Finding
	declared := p.paths[name]
	for _, path := range has {
		if !slices.Contains(declared, path) {
			found = append(found, spec.Finding{Pos: at, Message: fmt.Sprintf(
				"there is code for %s, but the app file has no such path in %s", path,
				action.Title(name)), Help: strings.TrimPrefix(near(path, declared), "; ")})
		}
	}
	for _, path := range declared {
		if !slices.Contains(has, path) {
			found = append(found, spec.Finding{Pos: at, Message: fmt.Sprintf(
				"no code for %s of %s", path, action.Title(name)),
				Help: fmt.Sprintf("add a function under %q", path)})
		}
	}
	return found
}

// undeclared says that the app file knows nothing of a file, and what to do.
func undeclared(name string, known []string) (message, help string) {
	folder, stem, _ := strings.Cut(name, "/")
	var kin []string
	for _, k := range known {
		if rest, ok := strings.CutPrefix(k, folder+"/"); ok {
			kin = append(kin, rest)
		}
	}
	meant := near(stem, kin)
	if folder == action.Hooks {
		return "the app file declares no hooks of " + stem,
			"write hooks: [create] at the collection, or move the file out of hooks/" + meant
	}
	return "the app file declares no " + action.Title(name),
		fmt.Sprintf("declare it under %s:, or move the file out of %s/%s", folder, folder, meant)
}

// compile reads a bundle, whose source map lets errors name the lines that people
// wrote.
func compile(file, code string) (*goja.Program, error) {
	ast, err := goja.Parse("/"+file+".js", code)
	if err != nil {
		return nil, err
	}
	if err := measure(ast); err != nil {
		return nil, err
	}
	return goja.CompileAST(ast, false)
}

// Names lists the functions, each with the file and line where it stands.
func (p *Program) Names() map[string]string {
	names := make(map[string]string, len(p.scripts))
	for name, s := range p.scripts {
		at := fmt.Sprintf("%s:%d", s.at.File, s.at.Line)
		if !strings.HasPrefix(name, action.Hooks+"/") {
			names[name] = at
			continue
		}
		for _, event := range s.events {
			names[name+"."+event] = at
		}
	}
	return names
}

// sentences returns the codes with which code may refuse: those under errors and
// the names of the checks.
func sentences(s *spec.Spec) map[string]string {
	codes := map[string]string{}
	for _, c := range s.Collections {
		for _, k := range c.Checks {
			codes[k.Name] = ""
		}
	}
	for _, e := range s.Errors {
		codes[e.Code] = e.Say
	}
	return codes
}
