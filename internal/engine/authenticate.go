package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
)

const usersName = spec.Users

// authenticate finds out who calls, by the view. His record of users is then that of
// the view.
func (r *run) authenticate(ctx context.Context, v store.View) error {
	r.in.View = v
	c := r.call
	if c.Trusted {
		r.subject = c.Subject
		return r.seen(r.look(ctx, v))
	}
	if c.Credential == "" {
		return r.seen(nil)
	}
	if r.engine.auth == nil {
		return fault.New(fault.Unauthenticated, "This app has no sign-in.")
	}
	subject, me, err := r.engine.auth.Authenticate(ctx, v, c.Credential)
	if err != nil {
		return err
	}
	r.subject, r.me, r.in.Auth = subject, me, me
	return r.seen(nil)
}

// identify is authenticate for a call that will write: it reads in a view of its own,
// because who asks must be known before the transaction.
func (r *run) identify(ctx context.Context) error {
	if r.call.Credential == "" && !(r.call.Trusted && r.call.Subject.Who == ident.User) {
		return r.authenticate(ctx, nil)
	}
	return r.engine.store.Read(ctx, func(v store.View) error { return r.authenticate(ctx, v) })
}

func (r *run) seen(err error) error {
	if s := r.call.Seen; s != nil && err == nil {
		s.Who = r.subject.String()
		if !r.me.Zero() {
			s.Name = r.me.Get(spec.FieldEmail).Text()
		}
	}
	return err
}
