package tsaction

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// fetchMax bounds how many requests one step makes, headersMax the headers of an
	// answer in bytes; its body has the bound of every text.
	fetchMax   = 100
	headersMax = 64 << 10
)

// jobRun is what a job reaches, in one run from its top.
type jobRun struct {
	steps action.Steps
	// queue holds what the code waits for, at the level that runs now: that of the job,
	// or that of the step or transaction it is in.
	queue []func() error
	// step is the attempt that runs; nil outside of one.
	step    *action.Step
	fetched int
	// in names what runs inside: a step or a transaction; "" outside.
	in     string
	chance *rand.Rand
}

// random is the chance of a job: the same whenever it runs from its top, and another in
// each of its steps.
func (j *jobRun) random() *rand.Rand {
	if j.chance == nil {
		text := j.steps.ID()
		if j.step != nil {
			text = j.step.Key
		}
		j.chance = rand.New(rand.NewPCG(hash(text), 1))
	}
	return j.chance
}

func hash(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // a hash never fails
	return h.Sum64()
}

func (j *jobRun) now() time.Time {
	if j.step != nil && !j.step.Now.IsZero() {
		return j.step.Now
	}
	return j.steps.Now()
}

// ended is an error that is no matter of the code: it ends the run and comes back as it is.
type ended struct{ err error }

func (e ended) Error() string { return e.err.Error() }

// Unwrap returns what ended the run.
func (e ended) Unwrap() error { return e.err }

// RunJob runs the named job. See action.Runner.
func (Runner) RunJob(ctx context.Context, p action.Program, call action.Run, steps action.Steps) (
	value.Value, error) {
	out, err := start(ctx, p, &run{job: &jobRun{steps: steps}, call: call})
	var end ended
	if errors.As(err, &end) {
		return out, end.err
	}
	return out, err
}

// jobObject is job.
type jobObject struct{ m *machine }

var jobKeys = []string{"step", "transaction", "sleep", "wait", "progress", "secret", "log", "id",
	"attempt", "now", "random"}

// Get returns a part of job.
func (j jobObject) Get(key string) goja.Value {
	m := j.m
	switch key {
	case "id":
		return m.vm.ToValue(m.job().steps.ID())
	case "attempt":
		return m.vm.ToValue(m.job().steps.Attempt())
	case "now":
		return m.newDate(m.job().now().UnixMilli())
	case "log":
		return m.log
	case "random":
		return m.random
	}
	if contains(jobKeys, key) {
		return m.doing.Get(key)
	}
	return nil
}

// Set refuses.
func (j jobObject) Set(key string, _ goja.Value) bool {
	panic(j.m.vm.NewTypeError("%s cannot be set: job is fixed", key))
}

// Has reports whether job has a part.
func (j jobObject) Has(key string) bool { return contains(jobKeys, key) }

// Delete refuses.
func (j jobObject) Delete(key string) bool { return j.Set(key, nil) }

// Keys returns the parts of job.
func (j jobObject) Keys() []string { return jobKeys }

// jobFunctions makes the functions of job.
func (m *machine) jobFunctions() *goja.Object {
	o := m.vm.NewObject()
	for _, f := range []struct {
		name string
		call func(goja.FunctionCall) goja.Value
	}{
		{"step", m.jobStep}, {"transaction", m.jobTransaction}, {"sleep", m.jobSleep},
		{"wait", m.jobWait}, {"progress", m.jobProgress}, {"secret", m.jobSecret},
	} {
		_ = o.Set(f.name, f.call) // a fresh object takes every name
	}
	return o
}

// job returns what the job that runs reaches.
func (m *machine) job() *jobRun {
	if m.run == nil || m.run.job == nil {
		panic(m.vm.NewTypeError("job can be used inside its run alone"))
	}
	return m.run.job
}

