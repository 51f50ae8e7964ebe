package postgres

import (
	"context"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// TestADatabaseOfALaterReleaseIsRefused has a later release come to a database that this
// one uses: this one ends before it writes anything more, and does not come back.
func TestADatabaseOfALaterReleaseIsRefused(t *testing.T) {
	cluster := pgtest.Shared(t)
	address := cluster.Database(t)
	s, err := Open(t.Context(), Config{URL: address})
	must(t, err)
	_, err = s.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(notes()), nil)
	must(t, err)
	shape := s.Schema().Table("notes").Shape
	look(t, s.Store, note(t, s.Store, shape, "before"))

	// What a later release does: it has a format, functions and turns of its own.
	cluster.Psql(t, address, `BEGIN;
		SELECT 1 FROM "galley.head" FOR UPDATE;
		UPDATE "galley.marks" SET value = '2' WHERE name = 'format';
		UPDATE "galley.head" SET turn = turn # 1;
		DO $$ BEGIN EXECUTE (SELECT 'DROP FUNCTION ' || oid::regprocedure FROM pg_proc
			WHERE proname LIKE 'galley_functions_%'); END $$;
		COMMIT`)
	if _, err = s.Write(t.Context(), journal.Origin{Operation: "note"}, adding(shape)); err == nil {
		t.Error("it wrote into a database of a later release")
	}
	<-s.Failed()
	err = s.Failure()
	if f := fault.From(err); f.Code != sqlstore.CodeNewer || !told(err) {
		t.Errorf("it ended with %v", err)
	}
	must(t, s.Close())

	if _, err = Open(t.Context(), Config{URL: address}); err == nil || !told(err) {
		t.Errorf("it was opened: %v", err)
	}
	const ask = `SELECT (SELECT count(*) FROM "galley.journal"),
		(SELECT count(*) FROM pg_proc WHERE proname LIKE 'galley_functions_%')`
	if got := strings.TrimSpace(cluster.Psql(t, address, ask)); got != "2|0" {
		t.Errorf("it has %s entries and functions of this release, want 2|0", got)
	}
}

// adding adds a note.
func adding(shape *value.Shape) func(store.Tx) error {
	return func(tx store.Tx) error {
		r := value.NewRecord(shape)
		r.Set(spec.FieldID, value.OfText(string(ident.NewRecord())))
		r.Set("text", value.OfText("hello"))
		_, err := tx.Put(context.Background(), "notes", r)
		return err
	}
}

// told reports whether an error names both formats, and what to do.
func told(err error) bool {
	for _, want := range []string{"format 2", "format 1", "use the later one", "restore a backup"} {
		if !strings.Contains(err.Error(), want) {
			return false
		}
	}
	return true
}

// TestADatabaseWithoutAFormatHasTheFirst opens one that was made before there were formats.
func TestADatabaseWithoutAFormatHasTheFirst(t *testing.T) {
	cluster := pgtest.Shared(t)
	address := cluster.Database(t)
	for range 2 {
		s, err := Open(t.Context(), Config{URL: address})
		must(t, err)
		must(t, s.Close())
		got := cluster.Psql(t, address, `SELECT value FROM "galley.marks" WHERE name = 'format'`)
		if strings.TrimSpace(got) != "1" {
			t.Errorf("got format %q", got)
		}
		cluster.Psql(t, address, `DELETE FROM "galley.marks" WHERE name = 'format'`)
	}
}
