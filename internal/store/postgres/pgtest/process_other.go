//go:build !linux

package pgtest

import "syscall"

// Elsewhere the server runs under our own name, and is ended by the tests only.
func foreign() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

func tied() *syscall.SysProcAttr { return foreign() }

func lockThread() {}

func giveAway(string) error { return nil }
