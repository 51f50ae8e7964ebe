// Package sqlstore keeps the contract of package store over a database that speaks
// SQL. It owns the write line, the journal and its idempotency, the changes of each
// transaction, the rendering of query plans, and the steps of a migration. What one
// database says in its own way it asks of a Dialect; which files or servers there
// are it leaves to its children.
//
// All writes go through one line. Who holds it runs his own function inside the open
// transaction, under a savepoint of his own, and hands the transaction on to the next
// in the queue; the last commits for all of them, so that one flush serves many:
//
//	enter → run → next waits and the group is small? hand on : commit → wake all
//
// Reads have connections of their own and wait for nobody.
package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

var _ store.Store = (*Store)(nil)

// reservedPrefix begins the names of the store's own tables and indexes. No
// collection's name begins so.
const reservedPrefix = "galley."

// Config says how a store is kept.
type Config struct {
	Dialect Dialect
	// Readers is the number of connections for reading; 0 means 4.
	Readers int
	// Fault, if set, is asked at each Point and fails it. It is for tests.
	Fault func(at Point) error
}

// Point is a place where a test may let the store fail.
type Point uint8

// The points. At BeforeCommit nothing was committed; at AfterCommit all was, but
// nobody has been told.
const (
	BeforeCommit Point = iota + 1
	AfterCommit
)

// Store is a store.Store over a Dialect.
type Store struct {
	dialect Dialect
	// shared says that other processes may write to the same database.
	shared  bool
	fault   func(Point) error
	writer  Conn
	readers *pool
	trips   trips
	line    line
	claims  claims
	feed    feed
	// shape guards the catalog against the readers of one before: a reader holds
	// it as long as it looks, Apply while it swaps.
	shape   sync.RWMutex
	catalog atomic.Pointer[catalog]
	old     oldSchemas
	// head is the place of the last entry written, known to the line's holder, and text
	// the room in which he writes the next.
	head uint64
	text []byte
	// last is whose turn at a shared database's head was the last that is known here.
	last int64
	// history is what the turns of the history have in common that the journal tells.
	history atomic.Int64
	// calm counts the groups of this process that followed one another, as far as it
	// was looked.
	calm int
	// ledger is the line's; settled is its time of the last commit.
	ledger  ledger
	settled atomic.Uint64
	lucks   lucks
	// company says which calls that run ahead are worth a place in a trip.
	company lucks
	// room bounds the calls that run ahead at a time.
	room chan struct{}

	failure atomic.Pointer[failure]
	failed  chan struct{}
	closing chan struct{}
	closed  sync.Once
	calls   sync.WaitGroup
	gate    sync.RWMutex
	// watched is closed when nobody watches for the commits of others any more.
	watched chan struct{}
}

type failure struct{ err error }

// Open takes a database that has been recovered, makes the store's own tables where
// they are missing, and reads the schema in force.
func Open(ctx context.Context, c Config) (*Store, error) {
	s := &Store{
		dialect: c.Dialect, fault: c.Fault,
		failed: make(chan struct{}), closing: make(chan struct{}),
	}
	s.shared = c.Dialect.Words().Lock != ""
	n := c.Readers
	if n == 0 {
		n = 4
	}
	s.readers = newPool(c.Dialect, n)
	s.trips.lanes = newPool(c.Dialect, tripLanes)
	s.trips.spec = s.sqlShape()
	s.room = make(chan struct{}, max(n-2, 2))
	s.claims.running = map[claim]chan struct{}{}
	w, err := c.Dialect.Connect(ctx, true)
	if err != nil {
		return nil, err
	}
	s.writer = w
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if s.shared {
		s.watched = make(chan struct{})
		go s.watch()
	}
	return s, nil
}

// prepare makes what is missing and reads what is there.
func (s *Store) prepare(ctx context.Context) error {
	if err := s.writer.Begin(true); err != nil {
		return fmt.Errorf("open for writing: %w", err)
	}
	if err := s.ownFormat(ctx); err != nil {
		return errors.Join(err, s.writer.Rollback())
	}
	err := s.ownTables()
	if err == nil && s.shared {
		err = s.ownHead()
	}
	if err == nil {
		err = s.ownMarks(ctx)
	}
	if err == nil {
		err = s.writer.Commit()
	}
	if err != nil {
		return fmt.Errorf("make the store's own tables: %w",
			errors.Join(err, s.writer.Rollback()))
	}
	head, current, err := s.lastEntry(ctx)
	if s.shared {
		var h headRow
		h, err = s.readHead(ctx, s.writer, "")
		head, current, s.last = h.seq, h.spec, h.turn
	}
	if err != nil {
		return fmt.Errorf("read the head of the journal: %w", err)
	}
	s.head = head
	s.feed.advance(head)
	schema, err := s.schemaOf(ctx, s.writer, current)
	if err != nil {
		return err
	}
	cat, err := newCatalog(s.dialect, schema)
	if err != nil {
		return err
	}
	s.catalog.Store(cat)
	return nil
}

// Schema returns the schema in force, which the caller must not change. It is never
// nil.
func (s *Store) Schema() *spec.Schema { return s.catalog.Load().schema }

