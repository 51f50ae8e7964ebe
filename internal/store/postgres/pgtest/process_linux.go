package pgtest

import (
	"os"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// somebody returns the user whose name the server runs under; ok is false where it is
// our own. PostgreSQL refuses to run as root.
func somebody() (uid, gid int, ok bool) {
	if os.Geteuid() != 0 {
		return 0, 0, false
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil {
			return uid, gid, true
		}
	}
	return 0, 0, false
}

// Foreign lets a command run under another name where it must, in a process group of its
// own, so that Ctrl-C reaches only who started it.
func Foreign() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if uid, gid, ok := somebody(); ok {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return a
}

// tied is Foreign, for a command that ends when the thread ends that started it.
func tied() *syscall.SysProcAttr {
	a := Foreign()
	a.Pdeathsig = syscall.SIGQUIT
	return a
}

// lockThread keeps the goroutine's thread alive as long as the goroutine.
func lockThread() { runtime.LockOSThread() }

// GiveAway gives a file to the user of Foreign.
func GiveAway(path string) error {
	if uid, gid, ok := somebody(); ok {
		return os.Chown(path, uid, gid)
	}
	return nil
}
