//go:build !linux

package cli

import "runtime/debug"

// settle gives the garbage of the start back to the system.
func settle() { debug.FreeOSMemory() }
