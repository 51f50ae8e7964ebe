package sqlite

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// place is an empty file of the test.
func place(t *testing.T) storetest.Place {
	path := filepath.Join(t.TempDir(), "galley.db")
	return func(f storetest.Faults) (storetest.Store, error) {
		return Open(context.Background(), Config{Path: path, Unsafe: true,
			Fault: func(at sqlstore.Point) error {
				switch {
				case at == sqlstore.BeforeCommit && f.Before != nil:
					return f.Before()
				case at == sqlstore.AfterCommit && f.After != nil:
					return f.After()
				}
				return nil
			}})
	}
}

func TestStoreKeepsItsContract(t *testing.T) { storetest.Run(t, place) }

func TestOneProcessHoldsTheFile(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "data", "galley.db")
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(ctx, Config{Path: path}); err == nil ||
		!strings.Contains(err.Error(), "another galley (process") {
		t.Errorf("got %v, want to hear of the other process", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(ctx, Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestOldReleasesAreRefused(t *testing.T) {
	for version, want := range map[string]bool{"3.51.2": false, "3.51.3": true, "3.51.10": true,
		"3.52.0": false, "3.52.1": true, "3.53.4": true, "3.7.0": false, "4.0.0": true, "x": false,
	} {
		if got := supported(version) == nil; got != want {
			t.Errorf("SQLite %s: got %v, want %v", version, got, want)
		}
	}
}

// TestEveryConnectionFlushes asks the connections themselves.
func TestEveryConnectionFlushes(t *testing.T) {
	d := &dialect{path: filepath.Join(t.TempDir(), "galley.db")}
	for _, write := range []bool{true, false} {
		c, err := d.connect(write)
		if err != nil {
			t.Fatal(err)
		}
		for pragma, want := range map[string]string{"synchronous": "2", "foreign_keys": "1",
			"journal_mode": "wal", "busy_timeout": "5000"} {
			got, err := c.text("PRAGMA " + pragma)
			if err != nil || got != want {
				t.Errorf("%s, writing %v: got %s %v, want %s", pragma, write, got, err, want)
			}
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestStoreOfItsOwnLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	s, err := Open(context.Background(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(os.TempDir())
	if err != nil || len(left) > 0 {
		t.Errorf("got %v %v, want nothing", left, err)
	}
}

// TestCheckpointStorm lets a second connection write the log into the file all the
// time while the store writes and does the same.
func TestCheckpointStorm(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "galley.db")
	s, err := Open(ctx, Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(ctx, journal.Origin{}, storetest.Steps(crashSchema()), nil); err != nil {
		t.Fatal(err)
	}
	other, err := (&dialect{path: path}).connect(true)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var storm, calls sync.WaitGroup
	storm.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-done:
				return
			default:
			}
			mode := []sqlite3.CheckpointMode{sqlite3.CHECKPOINT_PASSIVE,
				sqlite3.CHECKPOINT_RESTART, sqlite3.CHECKPOINT_TRUNCATE}[n%3]
			_, _, err := other.db.WALCheckpoint("main", mode)
			if err != nil && !errors.Is(err, sqlite3.BUSY) {
				t.Errorf("checkpoint: %v", err)
				return
			}
		}
	})
	for w := range 8 {
		calls.Go(func() {
			for n := range 40 {
				if _, err := note(ctx, s, noteName("storm", w, n)); err != nil {
					t.Errorf("write: %v", err)
				}
			}
		})
	}
	calls.Wait()
	close(done)
	storm.Wait()
	if err := errors.Join(other.Close(), storetest.Fold(ctx, s), s.Close(),
		integrity(path)); err != nil {
		t.Error(err)
	}
}

// TestAPathMayHaveAnySigns keeps databases below names that mean something elsewhere.
func TestAPathMayHaveAnySigns(t *testing.T) {
	for _, name := range []string{"my shop", "a+b", "50%20 off?x=1&y#z", `"quotes" 'of' kinds`, "Bücher\\"} {
		path := filepath.Join(t.TempDir(), name, name+".db")
		for range 2 {
			s, err := Open(t.Context(), Config{Path: path})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
}

func TestNobodyElseReadsTheFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s := reopen(t, Config{Path: filepath.Join(dir, "galley.db")})
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "-shm") {
			continue // it holds the numbers of pages and nothing of them
		}
		info, err := e.Info()
		if err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v %v", e.Name(), info.Mode(), err)
		}
	}
	if len(entries) < 3 || s.Failure() != nil {
		t.Errorf("%d files, want file, log and lock", len(entries))
	}
}

// TestADatabaseOfALaterReleaseIsRefused opens a file that a later release has kept.
func TestADatabaseOfALaterReleaseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "galley.db")
	s, err := Open(t.Context(), Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	set := func(sql string) {
		t.Helper()
		c, err := (&dialect{path: path}).connect(true)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.Exec(sql, nil), c.Close()); err != nil {
			t.Fatal(err)
		}
	}
	set(`UPDATE "galley.marks" SET value = '2' WHERE name = 'format'`)
	set(`DROP TABLE "galley.schemas"`)
	_, err = Open(t.Context(), Config{Path: path})
	for _, want := range []string{path, "format 2", "format 1", "use the later one"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want to read of %q", err, want)
		}
	}
	c, err := (&dialect{path: path}).connect(false)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.text(`SELECT count(*) FROM sqlite_schema WHERE name = 'galley.schemas'`); err != nil ||
		n != "0" {
		t.Errorf("something was made in it: %v %v", n, err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	set(`DELETE FROM "galley.marks" WHERE name = 'format'`) // as before there were formats
	if s, err = Open(t.Context(), Config{Path: path}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
