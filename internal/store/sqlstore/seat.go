package sqlstore

import (
	"context"

	"github.com/galleybackend/galley/internal/value"
)

// seat is the connection of a call that runs ahead and hopes to need one answer only: its
// key, who asks, and what it names. It shares the round trip with brief reads and with
// others that run ahead. A second question would see another state, so that the call then
// begins again, alone. Of a Conn it has what a call ahead uses.
type seat struct {
	Conn
	trips *trips
	q     question
	asked bool
	// alone says that the call must begin again.
	alone bool
}

func (s *Store) seat(c *catalog) *seat {
	return &seat{trips: &s.trips, q: question{spec: c.hash, stale: true}}
}

// Expect adds to the question.
func (c *seat) Expect(
	_ context.Context, sql string, args []value.Value, each func(Row) error,
) error {
	if c.asked {
		c.alone = true
		return errAlone
	}
	c.q.add(sql, args, each)
	return nil
}

// Query asks the question, once.
func (c *seat) Query(
	ctx context.Context, sql string, args []value.Value, each func(Row) error,
) error {
	if err := c.Expect(ctx, sql, args, each); err != nil {
		return err
	}
	c.asked = true
	if !c.trips.ask(ctx, &c.q) {
		return &Problem{Class: Interrupted, Err: ctx.Err()}
	}
	if c.q.stale || c.q.err != nil {
		c.alone = true
		return errAlone
	}
	return nil
}

// Begin does nothing: the trip has the transaction.
func (c *seat) Begin(bool) error { return nil }

// Rollback does nothing.
func (c *seat) Rollback() error { return nil }

// Open is true: nothing that the call does ends the trip's transaction.
func (c *seat) Open() bool { return true }
