package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/bench/load"
)

// system is what is put under load.
type system interface {
	// open is the connection of the n-th terminal.
	open(ctx context.Context, n int) (session, error)
	close() error
}

// plan is how long a system is driven, and by how many.
type plan struct {
	scale     scale
	terminals int
	seed      uint64
	warm      time.Duration
	// time is how long calls are counted. If it is 0, the run ends after so many calls.
	time  time.Duration
	calls int64
}

// tally is what terminals were answered.
type tally struct {
	// all counts every answered call, warm time included, refused those of them that
	// named an item that is not there, delivered the orders of Deliveries.
	all       [verbs]int64
	refused   int64
	delivered int64
	// orders counts the New-Orders of the counted time that took place.
	orders int64
	took   [verbs]load.Histogram
}

func (t *tally) add(o *tally) {
	for v := range t.all {
		t.all[v] += o.all[v]
		t.took[v].Add(&o.took[v])
	}
	t.refused += o.refused
	t.delivered += o.delivered
	t.orders += o.orders
}

func (t *tally) calls() (n int64) {
	for _, c := range t.all {
		n += c
	}
	return n
}

// tpmC is New-Orders a minute.
func (t *tally) tpmC(time time.Duration) float64 { return float64(t.orders) / time.Minutes() }

// done is what the answers say has been done.
func (t *tally) done() done {
	return done{t.all[newOrder] - t.refused, t.all[payment], t.delivered}
}

// drive lets the terminals call in a closed loop, without keying and think times. The
// first error ends it.
func drive(ctx context.Context, s system, p plan) (tally, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var wait sync.WaitGroup
	var left atomic.Int64
	left.Store(p.calls)
	parts := make([]tally, p.terminals)
	count := time.Now().Add(p.warm)
	end := count.Add(p.time)
	more := func() bool {
		if p.time > 0 {
			return time.Now().Before(end)
		}
		return left.Add(-1) >= 0
	}
	for n := range p.terminals {
		c, err := s.open(ctx, n)
		if err != nil {
			return tally{}, err
		}
		t := newTerminal(p.scale, n, p.seed)
		wait.Go(func() {
			for more() && ctx.Err() == nil {
				if err := parts[n].one(ctx, c, t.next(), count, end); err != nil {
					stop(fmt.Errorf("terminal %d: %w", n, err))
				}
			}
			if err := c.close(); err != nil {
				stop(err)
			}
		})
	}
	wait.Wait()
	var all tally
	for i := range parts {
		all.add(&parts[i])
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return all, err
	}
	return all, ctx.Err()
}

// one asks for one transaction and counts it.
func (t *tally) one(ctx context.Context, s session, c *call, count, end time.Time) error {
	start := time.Now()
	a, err := s.do(ctx, c)
	if err != nil {
		return err
	}
	t.all[c.verb]++
	t.delivered += int64(a.delivered)
	if a.refused {
		t.refused++
	}
	if now := time.Now(); start.After(count) && now.Before(end) {
		t.took[c.verb].Observe(now.Sub(start))
		if c.verb == newOrder && !a.refused {
			t.orders++
		}
	}
	return nil
}
