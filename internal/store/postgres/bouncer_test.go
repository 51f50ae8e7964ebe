package postgres

import (
	"context"
	"flag"
	"regexp"
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// TestStoreKeepsItsContractBehindABouncer has each transaction go to another session of
// the server than the one before. Of the suite it runs what depends on sessions; whole,
// it runs by -bouncer.
func TestStoreKeepsItsContractBehindABouncer(t *testing.T) {
	through := pgtest.Shared(t).Bouncer(t, 6)
	some := regexp.MustCompile("Serializable|Crowd|Context|Leaves|Equal|InFlight|Follow|Handle|" +
		"Shapes|Reads|Values|Functions|OwnWrites|SchemaChanges")
	for _, g := range storetest.Guarantees() {
		for _, c := range g.Checks {
			if !*whole && !some.MatchString(c.Name) {
				continue
			}
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				url := through(pgtest.Shared(t).Database(t))
				c.Run(t, func(f storetest.Faults) (storetest.Store, error) {
					return Open(context.Background(), Config{URL: url, Fault: faults(f)})
				})
			})
		}
	}
}

var whole = flag.Bool("bouncer", false, "run the whole suite behind PgBouncer")

// TestABouncerIsSeen asks a connection itself, and that neither settings nor prepared
// statements are left in the sessions of others.
func TestABouncerIsSeen(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	through := pgtest.Shared(t).Bouncer(t, 1)(url)
	for address, want := range map[string]bool{url: false, through: true} {
		d, err := newDialect(address)
		if err != nil {
			t.Fatal(err)
		}
		c := newConn(d, false)
		if err := c.connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if c.link.pooled != want {
			t.Errorf("got pooled %v, want %v", c.link.pooled, want)
		}
		if err := c.Begin(false); err != nil {
			t.Fatal(err)
		}
		if got := c.value(t, "current_setting('jit')"); got != "off" {
			t.Errorf("in a transaction: got jit %s, want off", got)
		}
		if err := c.Rollback(); err != nil {
			t.Fatal(err)
		}
		if want {
			left := pgtest.Shared(t).Psql(t, address, "SHOW jit")
			if left != "on" {
				t.Errorf("behind the transaction: got jit %s, want on", left)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// faults are the suite's hooks at the points of the store.
func faults(f storetest.Faults) func(sqlstore.Point) error {
	return func(at sqlstore.Point) error {
		switch {
		case at == sqlstore.BeforeCommit && f.Before != nil:
			return f.Before()
		case at == sqlstore.AfterCommit && f.After != nil:
			return f.After()
		}
		return nil
	}
}
