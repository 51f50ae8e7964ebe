package sqlstore

import (
	"context"
	"sync"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// fetchMax is how many records one question of Fetch is about.
const fetchMax = 256

// fetchPlans keeps the plans of Fetch by collection and number of ids.
type fetchPlans struct{ of sync.Map }

type fetchKey struct {
	collection string
	ids        int
}

func (f *fetchPlans) plan(collection string, ids int) *query.Plan {
	k := fetchKey{collection, ids}
	if p, ok := f.of.Load(k); ok {
		return p.(*query.Plan)
	}
	in := query.In{X: query.Row{}}
	for i := range ids {
		in.Of = append(in.Of, query.Param{Index: i, Type: value.Type{Kind: value.TypeID}})
	}
	p, _ := f.of.LoadOrStore(k, &query.Plan{From: collection, Where: in})
	return p.(*query.Plan)
}

// Fetch reads records ahead, those that are there and that others are not, in few
// questions: what the transaction then gets and puts of them needs none.
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

func (t *tx) fetch(ctx context.Context, tb *table, ids []ident.Record) error {
	size := 1
	for size < len(ids) {
		size *= 4
	}
	st, err := t.catalog.statement(t.store.fetches.plan(tb.Name, size))
	if err != nil {
		return fault.From(err)
	}
	args := make([]value.Value, 0, size+len(st.literals))
	for i := range size {
		args = append(args, value.OfText(string(ids[min(i, len(ids)-1)])))
	}
	found, err := t.collect(ctx, st.reader, st.sql, append(args, st.literals...))
	if err != nil {
		return t.reading(err)
	}
	for _, r := range found {
		t.remember(recordKey{tb, ident.Record(r.Slots[spec.SlotID].Text())}, r)
	}
	for _, id := range ids {
		if k := (recordKey{tb, id}); t.known(k) == nil {
			t.remember(k, value.Record{})
		}
	}
	return nil
}
