package goaction

import (
	"context"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/value"
)

// Job is one run of a job from its top.
type Job struct {
	program *Program
	run     action.Run
	ctx     context.Context
	steps   action.Steps
}

// RunJob runs the named job. See action.Runner.
func (Runner) RunJob(context.Context, action.Program, action.Run, action.Steps) (
	value.Value, error) {
	return value.Value{}, internal("jobs in Go cannot be run yet")
}
