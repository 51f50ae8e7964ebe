package job

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// sweepEach is how often jobs over their time are looked for.
const sweepEach = time.Hour

// agePlan finds jobs between two ids, the two with them, in their order.
var agePlan = &query.Plan{From: Collection, Limit: turnMax,
	Sort: []query.Order{{By: at(Collection, spec.FieldID, value.TypeID)}},
	Where: query.And{Of: []query.Expr{
		query.Compare{Op: ">=", L: at(Collection, spec.FieldID, value.TypeID),
			R: param(0, value.TypeID)},
		query.Compare{Op: "<=", L: at(Collection, spec.FieldID, value.TypeID),
			R: param(1, value.TypeID)}}}}

// sweep deletes, now and then, the jobs that ended long ago with their steps.
func (j *Jobs) sweep(ctx context.Context) error {
	if time.Since(j.swept) < sweepEach {
		return nil
	}
	now := j.cfg.Now()
	before := ident.RecordAt(now.Add(-Keep), rand.New(rand.NewPCG(0, 0)), 0)
	after := ident.Record("")
	for {
		var rows []value.Record
		err := j.cfg.Store.Read(ctx, func(v store.View) (err error) {
			rows, err = v.Find(ctx, query.Query{Plan: agePlan, Args: []value.Value{
				value.OfText(string(after)), value.OfText(string(before))}})
			return err
		})
		if err != nil {
			return err
		}
		if len(rows) > 0 && after != "" && rows[0].Slots[spec.SlotID].Text() == string(after) {
			rows = rows[1:]
		}
		more := len(rows) >= turnMax-1
		var old []ident.Record
		for _, row := range rows {
			after = ident.Record(row.Slots[spec.SlotID].Text())
			if ended := row.Get(fieldEnded); !ended.IsNull() {
				keep := Keep
				if row.Get(fieldState).Text() == Failed {
					keep = KeepFailed
				}
				if ended.Time().Before(now.Add(-keep)) {
					old = append(old, after)
				}
			}
		}
		if len(old) > 0 {
			if err := j.remove(ctx, old); err != nil {
				return err
			}
		}
		if !more {
			j.swept = time.Now()
			return nil
		}
	}
}

// remove deletes jobs with their steps.
func (j *Jobs) remove(ctx context.Context, ids []ident.Record) error {
	_, err := j.cfg.Store.Write(ctx, j.origin(j.cfg.Now()), func(tx store.Tx) error {
		for _, id := range ids {
			if err := forget(ctx, tx, id, 0); err != nil {
				return err
			}
			if err := tx.Delete(ctx, Collection, id); err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		return nil
	})
	return err
}

// forget deletes the steps of a job from a place on.
func forget(ctx context.Context, tx store.Tx, id ident.Record, from int) error {
	rows, err := tx.Find(ctx, query.Query{Plan: stepsPlan,
		Args: []value.Value{value.OfText(string(id))}})
	if err != nil {
		return err
	}
	for _, row := range rows {
		if row.Get(fieldPlace).Int() < int64(from) {
			continue
		}
		if err := tx.Delete(ctx, Steps, ident.Record(row.Slots[spec.SlotID].Text())); err != nil {
			return err
		}
	}
	return nil
}
