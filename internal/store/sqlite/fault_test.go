package sqlite

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// faulty opens a store on a file system that a test lets fail.
func faulty(t *testing.T) (*faultVFS, Config, *Store) {
	t.Helper()
	f := newFaultVFS(t)
	c := Config{Path: filepath.Join(t.TempDir(), "galley.db"),
		vfs: strings.ReplaceAll(t.Name(), "/", "_")}
	s := reopen(t, c)
	steps := storetest.Steps(crashSchema())
	if _, err := s.Apply(context.Background(), journal.Origin{}, steps, nil); err != nil {
		t.Fatal(err)
	}
	return f, c, s
}

func reopen(t *testing.T, c Config) *Store {
	t.Helper()
	s, err := Open(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func written(t *testing.T, s *Store) int {
	t.Helper()
	n := 0
	err := s.Read(context.Background(), func(v store.View) error {
		found, err := v.Find(context.Background(), query.Query{Plan: &query.Plan{From: "notes"}})
		n = len(found)
		return err
	})
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return n
}

func folds(t *testing.T, s *Store) {
	t.Helper()
	if err := storetest.Fold(context.Background(), s); err != nil {
		t.Fatal(err)
	}
}

func TestFullDiskStopsWritesUntilThereIsRoom(t *testing.T) {
	for _, file := range []string{"galley.db-wal", ""} {
		t.Run("on"+file, func(t *testing.T) {
			ctx := context.Background()
			f, _, s := faulty(t)
			if _, err := note(ctx, s, "first"); err != nil {
				t.Fatal(err)
			}
			f.set(fails("write", file, errFull))
			for n := range 20 {
				_, err := note(ctx, s, fmt.Sprint("full", n))
				if !fault.Is(err, fault.Unavailable) {
					t.Fatalf("got %v, want unavailable", err)
				}
				if got := written(t, s); got != 1 {
					t.Fatalf("got %d notes, want 1", got)
				}
			}
			if err := s.Failure(); err != nil {
				t.Fatalf("a full disk is no failure: %v", err)
			}
			f.set(nil)
			for n := range 20 {
				e, err := note(ctx, s, fmt.Sprint("full", n))
				if err != nil || e.Replayed {
					t.Fatalf("got %v, replayed %v", err, e.Replayed)
				}
			}
			if got := written(t, s); got != 21 {
				t.Errorf("got %d notes, want 21", got)
			}
			folds(t, s)
		})
	}
}

// TestFailedFlushIsUnknownAndStopsWrites lets the flush, or the write, of one commit
// fail while many wait in its group.
func TestFailedFlushIsUnknownAndStopsWrites(t *testing.T) {
	for _, verb := range []string{"sync", "write"} {
		t.Run(verb, func(t *testing.T) {
			ctx := context.Background()
			f, c, s := faulty(t)
			if _, err := note(ctx, s, "first"); err != nil {
				t.Fatal(err)
			}
			f.set(fails(verb, "-wal", errDisk))
			var calls sync.WaitGroup
			var unknown atomic.Int64
			for n := range 16 {
				calls.Go(func() {
					_, err := note(ctx, s, fmt.Sprint(n))
					switch {
					case fault.Is(err, fault.Unknown):
						unknown.Add(1)
					case !fault.Is(err, fault.Unavailable):
						t.Errorf("got %v, want unknown or unavailable", err)
					}
				})
			}
			calls.Wait()
			if unknown.Load() == 0 {
				t.Errorf("nobody was told that nothing is known")
			}
			f.set(nil)
			select {
			case <-s.Failed():
			default:
				t.Errorf("the store goes on after a failed flush")
			}
			if _, err := note(ctx, s, "later"); !fault.Is(err, fault.Unavailable) {
				t.Errorf("got %v, want unavailable", err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, c)
			for n := range 16 {
				if _, err := note(ctx, s, fmt.Sprint(n)); err != nil {
					t.Fatal(err)
				}
			}
			if got := written(t, s); got != 17 {
				t.Errorf("got %d notes, want 17", got)
			}
			folds(t, s)
		})
	}
}

// big is a write that fills many pages of the log.
func big(ctx context.Context, s *Store, key string) error {
	_, err := s.Write(ctx, journal.Origin{Operation: "big", Key: key}, func(tx store.Tx) error {
		for range 100 {
			n := value.NewRecord(s.Schema().Table("notes").Shape)
			n.Set("name", value.OfText(key))
			n.Set("body", value.OfText(strings.Repeat("x", 40_000)))
			if _, err := tx.Put(ctx, "notes", n); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

func TestFailedCheckpointLosesNothing(t *testing.T) {
	for _, c := range []struct {
		verb  string
		err   error
		fails bool
	}{{"write", errFull, false}, {"sync", errDisk, true}, {"write", errDisk, true}} {
		t.Run(fmt.Sprint(c.verb, c.fails), func(t *testing.T) {
			ctx := context.Background()
			f, config, s := faulty(t)
			f.set(fails(c.verb, "galley.db", c.err))
			if err := big(ctx, s, "one"); err != nil {
				t.Fatalf("the commit was on disk: %v", err)
			}
			if failed := s.Failure() != nil; failed != c.fails {
				t.Fatalf("got failed %v, want %v", failed, c.fails)
			}
			f.set(nil)
			if got := written(t, s); got != 100 {
				t.Errorf("got %d notes, want 100", got)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = reopen(t, config)
			if err := big(ctx, s, "one"); err != nil {
				t.Fatal(err)
			}
			if err := big(ctx, s, "two"); err != nil {
				t.Fatal(err)
			}
			if got := written(t, s); got != 200 {
				t.Errorf("got %d notes, want 200", got)
			}
			folds(t, s)
		})
	}
}

func TestFailedReadStopsTheStore(t *testing.T) {
	ctx := context.Background()
	f, c, s := faulty(t)
	if err := big(ctx, s, "one"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, c)
	f.set(fails("read", "galley.db", errDisk))
	err := s.Read(ctx, func(v store.View) error {
		_, err := v.Find(ctx, query.Query{Plan: &query.Plan{From: "notes"}})
		return err
	})
	if !fault.Is(err, fault.Unavailable) || s.Failure() == nil {
		t.Errorf("got %v and failure %v", err, s.Failure())
	}
	f.set(nil)
}

// TestFlippedBitIsSeen turns one bit of each page of the file in turn.
func TestFlippedBitIsSeen(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "galley.db")
	s := reopen(t, Config{Path: path})
	steps := storetest.Steps(crashSchema())
	if _, err := s.Apply(ctx, journal.Origin{}, steps, nil); err != nil {
		t.Fatal(err)
	}
	for n := range 50 {
		if _, err := note(ctx, s, fmt.Sprint(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 2000; at < len(whole); at += 4096 {
		spoiled := append([]byte(nil), whole...)
		spoiled[at] ^= 0x10
		copied := filepath.Join(t.TempDir(), "galley.db")
		if err := os.WriteFile(copied, spoiled, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Open(ctx, Config{Path: copied})
		if err == nil || !strings.Contains(err.Error(), copied) {
			t.Errorf("the bit at %d of %d: got %v", at, len(whole), err)
		}
	}
}
