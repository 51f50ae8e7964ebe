package transfer_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/transfer"
)

// sql lets somebody else do something in a database.
func (p *place) sql(text string) {
	p.t.Helper()
	if strings.HasPrefix(p.address, "postgres://") {
		pgtest.Shared(p.t).Psql(p.t, p.address, text)
		return
	}
	c, err := sqlite3.Open(p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := errors.Join(c.Exec(text), c.Close()); err != nil {
		p.t.Fatal(err)
	}
}

// TestATableOfSomebodyElseLeavesTheTargetAlone moves into a database that has a table, or a
// view, with a collection's name: it stays what it was, and takes the move when that has
// another name.
func TestATableOfSomebodyElseLeavesTheTargetAlone(t *testing.T) {
	across(t, func(t *testing.T, a, b kind) {
		for foreign, remedy := range map[string]string{
			"CREATE TABLE users (x int)":     "ALTER TABLE users RENAME TO theirs",
			"CREATE VIEW users AS SELECT 17": "DROP VIEW users",
		} {
			from, to := filled(t, a, 50), b(t)
			to.sql(foreign)
			was := to.state()
			move := transfer.Move{From: from, To: to, Name: "there"}
			_, err := move.Run(t.Context())
			if code(err) != sqlstore.CodeOccupied || !strings.Contains(err.Error(), `"users"`) ||
				!strings.Contains(err.Error(), "?schema=NAME") {
				t.Errorf("beside a table of somebody else: %v", err)
			}
			if to.again(); to.Usable(t.Context()) != nil || to.state() != was {
				t.Errorf("the target is another one: %v", to.Usable(t.Context()))
			}
			if err := from.Usable(t.Context()); err != nil {
				t.Errorf("the source is not in use: %v", err)
			}
			to.sql(remedy)
			if _, err := move.Run(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
