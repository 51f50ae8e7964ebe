package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// checkOwn asks the checks that need nothing but the record, right where it is
// written, so that the line of code that wrote it hears.
func (r *run) checkOwn(ctx context.Context, c *app.Collection, record value.Record) error {
	for _, check := range c.Checks {
		if !check.Own {
			continue
		}
		r.about(record, value.Record{}, value.Record{})
		if err := r.holds(ctx, check); err != nil {
			return err
		}
	}
	return nil
}

// check asks every check about every record that the transaction touched, in the
// state that would be committed, and then leaves the intents that the changes start.
func (r *run) check(ctx context.Context, tx store.Tx) error {
	for _, change := range tx.Changes() {
		if change.After.Zero() {
			continue
		}
		c := r.Collection(change.Collection)
		if c == nil {
			continue
		}
		for _, check := range c.Checks {
			r.about(change.After, change.Before, value.Record{})
			if err := r.holds(ctx, check); err != nil {
				return err
			}
		}
	}
	return r.starts(ctx, tx)
}

// holds refuses with the check's name if its rule does not hold.
func (r *run) holds(ctx context.Context, check *app.Check) error {
	yes, err := r.ask(ctx, check.Rule)
	if err != nil || yes {
		return err
	}
	f, ok := r.Refuse(check.Name)
	if !ok {
		return internal("check %s has no refusal", check.Name)
	}
	f.Rule = check.Rule.Name()
	return f
}
