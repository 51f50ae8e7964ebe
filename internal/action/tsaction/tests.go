package tsaction

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

//go:embed tests.js
var testsPrelude string

// testsDir is the folder of an app's own tests, whose files end with testsEnd.
const testsDir = "tests"

var testForm = form{
	head:  `(function(__galley) { "use strict";`,
	entry: "import %q;\n",
	name:  "galley/test",
	module: "export const { test, expect, cel, Problem, add, append, remove, max, min } = " +
		"__galley;\n",
}

// Tried is the app that a test tries. Its methods are called by many goroutines.
type Tried interface {
	// Call sends a request to the app's API as somebody: the id of a user, anonymous, or
	// "" for an admin. Headers are added to what such a request has; a body is JSON.
	Call(ctx context.Context, as, method, path, body string, headers map[string]string) (Answer, error)
	// Now is the app's own time.
	Now() time.Time
	// Advance lets time pass, and whatever is due be done.
	Advance(ctx context.Context, d time.Duration) error
	// Mail returns the mails that were sent, as a JSON list.
	Mail(ctx context.Context) (string, error)
	// Host answers requests that the app's code sends to an address.
	Host(url string, answer func(context.Context, HostRequest) (HostAnswer, error)) error
	// Webhook sends a signed call of somebody outside.
	Webhook(ctx context.Context, name, body, id string) (Answer, error)
}

// Answer is what the app answered to a request. Type is that of its body, Location where it
// sends the caller on.
type Answer struct {
	Status               int
	Type, Location, Body string
}

// HostRequest is a request of the app's code to another host.
type HostRequest struct {
	Method, URL string
	// Headers have their names in small letters.
	Headers map[string]string
	Body    string
}

// HostAnswer is what the app's code hears.
type HostAnswer struct {
	Status  int
	Headers map[string]string
	Body    string
}

