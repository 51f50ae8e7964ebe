// Package tsaction runs actions written in TypeScript or JavaScript. It bundles them
// in process and runs them in an engine of its own in which nothing is in scope that
// could have an effect outside the transaction. It promises that no call sees
// anything of another, that a call run again does the same, and that time, memory
// and host calls are bounded. What a call may read and write is the host's to say.
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

// actionsDir is the folder of the actions in an app's folder.
const actionsDir = "actions"

// Program is the actions of one app, bundled and compiled. It is used by many runs
// at once.
type Program struct {
	scripts map[string]*script
	// sentences holds what each refusal says, by code; every code the app may
	// refuse with is a key.
	sentences map[string]string
	// tables are the collections that code can reach, in their order.
	tables []string

	plans plans

	mu   sync.Mutex
	idle []*machine
	// prelude is compiled with the first machine.
	prelude *goja.Program
}

var _ action.Program = (*Program)(nil)

// script is the code of one action.
type script struct {
	// at is where it calls action.
	at   spec.Pos
	code *goja.Program
}

// Load reads and compiles the actions in the folder actions of an app. With findings
// among which is an error the program must not be run.
func Load(fsys fs.FS, s *spec.Spec) (*Program, []spec.Finding) {
	boundMatches()
	p := &Program{scripts: map[string]*script{}, sentences: sentences(s)}
	for _, c := range s.Collections {
		if !c.Quiet {
			p.tables = append(p.tables, c.Name)
		}
	}
	files, err := fs.ReadDir(fsys, actionsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return p, []spec.Finding{{Pos: spec.Pos{File: actionsDir}, Message: err.Error()}}
	}
	var names []string
	for _, f := range files {
		ext := path.Ext(f.Name())
		if !f.IsDir() && !strings.HasSuffix(f.Name(), ".d.ts") && (ext == ".ts" || ext == ".js") {
			names = append(names, path.Join(actionsDir, f.Name()))
		}
	}
	if len(names) == 0 {
		return p, nil
	}
	// An engine takes as long to make as the bundles do; it is there when they are.
	ready := make(chan error, 1)
	go func() { ready <- p.warm() }()
	var found []spec.Finding
	var loaded []string
	for _, file := range names {
		more, ok := p.load(fsys, s, file)
		found = append(found, more...)
		if ok {
			loaded = append(loaded, stem(file))
		}
	}
	if err := <-ready; err != nil {
		return p, append(found, spec.Finding{Pos: spec.Pos{File: actionsDir}, Message: err.Error()})
	}
	for _, name := range loaded {
		found = append(found, p.tryModule(name)...)
	}
	return p, found
}

// load adds the action of one file and reports whether it did.
func (p *Program) load(fsys fs.FS, s *spec.Spec, file string) ([]spec.Finding, bool) {
	name, top := stem(file), spec.Pos{File: file, Line: 1, Column: 1}
	say := func(message, help string) []spec.Finding {
		return []spec.Finding{{Pos: top, Message: message, Help: help}}
	}
	if s.Action(name) == nil {
		return say(fmt.Sprintf("the app file declares no action %s", name),
			"declare it under actions:, or move the file out of "+actionsDir+"/"+near(name, actionNames(s))), false
	}
	if old := p.scripts[name]; old != nil {
		return say(fmt.Sprintf("action %s is in %s:%d already", name, old.at.File, old.at.Line), ""), false
	}
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return say(err.Error(), ""), false
	}
	code, found := bundle(fsys, file, native)
	found = append(found, scan(file, string(text), p.sentences)...)
	if code == "" {
		return found, false
	}
	prog, err := compile(file, code)
	if errors.Is(err, errRest) {
		if code, _ = bundle(fsys, file, stepwise()); code != "" {
			prog, err = compile(file, code)
		}
	}
	if err != nil {
		return append(found, say(err.Error(), "")...), false
	}
	p.scripts[name] = &script{at: actionCall(file, string(text)), code: prog}
	return found, true
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

// Names lists the actions, each with the file and line where it stands.
func (p *Program) Names() map[string]string {
	names := make(map[string]string, len(p.scripts))
	for name, s := range p.scripts {
		names[name] = fmt.Sprintf("%s:%d", s.at.File, s.at.Line)
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

func actionNames(s *spec.Spec) []string {
	var names []string
	for _, a := range s.Actions {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	return names
}
