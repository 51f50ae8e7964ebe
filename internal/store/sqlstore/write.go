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
	if origin.Key != "" && !origin.DryRun {
		done, err := s.claims.take(ctx, claimOf(&origin))
		if err != nil {
			return journal.Entry{}, err
		}
		defer done()
	}
	luck := s.lucks.find(origin.Operation)
	if origin.DryRun || !s.shared && !luck.ahead() {
		return s.direct(ctx, &origin, fn)
	}
	d, entry, err := s.ahead(ctx, &origin, fn)
	if d == nil {
		return entry, err
	}
	if d.tx == nil {
		luck.lost()
	}
	if !d.vouched {
		if err := s.vouch(ctx); err != nil {
			return journal.Entry{}, err
		}
	}
	return s.try(ctx, &origin, d, luck, fn)
}

// vouch has the call vouched for on a state of its own.
func (s *Store) vouch(ctx context.Context) error {
	vouch := store.Voucher(ctx)
	if vouch == nil {
		return nil
	}
	return s.Read(store.Brief(ctx), func(v store.View) error { return vouch(ctx, v) })
}

// direct takes the call into the line without a run ahead.
func (s *Store) direct(
	ctx context.Context, origin *journal.Origin, fn func(store.Tx) error,
) (journal.Entry, error) {
	if err := s.vouch(ctx); err != nil {
		return journal.Entry{}, err
	}
	d := &draft{since: s.settled.Load()}
	if origin.Key != "" {
		held, err := s.holder(ctx, origin)
		if err != nil {
			return journal.Entry{}, err
		}
		switch {
		case held == nil:
		case origin.Now.Sub(held.At) < keyAge:
			return replay(origin, held)
		default:
			d.expired = held.Seq.Lo
		}
	}
	return s.try(ctx, origin, d, nil, fn)
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

// try takes the call into the line until its transaction is not lost by the doing of
// others. luck, if there is one, learns how its run ahead went.
func (s *Store) try(
	ctx context.Context, origin *journal.Origin, d *draft, luck *luck,
	fn func(store.Tx) error,
) (journal.Entry, error) {
	for n := 1; ; n++ {
		drafted := d.tx != nil
		e, err := s.turn(ctx, origin, d, n > 1, fn)
		if luck != nil && drafted {
			if d.tx == nil {
				luck.lost()
			} else {
				luck.won()
			}
		}
		if !errors.Is(err, errTurn) {
			return e, err
		}
		if n == writeTries {
			return e, s.gaveUp(err)
		}
		d.tx, d.err = nil, nil
	}
}

// turn is the call's one stay in the line. again keeps drafts out of its group, whose
// errors would show late.
func (s *Store) turn(
	ctx context.Context, origin *journal.Origin, d *draft, again bool,
	fn func(store.Tx) error,
) (journal.Entry, error) {
	g, err := s.stand(ctx, again)
	if err != nil {
		return journal.Entry{}, err
	}
	if origin.Key != "" && !origin.DryRun && !s.ledger.free(claimOf(origin), d.since) {
		v := view{store: s, conn: s.writer, catalog: s.catalog.Load()}
		held, err := v.holder(ctx, origin)
		if err != nil {
			if !s.writer.Open() { // what others queued was sent with the question, and failed
				s.lose(g, err)
			}
			return s.part(g, journal.Entry{}, err)
		}
		if held != nil && origin.Now.Sub(held.At) < keyAge {
			entry, err := replay(origin, held)
			return s.part(g, entry, err)
		}
	}
	var entry journal.Entry
	switch {
	case g.plain || d.plain || origin.DryRun:
		d.tx, d.err = nil, nil
		entry, err = s.run(ctx, g, origin, d.expired, fn)
	case d.tx == nil || d.tx.catalog != s.catalog.Load() || !s.ledger.stands(d.tx, d.since):
		entry, err = s.redo(ctx, g, d, origin, fn)
	default:
		entry, err = s.write(g, d, origin)
	}
	return s.part(g, entry, err)
}

// stand waits for the line and returns with the open group of whose transaction the
// caller is part. again asks for one without drafts, whose errors would show late.
func (s *Store) stand(ctx context.Context, again bool) (*group, error) {
	if err := s.Failure(); err != nil {
		return nil, stopped(err)
	}
	g, err := s.line.enter(ctx)
	if err != nil {
		return nil, err
	}
	if again && g != nil && (g.drafts > 0 || g.guess) {
		s.end(g)
		g = nil
	}
	if g, err = s.join(g, again); err != nil {
		s.lose(g, err)
		s.pass(g)
		return nil, s.gaveUp(err)
	}
	g.plain = g.plain || again
	return g, nil
}

// part passes the line on and waits for the commit of what the call did there.
func (s *Store) part(g *group, entry journal.Entry, err error) (journal.Entry, error) {
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
	case g.guess: // others had a turn, or else the next try tells
		return journal.Entry{}, errTurn
	case g.drafts > 0 && late(g.lost):
		return journal.Entry{}, errTurn
	case mine && err != nil:
		return journal.Entry{}, err
	case !mine && (late(g.lost) || classOf(g.lost) == Interrupted):
		return journal.Entry{}, errTurn
	default:
		return journal.Entry{}, g.err
	}
}