// TestFiles returns the files of an app's own tests, sorted.
func TestFiles(fsys fs.FS) ([]string, error) {
	found, err := fs.ReadDir(fsys, testsDir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var files []string
	for _, f := range found {
		name := f.Name()
		if !f.IsDir() && (strings.HasSuffix(name, ".test.ts") || strings.HasSuffix(name, ".test.js")) {
			files = append(files, path.Join(testsDir, name))
		}
	}
	slices.Sort(files)
	return files, nil
}

// TestFile is a file of tests, ready to be run. It is used by one goroutine.
type TestFile struct {
	// Name is its path in the app's folder, Tests the names in their order.
	Name  string
	Tests []string
	// Said is what the test that ran last wrote by console.log.
	Said []string

	vm    *goja.Runtime
	world goja.Callable
	runs  []goja.Callable
	at    []spec.Pos
	rest  goja.Callable
	tasks chan func()
	tried Tried
	ctx   context.Context
	// end is closed when the test that runs is over.
	end chan struct{}
}

// LoadTests reads a file of tests and learns which there are.
func LoadTests(fsys fs.FS, s *spec.Spec, file string) (*TestFile, []spec.Finding) {
	top := spec.Pos{File: file, Line: 1, Column: 1}
	say := func(err error) []spec.Finding {
		return []spec.Finding{{Pos: top, Message: err.Error()}}
	}
	code, found := bundle(fsys, file, testForm, native)
	if code == "" {
		return nil, found
	}
	ast, err := goja.Parse("/"+file+".js", code)
	if err != nil {
		return nil, say(err)
	}
	program, err := goja.CompileAST(ast, false)
	if err != nil {
		return nil, say(err)
	}
	f := &TestFile{Name: file, vm: goja.New(), tasks: make(chan func())}
	f.vm.SetMaxCallStackSize(depthMax)
	host, err := f.prepare(s)
	if err == nil {
		err = f.learn(program, host)
	}
	var ex *goja.Exception
	if errors.As(err, &ex) {
		pos, text := f.placed(ex.Value(), ex)
		return nil, []spec.Finding{{Pos: pos, Message: text}}
	}
	if err != nil {
		return nil, say(err)
	}
	return f, nil
}

// prepare makes the module "galley/test".
func (f *TestFile) prepare(s *spec.Spec) (*goja.Object, error) {
	vm := f.vm
	setup, err := vm.RunScript("galley:tests", testsPrelude)
	if err != nil {
		return nil, err
	}
	f.rest, _ = goja.AssertFunction(vm.ToValue(func(goja.FunctionCall) goja.Value {
		return goja.Undefined()
	}))
	host := vm.NewObject()
	times := map[string][]string{}
	var collections, views []string
	for _, c := range s.Collections {
		collections = append(collections, c.Name)
		for _, field := range c.All() {
			if field.Type.Kind == value.TypeTime {
				times[c.Name] = append(times[c.Name], field.Name)
			}
		}
	}
	for _, v := range s.Views {
		views = append(views, v.Name)
	}
	actions := make([]any, 0, len(s.Actions))
	for _, a := range s.Actions {
		actions = append(actions, map[string]any{"name": a.Name, "get": a.ReadOnly})
	}
	users := s.Collection(spec.Users)
	for name, v := range map[string]any{
		"person":      func(n int) map[string]any { return person(users, n, f.tried.Now()) },
		"collections": collections, "views": views, "actions": actions,
		"times":   func(name string) []string { return times[name] },
		"now":     func() float64 { return float64(f.tried.Now().UnixMilli()) },
		"call":    f.call,
		"advance": f.advance,
		"mail":    f.mail,
		"host":    f.host,
		"webhook": f.webhook,
		"say":     f.say,
	} {
		if err := host.Set(name, v); err != nil {
			return nil, err
		}
	}
	call, _ := goja.AssertFunction(setup)
	if _, err = call(goja.Undefined(), host); err != nil {
		return nil, err
	}
	// Addresses and bytes are there as in the app's own code.
	web, err := vm.RunScript(preludeName, webText)
	if err != nil {
		return nil, err
	}
	if err := vm.Set("console", host.Get("console")); err != nil {
		return nil, err
	}
	tools := &machine{vm: vm, rangeError: vm.Get("RangeError").ToObject(vm)}
	call, _ = goja.AssertFunction(web)
	_, err = call(goja.Undefined(), tools.webHost())
	return host, err
}

// person is what a user must have that a test says nothing of, where anything will do.
func person(users *spec.Collection, n int, now time.Time) map[string]any {
	out := map[string]any{}
	if users == nil {
		return out
	}
	for _, f := range users.Fields {
		t := f.Type
		if f.System || t.Optional || f.Default.Kind() != value.Absent {
			continue
		}
		switch t.Kind {
		case value.TypeString, value.TypeText:
			if text := fmt.Sprintf("%s %d", f.Name, n); t.Pattern == nil &&
				(t.Min == nil || t.Min.Int <= int64(len(text))) &&
				(t.Max == nil || t.Max.Int >= int64(len(text))) {
				out[f.Name] = text
			}
		case value.TypeEnum:
			out[f.Name] = t.Words[0]
		case value.TypeBool:
			out[f.Name] = false
		case value.TypeInt, value.TypeMoney:
			var v int64
			if t.Min != nil {
				v = max(v, t.Min.Int)
			}
			if t.Max != nil {
				v = min(v, t.Max.Int)
			}
			out[f.Name] = v
		case value.TypeTime:
			out[f.Name] = now.UTC().Format(time.RFC3339Nano)
		case value.TypeList:
			if t.Min == nil {
				out[f.Name] = []any{}
			}
		}
	}
	return out
}

// saidMax bounds what a test may say.
const saidMax = 1000

func (f *TestFile) say(text string) {
	if len(f.Said) < saidMax {
		f.Said = append(f.Said, text)
	}
}

// learn runs the file, which says what its tests are.
func (f *TestFile) learn(program *goja.Program, host *goja.Object) error {
	made, err := f.vm.RunProgram(program)
	if err != nil {
		return err
	}
	factory, ok := goja.AssertFunction(made)
	if !ok {
		return errors.New("the bundle is no function")
	}
	timer := time.AfterFunc(loadTime, func() { f.vm.Interrupt("the file runs too long") })
	defer timer.Stop()
	if _, err := factory(goja.Undefined(), host.Get("module")); err != nil {
		return err
	}
	f.world, _ = goja.AssertFunction(host.Get("world"))
	tests := host.Get("tests").ToObject(f.vm)
	for i := range int(tests.Get("length").ToInteger()) {
		one := tests.Get(strconv.Itoa(i)).ToObject(f.vm)
		run, _ := goja.AssertFunction(one.Get("run"))
		f.Tests, f.runs = append(f.Tests, one.Get("name").String()), append(f.runs, run)
		f.at = append(f.at, f.place(one.Get("at").String()))
	}
	return nil
}

// TestFailure is a test that did not hold, with the place where it says so.
type TestFailure struct {
	Pos  spec.Pos
	Text string
}

// Error implements error.
func (e *TestFailure) Error() string {
	if e.Pos.Line == 0 {
		return e.Text
	}
	return fmt.Sprintf("%s:%d: %s", e.Pos.File, e.Pos.Line, e.Text)
}

// Run runs the n-th test on an app of its own. The error is a *TestFailure if the test
// does not hold.
func (f *TestFile) Run(ctx context.Context, n int, tried Tried) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.ctx, f.tried, f.end, f.Said = ctx, tried, make(chan struct{}), nil
	defer close(f.end)
	stop := context.AfterFunc(ctx, func() { f.vm.Interrupt(errTestTime) })
	defer func() {
		stop()
		f.vm.ClearInterrupt()
	}()
	world, err := f.world(goja.Undefined())
	if err != nil {
		return f.failure(n, err)
	}
	result, err := f.runs[n](goja.Undefined(), world)
	if err != nil {
		return f.failure(n, err)
	}
	promise, ok := export(result).(*goja.Promise)
	for ok && promise.State() == goja.PromiseStatePending {
		select {
		case task := <-f.tasks:
			task()
			if _, err := f.rest(goja.Undefined()); err != nil {
				return f.failure(n, err)
			}
		case <-ctx.Done():
			return &TestFailure{f.at[n], "it took too long: it waits for something that does not come"}
		}
	}
	if ok && promise.State() == goja.PromiseStateRejected {
		pos, text := f.placed(promise.Result(), nil)
		return f.failed(n, pos, text)
	}
	return nil
}

