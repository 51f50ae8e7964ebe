package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
)

const usersName = spec.Users

// authenticate finds out who calls, by the view.
func (r *run) authenticate(ctx context.Context, v store.View) error {
	switch c := r.call; {
	case c.Trusted:
		r.subject = c.Subject
	case r.ownUsers():
		if err := r.viewer(ctx, v); err != nil {
			return err
		}
	case c.Credential == "":
	case r.engine.auth == nil:
		return fault.New(fault.Unauthenticated, "This app has no sign-in.")
	default:
		var err error
		if r.subject, err = r.engine.auth.Authenticate(ctx, v, c.Credential); err != nil {
			return err
		}
	}
	if s := r.call.Seen; s != nil {
		s.Who = r.subject.String()
	}
	return nil
}

// identify is authenticate for a call that will write: it reads in a view of its own,
// because who asks must be known before the transaction.
func (r *run) identify(ctx context.Context) error {
	if (r.call.Credential == "" || r.call.Trusted) && !r.ownUsers() {
		return r.authenticate(ctx, nil)
	}
	return r.engine.store.Read(store.Brief(ctx), func(v store.View) error { return r.authenticate(ctx, v) })
}
