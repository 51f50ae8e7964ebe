package engine

import (
	"context"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// do authorizes and performs an operation: stages six and seven of the line, which a
// batch takes for each of its parts in order.
func (r *run) do(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	switch op.verb {
	case Create:
		return r.create(ctx, tx, op)
	case Update:
		return r.update(ctx, tx, op)
	case Delete:
		return r.delete(ctx, tx, op)
	case Action:
		return r.act(ctx, tx, op)
	case Route:
		return r.routeWrite(ctx, tx, op)
	default:
		return r.doBatch(ctx, tx, op)
	}
}

func (r *run) doBatch(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	all := Reply{Verb: Batch, Batch: make([]Reply, len(op.batch))}
	// While a batch runs all other writes wait, however many actions are in it.
	ctx, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	for i, part := range op.batch {
		r.settled = false
		if i > 0 { // an earlier part may have changed who asks
			err := r.look(ctx, tx)
			if err == nil {
				err = r.held(ctx, tx, part)
			}
			if err != nil {
				return Reply{}, faultAt(err, i)
			}
		}
		reply, err := r.do(ctx, tx, part)
		if err != nil {
			return Reply{}, faultAt(err, i)
		}
		all.Batch[i] = reply
	}
	return all, nil
}

// held asks the checks of a record that an earlier part of the batch wrote, before
// this part changes or deletes it: else a record that breaks a check could serve the
// parts between and be gone when all checks are asked.
func (r *run) held(ctx context.Context, tx store.Tx, part *operation) error {
	if part.coll == nil || part.id == "" {
		return nil
	}
	for _, change := range tx.Changes() {
		if change.ID != part.id || change.Collection != part.coll.Name || change.After.Zero() {
			continue
		}
		for _, check := range part.coll.Checks {
			r.about(change.After, change.Before, value.Record{})
			if err := r.holds(ctx, check); err != nil {
				r.settle()
				return err
			}
		}
	}
	return nil
}

// settle notes that the operation is allowed and now runs.
func (r *run) settle() {
	r.settled = true
	r.stage("perform")
}

func (r *run) create(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	r.stage("authorize")
	record, err := r.authorizeCreate(ctx, op)
	if err != nil {
		return Reply{}, err
	}
	r.settle()
	record.Slots[spec.SlotVersion] = value.Value{} // inserts
	stored, err := tx.Put(ctx, op.coll.Name, record)
	if err != nil {
		return Reply{}, r.unnamed(op.coll, err)
	}
	return r.written(ctx, tx, op, Create, stored, value.Record{})
}

// unnamed takes out of a fault of the store what it says of fields that not everybody
// may read.
func (r *run) unnamed(c *app.Collection, err error) error {
	if r.free() || !fault.Is(err, fault.Exists) {
		return err
	}
	f := *fault.From(err)
	f.Items = slices.DeleteFunc(slices.Clone(f.Items), func(i fault.Item) bool {
		slot, ok := c.Shape.Index(strings.TrimPrefix(i.Pointer, "#/"))
		return !ok || c.Fields[slot].Hidden || c.Fields[slot].Read != nil
	})
	return &f
}

func (r *run) update(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	r.stage("authorize")
	old, next, err := r.authorizeUpdate(ctx, tx, op)
	if err != nil {
		return Reply{}, err
	}
	r.settle()
	changed := value.NewRecord(op.coll.Shape)
	some := false
	for i, v := range op.input.Slots {
		slot := op.slots[i]
		if v.Kind() != value.Absent && !next.Slots[slot].Equal(old.Slots[slot]) {
			changed.Slots[slot], some = next.Slots[slot], true
		}
	}
	stored := old
	if some {
		changed.Slots[spec.SlotID] = old.Slots[spec.SlotID]
		changed.Slots[spec.SlotVersion] = old.Slots[spec.SlotVersion]
		if stored, err = tx.Put(ctx, op.coll.Name, changed); err != nil {
			return Reply{}, r.unnamed(op.coll, err)
		}
	}
	return r.written(ctx, tx, op, Update, stored, old)
}

func (r *run) delete(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	r.stage("authorize")
	if err := r.authorizeDelete(ctx, tx, op); err != nil {
		return Reply{}, err
	}
	r.settle()
	return Reply{Verb: Delete}, r.newHost(tx, tx).remove(ctx, op.coll, op.id)
}

// written asks the record's own checks, runs its hook, and makes the reply of it, as the
// caller may see it. Of a record that he may not read he learns the id alone.
func (r *run) written(ctx context.Context, tx store.Tx, op *operation, verb Verb,
	stored, before value.Record) (Reply, error) {
	if err := r.checkOwn(ctx, op.coll, stored); err != nil {
		return Reply{}, err
	}
	if before.Zero() || versionOf(before) != versionOf(stored) {
		var err error
		if stored, err = r.newHost(tx, tx).written(ctx, op.coll, stored, before); err != nil {
			return Reply{}, err
		}
	}
	reply := Reply{Verb: verb, Record: idOf(stored), Version: versionOf(stored),
		Item: Item{Record: stored}}
	if r.free() {
		return reply, nil
	}
	yes := false
	var err error
	if op.coll.Read != nil {
		if yes, err = r.mayRead(ctx, op.coll.Read, stored); err != nil {
			return Reply{}, err
		}
	}
	if yes && op.coll.Plain {
		return reply, nil
	}
	shown := stored.Clone() // the checks to come are asked about all of it
	reply.Item.Record = shown
	if !yes {
		clear(shown.Slots[spec.SlotID+1:])
		return reply, nil
	}
	return reply, r.show(ctx, op.coll, shown)
}
