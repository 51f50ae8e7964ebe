package sqlstore

import (
	"context"
	"errors"

	"github.com/galleybackend/galley/internal/fault"
)

// ErrMoved is in every error of a write that came after the database was moved:
// nothing of it was done.
var ErrMoved = errors.New("the database was moved")

// Leave calls fn with the last state of the database, while every write waits, and
// then marks the database as moved to the place of that name. From then on the store
// takes no more writes, and those that waited end with ErrMoved; it can still be read.
// If fn fails, the writes go on as if nothing had been.
func (s *Store) Leave(ctx context.Context, to string, fn func(*Snapshot) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	return s.exclusive(ctx, func() error {
		w, g := s.writer, &group{}
		if err := s.open(g, true); err != nil {
			return errors.Join(s.gaveUp(err), w.Rollback())
		}
		p := &Snapshot{store: s, conn: w}
		err := p.open(ctx)
		if err == nil {
			err = fn(p)
		}
		if err == nil {
			err = s.mark(w, MarkMoved, to)
		}
		if err != nil {
			_ = w.Rollback() // the error that led here is the one to be told
			return s.reading(ctx, err)
		}
		g.away = true // other processes read it before they write
		if err := s.commit(g, p.Spec); err != nil {
			_ = w.Rollback() // as above
			return err
		}
		s.writer = left{w}
		return nil
	})
}

// left is the writer of a database that was moved.
type left struct{ Conn }

// Begin refuses to write.
func (l left) Begin(write bool) error {
	if write {
		return fault.Wrap(fault.Unavailable, ErrMoved, "The database was moved.")
	}
	return l.Conn.Begin(false)
}
