package tsaction

import (
	"context"
	_ "embed"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

// prelude makes the world of the code: it takes away what has an effect outside,
// bounds what could take all memory, and freezes the rest.
//
//go:embed prelude.js
var preludeText string

// preludeName is how the prelude is named in stacks.
const preludeName = "galley:prelude"

// depthMax is how deep calls may be nested.
const depthMax = 2000

// machine is an engine with a frozen world. What a call makes in it cannot be
// reached by the next call, because every call runs its module anew and everything
// older is frozen; a machine in which a run was stopped is thrown away.
type machine struct {
	vm      *goja.Runtime
	program *Program
	watch   watch
	run     *run
	made    map[*script]goja.Callable

	// galley is the module "galley", start what a bundle hands its action to.
	galley goja.Value
	start  goja.Value
	// looks are the functions by which a bundle is measured.
	looks [len(lookNames)]goja.Value
	// held is what settle looks at; settled is a promise of nothing, which is settled.
	held    goja.Value
	settled goja.Value
	nothing goja.Value
	tables  *tables
	log     goja.Value
	random  goja.Value
	// These are the parts of tx that hold functions of their own.
	jobs      goja.Value
	email     goja.Value
	publisher goja.Value
	token     goja.Value
	password  goja.Value
	// doing holds the functions of a job, tools what web.js made; ask is the function of
	// them that turns what fetch takes into what we ask for.
	doing *goja.Object
	tools *goja.Object
	ask   goja.Callable

	// What the host needs of the engine's own functions, as they were at first.
	errorClass *goja.Object
	rangeError *goja.Object
	dateClass  *goja.Object
	parse      goja.Callable
	stringify  goja.Callable
	freeze     goja.Callable
	// rest runs what promises still have to do.
	rest goja.Callable
}

func newMachine(p *Program) (*machine, error) {
	vm := goja.New()
	vm.SetMaxCallStackSize(depthMax)
	m := &machine{vm: vm, program: p, made: map[*script]goja.Callable{}}
	m.watch.vm = vm
	vm.SetRandSource(func() float64 { return m.rand().Float64() })
	vm.SetTimeSource(m.clock)
	world, web, err := p.world()
	if err != nil {
		return nil, err
	}
	setup, err := vm.RunProgram(world)
	if err != nil {
		return nil, err
	}
	tools, err := vm.RunProgram(web)
	if err != nil {
		return nil, err
	}
	call, _ := goja.AssertFunction(setup)
	host := m.hostObject()
	_ = host.Set("web", tools) // a fresh object takes every name
	if _, err := call(goja.Undefined(), host); err != nil {
		return nil, err
	}
	m.galley, m.start = host.Get("galley"), host.Get("start")
	m.ask, _ = goja.AssertFunction(m.tools.Get("ask"))
	for i, look := range [...]func(goja.FunctionCall) goja.Value{
		m.sized, m.spread, m.hold, m.settle, m.pick} {
		m.looks[i] = vm.ToValue(look)
	}
	promise, resolve, _ := vm.NewPromise()
	m.settled, m.nothing = vm.ToValue(promise), vm.NewObject()
	if err := resolve(m.nothing); err != nil {
		return nil, err
	}
	return m, nil
}

// hostObject builds what the prelude gets from us, and fills the machine's own
// parts on the way.
func (m *machine) hostObject() *goja.Object {
	vm := m.vm
	function := func(o *goja.Object, name string) goja.Callable {
		f, _ := goja.AssertFunction(o.Get(name))
		return f
	}
	m.errorClass = vm.Get("Error").ToObject(vm)
	m.rangeError = vm.Get("RangeError").ToObject(vm)
	m.dateClass = vm.Get("Date").ToObject(vm)
	json, object := vm.Get("JSON").ToObject(vm), vm.Get("Object").ToObject(vm)
	m.parse, m.stringify = function(json, "parse"), function(json, "stringify")
	m.freeze = function(object, "freeze")
	m.tables = m.newTables()
	m.log = vm.ToValue(m.txLog)
	m.random = vm.ToValue(func(goja.FunctionCall) goja.Value { return vm.ToValue(m.rand().Float64()) })
	m.rest, _ = goja.AssertFunction(vm.ToValue(func(goja.FunctionCall) goja.Value {
		return goja.Undefined()
	}))

	host := vm.NewObject()
	set := func(name string, v any) { _ = host.Set(name, v) } // a fresh object takes every name
	// tx and tx.db are new in each call: nothing can freeze them, and what a call hangs on
	// them must not be there for the next.
	m.doing, m.tools = m.jobFunctions(), m.webHost()
	set("doing", m.doing)
	jobs, email := m.starters(m.program.jobs, m.startJob), m.starters(m.program.emails, m.writeEmail)
	m.jobs, m.email, m.publisher = jobs, email, vm.ToValue(m.publish)
	token, password := m.tokens(), m.passwords()
	m.token, m.password = token, password
	set("starters", vm.NewArray(jobs, email, m.publisher, token, password))
	set("tools", m.tools)
	set("job", func(goja.FunctionCall) goja.Value { return vm.NewDynamicObject(jobObject{m}) })
	set("tx", func(goja.FunctionCall) goja.Value { return vm.NewDynamicObject(txObject{m}) })
	set("log", m.log)
	set("db", vm.NewDynamicObject(m.tables))
	set("random", m.random)
	set("input", func(goja.FunctionCall) goja.Value { return m.inputValue() })
	set("before", func(goja.FunctionCall) goja.Value { return m.beforeValue() })
	set("event", func(goja.FunctionCall) goja.Value { return vm.ToValue(m.run.event) })
	set("done", func(c goja.FunctionCall) goja.Value {
		m.run.result = c.Argument(0)
		return goja.Undefined()
	})
	set("refuse", m.refuse)
	set("fail", m.failError)
	set("operator", m.operator)
	set("cel", m.cel)
	set("clock", func(goja.FunctionCall) goja.Value { return vm.ToValue(time.Now().UnixNano() / 1e6) })
	set("stop", func(c goja.FunctionCall) goja.Value {
		m.fatal(fault.Wrap(fault.Timeout, internal("%s", c.Argument(0).String()),
			"A regular expression of the %s took longer than %s.", m.run.call.Kind(), matchTime))
		return goja.Undefined()
	})
	set("matchTime", matchGivenUp.Milliseconds())
	return host
}

// factory returns the function that runs a script's module in this machine.
func (m *machine) factory(s *script) (goja.Callable, error) {
	if f := m.made[s]; f != nil {
		return f, nil
	}
	v, err := m.vm.RunProgram(s.code)
	if err != nil {
		return nil, err
	}
	f, ok := goja.AssertFunction(v)
	if !ok {
		return nil, internal("the bundle is no function")
	}
	m.made[s] = f
	return f, nil
}

// module runs a script's module, which hands its action to start.
func (m *machine) module(factory goja.Callable, start goja.Value) error {
	args := [...]goja.Value{m.galley, start, m.looks[0], m.looks[1], m.looks[2], m.looks[3],
		m.looks[4]}
	_, err := factory(goja.Undefined(), args[:]...)
	return err
}

// rand is the chance of the call; outside one there is none.
func (m *machine) rand() *rand.Rand {
	switch {
	case m.run == nil:
	case m.run.host != nil:
		return m.run.host.Random()
	case m.run.job != nil:
		return m.run.job.random()
	}
	return rand.New(rand.NewPCG(1, 2))
}

// clock is the instant of the call, however long it runs.
func (m *machine) clock() time.Time {
	switch {
	case m.run == nil:
	case m.run.host != nil:
		return m.run.host.Now()
	case m.run.job != nil:
		return m.run.job.now()
	}
	return time.Unix(0, 0).UTC()
}

// world is the compiled prelude with what web.js makes, the same for all machines of a
// program.
func (p *Program) world() (prelude, web *goja.Program, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.prelude == nil {
		if p.prelude, err = goja.Compile(preludeName, preludeText, true); err != nil {
			return nil, nil, err
		}
		if p.web, err = goja.Compile(preludeName, webText, true); err != nil {
			return nil, nil, err
		}
	}
	return p.prelude, p.web, nil
}

// tryModule runs a module without calling its handler and checks what it exports.
func (p *Program) tryModule(name string) []spec.Finding {
	at := p.scripts[name].at
	kind := action.Run{Name: name}.Kind()
	_, stem, _ := strings.Cut(name, "/")
	help := exportHelp(name)
	say := func(pos spec.Pos, message, help string) []spec.Finding {
		return []spec.Finding{{Pos: pos, Message: message, Help: help}}
	}
	m, err := p.machine()
	if err != nil {
		return say(at, err.Error(), "")
	}
	m.run = &run{ctx: context.Background(), call: action.Run{Name: name,
		Bounds: action.Bounds{Time: loadTime, Memory: loadMemory}}}
	m.watch.begin(m.run.ctx, func() {}, m.run.call)
	var got goja.Value
	start := m.vm.ToValue(func(c goja.FunctionCall) goja.Value {
		got = c.Argument(0)
		return goja.Undefined()
	})
	factory, err := m.factory(p.scripts[name])
	if err == nil {
		err = m.module(factory, start)
	}
	if whole := m.watch.end(); whole {
		p.keep(m)
	}
	if err != nil {
		return say(placeOf(err, at), "this file cannot be loaded: "+firstLine(err), "")
	}
	o, ok := got.(*goja.Object)
	if !ok || o.Get("galley") == nil || o.Get("galley").String() != kind {
		return say(at, "the default export of this file is no "+kind, help)
	}
	if is := o.Get("name").String(); is != stem {
		return say(at, "this file is called "+stem+" but its "+kind+" is called "+is, help)
	}
	if on, ok := o.Get("on").(*goja.Object); ok {
		p.scripts[name].events = on.Keys()
		if kind == "route" {
			return p.pathless(name, at, p.scripts[name].events)
		}
	}
	return nil
}
