package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// expandDepth is how many relations deep a record may be expanded.
	expandDepth = 3
	// expandMax is how many records one call may read to expand others, and
	// expandShown how many times they may stand in its answer.
	expandMax   = 10_000
	expandShown = 50_000
	// chunkMax is how many ids one query looks for.
	chunkMax = 512
)

// branch is a relation to expand, or a list of objects with relations, with what is to
// be expanded behind it.
type branch struct {
	name string
	slot int
	many bool
	// to is the collection of a relation, in the shape of a list's objects.
	to   *app.Collection
	in   *value.Shape
	next []*branch
}

// branches reads the parameter expand.
func (r *run) branches(c *app.Collection, p params) ([]*branch, error) {
	names, err := p.list(paramExpand)
	if err != nil {
		return nil, err
	}
	var tree []*branch
	for _, x := range names {
		at, level, depth := &branch{to: c}, &tree, 0
		for step := range strings.SplitSeq(x.text, ".") {
			if at, err = r.branch(at, level, part{step, x.column}); err != nil {
				return nil, err
			}
			if at.to != nil {
				depth++
			}
			if depth > expandDepth {
				return nil, errParam(paramExpand, x.column,
					"expand goes at most %d relations deep.", expandDepth)
			}
			level = &at.next
		}
		if at.in != nil {
			return nil, errParam(paramExpand, x.column,
				"%s is a list of objects: name a relation in it, as in %s.product.", x.text, x.text)
		}
	}
	return tree, nil
}

// branch finds or adds a branch behind another, at a level of the tree.
func (r *run) branch(behind *branch, level *[]*branch, x part) (*branch, error) {
	for _, b := range *level {
		if b.name == x.text {
			return b, nil
		}
	}
	shape, known := behind.in, behind.in
	if behind.to != nil {
		shape, known = behind.to.Shape, r.known(behind.to)
	}
	if _, ok := known.Index(x.text); !ok {
		where := behind.name
		if behind.to != nil {
			where = behind.to.Name
		}
		return nil, errField(where, paramExpand, x, known.Names())
	}
	slot, _ := shape.Index(x.text)
	t := &shape.Fields()[slot].Type
	b := &branch{name: x.text, slot: slot}
	if t.Kind == value.TypeList {
		t, b.many = t.Elem, true
	}
	switch t.Kind {
	case value.TypeRelation:
		b.to = r.Collection(t.Of)
	case value.TypeObject:
		b.in = t.Fields
	}
	if b.to == nil && b.in == nil {
		return nil, errParam(paramExpand, x.column, "The field %s is no relation.", x.text)
	}
	*level = append(*level, b)
	return b, nil
}

// expand puts beside the items the records they point to, as far as the caller may
// read them, within the bound of what an answer holds.
func (r *run) expand(ctx context.Context, v store.View, items []Item, tree []*branch) error {
	if len(tree) == 0 {
		return nil
	}
	if err := r.grow(ctx, v, items, tree); err != nil {
		return err
	}
	if room := expandShown; !fits(items, &room) {
		return errExpanded("hold", expandShown)
	}
	return nil
}

// grow reads the records of each branch for all items together.
func (r *run) grow(ctx context.Context, v store.View, items []Item, tree []*branch) error {
	for _, b := range tree {
		if b.in != nil {
			if err := r.growInside(ctx, v, items, b); err != nil {
				return err
			}
			continue
		}
		var ids []string
		for _, item := range items {
			ids = appendIDs(ids, item.Record.Slots[b.slot])
		}
		slices.Sort(ids)
		ids = slices.Compact(ids)
		if r.expanded += len(ids); r.expanded > expandMax {
			return errExpanded("read", expandMax)
		}
		if r.sought != nil {
			r.sought(b.to, ids)
		}
		found, err := r.find(ctx, v, b.to, ids)
		if err != nil {
			return err
		}
		if err := r.grow(ctx, v, found, b.next); err != nil {
			return err
		}
		for i := range items {
			x := Expansion{Name: b.name, Many: b.many}
			for _, id := range appendIDs(nil, items[i].Record.Slots[b.slot]) {
				n, ok := slices.BinarySearchFunc(found, id, func(f Item, id string) int {
					return strings.Compare(string(idOf(f.Record)), id)
				})
				if ok {
					x.Items = append(x.Items, found[n])
				}
			}
			items[i].Expand = append(items[i].Expand, x)
		}
	}
	return nil
}

