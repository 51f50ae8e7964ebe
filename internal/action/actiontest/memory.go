// Package actiontest proves that code does the same in every language: it keeps a
// small host in memory, and the scripts that each runner must pass.
package actiontest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Memory is a Host over records in memory. It judges no rules but those in Checks.
// It is for one call at a time.
type Memory struct {
	shapes map[string]*value.Shape
	rows   map[string][]value.Record
	// Checks are asked of each record that is put; nil asks nothing.
	Checks func(collection string, r value.Record) error
	// Who is the caller, a record of users.
	Who ident.Record
	// At is the call's instant.
	At time.Time
	// Fail, if set, is what every write returns.
	Fail error
	// Calls lists what was asked, in order.
	Calls []string
	// Logs takes what was logged.
	Logs slog.Handler

	random *rand.Rand
	ids    int
}

var _ action.Host = (*Memory)(nil)

// NewMemory returns a host with the collections of a spec, all empty.
func NewMemory(s *spec.Spec) *Memory {
	h := &Memory{shapes: map[string]*value.Shape{}, rows: map[string][]value.Record{},
		At: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Logs: slog.DiscardHandler}
	h.random = rand.New(rand.NewPCG(7, 11))
	for _, c := range s.Collections {
		h.shapes[c.Name] = Shape(c)
	}
	for _, j := range s.Jobs {
		h.shapes["jobs/"+j.Name] = j.Input
	}
	return h
}

// Shape returns the shape of a collection's records, the system's fields first.
func Shape(c *spec.Collection) *value.Shape {
	number := value.Type{Kind: value.TypeInt}
	moment := value.Type{Kind: value.TypeTime}
	fields := []value.Field{
		{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}},
		{Name: spec.FieldCreated, Type: moment}, {Name: spec.FieldUpdated, Type: moment},
		{Name: spec.FieldVersion, Type: number},
	}
	for _, f := range c.Fields {
		if f.Name == spec.FieldID || f.Name == spec.FieldCreated || f.Name == spec.FieldUpdated ||
			f.Name == spec.FieldVersion {
			continue
		}
		fields = append(fields, value.Field{Name: f.Name, Type: f.Type, Default: f.Default})
	}
	return value.NewShape(c.Name, fields)
}

// Add stores a record from pairs of field and value and returns its id.
func (h *Memory) Add(collection string, pairs ...any) ident.Record {
	r := value.NewRecord(h.shapes[collection])
	r.Slots[spec.SlotID] = value.OfText(string(h.NewID()))
	for i := 0; i < len(pairs); i += 2 {
		if !r.Set(pairs[i].(string), pairs[i+1].(value.Value)) {
			panic(fmt.Sprintf("%s has no field %s", collection, pairs[i]))
		}
	}
	stored, err := h.Put(context.Background(), collection, r)
	if err != nil {
		panic(err)
	}
	h.Calls = nil
	return ident.Record(stored.Slots[spec.SlotID].Text())
}

// Rows returns the records of a collection, which the caller must not change.
func (h *Memory) Rows(collection string) []value.Record { return h.rows[collection] }

func (h *Memory) note(format string, args ...any) {
	h.Calls = append(h.Calls, fmt.Sprintf(format, args...))
}

func (h *Memory) find(collection string, id ident.Record) int {
	return slices.IndexFunc(h.rows[collection], func(r value.Record) bool {
		return r.Slots[spec.SlotID].Text() == string(id)
	})
}

// Get returns the record, or the fault not_found.
func (h *Memory) Get(_ context.Context, collection string, id ident.Record) (value.Record, error) {
	h.note("get %s", collection)
	if i := h.find(collection, id); i >= 0 {
		return h.rows[collection][i].Clone(), nil
	}
	return value.Record{}, fault.New(fault.NotFound, "There is no such record in %s.", collection)
}

