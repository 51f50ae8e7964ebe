package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"
)

// needs lists the programs that the tests use, with the Debian package that has each.
func needs() [][2]string {
	return [][2]string{
		{"gcc", "gcc"}, // the race detector links with it
		{"chromium", "chromium"},
		{"strace", "strace"},
		{"mkfs.ext4", "e2fsprogs"},
		{"losetup", "util-linux"},
		{"node", "nodejs"},
		{"npm", "npm"},
		{"postgres", "postgresql"},
		{"pgbouncer", "pgbouncer"},
	}
}

// installTries is how often something is tried that needs a server elsewhere, installPause how
// long after the first failure; after each further one it is three times as long.
const (
	installTries = 4
	installPause = 5 * time.Second
)

// quiet has Debian install PostgreSQL without a server that runs all the time: the tests
// start their own.
const quiet = `s/^#? *create_main_cluster *=.*/create_main_cluster = false/`

// runSetup installs the Debian packages that are missing. On other systems it says
// what to install.
func runSetup(ctx context.Context, _ []string) error {
	var missing []string
	for _, n := range needs() {
		if !installed(n[0]) {
			missing = append(missing, n[1])
		}
	}
	if len(missing) == 0 {
		return installTools(ctx)
	}
	fmt.Fprintln(os.Stderr, "installing", missing)
	if _, err := exec.LookPath("apt-get"); err != nil || runtime.GOOS != "linux" {
		return fmt.Errorf("please install %v; the tests use them", missing)
	}
	install := []string{"apt-get", "install", "-qy", "--no-install-recommends"}
	steps := [][]string{{"apt-get", "update", "-q"}}
	if slices.Contains(missing, "postgresql") {
		steps = append(steps, append(slices.Clone(install), "postgresql-common"),
			[]string{"sed", "-Ei", quiet, "/etc/postgresql-common/createcluster.conf"})
	}
	for _, args := range append(steps, append(install, missing...)) {
		if os.Geteuid() != 0 {
			args = append([]string{"sudo"}, args...)
		}
		if err := insist(ctx, ".", args...); err != nil {
			return err
		}
	}
	return installTools(ctx)
}

// installTools installs the tools that judge what Galley generates, where they are missing.
func installTools(ctx context.Context) error {
	// npm writes what it installed there; a lock that is younger asks for something else.
	have, err := os.Stat("tools/npm/node_modules/.package-lock.json")
	want, missing := os.Stat("tools/npm/package-lock.json")
	if err == nil && missing == nil && !want.ModTime().After(have.ModTime()) {
		return nil
	}
	return insist(ctx, "tools/npm", "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
}

// insist runs a command that needs somebody else's server, and again after a while if it
// fails, up to installTries times.
func insist(ctx context.Context, dir string, args ...string) error {
	for n, pause := 1, installPause; ; n, pause = n+1, 3*pause {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		err := cmd.Run()
		if err == nil {
			return nil
		}
		err = fmt.Errorf("%v: %w", args, err)
		if n == installTries {
			return err
		}
		fmt.Fprintf(os.Stderr, "%v; once more in %v\n", err, pause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return err
		}
	}
}

// installed looks for a program where Debian puts it.
func installed(name string) bool {
	if _, err := exec.LookPath(name); err == nil {
		return true
	}
	for _, pattern := range []string{"/usr/sbin/", "/usr/lib/postgresql/*/bin/"} {
		// The patterns are in order, so that there is no error.
		if found, _ := filepath.Glob(pattern + name); len(found) > 0 {
			return true
		}
	}
	return false
}
