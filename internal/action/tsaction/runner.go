package tsaction

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// Runner runs TypeScript. Its zero value works; it is safe for concurrent use.
type Runner struct{}

var _ action.Runner = Runner{}

// run is one call in progress. A machine has at most one.
type run struct {
	ctx  context.Context
	host action.Host
	// job is what a job reaches, nil for all others.
	job  *jobRun
	call action.Run
	// event is which of a hook's functions is called, "" for all others.
	event string
	calls int
	now   goja.Value
	me    goja.Value
	db    goja.Value
	// result is what the handler returned.
	result goja.Value
	// faults are those that were given to the code as errors.
	faults []thrown
	// fatal is what ends the run whatever the code does.
	fatal error
}

// Run calls the named function. See action.Runner.
func (Runner) Run(ctx context.Context, p action.Program, call action.Run, host action.Host) (
	value.Value, error) {
	return start(ctx, p, &run{host: host, call: call})
}

// start makes a call in a machine of its own.
func start(ctx context.Context, p action.Program, r *run) (value.Value, error) {
	prog, ok := p.(*Program)
	if !ok {
		return value.Value{}, errNoCode(r.call)
	}
	s, event := prog.script(r.call.Name)
	if s == nil {
		return value.Value{}, errNoCode(r.call)
	}
	m, err := prog.machine()
	if err != nil {
		return value.Value{}, fault.From(err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if len(s.events) > 0 && event == "" {
		event = r.call.Input.Get("route").Text()
	}
	r.ctx, r.event = ctx, event
	m.run = r
	m.watch.begin(ctx, cancel, r.call)
	out, err := m.guard(s)
	whole := m.watch.end()
	m.run = nil
	if whole {
		prog.keep(m)
	}
	return out, err
}

func errNoCode(call action.Run) error {
	return fault.New(fault.Internal, "There is no code for the %s.", call.Title())
}

// guard performs, and turns a panic of the host or the engine to a fault.
func (m *machine) guard(s *script) (out value.Value, err error) {
	defer func() {
		if x := recover(); x != nil {
			m.spoil()
			err = internal("%s panicked: %v\n%s", m.run.call.Title(), x, debug.Stack())
		}
	}()
	out, err = m.perform(s)
	// Reading what the handler returned can run code, and so begin what would else be
	// done in the next call, which is another's.
	if _, late := m.rest(goja.Undefined()); err == nil && (late != nil || m.run.fatal != nil) {
		return value.Value{}, m.failure(late)
	}
	return out, err
}

// perform runs the file's module anew, so that nothing it keeps is left from an
// earlier call, then its handler, and turns what came out to a value.
func (m *machine) perform(s *script) (value.Value, error) {
	factory, err := m.factory(s)
	if err != nil {
		return value.Value{}, m.failure(err)
	}
	if err := m.module(factory, m.start); err != nil {
		return value.Value{}, m.failure(err)
	}
	if m.run.fatal != nil {
		return value.Value{}, m.run.fatal
	}
	result, err := m.await(m.run.result)
	if err != nil {
		return value.Value{}, err
	}
	if m.run.job != nil {
		return m.kept(result)
	}
	if m.run.call.Output == nil {
		return value.OfNull(), nil
	}
	return m.output(result)
}

// await returns what a promise comes to, and every other value as it is. What the code
// waits for is done here, one after the other, while nothing of the code runs.
func (m *machine) await(v goja.Value) (goja.Value, error) {
	o, ok := v.(*goja.Object)
	if !ok {
		return v, nil
	}
	promise, ok := export(o).(*goja.Promise)
	if !ok {
		return v, nil
	}
	for promise.State() == goja.PromiseStatePending {
		if m.run.job == nil || len(m.run.job.queue) == 0 {
			return nil, internal("%s waits for a promise that never resolves", m.run.call.Title())
		}
		next := m.run.job.queue[0]
		m.run.job.queue = m.run.job.queue[1:]
		if err := next(); err != nil {
			return nil, err
		}
	}
	if promise.State() == goja.PromiseStateRejected {
		return nil, m.thrownFault(promise.Result(), nil)
	}
	return promise.Result(), nil
}

// output reads the returned object as the declared output.
func (m *machine) output(result goja.Value) (out value.Value, err error) {
	shape := m.run.call.Output
	ex := m.vm.Try(func() {
		var r value.Record
		switch shape.Name() {
		case action.ShapeResponse:
			r, err = m.response(result, shape)
		case action.ShapeWho:
			r, err = m.who(result, shape)
		default:
			r, err = m.record(result, shape, "output")
		}
		if err == nil {
			out = value.OfRecord(r)
		}
	})
	switch {
	case m.run.fatal != nil:
		return value.Value{}, m.run.fatal
	case ex != nil:
		return value.Value{}, m.failure(ex)
	case err != nil:
		return value.Value{}, fault.Wrap(fault.Internal,
			fmt.Errorf("%s returned what the app file does not declare: %w", m.run.call.Title(), err),
			"Something went wrong on our side.")
	}
	return out, nil
}

// machine returns an idle machine, or a new one.
func (p *Program) machine() (*machine, error) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		m := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return m, nil
	}
	p.mu.Unlock()
	return newMachine(p)
}

// warm makes a machine that waits for the first call.
func (p *Program) warm() error {
	m, err := newMachine(p)
	if err == nil {
		p.keep(m)
	}
	return err
}

// machinesPerCore is how many machines are kept for each core: calls that wait for a
// database far away are more than cores.
const machinesPerCore = 4

// keep makes a machine available again. More are not kept than can run at once.
func (p *Program) keep(m *machine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) < machinesPerCore*runtime.GOMAXPROCS(0) {
		p.idle = append(p.idle, m)
	}
}
