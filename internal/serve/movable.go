package serve

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// swapMax bounds how long a call waits for the database to which its own was moved.
const swapMax = 10 * time.Second

// turnMax bounds how long a move waits for the end of another one, which may have been
// interrupted.
const turnMax = 10 * time.Second

// lookEach is how often a database is asked whether another process has moved it.
const lookEach = time.Second

// movable is a database in whose place another one can come while it is used: calls
// that find their database left wait for the next one, and are done there.
type movable struct {
	at atomic.Pointer[home]
	// turn has room for the one move that runs.
	turn   chan struct{}
	failed chan struct{}
	once   sync.Once
	lost   atomic.Pointer[error]
	closed chan struct{}
	ends   sync.WaitGroup
}

// home is the database in use, and its address. gone is closed when there is another
// one.
type home struct {
	database
	address string
	gone    chan struct{}
}

func newMovable(db database, address string) *movable {
	m := &movable{failed: make(chan struct{}), closed: make(chan struct{}),
		turn: make(chan struct{}, 1)}
	m.settle(db, address)
	return m
}

// settle takes a database into use.
func (m *movable) settle(db database, address string) {
	h := &home{db, address, make(chan struct{})}
	m.at.Store(h)
	m.ends.Go(func() { m.watch(h) })
}

// watch waits for the end of a database: it fails, it is left, or another process on
// the same database has moved it.
func (m *movable) watch(h *home) {
	tick := time.NewTicker(lookEach)
	defer tick.Stop()
	for {
		select {
		case <-h.Failed():
			m.once.Do(func() { close(m.failed) })
			return
		case <-h.gone:
			return
		case <-m.closed:
			return
		case <-tick.C:
			if isShared(h.address) {
				m.abandoned(context.Background(), h)
			}
		}
	}
}

// moving reports whether a move runs.
func (m *movable) moving() bool { return len(m.turn) > 0 }

