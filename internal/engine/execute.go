package engine

import (
	"context"
	"errors"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/store"
)

// Execute performs a call that writes, or replays the answer that the same call had
// before. When it returns without an error the entry is on disk. An error is a
// *fault.Fault; with a replayed refusal the Reply says so.
func (e *Engine) Execute(ctx context.Context, call Call) (Reply, error) {
	if err := e.enter(); err != nil {
		return Reply{}, err
	}
	defer e.leave()
	r := e.begin(call)
	defer r.leave()
	ctx, cancel := context.WithTimeout(ctx, executeTime)
	defer cancel()
	reply, err := r.execute(ctx)
	outcome := observe.Committed
	if reply.Replayed {
		outcome = observe.Replayed
	}
	return reply, r.end(outcome, err)
}

func (r *run) execute(ctx context.Context) (Reply, error) {
	r.stage("authenticate")
	if !r.presume() {
		if err := r.identify(ctx); err != nil {
			return Reply{}, err
		}
		return r.write(ctx)
	}
	reply, err := r.write(store.Vouching(ctx, r.vouch))
	if !r.vouched { // what became of it is told to nobody but him who was presumed
		if unknown := r.identify(ctx); unknown != nil {
			if s := r.call.Seen; s != nil {
				s.Limits = nil // they are those of him who was presumed
			}
			return Reply{}, unknown
		}
	}
	return reply, err
}

// write resolves the call, admits it, and performs it in a transaction.
func (r *run) write(ctx context.Context) (Reply, error) {
	op, err := r.resolve(false)
	if err != nil {
		return Reply{}, err
	}
	r.stage("admit")
	if err := r.admit(op); err != nil {
		return Reply{}, err
	}
	if err := r.prepare(ctx, op); err != nil {
		return Reply{}, err
	}
	r.stage("write")
	ctx = store.Naming(ctx, op.names)
	var done Reply
	var early error
	entry, err := r.engine.store.Write(ctx, r.origin(op), func(tx store.Tx) error {
		done, early = Reply{}, nil
		if r.presumed && !r.vouched {
			return internal("nobody has vouched for who asks")
		}
		reply, err := r.perform(ctx, tx, op)
		if err == nil {
			done = reply
			return r.keep(tx, op, &done)
		}
		if !r.settled {
			early = err // nothing was done, so the answer is not one to keep
			return errEarly
		}
		return err
	})
	if errors.Is(err, errEarly) {
		return Reply{}, early
	}
	return r.reply(op, entry, done, err)
}

// perform does the operation in a transaction and asks every check of its result.
func (r *run) perform(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	if err := r.attempt(ctx, tx); err != nil {
		return Reply{}, err
	}
	reply, err := r.do(ctx, tx, op)
	if err != nil {
		return Reply{}, err
	}
	r.stage("check")
	if err := r.check(ctx, tx); err != nil {
		return Reply{}, err
	}
	r.stage("commit")
	return reply, nil
}

// origin says where the entry comes from.
func (r *run) origin(op *operation) journal.Origin {
	o := journal.Origin{Call: r.call.ID, Subject: r.subject, Operation: op.name,
		Key: r.call.Key, Door: r.call.Door, Now: r.now, DryRun: r.call.DryRun,
		Secret: op.house != nil && op.house.Secret}
	if o.Key != "" {
		o.Fingerprint = fingerprint(op, r.call)
	}
	return o
}
