package engine

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// hookDepthMax is how deep hooks may be nested: what a hook writes may run others.
	hookDepthMax = 3
	// hooksSeenMax is how many stages of a call are noted with those of its hooks.
	hooksSeenMax = 60
)

// hookNames are the events by what the app file calls them.
var hookNames = map[string]string{spec.Created: "create", spec.Updated: "update",
	spec.Deleted: "delete"}

// written runs the hook of a record that was written, and returns the record as it
// then is.
func (h *host) written(ctx context.Context, c *app.Collection, stored, before value.Record) (
	value.Record, error) {
	event := spec.Created
	if !before.Zero() {
		event = spec.Updated
	}
	if !c.Hooked(event) {
		return stored, nil
	}
	if err := h.hook(ctx, c, event, stored, before); err != nil {
		return value.Record{}, err
	}
	now, err := h.tx.Get(ctx, c.Name, idOf(stored))
	if fault.Is(err, fault.NotFound) {
		return stored, nil // the hook deleted it
	}
	return now, err
}

// remove deletes a record and runs the hooks of all that changes with it: of each record
// that goes, and of each whose relation is cleared, in the order of the app file's
// collections and of their ids.
func (h *host) remove(ctx context.Context, c *app.Collection, id ident.Record) error {
	if !c.Falls {
		return h.tx.Delete(ctx, c.Name, id)
	}
	type key struct {
		collection string
		id         ident.Record
	}
	was := h.tx.Changes()
	place := make(map[key]int, len(was))
	for i, x := range was {
		place[key{x.Collection, x.ID}] = i
	}
	if err := h.tx.Delete(ctx, c.Name, id); err != nil {
		return err
	}
	var fell []journal.Change
	seen := map[key]bool{}
	for _, x := range h.tx.Changes() {
		k := key{x.Collection, x.ID}
		seen[k] = true
		if i, ok := place[k]; ok {
			x.Before = was[i].After
		}
		fell = append(fell, x)
	}
	for _, x := range was { // made and deleted by the same call
		if !seen[key{x.Collection, x.ID}] {
			fell = append(fell, journal.Change{Collection: x.Collection, ID: x.ID, Before: x.After})
		}
	}
	// Their order is told by nothing that a database may do in its own way.
	slices.SortFunc(fell, func(a, b journal.Change) int {
		return cmp.Or(cmp.Compare(h.Place(a.Collection), h.Place(b.Collection)),
			cmp.Compare(a.ID, b.ID))
	})
	for _, x := range fell {
		if err := h.fell(ctx, x); err != nil {
			return err
		}
	}
	return nil
}

// fell runs the hook of a record that a delete took or changed.
func (h *host) fell(ctx context.Context, x journal.Change) error {
	c := h.Collection(x.Collection)
	switch {
	case c == nil || x.Before.Zero():
		return nil
	case x.After.Zero():
		if !c.Hooked(spec.Deleted) {
			return nil
		}
		return h.hook(ctx, c, spec.Deleted, x.Before, value.Record{})
	case versionOf(x.Before) == versionOf(x.After) || !c.Hooked(spec.Updated):
		return nil
	default:
		return h.hook(ctx, c, spec.Updated, x.After, x.Before)
	}
}

// hook runs the function of an event. What it says no to is undone as a whole, so no
// code can catch it.
func (h *host) hook(ctx context.Context, c *app.Collection, event string,
	record, before value.Record) error {
	call := action.Run{Name: action.Hooks + "/" + c.Name + "." + hookNames[event],
		Input: record.Clone(), Of: c.Name}
	call.Input.Shape = c.Shape
	if !before.Zero() {
		call.Before = before.Clone()
		call.Before.Shape = c.Shape
	}
	inner := &host{run: h.run, view: h.tx, tx: h.tx, wallet: h.wallet,
		hooks: append(h.hooks[:len(h.hooks):len(h.hooks)], c.Name+"."+hookNames[event])}
	if len(inner.hooks) > hookDepthMax {
		return action.Final(internal("hooks are nested deeper than %d: %s", hookDepthMax,
			strings.Join(inner.hooks, " > ")))
	}
	if seen := h.call.Seen; seen != nil && len(seen.Stages) < hooksSeenMax {
		h.stage(call.Title())
		defer h.stage("perform")
	}
	span, err := h.wallet.left()
	if err != nil {
		return action.Final(err)
	}
	if _, err = h.code(ctx, inner, span, call); err != nil {
		return action.Final(err)
	}
	return nil
}

// wallet is what one operation may spend, with the hooks that it causes.
type wallet struct {
	calls int
	rows  int
	// messages counts what is published.
	messages int
	// until is when the code of the operation must have ended; zero until it begins.
	until time.Time
}

// left returns how much time there is for code.
func (w *wallet) left() (time.Duration, error) {
	if w.until.IsZero() {
		w.until = time.Now().Add(actionTime)
	}
	span := time.Until(w.until)
	if span <= 0 {
		return 0, fault.New(fault.Timeout, "The hooks took longer than %s.", actionTime)
	}
	return span, nil
}

// spend begins a time for code, unless one has begun.
func (w *wallet) spend(span time.Duration) {
	if w.until.IsZero() {
		w.until = time.Now().Add(span)
	}
}

// tick counts a call against the bound.
func (w *wallet) tick(kind string) error {
	if w.calls++; w.calls > hostCallsMax {
		return fault.New(fault.Timeout, "The %s made more than %d calls.", kind, hostCallsMax)
	}
	return nil
}
