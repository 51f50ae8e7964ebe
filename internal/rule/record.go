package rule

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// recordVal is a record in CEL. That of a relation is loaded when it is first looked
// into; two are equal if they are the same record of one collection.
type recordVal struct {
	d   *decision
	o   *object
	id  string
	rec value.Record
}

// load reads the record from the view.
func (r *recordVal) load() error {
	if !r.rec.Zero() {
		return nil
	}
	rec, err := r.d.get(r.o, r.id)
	r.rec = rec
	return err
}

// ConvertToNative is not possible: records do not leave a rule.
func (r *recordVal) ConvertToNative(t reflect.Type) (any, error) {
	return nil, errors.New("a record cannot be converted")
}

// ConvertToType knows only the record's own type.
func (r *recordVal) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("a record cannot be converted")
}

// Equal compares the records by their ids.
func (r *recordVal) Equal(other ref.Val) ref.Val {
	o, ok := other.(*recordVal)
	if !ok || o.o != r.o {
		return types.False
	}
	if r.o.table() {
		return types.Bool(r.id == o.id)
	}
	return types.Bool(value.OfRecord(r.rec).Equal(value.OfRecord(o.rec)))
}

// Type returns the record's type.
func (r *recordVal) Type() ref.Type { return r.o.cel }

// Value returns the record itself.
func (r *recordVal) Value() any { return r }

func fromList(v ref.Val) (value.Value, bool) {
	l, ok := v.(traits.Lister)
	if !ok {
		return value.OfNull(), false
	}
	var items []value.Value
	for it := l.Iterator(); it.HasNext() == types.True; {
		item, ok := fromCEL(it.Next())
		if !ok {
			return value.OfNull(), false
		}
		items = append(items, item)
	}
	return value.OfList(items), true
}

// decision is one evaluation: the variables, and what was loaded for it.
type decision struct {
	ctx     context.Context
	in      *Input
	u       *unit
	visible func(string) *Rule
	// broken is the first error of the store.
	broken error

	auth, record, before, input, request recordVal
	// loaded are the records behind relations, each read once.
	loaded []loaded
}

type loaded struct {
	of     *object
	id     string
	record value.Record
	err    error
}

var decisions = sync.Pool{New: func() any { return new(decision) }}

// begin prepares an evaluation; end gives it back.
func (u *unit) begin(ctx context.Context, in *Input) *decision {
	d := decisions.Get().(*decision)
	d.ctx, d.in, d.u, d.visible = ctx, in, u, u.scope.Visible
	if u.auth && in.Who != "" && in.Auth.Zero() {
		in.Auth, d.broken = in.View.Get(ctx, spec.Users, in.Who)
		if fault.Is(d.broken, fault.NotFound) {
			d.broken = fault.New(fault.Unauthenticated, "The account does not exist any more.")
		}
	}
	return d
}

func (d *decision) end() {
	room := d.loaded
	if cap(room) > 64 {
		room = nil
	}
	clear(room)
	*d = decision{loaded: room[:0]}
	decisions.Put(d)
}

var _ interpreter.Activation = (*decision)(nil)

// ResolveName returns the variable.
func (d *decision) ResolveName(name string) (any, bool) {
	switch name {
	case "record":
		return d.variable(&d.record, d.in.Record, d.u.scope.Collection), true
	case "auth":
		return d.variable(&d.auth, d.in.Auth, spec.Users), true
	case "before":
		return d.variable(&d.before, d.in.Before, d.u.scope.Collection), true
	case "now":
		return types.Timestamp{Time: d.in.Now.UTC().Truncate(time.Millisecond)}, true
	case "input":
		if d.in.Input.Zero() {
			return types.NullValue, true
		}
		d.input.d, d.input.rec, d.input.o = d, d.in.Input, d.u.input
		return &d.input, true
	case "request":
		return d.requestVal(), true
	case decisionName:
		return d, true
	}
	if a := d.in.Args; !a.Zero() {
		if i, ok := a.Shape.Index(name); ok {
			t := &a.Shape.Fields()[i].Type
			return d.toCEL(t, d.u.args[name], a.Slots[i]), true
		}
	}
	return nil, false
}

// Parent returns nil: nothing stands above.
func (d *decision) Parent() interpreter.Activation { return nil }

func (d *decision) variable(v *recordVal, r value.Record, collection string) ref.Val {
	if r.Zero() {
		return types.NullValue
	}
	if v.d == nil {
		v.d, v.o, v.rec = d, d.u.w.objects[typePrefix+collection], r
		v.id = r.Slots[0].Text()
	}
	return v
}

func (d *decision) requestVal() ref.Val {
	if d.request.d == nil {
		q, o := &d.in.Request, d.u.w.objects[typePrefix+requestName]
		texts := [...]string{q.ID, q.IP, q.Country, q.Method, q.Origin, q.UserAgent}
		rec := value.NewRecord(o.shape)
		for i, t := range texts {
			rec.Slots[i] = value.OfText(t)
		}
		d.request = recordVal{d: d, o: o, rec: rec}
	}
	return &d.request
}

// get loads a record that a relation points to. One that may not be read is not
// there.
func (d *decision) get(o *object, id string) (value.Record, error) {
	for i := range d.loaded {
		if l := &d.loaded[i]; l.of == o && l.id == id {
			return l.record, l.err
		}
	}
	r, err := d.fetch(o, id)
	d.loaded = append(d.loaded, loaded{o, id, r, err})
	return r, err
}

var errNoView = errors.New("the rule follows a relation, but was given nothing to read from")

func (d *decision) fetch(o *object, id string) (value.Record, error) {
	if d.in.View == nil {
		return value.Record{}, d.fail(errNoView)
	}
	r, err := d.in.View.Get(d.ctx, o.name, ident.Record(id))
	if fault.Is(err, fault.NotFound) {
		return value.Record{}, errNoRecord
	}
	if err != nil {
		return value.Record{}, d.fail(err)
	}
	if d.visible == nil {
		return r, nil
	}
	may := d.visible(o.name)
	if may == nil {
		return value.Record{}, errNoRecord
	}
	in := *d.in
	in.Record, in.Before, in.Input, in.Args = r, value.Record{}, value.Record{}, value.Record{}
	v := may.Decide(d.ctx, &in)
	if err := v.Broken(); err != nil {
		return value.Record{}, d.fail(err)
	}
	if !v.Allowed() {
		return value.Record{}, errNoRecord
	}
	return r, nil
}

// fail keeps the first error that is none of the rule.
func (d *decision) fail(err error) error {
	if d.broken == nil {
		d.broken = err
	}
	return err
}