// begin lets a move run, and returns what ends it: there is one at a time.
func (m *movable) begin(ctx context.Context) (end func(), err error) {
	timer := time.NewTimer(turnMax)
	defer timer.Stop()
	select {
	case m.turn <- struct{}{}:
		return func() { <-m.turn }, nil
	case <-timer.C:
		return nil, fault.New(fault.Conflict, "A move runs already. Wait for its end.")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// become puts another database in the place of the one in use, which is closed when
// its last reader has gone.
func (m *movable) become(db database, address string) {
	before := m.at.Load()
	m.settle(db, address)
	close(before.gone)
	m.ends.Go(func() {
		// Nothing is written to it any more, so that nothing can be lost by its end.
		_ = before.Close()
	})
}

// again does what may have to be done on the next database: do reports whether it
// was begun.
func (m *movable) again(ctx context.Context, do func(db database) (begun bool, err error)) error {
	for {
		h := m.at.Load()
		begun, err := do(h)
		if err == nil || begun && !errors.Is(err, sqlstore.ErrMoved) {
			return err
		}
		wait := time.Duration(0)
		if errors.Is(err, sqlstore.ErrMoved) && m.moving() {
			wait = swapMax
		}
		if h.left(ctx, wait) {
			continue
		}
		if errors.Is(err, sqlstore.ErrMoved) {
			m.abandoned(ctx, h)
		}
		return err
	}
}

// abandoned ends the use of a database that another process has moved.
func (m *movable) abandoned(ctx context.Context, h *home) {
	looking, stop := context.WithTimeout(context.WithoutCancel(ctx), lookEach)
	defer stop()
	gone := h.Usable(looking)
	if f := fault.From(gone); f != nil && !m.moving() && m.at.Load() == h &&
		(f.Code == sqlstore.CodeMoved || f.Code == sqlstore.CodeFilling) {
		m.lose(gone)
	}
}

// left waits until there is another database, and reports whether there is.
func (h *home) left(ctx context.Context, wait time.Duration) bool {
	select {
	case <-h.gone:
		return true
	default:
	}
	if wait == 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-h.gone:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// Read implements store.Store.
func (m *movable) Read(ctx context.Context, fn func(store.View) error) error {
	return m.again(ctx, func(db database) (begun bool, err error) {
		err = db.Read(ctx, func(v store.View) error {
			begun = true
			return fn(v)
		})
		return begun, err
	})
}

// Write implements store.Store.
func (m *movable) Write(
	ctx context.Context, o journal.Origin, fn func(store.Tx) error,
) (entry journal.Entry, err error) {
	err = m.again(ctx, func(db database) (begun bool, err error) {
		entry, err = db.Write(ctx, o, func(tx store.Tx) error {
			begun = true
			return fn(tx)
		})
		return begun, err
	})
	return entry, err
}

// Apply implements store.Store. While a move runs, the schema stays as it is.
func (m *movable) Apply(
	ctx context.Context, o journal.Origin, steps []spec.Step, judge func(store.View) error,
) (entry journal.Entry, err error) {
	if m.moving() {
		return entry, fault.New(fault.Conflict,
			"The database is being moved. Change the schema when that has come to its end.")
	}
	err = m.again(ctx, func(db database) (bool, error) {
		entry, err = db.Apply(ctx, o, steps, judge)
		return true, err
	})
	return entry, err
}

// Follow implements store.Store. Places are the same in every database to which this
// one is moved.
func (m *movable) Follow(
	ctx context.Context, after journal.Seq,
) iter.Seq2[journal.Entry, error] {
	return m.follow(ctx, after, database.Follow)
}

// Intents implements store.History.
func (m *movable) Intents(
	ctx context.Context, after journal.Seq,
) iter.Seq2[journal.Entry, error] {
	return m.follow(ctx, after, database.Intents)
}

// follow follows one database after the other.
func (m *movable) follow(ctx context.Context, after journal.Seq,
	of func(database, context.Context, journal.Seq) iter.Seq2[journal.Entry, error],
) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		for {
			h := m.at.Load()
			here, stop := context.WithCancel(ctx)
			go func() {
				select {
				case <-h.gone:
					stop()
				case <-here.Done():
				}
			}()
			for e, err := range of(h.database, here, after) {
				if err == nil {
					after = e.Seq
				}
				if !yield(e, err) {
					stop()
					return
				}
			}
			stop()
			if ctx.Err() != nil || !h.left(ctx, 0) {
				return
			}
		}
	}
}

// Entries implements store.History.
func (m *movable) Entries(
	ctx context.Context, f store.Filter, before journal.Seq, limit int,
) (found []journal.Entry, err error) {
	err = m.again(ctx, func(db database) (bool, error) {
		found, err = db.Entries(ctx, f, before, limit)
		return false, err
	})
	return found, err
}

// EntryOf implements store.History.
func (m *movable) EntryOf(ctx context.Context, call ident.Call) (e journal.Entry, err error) {
	err = m.again(ctx, func(db database) (bool, error) {
		e, err = db.EntryOf(ctx, call)
		return false, err
	})
	return e, err
}

// Counts implements store.Planner.
func (m *movable) Counts(ctx context.Context, steps []spec.Step) (found []store.Count, err error) {
	err = m.again(ctx, func(db database) (bool, error) {
		found, err = db.Counts(ctx, steps)
		return false, err
	})
	return found, err
}

// Schema returns the schema in force.
func (m *movable) Schema() *spec.Schema { return m.at.Load().Schema() }

// Usable asks the database in use.
func (m *movable) Usable(ctx context.Context) error { return m.at.Load().Usable(ctx) }

// Epoch asks the database in use.
func (m *movable) Epoch(ctx context.Context) (string, error) { return m.at.Load().Epoch(ctx) }

// Snapshot asks the database in use.
func (m *movable) Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error {
	return m.at.Load().Snapshot(ctx, fn)
}

// Fill asks the database in use.
func (m *movable) Fill(ctx context.Context, fn func(*sqlstore.Filler) error) error {
	return m.at.Load().Fill(ctx, fn)
}

// Leave asks the database in use.
func (m *movable) Leave(
	ctx context.Context, to string, fn func(*sqlstore.Snapshot) error,
) error {
	return m.at.Load().Leave(ctx, to, fn)
}

// Failed is closed when the database in use fails.
func (m *movable) Failed() <-chan struct{} { return m.failed }

// Failure is why the database in use takes no more writes.
func (m *movable) Failure() error {
	if err := m.lost.Load(); err != nil {
		return *err
	}
	return m.at.Load().Failure()
}

// lose ends the use: the database was left, and there is none in its place.
func (m *movable) lose(err error) {
	m.lost.Store(&err)
	m.once.Do(func() { close(m.failed) })
}

// Close closes the database in use, and waits for those that were used before.
func (m *movable) Close() error {
	close(m.closed)
	err := m.at.Load().Close()
	m.ends.Wait()
	return err
}
