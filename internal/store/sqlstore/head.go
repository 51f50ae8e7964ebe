package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// Where other processes write to the same database, the head is a row that each group
// locks before it does anything: so the groups of all processes follow one another,
// whatever the isolation of the database, and the numbers of entries have no gaps. The
// row says the place of the last entry, the schema in force and whose turn was last. Who
// finds that the head has moved reads the entries between before he goes on: what he
// knows of the past is then as true as if they had been his own.

//
// Tables change their shape in ways that old snapshots do not see: a table that was made
// anew is empty for them. So the schema in force stands in a table of its own, too, which
// a change of the schema empties first, and fills last. Every read looks at it first:
// either the change then waits for the end of the read, or the read for the change; and
// who has a snapshot of before finds that table empty as well, and begins anew.

const (
	tableHead  = reservedPrefix + "head"
	tableShape = reservedPrefix + "shape"
	// missedMax and missedBytes bound the entries of others that are read one by one, and
	// about how many bytes they take. Who missed more forgets what he knew.
	missedMax   = 2048
	missedBytes = 32 << 20
	// pollTime is how often the head is looked at, if nobody tells of a commit.
	pollTime = 100 * time.Millisecond
	// watchAgain is how long to wait after the watching has failed.
	watchAgain = time.Second
	// resolveTime bounds how long a process tries to learn how a commit went.
	resolveTime = 5 * time.Second
	resolveWait = 50 * time.Millisecond
	// reshapedTries bounds how often a read begins anew because the schema changed.
	reshapedTries = 3
)

// errReshaped says that the schema in force is not the one of the catalog.
var errReshaped = errors.New("the schema has changed")

// headRow is what the head's row says.
type headRow struct {
	seq  uint64
	spec string
	turn int64
}

// ownHead makes the head's row, in a transaction of its own: it may have to wait for a
// change of the schema, which must not wait for the tables that were made before.
func (s *Store) ownHead() error {
	err := s.writer.Commit()
	if err == nil {
		err = s.writer.Begin(true)
	}
	if err != nil {
		return err
	}
	d := s.dialect
	number := d.Column(&value.Type{Kind: value.TypeInt})
	for _, sql := range []string{
		"CREATE TABLE IF NOT EXISTS " + d.Quote(tableHead) + " (one " + number +
			" PRIMARY KEY, seq " + number + " NOT NULL, spec " +
			d.Column(&value.Type{Kind: value.TypeText}) + " NOT NULL, turn " + number +
			" NOT NULL)",
		"INSERT INTO " + d.Quote(tableHead) + " SELECT 1, coalesce(max(seq), 0), coalesce((" +
			"SELECT spec FROM " + d.Quote(tableJournal) + " ORDER BY seq DESC LIMIT 1), ''), 0" +
			" FROM " + d.Quote(tableJournal) + " ON CONFLICT DO NOTHING",
		"CREATE TABLE IF NOT EXISTS " + d.Quote(tableShape) + " (one " + number +
			" PRIMARY KEY, spec " + d.Column(&value.Type{Kind: value.TypeText}) + " NOT NULL)",
		"INSERT INTO " + d.Quote(tableShape) + " SELECT one, spec FROM " + d.Quote(tableHead) +
			" WHERE one = 1 ON CONFLICT DO NOTHING",
	} {
		if err := s.writer.Exec(sql, nil); err != nil {
			return err
		}
	}
	return nil
}

// readHead reads the head's row; lock stands behind the query.
func (s *Store) readHead(ctx context.Context, c Conn, lock string) (h headRow, err error) {
	found := false
	err = c.Query(ctx, "SELECT seq, spec, turn FROM "+s.dialect.Quote(tableHead)+
		" WHERE one = 1"+lock, nil, func(r Row) error {
		found = true
		h = headRow{uint64(r.Int(0)), string(r.Text(1)), r.Int(2)}
		return nil
	})
	if err == nil && !found {
		err = errors.New("the row of the journal's head is gone")
	}
	return h, err
}

