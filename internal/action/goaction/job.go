package goaction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// Job is one run of a job from its top: its way to what lies outside of it.
type Job struct {
	program *Program
	run     action.Run
	ctx     context.Context

	mu sync.Mutex
	// steps is nil when the run is over.
	steps action.Steps
	// in names what runs inside: a step or a transaction; "" outside.
	in string
	// ended is what ends the run whatever the function returns.
	ended error
	// late rings when the function has computed too long since it last reached outside;
	// nil without a bound. away is held while it is there.
	late *time.Timer
	away sync.Mutex
}

// RunJob runs the named job. See action.Runner. A function that computes longer than its
// bound ends the run, but Go cannot stop it: it goes on without its job until it returns.
func (Runner) RunJob(ctx context.Context, p action.Program, run action.Run, steps action.Steps) (
	value.Value, error) {
	prog, ok := p.(*Program)
	if !ok || prog.handlers[run.Name] == nil || prog.handlers[run.Name].job == nil {
		return value.Value{}, fault.New(fault.Internal, "There is no code for the %s.", run.Title())
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j := &Job{program: prog, run: run, ctx: ctx, steps: steps}
	var late <-chan time.Time
	if run.Bounds.Time > 0 {
		j.late = time.NewTimer(run.Bounds.Time)
		defer j.late.Stop()
		late = j.late.C
	}
	done := make(chan error, 1)
	go func() { done <- j.guard(prog.handlers[run.Name]) }()
	var err error
	select {
	case err = <-done:
	case <-late:
		err = fault.New(fault.Timeout, "The job computed longer than %s.", run.Bounds.Time)
	case <-ctx.Done():
		err = fault.Wrap(fault.Timeout, context.Cause(ctx), "The job took too long.")
	}
	cancel()
	j.away.Lock() // what is under way outside ends with ctx
	defer j.away.Unlock()
	return value.OfNull(), j.result(err)
}

// guard runs the function and turns a panic to an error.
func (j *Job) guard(h *handler) (err error) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case stop:
			err = x.err
		default:
			err = fmt.Errorf("%s panicked: %v\n%s", j.run.Title(), x, debug.Stack())
		}
	}()
	return h.job(j, j.run.Input)
}

// result tells what the function came to.
func (j *Job) result(err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps = nil
	if j.ended != nil {
		return j.ended
	}
	return j.outcome(err)
}

// outcome gives an error of the code the form in which others know it.
func (j *Job) outcome(err error) error {
	var failure *action.Failure
	var no *refused
	var f *fault.Fault
	switch {
	case err == nil:
		return nil
	case errors.As(err, &failure):
		return failure
	case errors.As(err, &no):
		// What a transaction said no to stays a no: nobody has to try it again.
		return &action.Failure{Fault: no.fault}
	case errors.As(err, &f):
		return f
	default:
		return internal("%s: %w", j.run.Title(), err)
	}
}

// refused is the no of a transaction, of which the code hears.
type refused struct{ fault *fault.Fault }

func (r *refused) Error() string { return r.fault.Error() }

// Unwrap returns the fault.
func (r *refused) Unwrap() error { return r.fault }

// errJobOver is what a function hears that uses its job after its end.
var errJobOver = errors.New("the run of the job is over")

// do reaches outside, as what. An error that comes back ends the run, unless it is one of
// which the code may hear.
func (j *Job) do(what string, reach func(action.Steps) error) error {
	j.mu.Lock()
	steps := j.steps
	switch {
	case steps == nil:
		j.mu.Unlock()
		return errJobOver
	case j.ended != nil:
		j.mu.Unlock()
		return j.ended
	case j.in != "":
		j.mu.Unlock()
		return internal("%s: a %s cannot be begun inside a %s", j.run.Title(), what, j.in)
	}
	j.in = what
	j.away.Lock()
	j.mu.Unlock()
	if j.late != nil {
		j.late.Stop()
		defer j.late.Reset(j.run.Bounds.Time)
	}
	err := reach(steps)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.away.Unlock()
	j.in = ""
	var heard *refused
	if err != nil && !errors.As(err, &heard) {
		j.ended = err
	}
	return err
}

// resultMax is the greatest size of what a step returns, in bytes of JSON.
const resultMax = 1 << 20

