package live

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// errLate says that entries have not come yet which the state includes.
var errLate = errors.New("the journal is behind the state")

// run handles entries as they come, in the state that includes them.
func (h *Hub) run(ctx context.Context) {
	tick := time.NewTicker(tickEach)
	defer tick.Stop()
	retry := retryTime
	for ctx.Err() == nil {
		ticked := false
		if !h.hasWork() {
			select {
			case <-h.intake.more:
			case <-h.wake:
			case <-tick.C:
				ticked = true
			case <-ctx.Done():
				return
			}
		}
		if ticked {
			h.tick(ctx)
		}
		err := h.step(ctx)
		switch {
		case err == nil:
			retry = retryTime
		case errors.Is(err, errLate):
			pause(ctx, lateTime)
		case ctx.Err() == nil:
			h.cfg.Log.Warn("subscriptions cannot be kept up to date now", "cause", err)
			pause(ctx, retry)
			retry = min(2*retry, retryMax)
		}
	}
}

// hasWork reports whether there is something to do at once.
func (h *Hub) hasWork() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.again) > 0 || h.wishes.some() || h.slow.due()
}

// step handles what there is.
func (h *Hub) step(ctx context.Context) error {
	resets, wrote := h.wishes.take()
	done, err := h.handle(ctx, resets, wrote)
	if !done { // what was asked for is still wanted
		h.wishes.back(resets)
	}
	return err
}

// handle reports whether it came to the end.
func (h *Hub) handle(ctx context.Context, resets []*sub, wrote []*Conn) (
	done bool, err error) {
	h.mu.Lock()
	for _, c := range wrote {
		h.staged[c] = struct{}{}
	}
	wanted := len(resets) > 0 || len(h.again) > 0 || h.slow.due()
	if !wanted && !h.stale() {
		h.pass()
	}
	idle := h.intake.size() == 0 && !wanted
	if idle {
		h.publish(*h.place.Load())
	}
	h.mu.Unlock()
	if idle {
		return true, nil
	}
	stale := false
	err = h.cfg.Engine.Look(ctx, func(l *engine.Look) error {
		if err := h.await(ctx, l.At()); err != nil {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		if stale = h.stale(); stale {
			return nil
		}
		done = true
		return h.batch(ctx, l, resets)
	})
	if err == nil && stale {
		err = h.renew(ctx)
		nudge(h.wake)
	}
	return done, err
}

// pass lets the entries pass that are no topic's concern.
func (h *Hub) pass() {
	for _, e := range h.intake.skip(h.concerned) {
		h.memory.Forget(e)
		h.sessions(e)
		for i := range e.Changes {
			h.touched[e.Changes[i].Collection] = e.Seq
		}
		seq := e.Seq
		h.place.Store(&seq)
	}
}

// concerned reports whether an entry may be a topic's concern.
func (h *Hub) concerned(e *journal.Entry) bool {
	for i := range e.Changes {
		c := &e.Changes[i]
		if h.own[c.Collection] != nil || h.uses[c.Collection] != nil ||
			h.holds[engine.Held{Collection: c.Collection, ID: c.ID}] != nil {
			return true
		}
	}
	return false
}

// skip removes the first entries, up to one that counts.
func (q *intake) skip(counts func(e *journal.Entry) bool) []*journal.Entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.entries) && !counts(q.entries[n]) {
		q.bytes -= q.sizes[n]
		n++
	}
	out := q.entries[:n:n]
	q.entries, q.sizes = q.entries[n:], q.sizes[n:]
	if n > 0 {
		nudge(q.room)
	}
	return out
}

