//go:build faults

package faults

import (
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// TestServerIsKilledBehindABouncer ends the server, while PgBouncer stays and gives its
// sessions to whoever comes: nodes go on with those of the server that is started again.
func TestServerIsKilledBehindABouncer(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t)
	direct := c.Database(t)
	through := c.Bouncer(t, 8)(direct)
	begin(t, through, through, direct).outlives(c)
}
