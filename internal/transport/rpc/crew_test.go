package rpc

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
)

// Whoever comes is served at once, however many there are, and no more stay than may.
func TestTheCrewTakesWhoeverComes(t *testing.T) {
	closing, end := context.WithCancel(context.Background())
	c := newCrew(closing)
	const many = 3 * crewMax
	for range 3 {
		var all, inside sync.WaitGroup
		inside.Add(many)
		for range many {
			all.Go(func() {
				c.run(func() {
					inside.Done()
					inside.Wait() // until all are there
				})
			})
		}
		all.Wait()
	}
	var done atomic.Int64
	var all sync.WaitGroup
	for range 1000 {
		all.Go(func() { c.run(func() { done.Add(1) }) })
	}
	all.Wait()
	if got := done.Load(); got != 1000 {
		t.Errorf("%d of 1000 were done", got)
	}
	if n := c.waiting.Load(); n > crewMax+1 {
		t.Errorf("%d wait, of whom %d may", n, crewMax)
	}
	end()
	c.run(func() { done.Add(1) })
	if done.Load() != 1001 {
		t.Error("what comes at the end is not done")
	}
}
