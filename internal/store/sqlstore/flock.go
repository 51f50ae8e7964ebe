package sqlstore

import (
	"context"
	"slices"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Where every question is a round trip, records come in flocks: those that the call names,
// and who asks, with the first answer; those that a query finds; and where a relation of
// one of a flock is followed, those that the others point at in the same way. They count
// as read only when they are looked at.

const (
	// namedMax bounds the records that come with the first answer.
	namedMax = 64
	// flockMax bounds the records that come because others may be followed.
	flockMax = 64
)

// flock are records of one table that came together.
type flock struct {
	*table
	rows rows
	// ids are those that were asked for, if it was by ids.
	ids []ident.Record
}

// expectNamed has the records that the call names, and who asks, come with the answer to
// the first question.
func (t *tx) expectNamed(ctx context.Context, who ident.Subject) error {
	if !t.store.shared {
		return nil
	}
	n := 0
	expect := func(collection string, id ident.Record) error {
		tb := t.catalog.tables[collection]
		if tb == nil || n == namedMax {
			return nil
		}
		f := t.flockOf(tb)
		if slices.Contains(f.ids, id) {
			return nil
		}
		n++
		f.ids = append(f.ids, id)
		return t.conn.Expect(ctx, tb.get, []value.Value{value.OfText(string(id))}, f.rows.add)
	}
	if who.Who == ident.User {
		if err := expect(spec.Users, who.ID); err != nil {
			return err
		}
	}
	for collection, id := range store.Named(ctx) {
		if err := expect(collection, id); err != nil {
			return err
		}
	}
	return nil
}

// flockOf returns the flock of the table's records that were asked for, which it begins.
func (t *tx) flockOf(tb *table) *flock {
	for _, f := range t.flocks {
		if f.table == tb && f.ids != nil {
			return f
		}
	}
	f := &flock{table: tb, rows: rows{reader: tb.reader}}
	t.flocks = append(t.flocks, f)
	return f
}

// along returns a record that came along, as it is in the snapshot, or in the line for a
// call that runs there again. One that was asked for and is not there is zero.
func (t *tx) along(k recordKey) (value.Record, bool) {
	if t.ahead == nil || !t.asked || t.stale {
		return value.Record{}, false
	}
	for _, f := range t.flocks {
		if f.table != k.table {
			continue
		}
		for _, r := range f.rows.records {
			if r.Slots[spec.SlotID].Text() == string(k.id) {
				return r, true
			}
		}
		if slices.Contains(f.ids, k.id) {
			return value.Record{}, true
		}
	}
	return value.Record{}, false
}

// follow reads a record that one of a flock points at, and with it those that the others
// of the flock point at in the same way. It reports false if there is no such flock.
func (t *tx) follow(ctx context.Context, k recordKey) (bool, error) {
	if t.ahead == nil || !t.asked {
		return false, nil
	}
	for _, f := range t.flocks {
		if len(f.rows.records) < 2 {
			continue
		}
		for _, i := range f.relations {
			if f.shape.Fields()[i].Type.Of != k.table.Name {
				continue
			}
			ids := f.pointed(i, k.id)
			if ids == nil {
				continue
			}
			ids = slices.DeleteFunc(ids, func(id ident.Record) bool {
				other := recordKey{k.table, id}
				if id == k.id || t.known(other) != nil {
					return id != k.id
				}
				_, here := t.along(other)
				return here
			})
			if len(ids) > 1 {
				return true, t.gather(ctx, k.table, ids)
			}
		}
	}
	return false, nil
}

// pointed returns what the flock points at by a slot, if that is among it.
func (f *flock) pointed(slot int, id ident.Record) []ident.Record {
	among := func(r value.Record) bool { return r.Slots[slot].Text() == string(id) }
	if !slices.ContainsFunc(f.rows.records, among) {
		return nil
	}
	ids := []ident.Record{id}
	for _, r := range f.rows.records {
		other := ident.Record(r.Slots[slot].Text())
		if other != "" && len(ids) < flockMax && !slices.Contains(ids, other) {
			ids = append(ids, other)
		}
	}
	return ids
}

// gather reads a flock by ids.
func (t *tx) gather(ctx context.Context, tb *table, ids []ident.Record) error {
	f := &flock{table: tb, rows: rows{reader: tb.reader}, ids: ids}
	if err := t.askEach(ctx, tb, ids, f.rows.add); err != nil {
		return err
	}
	t.flocks = append(t.flocks, f)
	return nil
}

// unheard reports whether a record points by one of the slots to another that this call
// makes: no stored record does.
func (t *tx) unheard(tb *table, r value.Record, slots []int) bool {
	for _, i := range slots {
		to := t.catalog.tables[tb.shape.Fields()[i].Type.Of]
		if to == nil || !slices.Contains(tb.relations, i) {
			continue
		}
		seen := t.known(recordKey{to, ident.Record(r.Slots[i].Text())})
		if seen != nil && seen.written && seen.before.Zero() && !seen.now.Zero() {
			return true
		}
	}
	return false
}
