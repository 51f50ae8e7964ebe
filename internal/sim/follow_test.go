package sim

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/journal"
)

// disk is what outlives a follower: its place and what it did, kept together.
type disk struct {
	at   journal.Seq
	done []journal.Seq
}

// follower reads the journal at one node after the other, and dies now and then
// between any two of its steps.
type follower struct {
	s    *simulation
	disk disk
	node int
	// act is what it does for an entry; it may be done again by the next life.
	act func(e journal.Entry)
}

// crew are all followers.
type crew struct {
	s         *simulation
	readers   []*follower
	courier   *follower
	mu        sync.Mutex
	goal      journal.Seq
	settled   bool
	stop      context.CancelFunc
	ctx       context.Context
	following sync.WaitGroup
	// steps counts the entries that came.
	steps atomic.Int64
}

// follow begins followers, and a courier who writes a receipt for each transfer.
func (s *simulation) follow(uint64) *crew {
	c := &crew{s: s}
	c.ctx, c.stop = context.WithCancel(s.ctx)
	for n := range simFollowers {
		c.readers = append(c.readers, &follower{s: s, node: n,
			act: func(journal.Entry) { c.steps.Add(1) }})
	}
	c.courier = &follower{s: s, node: 1, act: c.deliver}
	c.begin()
	return c
}

func (c *crew) all() []*follower { return append(c.readers, c.courier) }

func (c *crew) begin() {
	for _, f := range c.all() {
		c.following.Go(func() { c.live(f) })
	}
}

// deliver writes the receipts of an entry. The key makes of its repetitions one.
func (c *crew) deliver(e journal.Entry) {
	c.steps.Add(1)
	for n, ch := range e.Changes {
		if ch.Collection != "transfers" {
			continue
		}
		got, err := c.s.insist(engine.Call{Verb: engine.Create, Target: "receipts",
			Key: fmt.Sprintf("receipt-%v.%d", e.Seq, n), Subject: admin, Trusted: true,
			Body: fmt.Appendf(nil, `{"transfer":%q,"amount":%d}`, ch.ID,
				ch.After.Get("amount").Int())}, c.courier.node)
		if err != nil || got.code != "" {
			c.s.errorf("receipt of %v: %s %v", e.Seq, got.code, err)
		}
	}
}

// live lets a follower live, die and live again until it has reached the goal.
func (c *crew) live(f *follower) {
	for {
		c.mu.Lock()
		ctx, goal, settled := c.ctx, c.goal, c.settled
		c.mu.Unlock()
		if ctx.Err() != nil && (settled || c.s.ctx.Err() != nil) {
			return
		}
		if settled && f.disk.at.Compare(goal) >= 0 {
			return
		}
		f.life(ctx, func() bool { return settled && f.disk.at.Compare(goal) >= 0 })
		f.node = (f.node + 1) % simNodes
	}
}

// life is one life of a follower: it knows what the disk says and nothing else.
func (f *follower) life(ctx context.Context, reached func() bool) {
	f.s.mu.RLock()
	h := f.s.wrap(f.s.handle(f.node))
	f.s.mu.RUnlock()
	for e, err := range h.Follow(ctx, f.disk.at) {
		if err != nil || f.s.one(30) {
			return
		}
		if f.act(e); f.s.one(30) {
			return
		}
		f.disk = disk{e.Seq, append(f.disk.done, e.Seq)}
		if f.s.one(30) || reached() {
			return
		}
	}
}

// end lets the courier deliver all and the others read all.
func (c *crew) end() {
	for range 2 { // the courier's own entries are for the others' second goal
		last, err := c.s.handles[0].Entries(c.s.ctx, storeFilter, journal.Seq{}, 1)
		if err != nil || len(last) == 0 {
			c.s.errorf("the end of the journal: %v", err)
			c.stop()
			return
		}
		c.mu.Lock()
		c.goal, c.settled = last[0].Seq, true
		stop := c.stop
		c.ctx, c.stop = context.WithCancel(c.s.ctx)
		c.mu.Unlock()
		stop()
		if !c.arrive() {
			return
		}
		c.mu.Lock()
		c.settled = false
		c.mu.Unlock()
		c.begin()
	}
	c.mu.Lock()
	c.settled, c.goal = true, journal.Seq{}
	c.mu.Unlock()
	c.stop()
	c.following.Wait()
}

// arrive waits until all followers are at the goal. A follower to whom nothing comes
// before it is there has lost something.
func (c *crew) arrive() bool {
	all := make(chan struct{})
	go func() {
		c.following.Wait()
		close(all)
	}()
	look := time.NewTicker(c.s.patience)
	defer look.Stop()
	for steps := c.steps.Load(); ; {
		select {
		case <-all:
			return true
		case <-look.C:
		}
		now := c.steps.Load()
		if now != steps {
			steps = now
			continue
		}
		c.stop()
		<-all
		for n, f := range c.all() {
			if f.disk.at.Compare(c.goal) < 0 {
				c.s.errorf("nothing more comes to follower %d, which is at %v and not at %v", n,
					f.disk.at, c.goal)
			}
		}
		return false
	}
}
