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
	place string
	code  *goja.Program
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
	var found []spec.Finding
	for _, f := range files {
		ext := path.Ext(f.Name())
		if f.IsDir() || strings.HasSuffix(f.Name(), ".d.ts") || ext != ".ts" && ext != ".js" {
			continue
		}
		found = append(found, p.load(fsys, s, path.Join(actionsDir, f.Name()))...)
	}
	return p, found
}

// load adds the action of one file.
func (p *Program) load(fsys fs.FS, s *spec.Spec, file string) []spec.Finding {
	name, top := stem(file), spec.Pos{File: file, Line: 1, Column: 1}
	if s.Action(name) == nil {
		return []spec.Finding{{Pos: top,
			Message: fmt.Sprintf("the app file declares no action %s", name),
			Help:    "declare it under actions:, or move the file out of " + actionsDir + "/" + near(name, actionNames(s))}}
	}
	if old := p.scripts[name]; old != nil {
		return []spec.Finding{{Pos: top, Message: fmt.Sprintf("action %s is in %s already", name, old.place)}}
	}
	text, err := fs.ReadFile(fsys, file)
	if err != nil {
		return []spec.Finding{{Pos: top, Message: err.Error()}}
	}
	code, found := bundle(fsys, file)
	found = append(found, scan(file, string(text), p.sentences)...)
	if code == "" {
		return found
	}
	prog, err := compile(file, code)
	if err != nil {
		return append(found, spec.Finding{Pos: top, Message: err.Error()})
	}
	at := actionCall(file, string(text))
	p.scripts[name] = &script{place: fmt.Sprintf("%s:%d", file, at.Line), code: prog}
	return append(found, p.tryModule(name, at)...)
}

// compile reads a bundle, whose source map lets errors name the lines that people
// wrote.
func compile(file, code string) (*goja.Program, error) {
	ast, err := goja.Parse("/"+file+".js", code)
	if err != nil {
		return nil, err
	}
	return goja.CompileAST(ast, false)
}

// Names lists the actions, each with the file and line where it stands.
func (p *Program) Names() map[string]string {
	names := make(map[string]string, len(p.scripts))
	for name, s := range p.scripts {
		names[name] = s.place
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