// failed is a failure at a place, or else at the test's own.
func (f *TestFile) failed(n int, pos spec.Pos, text string) error {
	if pos.Line == 0 {
		pos = f.at[n]
	}
	return &TestFailure{pos, text}
}

var errTestTime = errors.New("it took too long")

func (f *TestFile) failure(n int, err error) error {
	var ex *goja.Exception
	var late *goja.InterruptedError
	switch {
	case errors.As(err, &ex):
		pos, text := f.placed(ex.Value(), ex)
		return f.failed(n, pos, text)
	case errors.As(err, &late):
		return f.failed(n, f.place(late.String()), errTestTime.Error())
	}
	return f.failed(n, spec.Pos{}, err.Error())
}

// framed finds a place in a file of the app in a stack.
var framed = regexp.MustCompile(`(?:\(|at )(?:app:)?/?([^\s():]+\.(?:ts|js|mjs)):(\d+):(\d+)`)

// placed is what was thrown, and where in the app's own files.
func (f *TestFile) placed(thrown goja.Value, ex *goja.Exception) (spec.Pos, string) {
	text, stack := "undefined was thrown", ""
	if thrown != nil {
		text = thrown.String()
		if o, ok := thrown.(*goja.Object); ok {
			if s := o.Get("stack"); s != nil {
				stack = s.String()
			}
			if name := o.Get("name"); name != nil && name.String() == "Error" && o.Get("message") != nil {
				text = o.Get("message").String()
			}
		}
	}
	if ex != nil {
		stack += "\n" + ex.String()
	}
	return f.place(stack), text
}

