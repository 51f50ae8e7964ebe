// Package sqlite keeps the contract of package store in one SQLite file. It opens
// and recovers the file, holds it against other processes, and gives sqlstore its
// connections and dialect. What was acknowledged is on disk: every connection runs
// with synchronous=FULL, and what an earlier process left in the log is written
// into the file before the first call. How records and journal are kept it leaves to
// sqlstore.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// Config says where and how the database is kept.
type Config struct {
	// Path is the file of the database; its folder is made if it is missing. ""
	// means a database of its own that is gone when the store is closed, for
	// tests.
	Path string
	// Readers is the number of connections for reading; 0 means two more than
	// there are cores, at most 32: few connections whose pages are at hand read faster
	// than many whose are not.
	Readers int
	// Fault, if set, lets the store fail at its points. It is for tests.
	Fault func(at sqlstore.Point) error
	// Unsafe leaves out every flush, so that a power cut loses what was
	// acknowledged. It is for tests that must see the loss.
	Unsafe bool

	// vfs names the file system below, "" being the system's own.
	vfs string
}

// Store is a sqlstore.Store that owns its file.
type Store struct {
	*sqlstore.Store
	lock *os.File
	temp string
}

const (
	// checkTime bounds the integrity check at the opening. A file of more than
	// checkBytes is looked through only if the last process left it in a hurry.
	checkTime  = 2 * time.Second
	checkBytes = 8 << 20
	// busyTime bounds how long a statement waits for another process, such as
	// the sqlite3 shell.
	busyTime = 5 * time.Second
)

// Open opens the database and makes it if it is missing. The error names the file.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open the database %s: %w", c.Path, err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (_ *Store, err error) {
	s := &Store{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release())
		}
	}()
	if c.Path == "" {
		if s.temp, err = os.MkdirTemp("", "galley-"); err != nil {
			return nil, err
		}
		c.Path, c.Unsafe = filepath.Join(s.temp, "memory.db"), true
	}
	if c.Path, err = filepath.Abs(c.Path); err != nil {
		return nil, err
	}
	if err = os.MkdirAll(filepath.Dir(c.Path), 0o700); err != nil {
		return nil, err
	}
	if s.lock, err = lockFile(c.Path + "-lock"); err != nil {
		return nil, err
	}
	if err = makeFile(c.Path); err != nil {
		return nil, err
	}
	d := &dialect{path: c.Path, unsafe: c.Unsafe, vfs: c.vfs}
	if err = d.recover(ctx); err != nil {
		return nil, err
	}
	n := c.Readers
	if n == 0 {
		n = min(runtime.NumCPU()+2, 32)
	}
	s.Store, err = sqlstore.Open(ctx, sqlstore.Config{Dialect: d, Readers: n, Fault: c.Fault})
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(c.Path)
	if err = errors.Join(syncDir(dir), syncDir(filepath.Dir(dir))); err != nil {
		return nil, errors.Join(err, s.Store.Close())
	}
	return s, nil
}

// makeFile makes the database's file, if it is missing, so that nobody else can read
// it, whatever folder it is in. Its log gets the same rights; the index of the log
// holds nothing to read.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// Close ends the store and lets go of its file.
func (s *Store) Close() error {
	return errors.Join(s.Store.Close(), s.release())
}

// release gives up the lock and what was made for this store alone.
func (s *Store) release() error {
	var errs []error
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	if s.temp != "" {
		errs = append(errs, os.RemoveAll(s.temp))
		s.temp = ""
	}
	return errors.Join(errs...)
}

// recover takes what an earlier process left into the file and looks whether the
// file is whole. A log whose flush failed earlier may stand in memory only: what the
// checkpoint writes is written, and flushed, anew.
func (d *dialect) recover(ctx context.Context) (err error) {
	look := sizeOf(d.path+"-wal") > 0 || sizeOf(d.path) <= checkBytes
	c, err := d.connect(true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	version, err := c.text("SELECT sqlite_version()")
	if err != nil {
		return err
	}
	if err := supported(version); err != nil {
		return err
	}
	if _, _, err := c.db.WALCheckpoint("main", sqlite3.CHECKPOINT_TRUNCATE); err != nil {
		return fmt.Errorf("recover: %w", coded(err))
	}
	if err := c.checksum(); err != nil {
		return fmt.Errorf("give pages a checksum: %w", err)
	}
	if !look {
		return ctx.Err()
	}
	// A file too large to look through in time is looked at as far as it goes.
	checking, stop := context.WithTimeout(ctx, checkTime)
	defer stop()
	c.db.SetInterrupt(checking)
	defer c.db.SetInterrupt(context.Background())
	found, err := c.text("PRAGMA quick_check(1)")
	if err != nil && checking.Err() == nil {
		return fmt.Errorf("look through the file: %w", coded(err))
	}
	if err == nil && found != "ok" {
		return fmt.Errorf("the file is damaged: %s", found)
	}
	return ctx.Err()
}

// sizeOf is the size of a file, 0 if there is none.
func sizeOf(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// checksum gives the pages of a file that is empty as yet a checksum each, so that a
// bit that flips later is seen when its page is read.
func (c *conn) checksum() error {
	tables, err := c.text("SELECT count(*) FROM sqlite_schema")
	if err != nil || tables != "0" {
		return err
	}
	return c.db.EnableChecksums("main")
}

// supported refuses the releases that can damage a log when it is begun anew.
func supported(version string) error {
	var n [3]int
	for i, part := range strings.SplitN(version, ".", 3) {
		k, err := strconv.Atoi(part)
		if err != nil {
			return fmt.Errorf("no release of SQLite has the name %q", version)
		}
		n[i] = k
	}
	number := n[0]*1_000_000 + n[1]*1000 + n[2]
	if number < 3_051_003 || number == 3_052_000 {
		return fmt.Errorf("SQLite %s can damage its log; 3.51.3 or later, "+
			"but not 3.52.0, is needed", version)
	}
	return nil
}

// syncDir makes the names of new files durable.
func syncDir(dir string) (err error) {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Sync()
}
