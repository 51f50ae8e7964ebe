package job

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// threadNice is the weight of threads that compute for long: a tenth of that of others.
const threadNice = 10

// thread is an operating system's thread.
type thread int

// ownThread is the calling thread, to which the goroutine must be locked.
func ownThread() thread { return thread(unix.Gettid()) }

// yield gives the thread less weight than others of the process have, for as long as it
// lives.
func (t thread) yield() error { return unix.Setpriority(unix.PRIO_PROCESS, int(t), threadNice) }

// used is how long the thread has computed so far, and whether that can be known.
func (t thread) used() (time.Duration, bool) {
	const perThread, scheduled = 4, 2
	var at unix.Timespec
	err := unix.ClockGettime(int32(^int(t)<<3|perThread|scheduled), &at)
	return time.Duration(at.Nano()), err == nil
}

// waits reports whether the thread waits for something else than a processor.
func (t thread) waits() bool {
	text, err := os.ReadFile(fmt.Sprintf("/proc/self/task/%d/stat", int(t)))
	_, rest, found := bytes.Cut(text, []byte(") "))
	return err == nil && found && len(rest) > 0 && rest[0] != 'R'
}
