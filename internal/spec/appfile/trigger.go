package appfile

import (
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// events are the words behind the dot of `on:`.
var events = []string{spec.Created, spec.Updated, spec.Deleted}

// trigger reads what starts work, such as orders.created; nil after telling.
func (r *reader) trigger(n *node) *spec.Trigger {
	text, ok := r.plain(n, "on")
	if !ok {
		return nil
	}
	collection, event, _ := strings.Cut(text, ".")
	t := &spec.Trigger{Collection: collection, Event: event, Pos: n.pos}
	at := *n
	at.text, at.width = collection, len(collection)
	if r.spec.Collection(collection) == nil {
		r.unknown(&at, r.collections, "write a collection and an event, such as orders.created",
			"on names no collection %q", collection)
		return nil
	}
	for _, known := range events {
		if event == known {
			return t
		}
	}
	at.text, at.width = event, len(event)
	at.pos.Column += len(collection) + 1
	r.unknown(&at, events, "known are "+strings.Join(events, ", "),
		"on names no event %q of %s", event, collection)
	return nil
}

// cron reads a schedule; nil after telling.
func (r *reader) cron(n *node) *spec.Cron {
	text, ok := r.plain(n, "cron")
	if !ok {
		return nil
	}
	schedule, err := spec.ParseCron(text)
	if err != nil {
		r.fail(n, "write minute hour day month weekday, such as 0 9 * * MON", "%v", err)
		return nil
	}
	return &spec.Cron{Text: text, Pos: n.pos, Schedule: schedule}
}
