package tsaction

import (
	"fmt"
	"log/slog"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// sealed is the part of goja.DynamicObject that our fixed objects share: nothing of
// them can be changed.
type sealed struct{ m *machine }

// Set refuses.
func (s sealed) Set(key string, _ goja.Value) bool {
	panic(s.m.vm.NewTypeError("%s cannot be set: tx is fixed", key))
}

// Delete refuses.
func (s sealed) Delete(key string) bool { return s.Set(key, nil) }

// txObject is tx.
type txObject struct{ m *machine }

var txKeys = []string{"db", "auth", "now", "log", "random", "jobs", "email", "publish",
	"token", "password"}

// Get returns a part of tx.
func (t txObject) Get(key string) goja.Value {
	m := t.m
	switch key {
	case "db":
		if m.run.db == nil {
			m.run.db = m.vm.NewDynamicObject(m.tables)
		}
		return m.run.db
	case "auth":
		return m.me()
	case "now":
		if m.run.now == nil {
			m.run.now = m.newDate(m.run.host.Now().UnixMilli())
		}
		return m.run.now
	case "log":
		return m.log
	case "random":
		return m.random
	case "jobs":
		return m.jobs
	case "email":
		return m.email
	case "publish":
		return m.publisher
	case "token":
		return m.token
	case "password":
		return m.password
	}
	return nil
}

// Set refuses.
func (t txObject) Set(key string, v goja.Value) bool { return sealed(t).Set(key, v) }

// Has reports whether tx has a part.
func (t txObject) Has(key string) bool { return contains(txKeys, key) }

// Delete refuses.
func (t txObject) Delete(key string) bool { return sealed(t).Delete(key) }

// Keys returns the parts of tx.
func (t txObject) Keys() []string { return txKeys }

// tables is tx.db.
type tables struct {
	sealed
	names []string
	made  map[string]goja.Value
}

// newTables makes the accessors of every collection.
func (m *machine) newTables() *tables {
	t := &tables{sealed: sealed{m}, names: m.program.tables, made: map[string]goja.Value{}}
	for _, name := range m.program.tables {
		t.made[name] = m.newTable(name)
	}
	return t
}

// Get returns a collection's accessors.
func (t *tables) Get(key string) goja.Value { return t.made[key] }

// Has reports whether there is a collection.
func (t *tables) Has(key string) bool { return t.made[key] != nil }

// Keys returns the names of the collections.
func (t *tables) Keys() []string { return t.names }

// table is the accessors of one collection.
type table struct {
	m    *machine
	name string
}

func (m *machine) newTable(name string) goja.Value {
	t := table{m, name}
	o := m.vm.NewObject()
	for _, f := range []struct {
		name string
		call func(goja.FunctionCall) goja.Value
	}{
		{"get", t.get}, {"first", t.first}, {"list", t.list}, {"count", t.count},
		{"insert", t.insert}, {"update", t.update}, {"delete", t.remove},
	} {
		_ = o.Set(f.name, f.call) // a fresh object takes every name
	}
	return o
}

// enter counts a host call and reports whether it may be made. In a run that has ended it
// throws what ended it.
func (m *machine) enter() bool {
	r := m.run
	if r == nil || r.host == nil {
		panic(m.vm.NewTypeError("tx can be used inside its call alone"))
	}
	r.calls++
	if most := r.call.Bounds.Calls; most > 0 && r.calls > most {
		m.fatal(fault.New(fault.Timeout, "The %s made more than %d calls.", r.call.Kind(), most))
		return false
	}
	if r.fatal != nil {
		m.fail(r.fatal)
	}
	if r.ctx.Err() != nil {
		m.watch.mu.Lock()
		tripped := m.watch.tripped
		m.watch.mu.Unlock()
		if !tripped {
			m.fatal(internal("%s: %w", r.call.Title(), r.ctx.Err()))
		}
		return false
	}
	return true
}

// typeError throws a TypeError with a sentence.
func (m *machine) typeError(format string, args ...any) goja.Value {
	panic(m.vm.NewTypeError("%s", fmt.Sprintf(format, args...)))
}

func (m *machine) me() goja.Value {
	if m.run.me != nil {
		return m.run.me
	}
	if !m.enter() {
		return goja.Undefined()
	}
	r, err := m.run.host.Me(m.run.ctx)
	if err != nil {
		return m.fail(err)
	}
	m.run.me = m.newRecord(spec.Users, r)
	return m.run.me
}

// target reads a record or an id.
func (t table) target(v goja.Value, verb string) (ident.Record, *record) {
	if id, ok := v.(goja.String); ok {
		return ident.Record(id.String()), nil
	}
	if x, ok := export(v).(*record); ok {
		if x.collection == t.name {
			return ident.Record(x.id()), x
		}
		if x.collection != "" {
			t.m.typeError("%s.%s wants a record of %s, got one of %s", t.name, verb, t.name, x.collection)
		}
	}
	t.m.typeError("%s.%s wants a record or an id, got %s", t.name, verb, t.m.show(v))
	return "", nil
}

func (t table) get(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	id, _ := t.target(c.Argument(0), "get")
	r, err := m.run.host.Get(m.run.ctx, t.name, id)
	if err != nil {
		return m.fail(err)
	}
	return m.newRecord(t.name, r)
}

func (t table) insert(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	r := t.fields(c.Argument(0), "insert")
	if r.Slots[spec.SlotID].IsNull() {
		r.Slots[spec.SlotID] = value.OfText(string(m.run.host.NewID()))
	}
	return t.put(r)
}

func (t table) update(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	id, old := t.target(c.Argument(0), "update")
	r := t.fields(c.Argument(1), "update")
	r.Slots[spec.SlotID] = value.OfText(string(id))
	r.Slots[spec.SlotVersion] = value.OfNull()
	if old != nil {
		r.Slots[spec.SlotVersion] = old.r.Slots[spec.SlotVersion]
	}
	return t.put(r)
}

func (t table) put(r value.Record) goja.Value {
	stored, err := t.m.run.host.Put(t.m.run.ctx, t.name, r)
	if err != nil {
		return t.m.fail(err)
	}
	return t.m.newRecord(t.name, stored)
}

func (t table) remove(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	id, _ := t.target(c.Argument(0), "delete")
	if err := m.run.host.Delete(m.run.ctx, t.name, id); err != nil {
		return m.fail(err)
	}
	return goja.Undefined()
}

// fields reads what is to be written. Fields that were left out, or are undefined,
// stay absent.
func (t table) fields(v goja.Value, verb string) value.Record {
	m := t.m
	o, ok := v.(*goja.Object)
	if !ok {
		m.typeError("%s.%s wants an object of fields, got %s", t.name, verb, m.show(v))
	}
	shape := m.run.host.Shape(t.name)
	r, fields := value.NewRecord(shape), shape.Fields()
	for _, key := range o.GetOwnPropertyNames() {
		x := o.Get(key)
		if x == nil || goja.IsUndefined(x) {
			continue
		}
		i, ok := shape.Index(key)
		if !ok {
			m.typeError("%s has no field %s%s", t.name, key, near(key, fieldNames(shape)))
		}
		if systemSlot(i) && !(i == spec.SlotID && verb == "insert") {
			m.typeError("%s.%s is written by Galley alone", t.name, key)
		}
		field := &fields[i]
		var err error
		if op := operatorOf(x); op != nil {
			r.Slots[i], err = m.operand(op, &field.Type, t.name+"."+key)
		} else {
			r.Slots[i], err = m.fromJS(x, &field.Type, t.name+"."+key)
		}
		if err != nil {
			m.typeError("%s", err)
		}
	}
	return r
}

// operator is what add, append, remove, max and min make.
type operator struct {
	op      value.Op
	operand goja.Value
}

var operators = map[string]value.Op{
	"add": value.OpAdd, "append": value.OpAppend, "remove": value.OpRemove,
	"max": value.OpMax, "min": value.OpMin,
}

func (m *machine) operator(c goja.FunctionCall) goja.Value {
	return m.vm.ToValue(&operator{operators[c.Argument(0).String()], c.Argument(1)})
}

// operatorOf returns the operator that a value is, or nil.
func operatorOf(v goja.Value) *operator {
	if _, ok := v.(*goja.Object); !ok {
		return nil
	}
	op, _ := export(v).(*operator)
	return op
}

// operand reads the operand of an operator on a field of the type.
func (m *machine) operand(op *operator, t *value.Type, at string) (value.Value, error) {
	elem := *t
	lists := op.op == value.OpAppend || op.op == value.OpRemove
	switch {
	case lists && t.Kind == value.TypeList:
		elem = *t.Elem
	case lists:
		return value.Value{}, fmt.Errorf("%s is no list: append and remove change lists", at)
	case t.ValueKind() != value.Int && t.ValueKind() != value.Float:
		return value.Value{}, fmt.Errorf("%s is no number: add, max and min change numbers", at)
	}
	elem.Optional = false
	v, err := m.fromJS(op.operand, &elem, at)
	if err != nil {
		return value.Value{}, err
	}
	if v.Kind() == value.Absent {
		return value.Value{}, fmt.Errorf("%s: the operand is undefined", at)
	}
	return value.OfOp(op.op, v), nil
}

// txLog is tx.log.
func (m *machine) txLog(c goja.FunctionCall) goja.Value {
	log := m.logger()
	if log == nil {
		return goja.Undefined()
	}
	var attrs []any
	if o, ok := c.Argument(1).(*goja.Object); ok {
		for _, key := range o.Keys() {
			if p, ok := param(o.Get(key)); ok {
				attrs = append(attrs, slog.Any(key, p))
			} else if text, err := m.stringify(goja.Undefined(), o.Get(key)); err == nil {
				attrs = append(attrs, slog.String(key, cut(text.String())))
			}
		}
	}
	log.InfoContext(m.run.ctx, cut(c.Argument(0).String()), attrs...)
	return goja.Undefined()
}

// logger is where the code's lines go; nil if the run ends.
func (m *machine) logger() *slog.Logger {
	if m.run != nil && m.run.host == nil && m.run.job != nil {
		return m.run.job.steps.Log()
	}
	if !m.enter() {
		return nil
	}
	return m.run.host.Log()
}

// logMax bounds a text in a log line, in bytes.
const logMax = 4 << 10

func cut(text string) string {
	if len(text) > logMax {
		return text[:logMax] + "…"
	}
	return text
}

// inputValue is the handler's second argument.
func (m *machine) inputValue() goja.Value { return m.given(m.run.call.Input) }

// beforeValue is its third: the record before the change.
func (m *machine) beforeValue() goja.Value { return m.given(m.run.call.Before) }

func (m *machine) given(r value.Record) goja.Value {
	if r.Zero() {
		return goja.Undefined()
	}
	if r.Shape.Name() == action.ShapeProblem {
		return m.toJS(r.Slots[0])
	}
	return m.vm.NewDynamicObject(&record{m: m, r: r, collection: m.run.call.Of})
}
