package live

import (
	"context"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Bounds of what is read of the journal for one who comes back. Beyond them he gets
// everything again.
const (
	sinceEntries = 5000
	sinceBytes   = 16 << 20
	sinceTime    = 2 * time.Second
	// pastsMax is of how many places a topic keeps what was learned.
	pastsMax = 16
	// readingTime is how long one waits until others have read.
	readingTime = time.Second
)

// past is what changed of an answer since a place.
type past struct {
	changes []Change
	known   bool
	// upto is the place up to which it is told.
	upto journal.Seq
}

// since answers a watched query and reads from the journal what changed of it after a
// place. It is not known where other records than those of the list may have changed it,
// or where there was more at the place than the limit shows. What others learned of the
// same a moment ago will do, if it is as new as the caller's own state.
func (h *Hub) since(ctx context.Context, w *engine.Watch, at, own journal.Seq) (
	rows engine.Rows, p past, err error) {
	late := time.NewTimer(readingTime)
	defer late.Stop()
	select {
	case h.reading <- struct{}{}: // each holds a connection while it needs another
		defer func() { <-h.reading }()
	case <-late.C: // others come back as well: who gets everything need not wait for them
		if rows, ok := h.known(w.Key(), own); ok {
			return rows, p, nil
		}
		err = h.cfg.Engine.Look(ctx, func(l *engine.Look) (err error) {
			rows, err = w.Answer(ctx, l)
			return err
		})
		return rows, p, err
	case <-ctx.Done():
		return rows, p, ctx.Err()
	}
	if rows, p, ok := h.recall(w.Key(), at, own); ok {
		return rows, p, nil
	}
	defer func() {
		if err == nil {
			h.learn(w, at, rows, p)
		}
	}()
	err = h.cfg.Engine.Look(ctx, func(l *engine.Look) (err error) {
		p = past{} // it may be asked twice
		if rows, err = w.Answer(ctx, l); err != nil {
			return err
		}
		p.upto = rows.At
		if rows.More || w.Timed() || !w.Current() || at.Compare(rows.At) > 0 {
			return nil
		}
		first, ok := h.changed(ctx, w, at, rows)
		if !ok {
			return nil
		}
		p.known = true
		now := make(map[ident.Record]*engine.Row, len(rows.Rows))
		for i := range rows.Rows {
			now[rows.Rows[i].ID] = &rows.Rows[i]
		}
		before := len(rows.Rows)
		for id, was := range first {
			had := false
			if !was.Zero() {
				if _, _, had, err = w.Judge(ctx, l, was); err != nil {
					return err
				}
			}
			r := now[id]
			switch {
			case r != nil:
				p.changes = append(p.changes, Change{Put: &r.Item, id: id})
				if !had {
					before--
				}
			case had:
				p.changes = append(p.changes, Change{Del: id, id: id})
				before++
			}
		}
		p.known = before <= w.Limit()
		return nil
	})
	return rows, p, err
}

// recall returns what another one learned of the time since a place, and the rows to which
// that leads.
func (h *Hub) recall(key string, since, own journal.Seq) (rows engine.Rows, p past, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, place := h.topics[key], *h.place.Load()
	if t == nil {
		return rows, p, false
	}
	if rows, ok = h.freshOf(t, own); !ok {
		return rows, p, false
	}
	p, ok = t.pasts[since]
	// Between the one and the other nothing has happened to the topic, as far as is known.
	ok = ok && t.changed.Compare(p.upto) <= 0 && (p.upto == rows.At ||
		p.upto.Compare(rows.At) < 0 && rows.At.Compare(place) <= 0)
	return rows, p, ok
}

// learn keeps what the journal told of the time since a place until the next tick.
func (h *Hub) learn(w *engine.Watch, since journal.Seq, rows engine.Rows, p past) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[w.Key()]
	if t == nil || !w.Current() || !t.watch.Current() {
		return
	}
	h.keep(t, rows)
	if t.fresh != nil && len(t.pasts) < pastsMax {
		if t.pasts == nil {
			t.pasts = map[journal.Seq]past{}
		}
		t.pasts[since] = p
	}
}

// changed returns the records of the list's collection that changed after a place, as
// they were there; ok is false where that does not tell all.
func (h *Hub) changed(ctx context.Context, w *engine.Watch, after journal.Seq, rows engine.Rows) (
	first map[ident.Record]value.Record, ok bool) {
	first = map[ident.Record]value.Record{}
	if after == rows.At {
		return first, true
	}
	held := make(map[engine.Held]bool, len(rows.Held))
	for _, x := range rows.Held {
		held[x] = true
	}
	facts, _ := w.Facts()
	ctx, cancel := context.WithTimeout(ctx, sinceTime)
	defer cancel()
	n, bytes := 0, 0
	for e, err := range h.cfg.Follow(ctx, after) {
		if n, bytes = n+1, bytes+sizeOf(&e); err != nil || n > sinceEntries || bytes > sinceBytes {
			return nil, false
		}
		for _, i := range e.Intents {
			if i.Kind == store.IntentApply {
				return nil, false
			}
		}
		for i := range e.Changes {
			c := &e.Changes[i]
			if held[engine.Held{Collection: c.Collection, ID: c.ID}] {
				return nil, false
			}
			for k := range facts.Sources {
				s := &facts.Sources[k]
				// What led through a deleted record cannot be judged any more.
				if s.Collection == c.Collection &&
					(c.After.Zero() || s.Matters(c.ID, c.Before, c.After)) {
					return nil, false
				}
			}
			if c.Collection != w.Collection() {
				continue
			}
			if _, known := first[c.ID]; !known {
				first[c.ID] = c.Before
			}
		}
		if e.Seq.Compare(rows.At) >= 0 {
			return first, true
		}
	}
	return nil, false
}
