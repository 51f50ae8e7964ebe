package live

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// topic is a query that is kept true once for all who follow it.
//
//	settled ──an own record changes: judge──▶ settled
//	settled ──what rules look at changes──▶ waiting ──ask again──▶ settled | over
type topic struct {
	key   string
	watch *engine.Watch
	// whole is what is kept of an answer without rows, nil where there are rows.
	whole *whole
	// version is that of facts, term the one by which it is found; nil if by none.
	version int
	facts   engine.Facts
	term    *engine.Term
	// rows are in the list's order; more reports that there are others behind them.
	rows []*row
	byID map[ident.Record]*row
	more bool
	held map[engine.Held]struct{}
	subs map[*sub]struct{}
	// from is the place of the answer with which the topic began, changed that of the last
	// frame. Entries up to from are part of the answer.
	from, changed journal.Seq
	// waiting reports that the rows are not known until the query was asked again: base is
	// the last place at which they were. carry are changes since that nobody was told.
	waiting bool
	base    journal.Seq
	carry   []Change
	// torn reports that another app came while it waited, so that what it told is not known.
	torn    bool
	settled chan struct{}
	// fresh is an answer of a moment ago, for those who ask the same at the same time, and
	// pasts what the journal told then of the time since a place.
	fresh *engine.Rows
	pasts map[journal.Seq]past
	// ring are the last frames, all of those after the place since.
	ring  []ringFrame
	bytes int
	since journal.Seq
	idle  time.Time
	// failures counts how often the query could not be asked again.
	failures int
	// hits are the changes of the entry in hand.
	hits []*journal.Change
}

// row is a record of a topic.
type row struct {
	id   ident.Record
	keys []value.Value
	sum  uint64
}

// ringFrame is a frame of a place. One that sums up several entries begins after the
// place base; others have their own place there.
type ringFrame struct {
	base, at journal.Seq
	// frame is nil where nothing changed in the end.
	frame *Frame
}

func (f *ringFrame) bytes() int {
	if f.frame == nil {
		return 0
	}
	return len(f.frame.json)
}

func newTopic(w *engine.Watch, rows engine.Rows) *topic {
	return &topic{key: w.Key(), watch: w, subs: map[*sub]struct{}{}, from: rows.At,
		changed: rows.At, since: rows.At}
}

// fill takes the rows of an answer in, and returns the difference to those before.
func (h *Hub) fill(t *topic, rows engine.Rows) []Change {
	next, byID, changes := h.compare(t, rows)
	h.rows += len(next) - len(t.rows)
	t.rows, t.byID, t.more = next, byID, rows.More
	h.unhold(t)
	for _, x := range rows.Held {
		h.hold(t, x)
	}
	h.reindex(t)
	return changes
}

// compare returns the rows of an answer as a topic holds them, and the difference to
// those that it has.
func (h *Hub) compare(t *topic, rows engine.Rows) (
	next []*row, byID map[ident.Record]*row, changes []Change) {
	next = make([]*row, len(rows.Rows))
	byID = make(map[ident.Record]*row, len(rows.Rows))
	var room []byte
	for i := range rows.Rows {
		x := &rows.Rows[i]
		room = h.cfg.Append(room[:0], &x.Item)
		r := &row{x.ID, x.Keys, maphash.Bytes(h.seed, room)}
		next[i], byID[x.ID] = r, r
		if old := t.byID[x.ID]; old == nil || old.sum != r.sum || !same(old.keys, r.keys) {
			changes = append(changes, Change{Put: &x.Item, id: x.ID})
		}
	}
	for _, old := range t.rows {
		if byID[old.id] == nil {
			changes = append(changes, Change{Del: old.id, id: old.id})
		}
	}
	return next, byID, changes
}

func same(a, b []value.Value) bool { return slices.EqualFunc(a, b, value.Value.Equal) }

// reindex brings up to date by what the topic is found.
func (h *Hub) reindex(t *topic) {
	facts, version := t.watch.Facts()
	if version == t.version {
		return
	}
	h.unindex(t)
	t.facts, t.version, t.term = facts, version, nil
	if len(facts.Terms) > 0 {
		t.term = &facts.Terms[0]
	}
	if t.whole == nil {
		h.own.add(t)
	}
	h.uses.add(t)
}

func (h *Hub) unindex(t *topic) {
	if t.version > 0 {
		if t.whole == nil {
			h.own.drop(t)
		}
		h.uses.drop(t)
		t.version = 0
	}
}