// open begins the transaction of a group, and with it its turn at the head. Where nobody
// else had a turn for a while, the lock is asked for with the group's first statements,
// and fails them if the head has moved after all; sure asks for it at once.
func (s *Store) open(g *group, sure bool) error {
	if err := s.writer.Begin(true); err != nil || !s.shared {
		return err
	}
	ctx := context.Background() // the group is not the caller's alone
	if !sure && s.calm >= calmMin {
		g.guess = true
		return s.writer.Expect(ctx, s.sqlGuess(), []value.Value{value.OfInt(s.last)},
			func(Row) error {
				g.guess = false
				return nil
			})
	}
	h, err := s.readHead(ctx, s.writer, s.dialect.Words().Lock)
	if err != nil {
		return err
	}
	if s.calm++; h.turn != s.last {
		s.calm = 0
	}
	if err := s.catchUp(ctx, h); err != nil {
		return err
	}
	g.first = s.head
	return nil
}

// calmMin is how many groups of this process must have followed one another before it
// guesses that the next will, too.
const calmMin = 8

// sqlGuess locks the head if the last turn at it was the given one, and fails with Moved
// if not.
func (s *Store) sqlGuess() string {
	w := s.dialect.Words()
	return "SELECT 1 / (CASE WHEN turn = " + s.dialect.Placeholder(1) +
		" THEN 1 ELSE 0 END) FROM " + s.dialect.Quote(tableHead) + " WHERE one = 1" + w.Lock
}

// ensure makes sure that the group holds the head, for a call that ends with nothing to
// commit: what it was told of the state is then true.
func (s *Store) ensure(g *group) {
	if !g.guess || g.lost != nil {
		return
	}
	err := s.writer.Query(context.Background(), "SELECT 1", nil, func(Row) error { return nil })
	if err != nil {
		s.lose(g, err)
	}
}

// moveHead says in the open transaction where the head is now.
func (s *Store) moveHead(g *group, spec string) error {
	if !s.shared {
		return nil
	}
	g.turn = s.newTurn(g.away)
	d := s.dialect
	if notify := d.Words().Notify; notify != "" {
		if err := s.writer.Queue(notify, nil); err != nil {
			return err
		}
	}
	return s.writer.Queue("UPDATE "+d.Quote(tableHead)+" SET seq = "+d.Placeholder(1)+
		", spec = "+d.Placeholder(2)+", turn = "+d.Placeholder(3)+" WHERE one = 1",
		[]value.Value{value.OfInt(int64(s.head)), value.OfText(spec), value.OfInt(g.turn)})
}

// catchUp takes note of what others have committed up to the head. The caller holds the
// line.
func (s *Store) catchUp(ctx context.Context, h headRow) error {
	cat := s.catalog.Load()
	if h.turn < 0 { // nobody has a turn: it was moved elsewhere, or is being filled
		return fault.Wrap(fault.Unavailable, ErrMoved, "The database was moved.")
	}
	if h.turn != s.last && s.foreign(h.turn) {
		return s.strange(ctx)
	}
	if h.seq == s.head && h.spec == cat.hash {
		if h.turn != s.last { // quiet records leave no entry
			s.last = h.turn
			s.ledger.quieted()
			s.settled.Store(s.ledger.clock)
		}
		return nil
	}
	if h.seq < s.head {
		err := fmt.Errorf("the journal ends at %d, but entry %d was there", h.seq, s.head)
		s.fail(err)
		return &Problem{Class: Broken, Err: err}
	}
	reshaped := h.spec != cat.hash
	if reshaped {
		next, err := s.catalogOf(ctx, s.writer, h.spec)
		if err != nil {
			return err
		}
		s.catalog.Store(next) // every view of a shared database finds that out by itself
	}
	missed, err := s.missed(ctx, h.seq)
	if err != nil {
		return err
	}
	if missed == nil || reshaped { // records of before have become others
		s.ledger.reset()
	} else {
		for _, e := range missed {
			s.ledger.foreign(cat, e)
		}
	}
	s.ledger.quieted()
	s.head, s.last = h.seq, h.turn
	s.settled.Store(s.ledger.clock)
	if missed == nil {
		s.feed.publish(nil, h.seq) // who follows reads them
		return nil
	}
	s.feed.publish(missed, h.seq)
	return nil
}

// strange ends the use of a database that is not any more what it was at the opening:
// another process has restored it, or a later release has given it another format.
func (s *Store) strange(ctx context.Context) error {
	marks, err := s.marks(ctx, s.writer)
	if err != nil {
		return err
	}
	if err = newer(marks); err != nil {
		err = fault.WithCode(fault.Unavailable, CodeNewer,
			"The database was changed while it was used: %v. Nothing was lost.", err)
	} else {
		err = fault.WithCode(fault.Unavailable, CodeRestored, "The database was restored while "+
			"it was used: it tells another history. Start again to serve that one.")
	}
	s.fail(err)
	return &Problem{Class: Broken, Err: err}
}