// Step runs the function unless the step of that name ended before, and fills to with
// what it returned, through JSON.
func (j *Job) Step(name string, to any,
	run func(ctx context.Context, s action.Step) (any, error)) error {
	return j.do("step", func(steps action.Steps) error {
		out, err := steps.Step(j.ctx, name,
			func(ctx context.Context, s action.Step) (value.Value, error) {
				return j.attempt(ctx, func(ctx context.Context) (any, error) { return run(ctx, s) })
			})
		if err != nil {
			return err
		}
		return back(out, to)
	})
}

// attempt runs a part of the function beside the job: when its time is over the attempt
// ends, though the function goes on.
func (j *Job) attempt(ctx context.Context, run func(context.Context) (any, error)) (
	value.Value, error) {
	if j.run.Bounds.Time > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.run.Bounds.Time)
		defer cancel()
	}
	type answer struct {
		out any
		err error
	}
	done := make(chan answer, 1)
	go func() {
		var a answer
		defer func() {
			if x := recover(); x != nil {
				a = answer{err: fmt.Errorf("%s panicked: %v\n%s", j.run.Title(), x, debug.Stack())}
			}
			done <- a
		}()
		a.out, a.err = run(ctx)
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return value.Value{}, j.outcome(a.err)
		}
		return kept(a.out)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return value.Value{}, fault.New(fault.Timeout, "The step took longer than %s.",
				j.run.Bounds.Time)
		}
		return value.Value{}, fault.Wrap(fault.Timeout, context.Cause(ctx), "The step was ended.")
	}
}

// kept writes what a step returned as JSON.
func kept(out any) (value.Value, error) {
	text, err := json.Marshal(out)
	switch {
	case err != nil:
		return value.Value{}, internal("what the step returned: %w", err)
	case len(text) > resultMax:
		return value.Value{}, internal("the step returned more than %d bytes of JSON", resultMax)
	}
	return value.OfJSON(string(text)), nil
}

// back reads what was kept.
func back(v value.Value, to any) error {
	if to == nil || v.Kind() == value.Absent {
		return nil
	}
	if err := json.Unmarshal(value.AppendJSON(nil, v), to); err != nil {
		return internal("what the step returned cannot be read back: %w", err)
	}
	return nil
}

// Transaction runs the function in one transaction, unless that was done before. What it
// refuses is its answer for good; any other error ends the run.
func (j *Job) Transaction(name string, run func(*Call) error) error {
	return j.do("transaction", func(steps action.Steps) error {
		_, err := steps.Transaction(j.ctx, name,
			func(ctx context.Context, host action.Host) (value.Value, error) {
				h := &handler{place: j.program.handlers[j.run.Name].place,
					run: func(c *Call, _ value.Record) (value.Value, error) {
						return value.OfNull(), run(c)
					}}
				return within(ctx, j.program, h, j.run, host)
			})
		if action.Answered(err) {
			return &refused{fault.From(err)}
		}
		return err
	})
}

// Sleep ends when the time has passed since it was first reached.
func (j *Job) Sleep(name string, d time.Duration) error {
	return j.do("sleep", func(steps action.Steps) error { return steps.Sleep(j.ctx, name, d) })
}

// Wait fills to with the next event of that name, or returns the fault timeout.
func (j *Job) Wait(event string, timeout time.Duration, to any) error {
	var late error
	err := j.do("wait", func(steps action.Steps) error {
		out, err := steps.Wait(j.ctx, event, timeout)
		if fault.Is(err, fault.Timeout) && j.ctx.Err() == nil {
			late = err
			return nil
		}
		if err != nil {
			return err
		}
		return back(out, to)
	})
	if err == nil {
		err = late
	}
	return err
}

// reach returns what the job reaches, or ends a function whose job is over.
func (j *Job) reach() action.Steps {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.steps == nil {
		panic(stop{errJobOver})
	}
	return j.steps
}

// Progress is shown to who started the job.
func (j *Job) Progress(done, total int64) { j.reach().Progress(done, total) }

// Secret returns a secret that the app file names; the job ends if it names none.
func (j *Job) Secret(name string) string {
	text, err := j.reach().Secret(name)
	if err != nil {
		panic(stop{err})
	}
	return text
}

// Log writes a line for the developer.
func (j *Job) Log(message string, pairs ...any) {
	j.reach().Log().InfoContext(j.ctx, message, pairs...)
}

// ID is the job's own.
func (j *Job) ID() string { return j.reach().ID() }

// Attempt counts the runs from 1.
func (j *Job) Attempt() int { return j.reach().Attempt() }

// Now is an instant that is the same however often the job runs from its top.
func (j *Job) Now() time.Time { return j.reach().Now() }

// Context ends when the run does.
func (j *Job) Context() context.Context { return j.ctx }
