package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
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

// runSetup installs the Debian packages that are missing. On other systems it says
// what to install.
func runSetup(ctx context.Context, _ []string) error {
	var missing []string
	for _, n := range needs() {
		if _, err := exec.LookPath(n[0]); err == nil {
			continue
		}
		if _, err := os.Stat("/usr/sbin/" + n[0]); err == nil {
			continue
		}
		missing = append(missing, n[1])
	}
	if len(missing) == 0 {
		return nil
	}
	fmt.Fprintln(os.Stderr, "installing", missing)
	if _, err := exec.LookPath("apt-get"); err != nil || runtime.GOOS != "linux" {
		return fmt.Errorf("please install %v; the tests use them", missing)
	}
	for _, args := range [][]string{
		{"update", "-q"},
		append([]string{"install", "-qy", "--no-install-recommends"}, missing...),
	} {
		name := "apt-get"
		if os.Geteuid() != 0 {
			name, args = "sudo", append([]string{"apt-get"}, args...)
		}
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s %v: %w", name, args, err)
		}
	}
	return nil
}
