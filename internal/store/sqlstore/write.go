package sqlstore

import (
	"context"
	"errors"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// writeTries bounds how often a call runs whose transaction another call lost.
const writeTries = 3

// Write calls fn in the line and commits what it did as one entry.
func (s *Store) Write(
	ctx context.Context, origin journal.Origin, fn func(store.Tx) error,
) (journal.Entry, error) {
	if err := s.begin(); err != nil {
		return journal.Entry{}, err
	}
	defer s.calls.Done()
	origin.Now = millis(origin.Now)
	if origin.Key == "" {
		return s.try(ctx, &origin, 0, fn)
	}
	if !origin.DryRun {
		done, err := s.claims.take(ctx, claimOf(&origin))
		if err != nil {
			return journal.Entry{}, err
		}
		defer done()
	}
	held, err := s.holder(ctx, &origin)
	if err != nil {
		return journal.Entry{}, err
	}
	if held == nil {
		return s.try(ctx, &origin, 0, fn)
	}
	if origin.Now.Sub(held.At) >= keyAge {
		return s.try(ctx, &origin, held.Seq.Lo, fn)
	}
	return replay(&origin, held)
}

// replay answers a call from the entry that holds its key.
func replay(origin *journal.Origin, held *journal.Entry) (journal.Entry, error) {
	if held.Origin.Fingerprint != origin.Fingerprint {
		return journal.Entry{}, fault.WithCode(fault.Invalid, "idempotency_key_reused",
			"This key was used for another input.")
	}
	if held.Origin.Secret {
		return journal.Entry{}, fault.WithCode(fault.Conflict, "reply_not_kept",
			"This call was done before; its answer held a secret and was not kept.")
	}
	held.Replayed = true
	if held.Refusal != nil {
		return *held, held.Refusal
	}
	return *held, nil
}

// try runs the call until its transaction is not lost by the doing of others.
func (s *Store) try(
	ctx context.Context, origin *journal.Origin, expired uint64, fn func(store.Tx) error,
) (journal.Entry, error) {
	for n := 1; ; n++ {
		e, err := s.turn(ctx, origin, expired, fn)
		if !errors.Is(err, errTurn) {
			return e, err
		}
		if n == writeTries {
			return e, s.gaveUp(err)
		}
	}
}

// turn is the call's one stay in the line.
func (s *Store) turn(
	ctx context.Context, origin *journal.Origin, expired uint64, fn func(store.Tx) error,
) (journal.Entry, error) {
	if err := s.Failure(); err != nil {
		return journal.Entry{}, stopped(err)
	}
	g, err := s.line.enter(ctx)
	if err != nil {
		return journal.Entry{}, err
	}
	if g, err = s.join(g); err != nil {
		s.lose(g, err)
		s.pass(g)
		return journal.Entry{}, s.gaveUp(err)
	}
	entry, err := s.run(ctx, g, origin, expired, fn)
	mine, wait := g.lost != nil, g.dirty || g.lost != nil
	s.pass(g)
	if !wait {
		return entry, err
	}
	<-g.done
	switch {
	case g.err == nil:
		return entry, err
	case g.lost == nil:
		return journal.Entry{}, g.err
	case mine && err != nil:
		return journal.Entry{}, err
	case !mine && classOf(g.lost) == Other:
		return journal.Entry{}, errTurn
	default:
		return journal.Entry{}, g.err
	}
}

// lose notes that the database gave up the whole transaction.
func (s *Store) lose(g *group, err error) {
	if g.lost == nil {
		g.lost = err
	}
}

// run calls fn under a savepoint and writes its entry. What it returns holds if the
// group is committed.
func (s *Store) run(
	ctx context.Context, g *group, origin *journal.Origin, expired uint64,
	fn func(store.Tx) error,
) (entry journal.Entry, err error) {
	if ctx.Err() != nil {
		return journal.Entry{}, ended(ctx)
	}
	cat := s.catalog.Load()
	t := &tx{view: view{store: s, conn: s.writer, catalog: cat}, now: origin.Now}
	if err := s.writer.Save(); err != nil {
		s.lose(g, err)
		return journal.Entry{}, s.gaveUp(err)
	}
	finished := false
	defer func() {
		t.over = true
		if !finished { // fn panicked, or ended its goroutine
			s.revert(g)
			s.pass(g)
		}
	}()
	err = fn(t)
	finished = true
	if t.broken != nil {
		err = s.gaveUp(t.broken)
	}
	if err == nil && ctx.Err() != nil {
		err = ended(ctx)
	}
	if err != nil || origin.DryRun {
		s.revert(g)
	}
	refusal := fault.From(err)
	if g.lost != nil || origin.DryRun ||
		err != nil && (origin.Key == "" || !refusal.Kind.Kept()) {
		return t.entry(origin, err), err
	}
	if err != nil {
		t.changes, t.intents, t.reply = nil, nil, value.Value{}
		if err := s.writer.Save(); err != nil {
			s.lose(g, err)
			return journal.Entry{}, s.gaveUp(err)
		}
	}
	entry = t.entry(origin, err)
	entry.Refusal = refusal
	return s.conclude(g, t, &entry, expired)
}

// conclude appends the entry and drops the savepoint.
func (s *Store) conclude(
	g *group, t *tx, entry *journal.Entry, expired uint64,
) (journal.Entry, error) {
	silent := len(entry.Changes) == 0 && len(entry.Intents) == 0 && entry.Origin.Key == ""
	if silent && !t.wrote {
		return *entry, s.release(g)
	}
	g.dirty = true
	if !silent {
		if err := s.append(g, t, entry, expired); err != nil {
			s.revert(g)
			return journal.Entry{}, s.gaveUp(err)
		}
	}
	if err := s.release(g); err != nil {
		return journal.Entry{}, err
	}
	if entry.Refusal != nil {
		return *entry, entry.Refusal
	}
	return *entry, nil
}

// release drops the savepoint and keeps what was done under it.
func (s *Store) release(g *group) error {
	if err := s.writer.Release(); err != nil {
		s.lose(g, err)
		return s.gaveUp(err)
	}
	return nil
}

// revert takes back what was done under the savepoint.
func (s *Store) revert(g *group) {
	if !s.writer.Open() {
		s.lose(g, errTurn)
		return
	}
	if err := s.writer.Revert(); err != nil {
		s.lose(g, err)
	}
}

// append writes the entry into the journal and takes the next place for it.
func (s *Store) append(g *group, t *tx, entry *journal.Entry, expired uint64) error {
	if expired > 0 {
		if err := s.writer.Exec(s.sqlFree(), []value.Value{value.OfInt(int64(expired))}); err != nil {
			return err
		}
	}
	entry.Seq = seqOf(s.head + 1)
	kept, err := s.insertEntry(entry)
	if err != nil {
		return err
	}
	s.head++
	g.entries = append(g.entries, kept)
	return nil
}

// entry is what the transaction did, as it stands now.
func (t *tx) entry(origin *journal.Origin, err error) journal.Entry {
	e := journal.Entry{At: origin.Now, Origin: *origin, Spec: t.catalog.hash}
	if err != nil {
		return e
	}
	e.Changes, e.Intents, e.Reply = t.Changes(), t.intents, t.reply
	return e
}