// outside returns the job, if nothing of it runs: a step stands alone.
func (m *machine) outside(what string) *jobRun {
	j := m.job()
	if j.in != "" {
		m.typeError("%s cannot be used inside a %s", what, j.in)
	}
	return j
}

// later queues what the code waits for, and returns the promise of it. An error that it
// returns ends the run.
func (m *machine) later(do func() (goja.Value, error)) goja.Value {
	promise, resolve, reject := m.vm.NewPromise()
	m.run.job.queue = append(m.run.job.queue, func() error {
		m.watch.pause()
		out, err := do()
		m.watch.turn(m.run.ctx)
		var thrown *rejected
		switch {
		case errors.As(err, &thrown):
			err = reject(thrown.reason)
		case err != nil:
			return err
		default:
			err = resolve(out)
		}
		if m.run.fatal != nil || err != nil {
			return m.failure(err)
		}
		return nil
	})
	return m.vm.ToValue(promise)
}

// rejected is an error of which the code hears.
type rejected struct{ reason *goja.Object }

func (r *rejected) Error() string { return r.reason.String() }

// name reads the name of a step.
func (m *machine) stepName(v goja.Value, what string) string {
	text, ok := export(v).(string)
	if !ok || text == "" || len(text) > 100 {
		m.typeError("%s wants a name of 1 to 100 characters, got %s", what, m.show(v))
	}
	return text
}

func (m *machine) function(v goja.Value, what string) goja.Callable {
	f, ok := goja.AssertFunction(v)
	if !ok {
		m.typeError("%s wants a function, got %s", what, m.show(v))
	}
	return f
}

// inside runs a part of the code at a level of its own, and returns what it returns as
// JSON.
func (m *machine) inside(ctx context.Context, what string, run func() (goja.Value, error)) (
	value.Value, error) {
	r, j := m.run, m.run.job
	queue, before, chance := j.queue, r.ctx, j.chance
	j.queue, j.in, r.ctx, j.chance = nil, what, ctx, nil
	m.watch.turn(ctx)
	defer func() {
		j.queue, j.in, r.ctx, j.chance = queue, "", before, chance
		m.watch.turn(before) // ctx ends now, and the run does not
	}()
	v, err := run()
	if err != nil || r.fatal != nil {
		return value.Value{}, m.failure(err)
	}
	if v, err = m.await(v); err != nil {
		return value.Value{}, err
	}
	return m.kept(v)
}

// kept writes what a step or a job returned as JSON.
func (m *machine) kept(v goja.Value) (out value.Value, err error) {
	if v == nil || goja.IsUndefined(v) || goja.IsNull(v) {
		return value.OfNull(), nil
	}
	ex := m.vm.Try(func() {
		text, bad := m.stringify(goja.Undefined(), v)
		switch {
		case bad != nil || goja.IsUndefined(text):
			err = internal("%s returned what cannot be written as JSON", m.run.call.Title())
		case len(text.String()) > webMax:
			err = internal("%s returned more than %d bytes of JSON", m.run.call.Title(), webMax)
		default:
			out = value.OfJSON(text.String())
		}
	})
	if ex != nil {
		return value.Value{}, m.failure(ex)
	}
	return out, err
}

// jobStep is job.step.
func (m *machine) jobStep(c goja.FunctionCall) goja.Value {
	j := m.outside("job.step")
	name, run := m.stepName(c.Argument(0), "job.step"), m.function(c.Argument(1), "job.step")
	return m.later(func() (goja.Value, error) {
		out, err := j.steps.Step(m.run.ctx, name,
			func(ctx context.Context, s action.Step) (value.Value, error) {
				j.step, j.fetched = &s, 0
				defer func() { j.step = nil }()
				return m.inside(ctx, "step", func() (goja.Value, error) {
					return run(goja.Undefined(), m.stepObject(&s))
				})
			})
		if err != nil {
			return nil, ended{err}
		}
		return m.back(out)
	})
}