// missed reads what others have committed up to the head; nil if that is too much.
func (s *Store) missed(ctx context.Context, head uint64) (out []*journal.Entry, err error) {
	if head-s.head > missedMax {
		return nil, nil
	}
	v := view{store: s, conn: s.writer, catalog: s.catalog.Load()}
	for at, size := s.head, 0; at < head; {
		page, err := v.page(ctx, at)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 || page[0].Seq.Lo != at+1 {
			return nil, fmt.Errorf("entry %d is missing in the journal", at+1)
		}
		for i := range page {
			out = append(out, &page[i])
			size += entryWeight(&page[i])
		}
		if size > missedBytes {
			return nil, nil
		}
		at = page[len(page)-1].Seq.Lo
	}
	return out, nil
}

// entryWeight is about how many bytes an entry takes.
func entryWeight(e *journal.Entry) int {
	n := len(e.Reply.Text())
	for i := range e.Changes {
		n += weight(e.Changes[i].Before.Slots) + weight(e.Changes[i].After.Slots)
	}
	for i := range e.Intents {
		n += len(e.Intents[i].Payload.Text())
	}
	return n
}

// catalogOf makes the catalog of a schema by its hash.
func (s *Store) catalogOf(ctx context.Context, c Conn, hash string) (*catalog, error) {
	schema, err := s.schemaOf(ctx, c, hash)
	if err != nil {
		return nil, err
	}
	return newCatalog(s.dialect, schema)
}

// resolve learns how a commit went that broke off: the head's lock is free only when
// the transaction has ended, and what is there then tells whether it was kept. What is
// written there is on disk, and with it everything before. It returns nil if the group
// was committed, the cause if it was not, and errUnresolved if that cannot be learnt.
func (s *Store) resolve(g *group, cause error) error {
	if !s.shared {
		return cause
	}
	ctx, stop := context.WithTimeout(context.Background(), resolveTime)
	defer stop()
	for {
		kept, err := s.wasKept(ctx, g)
		switch {
		case err == nil && kept:
			return nil
		case err == nil:
			return cause
		case errors.Is(err, errUnresolved):
			return errors.Join(err, cause)
		}
		select {
		case <-ctx.Done():
			return errors.Join(errUnresolved, cause, err)
		case <-time.After(resolveWait):
		}
	}
}

// errUnresolved says that nobody knows how a commit went.
var errUnresolved = errors.New("it is not known how the commit went")

// wasKept locks the head and reports whether the group was committed.
func (s *Store) wasKept(ctx context.Context, g *group) (bool, error) {
	w := s.writer
	defer func() {
		// After a commit there is nothing to take back.
		_ = w.Rollback()
	}()
	if err := errors.Join(w.Rollback(), w.Begin(true)); err != nil {
		return false, err
	}
	h, err := s.readHead(ctx, w, s.dialect.Words().Lock)
	if err != nil {
		return false, err
	}
	kept, same := h.turn == g.turn, h.turn == s.last
	if !kept && !same { // others had a turn since
		kept, err = s.hasEntry(ctx, g)
	}
	if err != nil || !kept && !same {
		return false, err
	}
	if same {
		// What was sent may be under way still. It must not find the head as it was.
		h.turn = s.newTurn(h.turn < 0)
	}
	d := s.dialect
	err = w.Queue("UPDATE "+d.Quote(tableHead)+" SET turn = "+d.Placeholder(1)+
		" WHERE one = 1", []value.Value{value.OfInt(h.turn)})
	if err == nil {
		err = w.Commit()
	}
	if err == nil && same {
		s.last = h.turn
	}
	return kept, err
}

// hasEntry reports whether the journal holds an entry of the group, at its place: no
// two calls have one name. Of a group that left no entry nothing can be found.
func (s *Store) hasEntry(ctx context.Context, g *group) (found bool, err error) {
	var mine *journal.Entry
	for _, e := range g.entries {
		if e.Origin.Call != "" {
			mine = e
		}
	}
	if mine == nil {
		return false, errUnresolved
	}
	d := s.dialect
	err = s.writer.Query(ctx, "SELECT call FROM "+d.Quote(tableJournal)+" WHERE seq = "+
		d.Placeholder(1), []value.Value{value.OfInt(int64(mine.Seq.Lo))}, func(r Row) error {
		found = string(r.Text(0)) == string(mine.Origin.Call)
		return nil
	})
	return found, err
}

