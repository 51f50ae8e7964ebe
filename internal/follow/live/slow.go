package live

import (
	"context"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/limit"
)

const (
	// quickTime is how long a query may take that is asked again whenever it must be. For
	// one that takes longer there is one part in slowShare of the loop's time, so that
	// pushes of others pass meanwhile.
	quickTime = 20 * time.Millisecond
	slowShare = 5
	// spentMax bounds the callers of whom it is known how long their queries took of
	// late, fadeEach is how often that is halved.
	spentMax = 10_000
	fadeEach = 10 * time.Second
	// lookedMax is how many of those who follow a topic are asked who they are.
	lookedMax = 16
)

// slow is what is to be asked again and takes long: one at a time, first for those for
// whom the least was done of late.
type slow struct {
	topics []*topic
	// resets are subscriptions of slow topics that wait for the whole answer.
	resets []*sub
	// next is when the next of them has its turn.
	next time.Time
	// spent is how long the queries of a caller took of late.
	spent map[string]time.Duration
	faded time.Time
}

// isSlow reports that a topic's query took long when it was asked last.
func (h *Hub) isSlow(t *topic) bool { return t.whole == nil && t.watch.Took() > h.cfg.Quick }

// due reports whether something slow has its turn.
func (x *slow) due() bool {
	return len(x.topics)+len(x.resets) > 0 && !time.Now().Before(x.next)
}

// forget takes a topic out that ended.
func (x *slow) forget(t *topic) {
	x.topics = slices.DeleteFunc(x.topics, func(y *topic) bool { return y == t })
}

// late has a subscription told everything when it has its turn. Until then it is told
// nothing.
func (h *Hub) late(s *sub) {
	c := s.conn
	c.mu.Lock()
	if !s.paused {
		s.paused = true
		c.slow = append(c.slow, s)
	}
	s.wished = true
	c.mu.Unlock()
	h.slow.resets = append(h.slow.resets, s)
}

// turnOfSlow lets one slow topic ask again. What fails for its own sake fails for it
// alone; another error is that of all.
func (h *Hub) turnOfSlow(ctx context.Context, l *engine.Look) error {
	x := &h.slow
	x.resets = slices.DeleteFunc(x.resets, func(s *sub) bool {
		_, there := s.topic.subs[s]
		return !there || !s.wishes()
	})
	x.topics = slices.DeleteFunc(x.topics, func(t *topic) bool { return !t.waiting })
	if !x.due() {
		return nil
	}
	t := h.neediest()
	if t == nil { // who waits has much to take first
		x.next = time.Now().Add(tickEach)
		return nil
	}
	began := time.Now()
	err := h.askSlow(ctx, l, t)
	took := time.Since(began)
	h.charge(t, took)
	x.next = time.Now().Add((slowShare - 1) * took)
	if err == nil {
		t.failures = 0
		return nil
	}
	if t.failures++; t.failures >= failuresMax && ctx.Err() == nil {
		h.over(t, unanswered(err))
	}
	if fault.Is(err, fault.Timeout) {
		return nil
	}
	return err
}

// askSlow asks the query of a topic again, for all who wait for that.
func (h *Hub) askSlow(ctx context.Context, l *engine.Look, t *topic) error {
	if t.waiting {
		err := h.ask(ctx, l, t)
		if err == nil {
			h.slow.forget(t)
		}
		return err
	}
	rows, err := h.answer(ctx, l, t)
	if err != nil {
		if f := fault.From(err); !passing(f) {
			h.over(t, f)
			return nil
		}
		return err
	}
	items := itemsOf(rows)
	h.slow.resets = slices.DeleteFunc(h.slow.resets, func(s *sub) bool {
		if s.topic != t || s.conn.full() {
			return false
		}
		h.reset(s, l.At(), items)
		return true
	})
	return nil
}

// neediest is the topic whose callers had the least of late. One that nobody follows any
// more is dropped.
func (h *Hub) neediest() (best *topic) {
	least := time.Duration(0)
	look := func(t *topic) {
		if spent := h.spentOn(t); best == nil || spent < least {
			best, least = t, spent
		}
	}
	for _, t := range slices.Clone(h.slow.topics) {
		if len(t.subs) == 0 {
			h.settle(t)
			h.drop(t)
			continue
		}
		look(t)
	}
	for _, s := range h.slow.resets {
		if !s.topic.waiting && !s.conn.full() {
			look(s.topic)
		}
	}
	return best
}

// spentOn is how long queries took of late of the one among those who follow a topic who
// had the least.
func (h *Hub) spentOn(t *topic) time.Duration {
	least, n := time.Duration(-1), 0
	for s := range t.subs {
		if spent := h.slow.spent[callerOf(s.conn)]; least < 0 || spent < least {
			least = spent
		}
		if n++; n == lookedMax {
			break
		}
	}
	return least
}

// charge notes how long the query of a topic took, for those who follow it.
func (h *Hub) charge(t *topic, took time.Duration) {
	x := &h.slow
	if now := time.Now(); x.spent == nil || now.Sub(x.faded) >= fadeEach || len(x.spent) >= spentMax {
		kept := make(map[string]time.Duration, len(x.spent)/2)
		for who, spent := range x.spent {
			if spent > quickTime {
				kept[who] = spent / 2
			}
		}
		x.spent, x.faded = kept, now
	}
	n := 0
	for s := range t.subs {
		x.spent[callerOf(s.conn)] += took / time.Duration(len(t.subs))
		if n++; n == lookedMax {
			return
		}
	}
}

// callerOf names a caller: a user, or the network of who is not signed in.
func callerOf(c *Conn) string {
	if c.subject.Who == ident.Anonymous {
		return limit.Network(c.call.Request.IP)
	}
	return c.subject.String()
}

// wishes reports whether a subscription waits for the whole answer.
func (s *sub) wishes() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.wished
}

// joinSlow makes a subscription of the rows of a query that takes long as they were at a
// place that may have passed: what changed since it is told when the query has its turn.
func (h *Hub) joinSlow(c *Conn, q Query, w *engine.Watch, rows engine.Rows, known past) (
	start Start, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[w.Key()]
	if c.gone || !w.Current() || t != nil && !t.watch.Current() {
		return start, false
	}
	fresh := t == nil
	if fresh {
		t = h.open(w, rows)
		h.wait(t, rows.At)
	}
	s := h.attach(c, q, t, rows.At)
	if !fresh {
		h.late(s)
	}
	nudge(h.wake)
	start = Start{Sub: s.name, At: h.At(rows.At)}
	if known.known {
		start.Changes, start.Changed = known.changes, true
		return start, true
	}
	start.Items, start.Reset = itemsOf(rows), q.Since != ""
	return start, true
}
