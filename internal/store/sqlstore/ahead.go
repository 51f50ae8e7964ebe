package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
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
	sn, err := s.snapshot(ctx)
	if err != nil {
		return nil, journal.Entry{}, err
	}
	defer sn.release()
	d := &draft{since: sn.since}
	t := &tx{view: view{store: s, conn: sn.conn, catalog: sn.catalog}, now: origin.Now,
		ahead: sn, since: sn.since}
	if err := errors.Join(t.expectShape(ctx), t.expectNamed(ctx, origin.Subject)); err != nil {
		return nil, journal.Entry{}, s.reading(ctx, err)
	}
	if origin.Key != "" {
		c := claimOf(origin)
		t.claim = &c
		held, err := t.holder(ctx, origin)
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
	}
	if ctx.Err() != nil {
		return nil, journal.Entry{}, ended(ctx)
	}
	defer t.abandon()
	err = fn(t)
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
	if t.behind {
		t.over, t.group = true, nil
		s.revert(g)
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

// find is what a query found.
type find struct {
	query query.Query
	rows  []value.Record
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

// found keeps what a query found, where asking again costs a round trip.
func (t *tx) found(q query.Query, found []value.Record) {
	if !t.store.shared || t.ahead == nil {
		return
	}
	q.Args = slices.Clone(q.Args)
	own := clones(found)
	t.finds = append(t.finds, find{q, own})
	if tb := t.catalog.tables[q.Plan.From]; tb != nil && q.Plan.Out == nil {
		t.flocks = append(t.flocks, &flock{table: tb, rows: rows{records: own}})
	}
}

// refind returns what the query found before, if it would find the same now.
func (t *tx) refind(q query.Query) ([]value.Record, bool) {
	if t.memo == nil || t.saved {
		return nil, false
	}
	st, err := t.catalog.statement(q.Plan)
	if err != nil {
		return nil, false
	}
	for _, tb := range st.reads {
		if !t.store.ledger.still(tb, t.since) {
			return nil, false
		}
	}
	same := func(f find) bool {
		return f.query.Plan == q.Plan && slices.EqualFunc(f.query.Args, q.Args, value.Value.Equal)
	}
	if i := slices.IndexFunc(t.memo.finds, same); i >= 0 {
		return clones(t.memo.finds[i].rows), true
	}
	return nil, false
}

// clones are records that the caller may change.
func clones(rows []value.Record) []value.Record {
	out := make([]value.Record, len(rows))
	for i := range rows {
		out[i] = rows[i].Clone()
	}
	return out
}

// snapshot is a connection on which a call runs ahead. A redo has none of its own.
type snapshot struct {
	store   *Store
	conn    Conn
	catalog *catalog
	since   uint64
}

// snapshot waits for room and begins to read one committed state.
func (s *Store) snapshot(ctx context.Context) (*snapshot, error) {
	select {
	case s.room <- struct{}{}:
	default:
		select {
		case s.room <- struct{}{}:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
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
	// A transaction that only read has nothing to lose.
	_ = sn.conn.Rollback()
	sn.store.readers.give(sn.conn)
	sn.conn = nil
	<-sn.store.room
}

// join takes a call that runs ahead into the line, where it goes on: it must see by a
// query what it has written. If what it read has changed meanwhile it must run anew.
func (t *tx) join(ctx context.Context) error {
	s, since := t.store, t.since
	if t.group != nil {
		return t.save()
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

// scan notes that a query is asked. One that has to see what this call wrote is
// asked in the line.
func (t *tx) scan(ctx context.Context, q query.Query) error {
	if t.ahead == nil {
		return nil
	}
	st, err := t.catalog.statement(q.Plan)
	if err != nil {
		return fault.From(err)
	}
	for _, tb := range st.reads {
		if err := t.scanTable(ctx, tb); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) scanTable(ctx context.Context, tb *table) error {
	if t.ahead == nil {
		return nil
	}
	for _, i := range t.writes {
		if t.touched[i].table == tb {
			return t.join(ctx)
		}
	}
	if !slices.Contains(t.scans, tb) {
		t.scans = append(t.scans, tb)
	}
	return nil
}

// foresee finds what would stand against a write of a record, as the database will
// find it in the line: a value that is taken, a relation to nothing. What is found so
// is read like any record, and must still stand when the call is written.
func (t *tx) foresee(ctx context.Context, k recordKey, r value.Record, slots []int) error {
	if seen := t.known(k); seen == nil && (t.ahead == nil || !t.newborn(k.id)) {
		stored, err := t.current(ctx, k)
		if err != nil {
			return err
		}
		if !stored.now.Zero() {
			return k.table.taken([]string{spec.FieldID})
		}
	}
	for n := range k.table.uniques {
		if err := t.foreseeTaken(ctx, k, r, n, slots); err != nil {
			return err
		}
	}
	var names []string
	for _, i := range k.table.relations {
		v := r.Slots[i]
		to := t.catalog.tables[k.table.shape.Fields()[i].Type.Of]
		if v.IsNull() || to == nil || !slices.Contains(slots, i) ||
			to == k.table && v.Text() == string(k.id) {
			continue
		}
		target, err := t.current(ctx, recordKey{to, ident.Record(v.Text())})
		if err != nil {
			return err
		}
		if target.now.Zero() {
			names = append(names, k.table.shape.Fields()[i].Name)
		}
	}
	if names != nil {
		return invalid(names, "reference", "names a record that is not there")
	}
	return nil
}

// newborn reports whether the id was made in this call's own millisecond, so that no
// record can have it but by somebody's intent, which the line then finds.
func (t *tx) newborn(id ident.Record) bool {
	return id.Made().Equal(t.now)
}

// foreseeTaken looks for another record with the same values of a unique set.
func (t *tx) foreseeTaken(
	ctx context.Context, k recordKey, r value.Record, set int, slots []int,
) error {
	unique := slices.Sorted(slices.Values(k.table.uniques[set]))
	concerned := false
	for _, i := range unique {
		if r.Slots[i].IsNull() {
			return nil
		}
		concerned = concerned || slices.Contains(slots, i)
	}
	if !concerned {
		return nil
	}
	same := func(other value.Record) bool {
		for _, i := range unique {
			if !other.Slots[i].Equal(r.Slots[i]) {
				return false
			}
		}
		return true
	}
	taken := func() error {
		names := make([]string, len(unique))
		for n, i := range unique {
			names[n] = k.table.shape.Fields()[i].Name
		}
		return k.table.taken(names)
	}
	for _, i := range t.writes {
		c := &t.touched[i]
		if c.table == k.table && c.id != k.id && !c.now.Zero() && same(c.now) {
			return taken()
		}
	}
	if t.unheard(k.table, r, unique) {
		return nil
	}
	t.args = t.args[:0]
	for _, i := range unique {
		t.args = append(t.args, r.Slots[i])
	}
	found, err := t.collect(ctx, k.table.reader, k.table.unique(set), t.args)
	if err != nil {
		return t.reading(err)
	}
	for _, other := range found {
		id := ident.Record(other.Slots[spec.SlotID].Text())
		if id == k.id {
			continue
		}
		if seen := t.known(recordKey{k.table, id}); seen != nil {
			if seen.now.Zero() || !same(seen.now) {
				continue
			}
		} else {
			t.remember(recordKey{k.table, id}, other)
		}
		return taken()
	}
	return nil
}

// luck says whether calls of an operation are worth a run ahead: where others change
// what they read all the time, they go into the line at once.
type luck struct{ wait, penalty atomic.Int32 }

// penaltyMax bounds the calls that go into the line at once before the next try.
const penaltyMax = 64

func (l *luck) ahead() bool {
	if l.wait.Load() <= 0 {
		return true
	}
	l.wait.Add(-1)
	return false
}

func (l *luck) won() { l.penalty.Store(l.penalty.Load() / 2) }

// lost lets one loss pass and makes the wait longer with each that follows it.
func (l *luck) lost() {
	n := l.penalty.Load()
	l.wait.Store(n)
	l.penalty.Store(min(n*2+1, penaltyMax))
}

// lucks are the operations that are known: few, because their names are the app's.
type lucks struct{ of sync.Map }

func (l *lucks) find(operation string) *luck {
	if v, ok := l.of.Load(operation); ok {
		return v.(*luck)
	}
	v, _ := l.of.LoadOrStore(operation, &luck{})
	return v.(*luck)
}
