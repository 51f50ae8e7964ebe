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

// foreign lets a command run under another name where it must.
func foreign() *syscall.SysProcAttr {
	uid, gid, ok := somebody()
	if !ok {
		return &syscall.SysProcAttr{}
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid),
		Gid: uint32(gid)}}
}

// tied is foreign, for a command that ends when the thread ends that started it. It
// has a process group of its own, so that Ctrl-C reaches only the tests.
func tied() *syscall.SysProcAttr {
	a := foreign()
	a.Pdeathsig, a.Setpgid = syscall.SIGQUIT, true
	return a
}

// lockThread keeps the goroutine's thread alive as long as the goroutine.
func lockThread() { runtime.LockOSThread() }

// giveAway gives a file to the user of foreign.
func giveAway(path string) error {
	if uid, gid, ok := somebody(); ok {
		return os.Chown(path, uid, gid)
	}
	return nil
}
