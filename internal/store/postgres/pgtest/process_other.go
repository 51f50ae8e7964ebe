//go:build !linux

package pgtest

import "syscall"

// Foreign lets a command run under our own name; the tests alone end it.
func Foreign() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func tied() *syscall.SysProcAttr { return Foreign() }

func lockThread() {}

// GiveAway does nothing: the file is ours.
func GiveAway(string) error { return nil }
