package live

import (
	"context"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
)

// triesMax bounds how often a beginning is tried while the journal runs on.
const triesMax = 50

// begin answers the query of a subscription and joins it to its topic, at one place.
func (h *Hub) begin(ctx context.Context, c *Conn, call engine.Call, q Query) (Start, error) {
	call.Known = h.known
	w, rows, err := h.cfg.Engine.Watch(ctx, call)
	if err != nil {
		return Start{}, err
	}
	call.Known = nil
	if w.Whole() {
		return h.beginWhole(ctx, c, call, q, w, rows.At)
	}
	var known past
	since, ok := h.seqOf(q.Since)
	back := q.Since != "" && ok
	for try := range triesMax {
		start, wait, done := h.join(c, q, w, rows, known)
		if done && start.Reset && back && !known.known {
			// Not all is remembered: the journal may tell.
			h.undo(c, start.Sub)
			back = false
			rows, known, err = h.since(ctx, w, since, rows.At)
			if err != nil {
				return Start{}, err
			}
			continue
		}
		if done {
			return start, nil
		}
		if h.isGone(c) {
			return Start{}, c.end()
		}
		if wait != nil {
			select {
			case <-wait:
			case <-ctx.Done():
				return Start{}, ctx.Err()
			}
		}
		pause(ctx, time.Duration(try)*time.Millisecond)
		if !w.Current() {
			if w, rows, err = h.cfg.Engine.Watch(ctx, call); err != nil {
				return Start{}, err
			}
			known = past{}
			continue
		}
		if known.known && try < triesMax/2 {
			if rows, known, err = h.since(ctx, w, since, rows.At); err != nil {
				return Start{}, err
			}
			continue
		}
		if w.Took() > h.cfg.Quick {
			// Nobody is to wait until it is read again.
			if start, done = h.joinSlow(c, q, w, rows, known); done {
				return start, nil
			}
			continue
		}
		// What was read is older than what the topics know: it is read again in a state
		// that they do not know yet.
		known = past{}
		err = h.cfg.Engine.Look(ctx, func(l *engine.Look) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			if l.At().Compare(*h.place.Load()) < 0 || !w.Current() {
				return nil
			}
			var err error
			if rows, err = w.Answer(ctx, l); err == nil {
				start, wait, done = h.joined(c, q, w, rows, known, try > 0)
			}
			return err
		})
		if err != nil {
			return Start{}, err
		}
		if done {
			return start, nil
		}
	}
	return Start{}, fault.New(fault.Unavailable, "Too much changes for the subscription to begin.")
}

func (h *Hub) join(c *Conn, q Query, w *engine.Watch, rows engine.Rows, known past) (
	start Start, wait <-chan struct{}, done bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.joined(c, q, w, rows, known, false)
}

// undo takes back a subscription that nobody was told of.
func (h *Hub) undo(c *Conn, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	c.opening++ // it is about to begin again
	if s := c.subs[name]; s != nil {
		h.detach(s)
	}
}

// joined makes a subscription of rows as they were at a place, unless the topic is past
// that or waits. Who is hasty joins one that waits, and may be told everything again when
// it has its answer.
func (h *Hub) joined(c *Conn, q Query, w *engine.Watch, rows engine.Rows, known past,
	hasty bool) (
	start Start, wait <-chan struct{}, done bool) {
	place := *h.place.Load()
	t := h.topics[w.Key()]
	if t != nil && !t.watch.Current() {
		return start, nil, false // the topic moves to another app first
	}
	if t != nil {
		place = later(place, t.from) // its rows are not of a place before that
	}
	switch {
	case t != nil && t.waiting && !(hasty && rows.At.Compare(place) >= 0):
		return start, t.settled, false
	case rows.At.Compare(place) >= 0:
	case t != nil && t.changed.Compare(rows.At) <= 0 && t.from.Compare(rows.At) <= 0,
		t == nil && h.quiet(w, rows):
		rows.At = place // nothing has happened to it since
	default:
		return start, nil, false
	}
	if c.gone || t == nil && !w.Answered() {
		return start, nil, false
	}
	if t == nil {
		t = h.open(w, rows)
	}
	h.keep(t, rows)
	at := rows.At
	s := h.attach(c, q, t, at)
	start = Start{Sub: s.name, At: h.At(at)}
	if q.Since != "" {
		if since, ok := h.seqOf(q.Since); ok && since.Compare(place) <= 0 && !t.waiting {
			if changes, ok := t.after(since); ok {
				_, _, more := h.compare(t, rows) // what came after the topic's place
				start.Changes, start.Changed = merge(append(changes, more...)), true
				return start, nil, true
			}
		}
		if known.known {
			start.Changes, start.Changed = known.changes, true
			return start, nil, true
		}
		start.Reset = true
	}
	start.Items = itemsOf(rows)
	return start, nil, true
}

