package tsaction

import (
	"context"
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
)

const (
	// watchEvery is how often a run that is longer than this is looked at.
	watchEvery = 2 * time.Millisecond
	// memoryBurst is how many times its bound a run may allocate between two looks,
	// whether it is garbage or not.
	memoryBurst = 2
	// collectEvery is how often a run may have the garbage collected to tell what is
	// still in use.
	collectEvery = 100 * time.Millisecond
	// loadTime and loadMemory bound a module that is run to see what it exports.
	loadTime   = 2 * time.Second
	loadMemory = 64 << 20
)

// watch stops a run that takes too much time or memory. The memory is the growth of
// the process while the run lasts, which is more than the run's own; the bound is for
// those who take all there is, not for accounting.
type watch struct {
	vm *goja.Runtime

	mu       sync.Mutex
	timer    *time.Timer
	live     bool
	tripped  bool
	paused   bool
	ctx      context.Context
	cancel   func()
	call     action.Run
	deadline time.Time
	base     memory
	// collected is when a look last had the garbage collected; over is the collection
	// that first found too much, 0 if none did.
	collected  time.Time
	collecting bool
	over       int64
}

// memory is how much is in use: what the last collection left, that with all that was
// made since, and the number of that collection.
type memory struct{ kept, all, cycle int64 }

func (w *watch) begin(ctx context.Context, cancel func(), call action.Run) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.cancel, w.call = ctx, cancel, call
	w.live, w.tripped, w.paused, w.base = true, false, false, memory{}
	w.over = 0
	if call.Bounds.Time > 0 {
		w.deadline = time.Now().Add(call.Bounds.Time)
	} else {
		w.deadline = time.Time{}
	}
	if w.timer == nil {
		w.timer = time.AfterFunc(watchEvery, w.look)
	} else {
		w.timer.Reset(watchEvery)
	}
}

// pause leaves the run alone while none of its code runs: what it waits for has bounds of
// its own, and what others make meanwhile is not its.
func (w *watch) pause() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = true
	w.timer.Stop()
}

// turn goes on watching: what comes next has the whole time again, and ctx ends it.
func (w *watch) turn(ctx context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ctx, w.paused = ctx, false
	if w.call.Bounds.Time > 0 {
		w.deadline = time.Now().Add(w.call.Bounds.Time)
	}
	w.base, w.over = memory{}, 0
	w.timer.Reset(watchEvery)
}

// end stops watching and reports whether the run was left alone.
func (w *watch) end() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.live = false
	w.timer.Stop()
	w.ctx, w.cancel = nil, nil
	return !w.tripped
}

func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.live || w.tripped || w.paused {
		return
	}
	switch {
	case !w.deadline.IsZero() && !time.Now().Before(w.deadline):
		w.trip(fault.New(fault.Timeout, "The %s took longer than %s.", w.call.Kind(), w.call.Bounds.Time))
	case w.ctx.Err() != nil:
		w.trip(fault.Wrap(fault.Timeout, context.Cause(w.ctx), "The %s took too long.", w.call.Kind()))
	case w.tooMuch():
		w.trip(fault.New(fault.Timeout, "The %s used more than %d MB of memory.",
			w.call.Kind(), w.call.Bounds.Memory>>20))
	default:
		w.timer.Reset(watchEvery)
	}
}

// trip ends the run with f. It is called with the lock held.
func (w *watch) trip(f *fault.Fault) {
	w.tripped = true
	w.vm.Interrupt(f)
	w.cancel()
}

func (w *watch) tooMuch() bool {
	bound := w.call.Bounds.Memory
	if bound <= 0 {
		return false
	}
	now := readMemory()
	if w.base == (memory{}) {
		w.base = now
	}
	w.base.kept = min(w.base.kept, now.kept)
	w.base.all = min(w.base.all, now.all)
	grown := now.all - w.base.all
	switch {
	case grown <= bound:
		w.over = 0
		return false
	case grown > memoryBurst*bound+w.base.kept:
		return true
	}
	// Most of it may be garbage, also of others: only a collection can tell. It counts
	// what is made while it works as well, so that two have to agree.
	if time.Since(w.collected) > collectEvery || w.over != 0 {
		w.collect()
	}
	switch {
	case now.kept-w.base.kept <= bound:
		w.over = 0
	case w.over == 0:
		w.over = now.cycle
	case now.cycle > w.over:
		return true
	}
	return false
}

// collect has the garbage collected beside the run. It is called with the lock held.
func (w *watch) collect() {
	w.collected = time.Now()
	if w.collecting {
		return
	}
	w.collecting = true
	go func() {
		runtime.GC()
		w.mu.Lock()
		defer w.mu.Unlock()
		w.collecting = false
	}()
}

func readMemory() memory {
	samples := [...]metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}
	metrics.Read(samples[:])
	stacks := int64(samples[2].Value.Uint64())
	return memory{
		kept:  int64(samples[0].Value.Uint64()) + stacks,
		all:   int64(samples[1].Value.Uint64()) + stacks,
		cycle: int64(samples[3].Value.Uint64()),
	}
}
