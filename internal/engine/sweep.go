package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// sweepMax is how many records one transaction of a sweep deletes.
const sweepMax = 200

// Sweep deletes the records that are older than their collection's `keep`, a bounded
// number in each transaction, and returns how many. Records that others need stay.
func (e *Engine) Sweep(ctx context.Context) (int, error) {
	total := 0
	for _, c := range e.App().Collections() {
		if c.Spec.Keep <= 0 {
			continue
		}
		after := ident.Record("")
		for {
			n, last, err := e.sweep(ctx, c, after)
			total += n
			if err != nil {
				return total, err
			}
			if last == "" {
				break
			}
			after = last
		}
	}
	return total, nil
}

// sweep deletes one portion of a collection and returns the last id it looked at, ""
// if there are no more.
func (e *Engine) sweep(ctx context.Context, c *app.Collection, after ident.Record) (
	deleted int, last ident.Record, err error) {
	if err := e.enter(); err != nil {
		return 0, "", err
	}
	defer e.leave()
	if c = e.loaded.Load().Collection(c.Name); c == nil {
		return 0, "", nil // the app changed meanwhile
	}
	plan := agePlan(c)
	r := e.begin(Call{ID: ident.NewCall(), Door: "house", Trusted: true,
		Subject: ident.Subject{Who: ident.System, Name: "keep"}})
	r.subject = r.call.Subject
	now := r.now
	origin := journal.Origin{Call: r.call.ID, Operation: c.Name + ".sweep", Now: now,
		Door: r.call.Door, Subject: r.subject}
	_, err = e.store.Write(ctx, origin, func(tx store.Tx) error {
		deleted, last = 0, ""
		if err := r.attempt(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Find(ctx, query.Query{Plan: plan, Args: []value.Value{
			value.OfTime(now.Add(-c.Spec.Keep)), value.OfText(string(after))}})
		if err != nil {
			return err
		}
		for _, row := range rows {
			err := r.newHost(tx, tx).remove(ctx, c, idOf(row))
			if action.Catchable(err) &&
				(fault.Is(err, fault.Refused) || fault.Is(err, fault.NotFound)) {
				err = nil // another record needs it, or it went with another
			} else {
				deleted++
			}
			if err != nil {
				return err
			}
		}
		if len(rows) == sweepMax {
			last = idOf(rows[len(rows)-1])
		}
		return r.check(ctx, tx)
	})
	return deleted, last, err
}

// agePlan finds the records that were created before the first argument, behind the
// id of the second.
func agePlan(c *app.Collection) *query.Plan {
	id := field(c, spec.SlotID)
	compare := func(op string, slot, arg int) query.Expr {
		t := c.Shape.Fields()[slot].Type
		return query.Compare{Op: op, L: field(c, slot), R: query.Param{Index: arg, Type: t}}
	}
	return &query.Plan{From: c.Name, Limit: sweepMax, Sort: []query.Order{{By: id}},
		Where: query.And{Of: []query.Expr{
			compare("<", spec.SlotCreated, 0), compare(">", spec.SlotID, 1)}}}
}
