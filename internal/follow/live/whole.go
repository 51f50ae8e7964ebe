package live

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
)

// aggregateSuffix stands behind the name of a collection of which an aggregate is followed.
const aggregateSuffix = "/aggregate"

const (
	// computeEach is how long one that was computed is left alone, and computeShare how
	// many times as long as it took, if that is longer.
	computeEach  = 100 * time.Millisecond
	computeShare = 5
)

// whole is what a topic keeps of an answer that has no rows that could be judged: that of
// a view, or of an aggregate. It is computed beside the loop, and the loop tells it when it
// has come to the place at which it was computed. While many commits pass it is computed
// for the last of them.
//
//	known ──something it looks at changes──▶ due ──its turn──▶ busy ──its place──▶ known | over
type whole struct {
	value engine.Value
	// text is the value as JSON, nil before there is one.
	text []byte
	// touched is the last entry that may have made it untrue.
	touched journal.Seq
	// due reports that it is to be computed, when somebody follows; busy that it waits for
	// its turn, is computed, or waits to be told.
	due, busy bool
	timer     *time.Timer
	// next is when it may be computed again, took how long it took.
	next time.Time
	took time.Duration
	// joining is how many wait for it to be computed, who then hear of it by done.
	joining int
	done    chan struct{}
	// last and err are what was computed and is not told yet. Err stays where the topic
	// ended with it.
	last engine.Value
	err  error
}

// size is how many rows the topic counts for.
func (t *topic) size() int {
	if t.whole != nil {
		return len(t.whole.value.Items)
	}
	return len(t.rows)
}

// wanted reports that somebody waits for a whole.
func (t *topic) wanted() bool { return t.whole != nil && (t.whole.busy || t.whole.joining > 0) }

// end says that a topic is none any more.
func (t *topic) end() {
	if x := t.whole; x != nil {
		x.stop()
		x.tell()
	}
}

func (x *whole) stop() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
}

// tell wakes those who wait.
func (x *whole) tell() {
	close(x.done)
	x.done = make(chan struct{})
}

// openWhole makes the topic of a watch that is whole.
func (h *Hub) openWhole(w *engine.Watch) *topic {
	t := newTopic(w, engine.Rows{})
	t.whole = &whole{done: make(chan struct{})}
	t.idle = time.Now()
	h.topics[t.key] = t
	if h.app == nil {
		h.app = w
	}
	return t
}

// touch notes that an entry may have made a whole untrue.
func (h *Hub) touch(t *topic, at journal.Seq) {
	t.whole.touched = later(t.whole.touched, at)
	h.want(t)
}

// want has a whole computed as soon as it may be, if anybody follows it.
func (h *Hub) want(t *topic) { h.schedule(t, time.Until(t.whole.next)) }

// schedule has a whole computed after a time.
func (h *Hub) schedule(t *topic, after time.Duration) {
	x := t.whole
	if x.busy {
		return // what it misses is seen when it is told
	}
	x.due = true
	if len(t.subs) == 0 && x.joining == 0 || h.closed || h.topics[t.key] != t {
		return
	}
	x.stop()
	if after > 0 {
		x.timer = time.AfterFunc(after, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.want(t)
		})
		return
	}
	x.busy, x.due = true, false
	if x.joining > 0 { // as if he asked
		h.tasks.Go(func() { h.compute(t) })
		return
	}
	lane := h.laneOf(t)
	lane.topics = append(lane.topics, t)
	h.turn(lane)
}

// lane is a line of topics in which some are computed at once.
type lane struct {
	topics     []*topic
	busy, most int
}

// laneMax is how many of a lane are looked at for the one whose followers had the least.
const laneMax = 64

// laneOf keeps those that take long from those that do not.
func (h *Hub) laneOf(t *topic) *lane {
	if t.whole.took > quickTime {
		return &h.long
	}
	return &h.quick
}

// turn begins to compute those whose turn it is.
func (h *Hub) turn(x *lane) {
	for x.busy < x.most && len(x.topics) > 0 && !h.closed {
		best, least := 0, h.spentOn(x.topics[0])
		for i, t := range x.topics[:min(len(x.topics), laneMax)] {
			if spent := h.spentOn(t); spent < least {
				best, least = i, spent
			}
		}
		t := x.topics[best]
		x.topics = slices.Delete(x.topics, best, best+1)
		x.busy++
		h.tasks.Go(func() {
			h.compute(t)
			h.mu.Lock()
			defer h.mu.Unlock()
			x.busy--
			h.turn(x)
		})
	}
}

func (h *Hub) compute(t *topic) {
	h.counts.queries.Add(1)
	began := time.Now()
	v, err := t.watch.Value(h.base)
	took := time.Since(began)
	h.mu.Lock()
	defer h.mu.Unlock()
	x := t.whole
	x.last, x.err, x.took = v, err, took
	x.next = began.Add(took + max(computeEach, computeShare*took))
	h.charge(t, took)
	h.came = append(h.came, t)
	nudge(h.wake)
}

// adopt takes note of what was computed up to a place.
func (h *Hub) adopt(place journal.Seq) {
	wait := h.came[:0]
	for _, t := range h.came {
		if t.whole.err == nil && t.whole.last.At.Compare(place) > 0 {
			wait = append(wait, t)
			continue
		}
		h.computed(t)
	}
	clear(h.came[len(wait):])
	h.came = wait
}