// growInside expands what the objects of a list point to, those of all items together.
func (r *run) growInside(ctx context.Context, v store.View, items []Item, b *branch) error {
	var all []Item
	for _, item := range items {
		for _, object := range item.Record.Slots[b.slot].List() {
			all = append(all, Item{Record: object.Record()})
		}
		if len(all) > expandShown {
			return errExpanded("hold", expandShown)
		}
	}
	if err := r.grow(ctx, v, all, b.next); err != nil {
		return err
	}
	for i := range all {
		all[i].Record = value.Record{} // the object stands in its own place
	}
	for i := range items {
		n := len(items[i].Record.Slots[b.slot].List())
		items[i].Expand = append(items[i].Expand,
			Expansion{Name: b.name, Many: true, Items: all[:n:n]})
		all = all[n:]
	}
	return nil
}

// fits reports whether what is beside the items takes no more than the room.
func fits(items []Item, room *int) bool {
	for i := range items {
		for _, x := range items[i].Expand {
			if *room -= len(x.Items); *room < 0 || !fits(x.Items, room) {
				return false
			}
		}
	}
	return true
}

func errExpanded(would string, most int) error {
	return errParam(paramExpand, 1, "This would %s more than %d expanded records.", would, most)
}

func appendIDs(ids []string, v value.Value) []string {
	if v.Kind() == value.Text {
		return append(ids, v.Text())
	}
	for _, item := range v.List() {
		ids = append(ids, item.Text())
	}
	return ids
}

// find reads the records with the ids that the caller may read, sorted by id.
func (r *run) find(ctx context.Context, v store.View, c *app.Collection, ids []string) (
	[]Item, error) {
	if c.Read == nil && !r.free() || len(ids) == 0 {
		return nil, nil
	}
	var items []Item
	for chunk := range slices.Chunk(ids, chunkMax) {
		size := 1
		for size < len(chunk) {
			size *= 2
		}
		plan, args, none, err := r.byID(ctx, c, size)
		if err != nil || none {
			return nil, err
		}
		for i := range size { // the last id fills what is left of the plan
			args = append(args, value.OfText(chunk[min(i, len(chunk)-1)]))
		}
		rows, err := v.Find(ctx, query.Query{Plan: plan, Args: args})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			if err := r.show(ctx, c, row); err != nil {
				return nil, err
			}
			items = append(items, Item{Record: row})
		}
	}
	return items, nil
}

// byID returns the plan that finds size ids, and the arguments that stand before them.
func (r *run) byID(ctx context.Context, c *app.Collection, size int) (
	plan *query.Plan, args []value.Value, none bool, err error) {
	key := "ids\x00" + string(rune(size)) + c.Name
	if r.free() {
		key += "!"
	}
	var s selection
	if err := r.selection(&s, c, params{}); err != nil {
		return nil, nil, false, err
	}
	if args, none, err = r.arguments(ctx, &s, params{}); err != nil || none {
		return nil, nil, none, err
	}
	kept, _ := r.plans.get(key)
	plan, ok := kept.(*query.Plan)
	if !ok {
		id := field(c, spec.SlotID)
		in := query.In{X: id}
		for i := range size {
			in.Of = append(in.Of, query.Param{Index: s.size + i, Type: value.Type{Kind: value.TypeID}})
		}
		where := query.Expr(in)
		if s.where != nil {
			where = query.And{Of: []query.Expr{in, s.where}}
		}
		plan = &query.Plan{From: c.Name, Where: where, Sort: []query.Order{{By: id}}}
		r.plans.put(key, plan)
	}
	return plan, args[:s.size:s.size], false, nil
}
