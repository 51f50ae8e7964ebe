package sqlstore

import (
	"context"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// cascadeMax bounds the records that one Delete touches.
const cascadeMax = 10_000

// fall is what a delete does: the records that go, in the order in which they were
// found, and those whose relation is cleared.
type fall struct {
	goes   []recordKey
	gone   map[recordKey]bool
	clears []clearing
}

// clearing is a relation of a record to become null.
type clearing struct {
	recordKey
	slot int
}

// Delete removes the record and does what its relations say.
func (t *tx) Delete(ctx context.Context, collection string, id ident.Record) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	tb, err := t.catalog.table(collection)
	if err != nil {
		return err
	}
	k := recordKey{tb, id}
	seen, err := t.current(ctx, k)
	if err != nil {
		return err
	}
	if seen.now.Zero() {
		return absent(collection, id)
	}
	if len(tb.pointing) == 0 {
		return t.remove(k)
	}
	f := &fall{goes: []recordKey{k}, gone: map[recordKey]bool{k: true}}
	if err := t.plan(ctx, f); err != nil {
		return err
	}
	return t.drop(ctx, f)
}

// plan finds all that a delete does, and whether something stands against it, before
// anything is written.
func (t *tx) plan(ctx context.Context, f *fall) error {
	type held struct {
		clearing
		by *table
	}
	var holds []held
	for n := 0; n < len(f.goes); n++ {
		k := f.goes[n]
		for _, p := range k.table.pointing {
			found, err := t.pointers(ctx, p, k.id)
			if err != nil {
				return err
			}
			for _, other := range found {
				c := clearing{recordKey{p.from, other}, p.slot}
				switch p.onDelete {
				case spec.OnDeleteCascade:
					if !f.gone[c.recordKey] {
						f.gone[c.recordKey] = true
						f.goes = append(f.goes, c.recordKey)
					}
				case spec.OnDeleteClear:
					f.clears = append(f.clears, c)
				default:
					holds = append(holds, held{c, k.table})
				}
			}
			if len(f.goes)+len(f.clears)+len(holds) > cascadeMax {
				return fault.WithCode(fault.Refused, "in_use",
					"More than %d records hang on this one.", cascadeMax)
			}
		}
	}
	for _, h := range holds {
		if !f.gone[h.recordKey] {
			return &fault.Fault{Kind: fault.Refused, Code: "in_use",
				Message: "A record in " + h.table.Name + " still points to it.",
				Data: []fault.Param{{Name: "collection", Value: h.table.Name},
					{Name: "field", Value: h.table.shape.Fields()[h.slot].Name}}}
		}
	}
	return nil
}

// pointers returns the ids of the records that point at id, and remembers the
// records, which are about to change.
func (t *tx) pointers(ctx context.Context, p pointer, id ident.Record) ([]ident.Record, error) {
	if err := t.scanTable(ctx, p.from); err != nil {
		return nil, err
	}
	found, err := t.collect(ctx, p.from.reader, p.find,
		[]value.Value{value.OfText(string(id))})
	if err != nil {
		return nil, t.reading(err)
	}
	out := make([]ident.Record, len(found))
	for i, r := range found {
		out[i] = ident.Record(r.Slots[spec.SlotID].Text())
		if k := (recordKey{p.from, out[i]}); t.known(k) == nil {
			t.remember(k, r)
		}
	}
	return out, nil
}

// drop does what plan found.
func (t *tx) drop(ctx context.Context, f *fall) error {
	for _, c := range f.clears {
		if f.gone[c.recordKey] {
			continue
		}
		r := value.NewRecord(c.table.shape)
		r.Slots[spec.SlotID] = value.OfText(string(c.id))
		r.Slots[c.slot] = value.OfNull()
		if _, err := t.update(ctx, c.table, r, value.OfNull()); err != nil {
			return t.broke(err)
		}
	}
	deferred := len(f.goes) > 1 && t.ahead == nil
	if deferred {
		if err := t.conn.Defer(true); err != nil {
			return t.broke(err)
		}
	}
	for n := len(f.goes) - 1; n >= 0; n-- {
		if err := t.remove(f.goes[n]); err != nil {
			return err
		}
	}
	if deferred {
		if err := t.conn.Defer(false); err != nil {
			return t.broke(err)
		}
	}
	return nil
}

// remove deletes one record to which nothing points.
func (t *tx) remove(k recordKey) error {
	if t.ahead == nil {
		t.args = append(t.args[:0], value.OfText(string(k.id)))
		if err := t.conn.Exec(k.table.delete, t.args); err != nil {
			return t.broke(err)
		}
	}
	t.note(t.known(k), value.Record{})
	return nil
}