// Failed is closed when a disk or a file failed. The store then takes no more
// writes; it must be closed and opened again.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Failure is why the store takes no more writes; nil while it does.
func (s *Store) Failure() error {
	if f := s.failure.Load(); f != nil {
		return f.err
	}
	return nil
}

// fail stops the writes for good.
func (s *Store) fail(err error) {
	if s.failure.CompareAndSwap(nil, &failure{err}) {
		close(s.failed)
	}
}

// Close ends the store. Calls that run are finished first; calls that come later,
// and those that follow the journal, end.
func (s *Store) Close() error {
	var err error
	s.closed.Do(func() {
		s.gate.Lock()
		close(s.closing)
		s.gate.Unlock()
		s.calls.Wait()
		if s.watched != nil {
			<-s.watched
		}
		err = errors.Join(s.readers.close(), s.trips.lanes.close(), s.writer.Close())
	})
	return err
}

// begin counts a call that Close waits for.
func (s *Store) begin() error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	select {
	case <-s.closing:
		return fault.New(fault.Unavailable, "The store is closed.")
	default:
		s.calls.Add(1)
		return nil
	}
}

// Read calls fn with a view of one committed state. If other processes write to the
// database, fn may be called again, because they changed the schema; only the last call
// counts.
func (s *Store) Read(ctx context.Context, fn func(store.View) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	if s.shared && store.IsBrief(ctx) {
		if done, err := s.brief(ctx, fn); done {
			return err
		}
	}
	for try := 1; ; try++ {
		v, err := s.look(ctx, fn)
		if v == nil || !v.stale {
			return err
		}
		if try == reshapedTries {
			return fault.Wrap(fault.Unavailable, errReshaped, "The schema is being changed.")
		}
		if err := s.refresh(ctx); err != nil {
			return err
		}
	}
}

// look calls fn with a view, which it returns if there was one.
func (s *Store) look(ctx context.Context, fn func(store.View) error) (*view, error) {
	c, err := s.readers.take(ctx)
	if err != nil {
		return nil, s.reading(ctx, err)
	}
	defer s.readers.give(c)
	s.shape.RLock()
	defer s.shape.RUnlock()
	if err := c.Begin(false); err != nil {
		return nil, s.reading(ctx, err)
	}
	defer func() {
		// A transaction that only read has nothing to lose.
		_ = c.Rollback()
	}()
	v := &view{store: s, conn: c, catalog: s.catalog.Load()}
	if err := v.expectShape(ctx); err != nil {
		return v, err
	}
	err = fn(v)
	if err == nil || !v.asked {
		err = errors.Join(err, v.settle(ctx))
	}
	return v, err
}

// reading turns the error of a read into a fault.
func (s *Store) reading(ctx context.Context, err error) error {
	var f *fault.Fault
	if errors.As(err, &f) {
		return err
	}
	var p *Problem
	if !errors.As(err, &p) {
		return err
	}
	switch p.Class {
	case Interrupted:
		return ended(ctx)
	case Busy, Full, Gone, Reshaped:
		return fault.Wrap(fault.Unavailable, err, "The database cannot be read now.")
	case Overflow:
		return &fault.Fault{Kind: fault.Invalid, Cause: err,
			Message: "A sum is beyond the range of its numbers."}
	case Broken:
		s.fail(err)
		return fault.Wrap(fault.Unavailable, err, "The database cannot be read.")
	default:
		return fault.From(err)
	}
}

// ended is the fault of a call whose time ran out, or that was broken off.
func ended(ctx context.Context) *fault.Fault {
	cause := context.Cause(ctx)
	if cause == nil {
		cause = ctx.Err()
	}
	return fault.Wrap(fault.Timeout, cause, "The call ran out of time.")
}

// pool lends the connections for reading. The one given back last is lent first, so
// that few caches are warm instead of many being lukewarm.
type pool struct {
	dialect Dialect
	room    chan struct{}
	mu      sync.Mutex
	idle    []Conn
}

func newPool(d Dialect, n int) *pool {
	return &pool{dialect: d, room: make(chan struct{}, n)}
}

func (p *pool) take(ctx context.Context) (Conn, error) {
	select {
	case p.room <- struct{}{}:
	default:
		select {
		case p.room <- struct{}{}:
		case <-ctx.Done():
			return nil, ended(ctx)
		}
	}
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		return c, nil
	}
	p.mu.Unlock()
	c, err := p.dialect.Connect(context.WithoutCancel(ctx), false)
	if err != nil {
		<-p.room
		return nil, err
	}
	return c, nil
}

func (p *pool) give(c Conn) {
	p.mu.Lock()
	p.idle = append(p.idle, c)
	p.mu.Unlock()
	<-p.room
}

func (p *pool) close() error {
	var errs []error
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle {
		errs = append(errs, c.Close())
	}
	p.idle = nil
	return errors.Join(errs...)
}

// millis cuts an instant to the millisecond; the zero instant becomes now.
func millis(t time.Time) time.Time {
	if t.IsZero() {
		t = time.Now()
	}
	return t.UTC().Truncate(time.Millisecond)
}

// ofTime is an instant as it is bound to a statement.
func ofTime(t time.Time) value.Value { return value.OfMillis(value.Time, t.UnixMilli()) }

// seqOf is a row's number as a place.
func seqOf(n uint64) journal.Seq { return journal.Seq{Lo: n} }
