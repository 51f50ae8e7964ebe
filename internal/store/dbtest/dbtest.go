// Package dbtest gives tests of what stands above the store a database of each kind, with
// an app's schema on it. What is asked of the databases themselves is storetest's.
package dbtest

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

// readers is how many connections for reading each handle on a server has.
const readers = 6

// Database is a store that tells its past.
type Database interface {
	store.Store
	store.History
}

// Each runs a test on every kind of database. open opens one more handle on the same one;
// shared says whether several processes may be on it. Whoever opens a handle closes it.
func Each(t *testing.T, test func(t *testing.T, open func() Database, shared bool)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "galley.db")
		test(t, func() Database {
			db, err := sqlite.Open(t.Context(), sqlite.Config{Path: path, Unsafe: true})
			if err != nil {
				t.Fatal(err)
			}
			return db
		}, false)
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Shared(t).Database(t)
		test(t, func() Database { return Server(t, url) }, true)
	})
}

// Server opens a handle on a database of a server.
func Server(t testing.TB, url string) Database {
	t.Helper()
	db, err := postgres.Open(t.Context(), postgres.Config{URL: url, Readers: readers})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Memory opens a database that nothing is left of.
func Memory(t testing.TB) Database {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// Install gives a database a schema, once.
func Install(t testing.TB, db Database, schema *spec.Schema, now time.Time) {
	t.Helper()
	origin := journal.Origin{Call: ident.NewCall(), Operation: "schema", Key: "first",
		Subject: ident.Subject{Who: ident.System, Name: "migrate"}, Now: now}
	if _, err := db.Apply(t.Context(), origin, spec.Diff(nil, schema), nil); err != nil {
		t.Fatal(err)
	}
}

// Head returns what tells the place of a database's last entry.
func Head(db Database) func(context.Context) (journal.Seq, error) {
	return func(ctx context.Context) (journal.Seq, error) {
		last, err := db.Entries(ctx, store.Filter{}, journal.Seq{}, 1)
		if err != nil || len(last) == 0 {
			return journal.Seq{}, err
		}
		return last[0].Seq, nil
	}
}
