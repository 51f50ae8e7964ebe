package engine

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Work is a transaction of the app's code that no call asked for, such as the step of a
// job. No allow binds it, but types and checks do, as they bind an action.
type Work struct {
	Subject ident.Subject
	// Operation is what the journal calls it. The same Work under the same Key is done
	// once; "" has no key.
	Operation string
	Key       string
	// Begin, which may be nil, is asked first, and ends the work by an error of which
	// nothing is kept.
	Begin func(ctx context.Context, tx store.Tx) error
	// Run is the app's code, in the time that code has.
	Run func(ctx context.Context, h action.Host) (value.Value, error)
	// Keep, which may be nil, writes what belongs into the same commit, to quiet
	// collections.
	Keep func(ctx context.Context, tx store.Tx, out value.Value) error
}

// Transact runs the work in a serializable transaction and commits it as one entry. A
// refusal is kept under the key, and returned again for it; its replay, like that of
// what was done, calls nothing.
func (e *Engine) Transact(ctx context.Context, w Work) (value.Value, error) {
	if err := e.enter(); err != nil {
		return value.Value{}, err
	}
	defer e.leave()
	r := e.begin(Call{ID: ident.NewCall(), Subject: w.Subject, Trusted: true, Door: "house"})
	r.subject = w.Subject
	ctx, cancel := context.WithTimeout(ctx, executeTime)
	defer cancel()
	origin := journal.Origin{Call: r.call.ID, Subject: w.Subject, Operation: w.Operation,
		Key: w.Key, Door: r.call.Door, Now: r.now}
	if w.Key != "" {
		origin.Fingerprint = sha256.Sum256([]byte(w.Operation))
	}
	var out value.Value
	var early error
	entry, err := e.store.Write(ctx, origin, func(tx store.Tx) error {
		early = nil
		var err error
		out, err = r.transact(ctx, tx, &w)
		if err != nil && !r.settled {
			early = err // it is none of the code's answers, so not one to keep
			return errEarly
		}
		if err == nil && w.Key != "" {
			tx.Reply(out)
		}
		return err
	})
	switch {
	case errors.Is(err, errEarly):
		return value.Value{}, early
	case err != nil:
		return value.Value{}, fault.From(err)
	case entry.Replayed:
		return entry.Reply, nil
	}
	return out, nil
}

func (r *run) transact(ctx context.Context, tx store.Tx, w *Work) (value.Value, error) {
	if err := r.attempt(ctx, tx); err != nil {
		return value.Value{}, err
	}
	if w.Begin != nil {
		if err := w.Begin(ctx, tx); err != nil {
			return value.Value{}, err
		}
	}
	coding, cancel := context.WithTimeout(ctx, batchTime)
	defer cancel()
	out, err := w.Run(coding, r.newHost(tx, tx))
	var failure *action.Failure
	if errors.As(err, &failure) {
		return value.Value{}, err
	}
	r.settle()
	if err == nil {
		err = r.check(ctx, tx)
	} else {
		err = r.guestFault(w.Operation, err)
	}
	if err == nil && w.Keep != nil {
		if err = w.Keep(ctx, tx, out); err != nil {
			r.settled = false
		}
	}
	return out, err
}
