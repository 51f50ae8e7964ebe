package app

import (
	"context"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Job is a compiled job.
type Job struct {
	Name string
	Spec *spec.Job
	// Once yields the value by which a job is one; nil if all are.
	Once *rule.Rule
}

// Jobs returns the jobs in the order of the app file.
func (a *App) Jobs() []*Job { return a.jobs }

// Job returns the named job, or nil.
func (a *App) Job(name string) *Job {
	for _, j := range a.jobs {
		if j.Name == name {
			return j
		}
	}
	return nil
}

// OnceOf returns the value by which the job with an input is one, as the records stand
// in the view.
func (j *Job) OnceOf(ctx context.Context, view rule.Reader, input value.Record) (
	value.Value, error) {
	in := rule.Input{View: view}
	if j.Spec.On != nil {
		in.Record = input
	} else {
		in.Input = input
	}
	return j.Once.Eval(ctx, &in)
}

// jobsOf compiles the jobs.
func (c *compiler) jobsOf(s *spec.Spec) {
	for _, x := range s.Jobs {
		j := &Job{Name: x.Name, Spec: x}
		if !x.OncePer.Empty() {
			scope := rule.Scope{Name: action.Jobs + "." + x.Name + ".once_per", Input: x.Input,
				AnyResult: true, NoSQL: true}
			if x.On != nil {
				scope.Collection = x.On.Collection
			}
			j.Once = c.rule(x.OncePer, scope)
		}
		c.app.jobs = append(c.app.jobs, j)
	}
}
