package follow

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Timed is something that the clock starts: by an intent, once for each instant, at
// whichever node comes first. If no node was there at an instant, or at several, it is
// made up for once. It is not started while what it started last goes on; such an
// instant is passed over.
type Timed struct {
	// Kind is the intent's, Name what is started. Text is the schedule as it is
	// written: another one begins anew.
	Kind string
	Name string
	Text string
	// Next is the first instant after another.
	Next func(after time.Time) time.Time
	// Intent makes the intent of an instant.
	Intent func(id ident.Record, due time.Time) journal.Intent
	// Busy reports whether what was started last goes on; nil means never.
	Busy func(ctx context.Context, v store.View, last ident.Record) (bool, error)
}

// clockBack is how far the record of what is timed may have been written ahead of this
// node's clock. What was written later yet was written by a clock that has been set back
// since, and what it said of the next instant is worth nothing.
const clockBack = 5 * time.Minute

// ahead reports whether a record was written by a clock that went far before this one.
func ahead(row value.Record, now time.Time) bool {
	at := row.Slots[spec.SlotUpdated]
	return at.Kind() == value.Time && at.Time().Sub(now) > clockBack
}

// timedAgain is how long to wait after the clock could not be followed.
const timedAgain = time.Second

// clock starts what is timed until ctx ends.
func (r *Runner) clock(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.ticked:
		}
		rest := r.cfg.Beat
		for _, t := range r.cfg.Timed() {
			due, err := r.strike(ctx, t)
			if err != nil {
				if ctx.Err() == nil && fault.From(err).Kind != fault.Unavailable {
					r.cfg.Log.Warn("what is timed waits", "kind", t.Kind, "name", t.Name, "cause", err)
				}
				rest = min(rest, timedAgain)
				continue
			}
			rest = min(rest, max(due.Sub(r.cfg.Now()), time.Millisecond))
		}
		timer.Stop()
		timer.Reset(rest)
	}
}

// Strike starts whatever the clock has to start by now, and returns when that is done. It
// is for those whose time is not the world's.
func (r *Runner) Strike(ctx context.Context) error {
	if r.cfg.Timed == nil {
		return nil
	}
	for _, t := range r.cfg.Timed() {
		for {
			due, err := r.strike(ctx, t)
			if err != nil {
				return err
			}
			if due.After(r.cfg.Now()) {
				break
			}
		}
	}
	return nil
}

// timedID is the id of the record of what is timed.
func timedID(t *Timed) ident.Record {
	sum := sha256.Sum256([]byte("timed " + t.Kind + " " + t.Name))
	sum[0] &= 0x7f
	return ident.FromBytes([16]byte(sum[:16]))
}

// strike starts what is timed if its instant has come, and returns the next one.
func (r *Runner) strike(ctx context.Context, t Timed) (time.Time, error) {
	id, now := timedID(&t), r.cfg.Now()
	var row value.Record
	err := r.cfg.Store.Read(ctx, func(v store.View) (err error) {
		row, err = v.Get(ctx, Clock, id)
		return err
	})
	switch {
	case fault.Is(err, fault.NotFound):
		row = value.NewRecord(r.shapes[Clock])
	case err != nil:
		return now, err
	case row.Get(fieldText).Text() == t.Text && row.Get(fieldDue).Time().After(now) &&
		!ahead(row, now):
		return row.Get(fieldDue).Time(), nil
	}
	next := t.Next(now)
	origin := r.origin(t.Kind + "s." + t.Name)
	origin.Subject.Name = "cron"
	_, err = r.cfg.Guarded.Write(ctx, origin, func(tx store.Tx) error {
		row, err := tx.Get(ctx, Clock, id)
		begins := fault.Is(err, fault.NotFound)
		switch {
		case begins:
			row = value.NewRecord(r.shapes[Clock])
			row.Slots[spec.SlotID] = value.OfText(string(id))
			row.Set(fieldName, value.OfText(t.Kind+"s."+t.Name))
		case err != nil:
			return err
		}
		due := row.Get(fieldDue).Time()
		switch {
		case begins || row.Get(fieldText).Text() != t.Text || ahead(row, now):
		case due.After(now):
			return errLost // another node was faster
		default:
			if err := t.start(ctx, tx, row, due, now); err != nil {
				return err
			}
		}
		row.Set(fieldText, value.OfText(t.Text))
		row.Set(fieldDue, value.OfTime(next))
		_, err = tx.Put(ctx, Clock, row)
		return err
	})
	if errors.Is(err, errLost) {
		return now, nil // it is looked at again
	}
	return next, err
}

// start leaves the intent of an instant, unless the one before goes on.
func (t *Timed) start(ctx context.Context, tx store.Tx, row value.Record, due, now time.Time) error {
	if last := ident.Record(row.Get(fieldLast).Text()); last != "" && t.Busy != nil {
		busy, err := t.Busy(ctx, tx, last)
		if busy || err != nil {
			return err
		}
	}
	id := ident.NewRecord()
	row.Set(fieldLast, value.OfText(string(id)))
	return tx.Intend(ctx, t.Intent(id, due))
}
