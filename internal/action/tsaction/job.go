package tsaction

import (
	"context"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/value"
)

// RunJob runs the named job. See action.Runner.
func (Runner) RunJob(context.Context, action.Program, action.Run, action.Steps) (
	value.Value, error) {
	return value.Value{}, internal("jobs in TypeScript cannot be run yet")
}
