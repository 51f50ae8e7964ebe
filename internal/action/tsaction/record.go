package tsaction

import (
	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// record shows a record to the code: its fields in the order of their shape, read
// only. What is costly to make is made once.
type record struct {
	m *machine
	r value.Record
	// collection is "" for what is no record of a collection: an input, an object.
	collection string
	made       []goja.Value
}

// newRecord wraps a record of a collection.
func (m *machine) newRecord(collection string, r value.Record) goja.Value {
	if r.Zero() {
		return goja.Null()
	}
	return m.vm.NewDynamicObject(&record{m: m, r: r, collection: collection})
}

func (o *record) id() string { return o.r.Slots[spec.SlotID].Text() }

// Get returns a field. It is part of goja.DynamicObject, as are the others.
func (o *record) Get(key string) goja.Value {
	i, ok := o.r.Shape.Index(key)
	if !ok {
		return nil
	}
	v := o.r.Slots[i]
	switch v.Kind() {
	case value.Absent:
		return nil
	case value.Time, value.List, value.Object, value.JSON:
		if o.made == nil {
			o.made = make([]goja.Value, len(o.r.Slots))
		}
		if o.made[i] == nil {
			o.made[i] = o.m.toJS(v)
		}
		return o.made[i]
	}
	return o.m.toJS(v)
}

// Set refuses: records are changed with update.
func (o *record) Set(key string, _ goja.Value) bool {
	what := "an input"
	if o.collection != "" {
		what = "a record of " + o.collection
	}
	panic(o.m.vm.NewTypeError("%s is read-only: %s cannot be set; use update", what, key))
}

// Has reports whether the record has a field.
func (o *record) Has(key string) bool {
	i, ok := o.r.Shape.Index(key)
	return ok && o.r.Slots[i].Kind() != value.Absent
}

// Delete refuses.
func (o *record) Delete(key string) bool {
	if o.Has(key) {
		return o.Set(key, nil)
	}
	return true
}

// Keys returns the fields in the order of their shape.
func (o *record) Keys() []string {
	keys := make([]string, 0, len(o.r.Slots))
	for i, f := range o.r.Shape.Fields() {
		if o.r.Slots[i].Kind() != value.Absent {
			keys = append(keys, f.Name)
		}
	}
	return keys
}

// toJS returns a value as the code sees it: times as Date, lists and objects frozen,
// dates as text, durations as milliseconds.
func (m *machine) toJS(v value.Value) goja.Value {
	vm := m.vm
	switch v.Kind() {
	case value.Absent:
		return goja.Undefined()
	case value.Null:
		return goja.Null()
	case value.Bool:
		return vm.ToValue(v.Bool())
	case value.Int, value.Duration:
		return vm.ToValue(v.Int())
	case value.Float:
		return vm.ToValue(v.Float())
	case value.Time:
		return m.newDate(v.Int())
	case value.Date:
		return vm.ToValue(v.Time().Format(dateForm))
	case value.List:
		items := make([]any, len(v.List()))
		for i, x := range v.List() {
			items[i] = m.toJS(x)
		}
		list := vm.NewArray(items...)
		if _, err := m.freeze(goja.Undefined(), list); err != nil {
			panic(err)
		}
		return list
	case value.Object:
		return vm.NewDynamicObject(&record{m: m, r: v.Record()})
	case value.JSON:
		x, err := m.parse(goja.Undefined(), vm.ToValue(v.Text()))
		if err != nil {
			panic(vm.NewTypeError("a json field holds what is no JSON"))
		}
		return x
	default:
		return vm.ToValue(v.Text())
	}
}

// dateForm is how a date is written.
const dateForm = "2006-01-02"

func (m *machine) newDate(ms int64) goja.Value {
	d, err := m.vm.New(m.dateClass, m.vm.ToValue(ms))
	if err != nil {
		panic(err)
	}
	return d
}