// Find returns the records for which a conjunction of equalities and comparisons is
// true, which is all it can evaluate.
func (h *Memory) Find(_ context.Context, q query.Query) ([]value.Record, error) {
	h.note("find %s", q.Plan.From)
	var rows []value.Record
	for _, r := range h.rows[q.Plan.From] {
		if q.Plan.Where == nil || truth(q.Plan.Where, r, q.Args) {
			rows = append(rows, r.Clone())
		}
	}
	if q.Plan.Out != nil {
		return []value.Record{{Shape: q.Plan.Out, Slots: []value.Value{value.OfInt(int64(len(rows)))}}}, nil
	}
	sort.SliceStable(rows, func(i, j int) bool {
		for _, o := range q.Plan.Sort {
			a, b := eval(o.By, rows[i], nil), eval(o.By, rows[j], nil)
			if c := order(a, b); c != 0 {
				return (c < 0) != o.Desc
			}
		}
		return false
	})
	if q.Plan.Limit > 0 && len(rows) > q.Plan.Limit {
		rows = rows[:q.Plan.Limit]
	}
	return rows, nil
}

func eval(e query.Expr, r value.Record, args []value.Value) value.Value {
	switch e := e.(type) {
	case query.Field:
		return r.Get(e.Name)
	case query.Param:
		return args[e.Index]
	case query.Literal:
		return e.Value
	}
	panic(fmt.Sprintf("memory cannot evaluate %T", e))
}

func truth(e query.Expr, r value.Record, args []value.Value) bool {
	switch e := e.(type) {
	case query.And:
		return !slices.ContainsFunc(e.Of, func(x query.Expr) bool { return !truth(x, r, args) })
	case query.Same:
		return eval(e.L, r, args).Equal(eval(e.R, r, args))
	case query.Compare:
		c := order(eval(e.L, r, args), eval(e.R, r, args))
		return e.Op == "<" && c < 0 || e.Op == ">" && c > 0 || e.Op == "<=" && c <= 0 ||
			e.Op == ">=" && c >= 0
	}
	panic(fmt.Sprintf("memory cannot evaluate %T", e))
}

func order(a, b value.Value) int {
	switch {
	case a.Equal(b):
		return 0
	case a.IsNull():
		return -1
	case b.IsNull():
		return 1
	case a.Kind() == value.Text:
		if a.Text() < b.Text() {
			return -1
		}
		return 1
	case a.Float() < b.Float():
		return -1
	}
	return 1
}

// Filter understands `field < arg_1` and its kin.
func (h *Memory) Filter(collection, cel string, args value.Record) (query.Expr, []value.Value, error) {
	h.note("filter %s %s", collection, cel)
	var name, op, arg string
	if n, _ := fmt.Sscan(cel, &name, &op, &arg); n != 3 {
		return nil, nil, fmt.Errorf("memory cannot read %q", cel)
	}
	i, ok := h.shapes[collection].Index(name)
	if !ok || len(args.Slots) != 1 {
		return nil, nil, fmt.Errorf("%s has no field %s", collection, name)
	}
	typ := h.shapes[collection].Fields()[i].Type
	return query.Compare{Op: op, L: query.Field{Of: query.Row{}, Collection: collection, Name: name, Type: typ},
		R: query.Param{Index: 0, Type: typ}}, args.Slots, nil
}