// back shows the code what was kept.
func (m *machine) back(v value.Value) (goja.Value, error) {
	if v.Kind() == value.Absent || v.IsNull() {
		return goja.Undefined(), nil
	}
	if v.Kind() != value.JSON {
		v = value.OfJSON(string(value.AppendJSON(nil, v)))
	}
	return m.toJS(v), nil
}

// stepObject is what the function of a step is given.
func (m *machine) stepObject(s *action.Step) goja.Value {
	o := m.vm.NewObject()
	_ = o.Set("key", s.Key) // a fresh object takes every name
	_ = o.Set("fetch", func(c goja.FunctionCall) goja.Value {
		if m.run == nil || m.run.job == nil || m.run.job.step != s {
			m.typeError("fetch can be used inside its step alone")
		}
		send := func(c goja.FunctionCall) goja.Value { return m.send(s, c) }
		v, err := m.ask(goja.Undefined(), append([]goja.Value{m.vm.ToValue(send)}, c.Arguments...)...)
		if err != nil {
			panic(err)
		}
		return v
	})
	return o
}

// send makes a request and promises its answer.
func (m *machine) send(s *action.Step, c goja.FunctionCall) goja.Value {
	j := m.job()
	if j.fetched++; j.fetched > fetchMax {
		m.fatal(fault.New(fault.Timeout, "The step made more than %d requests.", fetchMax))
		return goja.Undefined()
	}
	method, address := c.Argument(0).String(), c.Argument(1).String()
	var body io.Reader
	if b, ok := bytesOf(c.Argument(3)); ok {
		body = strings.NewReader(string(b))
	} else if !goja.IsUndefined(c.Argument(3)) {
		body = strings.NewReader(m.little(c.Argument(3), "the body"))
	}
	req, err := http.NewRequestWithContext(m.run.ctx, method, address, body)
	if err != nil || req.URL.Host == "" {
		m.typeError("fetch wants an address such as https://api.example.com/, got %s",
			m.show(c.Argument(1)))
	}
	headers := c.Argument(2).ToObject(m.vm)
	for i := range int(headers.Get("length").ToInteger()) {
		pair := headers.Get(strconv.Itoa(i)).ToObject(m.vm)
		req.Header.Set(pair.Get("0").String(), pair.Get("1").String())
	}
	return m.later(func() (goja.Value, error) {
		answer, err := m.answer(s, req)
		if err != nil {
			return nil, &rejected{m.vm.NewTypeError("%s", err)}
		}
		return answer, nil
	})
}

// answer asks, and reads the answer whole.
func (m *machine) answer(s *action.Step, req *http.Request) (goja.Value, error) {
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	var where *url.Error
	if errors.As(err, &where) {
		err = where.Err // the address may hold what is nobody's business
	}
	if err != nil {
		return nil, fmt.Errorf("fetch of %s failed: %w", req.URL.Host, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, webMax+1))
	if err != nil {
		return nil, fmt.Errorf("fetch of %s failed: %w", req.URL.Host, err)
	}
	if len(body) > webMax {
		return nil, fmt.Errorf("the answer of %s has more than %d bytes", req.URL.Host, webMax)
	}
	var headers []any
	size := 0
	for name, values := range res.Header {
		for _, v := range values {
			if size += len(name) + len(v); size > headersMax {
				return nil, fmt.Errorf("the headers of %s have more than %d bytes", req.URL.Host, headersMax)
			}
			headers = append(headers, m.vm.NewArray(strings.ToLower(name), textOf([]byte(v))))
		}
	}
	o := m.vm.NewObject()
	set := func(name string, v any) { _ = o.Set(name, v) } // a fresh object takes every name
	set("status", res.StatusCode)
	set("statusText", http.StatusText(res.StatusCode))
	set("url", req.URL.String())
	set("headers", m.vm.NewArray(headers...))
	set("body", m.vm.NewArrayBuffer(body))
	return o, nil
}

