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
	var wrong map[string]bool
	if check, is := program.(action.Checker); is {
		wrong = check.Misfits(s)
	}
	for _, f := range action.Functions(s) {
		if _, ok := written[f.Name]; ok {
			continue
		}
		p.names[f.Name] = known[f.Name]
		if _, ok := known[f.Name]; !ok || wrong[f.Name] {
			p.missing = append(p.missing, f.Name)
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
	if err := part.lacks(call); err != nil {
		return value.Value{}, err
	}
	return r.Runner.Run(ctx, part.Program, call, host)
}

// lacks says that there is no code for a call; nil if there is.
func (p part) lacks(call action.Run) error {
	if !slices.Contains(p.missing, call.Name) {
		return nil
	}
	f := fault.New(fault.Unavailable,
		"This node has no code yet for the %s. Nothing was done.", call.Title())
	f.RetryAfter = 1
	return f
}

// RunJob implements action.Runner.
func (r partRunner) RunJob(ctx context.Context, p action.Program, call action.Run,
	steps action.Steps) (value.Value, error) {
	part, ok := p.(part)
	if !ok {
		return r.Runner.RunJob(ctx, p, call, steps)
	}
	if err := part.lacks(call); err != nil {
		return value.Value{}, err
	}
	return r.Runner.RunJob(ctx, part.Program, call, steps)
}
