// Package goaction runs actions written in Go. It is the only room that looks at the
// types of an app's structs: it compares them with the app file, and compiles once
// for each type how its values are read and written. Time and host calls are bounded;
// a function that neither ends nor asks its host cannot be stopped, but the call is,
// and the function can touch nothing of it any more.
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

// Program is a set of Go functions, each the code of one action. Add the functions
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

// handler is the function of one action.
type handler struct {
	place   string
	in, out reflect.Type
	run     func(*Call, value.Record) (value.Value, error)
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
		var in In
		if input.Shape != nil {
			codec, err := p.codec(h.in, input.Shape)
			if err != nil {
				return value.Value{}, err
			}
			codec.load(reflect.ValueOf(&in).Elem(), input)
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
	if p.handlers[name] != nil {
		p.twice[name] = h.place
		return
	}
	p.handlers[name] = h
}

// Names lists the actions, each with the file and line of its function.
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
