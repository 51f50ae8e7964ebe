// Package goaction runs actions, hooks, jobs, webhooks and routes written in Go. It is
// the only room that looks at the types of an app's structs: it compares them with the
// app file, and compiles once for each type how its values are read and written. Time
// and host calls are bounded; a function that neither ends nor asks its host cannot be
// stopped, but the call is, and the function can touch nothing of it any more.
package goaction

import (
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"sync"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/value"
)

// Program is a set of Go functions, each under the name that action.Program gives it. Add
// the functions
// before it is run; then it is used by many runs at once.
type Program struct {
	handlers map[string]*handler
	// twice holds the names that were added more than once, with the second place.
	twice  map[string]string
	codecs sync.Map // codecKey to *codec
	plans  plans
}

var (
	_ action.Program = (*Program)(nil)
	_ action.Checker = (*Program)(nil)
)

// handler is one function.
type handler struct {
	place   string
	in, out reflect.Type
	run     func(*Call, value.Record) (value.Value, error)
	// job runs a job; nil for all others.
	job func(*Job, value.Record) error
}

// New returns a program without functions.
func New() *Program {
	return &Program{handlers: map[string]*handler{}, twice: map[string]string{}}
}

// Add registers fn, whose place is that of original, as the code of the named action.
// In and Out are structs whose fields carry the names of the app file in json tags.
func Add[In, Out any](p *Program, name string, original any, fn func(*Call, In) (Out, error)) {
	h := &handler{place: placeOf(original), in: reflect.TypeFor[In](), out: reflect.TypeFor[Out]()}
	h.run = func(c *Call, input value.Record) (value.Value, error) {
		in, err := load[In](p, input)
		if err != nil {
			return value.Value{}, err
		}
		out, err := fn(c, in)
		if err != nil || c.run.Output == nil {
			return value.OfNull(), err
		}
		codec, err := p.codec(h.out, c.run.Output)
		if err != nil {
			return value.Value{}, err
		}
		r, err := codec.save(reflect.ValueOf(&out).Elem())
		if err != nil {
			return value.Value{}, fmt.Errorf("output.%w", err)
		}
		return value.OfRecord(r), nil
	}
	p.add(action.Actions+"/"+name, h)
}

// AddHook registers fn as the code of an event of a collection: create, update or
// delete. Record is the struct of the collection's records; before is nil but for an
// update.
func AddHook[Record any](p *Program, collection, event string, original any,
	fn func(c *Call, record Record, before *Record) error) {
	h := &handler{place: placeOf(original), in: reflect.TypeFor[Record]()}
	h.run = func(c *Call, input value.Record) (value.Value, error) {
		record, err := load[Record](p, input)
		if err != nil {
			return value.Value{}, err
		}
		if c.run.Before.Zero() {
			return value.OfNull(), fn(c, record, nil)
		}
		before, err := load[Record](p, c.run.Before)
		if err != nil {
			return value.Value{}, err
		}
		return value.OfNull(), fn(c, record, &before)
	}
	p.add(action.Hooks+"/"+collection+"."+event, h)
}

// AddJob registers fn as the code of the named job.
func AddJob[In any](p *Program, name string, original any, fn func(*Job, In) error) {
	h := &handler{place: placeOf(original), in: reflect.TypeFor[In]()}
	h.job = func(j *Job, input value.Record) error {
		in, err := load[In](p, input)
		if err != nil {
			return err
		}
		return fn(j, in)
	}
	p.add(action.Jobs+"/"+name, h)
}

// raw registers a function that reads and writes values itself.
func (p *Program) raw(name string, original any, fn func(*Call, value.Record) (value.Value, error)) {
	p.add(name, &handler{place: placeOf(original), run: fn})
}

func (p *Program) add(name string, h *handler) {
	if p.handlers[name] != nil {
		p.twice[name] = h.place
		return
	}
	p.handlers[name] = h
}

// load makes a struct of a record.
func load[T any](p *Program, r value.Record) (to T, err error) {
	if r.Shape == nil {
		return to, nil
	}
	codec, err := p.codec(reflect.TypeFor[T](), r.Shape)
	if err != nil {
		return to, err
	}
	codec.load(reflect.ValueOf(&to).Elem(), r)
	return to, nil
}

// Names lists the functions, each with the file and line of its function.
func (p *Program) Names() map[string]string {
	names := make(map[string]string, len(p.handlers))
	for name, h := range p.handlers {
		names[name] = h.place
	}
	return names
}

// placeOf returns the file and line of a function.
func placeOf(fn any) string {
	v := reflect.ValueOf(fn)
	if v.Kind() != reflect.Func {
		return ""
	}
	f := runtime.FuncForPC(v.Pointer())
	if f == nil {
		return ""
	}
	file, line := f.FileLine(f.Entry())
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}