// sqlShape asks which schema is in force: none of any name if the snapshot is older than
// the last change.
func (s *Store) sqlShape() string {
	return "SELECT coalesce((SELECT spec FROM " + s.dialect.Quote(tableShape) + "), '-')"
}

// bar waits until no view is open that could look at a table on its way, and lets those
// that come wait for the end of the transaction.
func (s *Store) bar() error {
	if hurry := s.dialect.Words().Hurry; hurry != "" {
		if err := s.writer.Queue(hurry, nil); err != nil {
			return err
		}
	}
	return s.writer.Exec("TRUNCATE TABLE "+s.dialect.Quote(tableShape), nil)
}

// unbar says which schema is in force after bar.
func (s *Store) unbar(spec string) error {
	return s.writer.Queue("INSERT INTO "+s.dialect.Quote(tableShape)+" VALUES (1, "+
		s.dialect.Placeholder(1)+")", []value.Value{value.OfText(spec)})
}

// expectShape has the view's first statement fail, and the view be stale, if its
// catalog is not the one in force in the state that is read.
func (v *view) expectShape(ctx context.Context) error {
	if !v.store.shared {
		v.asked = true
		return nil
	}
	return v.conn.Expect(ctx, v.store.sqlShape(), nil, func(r Row) error {
		if string(r.Text(0)) != v.catalog.hash {
			v.stale = true
			return errReshaped
		}
		return nil
	})
}

// settle asks something of a view of which nothing was asked, so that what is expected
// comes.
func (v *view) settle(ctx context.Context) error {
	if v.asked {
		return nil
	}
	v.asked = true
	err := v.conn.Query(ctx, "SELECT 1", nil, func(Row) error { return nil })
	if err != nil && !v.stale {
		return v.store.reading(ctx, err)
	}
	return err
}

// query asks through the view's connection.
func (v *view) query(
	ctx context.Context, sql string, args []value.Value, each func(Row) error,
) error {
	v.asked = true
	err := v.conn.Query(ctx, sql, args, each)
	if v.store.shared && classOf(err) == Reshaped {
		v.stale = true
	}
	return err
}

// refresh takes note of what others have committed.
func (s *Store) refresh(ctx context.Context) error {
	return s.exclusive(ctx, func() error {
		h, err := s.readHead(ctx, s.writer, "")
		if err == nil {
			err = s.catchUp(ctx, h)
		}
		if err != nil {
			return s.reading(ctx, err)
		}
		return nil
	})
}

// watch hears of the commits of other processes until the store is closed.
func (s *Store) watch() {
	defer close(s.watched)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	told := make(chan struct{}, 1)
	go func() {
		for ctx.Err() == nil {
			// A watch that fails is begun again; meanwhile the head is looked at.
			_ = s.dialect.Watch(ctx, func() {
				select {
				case told <- struct{}{}:
				default:
				}
			})
			select {
			case <-ctx.Done():
			case <-time.After(watchAgain):
			}
		}
	}()
	poll := time.NewTicker(pollTime)
	defer poll.Stop()
	for {
		select {
		case <-s.closing:
			return
		case <-told:
		case <-poll.C:
		}
		// What cannot be read now is read at the next look.
		_ = s.notice(ctx)
	}
}

// notice looks whether the head has moved by the doing of others.
func (s *Store) notice(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	looking, stop := context.WithTimeout(ctx, resolveTime)
	defer stop()
	c, err := s.readers.take(looking)
	if err != nil {
		return err
	}
	h, err := s.readHead(looking, c, "")
	s.readers.give(c)
	if err != nil || h.seq <= s.feed.place() && h.spec == s.catalog.Load().hash &&
		!s.foreign(h.turn) {
		return err
	}
	return s.refresh(looking)
}

// unknown is the fault of a commit of which nobody knows how it went.
func unknown(err error) error {
	return fault.Wrap(fault.Unknown, err,
		"It is not known whether the write was kept. Ask again with the same key.")
}
