package engine

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// groupsMax is how many groups an aggregate may have.
const groupsMax = 10_000

// grouping is a compiled aggregate.
type grouping struct {
	selection
	plan *query.Plan
	// sort orders the groups by slots of the plan's shape.
	sort  []sortKey
	limit int
}

// aggregate computes over the records that the caller may read.
func (r *run) aggregate(ctx context.Context, v store.View, op *operation) (Answer, error) {
	p, err := readParams(op.coll, r.call.Params, aggregateParams, true)
	if err != nil {
		return Answer{}, err
	}
	_, kept, err := r.compiled(op, &p, func() (any, error) { return r.grouping(op, p) })
	if err != nil {
		return Answer{}, err
	}
	g := kept.(*grouping)
	args, _, err := r.arguments(ctx, &g.selection, p)
	if err != nil {
		return Answer{}, err
	}
	items, err := g.compute(ctx, v, args)
	return Answer{Items: items}, err
}

// compute reads the groups.
func (g *grouping) compute(ctx context.Context, v store.View, args []value.Value) ([]Item, error) {
	rows, err := v.Find(ctx, query.Query{Plan: g.plan, Args: args})
	if err != nil {
		return nil, err
	}
	if len(rows) > groupsMax {
		return nil, errParam(paramGroup, 1, "There are more than %d groups.", groupsMax)
	}
	if err := finite(rows); err != nil {
		return nil, err
	}
	slices.SortStableFunc(rows, g.compare)
	items := make([]Item, min(len(rows), g.limit))
	for i := range items {
		items[i].Record = rows[i]
	}
	return items, nil
}

// finite refuses sums that are no number: JSON has no word for them.
func finite(rows []value.Record) error {
	for _, row := range rows {
		for _, v := range row.Slots {
			if v.Kind() == value.Float && math.IsInf(v.Float(), 0) {
				return fault.New(fault.Invalid, "A sum is beyond the range of its numbers.")
			}
		}
	}
	return nil
}

// compare orders two groups, nulls first, and last when descending.
func (g *grouping) compare(a, b value.Record) int {
	for _, k := range g.sort {
		if c := compare(a.Slots[k.slot], b.Slots[k.slot]); c != 0 {
			if k.desc {
				return -c
			}
			return c
		}
	}
	return 0
}

func compare(a, b value.Value) int {
	switch {
	case a.IsNull() || b.IsNull():
		return cmp.Compare(order(!a.IsNull()), order(!b.IsNull()))
	case a.Kind() == value.Text:
		return strings.Compare(a.Text(), b.Text())
	case a.Kind() == value.Bool:
		return cmp.Compare(order(a.Bool()), order(b.Bool()))
	case a.Kind() == value.Float || b.Kind() == value.Float:
		return cmp.Compare(a.Float(), b.Float())
	default:
		return cmp.Compare(a.Int(), b.Int())
	}
}

func order(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *run) grouping(op *operation, p params) (*grouping, error) {
	g := &grouping{}
	if err := r.selection(&g.selection, op.coll, p); err != nil {
		return nil, err
	}
	var err error
	if g.limit, err = p.limit(); err != nil {
		return nil, err
	}
	g.plan = &query.Plan{From: op.coll.Name, Where: g.where, Limit: groupsMax + 1}
	groups, err := p.list(paramGroup)
	if err != nil {
		return nil, err
	}
	var fields []value.Field
	for _, x := range groups {
		slot, err := r.usable(&g.selection, paramGroup, x)
		if err != nil {
			return nil, err
		}
		fields = append(fields, op.coll.Shape.Fields()[slot])
		g.plan.Group = append(g.plan.Group, field(op.coll, slot))
	}
	if fields, err = r.columns(g, p, fields); err != nil {
		return nil, err
	}
	for i, f := range fields {
		for _, other := range fields[:i] {
			if other.Name == f.Name {
				return nil, errParam(paramSelect, 1, "The name %s is there twice.", f.Name)
			}
		}
	}
	g.plan.Out = value.NewShape("", fields)
	return g, g.order(p, len(groups))
}

// columns reads select, such as sold:sum(quantity),n:count().
func (r *run) columns(g *grouping, p params, fields []value.Field) ([]value.Field, error) {
	names, err := p.list(paramSelect)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errParam(paramSelect, 0, "An aggregate needs select, such as n:count().")
	}
	for _, x := range names {
		name, call, ok := strings.Cut(x.text, ":")
		fn, of, open := strings.Cut(call, "(")
		of, closed := strings.CutSuffix(of, ")")
		if !ok || !open || !closed || !isName(name) {
			return nil, errParam(paramSelect, x.column,
				"%s is not of the form name:function(field).", shown(x.text))
		}
		f, a, err := r.column(g, fn, part{of, x.column})
		if err != nil {
			return nil, err
		}
		f.Name = name
		fields = append(fields, f)
		g.plan.Aggregates = append(g.plan.Aggregates, a)
	}
	return fields, nil
}

// column makes one computed column.
func (r *run) column(g *grouping, fn string, of part) (value.Field, query.Aggregate, error) {
	a := query.Aggregate{Func: fn}
	out := value.Field{Type: value.Type{Kind: value.TypeInt}}
	functions := []string{"count", "sum", "avg", "min", "max"}
	if !slices.Contains(functions, fn) {
		return out, a, errParam(paramSelect, of.column, "no function %s%s. There are %s.",
			shown(fn), meant(fn, functions), strings.Join(functions, ", "))
	}
	if of.text == "" {
		if fn != "count" {
			return out, a, errParam(paramSelect, of.column, "%s needs a field.", fn)
		}
		return out, a, nil
	}
	slot, err := r.usable(&g.selection, paramSelect, of)
	if err != nil {
		return out, a, err
	}
	a.Of = field(g.coll, slot)
	t := g.coll.Shape.Fields()[slot].Type
	number := t.ValueKind() == value.Int || t.ValueKind() == value.Float
	switch fn {
	case "count":
		return out, a, nil
	case "sum", "avg":
		if !number {
			return out, a, errParam(paramSelect, of.column, "%s needs a number, and %s is none.",
				fn, of.text)
		}
	}
	out.Type = value.Type{Kind: t.Kind, Of: t.Of, Words: t.Words, Optional: true}
	if fn == "avg" {
		out.Type.Kind = value.TypeFloat
	}
	return out, a, nil
}

func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c == '_' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// order reads sort, by the names of the columns, and completes it with the groups.
func (g *grouping) order(p params, groups int) error {
	names, err := p.list(paramSort)
	if err != nil {
		return err
	}
	for _, x := range names {
		name, desc := strings.CutPrefix(x.text, "-")
		slot, ok := g.plan.Out.Index(name)
		if !ok {
			return errParam(paramSort, x.column, "no column %s in this aggregate%s.", shown(name),
				meant(name, g.plan.Out.Names()))
		}
		g.sort = append(g.sort, sortKey{slot, desc})
	}
	for i := range groups {
		g.sort = append(g.sort, sortKey{slot: i})
	}
	return nil
}
