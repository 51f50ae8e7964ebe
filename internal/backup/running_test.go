package backup_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/backup"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// TestWhoServesWhatWasRestoredEnds restores a longer history into a database that a process
// uses, against all advice. What that process knows is of a past that is none: it must not
// write another entry, and ends by itself if it does not write.
func TestWhoServesWhatWasRestoredEnds(t *testing.T) {
	long := history(t, 12).backup()
	for _, writes := range []bool{true, false} {
		url := pgtest.Shared(t).Database(t)
		running := served(t, url, history(t, 3).backup(), backup.Options{})
		other, err := postgres.Open(t.Context(), postgres.Config{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		restore := func() {
			_, err := backup.Restore(t.Context(), bytes.NewReader(long), other,
				backup.Options{Replace: true})
			if err = errors.Join(err, other.Close()); err != nil {
				t.Fatal(err)
			}
		}
		if writes {
			begun := false
			_, err := running.Write(t.Context(), journal.Origin{Operation: "test", Key: "k"},
				func(tx store.Tx) error {
					if !begun {
						begun = true
						restore()
					}
					return nil
				})
			if !fault.Is(err, fault.Unavailable) {
				t.Errorf("a write on what is not there any more: %v", err)
			}
		} else {
			restore()
		}
		select {
		case <-running.Failed():
		case <-time.After(time.Minute):
			t.Errorf("writes %v: it is served on", writes)
		}
	}
}
