package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// starts leaves the intents of what the app file starts by the transaction's changes,
// whoever made them: they are part of the same entry.
func (r *run) starts(ctx context.Context, tx store.Tx) error {
	if !r.Triggered() {
		return nil
	}
	for n, change := range tx.Changes() {
		c := r.Collection(change.Collection)
		if c == nil {
			continue
		}
		event, record := spec.Updated, change.After
		switch {
		case change.Before.Zero():
			event = spec.Created
		case change.After.Zero():
			event, record = spec.Deleted, change.Before
		}
		for _, t := range c.Triggers(event) {
			if t.If != nil {
				r.about(record, change.Before, value.Record{})
				yes, err := r.ask(ctx, t.If)
				if err != nil {
					return err
				}
				if !yes {
					continue
				}
			}
			if err := tx.Intend(ctx, r.started(t, n, record)); err != nil {
				return err
			}
		}
	}
	return nil
}

// started is the intent of what a change starts. A job has the record as its input, the
// others find it among the entry's changes.
func (r *run) started(t *app.Trigger, change int, record value.Record) journal.Intent {
	if t.Kind == journal.IntentJob {
		return journal.JobIntent(t.Name, r.newID(), value.OfRecord(record))
	}
	return journal.ChangeIntent(t.Kind, t.Name, change)
}