// late reports whether the loss of a group may be the doing of what a draft queued,
// and not of the database's state.
func late(err error) bool {
	switch classOf(err) {
	case Full, Broken, Gone, Interrupted:
		return false
	default:
		return true
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
	t.group, t.saved = g, true
	g.ran++
	defer t.abandon()
	err = fn(t)
	entry, err = s.finish(ctx, g, t, origin, expired, err)
	t.group = nil
	return entry, err
}

// finish writes the entry of a function that ended with err. What it returns holds if
// the group is committed.
func (s *Store) finish(
	ctx context.Context, g *group, t *tx, origin *journal.Origin, expired uint64, err error,
) (entry journal.Entry, _ error) {
	if t.broken != nil {
		err = s.gaveUp(t.broken)
	}
	if err == nil && ctx.Err() != nil {
		err = ended(ctx)
	}
	if err != nil || origin.DryRun {
		s.revert(g)
	}
	if g.lost != nil || origin.DryRun || err != nil && !kept(origin, err) {
		return t.entry(origin, err), err
	}
	if err != nil {
		t.forget()
		if err := s.writer.Save(); err != nil {
			s.lose(g, err)
			return journal.Entry{}, s.gaveUp(err)
		}
	}
	entry = t.entry(origin, err)
	entry.Refusal = refusal(err)
	return s.conclude(g, t, &entry, expired)
}

// conclude appends the entry and drops the savepoint.
func (s *Store) conclude(
	g *group, t *tx, entry *journal.Entry, expired uint64,
) (journal.Entry, error) {
	if silent(entry) && !t.wrote {
		return *entry, s.release(g)
	}
	g.dirty = true
	if !silent(entry) {
		if err := s.append(g, entry, expired); err != nil {
			s.revert(g)
			return journal.Entry{}, s.gaveUp(err)
		}
	}
	s.ledger.add(t)
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
func (s *Store) append(g *group, entry *journal.Entry, expired uint64) error {
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

// kept reports whether a refusal is the answer to its key.
func kept(origin *journal.Origin, err error) bool {
	return origin.Key != "" && fault.From(err).Kind.Kept()
}

// refusal is the fault that an entry keeps.
func refusal(err error) *fault.Fault {
	if err == nil {
		return nil
	}
	return fault.From(err)
}

// silent reports whether nothing of the call is told by an entry.
func silent(e *journal.Entry) bool {
	return len(e.Changes) == 0 && len(e.Intents) == 0 && e.Origin.Key == ""
}

// forget drops what the transaction did.
func (t *tx) forget() {
	for _, i := range t.writes {
		t.passes(&t.touched[i], value.Record{})
	}
	t.changes, t.intents, t.reply, t.writes = nil, nil, value.Value{}, nil
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
