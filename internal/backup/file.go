package backup

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/galleybackend/galley/internal/fault"
)

// Report is told how far a file has come: what is being done, and how many bytes or
// rows of it are done.
type Report struct {
	Copied   func(bytes int64)
	Verified func(rows int64)
}

// Saved is a file that was written.
type Saved struct {
	Summary
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
}

// Save writes what Write has written into a file that was not there. The file is its
// owner's alone, and has its name only once it is on disk and verified.
func Save(ctx context.Context, name string, from io.Reader, told Report) (_ Saved, err error) {
	if err := folder(filepath.Dir(name)); err != nil {
		return Saved{}, err
	}
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fs.ErrExist
		}
		return Saved{}, &fs.PathError{Op: "write", Path: name, Err: err}
	}
	// Nobody but its owner may read a file that CreateTemp makes.
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return Saved{}, noRoom(name, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the error that led here is the one to be told
		}
	}()
	n, err := compress(f, from, told.Copied)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return Saved{}, noRoom(name, err)
	}
	out := Saved{File: name, Bytes: n}
	if out.Summary, err = VerifyFile(ctx, f.Name(), told.Verified); err != nil {
		return out, fmt.Errorf("the backup was written, but it is not right: %w", err)
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return out, err
	}
	return out, syncDir(filepath.Dir(name))
}

// folder asks that there is a folder: backups are kept where somebody wants them, and not
// where a name was mistyped.
func folder(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no folder %s to keep the backup in: make it, or name another", dir)
	case err == nil && !info.IsDir():
		return fmt.Errorf("%s is no folder, so that no backup can be kept in it", dir)
	}
	return err
}

// noRoom makes a sentence of a disk that is full; other errors it returns as they are.
func noRoom(name string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	dir := filepath.Dir(name)
	if whole, failed := filepath.Abs(dir); failed == nil {
		dir = whole
	}
	return fault.Wrap(fault.Unavailable, err, "The disk of %s is full. Nothing of the backup was "+
		"kept: make room there, or name a file on another disk.", dir)
}

// compress copies what it reads and returns how many bytes became of it.
func compress(to *os.File, from io.Reader, told func(int64)) (int64, error) {
	z, err := gzip.NewWriterLevel(to, gzip.BestSpeed)
	if err != nil {
		return 0, err
	}
	if _, err := io.Copy(z, &meter{from: from, told: told}); err != nil {
		return 0, fmt.Errorf("the copy broke off: %w", err)
	}
	if err := z.Close(); err != nil {
		return 0, err
	}
	info, err := to.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// meter counts what is read through it.
type meter struct {
	from io.Reader
	n    int64
	told func(int64)
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	m.n += int64(n)
	if m.told != nil {
		m.told(m.n)
	}
	return n, err
}

// Open opens a file for Verify and Restore.
func Open(name string) (io.ReadCloser, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, fmt.Errorf("%s is no backup of galley: %w", name, err)
	}
	z.Multistream(false)
	return &file{z, f}, nil
}

// file is an open file and what reads it.
type file struct {
	*gzip.Reader
	under *os.File
}

// Close closes the file.
func (f *file) Close() error { return errors.Join(f.Reader.Close(), f.under.Close()) }

// VerifyFile verifies a file. The error names it.
func VerifyFile(ctx context.Context, name string, done func(rows int64)) (Summary, error) {
	f, err := Open(name)
	if err != nil {
		return Summary{}, err
	}
	out, err := Verify(ctx, f, done)
	if err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return out, errors.Join(err, f.Close())
}

// syncDir makes the name of a new file durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
