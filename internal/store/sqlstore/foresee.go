package sqlstore

import (
	"context"
	"slices"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// foresee finds what would stand against a write of a record, as the database will
// find it in the line: a value that is taken, a relation to nothing. What is found so
// is read like any record, and must still stand when the call is written.
func (t *tx) foresee(ctx context.Context, k recordKey, r value.Record, slots []int) error {
	if seen := t.known(k); seen == nil && (t.ahead == nil || !t.newborn(k.id)) {
		stored, err := t.current(ctx, k)
		if err != nil {
			return err
		}
		if !stored.now.Zero() {
			return k.table.taken([]string{spec.FieldID})
		}
	}
	for n := range k.table.uniques {
		if err := t.foreseeTaken(ctx, k, r, n, slots); err != nil {
			return err
		}
	}
	var names []string
	for _, i := range k.table.relations {
		v := r.Slots[i]
		to := t.catalog.tables[k.table.shape.Fields()[i].Type.Of]
		if v.IsNull() || to == nil || !slices.Contains(slots, i) ||
			to == k.table && v.Text() == string(k.id) {
			continue
		}
		target, err := t.current(ctx, recordKey{to, ident.Record(v.Text())})
		if err != nil {
			return err
		}
		if target.now.Zero() {
			names = append(names, k.table.shape.Fields()[i].Name)
		}
	}
	if names != nil {
		return invalid(names, "reference", "names a record that is not there")
	}
	return nil
}

// newborn reports whether the id was made in this call's own millisecond, so that no
// record can have it but by somebody's intent, which the line then finds.
func (t *tx) newborn(id ident.Record) bool {
	return id.Made().Equal(t.now)
}

// foreseeTaken looks for another record with the same values of a unique set.
func (t *tx) foreseeTaken(
	ctx context.Context, k recordKey, r value.Record, set int, slots []int,
) error {
	unique := slices.Sorted(slices.Values(k.table.uniques[set]))
	concerned := false
	for _, i := range unique {
		if r.Slots[i].IsNull() {
			return nil
		}
		concerned = concerned || slices.Contains(slots, i)
	}
	if !concerned {
		return nil
	}
	same := func(other value.Record) bool {
		for _, i := range unique {
			if !other.Slots[i].Equal(r.Slots[i]) {
				return false
			}
		}
		return true
	}
	taken := func() error {
		names := make([]string, len(unique))
		for n, i := range unique {
			names[n] = k.table.shape.Fields()[i].Name
		}
		return k.table.taken(names)
	}
	for _, i := range t.writes {
		c := &t.touched[i]
		if c.table == k.table && c.id != k.id && !c.now.Zero() && same(c.now) {
			return taken()
		}
	}
	if t.unheard(k.table, r, unique) || t.supposed(k.table, r, set) {
		return nil
	}
	t.args = t.args[:0]
	for _, i := range unique {
		t.args = append(t.args, r.Slots[i])
	}
	found, err := t.collect(ctx, k.table.reader, k.table.unique(set), t.args)
	if err != nil {
		return t.reading(err)
	}
	for _, other := range found {
		id := ident.Record(other.Slots[spec.SlotID].Text())
		if id == k.id {
			continue
		}
		if seen := t.known(recordKey{k.table, id}); seen != nil {
			if seen.now.Zero() || !same(seen.now) {
				continue
			}
		} else {
			t.remember(recordKey{k.table, id}, other)
		}
		return taken()
	}
	if t.store.shared {
		t.vacant = append(t.vacant, vacancy{k.table, set})
	}
	return nil
}

// vacancy is a unique set of a table.
type vacancy struct {
	table *table
	set   int
}

// supposed reports whether the values of a unique set are taken for free without a
// question: when the call ran before, its own were, be they others then, and nobody has
// come since who has these. If somebody has them after all, the database finds it, and the
// call runs again, which then asks.
func (t *tx) supposed(tb *table, r value.Record, set int) bool {
	if t.memo == nil || t.saved || !slices.Contains(t.memo.vacant, vacancy{tb, set}) {
		return false
	}
	s := scan{table: tb}
	for _, i := range tb.uniques[set] {
		s.same = append(s.same, same{i, r.Slots[i]})
	}
	free := !t.store.ledger.meets(&s, t.since)
	t.guessed = t.guessed || free
	return free
}