func (h *Hub) hold(t *topic, x engine.Held) {
	if t.held == nil {
		t.held = map[engine.Held]struct{}{}
	}
	if h.holds[x] == nil {
		h.holds[x] = map[*topic]struct{}{}
	}
	t.held[x], h.holds[x][t] = struct{}{}, struct{}{}
}

func (h *Hub) unhold(t *topic) {
	for x := range t.held {
		if delete(h.holds[x], t); len(h.holds[x]) == 0 {
			delete(h.holds, x)
		}
	}
	t.held = nil
}

// drop ends a topic.
func (h *Hub) drop(t *topic) {
	h.unindex(t)
	h.unhold(t)
	h.rows -= t.size()
	t.rows, t.byID = nil, nil
	t.end()
	if h.topics[t.key] == t {
		delete(h.topics, t.key)
	}
	if i := slices.Index(h.again, t); i >= 0 {
		h.again = slices.Delete(h.again, i, i+1)
	}
	h.slow.forget(t)
	if t.settled != nil {
		close(t.settled)
		t.settled = nil
	}
}

// judge tells what the changes of an entry mean for the topic. again reports that the
// query must be asked.
func (h *Hub) judge(ctx context.Context, l *engine.Look, t *topic) (out []Change, again bool,
	err error) {
	for _, c := range t.hits {
		was := t.byID[c.ID]
		var now engine.Row
		var held []engine.Held
		yes := false
		if !c.After.Zero() {
			h.counts.judged.Add(1)
			if now, held, yes, err = t.watch.Judge(ctx, l, c.After); err != nil {
				return out, true, err
			}
		}
		switch {
		case was == nil && !yes:
		case !yes:
			h.take(t, was)
			out = append(out, Change{Del: c.ID, id: c.ID})
			if t.more {
				return out, true, nil
			}
		default:
			for _, x := range held {
				h.hold(t, x)
			}
			told, again := h.arrange(t, was, now)
			if out = append(out, told...); again {
				return out, true, nil
			}
		}
	}
	return out, false, nil
}

// arrange puts a record into the rows, and tells what that changes.
func (h *Hub) arrange(t *topic, was *row, now engine.Row) (out []Change, again bool) {
	sum := maphash.Bytes(h.seed, h.cfg.Append(nil, &now.Item))
	if was != nil && same(was.keys, now.Keys) {
		if was.sum != sum {
			was.sum = sum
			out = append(out, Change{Put: &now.Item, id: now.ID})
		}
		return out, false
	}
	if was != nil {
		h.take(t, was)
	}
	at, _ := slices.BinarySearchFunc(t.rows, now.Keys, func(r *row, keys []value.Value) int {
		if t.watch.Before(r.keys, keys) {
			return -1
		}
		return 1
	})
	if t.more && at == len(t.rows) {
		if was == nil {
			return nil, false // it stands behind the limit
		}
		return []Change{{Del: now.ID, id: now.ID}}, true
	}
	r := &row{now.ID, now.Keys, sum}
	t.rows = slices.Insert(t.rows, at, r)
	t.byID[now.ID] = r
	h.rows++
	if len(t.rows) > t.watch.Limit() {
		last := t.rows[len(t.rows)-1]
		h.take(t, last)
		t.more = true
		if last == r {
			return nil, false
		}
		out = append(out, Change{Del: last.id, id: last.id})
	}
	return append(out, Change{Put: &now.Item, id: now.ID}), false
}

// take takes a row out.
func (h *Hub) take(t *topic, r *row) {
	if i := slices.Index(t.rows, r); i >= 0 {
		t.rows = slices.Delete(t.rows, i, i+1)
	}
	delete(t.byID, r.id)
	h.rows--
}

// merge returns changes in which each record occurs once, as the last says.
func merge(changes []Change) []Change {
	if len(changes) < 2 {
		return changes
	}
	last := make(map[ident.Record]int, len(changes))
	for i := range changes {
		last[changes[i].id] = i
	}
	if len(last) == len(changes) {
		return changes
	}
	out := make([]Change, 0, len(last))
	for i := range changes {
		if last[changes[i].id] == i {
			out = append(out, changes[i])
		}
	}
	return out
}

// frame makes the frame of changes, once for all.
func (h *Hub) frame(changes []Change) *Frame {
	h.counts.frames.Add(1)
	return &Frame{changes: changes, json: h.json(changes)}
}

func (h *Hub) json(changes []Change) []byte {
	b := append(make([]byte, 0, 512), '[')
	for i := range changes {
		if i > 0 {
			b = append(b, ',')
		}
		if c := &changes[i]; c.Put != nil {
			b = append(h.cfg.Append(append(b, `{"put":`...), c.Put), '}')
		} else {
			b = append(value.AppendQuoted(append(b, `{"del":`...), string(c.Del)), '}')
		}
	}
	return append(b, ']')
}

