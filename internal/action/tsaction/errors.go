package tsaction

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// thrown is a fault that the code holds as an error.
type thrown struct {
	object *goja.Object
	err    error
}

// internal returns a fault whose cause says what went wrong in the app's code.
func internal(format string, args ...any) *fault.Fault {
	return fault.Wrap(fault.Internal, fmt.Errorf(format, args...), "Something went wrong on our side.")
}

// fatal ends the run with err, which the code cannot catch.
func (m *machine) fatal(err error) {
	if m.run.fatal == nil {
		m.run.fatal = err
	}
	m.watch.mu.Lock()
	m.watch.tripped = true
	m.watch.mu.Unlock()
	m.vm.Interrupt(err)
}

// fail throws the error of a host call. One that the code must not hear of ends the run:
// whatever the code does with it, nothing that it asks of the host is done any more, and
// the run comes to that error. It is thrown like any other, because an engine that is left
// in the middle is good for nothing more, a new one is dear, and stores end calls in this
// way that they begin anew.
func (m *machine) fail(err error) goja.Value {
	f := fault.From(err)
	if !action.Catchable(err) && m.run.fatal == nil {
		m.run.fatal = m.placed(f, m.vm.CaptureCallStack(framesMax, nil))
	}
	panic(m.errorOf(f))
}

// errorOf makes the error by which the code sees a fault.
func (m *machine) errorOf(of *fault.Fault) *goja.Object {
	own := *of
	f := &own
	if f.Line == "" {
		f.Line = lineOf(m.vm.CaptureCallStack(framesMax, nil))
	}
	text := f.Message
	if text == "" {
		text = f.CodeOr()
	}
	o, err := m.vm.New(m.errorClass, m.vm.ToValue(text))
	if err != nil {
		panic(err)
	}
	_ = o.Set("code", f.CodeOr()) // a new error takes every name
	if len(f.Data) > 0 {
		data := m.vm.NewObject()
		for _, p := range f.Data {
			_ = data.Set(p.Name, p.Value) // as above
		}
		_ = o.Set("data", data) // as above
	}
	m.run.faults = append(m.run.faults, thrown{o, f})
	return o
}

// failError makes the error of fail(code), which ends a job for good.
func (m *machine) failError(c goja.FunctionCall) goja.Value {
	code, _ := export(c.Argument(0)).(string) // what is no text is no code
	say, known := m.program.sentences[code]
	failure := action.Fail(code)
	if _, house := action.HouseKind(code); !known && !house {
		m.fatal(internal("fail(%q): the app has no such refusal%s", code,
			near(code, codeNames(m.program.sentences))))
		return goja.Undefined()
	}
	failure.Fault.Message = say
	o := m.errorOf(failure.Fault)
	m.run.faults[len(m.run.faults)-1].err = failure
	return o
}

// refuse makes the error of refuse(code, data).
func (m *machine) refuse(c goja.FunctionCall) goja.Value {
	code, ok := export(c.Argument(0)).(string)
	if !ok {
		panic(m.vm.NewTypeError("refuse wants a code of the app's errors or checks"))
	}
	f := &fault.Fault{Kind: fault.Refused, Code: code}
	say, known := m.program.sentences[code]
	if kind, house := action.HouseKind(code); house && !known {
		f.Kind = kind
		known = true
	}
	if !known {
		m.fatal(internal("refuse(%q): the app has no such refusal%s", code,
			near(code, codeNames(m.program.sentences))))
		return goja.Undefined()
	}
	f.Message = say
	if data, ok := c.Argument(1).(*goja.Object); ok {
		for _, name := range data.Keys() {
			if p, ok := param(data.Get(name)); ok {
				f.Data = append(f.Data, fault.Param{Name: name, Value: p})
			}
		}
	}
	return m.errorOf(f)
}

// param reads a figure of a refusal's data.
func param(v goja.Value) (any, bool) {
	switch x := export(v).(type) {
	case string, int64, bool:
		return x, true
	case float64:
		if x == float64(int64(x)) && x < value.IntMax && x > -value.IntMax {
			return int64(x), true
		}
		return x, true
	case *record:
		return x.id(), true
	}
	return nil, false
}

// failure turns what the engine returned to a fault.
func (m *machine) failure(err error) error {
	if m.run.fatal != nil {
		return m.place(m.run.fatal, err)
	}
	var stopped *goja.InterruptedError
	var deep *goja.StackOverflowError
	var ex *goja.Exception
	switch {
	case errors.As(err, &stopped):
		if f, ok := stopped.Value().(*fault.Fault); ok {
			return m.place(f, err)
		}
		return internal("%s: %s", m.run.call.Title(), clean(stopped.String()))
	case errors.As(err, &deep):
		m.spoil()
		return internal("%s: calls are nested deeper than %d%s", m.run.call.Title(), depthMax,
			stackText(deep.Stack()))
	case errors.As(err, &ex):
		return m.thrownFault(ex.Value(), ex)
	}
	return fault.From(err)
}

// place adds to a fault where the code was when it ended.
func (m *machine) place(err, engine error) error {
	var stopped *goja.InterruptedError
	if errors.As(engine, &stopped) {
		return m.placed(err, stopped.Stack())
	}
	return m.placed(err, nil)
}

