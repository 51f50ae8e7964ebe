package cluster

import (
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// somebody returns the user under whom the server runs; ok is false where it is our
// own. PostgreSQL refuses to run as root.
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

// foreign lets a command run under that name, in a process group of its own, so that an
// interrupt reaches the benchmark alone.
func foreign() *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if uid, gid, ok := somebody(); ok {
		a.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	return a
}

// giveAway gives a file to that user.
func giveAway(path string) error {
	if uid, gid, ok := somebody(); ok {
		return os.Chown(path, uid, gid)
	}
	return nil
}
