package goaction

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// Runner runs Go functions. Its zero value works; it is safe for concurrent use.
type Runner struct{}

var _ action.Runner = Runner{}

// Call is one call of a function: its way to the host. It ends with the call; what a
// function keeps of it answers with an error from then on.
type Call struct {
	program *Program
	run     action.Run
	ctx     context.Context

	// mu is held while the host works, so that a call that ran out of time can be
	// ended between two of its steps.
	mu    sync.Mutex
	host  action.Host
	steps int
	// fatal is what ends the call whatever the function returns.
	fatal error
}

// outcome is what a function came to.
type outcome struct {
	out value.Value
	err error
}

// Run calls the named function. See action.Runner. The function runs beside the call:
// when its time is over the call ends, and every later step of the function fails.
func (Runner) Run(ctx context.Context, p action.Program, run action.Run, host action.Host) (
	value.Value, error) {
	prog, ok := p.(*Program)
	if !ok || prog.handlers[run.Name] == nil || prog.handlers[run.Name].run == nil {
		return value.Value{}, fault.New(fault.Internal, "There is no code for the %s.", run.Title())
	}
	return within(ctx, prog, prog.handlers[run.Name], run, host)
}

// within runs a function with a host.
func within(ctx context.Context, prog *Program, h *handler, run action.Run, host action.Host) (
	value.Value, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &Call{program: prog, run: run, ctx: ctx, host: host}
	done := make(chan outcome, 1)
	go func() { done <- c.guard(h, run.Input) }()
	var late <-chan time.Time
	if run.Bounds.Time > 0 {
		timer := time.NewTimer(run.Bounds.Time)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case o := <-done:
		c.close()
		return c.result(o)
	case <-late:
		cancel()
		c.close()
		return value.Value{}, fault.Wrap(fault.Timeout,
			fmt.Errorf("%s at %s goes on beside the call", run.Title(), h.place),
			"The %s took longer than %s.", run.Kind(), run.Bounds.Time)
	case <-ctx.Done():
		c.close()
		return value.Value{}, fault.Wrap(fault.Timeout, context.Cause(ctx), "The %s took too long.",
			run.Kind())
	}
}

// guard runs the function and turns a panic to an error.
func (c *Call) guard(h *handler, input value.Record) (o outcome) {
	defer func() {
		switch x := recover().(type) {
		case nil:
		case stop:
			o = outcome{err: x.err}
		default:
			o = outcome{err: fmt.Errorf("%s panicked: %v\n%s", c.run.Title(), x, debug.Stack())}
		}
	}()
	out, err := h.run(c, input)
	return outcome{out, err}
}

// stop is the panic by which a call without an error among its results ends.
type stop struct{ err error }

// close takes the host away from the function.
func (c *Call) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host = nil
}

// result tells what the function came to.
func (c *Call) result(o outcome) (value.Value, error) {
	err := o.err
	if c.fatal != nil {
		err = c.fatal
	}
	if err == nil {
		return o.out, nil
	}
	var f *fault.Fault
	if errors.As(err, &f) {
		return value.Value{}, f
	}
	return value.Value{}, internal("%s: %w", c.run.Title(), err)
}

func internal(format string, args ...any) *fault.Fault {
	return fault.Wrap(fault.Internal, fmt.Errorf(format, args...), "Something went wrong on our side.")
}

// errOver is what a function hears that uses its call after its end.
var errOver = errors.New("the call is over: what it gave cannot be used any more")

// step runs one step of the host. Faults that are no answers of the state end the
// call, whatever the function makes of them.
func (c *Call) step(do func(action.Host) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.host == nil {
		return errOver
	}
	if c.fatal != nil {
		return c.fatal
	}
	c.steps++
	if most := c.run.Bounds.Calls; most > 0 && c.steps > most {
		c.fatal = fault.New(fault.Timeout, "The %s made more than %d calls.", c.run.Kind(), most)
		return c.fatal
	}
	err := do(c.host)
	if err != nil && !action.Catchable(err) {
		c.fatal = err
	}
	return err
}
