//go:build !unix

package sqlite

import "os"

// lockFile makes the file. Where there is no flock, nothing holds other processes
// off but the database's own locks.
func lockFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
}
