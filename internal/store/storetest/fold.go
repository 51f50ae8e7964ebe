package storetest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// Followed is a store whose journal can be read from its beginning to its end.
type Followed interface {
	store.Store
	store.History
}

// Journal returns all entries in their order, as Follow yields them. It asks that
// their places rise.
func Journal(ctx context.Context, s Followed) ([]journal.Entry, error) {
	last, err := s.Entries(ctx, store.Filter{}, journal.Seq{}, 1)
	if err != nil || len(last) == 0 {
		return nil, err
	}
	var out []journal.Entry
	var at journal.Seq
	for e, err := range s.Follow(ctx, journal.Seq{}) {
		if err != nil {
			return nil, err
		}
		if e.Seq.Compare(at) <= 0 {
			return nil, fmt.Errorf("entry %v comes after entry %v", e.Seq, at)
		}
		at = e.Seq
		out = append(out, e)
		if at.Compare(last[0].Seq) >= 0 {
			break
		}
	}
	return out, ctx.Err()
}

// Fold makes the records anew from the journal and compares them with those that are
// stored: nothing may be in the one and not in the other. Every Before must be what
// the entries until then have made. Nothing may write meanwhile.
func Fold(ctx context.Context, s interface {
	Followed
	Schema() *spec.Schema
}) error {
	entries, err := Journal(ctx, s)
	if err != nil {
		return err
	}
	records := map[string]map[string]value.Record{}
	schema := &spec.Schema{}
	for _, e := range entries {
		steps, err := store.ParseSteps(e)
		if err != nil {
			return err
		}
		if steps != nil {
			if records, err = sqlstore.Reshape(schema, steps, records); err != nil {
				return fmt.Errorf("entry %v: %w", e.Seq, err)
			}
			schema = steps[len(steps)-1].Schema
		}
		for _, c := range e.Changes {
			if err := fold(records[c.Collection], c); err != nil {
				return fmt.Errorf("entry %v, %s of %s: %w", e.Seq, c.ID, c.Collection, err)
			}
		}
	}
	for _, t := range s.Schema().Collections {
		if t.Quiet {
			continue
		}
		if err := same(ctx, s, t.Name, records[t.Name]); err != nil {
			return fmt.Errorf("the journal and the table %s: %w", t.Name, err)
		}
	}
	return nil
}

// fold makes one change.
func fold(records map[string]value.Record, c journal.Change) error {
	if records == nil {
		return fmt.Errorf("there is no such collection")
	}
	if was, is := print(records[string(c.ID)]), print(c.Before); was != is {
		return fmt.Errorf("it was %s, its before says %s", was, is)
	}
	if c.After.Zero() {
		delete(records, string(c.ID))
		return nil
	}
	records[string(c.ID)] = c.After
	return nil
}

func print(r value.Record) string { return string(value.AppendRecord(nil, r)) }

// same compares folded records with a table.
func same(ctx context.Context, s store.Store, name string, want map[string]value.Record) error {
	plan := &query.Plan{From: name, Sort: []query.Order{{By: query.Row{}}}}
	return s.Read(ctx, func(v store.View) error {
		found, err := v.Find(ctx, query.Query{Plan: plan})
		if err != nil {
			return err
		}
		for _, r := range found {
			id := string(idOf(r))
			if got := print(want[id]); got != print(r) {
				return fmt.Errorf("%s is stored, the journal makes %s", print(r), got)
			}
		}
		if len(found) != len(want) {
			return fmt.Errorf("%d records are stored, the journal makes %d: %v", len(found),
				len(want), slices.Sorted(maps.Keys(want)))
		}
		return nil
	})
}
