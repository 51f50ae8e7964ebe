package sqlstore

import (
	"context"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// fetchMax is how many records are asked for before the answers are read.
const fetchMax = 256

// Fetch reads records ahead, those that are there and that others are not, in one
// round: what the transaction then gets and puts of them needs none.
func (t *tx) Fetch(ctx context.Context, collection string, ids []ident.Record) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	tb, err := t.catalog.table(collection)
	if err != nil {
		return err
	}
	var unknown []ident.Record
	for _, id := range ids {
		k := recordKey{tb, id}
		if t.known(k) != nil {
			continue
		}
		if r, ok := t.recall(k); ok {
			t.remember(k, r)
			continue
		}
		unknown = append(unknown, id)
	}
	for len(unknown) > 0 {
		n := min(len(unknown), fetchMax)
		if err := t.fetch(ctx, tb, unknown[:n]); err != nil {
			return err
		}
		unknown = unknown[n:]
	}
	return nil
}

// Assume takes records for absent without a look: for who knows, as far as this process
// can. If one is there after all, its insertion fails as late as in the line, and the
// function is called again, which then has to look.
func (t *tx) Assume(ctx context.Context, collection string, ids []ident.Record) error {
	if err := t.usable(ctx); err != nil {
		return err
	}
	tb, err := t.catalog.table(collection)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if k := (recordKey{tb, id}); t.known(k) == nil {
			t.remember(k, value.Record{})
		}
	}
	return nil
}

// fetch reads records that are not known.
func (t *tx) fetch(ctx context.Context, tb *table, ids []ident.Record) error {
	found := rows{reader: tb.reader}
	if err := t.askEach(ctx, tb, ids, found.add); err != nil {
		return t.reading(err)
	}
	for _, r := range found.records {
		if k := (recordKey{tb, ident.Record(r.Slots[spec.SlotID].Text())}); t.known(k) == nil {
			t.remember(k, r)
		}
	}
	for _, id := range ids {
		if k := (recordKey{tb, id}); t.known(k) == nil {
			t.remember(k, value.Record{})
		}
	}
	return nil
}

// askEach asks for each record by its id, all before the first answer: a database that
// plans a question about many ids once may plan it for a small table.
func (t *tx) askEach(
	ctx context.Context, tb *table, ids []ident.Record, each func(Row) error,
) error {
	last := len(ids) - 1
	for i, id := range ids {
		args := []value.Value{value.OfText(string(id))}
		var err error
		if i < last {
			err = t.conn.Expect(ctx, tb.get, args, each)
		} else {
			err = t.query(ctx, tb.get, args, each)
		}
		if err != nil {
			return t.store.reading(ctx, err)
		}
	}
	return nil
}