// keep keeps an answer to a topic's query until the next tick, for those who ask the same
// at the same time.
func (h *Hub) keep(t *topic, rows engine.Rows) {
	if t.waiting || t.watch.Timed() {
		return
	}
	if t.fresh == nil {
		if len(h.fresh) >= freshMax {
			h.fresh[0].fresh, h.fresh[0].pasts = nil, nil
			h.fresh = slices.Delete(h.fresh, 0, 1)
		}
		h.fresh = append(h.fresh, t)
	}
	t.fresh = &rows
}

// known returns what was answered to the same query a moment ago, if it is still right and
// all entries up to a place have been handled.
func (h *Hub) known(key string, at journal.Seq) (engine.Rows, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t := h.topics[key]; t != nil {
		return h.freshOf(t, at)
	}
	return engine.Rows{}, false
}

func (h *Hub) freshOf(t *topic, at journal.Seq) (engine.Rows, bool) {
	place := *h.place.Load()
	if t.fresh == nil || t.waiting || !t.watch.Current() || place.Compare(at) < 0 ||
		t.changed.Compare(t.fresh.At) > 0 {
		return engine.Rows{}, false
	}
	rows := *t.fresh
	rows.At = later(rows.At, place) // nothing has happened to it since
	return rows, true
}

// forgetFresh forgets what was kept.
func (h *Hub) forgetFresh() {
	for _, t := range h.fresh {
		t.fresh, t.pasts = nil, nil
	}
	clear(h.fresh)
	h.fresh = h.fresh[:0]
}

// open makes a topic of an answer.
func (h *Hub) open(w *engine.Watch, rows engine.Rows) *topic {
	t := newTopic(w, rows)
	h.topics[t.key] = t
	if h.app == nil {
		h.app = w
	}
	h.fill(t, rows)
	return t
}

func (h *Hub) isGone(c *Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return c.gone
}

func later(a, b journal.Seq) journal.Seq {
	if a.Compare(b) < 0 {
		return b
	}
	return a
}

// quiet reports that nothing that a watch looks at has changed since a place.
func (h *Hub) quiet(w *engine.Watch, rows engine.Rows) bool {
	if rows.At.Compare(h.began) < 0 {
		return false
	}
	still := func(collection string) bool {
		return h.touched[collection].Compare(rows.At) <= 0
	}
	facts, _ := w.Facts()
	if !still(w.Collection()) {
		return false
	}
	for i := range facts.Sources {
		if !still(facts.Sources[i].Collection) {
			return false
		}
	}
	for _, x := range rows.Held {
		if !still(x.Collection) {
			return false
		}
	}
	return true
}

// stale reports that another app is in force than that by which the topics judge.
func (h *Hub) stale() bool {
	return len(h.old) > 0 || h.app != nil && !h.app.Current()
}

// renew moves every subscription to the app in force. What that forbids, or does not
// know, ends; who has another answer than before is told it. The loop alone does it, so
// that no entry is handled meanwhile.
func (h *Hub) renew(ctx context.Context) error {
	h.mu.Lock()
	h.memory.Clear()
	h.app = nil
	for _, t := range h.topics {
		if !t.watch.Current() {
			t.torn = t.waiting
			h.settle(t)
			h.unindex(t)
			h.unhold(t)
			t.end()
			delete(h.topics, t.key)
			h.old = append(h.old, t)
		}
	}
	var subs []*sub
	for _, t := range h.old {
		for s := range t.subs {
			subs = append(subs, s)
		}
	}
	h.mu.Unlock()
	for _, s := range subs {
		h.mu.Lock()
		_, there := s.topic.subs[s]
		call := s.conn.callOf(s.query)
		call.Again = true
		h.mu.Unlock()
		if !there {
			continue
		}
		w, rows, err := h.cfg.Engine.Watch(ctx, call)
		if err != nil && passing(fault.From(err)) {
			return err
		}
		h.mu.Lock()
		h.move(s, w, rows, err)
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range h.old {
		h.rows -= t.size()
	}
	h.old = nil
	h.publish(*h.place.Load())
	return nil
}

// move joins a subscription to the topic of its query in the app in force.
func (h *Hub) move(s *sub, w *engine.Watch, rows engine.Rows, err error) {
	before := s.topic
	if _, there := before.subs[s]; !there {
		return
	}
	if err != nil {
		f := fault.From(err)
		if f.Kind == fault.Unauthenticated && s.conn.subject.ID != "" {
			h.leave(s.conn, f)
			return
		}
		h.detach(s)
		h.pushEnded(s, f)
		return
	}
	if w.Whole() {
		h.moveWhole(s, w)
		return
	}
	t := h.topics[w.Key()]
	if t == nil {
		t = h.open(w, rows)
	}
	delete(before.subs, s)
	t.subs[s] = struct{}{}
	s.topic = t
	place := later(*h.place.Load(), rows.At)
	if s.slow() {
		s.from = place
		return // it gets everything anyway
	}
	if !before.torn && before.whole == nil && equalRows(before, t) {
		s.from = place
		return
	}
	h.reset(s, place, itemsOf(rows))
}

func equalRows(a, b *topic) bool {
	if len(a.rows) != len(b.rows) {
		return false
	}
	for id, x := range a.byID {
		if y := b.byID[id]; y == nil || x.sum != y.sum {
			return false
		}
	}
	return true
}
