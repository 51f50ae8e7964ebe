package sqlstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
)

const (
	// groupCalls bounds the calls that one commit serves.
	groupCalls = 64
	// groupTime bounds how long a group's first call waits for the others.
	groupTime = 10 * time.Millisecond
	// gatherTime bounds how long a group that is too small waits for its next call.
	gatherTime = 500 * time.Microsecond
	// queueMax bounds the calls that wait for the line.
	queueMax = 8192
)

// line lets one call write at a time, in the order of their coming.
//
// How many calls share a commit decides what each of them costs. Those that come again
// and again would, by themselves, fall into groups of which most are small. So a group
// that is smaller than half of the crowd waits a little for its next call, and one that
// has half of it commits, so that the other half decides meanwhile what it will write.
type line struct {
	mu    sync.Mutex
	held  bool
	queue []*ticket
	// parked is an open group that waits for its next call, which closes taken.
	parked *group
	taken  chan struct{}
	// crowd is how many calls came of late in the time of two groups, and before is how
	// many the last group had.
	crowd, before int
}

// ticket is a place in the queue. turn gets the open group, or a nil one.
type ticket struct{ turn chan *group }

// group is a transaction that several calls share.
type group struct {
	calls int
	// ran counts those whose functions ran in the line.
	ran   int
	began time.Time
	// dirty says that a call of the group has something to commit.
	dirty bool
	// turn names the group at a shared database's head.
	turn int64
	// guess says that nobody has looked yet whether the head is where this process
	// left it: the first statement that is sent does.
	guess bool
	// away says that after the group nobody is to write any more.
	away bool
	// first is the place of the last entry before the group.
	first   uint64
	entries []*journal.Entry
	// drafts counts the calls whose statements were queued; plain says that there
	// are to be none.
	drafts int
	plain  bool
	// lost says that the database gave the whole transaction up.
	lost error
	done chan struct{}
	err  error
}

// enter waits for the line and returns the open group, or nil if there is none.
func (l *line) enter(ctx context.Context) (*group, error) {
	l.mu.Lock()
	if !l.held {
		l.held = true
		l.mu.Unlock()
		return nil, nil
	}
	if g := l.parked; g != nil {
		l.parked = nil
		close(l.taken)
		l.mu.Unlock()
		return g, nil
	}
	if len(l.queue) >= queueMax {
		l.mu.Unlock()
		return nil, &fault.Fault{Kind: fault.Unavailable, RetryAfter: 1,
			Message: "Too many writes wait for the database."}
	}
	t := &ticket{turn: make(chan *group, 1)}
	l.queue = append(l.queue, t)
	l.mu.Unlock()
	select {
	case g := <-t.turn:
		return g, nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	for i, other := range l.queue {
		if other == t {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)
			l.mu.Unlock()
			return nil, ended(ctx)
		}
	}
	l.mu.Unlock()
	// The turn came in the same moment: take it, so that the line goes on.
	return <-t.turn, nil
}

// hand gives the line with the open group to the next call and reports whether there
// was one.
func (l *line) hand(g *group) bool {
	l.mu.Lock()
	half := 2*g.calls >= l.crowd
	switch {
	// Where functions run in the line, nothing is gained by others that run ahead.
	case half && (len(l.queue) == 0 || 2*g.ran < g.calls):
		l.mu.Unlock()
		return false
	case len(l.queue) > 0:
		l.next(g)
		l.mu.Unlock()
		return true
	}
	taken := make(chan struct{})
	l.parked, l.taken = g, taken
	l.mu.Unlock()
	enough := time.NewTimer(gatherTime)
	defer enough.Stop()
	select {
	case <-taken:
		return true
	case <-enough.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken != taken || l.parked == nil {
		return true
	}
	l.parked = nil
	l.crowd /= 2
	return false
}

// learn takes from a group that is over how many calls come.
func (l *line) learn(g *group) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crowd = max(g.calls+max(l.before, len(l.queue)), l.crowd-l.crowd/8)
	l.before = g.calls
}

// leave gives the line to the next in the queue, or frees it.
func (l *line) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.held = false
		return
	}
	l.next(nil)
}

func (l *line) next(g *group) {
	t := l.queue[0]
	copy(l.queue, l.queue[1:])
	l.queue[len(l.queue)-1] = nil
	l.queue = l.queue[:len(l.queue)-1]
	t.turn <- g
}