// await waits until the entries have come that a state includes.
func (h *Hub) await(ctx context.Context, at journal.Seq) error {
	if h.intake.arrived(at) {
		return nil
	}
	late := time.NewTimer(arriveTime)
	defer late.Stop()
	for !h.intake.arrived(at) {
		select {
		case <-h.intake.more:
		case <-late.C:
			return errLate
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	nudge(h.intake.more)
	return nil
}

// batch handles the entries that a state includes: those that changed what rules look at
// first, because nothing may be judged by what is not so any more.
func (h *Hub) batch(ctx context.Context, l *engine.Look, resets []*sub) error {
	entries, known := h.intake.take(l.At())
	place := *h.place.Load()
	for _, e := range entries {
		h.memory.Forget(e)
	}
	l.Know(h.memory)
	base := place
	for _, e := range entries {
		h.look(e, base)
	}
	reader := &gone{Reader: l.Reader(), entries: entries}
	for _, e := range entries {
		h.sessions(e)
		if err := h.entry(ctx, l, reader, e, base, known); err != nil {
			// The topics concerned ask again, so that nothing is lost.
			h.cfg.Log.Warn("an entry could not be judged", "entry", e.Seq.String(), "cause", err)
		}
		place = e.Seq
		seq := e.Seq // the entry itself may go
		h.place.Store(&seq)
	}
	if !known {
		// More entries are to come before what is asked now would be at its place.
		h.wishes.back(resets)
		h.publish(place)
		return nil
	}
	at := l.At()
	h.place.Store(&at)
	err := h.answers(ctx, l)
	h.resets(ctx, l, resets)
	h.publish(at)
	return err
}

// look finds the topics that must ask again after an entry.
func (h *Hub) look(e *journal.Entry, base journal.Seq) {
	for i := range e.Changes {
		c := &e.Changes[i]
		h.touched[c.Collection] = e.Seq
		h.uses.touch(c, func(t *topic) {
			switch {
			case t.whole != nil:
				h.touch(t, e.Seq)
			case t.from.Compare(e.Seq) < 0:
				h.wait(t, base)
			}
		})
		for t := range h.holds[engine.Held{Collection: c.Collection, ID: c.ID}] {
			if t.from.Compare(e.Seq) < 0 {
				h.wait(t, base)
			}
		}
	}
}

// entry judges the changes of an entry for the topics that they may touch. Where not all
// entries are known that the state includes, only by what stands in the record itself.
func (h *Hub) entry(ctx context.Context, l *engine.Look, r *gone, e *journal.Entry,
	base journal.Seq, known bool) error {
	var touched []*topic
	var failed error
	for i := range e.Changes {
		c := &e.Changes[i]
		err := h.own.touch(ctx, r, c, func(t *topic) {
			if t.waiting || t.from.Compare(e.Seq) >= 0 {
				return
			}
			if !known && (len(t.facts.Sources) > 0 || len(t.held) > 0) {
				h.wait(t, base)
				return
			}
			if len(t.hits) == 0 {
				touched = append(touched, t)
			}
			if n := len(t.hits); n == 0 || t.hits[n-1] != c {
				t.hits = append(t.hits, c)
			}
		})
		if err != nil { // which topics it touches is not known
			failed = err
			if p := h.own[c.Collection]; p != nil {
				p.each(func(t *topic) { h.wait(t, base) })
			}
		}
	}
	by := byOf(e)
	for _, t := range touched {
		if !t.waiting {
			out, again, err := h.judge(ctx, l, t)
			if err != nil {
				failed = err
			}
			if again {
				h.wait(t, base)
				t.carry = out
			} else {
				h.tell(t, base, e.Seq, by, out, nil)
			}
		}
		clear(t.hits)
		t.hits = t.hits[:0]
	}
	return failed
}

// each calls fn with all topics of a place.
func (p *place) each(fn func(*topic)) {
	for t := range p.all {
		fn(t)
	}
	for _, at := range p.paths {
		at.each(fn)
	}
}

// byOf returns the connection whose call made the entry.
func byOf(e *journal.Entry) string {
	_, id, _ := strings.Cut(e.Origin.Door, "/")
	return id
}

// answers lets topics that wait ask again, as many as may at once. One that cannot be
// answered is tried again later, a few times.
func (h *Hub) answers(ctx context.Context, l *engine.Look) (failed error) {
	n := min(len(h.again), againMax)
	now := append([]*topic(nil), h.again[:n]...)
	h.again = append(h.again[:0], h.again[n:]...)
	began := time.Now()
	for i, t := range now {
		if !t.waiting { // it ended
			continue
		}
		if time.Since(began) > againTime {
			h.again = append(h.again, now[i:]...)
			return failed
		}
		err := h.ask(ctx, l, t)
		if err == nil {
			t.failures = 0
			continue
		}
		t.failures++
		switch late := h.isSlow(t) && fault.Is(err, fault.Timeout); {
		case t.failures >= failuresMax && ctx.Err() == nil:
			h.over(t, unanswered(err))
		case late:
			h.slow.topics = append(h.slow.topics, t)
		default:
			failed = err
			h.again = append(h.again, t)
		}
	}
	if err := h.turnOfSlow(ctx, l); err != nil {
		failed = err
	}
	return failed
}

// resets sends the whole answer anew to those that were paused.
func (h *Hub) resets(ctx context.Context, l *engine.Look, subs []*sub) {
	began := time.Now()
	found := map[*topic][]engine.Item{}
	for i, s := range subs {
		t := s.topic
		if _, there := t.subs[s]; !there {
			continue
		}
		if t.whole != nil && t.whole.text != nil {
			h.reset(s, t.whole.value.At, t.whole.value.Items)
			continue
		}
		if h.isSlow(t) {
			h.late(s)
			continue
		}
		if t.waiting || t.whole != nil || time.Since(began) > againTime {
			h.wishes.back(subs[i : i+1])
			continue
		}
		items, ok := found[t]
		if !ok {
			rows, err := h.answer(ctx, l, t)
			if err != nil {
				if t.failures++; passing(fault.From(err)) && t.failures < failuresMax {
					h.wishes.back(subs[i : i+1])
				} else {
					h.over(t, unanswered(err))
				}
				continue
			}
			t.failures = 0
			items = itemsOf(rows)
			found[t] = items
		}
		h.reset(s, l.At(), items)
	}
}

// answer asks the query of a topic again, in a time that others can wait.
func (h *Hub) answer(ctx context.Context, l *engine.Look, t *topic) (engine.Rows, error) {
	h.counts.queries.Add(1)
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return t.watch.Answer(ctx, l)
}

// unanswered is what those are told whose query failed for good.
func unanswered(err error) *fault.Fault {
	f := fault.From(err)
	if passing(f) {
		return fault.Wrap(fault.Unavailable, err, "The query cannot be answered now.")
	}
	return f
}

// publish lets the connections have what was staged for them.
func (h *Hub) publish(place journal.Seq) {
	h.adopt(place)
	for c := range h.staged {
		if h.release(c, place) {
			delete(h.staged, c)
		}
	}
}

// sessions ends the connections of those whose session an entry ended, or whose account.
func (h *Hub) sessions(e *journal.Entry) {
	var ended []ident.Record
	if h.cfg.Revoked != nil {
		ended = h.cfg.Revoked(e)
	}
	var users []ident.Record
	for i := range e.Changes {
		if c := &e.Changes[i]; c.Collection == spec.Users && c.After.Zero() {
			users = append(users, c.ID)
		}
	}
	if len(ended) == 0 && len(users) == 0 {
		return
	}
	for c := range h.conns {
		for _, id := range ended {
			if c.subject.Session == id && id != "" {
				h.leave(c, signedOut())
			}
		}
		for _, id := range users {
			if c.subject.Who == ident.User && c.subject.ID == id {
				h.leave(c, signedOut())
			}
		}
	}
}

func signedOut() *fault.Fault {
	return fault.New(fault.Unauthenticated, "The session has ended. Sign in again.")
}

// tick does what only time asks for.
func (h *Hub) tick(ctx context.Context) {
	now := time.Now()
	h.mu.Lock()
	h.forgetFresh()
	var due []*Conn
	if h.cfg.Expires != nil {
		for c := range h.conns {
			if c.subject.Session != "" && !c.check.After(now) && len(due) < sessionsMax {
				due = append(due, c)
			}
		}
	}
	for _, t := range h.topics {
		if len(t.subs) == 0 && now.Sub(t.idle) > lingerTime && !t.waiting && !t.wanted() {
			h.drop(t)
		}
	}
	if now.Sub(h.timed) >= h.cfg.Again {
		h.timed = now
		for _, t := range h.topics {
			switch {
			case !t.watch.Timed():
			case t.whole != nil:
				h.want(t)
			default:
				h.wait(t, *h.place.Load())
			}
		}
	}
	stale := h.stale()
	h.mu.Unlock()
	if stale {
		if err := h.renew(ctx); err != nil {
			h.cfg.Log.Warn("subscriptions could not be moved to another app", "cause", err)
		}
	}
	if len(due) > 0 {
		h.checkSessions(ctx, now, due)
	}
}

// checkSessions ends the connections whose sessions have ended by themselves.
func (h *Hub) checkSessions(ctx context.Context, now time.Time, due []*Conn) {
	ends := make(map[ident.Record]time.Time, len(due))
	err := h.cfg.Engine.Look(ctx, func(l *engine.Look) error {
		for _, c := range due {
			id := c.session()
			if _, ok := ends[id]; ok {
				continue
			}
			at, err := h.cfg.Expires(ctx, l.View(), id)
			if err != nil {
				return err
			}
			ends[id] = at
		}
		return nil
	})
	if err != nil {
		h.cfg.Log.Warn("sessions could not be looked at", "cause", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range due {
		at, ok := ends[c.subject.Session]
		left := at.Sub(h.cfg.Now())
		switch {
		case !ok: // it has another session by now
		case left <= 0:
			h.leave(c, signedOut())
		default:
			c.check = now.Add(min(left, sessionEach))
		}
	}
}

func (c *Conn) session() ident.Record {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	return c.subject.Session
}

func recordID(v value.Value) ident.Record { return ident.Record(v.Text()) }

func notFound(err error) bool { return fault.Is(err, fault.NotFound) }