func (m *machine) placed(err error, stack []goja.StackFrame) error {
	f := *fault.From(err)
	where := stackText(stack)
	if f.Cause == nil {
		f.Cause = fmt.Errorf("%s was stopped%s", m.run.call.Title(), where)
	} else if where != "" {
		f.Cause = fmt.Errorf("%w%s", f.Cause, where)
	}
	return &f
}

// spoil keeps the machine from being used again.
func (m *machine) spoil() {
	m.watch.mu.Lock()
	m.watch.tripped = true
	m.watch.mu.Unlock()
}

// thrownFault returns the fault behind a thrown value. What is no fault of ours is
// an internal one with the stack as its cause.
func (m *machine) thrownFault(v goja.Value, ex *goja.Exception) error {
	o, ok := v.(*goja.Object)
	if !ok {
		text := "undefined"
		if v != nil {
			text = v.String()
		}
		where := ""
		if ex != nil {
			where = stackText(ex.Stack())
		}
		return internal("%s threw %s%s", m.run.call.Title(), text, where)
	}
	for _, t := range m.run.faults {
		if t.object == o {
			return t.err
		}
	}
	var text string
	if ex := m.vm.Try(func() { text = describe(o) }); ex != nil || text == "" {
		text = "an object that cannot be read"
	}
	return internal("%s threw %s", m.run.call.Title(), text)
}

// describe returns an error's class, sentence and stack.
func describe(o *goja.Object) string {
	if stack := o.Get("stack"); stack != nil && !goja.IsUndefined(stack) {
		if text := clean(stack.String()); text != "" {
			return text
		}
	}
	return o.String()
}

var (
	counter  = regexp.MustCompile(`\((\d+)\)(\)?)$`)
	frameEnd = regexp.MustCompile(`([^\s(]+\.(?:ts|js|mjs|json)):(\d+):(\d+)`)
)

// clean makes a stack of the engine one of the app's own lines.
func clean(stack string) string {
	var out []string
	for _, line := range strings.Split(stack, "\n") {
		trimmed := strings.TrimSpace(line)
		if strings.HasPrefix(trimmed, "at ") {
			if at := frameEnd.FindStringSubmatch(line); at == nil || foreign(at[1]) {
				continue
			}
			line = counter.ReplaceAllString(strings.TrimPrefix(trimmed, "at "), "$2")
			line = "\tat " + tidy(frameEnd.ReplaceAllStringFunc(line, fromOne))
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

// fromOne counts the column of a frame from 1, which source maps count from 0.
func fromOne(at string) string {
	i := strings.LastIndexByte(at, ':')
	column, _ := strconv.Atoi(at[i+1:]) // the pattern has digits only
	return at[:i+1] + strconv.Itoa(column+1)
}

// foreign reports whether a file of a frame is none that people wrote: the prelude,
// the entry, or a bundle at a place that no source stands for.
func foreign(file string) bool {
	return file == "" || file == preludeName || strings.HasPrefix(file, "/")
}

// tidy writes the file of a frame as the app names it.
func tidy(frame string) string {
	return strings.ReplaceAll(strings.ReplaceAll(frame, "/"+appSpace+":", ""), appSpace+":", "")
}

// stackText writes frames in lines of their own.
func stackText(stack []goja.StackFrame) string {
	var b strings.Builder
	for _, f := range stack {
		p := f.Position()
		if p.Line == 0 || foreign(p.Filename) {
			continue
		}
		fmt.Fprintf(&b, "\n\tat %s (%s:%d:%d)", f.FuncName(), tidy(p.Filename), p.Line, p.Column+1)
	}
	return b.String()
}

// framesMax bounds the frames that are looked at for the app's own.
const framesMax = 16

// lineOf returns the place of the innermost frame that people wrote, "" if there is none.
func lineOf(stack []goja.StackFrame) string {
	for _, f := range stack {
		if p := f.Position(); p.Line > 0 && !foreign(p.Filename) {
			return fmt.Sprintf("%s:%d", strings.TrimPrefix(tidy(p.Filename), "/"), p.Line)
		}
	}
	return ""
}

// placeOf returns where in the app's files an error of the engine lies.
func placeOf(err error, or spec.Pos) spec.Pos {
	m := frameEnd.FindStringSubmatch(clean(errorText(err)))
	if m == nil {
		return or
	}
	line, _ := strconv.Atoi(m[2])   // the pattern has digits only
	column, _ := strconv.Atoi(m[3]) // as above
	return spec.Pos{File: strings.TrimPrefix(tidy(m[1]), "/"), Line: line, Column: column}
}

func errorText(err error) string {
	var ex *goja.Exception
	if errors.As(err, &ex) {
		if o, ok := ex.Value().(*goja.Object); ok {
			if stack := o.Get("stack"); stack != nil {
				return stack.String()
			}
		}
		return ex.String()
	}
	return err.Error()
}

// firstLine tells an error of a module that was run to see what it exports.
func firstLine(err error) string {
	var f *fault.Fault
	if errors.As(err, &f) {
		if f.Kind == fault.Timeout {
			_, rest, _ := strings.Cut(strings.TrimPrefix(f.Message, "The "), " ")
			return "it " + strings.TrimSuffix(rest, ".")
		}
		return f.Cause.Error()
	}
	text, _, _ := strings.Cut(errorText(err), "\n")
	return text
}
