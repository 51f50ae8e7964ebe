package tsaction

import (
	"strconv"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// starters makes an object with a function for each name.
func (m *machine) starters(names []string, start func(string, goja.FunctionCall) goja.Value) *goja.Object {
	o := m.vm.NewObject()
	for _, name := range names {
		// a fresh object takes every name
		_ = o.Set(name, func(c goja.FunctionCall) goja.Value {
			if !m.enter() {
				return goja.Undefined()
			}
			return start(name, c)
		})
	}
	return o
}

// startJob is tx.jobs.NAME(input).
func (m *machine) startJob(name string, c goja.FunctionCall) goja.Value {
	shape := m.run.host.Shape(action.Jobs + "/" + name)
	input := value.Record{}
	if shape != nil {
		var err error
		if input, err = m.record(c.Argument(0), shape, name); err != nil {
			m.typeError("%s", err)
		}
	} else if !goja.IsUndefined(c.Argument(0)) {
		m.typeError("the job %s takes no input", name)
	}
	id, err := action.Start(m.run.ctx, m.run.host, name, input)
	if err != nil {
		return m.unstarted(err)
	}
	o := m.vm.NewObject()
	_ = o.Set("id", string(id)) // a fresh object takes every name
	return o
}

// unstarted tells the code of what it gave that does not fit.
func (m *machine) unstarted(err error) goja.Value {
	if _, ok := err.(*fault.Fault); !ok {
		m.typeError("%s", err)
	}
	return m.fail(err)
}

// publish is tx.publish(channel, message).
func (m *machine) publish(c goja.FunctionCall) goja.Value {
	if !m.enter() {
		return goja.Undefined()
	}
	name, ok := export(c.Argument(0)).(string)
	if !ok {
		m.typeError("publish wants the name of a channel, got %s", m.show(c.Argument(0)))
	}
	message, err := m.json(c.Argument(1), "the message")
	if err != nil {
		m.typeError("%s", err)
	}
	if err := action.Publish(m.run.ctx, m.run.host, name, message); err != nil {
		return m.fail(err)
	}
	return goja.Undefined()
}

// recipientsMax is how many recipients code may name at once.
const recipientsMax = 100

// writeEmail is tx.email.NAME({to, record, data}).
func (m *machine) writeEmail(name string, c goja.FunctionCall) goja.Value {
	var l action.Letter
	if o, ok := c.Argument(0).(*goja.Object); ok {
		for _, key := range o.Keys() {
			v := o.Get(key)
			if goja.IsUndefined(v) {
				continue
			}
			switch key {
			case "to":
				if l.To = m.recipients(name, v); len(l.To) == 0 {
					return goja.Undefined() // a list of nobody
				}
			case "record":
				l.Record = m.letterPart(name+".record", v)
			case "data":
				l.Data = m.letterPart(name+".data", v)
			default:
				m.typeError("%s takes to, record and data; %s is none of them", name, key)
			}
		}
	} else if !goja.IsUndefined(c.Argument(0)) {
		m.typeError("%s wants {to, record, data}, got %s", name, m.show(c.Argument(0)))
	}
	if err := action.Write(m.run.ctx, m.run.host, name, l); err != nil {
		return m.unstarted(err)
	}
	return goja.Undefined()
}

// recipients reads an address, the id of a user, his record, or a list of these.
func (m *machine) recipients(name string, v goja.Value) []string {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		return []string{m.recipient(name, v)}
	}
	n := int(o.Get("length").ToInteger())
	if n > recipientsMax {
		m.typeError("%s.to names at most %d recipients, not %d", name, recipientsMax, n)
	}
	all := make([]string, n)
	for i := range all {
		all[i] = m.recipient(name, o.Get(strconv.Itoa(i)))
	}
	return all
}

func (m *machine) recipient(name string, v goja.Value) string {
	if v != nil {
		if text, ok := export(v).(string); ok && text != "" {
			return text
		}
		if r, ok := export(v).(*record); ok && r.collection == spec.Users {
			return r.id()
		}
	}
	m.typeError("%s.to wants an address, a user or a list of these, got %s", name, m.show(v))
	return ""
}

// letterPart reads what a mail shows: a record of a collection by its id, all else as JSON.
func (m *machine) letterPart(at string, v goja.Value) value.Value {
	if r, ok := export(v).(*record); ok && r.collection != "" {
		return value.OfText(r.id())
	}
	out, err := m.json(v, at)
	if err != nil {
		m.typeError("%s", err)
	}
	return out
}
