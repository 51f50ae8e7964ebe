package goaction

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// planCount is how many plans a program keeps.
const planCount = 4096

// readKind is what a read returns.
type readKind uint8

const (
	readRows readKind = iota
	readCount
)

// plans keeps the plans that code asks for again and again, so that stores can keep
// what they made of them.
type plans struct {
	mu   sync.Mutex
	made map[planKey]*query.Plan
}

// planKey names a read without its arguments. The shape is part of it because a
// changed app has others.
type planKey struct {
	shape       *value.Shape
	where, sort string
	limit       int
	kind        readKind
}

// read is a read on its way to a query.
type read struct {
	collection, where, sort string
	shape                   *value.Shape
	limit                   int
	kind                    readKind
	tree                    query.Expr
	args                    []value.Value
	slots                   []int
}

func (p *plans) get(r read) (*query.Plan, error) {
	key := planKey{r.shape, r.where, r.sort, r.limit, r.kind}
	p.mu.Lock()
	defer p.mu.Unlock()
	if plan := p.made[key]; plan != nil {
		return plan, nil
	}
	plan, err := r.plan()
	if err != nil {
		return nil, err
	}
	if p.made == nil || len(p.made) >= planCount {
		p.made = map[planKey]*query.Plan{}
	}
	p.made[key] = plan
	return plan, nil
}

func (r *read) field(slot int) query.Expr {
	f := &r.shape.Fields()[slot]
	return query.Field{Of: query.Row{}, Collection: r.collection, Name: f.Name, Type: f.Type}
}

func (r *read) plan() (*query.Plan, error) {
	plan := &query.Plan{From: r.collection, Where: r.tree, Limit: r.limit}
	if len(r.slots) > 0 {
		all := make([]query.Expr, len(r.slots))
		for i, s := range r.slots {
			all[i] = query.Same{L: r.field(s), R: query.Param{Index: i, Type: r.shape.Fields()[s].Type}}
		}
		plan.Where = all[0]
		if len(all) > 1 {
			plan.Where = query.And{Of: all}
		}
	}
	if r.kind == readCount {
		plan.Aggregates = []query.Aggregate{{Func: "count"}}
		plan.Out = value.NewShape("count", []value.Field{
			{Name: "count", Type: value.Type{Kind: value.TypeInt}}})
		return plan, nil
	}
	for _, name := range strings.Split(r.sort, ",") {
		bare, desc := strings.CutPrefix(strings.TrimSpace(name), "-")
		if bare == "" {
			continue
		}
		i, ok := r.shape.Index(bare)
		if !ok {
			return nil, internal("%s has no field %s to sort by", r.collection, bare)
		}
		plan.Sort = append(plan.Sort, query.Order{By: r.field(i), Desc: desc})
	}
	plan.Sort = append(plan.Sort, query.Order{By: r.field(spec.SlotID)})
	return plan, nil
}

// equal reads a condition of equalities.
func (r *read) equal(fields map[string]any) error {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		slot, ok := r.shape.Index(name)
		if !ok {
			return internal("%s has no field %s", r.collection, name)
		}
		typ := r.shape.Fields()[slot].Type
		typ.Optional = true
		v, err := plain(fields[name], &typ)
		if err != nil {
			return internal("%s.%s: %w", r.collection, name, err)
		}
		r.slots = append(r.slots, slot)
		r.args = append(r.args, v)
	}
	r.where = strings.Join(names, ",")
	return nil
}

// celKey names a filter without its values.
func celKey(text string, args value.Record, n int) string {
	var b strings.Builder
	b.WriteString("cel:" + text)
	for _, f := range args.Shape.Fields() {
		b.WriteString(":" + f.Name + strconv.Itoa(int(f.Type.Kind)))
		if f.Type.Elem != nil {
			b.WriteString("." + strconv.Itoa(int(f.Type.Elem.Kind)))
		}
	}
	b.WriteString("#" + strconv.Itoa(n))
	return b.String()
}

// bind reads names and values in turn as the values of a filter; what a value is in
// Go is its type.
func bind(pairs []any) (value.Record, error) {
	if len(pairs)%2 != 0 {
		return value.Record{}, fmt.Errorf("names and values must come in pairs")
	}
	var fields []value.Field
	var slots []value.Value
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return value.Record{}, fmt.Errorf("%v is no name", pairs[i])
		}
		t, v, err := typed(reflect.ValueOf(pairs[i+1]))
		if err != nil {
			return value.Record{}, fmt.Errorf("%s: %w", name, err)
		}
		fields = append(fields, value.Field{Name: name, Type: t})
		slots = append(slots, v)
	}
	return value.Record{Shape: value.NewShape("cel", fields), Slots: slots}, nil
}

func typed(v reflect.Value) (value.Type, value.Value, error) {
	if !v.IsValid() {
		return value.Type{}, value.Value{}, fmt.Errorf("nil cannot be bound; write null")
	}
	t := value.Type{Kind: value.TypeString}
	switch {
	case v.Type() == timeType:
		return value.Type{Kind: value.TypeTime}, value.OfTime(v.Interface().(time.Time)), nil
	case v.Type() == durationType:
		t.Kind = value.TypeDuration
	case v.Kind() == reflect.Bool:
		t.Kind = value.TypeBool
	case v.CanInt():
		t.Kind = value.TypeInt
		x, err := saveInt(v)
		return t, x, err
	case v.CanFloat():
		t.Kind = value.TypeFloat
	case v.Kind() == reflect.Slice:
		t = value.Type{Kind: value.TypeList, Elem: &value.Type{Kind: value.TypeString}}
		items := make([]value.Value, v.Len())
		for i := range items {
			elem, x, err := typed(v.Index(i))
			if err != nil {
				return t, x, err
			}
			t.Elem, items[i] = &elem, x
		}
		return t, value.OfList(items), nil
	}
	x, err := plain(v.Interface(), &t)
	return t, x, err
}
