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
	return &file{opened}, flags, nil
}

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