// Put writes a record as store.Tx does.
func (h *Memory) Put(_ context.Context, collection string, r value.Record) (value.Record, error) {
	h.note("put %s", collection)
	if h.Fail != nil {
		return value.Record{}, h.Fail
	}
	id := ident.Record(r.Slots[spec.SlotID].Text())
	i, version := h.find(collection, id), r.Slots[spec.SlotVersion]
	insert := version.Kind() == value.Absent || version.Kind() == value.Int && version.Int() == 0
	var next value.Record
	switch {
	case insert && i >= 0:
		return value.Record{}, fault.New(fault.Exists, "This id is taken.")
	case insert:
		next = value.NewRecord(h.shapes[collection])
		next.Slots[spec.SlotID], next.Slots[spec.SlotCreated] = r.Slots[spec.SlotID], value.OfTime(h.At)
		next.Slots[spec.SlotVersion] = value.OfInt(0)
		for k, f := range next.Shape.Fields()[spec.SlotFirst:] {
			next.Slots[spec.SlotFirst+k] = f.Default
		}
	case i < 0:
		return value.Record{}, fault.New(fault.NotFound, "There is no such record in %s.", collection)
	default:
		next = h.rows[collection][i].Clone()
		if version.Kind() == value.Int && version.Int() != next.Slots[spec.SlotVersion].Int() {
			return value.Record{}, fault.New(fault.Stale, "The record has changed.")
		}
	}
	for k := spec.SlotFirst; k < len(r.Slots); k++ {
		v := r.Slots[k]
		if op, x := v.Op(); op != 0 {
			v = applied(op, next.Slots[k], x)
		}
		if v.Kind() != value.Absent {
			next.Slots[k] = v
		}
		f := next.Shape.Fields()[k]
		if next.Slots[k].IsNull() {
			if !f.Type.Optional {
				return value.Record{}, fault.New(fault.Invalid, "%s.%s is required.", collection, f.Name)
			}
			next.Slots[k] = value.OfNull()
		}
	}
	next.Slots[spec.SlotUpdated] = value.OfTime(h.At)
	next.Slots[spec.SlotVersion] = value.OfInt(next.Slots[spec.SlotVersion].Int() + 1)
	if h.Checks != nil {
		if err := h.Checks(collection, next); err != nil {
			return value.Record{}, err
		}
	}
	if i < 0 {
		h.rows[collection] = append(h.rows[collection], next)
	} else {
		h.rows[collection][i] = next
	}
	return next.Clone(), nil
}

func applied(op value.Op, old, x value.Value) value.Value {
	switch op {
	case value.OpAdd:
		return value.OfInt(old.Int() + x.Int())
	case value.OpMax:
		return value.OfInt(max(old.Int(), x.Int()))
	case value.OpMin:
		return value.OfInt(min(old.Int(), x.Int()))
	case value.OpAppend:
		return value.OfList(append(slices.Clone(old.List()), x))
	default:
		return value.OfList(slices.DeleteFunc(slices.Clone(old.List()), x.Equal))
	}
}

// Delete removes a record.
func (h *Memory) Delete(_ context.Context, collection string, id ident.Record) error {
	h.note("delete %s", collection)
	i := h.find(collection, id)
	if i < 0 {
		return fault.New(fault.NotFound, "There is no such record in %s.", collection)
	}
	h.rows[collection] = slices.Delete(h.rows[collection], i, i+1)
	return nil
}

// Intend notes an intent.
func (h *Memory) Intend(_ context.Context, i journal.Intent) error {
	h.note("intend %s %s %s", i.Kind, i.Name, value.AppendJSON(nil, i.Payload))
	return nil
}

// Subject is who called.
func (h *Memory) Subject() ident.Subject {
	if h.Who == "" {
		return ident.Subject{}
	}
	return ident.Subject{Who: ident.User, ID: h.Who}
}

// Me is the caller's record.
func (h *Memory) Me(ctx context.Context) (value.Record, error) {
	if h.Who == "" {
		return value.Record{}, nil
	}
	return h.Get(ctx, spec.Users, h.Who)
}

// Shape returns the shape of a collection's records, or nil.
func (h *Memory) Shape(collection string) *value.Shape { return h.shapes[collection] }

// NewID returns the next id of the call.
func (h *Memory) NewID() ident.Record {
	h.ids++
	return ident.RecordAt(h.At, h.random, h.ids)
}

// Now is the instant of the call.
func (h *Memory) Now() time.Time { return h.At }

// Random is the chance of the call.
func (h *Memory) Random() *rand.Rand { return h.random }

// Log takes what the code says.
func (h *Memory) Log() *slog.Logger { return slog.New(h.Logs) }

// Copy returns the records as they are, for Restore.
func (h *Memory) Copy() map[string][]value.Record {
	rows := map[string][]value.Record{}
	for name, all := range h.rows {
		rows[name] = slices.Clone(all)
	}
	return rows
}

// Restore makes the records what they were, and the chance what it was at first.
func (h *Memory) Restore(rows map[string][]value.Record) {
	h.rows = rows
	h.random = rand.New(rand.NewPCG(7, 11))
	h.ids = 0
}
