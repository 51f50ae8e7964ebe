package engine

import (
	"context"
	"crypto/sha256"

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

// identify is authenticate for a call that will write, of whom nobody is presumed: it reads
// in a view of its own, and keeps who it was for the presumption of the next call.
func (r *run) identify(ctx context.Context) error {
	if (r.call.Credential == "" || r.call.Trusted) && !r.ownUsers() {
		return r.authenticate(ctx, nil)
	}
	err := r.engine.store.Read(store.Brief(ctx), func(v store.View) error {
		return r.authenticate(ctx, v)
	})
	if r.presumes() {
		if key := credentialKey(r.call); err == nil {
			r.engine.presumed.put(key, r.subject)
		} else {
			r.engine.presumed.drop(key)
		}
	}
	return err
}

// presumes reports whether who asks may be presumed: where the house acts itself, or the
// app's code tells who asks, that must be known at once.
func (r *run) presumes() bool {
	c := r.call
	return c.Credential != "" && !c.Trusted && r.engine.auth != nil && c.Verb != Route &&
		(c.Verb != Action || r.house[c.Target] == nil)
}

// presume takes who asked with the same credential before for who asks. Where a question
// is a round trip that saves one: the write itself then asks vouch.
func (r *run) presume() bool {
	if r.presumes() {
		r.subject, r.presumed = r.engine.presumed.get(credentialKey(r.call))
	}
	return r.presumed
}

// vouch confirms the presumption by the view.
func (r *run) vouch(ctx context.Context, v store.View) error {
	presumed := r.subject
	err := r.authenticate(ctx, v)
	known := r.subject
	r.subject = presumed
	if err == nil && known != presumed {
		err = internal("a credential has become another's")
	}
	r.vouched = err == nil
	return err
}

func credentialKey(c *Call) [sha256.Size]byte { return sha256.Sum256([]byte(c.Credential)) }
