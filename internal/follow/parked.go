package follow

import (
	"context"
	"fmt"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Status is how a follower stands.
type Status struct {
	Name string
	// Place is that of the last entry accepted, Lag how many entries are behind it.
	Place journal.Seq
	Lag   uint64
	// Node has the follower, "" if none does; Host is how people know it.
	Node ident.Record
	Host string
	// Parked is how many entries were set apart.
	Parked int
}

// Set is an entry that was set apart.
type Set struct {
	ID       ident.Record
	Follower string
	Seq      journal.Seq
	Problem  string
	At       time.Time
}

// parkedMax bounds the entries set apart that are looked at.
const parkedMax = 10_000

var (
	followersPlan = &query.Plan{From: Followers, Limit: nodesMax}
	parkedPlan    = &query.Plan{From: Parked, Limit: parkedMax, Sort: []query.Order{{By: query.Field{
		Of: query.Row{}, Collection: Parked, Name: spec.FieldID,
		Type: value.Type{Kind: value.TypeID}}}}}
)

// Status returns how the followers stand, at whatever node.
func (r *Runner) Status(ctx context.Context) ([]Status, error) {
	head, err := r.cfg.Head(ctx)
	if err != nil {
		return nil, err
	}
	var out []Status
	err = r.cfg.Store.Read(ctx, func(v store.View) error {
		out = nil
		rows, err := v.Find(ctx, query.Query{Plan: followersPlan})
		if err != nil {
			return err
		}
		nodes, err := v.Find(ctx, query.Query{Plan: nodesPlan})
		if err != nil {
			return err
		}
		parked, err := v.Find(ctx, query.Query{Plan: parkedPlan})
		if err != nil {
			return err
		}
		hosts, count := map[string]string{}, map[string]int{}
		for _, n := range nodes {
			hosts[n.Slots[spec.SlotID].Text()] = n.Get(fieldName).Text()
		}
		for _, p := range parked {
			count[p.Get(fieldFollower).Text()]++
		}
		for _, row := range rows {
			s := Status{Name: row.Get(fieldName).Text(),
				Node: ident.Record(row.Get(fieldNode).Text())}
			if s.Host = hosts[string(s.Node)]; s.Host == "" {
				s.Node = ""
			}
			s.Parked = count[s.Name]
			if s.Place, err = journal.ParseSeq(row.Get(fieldSeq).Text()); err != nil {
				return err
			}
			if at := r.reached(s); at.Compare(s.Place) > 0 {
				s.Place = at
			}
			if head.Compare(s.Place) > 0 {
				s.Lag = head.Lo - s.Place.Lo
			}
			out = append(out, s)
		}
		return nil
	})
	return out, err
}

// reached is how far a follower of this node has looked at the entries.
func (r *Runner) reached(s Status) (at journal.Seq) {
	for _, d := range r.durable {
		if p := d.at.Load(); p != nil && d.of.Name() == s.Name && s.Node == r.node {
			at = *p
		}
	}
	return at
}

// Parked returns the entries that were set apart, the oldest first.
func (r *Runner) Parked(ctx context.Context) ([]Set, error) {
	var out []Set
	err := r.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: parkedPlan})
		if err != nil {
			return err
		}
		out = make([]Set, len(rows))
		for i, row := range rows {
			if out[i], err = setOf(row); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func setOf(row value.Record) (Set, error) {
	seq, err := journal.ParseSeq(row.Get(fieldSeq).Text())
	return Set{ID: ident.Record(row.Slots[spec.SlotID].Text()), Seq: seq,
		Follower: row.Get(fieldFollower).Text(), Problem: row.Get(fieldProblem).Text(),
		At: row.Slots[spec.SlotCreated].Time()}, err
}

// Retry has the follower accept an entry that was set apart.
func (r *Runner) Retry(ctx context.Context, id ident.Record) error {
	return r.unpark(ctx, id, func(tx store.Tx, s Set) error {
		for _, d := range r.durable {
			if d.of.Name() != s.Follower {
				continue
			}
			e, err := r.entry(ctx, s.Seq)
			if err != nil {
				return err
			}
			take := d.of.Accept
			if p, ok := d.of.(Preparer); ok {
				take = p.Repair
			}
			if err := safely(ctx, take, tx, e); err != nil {
				return fault.Wrap(fault.Refused, err, "It failed again: %s", err)
			}
			return nil
		}
		return fault.New(fault.NotFound, "This app has no follower %s.", s.Follower)
	})
}

// Skip forgets an entry that was set apart.
func (r *Runner) Skip(ctx context.Context, id ident.Record) error {
	return r.unpark(ctx, id, func(store.Tx, Set) error { return nil })
}

func (r *Runner) unpark(ctx context.Context, id ident.Record,
	fn func(store.Tx, Set) error) error {
	_, err := r.cfg.Store.Write(ctx, r.origin(Parked), func(tx store.Tx) error {
		row, err := tx.Get(ctx, Parked, id)
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.NotFound, "No entry was set apart under %s.", id)
		}
		if err != nil {
			return err
		}
		s, err := setOf(row)
		if err == nil {
			err = fn(tx, s)
		}
		if err != nil {
			return err
		}
		return tx.Delete(ctx, Parked, id)
	})
	if err == nil {
		r.Wake()
	}
	return err
}

// entry reads the entry at a place.
func (r *Runner) entry(ctx context.Context, at journal.Seq) (journal.Entry, error) {
	before := at
	before.Lo--
	for e, err := range r.cfg.Store.Follow(ctx, before) {
		if err == nil && e.Seq != at {
			err = fmt.Errorf("entry %s is not there", at)
		}
		return e, err
	}
	return journal.Entry{}, ctx.Err()
}

// Settled waits until the followers of this node have accepted all that is committed by
// now.
func (r *Runner) Settled(ctx context.Context) error {
	head, err := r.cfg.Head(ctx)
	if err != nil {
		return err
	}
	for {
		all, err := r.Status(ctx)
		if err != nil {
			return err
		}
		behind := len(all) < len(r.durable)
		for _, s := range all {
			behind = behind || s.Place.Compare(head) < 0
		}
		if !behind {
			return nil
		}
		if pause(ctx, settleEach); ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// settleEach is how often it is looked whether followers have come to the head.
const settleEach = 2 * time.Millisecond
