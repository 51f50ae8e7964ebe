package faults

import (
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// TestServerIsKilled ends the database's server at once, as a crash does, and starts it
// again, while nodes write and follow.
func TestServerIsKilled(t *testing.T) {
	c := pgtest.Start(t)
	address := c.Database(t)
	begin(t, address, address, address).outlives(c)
}

// outlives ends the server of a cluster again and again, and starts it anew. Whether a
// call hears of that is not promised: the store carries out again what was not kept.
func (w *world) outlives(c *pgtest.Cluster) {
	w.Helper()
	w.progress(10)
	for range kills {
		c.Kill(w.T)
		c.Restart(w.T)
		w.progress(10)
	}
	w.end()
}

// TestFailover ends the server for good and goes on with its standby, which has
// everything that was answered.
func TestFailover(t *testing.T) {
	first := pgtest.Start(t)
	address := first.Database(t)
	second := first.Standby(t)
	address = first.Either(t, address, second)
	w := begin(t, address, address, address)
	w.progress(10)
	first.Kill(t)
	second.Promote(t)
	w.progress(10)
	w.end()
}