// computed takes note of what was computed of a topic.
func (h *Hub) computed(t *topic) {
	x := t.whole
	x.busy = false
	switch {
	case h.topics[t.key] != t: // it moved to another app meanwhile, or ended
	case x.err != nil:
		h.failed(t)
	default:
		t.failures = 0
		h.valued(t)
	}
	x.tell()
}

// failed lets a topic be computed again, or ends it.
func (h *Hub) failed(t *topic) {
	x := t.whole
	if !t.watch.Current() {
		x.err, x.due = nil, true // it moves to another app
		return
	}
	t.failures++
	if passing(fault.From(x.err)) && t.failures < failuresMax && x.text != nil {
		x.err = nil
		h.schedule(t, computeEach<<t.failures)
		return
	}
	x.err = unanswered(x.err)
	h.over(t, fault.From(x.err))
}

// valued tells what was computed, if it is another answer than before. What changed
// since is computed again, once it is not kept any more.
func (h *Hub) valued(t *topic) {
	x, v := t.whole, t.whole.last
	x.last = engine.Value{}
	text := h.text(v.Items)
	if x.text == nil || !bytes.Equal(text, x.text) {
		h.rows += len(v.Items) - len(x.value.Items)
		x.value, x.text = v, text
		h.counts.frames.Add(1)
		for s := range t.subs {
			h.pushWhole(s)
		}
	}
	x.value.At = v.At
	version := t.version
	h.reindex(t)
	unseen := t.version != version && !h.quiet(t.watch, engine.Rows{At: v.At})
	if unseen || x.touched.Compare(v.At) > 0 {
		h.schedule(t, max(time.Until(x.next), v.Left))
	}
}

func (h *Hub) text(items []engine.Item) []byte {
	b := append(make([]byte, 0, 512), '[')
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = h.cfg.Append(b, &items[i])
	}
	return append(b, ']')
}

// pushWhole tells a subscription the whole answer.
func (h *Hub) pushWhole(s *sub) {
	start := h.startOf(s)
	start.Reset = true
	h.push(s, s.topic.whole.value.At, Push{Sub: s.name, At: start.At, Reset: &start}, 1, len(start.Text))
}

func (h *Hub) startOf(s *sub) Start {
	x := s.topic.whole
	return Start{Sub: s.name, Items: x.value.Items, Text: x.text, At: h.At(x.value.At)}
}

// beginWhole begins a subscription of a whole. Who comes back gets everything: what he
// knew is of another place than that up to which he was told all else.
func (h *Hub) beginWhole(ctx context.Context, c *Conn, call engine.Call, q Query, w *engine.Watch,
	from journal.Seq) (Start, error) {
	for {
		start, t, done, err := h.joinWhole(c, q, w, from)
		if err != nil || t == nil {
			return start, err
		}
		if err := h.awaitWhole(ctx, t, done); err != nil {
			return Start{}, err
		}
		if w.Current() {
			continue
		}
		var rows engine.Rows
		if w, rows, err = h.cfg.Engine.Watch(ctx, call); err != nil {
			return Start{}, err
		}
		from = rows.At
		if !w.Whole() {
			return h.begin(ctx, c, call, q)
		}
	}
}

// joinWhole joins a subscription to its topic, or returns the topic where that has to be
// computed first, so that it knows everything up to a place, and what tells that it was.
func (h *Hub) joinWhole(c *Conn, q Query, w *engine.Watch, from journal.Seq) (
	start Start, wait *topic, done <-chan struct{}, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.gone:
		return start, nil, nil, c.end()
	case h.closed:
		return start, nil, nil, closing()
	}
	t := h.topics[w.Key()]
	if t == nil {
		t = h.openWhole(w)
	}
	x := t.whole
	if current := t.watch.Current(); !current || !h.knowsUpTo(t, from) {
		x.joining++
		if current {
			h.schedule(t, 0) // as who asks has it computed
		}
		return start, t, x.done, nil
	}
	s := h.attach(c, q, t, x.value.At)
	start = h.startOf(s)
	start.Reset = q.Since != ""
	return start, nil, nil, nil
}

// knowsUpTo reports whether what a whole says takes in everything up to a place.
func (h *Hub) knowsUpTo(t *topic, at journal.Seq) bool {
	x := t.whole
	switch {
	case x.text == nil, (x.due || x.busy) && len(t.subs) == 0:
		return false
	case x.value.At.Compare(at) >= 0:
		return true
	}
	return h.place.Load().Compare(at) >= 0 && x.touched.Compare(x.value.At) <= 0
}

// awaitWhole waits until a topic was computed.
func (h *Hub) awaitWhole(ctx context.Context, t *topic, done <-chan struct{}) error {
	select {
	case <-done:
	case <-ctx.Done():
	case <-h.base.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	t.whole.joining--
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case h.base.Err() != nil:
		return closing()
	}
	return t.whole.err
}

// moveWhole joins a subscription to the topic of its question in the app in force. What
// it was told stands until the topic has another answer.
func (h *Hub) moveWhole(s *sub, w *engine.Watch) {
	before := s.topic
	t := h.topics[w.Key()]
	if t == nil {
		t = h.openWhole(w)
	}
	delete(before.subs, s)
	t.subs[s] = struct{}{}
	s.topic = t
	x := t.whole
	if before.whole != nil && x.text == nil {
		h.rows += len(before.whole.value.Items)
		x.value, x.text = before.whole.value, before.whole.text
	} else if x.text != nil && (before.whole == nil || !bytes.Equal(x.text, before.whole.text)) {
		h.pushWhole(s)
	}
	h.want(t)
}
