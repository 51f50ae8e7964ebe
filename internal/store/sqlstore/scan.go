package sqlstore

import (
	"context"
	"slices"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// scansMax bounds the narrow scans of a call: what it reads beyond them counts as all of
// the table.
const scansMax = 32

// scan is what a query read of a table. A narrow one looked for records that are the same
// in some slots, and for nothing else in any table, perhaps for the first of them: it
// would find the same as long as none of those it found has changed, and no other has
// come to be one that it looks for. For any other, every change of the table counts.
type scan struct {
	table *table
	same  []same
	found []ident.Record
	// last, if it is set, is the record up to which it looked, in the order of one slot.
	last  value.Record
	order int
	desc  bool
}

// same is a slot and the value that it has in all that a narrow scan looks for.
type same struct {
	slot int
	value.Value
}

// meant reports whether the scan looks for the record, as far as can be told at once.
func (s *scan) meant(r value.Record) bool {
	for i := range s.same {
		a, b := &s.same[i].Value, &r.Slots[s.same[i].slot]
		if a.Kind() == b.Kind() && exact(a.Kind()) && !a.Equal(*b) {
			return false
		}
	}
	return s.last.Zero() || !s.beyond(r)
}

// beyond reports whether a record stands behind the last one that was looked at.
func (s *scan) beyond(r value.Record) bool {
	a, b := &s.last.Slots[s.order], &r.Slots[s.order]
	if a.Kind() != b.Kind() {
		return false
	}
	if s.desc {
		a, b = b, a
	}
	return a.Int() < b.Int()
}

// exact reports whether two values of a kind are the same in the database exactly if they
// are the same here.
func exact(k value.Kind) bool {
	return k == value.Text || k == value.Int || k == value.Bool || k == value.Time
}

// narrow returns what makes the scan of a plan from its arguments; nil for a plan that is
// not narrow.
func (c *catalog) narrow(p *query.Plan) func(args []value.Value) *scan {
	tb := c.tables[p.From]
	if tb == nil || p.Out != nil || !ownRows(p) {
		return nil
	}
	var slots []int
	var terms []query.Expr
	for all := []query.Expr{p.Where}; len(all) > 0; all = all[1:] {
		switch e := all[0].(type) {
		case query.And:
			all = append(all, e.Of...)
		case query.Same:
			field, ok := e.L.(query.Field)
			slot, known := tb.shape.Index(field.Name)
			if ok && known && isTerm(e.R) {
				slots, terms = append(slots, slot), append(terms, e.R)
			}
		}
	}
	if slots == nil {
		return nil
	}
	order, desc := tb.firstOrder(p)
	return func(args []value.Value) *scan {
		s := &scan{table: tb, same: make([]same, len(slots)), order: order, desc: desc}
		for i, slot := range slots {
			switch e := terms[i].(type) {
			case query.Param:
				s.same[i] = same{slot, args[e.Index]}
			case query.Literal:
				s.same[i] = same{slot, e.Value}
			}
		}
		return s
	}
}

// firstOrder returns the slot by which the rows of a plan with a limit are sorted first,
// if that is one of whole numbers or times that are never null; else -1.
func (t *table) firstOrder(p *query.Plan) (slot int, desc bool) {
	if p.Limit == 0 || len(p.Sort) == 0 {
		return -1, false
	}
	field, ok := p.Sort[0].By.(query.Field)
	slot, known := t.shape.Index(field.Name)
	if !ok || !known {
		return -1, false
	}
	typ := &t.shape.Fields()[slot].Type
	if k := typ.ValueKind(); typ.Optional || k != value.Int && k != value.Time {
		return -1, false
	}
	return slot, p.Sort[0].Desc
}

// ownRows reports whether a plan looks at nothing but the rows of its collection.
func ownRows(p *query.Plan) bool {
	own := true
	look := func(e query.Expr) bool {
		switch e := e.(type) {
		case query.Exists, query.Count:
			own = false
		case query.Field:
			own = own && e.Of == query.Expr(query.Row{})
		}
		return own
	}
	query.Walk(p.Where, look)
	for _, o := range p.Sort {
		query.Walk(o.By, look)
	}
	return own
}

func isTerm(e query.Expr) bool {
	switch e.(type) {
	case query.Param, query.Literal:
		return true
	default:
		return false
	}
}

// scan notes that a query is asked. One that has to see what this call wrote is asked in
// the line. What it reads is noted at once, but for a narrow one, of which that is known
// when it has found something.
func (t *tx) scan(ctx context.Context, q query.Query, st *statement) error {
	if t.ahead == nil {
		return nil
	}
	for _, tb := range st.reads {
		if err := t.ownWrites(ctx, tb); err != nil || t.ahead == nil {
			return err
		}
	}
	if st.narrow == nil || len(t.scans) >= scansMax {
		for _, tb := range st.reads {
			t.scanAll(tb)
		}
	}
	return nil
}

// ownWrites takes the call into the line if it has written to the table.
func (t *tx) ownWrites(ctx context.Context, tb *table) error {
	for _, i := range t.writes {
		if t.touched[i].table == tb {
			return t.join(ctx)
		}
	}
	return nil
}

// scanTable notes that any change of the table is one of what the call read.
func (t *tx) scanTable(ctx context.Context, tb *table) error {
	if t.ahead == nil {
		return nil
	}
	if err := t.ownWrites(ctx, tb); err != nil || t.ahead == nil {
		return err
	}
	t.scanAll(tb)
	return nil
}

func (t *tx) scanAll(tb *table) {
	if !t.scansAll(tb) {
		t.scans = append(t.scans, scan{table: tb})
	}
}

// scansAll reports whether any change of the table counts already.
func (t *tx) scansAll(tb *table) bool {
	return slices.ContainsFunc(t.scans, func(s scan) bool {
		return s.table == tb && s.same == nil
	})
}

// found notes what a query found, where it ran ahead of the line or again in it. Where
// asking again costs a round trip, it is kept.
func (t *tx) found(q query.Query, st *statement, found []value.Record) {
	if t.ahead == nil {
		return
	}
	var narrow *scan
	if st.narrow != nil && len(t.scans) < scansMax {
		narrow = st.narrow(q.Args)
		for i := range found {
			narrow.found = append(narrow.found, ident.Record(found[i].Slots[spec.SlotID].Text()))
		}
		if n := len(found); n > 0 && n == q.Plan.Limit && narrow.order >= 0 {
			narrow.last = found[n-1].Clone()
		}
		t.scans = append(t.scans, *narrow)
	}
	if !t.store.shared {
		return
	}
	q.Args = slices.Clone(q.Args)
	own := clones(found)
	t.finds = append(t.finds, find{q, own, narrow})
	if tb := t.catalog.tables[q.Plan.From]; tb != nil && q.Plan.Out == nil {
		t.flocks = append(t.flocks, &flock{table: tb, rows: rows{records: own}})
	}
}

// find is what a query found, and its scan if that is narrow.
type find struct {
	query query.Query
	rows  []value.Record
	*scan
}

// refind returns what the query found before, if it would find the same now.
func (t *tx) refind(q query.Query, st *statement) ([]value.Record, bool) {
	if t.memo == nil || t.saved {
		return nil, false
	}
	asked := func(f find) bool {
		return f.query.Plan == q.Plan && slices.EqualFunc(f.query.Args, q.Args, value.Value.Equal)
	}
	i := slices.IndexFunc(t.memo.finds, asked)
	if i < 0 {
		return nil, false
	}
	l, f := &t.store.ledger, &t.memo.finds[i]
	if f.scan != nil {
		if l.meets(f.scan, t.since) {
			return nil, false
		}
		return clones(f.rows), true
	}
	for _, tb := range st.reads {
		if !l.still(tb, t.since) {
			return nil, false
		}
	}
	return clones(f.rows), true
}

// clones are records that the caller may change.
func clones(rows []value.Record) []value.Record {
	out := make([]value.Record, len(rows))
	for i := range rows {
		out[i] = rows[i].Clone()
	}
	return out
}

// Find returns the rows of the query, with this transaction's own writes.
func (t *tx) Find(ctx context.Context, q query.Query) ([]value.Record, error) {
	if err := t.usable(ctx); err != nil {
		return nil, err
	}
	st, err := t.catalog.statement(q.Plan)
	if err != nil {
		return nil, fault.From(err)
	}
	if err := t.scan(ctx, q, st); err != nil {
		return nil, err
	}
	if found, ok := t.refind(q, st); ok {
		t.found(q, st, found)
		return found, nil
	}
	found, err := t.view.Find(ctx, q)
	if err != nil {
		for _, tb := range st.reads {
			t.scanAll(tb)
		}
		return nil, t.reading(err)
	}
	t.found(q, st, found)
	return found, nil
}
