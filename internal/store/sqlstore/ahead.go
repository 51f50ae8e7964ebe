package sqlstore

import (
	"context"
	"errors"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// errBehind tells a function that runs ahead that it can go on in the line only.
var errBehind = errors.New("the call must run in the line")

// draft is what a call brings into the line.
type draft struct {
	// since is the ledger's time of the state that was read.
	since uint64
	// expired is the place of an entry that held the call's key for too long.
	expired uint64
	// tx is what the function did on a snapshot and err how it ended; a nil tx
	// means that it has yet to run.
	tx  *tx
	err error
	// vouched says that the call was vouched for, if it has to be.
	vouched bool
	// plain says that the call must write at once, under a savepoint: one of its
	// statements fails, or fails if it is put off.
	plain bool
}

// ahead runs the call on a snapshot, beside the line. What it did becomes a draft. The
// draft is nil if the call is at its end: there was nothing to commit, or it had to
// join the line on its way; the entry and the error are then the answer.
func (s *Store) ahead(
	ctx context.Context, origin *journal.Origin, fn func(store.Tx) error,
) (*draft, journal.Entry, error) {
	if s.shared && origin.Key != "" {
		if company := s.company.find(origin.Operation); company.ahead() {
			sn, err := s.snapshot(ctx, true)
			if err != nil {
				return nil, journal.Entry{}, err
			}
			d, entry, err := s.on(ctx, sn, origin, fn)
			if !sn.seat.alone {
				company.won()
				return d, entry, err
			}
			company.lost()
		}
	}
	sn, err := s.snapshot(ctx, false)
	if err != nil {
		return nil, journal.Entry{}, err
	}
	return s.on(ctx, sn, origin, fn)
}

// on runs the call on the snapshot, which it releases.
func (s *Store) on(
	ctx context.Context, sn *snapshot, origin *journal.Origin, fn func(store.Tx) error,
) (*draft, journal.Entry, error) {
	defer sn.release()
	d := &draft{since: sn.since}
	t := &tx{view: view{store: s, conn: sn.conn, catalog: sn.catalog}, now: origin.Now,
		ahead: sn, since: sn.since}
	var err error
	if sn.seat == nil { // else the trip looks at it
		err = t.expectShape(ctx)
	}
	if err := errors.Join(err, t.expectNamed(ctx, origin.Subject)); err != nil {
		return nil, journal.Entry{}, s.reading(ctx, err)
	}
	held, err := t.vouchedHolder(ctx, origin)
	switch {
	case t.stale:
		return d, journal.Entry{}, nil
	case err != nil:
		return nil, journal.Entry{}, err
	case held == nil:
	case origin.Now.Sub(held.At) < keyAge:
		entry, err := replay(origin, held)
		return nil, entry, err
	default:
		d.expired = held.Seq.Lo
	}
	d.vouched = true
	if ctx.Err() != nil {
		return nil, journal.Entry{}, ended(ctx)
	}
	defer t.abandon()
	err = fn(t)
	if sn.unfit() {
		return nil, journal.Entry{}, errAlone
	}
	switch g := t.group; {
	case (t.behind || t.stale) && ctx.Err() != nil:
		return nil, journal.Entry{}, ended(ctx)
	case t.behind || t.stale:
		d.plain = t.plain && !t.stale
		return d, journal.Entry{}, nil
	case g != nil:
		t.over = true
		entry, err := s.finish(ctx, g, t, origin, d.expired, err)
		t.group = nil
		entry, err = s.part(g, entry, err)
		if errors.Is(err, errTurn) {
			return d, journal.Entry{}, nil
		}
		return nil, entry, err
	case !s.current(sn.catalog):
		return d, journal.Entry{}, nil
	}
	t.over = true
	if err == nil && ctx.Err() != nil {
		err = ended(ctx)
	}
	if entry := t.entry(origin, err); t.idle(origin, &entry, err) {
		if err := t.settle(ctx); err != nil {
			if t.stale {
				return d, journal.Entry{}, nil
			}
			return nil, journal.Entry{}, err
		}
		return nil, entry, err
	}
	if err != nil {
		t.forget()
	}
	d.tx, d.err = t, err
	return d, journal.Entry{}, nil
}

// vouchedHolder has the call vouched for, and returns the entry that holds its key, or nil.
// Where questions are round trips, that is one.
func (t *tx) vouchedHolder(
	ctx context.Context, origin *journal.Origin,
) (*journal.Entry, error) {
	vouch := store.Voucher(ctx)
	if origin.Key == "" {
		if vouch == nil {
			return nil, nil
		}
		return nil, vouch(ctx, &t.view)
	}
	c := claimOf(origin)
	t.claim = &c
	if vouch == nil {
		return t.holder(ctx, origin)
	}
	s := t.store
	var found raws
	err := t.conn.Expect(ctx, s.sqlEntries(s.sqlHeld()), heldBy(origin), found.add)
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	if err = vouch(ctx, &t.view); err == nil {
		err = t.settle(ctx)
	}
	if err != nil || len(found) == 0 {
		return nil, err
	}
	err = s.decode(ctx, t.conn, &found[0])
	return &found[0].entry, err
}

// idle reports whether the call leaves nothing to commit.
func (t *tx) idle(origin *journal.Origin, entry *journal.Entry, err error) bool {
	if err != nil {
		return !kept(origin, err)
	}
	return !t.wrote && silent(entry)
}

// redo runs the call again, in the line, because what it read before has changed. What
// has changed is known, and the rest is remembered, so that few questions are left for
// the database.
func (s *Store) redo(
	ctx context.Context, g *group, d *draft, origin *journal.Origin, fn func(store.Tx) error,
) (journal.Entry, error) {
	if ctx.Err() != nil {
		return journal.Entry{}, ended(ctx)
	}
	t := &tx{view: view{store: s, conn: s.writer, catalog: s.catalog.Load(), asked: true},
		now: origin.Now, ahead: &snapshot{store: s}, group: g}
	if d.tx != nil && d.tx.catalog == t.catalog {
		t.memo, t.since = d.tx, d.since
	}
	d.tx, d.err = nil, nil
	g.ran++
	g.drafts++ // a statement that fails has no savepoint to go back to
	defer t.abandon()
	err := fn(t)
	// What was supposed is found out by what is written, and by nothing else.
	unproved := t.guessed && t.broken == nil && (t.passed || err != nil && !t.saved)
	if t.behind || unproved {
		t.over, t.group = true, nil
		if t.behind || t.saved {
			s.revert(g)
		}
		return s.run(ctx, g, origin, d.expired, fn)
	}
	if t.saved {
		entry, err := s.finish(ctx, g, t, origin, d.expired, err)
		t.group = nil
		return entry, err
	}
	t.group, t.over = nil, true
	if err == nil && ctx.Err() != nil {
		err = ended(ctx)
	}
	if t.broken != nil {
		s.lose(g, t.broken)
		return journal.Entry{}, s.gaveUp(t.broken)
	}
	if entry := t.entry(origin, err); t.idle(origin, &entry, err) {
		s.ensure(g)
		return entry, err
	}
	if err != nil {
		t.forget()
	}
	return s.write(g, &draft{tx: t, err: err, expired: d.expired}, origin)
}

// recall returns a record as it stands in the line, if that is known.
func (t *tx) recall(k recordKey) (value.Record, bool) {
	if t.group == nil || t.saved {
		return value.Record{}, false
	}
	l := &t.store.ledger
	last, changed := l.latest(k)
	switch {
	case changed && !l.unsure(k, max(last.at, l.floor)):
		return last.now, true
	case t.memo == nil || l.unsure(k, t.since) || changed && last.at > t.since:
		return value.Record{}, false
	}
	if seen := t.memo.known(k); seen != nil {
		return seen.before, true
	}
	return value.Record{}, false
}

// snapshot is a connection on which a call runs ahead. A redo has none of its own.
type snapshot struct {
	store *Store
	conn  Conn
	// seat is the connection if it is one.
	seat    *seat
	catalog *catalog
	since   uint64
}

// snapshot waits for room and begins to read one committed state, together with others or
// alone.
func (s *Store) snapshot(ctx context.Context, together bool) (*snapshot, error) {
	select {
	case s.room <- struct{}{}:
	default:
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
	if together {
		sn := &snapshot{store: s, catalog: s.catalog.Load(), since: s.settled.Load()}
		sn.seat = s.seat(sn.catalog)
		sn.conn = sn.seat
		return sn, nil
	}
	c, err := s.readers.take(ctx)
	if err != nil {
		<-s.room
		return nil, s.reading(ctx, err)
	}
	sn := &snapshot{store: s, conn: c, catalog: s.catalog.Load(), since: s.settled.Load()}
	if err := c.Begin(false); err != nil {
		sn.release()
		return nil, s.reading(ctx, err)
	}
	return sn, nil
}

// release gives the connection back, once.
func (sn *snapshot) release() {
	if sn.conn == nil {
		return
	}
	if sn.seat == nil {
		// A transaction that only read has nothing to lose.
		_ = sn.conn.Rollback()
		sn.store.readers.give(sn.conn)
	}
	sn.conn = nil
	<-sn.store.room
}

// unfit reports whether the call has asked for more than its seat gives: whatever it does
// there means nothing.
func (sn *snapshot) unfit() bool { return sn.seat != nil && sn.seat.alone }

// join takes a call that runs ahead into the line, where it goes on: it must see by a
// query what it has written. If what it read has changed meanwhile it must run anew.
func (t *tx) join(ctx context.Context) error {
	s, since := t.store, t.since
	if t.group != nil {
		return t.save()
	}
	if t.ahead.unfit() {
		return errAlone
	}
	t.ahead.release()
	g, err := s.stand(ctx, false)
	if err != nil {
		t.behind = true
		return err
	}
	if t.catalog != s.catalog.Load() || !s.ledger.stands(t, since) ||
		t.claim != nil && !s.ledger.free(*t.claim, since) {
		t.behind = true
		s.pass(g)
		return errBehind
	}
	t.conn, t.group = s.writer, g
	return t.save()
}

// save sets the savepoint under which a call goes on that writes at once, and writes
// what it has done so far.
func (t *tx) save() error {
	w := t.store.writer
	t.ahead, t.saved = nil, true
	if err := w.Save(); err != nil {
		return t.broke(err)
	}
	err := t.replay()
	if c := classOf(err); err != nil && w.Open() && (c == Taken || c == Dangling) {
		// The order of the call's own steps would have been another: it takes them anew.
		t.behind, t.plain = true, true
		return errBehind
	}
	if err != nil {
		return t.broke(err)
	}
	return nil
}

// replay writes what the call has done so far. Relations may point ahead meanwhile:
// of each record only the last state is written.
func (t *tx) replay() error {
	w := t.store.writer
	if err := w.Defer(true); err != nil {
		return err
	}
	for _, i := range t.writes {
		if err := t.store.put(t, &t.touched[i], w.Exec); err != nil {
			if w.Open() { // what is deferred does not end with the savepoint everywhere
				_ = w.Defer(false) // the first error is the one to be told
			}
			return err
		}
	}
	return w.Defer(false)
}

// abandon gives up the line if the function panicked, or ended its goroutine, there.
func (t *tx) abandon() {
	t.over = true
	if t.group == nil {
		return
	}
	switch {
	case t.saved:
		t.store.revert(t.group)
	case !t.store.writer.Open():
		t.store.lose(t.group, errTurn)
	}
	t.store.pass(t.group)
}

// current reports whether the catalog is in force still. It waits for an Apply that
// is about to put another in its place.
func (s *Store) current(c *catalog) bool {
	s.shape.RLock()
	defer s.shape.RUnlock()
	return s.catalog.Load() == c
}

// write queues what a draft did, without the function: all that it read still stands.
func (s *Store) write(
	g *group, d *draft, origin *journal.Origin,
) (journal.Entry, error) {
	t := d.tx
	entry := t.entry(origin, d.err)
	entry.Refusal = refusal(d.err)
	g.dirty, g.drafts = true, g.drafts+1
	for _, i := range t.writes {
		if err := s.put(t, &t.touched[i], s.writer.Queue); err != nil {
			s.lose(g, err)
			return journal.Entry{}, s.gaveUp(err)
		}
	}
	if !silent(&entry) {
		if err := s.append(g, &entry, d.expired); err != nil {
			s.lose(g, err)
			return journal.Entry{}, s.gaveUp(err)
		}
	}
	s.ledger.add(t)
	if entry.Refusal != nil {
		return entry, entry.Refusal
	}
	return entry, nil
}

// put writes what has become of a record.
func (s *Store) put(
	t *tx, c *touched, exec func(sql string, args []value.Value) error,
) error {
	switch {
	case c.before.Zero() && c.now.Zero():
		return nil
	case c.now.Zero():
		t.args = append(t.args[:0], value.OfText(string(c.id)))
		return exec(c.table.delete, t.args)
	case c.before.Zero():
		t.slot = t.slot[:0]
		for i := range c.now.Slots {
			t.slot = append(t.slot, i)
		}
		return exec(c.table.insert(t.slot), c.now.Slots)
	}
	t.slot, t.args = t.slot[:0], t.args[:0]
	for i := range c.now.Slots {
		if !c.now.Slots[i].Equal(c.before.Slots[i]) {
			t.slot = append(t.slot, i)
			t.args = append(t.args, c.now.Slots[i])
		}
	}
	if len(t.slot) == 0 {
		return nil
	}
	t.args = append(t.args, value.OfText(string(c.id)))
	return exec(c.table.update(t.slot), t.args)
}