// tell gives a frame of the changes to all who follow the topic. base is the place before
// them: who began in between gets everything.
func (h *Hub) tell(t *topic, base, at journal.Seq, by string, changes []Change,
	whole func() []engine.Item) {
	if changes = merge(changes); len(changes) == 0 && whole == nil {
		return
	}
	var f *Frame
	text := h.At(at)
	if len(changes) > 0 {
		f = h.frame(changes)
	}
	// What was asked again sums up all since base, be it nothing: in between there may have
	// been another answer.
	t.changed = at
	since := base
	if whole == nil {
		since = at
	}
	t.remember(since, at, f, min(ringBytes, ringAll/max(1, len(h.topics))))
	for s := range t.subs {
		switch c := s.from.Compare(at); {
		case c > 0 || c == 0 && !t.watch.Timed(): // time changes an answer at its place
		case whole != nil && s.from.Compare(base) > 0:
			h.reset(s, at, whole())
		case f != nil:
			h.push(s, at, Push{Sub: s.name, At: text, By: by, Frame: f}, len(changes), len(f.json))
		}
	}
}

// remember keeps a frame for those who come back.
func (t *topic) remember(base, at journal.Seq, f *Frame, most int) {
	t.ring = append(t.ring, ringFrame{base, at, f})
	t.bytes += t.ring[len(t.ring)-1].bytes()
	n := 0
	for n < len(t.ring) && (len(t.ring)-n > ringFrames || t.bytes > most) {
		t.since = t.ring[n].at
		t.bytes -= t.ring[n].bytes()
		n++
	}
	t.ring = slices.Delete(t.ring, 0, n)
}

// after returns what changed after a place, if that is known.
func (t *topic) after(since journal.Seq) ([]Change, bool) {
	if since.Compare(t.since) < 0 || t.watch.Timed() {
		return nil, false
	}
	var out []Change
	for _, f := range t.ring {
		if f.at.Compare(since) > 0 {
			if f.base.Compare(since) < 0 {
				return nil, false // it sums up from before the place to after it
			}
			if f.frame != nil {
				out = append(out, f.frame.changes...)
			}
		}
	}
	return merge(out), true
}

// wait says that the topic must ask its query again. No pushes of the connections that
// follow it are released until it has, so that nobody sees half a commit.
func (h *Hub) wait(t *topic, base journal.Seq) {
	if t.waiting {
		return
	}
	t.waiting, t.base, t.settled = true, later(base, t.from), make(chan struct{})
	if h.isSlow(t) {
		h.slow.topics = append(h.slow.topics, t)
	} else {
		h.again = append(h.again, t)
	}
	for s := range t.subs {
		s.conn.holding++
	}
}

// settle ends the waiting.
func (h *Hub) settle(t *topic) {
	if !t.waiting {
		return
	}
	t.waiting, t.carry = false, nil
	close(t.settled)
	t.settled = nil
	for s := range t.subs {
		s.conn.holding--
		h.staged[s.conn] = struct{}{}
	}
}

// ask asks the query of a topic again, at the place of the state, up to which the entries
// have been handled.
func (h *Hub) ask(ctx context.Context, l *engine.Look, t *topic) error {
	rows, err := h.answer(ctx, l, t)
	if err != nil {
		if f := fault.From(err); passing(f) {
			return f
		}
		h.over(t, fault.From(err))
		return nil
	}
	carry := t.carry
	diff := h.fill(t, rows)
	items := sync.OnceValue(func() []engine.Item { return itemsOf(rows) })
	h.tell(t, t.base, l.At(), "", append(carry, diff...), items)
	h.settle(t)
	return nil
}

func itemsOf(rows engine.Rows) []engine.Item {
	out := make([]engine.Item, len(rows.Rows))
	for i := range rows.Rows {
		out[i] = rows.Rows[i].Item
	}
	return out
}

// passing reports whether a fault says nothing of the caller or his question, so that it
// may be asked again.
func passing(f *fault.Fault) bool {
	switch f.Kind {
	case fault.Unavailable, fault.Timeout, fault.Unknown, fault.Internal:
		return true
	}
	return false
}

// over ends a topic whose question may not be asked any more. Who is not known any more
// loses his connection.
func (h *Hub) over(t *topic, why *fault.Fault) {
	h.settle(t)
	for s := range t.subs {
		if why.Kind == fault.Unauthenticated && s.conn.subject.ID != "" {
			h.leave(s.conn, why)
			continue
		}
		h.detach(s)
		h.pushEnded(s, why)
	}
	h.drop(t)
}
