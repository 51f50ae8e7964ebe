package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// killing drives a Galley for so many calls while it is killed, each time after a share
// of the calls that is drawn, and started again. Terminals send what was not answered
// again under the same key.
func killing(ctx context.Context, g *galley, p plan, kills int) (tally, int, error) {
	counted := &counting{galley: g}
	var got tally
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, failed = drive(ctx, counted, p)
	}()
	draw := newChance(p.seed, 7)
	killed := 0
	for failed := error(nil); killed < kills && failed == nil; killed++ {
		share := float64(p.calls) * (float64(killed) + draw.Float64()) / float64(kills+1)
		if !counted.reach(ctx, int64(share), done) {
			break
		}
		if failed = g.crash(); failed != nil {
			return got, killed, errors.Join(failed, ctx.Err())
		}
		fmt.Printf("  killed after %d calls, back again\n", counted.calls.Load())
	}
	<-done
	if failed == nil && killed < kills {
		failed = fmt.Errorf("only %d kills of %d took place", killed, kills)
	}
	return got, killed, failed
}

// counting counts the calls of its sessions as they begin.
type counting struct {
	*galley
	calls atomic.Int64
}

func (c *counting) open(ctx context.Context, n int) (session, error) {
	s, err := c.galley.open(ctx, n)
	return &countedSession{s, c}, err
}

// reach waits until so many calls have begun; it reports false when the run ends before.
func (c *counting) reach(ctx context.Context, calls int64, done <-chan struct{}) bool {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for c.calls.Load() < calls {
		select {
		case <-done:
			return false
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
	return true
}

type countedSession struct {
	session
	count *counting
}

func (s *countedSession) do(ctx context.Context, c *call) (answer, error) {
	s.count.calls.Add(1)
	return s.session.do(ctx, c)
}
