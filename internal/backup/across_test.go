package backup_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/galleybackend/galley/internal/backup"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// TestMain lets the tests share a server.
func TestMain(m *testing.M) { pgtest.Main(m) }

// served restores into a database of a server and opens it.
func served(t *testing.T, url string, file []byte, o backup.Options) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	_, err = backup.Restore(t.Context(), bytes.NewReader(file), s, o)
	if err = errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	if s, err = postgres.Open(t.Context(), postgres.Config{URL: url}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// TestBackupsGoFromOneDatabaseToAnother restores what was taken from a file into a
// server and back, and to moments on the way.
func TestBackupsGoFromOneDatabaseToAnother(t *testing.T) {
	w := history(t, 12)
	file := w.backup()
	url := pgtest.Shared(t).Database(t)
	s := served(t, url, file, backup.Options{})
	want := state(t, w.store, true)
	if got := state(t, s, true); got != want {
		t.Errorf("in the server there is\n%s\nwant\n%s", got, want)
	}
	if err := storetest.Fold(t.Context(), s); err != nil {
		t.Error(err)
	}
	sum, err := backup.Verify(t.Context(), bytes.NewReader(file), nil)
	if err != nil {
		t.Fatal(err)
	}
	var back bytes.Buffer
	err = s.Snapshot(t.Context(), func(p *sqlstore.Snapshot) error {
		p.Marks[sqlstore.MarkEpoch] = sum.Epoch
		return backup.Write(t.Context(), p, "test", w.now, &back)
	})
	if err != nil || !bytes.Equal(back.Bytes(), file) {
		t.Errorf("the way back has another backup (%v)", err)
	}
	// Relations are enforced where they were restored.
	_, err = s.Write(t.Context(), journal.Origin{Operation: "test"}, func(tx store.Tx) error {
		id, err := w.there("users")
		if err != nil {
			return err
		}
		return tx.Delete(context.Background(), "users", id)
	})
	if err != nil {
		t.Error(err)
	}
	if err := storetest.Fold(t.Context(), s); err != nil {
		t.Error(err)
	}
	for seq := uint64(3); seq <= w.last; seq += 9 {
		s := served(t, url, file, backup.Options{Replace: true,
			To: backup.Moment{Seq: journal.Seq{Lo: seq}}})
		if got := state(t, s, false); got != w.states[seq] {
			t.Fatalf("at %d: got\n%s\nwant\n%s", seq, got, w.states[seq])
		}
		if err := storetest.Fold(t.Context(), s); err != nil {
			t.Errorf("at %d: %v", seq, err)
		}
	}
}
