package sqlite

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// filesName is the name under which SQLite finds the files of this package.
const filesName = "galley"

// files is the system's own file system without mapped memory: a file whose pages
// have checksums is never mapped, and the driver fails where it finds the map that
// it was promised missing.
type files struct{ vfs.VFSFilename }

// registerFiles makes the file system known. Doing it again changes nothing.
func registerFiles() error {
	if vfs.Find(filesName) != nil {
		return nil
	}
	own, ok := vfs.Find("").(vfs.VFSFilename)
	if !ok {
		return fmt.Errorf("the driver has no files of the system")
	}
	vfs.Register(filesName, files{own})
	return nil
}

// OpenFilename opens a file.
func (f files) OpenFilename(
	name *vfs.Filename, flags vfs.OpenFlag,
) (vfs.File, vfs.OpenFlag, error) {
	opened, flags, err := f.VFSFilename.OpenFilename(name, flags)
	if err != nil {
		return nil, flags, err
	}
	if flags&vfs.OPEN_WAL != 0 && name.URIParameter(gatherName) != "" {
		return &log{file: file{opened}}, flags, nil
	}
	return &file{opened}, flags, nil
}

// gatherName is the parameter of a database's name that says that what is written to
// its log is gathered. Who says it flushes the log in every commit.
const gatherName = "gather"

// gatherMax bounds what is gathered of a log, in bytes.
const gatherMax = 1 << 20

// log is a log whose pages, which come one after another and each in two parts, are
// written with one call of the system when they are flushed. Other connections read
// a page only after that.
type log struct {
	file
	buffer []byte
	at     int64
}

// WriteAt gathers what follows what was gathered before.
func (l *log) WriteAt(p []byte, off int64) (int, error) {
	if off != l.at+int64(len(l.buffer)) || len(l.buffer)+len(p) > gatherMax {
		if err := l.write(); err != nil {
			return 0, err
		}
		l.at = off
	}
	l.buffer = append(l.buffer, p...)
	return len(p), nil
}

// write writes what was gathered.
func (l *log) write() error {
	if len(l.buffer) == 0 {
		return nil
	}
	_, err := l.file.WriteAt(l.buffer, l.at)
	l.at += int64(len(l.buffer))
	l.buffer = l.buffer[:0]
	return err
}

// ReadAt reads what is written.
func (l *log) ReadAt(p []byte, off int64) (int, error) {
	if err := l.write(); err != nil {
		return 0, err
	}
	return l.file.ReadAt(p, off)
}

// Size counts what was gathered.
func (l *log) Size() (int64, error) {
	if err := l.write(); err != nil {
		return 0, err
	}
	return l.file.Size()
}

// Truncate cuts what is written.
func (l *log) Truncate(size int64) error {
	if err := l.write(); err != nil {
		return err
	}
	return l.file.Truncate(size)
}

// Sync writes and flushes.
func (l *log) Sync(flags vfs.SyncFlag) error {
	if err := l.write(); err != nil {
		return err
	}
	return l.file.Sync(flags)
}

// Close writes what is left: it belongs to no commit.
func (l *log) Close() error { return errors.Join(l.write(), l.file.Close()) }

// file offers of a file what SQLite needs, and not its map.
type file struct{ vfs.File }

// WriteAt writes, and says of a disk that is full that it is: the driver takes what the
// system says of it for a disk that breaks.
func (f *file) WriteAt(p []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(p, off)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = vfs.SystemError(err, sqlite3.FULL)
	}
	return n, err
}

// SharedMemory is where connections meet.
func (f *file) SharedMemory() vfs.SharedMemory {
	if shared, ok := f.File.(vfs.FileSharedMemory); ok {
		return shared.SharedMemory()
	}
	return nil
}

// HasMoved reports whether the file is another by now.
func (f *file) HasMoved() (bool, error) {
	if moved, ok := f.File.(vfs.FileHasMoved); ok {
		return moved.HasMoved()
	}
	return false, nil
}
