package engine

import (
	"context"
	"errors"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// webhookTime is how long the code of a webhook may take.
const webhookTime = time.Second

// Event is a verified call from outside, for the function of a webhook.
type Event struct {
	// Webhook is its name, ID what tells it from others.
	Webhook string
	ID      string
	// Body is JSON, "" where the call held none; Headers is a JSON object; Raw is the
	// body as it came, where it is text.
	Body    string
	Headers string
	Raw     string
	// Keep, which may be nil, writes what belongs into the same commit, to quiet
	// collections.
	Keep func(ctx context.Context, tx store.Tx) error
}

// Take has the app's code take an event in a serializable transaction, once: the same ID
// again does nothing and is Replayed. No allow binds it, but types and checks do. A no of
// the code is not kept, unlike that of an action: who sent the event sends it again, and
// what it needs may be there by then. An error is a *fault.Fault.
func (e *Engine) Take(ctx context.Context, call Call, event Event) (Reply, error) {
	if err := e.enter(); err != nil {
		return Reply{}, err
	}
	defer e.leave()
	call.Trusted = true
	call.Subject = ident.Subject{Who: ident.System, Name: "webhook:" + event.Webhook}
	call.Key = event.ID
	r := e.begin(call)
	ctx, cancel := context.WithTimeout(ctx, executeTime)
	defer cancel()
	replayed, err := r.take(ctx, &event)
	outcome := observe.Committed
	if replayed {
		outcome = observe.Replayed
	}
	return Reply{Replayed: replayed}, r.end(outcome, err)
}

func (r *run) take(ctx context.Context, event *Event) (replayed bool, err error) {
	if err := r.identify(ctx); err != nil {
		return false, err
	}
	if r.App.Spec.Webhook(event.Webhook) == nil {
		return false, errNotFound()
	}
	// The same id is the same event, even if its sender writes it in other words the
	// second time: the fingerprint is none.
	origin := journal.Origin{Call: r.call.ID, Subject: r.subject, Key: r.call.Key,
		Operation: "webhooks." + event.Webhook, Door: r.call.Door, Now: r.now}
	if s := r.call.Seen; s != nil {
		s.Operation = origin.Operation
	}
	r.stage("write")
	var early error
	entry, err := r.engine.store.Write(ctx, origin, func(tx store.Tx) error {
		if early = r.taken(ctx, tx, event); early != nil {
			return errEarly
		}
		return nil
	})
	switch {
	case errors.Is(err, errEarly):
		return false, early
	case err != nil:
		return false, err
	}
	if s := r.call.Seen; s != nil && !entry.Replayed {
		s.Writes = len(entry.Changes)
	}
	return entry.Replayed, nil
}

// taken runs the code and asks the checks of what it did.
func (r *run) taken(ctx context.Context, tx store.Tx, event *Event) error {
	if err := r.attempt(ctx, tx); err != nil {
		return err
	}
	r.stage("perform")
	input := value.NewRecord(action.EventShape())
	input.Set("id", value.OfText(event.ID))
	input.Set("body", value.OfNull())
	if event.Body != "" {
		input.Set("body", value.OfJSON(event.Body))
	}
	input.Set("headers", value.OfJSON(event.Headers))
	input.Set("raw", value.OfText(event.Raw))
	h := r.newHost(tx, tx)
	h.wallet.spend(webhookTime)
	_, err := r.code(ctx, h, webhookTime, action.Run{
		Name: action.Webhooks + "/" + event.Webhook, Input: input})
	if err != nil {
		return err
	}
	r.stage("check")
	if err := r.check(ctx, tx); err != nil {
		return err
	}
	if event.Keep != nil {
		if err := event.Keep(ctx, tx); err != nil {
			return err
		}
	}
	r.stage("commit")
	tx.Reply(value.OfNull())
	return nil
}
