package serve

import (
	"context"
	"maps"
	"slices"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// part is what of a program in Go fits an app that another process deployed, which
// may have newer code: the functions whose input and output are those of the app file.
// Actions that are written nowhere else count as its own, but cannot be run.
type part struct {
	action.Program
	names   map[string]string
	missing []string
}

// Names implements action.Program.
func (p part) Names() map[string]string { return p.names }

// partOf looks for what of the program, which may be nil, fits the app; other is the
// code that came with the app.
func partOf(program action.Program, s *spec.Spec, other action.Program) part {
	p := part{Program: program, names: map[string]string{}}
	known := map[string]string{}
	if program != nil {
		known = maps.Clone(program.Names())
	}
	written := other.Names()
	for _, a := range s.Actions {
		if _, ok := written[a.Name]; ok {
			continue
		}
		p.names[a.Name] = known[a.Name]
		_, ok := known[a.Name]
		if check, is := program.(action.Checker); ok && is {
			alone := *s
			alone.Actions = []*spec.Action{a}
			ok = !spec.Failed(check.Check(&alone))
		}
		if !ok {
			p.missing = append(p.missing, a.Name)
		}
	}
	return p
}

// partRunner runs what there is of a part, and whole programs as they are.
type partRunner struct{ action.Runner }

// Run implements action.Runner.
func (r partRunner) Run(ctx context.Context, p action.Program, call action.Run,
	host action.Host) (value.Value, error) {
	part, ok := p.(part)
	if !ok {
		return r.Runner.Run(ctx, p, call, host)
	}
	if slices.Contains(part.missing, call.Name) {
		f := fault.New(fault.Unavailable,
			"This node has no code yet for the action %s. Nothing was done.", call.Name)
		f.RetryAfter = 1
		return value.Value{}, f
	}
	return r.Runner.Run(ctx, part.Program, call, host)
}
