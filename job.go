package galley

import (
	"context"
	"net/http"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/goaction"
)

// Hooks are the functions that run in the transaction after a record was written, before
// the commit, whoever wrote it. What one returns as an error undoes the whole call. Those
// that the app file names must be there, and no others.
type Hooks[Record any] struct {
	Create func(tx *Tx, record Record) error
	// Update is given the record as it is now, and as it was.
	Update func(tx *Tx, record, before Record) error
	// Delete is given the record that is gone, also where it went with another.
	Delete func(tx *Tx, record Record) error
}

// Hook registers the functions of a collection's hooks. Record is the struct of its
// records.
func Hook[Record any](app *App, collection string, hooks Hooks[Record]) {
	if run := hooks.Create; run != nil {
		goaction.AddHook(app.program, collection, "create", run,
			func(c *goaction.Call, r Record, _ *Record) error { return run(&Tx{c}, r) })
	}
	if run := hooks.Update; run != nil {
		goaction.AddHook(app.program, collection, "update", run,
			func(c *goaction.Call, r Record, before *Record) error { return run(&Tx{c}, r, *before) })
	}
	if run := hooks.Delete; run != nil {
		goaction.AddHook(app.program, collection, "delete", run,
			func(c *goaction.Call, r Record, _ *Record) error { return run(&Tx{c}, r) })
	}
}

// HandleJob registers run as the code of the named job. In is the struct of its input:
// struct{} where it has none, the struct of the records where a change starts it.
//
// The function may run again from its top, after a crash, a deploy or a failed step: what
// its steps and transactions returned is kept, and returned at once then. So what it does
// outside of them must have no effect and must come out the same.
func HandleJob[In any](app *App, name string, run func(job *Job, in In) error) {
	goaction.AddJob(app.program, name, run, func(j *goaction.Job, in In) error {
		return run(&Job{j}, in)
	})
}

// Job is one run of a job. It ends with its function.
type Job struct{ job *goaction.Job }

// Step is one attempt of a step.
type Step struct {
	// Key is the same at each attempt of this step of this job, so that another side can
	// tell a repetition by it.
	Key string
	// Client reaches what the app may reach. Nothing else in a job should reach others.
	Client *http.Client
}

// Do runs a step, and keeps what it returns as JSON: a step that ended is not run again.
// An error is tried again later, unless Fail made it.
func Do[T any](job *Job, name string, run func(ctx context.Context, s Step) (T, error)) (
	out T, err error) {
	err = job.job.Step(name, &out, func(ctx context.Context, s action.Step) (any, error) {
		return run(ctx, Step{Key: s.Key, Client: s.Client})
	})
	return out, err
}

// Transaction is a step that is one serializable transaction: what it did and that it was
// done are one commit. A refusal is its answer for good, and is returned; other errors
// end the run, which is tried again. The function itself may run more than once.
func (j *Job) Transaction(name string, run func(tx *Tx) error) error {
	return j.job.Transaction(name, func(c *goaction.Call) error { return run(&Tx{c}) })
}

// Sleep ends when the time has passed since it was first reached, however often the
// server starts meanwhile. The error must be returned.
func (j *Job) Sleep(name string, d time.Duration) error { return j.job.Sleep(name, d) }

// Wait fills to, which may be nil, from the next event of that name, such as
// webhook:stripe. If none comes in time, which is 30 days where timeout is 0, the error's
// Code is timeout; any other error must be returned.
func (j *Job) Wait(event string, timeout time.Duration, to any) error {
	return j.job.Wait(event, timeout, to)
}

// Progress is shown to who started the job.
func (j *Job) Progress(done, total int64) { j.job.Progress(done, total) }

// Secret returns a secret that the app file names.
func (j *Job) Secret(name string) string { return j.job.Secret(name) }

// Log writes a line for the developer, with pairs of name and value.
func (j *Job) Log(message string, pairs ...any) { j.job.Log(message, pairs...) }

// ID is the job's own.
func (j *Job) ID() string { return j.job.ID() }

// Attempt counts the runs from 1.
func (j *Job) Attempt() int { return j.job.Attempt() }

// Now is an instant that is the same however often the job runs from its top.
func (j *Job) Now() time.Time { return j.job.Now() }

// Context ends when the run does.
func (j *Job) Context() context.Context { return j.job.Context() }

// Fail returns the error by which a job ends for good, with one of the app's codes: a
// retry would not help.
func Fail(code string) error { return action.Fail(code) }
