//go:build !linux

package job

import "time"

// thread is an operating system's thread, of which nothing is known here.
type thread int

func ownThread() thread { return 0 }

// yield does nothing where threads have no weight of their own.
func (thread) yield() error { return nil }

// used tells that nothing is known.
func (thread) used() (time.Duration, bool) { return 0, false }

// waits tells that nothing is known.
func (thread) waits() bool { return false }
