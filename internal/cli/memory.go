package cli

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How far the heap of a server grows between two collections, in percent, and the size
// of the process from which on it is collected more often than that. Little of the heap
// lives long, so to collect it less often costs some megabytes and saves a tenth of the
// time.
const (
	gcPercent = 400
	gcMemory  = 128 << 20
)

// settleTime is how long after the start what only that needed is given back.
const settleTime = time.Second

// tuneMemory sets both, unless the environment says another.
func tuneMemory() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		limitMemory(0)
	}
}

// limitMemory sets the limit anew after each collection: at twice what lives, if that is
// more, because a process that lives near its limit does little but collect.
func limitMemory(last int64) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(live)
	limit := max(gcMemory, 2*int64(live[0].Value.Uint64()+live[1].Value.Uint64()))
	// To set it stops the world for a moment, so a small difference is let be.
	if limit > last+last/8 || limit < last-last/8 {
		debug.SetMemoryLimit(limit)
		last = limit
	}
	runtime.AddCleanup(&struct{ p *byte }{}, limitMemory, last)
}