// jobTransaction is job.transaction.
func (m *machine) jobTransaction(c goja.FunctionCall) goja.Value {
	j := m.outside("job.transaction")
	name := m.stepName(c.Argument(0), "job.transaction")
	run := m.function(c.Argument(1), "job.transaction")
	return m.later(func() (goja.Value, error) {
		out, err := j.steps.Transaction(m.run.ctx, name,
			func(ctx context.Context, host action.Host) (value.Value, error) {
				r := m.run
				r.host, r.calls, r.now, r.me, r.db = host, 0, nil, nil, nil
				defer func() { r.host, r.now, r.me, r.db = nil, nil, nil, nil }()
				return m.inside(ctx, "transaction", func() (goja.Value, error) {
					return run(goja.Undefined(), m.vm.NewDynamicObject(txObject{m}))
				})
			})
		switch {
		case action.Answered(err):
			// What the transaction said no to stays a no: nobody has to try it again.
			f := fault.From(err)
			o := m.errorOf(f)
			m.run.faults[len(m.run.faults)-1].err = &action.Failure{Fault: f}
			return nil, &rejected{o}
		case err != nil:
			return nil, ended{err}
		}
		return m.back(out)
	})
}

// jobSleep is job.sleep.
func (m *machine) jobSleep(c goja.FunctionCall) goja.Value {
	j := m.outside("job.sleep")
	name, d := m.stepName(c.Argument(0), "job.sleep"), m.span(c.Argument(1), "job.sleep")
	return m.later(func() (goja.Value, error) {
		if err := j.steps.Sleep(m.run.ctx, name, d); err != nil {
			return nil, ended{err}
		}
		return goja.Undefined(), nil
	})
}

// span reads a length of time: a number of milliseconds, or a text such as 90s or 3d.
func (m *machine) span(v goja.Value, what string) time.Duration {
	if n, ok := whole(v); ok && n >= 0 && n < int64(100*365*24*time.Hour/time.Millisecond) {
		return time.Duration(n) * time.Millisecond
	}
	if text, ok := export(v).(string); ok {
		if d, err := action.ParseSpan(text); err == nil {
			return d
		}
	}
	m.typeError("%s wants a length of time such as \"90s\" or \"3d\", got %s", what, m.show(v))
	return 0
}

// jobWait is job.wait.
func (m *machine) jobWait(c goja.FunctionCall) goja.Value {
	j := m.outside("job.wait")
	event, d := m.stepName(c.Argument(0), "job.wait"), time.Duration(0)
	if o, ok := c.Argument(1).(*goja.Object); ok {
		if v := o.Get("timeout"); v != nil && !goja.IsUndefined(v) {
			d = max(m.span(v, "the timeout of job.wait"), time.Millisecond) // 0 says nothing
		}
	}
	return m.later(func() (goja.Value, error) {
		out, err := j.steps.Wait(m.run.ctx, event, d)
		switch {
		case fault.Is(err, fault.Timeout) && m.run.ctx.Err() == nil:
			return nil, &rejected{m.errorOf(fault.From(err))}
		case err != nil:
			return nil, ended{err}
		}
		return m.back(out)
	})
}

// jobProgress is job.progress.
func (m *machine) jobProgress(c goja.FunctionCall) goja.Value {
	j := m.job()
	done, ok := whole(c.Argument(0))
	total, right := whole(c.Argument(1))
	if !ok || !right || done < 0 || total < 0 {
		m.typeError("job.progress wants two whole numbers, what is done and of how many")
	}
	j.steps.Progress(done, total)
	return goja.Undefined()
}

// jobSecret is job.secret.
func (m *machine) jobSecret(c goja.FunctionCall) goja.Value {
	text, err := m.job().steps.Secret(c.Argument(0).String())
	if err != nil {
		m.fatal(internal("%s: %w", m.run.call.Title(), err))
		return goja.Undefined()
	}
	return m.vm.ToValue(text)
}
