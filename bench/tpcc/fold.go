package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// journaled is a store whose journal can be read to its end.
type journaled interface {
	store.Store
	store.History
	Schema() *spec.Schema
}

// print is a hash of all that a record holds; the zero print is no record.
type print [16]byte

func printOf(r value.Record) (p print) {
	if !r.Zero() {
		sum := sha256.Sum256(value.AppendRecord(nil, r))
		copy(p[:], sum[:])
	}
	return p
}

type printKey struct{ collection, id string }

// fold is the thirteenth condition: what the entries of the journal make, one after the
// other, is what is stored, and every entry begins where those before it have ended.
func fold(ctx context.Context, s journaled) (entries int, err error) {
	last, err := s.Entries(ctx, store.Filter{}, journal.Seq{}, 1)
	if err != nil {
		return 0, err
	}
	if len(last) == 0 {
		return 0, errors.New("the journal is empty")
	}
	records := map[printKey]print{}
	var at journal.Seq
	for e, err := range s.Follow(ctx, journal.Seq{}) {
		if err != nil {
			return entries, err
		}
		if entries++; e.Seq.Compare(at) <= 0 {
			return entries, fmt.Errorf("entry %v comes after entry %v", e.Seq, at)
		}
		at = e.Seq
		for _, c := range e.Changes {
			key := printKey{c.Collection, string(c.ID)}
			if records[key] != printOf(c.Before) {
				return entries, fmt.Errorf("entry %v does not begin with what was made of %v", at, key)
			}
			if records[key] = printOf(c.After); c.After.Zero() {
				delete(records, key)
			}
		}
		if at.Compare(last[0].Seq) >= 0 {
			break
		}
	}
	if err := ctx.Err(); err != nil {
		return entries, err
	}
	for _, t := range s.Schema().Collections {
		if t.Quiet {
			continue
		}
		if err := foldTable(ctx, s, t.Name, records); err != nil {
			return entries, err
		}
	}
	for key := range records {
		return entries, fmt.Errorf("%d records of the journal are not stored, %v among them",
			len(records), key)
	}
	return entries, nil
}

// foldTable takes the stored records of a collection out of those that the journal made.
func foldTable(ctx context.Context, s store.Store, name string, records map[printKey]print) error {
	const page = 1000
	id := query.Field{Of: query.Row{}, Collection: name, Name: spec.FieldID,
		Type: value.Type{Kind: value.TypeID}}
	plan := &query.Plan{From: name, Limit: page, Sort: []query.Order{{By: id}},
		Where: query.Compare{Op: ">", L: id, R: query.Param{Type: value.Type{Kind: value.TypeID}}}}
	return s.Read(ctx, func(v store.View) error {
		for after := value.OfText(""); ; {
			found, err := v.Find(ctx, query.Query{Plan: plan, Args: []value.Value{after}})
			if err != nil {
				return err
			}
			for _, r := range found {
				after = r.Slots[spec.SlotID]
				key := printKey{name, after.Text()}
				if records[key] != printOf(r) {
					return fmt.Errorf("%v is stored otherwise than the journal made it", key)
				}
				delete(records, key)
			}
			if len(found) < page {
				return nil
			}
		}
	})
}
