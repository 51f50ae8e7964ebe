package sqlite

import (
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/vfs"
)

// faultVFS is the system's own file system, in which a test lets files fail.
type faultVFS struct {
	vfs.VFSFilename
	mu sync.Mutex
	// fail is asked before each write ("write"), flush ("sync") and read of a file,
	// whose name ends as given: "galley.db" or "galley.db-wal".
	fail func(verb, file string) error
}

// newFaultVFS registers a file system of the test's name.
func newFaultVFS(t *testing.T) *faultVFS {
	f := &faultVFS{VFSFilename: vfs.Find("").(vfs.VFSFilename)}
	name := strings.ReplaceAll(t.Name(), "/", "_")
	vfs.Register(name, f)
	t.Cleanup(func() { vfs.Unregister(name) })
	return f
}

// set replaces what fails; nil lets all be well.
func (f *faultVFS) set(fail func(verb, file string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fail
}

func (f *faultVFS) ask(verb, file string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail == nil {
		return nil
	}
	return f.fail(verb, file)
}

func (f *faultVFS) OpenFilename(
	name *vfs.Filename, flags vfs.OpenFlag,
) (vfs.File, vfs.OpenFlag, error) {
	file, flags, err := f.VFSFilename.OpenFilename(name, flags)
	if err != nil || name == nil {
		return file, flags, err
	}
	return &wrapped{&faultFile{file, f, name.String()}}, flags, nil
}

// wrapped is what the store has around the files of the system.
type wrapped = file

type faultFile struct {
	vfs.File
	vfs  *faultVFS
	name string
}

func (f *faultFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.vfs.ask("read", f.name); err != nil {
		return 0, err
	}
	return f.File.ReadAt(p, off)
}

func (f *faultFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.vfs.ask("write", f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *faultFile) Sync(flags vfs.SyncFlag) error {
	if err := f.vfs.ask("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync(flags)
}

func (f *faultFile) SharedMemory() vfs.SharedMemory {
	if shared, ok := f.File.(vfs.FileSharedMemory); ok {
		return shared.SharedMemory()
	}
	return nil
}

// fails is a fault of one verb on the files whose name ends so.
func fails(verb, file string, err error) func(string, string) error {
	return func(v, f string) error {
		if v == verb && strings.HasSuffix(f, file) {
			return err
		}
		return nil
	}
}

// errFull and errDisk are what a disk says that is full, and one that breaks.
var (
	errFull = error(&fs.PathError{Op: "write", Path: "galley.db", Err: syscall.ENOSPC})
	errDisk = vfs.SystemError(syscall.EIO, sqlite3.IOERR)
)