// place is the first place of a stack that is in the app's own files.
func (f *TestFile) place(stack string) spec.Pos {
	for _, m := range framed.FindAllStringSubmatch(stack, -1) {
		if strings.HasPrefix(m[1], "galley:") || strings.HasSuffix(m[1], ".ts.js") {
			continue
		}
		line, _ := strconv.Atoi(m[2])
		column, _ := strconv.Atoi(m[3])
		return spec.Pos{File: m[1], Line: line, Column: column}
	}
	return spec.Pos{File: f.Name}
}

// later runs work beside the test and gives the test a promise of what it comes to.
func (f *TestFile) later(work func(ctx context.Context) (any, error)) goja.Value {
	promise, resolve, reject := f.vm.NewPromise()
	ctx, end := f.ctx, f.end
	var stack strings.Builder
	for _, frame := range f.vm.CaptureCallStack(0, nil) {
		fmt.Fprintf(&stack, "at %s\n", frame.Position())
	}
	go func() {
		v, err := work(ctx)
		task := func() {
			// The runtime is the test's own, and takes both.
			if err != nil {
				failed := f.vm.NewGoError(err)
				_ = failed.Set("stack", stack.String())
				_ = reject(failed)
				return
			}
			_ = resolve(v)
		}
		select {
		case f.tasks <- task:
		case <-end:
		}
	}()
	return f.vm.ToValue(promise)
}

func (f *TestFile) call(as, method, path, body string, headers map[string]string) goja.Value {
	return f.later(func(ctx context.Context) (any, error) {
		a, err := f.tried.Call(ctx, as, method, path, body, headers)
		return map[string]any{"status": a.Status, "type": a.Type, "location": a.Location,
			"body": a.Body}, err
	})
}

func (f *TestFile) advance(ms float64) goja.Value {
	return f.later(func(ctx context.Context) (any, error) {
		return nil, f.tried.Advance(ctx, time.Duration(ms*float64(time.Millisecond)))
	})
}

func (f *TestFile) mail() goja.Value {
	return f.later(func(ctx context.Context) (any, error) { return f.tried.Mail(ctx) })
}

func (f *TestFile) webhook(name, body string, options map[string]any) goja.Value {
	id, _ := options["id"].(string)
	return f.later(func(ctx context.Context) (any, error) {
		a, err := f.tried.Webhook(ctx, name, body, id)
		return map[string]any{"status": a.Status, "body": a.Body}, err
	})
}

// host lets a function of the test answer for another host. Requests come from other
// goroutines; each is a task of the test's.
func (f *TestFile) host(url string, answer goja.Callable) {
	end := f.end
	err := f.tried.Host(url, func(ctx context.Context, r HostRequest) (HostAnswer, error) {
		type outcome struct {
			answer HostAnswer
			err    error
		}
		done := make(chan outcome, 1)
		task := func() {
			// Its shape is that of the prelude's hosted.
			result, err := answer(goja.Undefined(), f.vm.ToValue(map[string]any{"method": r.Method,
				"url": r.URL, "headers": r.Headers, "body": r.Body}))
			if err != nil {
				done <- outcome{err: err}
				return
			}
			then, _ := goja.AssertFunction(result.ToObject(f.vm).Get("then"))
			_, err = then(result, f.vm.ToValue(func(v goja.Value) {
				var a HostAnswer
				o := v.ToObject(f.vm)
				a.Status, a.Body = int(o.Get("status").ToInteger()), o.Get("body").String()
				err := f.vm.ExportTo(o.Get("headers"), &a.Headers)
				done <- outcome{a, err}
			}), f.vm.ToValue(func(v goja.Value) { done <- outcome{err: errors.New(v.String())} }))
			if err != nil {
				done <- outcome{err: err}
			}
		}
		select {
		case f.tasks <- task:
		case <-end:
			return HostAnswer{}, errTestOver
		case <-ctx.Done():
			return HostAnswer{}, ctx.Err()
		}
		select {
		case o := <-done:
			return o.answer, o.err
		case <-end:
			return HostAnswer{}, errTestOver
		case <-ctx.Done():
			return HostAnswer{}, ctx.Err()
		}
	})
	if err != nil {
		panic(f.vm.NewGoError(err))
	}
}

var errTestOver = errors.New("the test is over")