// join makes sure that a transaction is open and returns its group. sure asks for one
// that holds the head.
func (s *Store) join(g *group, sure bool) (*group, error) {
	if g == nil {
		g = &group{began: time.Now(), first: s.head, done: make(chan struct{})}
	}
	g.calls++
	switch {
	case s.writer.Open():
		return g, nil
	case g.calls > 1: // what the others did is gone; a transaction anew would keep half
		return g, errTurn
	}
	return g, s.open(g, sure)
}

// pass ends the caller's turn: it hands the open transaction on while others wait
// and the group is small, and otherwise commits it for all.
func (s *Store) pass(g *group) {
	if g.lost == nil && g.calls < groupCalls && time.Since(g.began) < groupTime &&
		s.line.hand(g) {
		return
	}
	s.end(g)
	s.line.leave()
}

// end settles the group, tells its calls, and then looks after the files, for which
// none of them needs to wait.
func (s *Store) end(g *group) {
	s.settle(g)
	s.line.learn(g)
	kept := g.err == nil && g.dirty
	close(g.done)
	if !kept {
		return
	}
	if err := s.dialect.Tidy(s.writer); classOf(err) == Broken {
		s.fail(err)
	}
}

// settle ends the group's transaction and says in g.err how.
func (s *Store) settle(g *group) {
	switch {
	case g.lost != nil:
		g.err = s.gaveUp(g.lost)
	case !s.writer.Open():
		if g.dirty { // nobody said so, but it is gone
			g.lost = errTurn
			g.err = s.gaveUp(errTurn)
		}
	case !g.dirty:
		g.err = s.writer.Rollback()
	default:
		g.err = s.commit(g, s.catalog.Load().hash)
	}
	if g.err != nil {
		s.ledger.reset()
		s.calm = 0
	}
	s.settled.Store(s.ledger.clock)
	if g.err != nil {
		s.head = g.first
		// Whatever the rollback says, the group's error stands.
		_ = s.writer.Rollback()
		return
	}
	if len(g.entries) > 0 {
		s.feed.publish(g.entries, s.head)
	}
}

// commit ends the transaction, with the schema of that name in force. Its error is the
// fault that each of the group gets.
func (s *Store) commit(g *group, spec string) error {
	if s.fault != nil {
		if err := s.fault(BeforeCommit); err != nil {
			return s.gaveUp(err)
		}
	}
	err := s.moveHead(g, spec)
	if err == nil {
		err = s.writer.Commit()
		if classOf(err) == Gone {
			err = s.resolve(g, err)
		}
	}
	if err == nil && s.fault != nil {
		if err = s.fault(AfterCommit); err != nil {
			err = &Problem{Class: Broken, Err: err}
		}
	}
	switch {
	case err == nil:
		s.last = g.turn
		return nil
	case errors.Is(err, errUnresolved):
		return unknown(err)
	case classOf(err) != Broken:
		g.lost = err
		return s.gaveUp(err)
	}
	s.fail(err)
	return unknown(err)
}

// gaveUp is the fault of calls of which nothing was committed.
func (s *Store) gaveUp(err error) error {
	switch classOf(err) {
	case Full:
		return fault.Wrap(fault.Unavailable, err, "The disk is full. Nothing was written.")
	case Broken:
		s.fail(err)
		return stopped(err)
	default:
		return &fault.Fault{Kind: fault.Unavailable, RetryAfter: 1, Cause: err,
			Message: "The database could not write. Nothing was written."}
	}
}

// stopped is the fault of a write to a store that failed.
func stopped(err error) error {
	return fault.Wrap(fault.Unavailable, err,
		"The database has failed and takes no more writes. Nothing was written.")
}

// exclusive calls fn with the line held and no transaction open.
func (s *Store) exclusive(ctx context.Context, fn func() error) error {
	g, err := s.line.enter(ctx)
	if err != nil {
		return err
	}
	defer s.line.leave()
	if g != nil {
		s.end(g)
	}
	if err := s.Failure(); err != nil {
		return stopped(err)
	}
	return fn()
}

// errTurn says that the group was given up by another call's doing.
var errTurn = errors.New("another call of the group lost its transaction")
