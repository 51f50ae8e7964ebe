package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Proxy is the verb of a call that asks another server, by the proxy that is its Target.
// It is for Admit alone.
const Proxy Verb = 1 << 6

// Admission is the leave to do what a call asked for. It counts among its subject's
// calls until it ends.
type Admission struct {
	Subject ident.Subject
	run     *run
}

// End says that what was admitted is done.
func (a *Admission) End() {
	a.run.leave()
	a.run.inside = ""
}

// Admit decides whether a caller may do what a door does itself, in a stream and without
// a transaction: it authenticates, resolves, counts and authorizes, and no more. Who has
// an Admission must End it. An error is a *fault.Fault.
func (e *Engine) Admit(ctx context.Context, call Call) (*Admission, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	r := e.begin(call)
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	err := e.store.Read(ctx, func(v store.View) error { return r.admitStream(ctx, v) })
	if err != nil {
		r.leave()
		return nil, r.end("", err)
	}
	r.call.Seen.End()
	return &Admission{Subject: r.subject, run: r}, nil
}

func (r *run) admitStream(ctx context.Context, v store.View) error {
	if err := r.asker(ctx, v); err != nil {
		return err
	}
	r.stage("resolve")
	p := r.Proxy(r.call.Target)
	if r.call.Verb != Proxy || p == nil || p.Allow == nil && !r.free() {
		return errNotFound()
	}
	op := &operation{name: "proxies." + p.Name}
	if s := r.call.Seen; s != nil {
		s.Operation = op.name
	}
	r.stage("admit")
	if err := r.admit(op); err != nil {
		return err
	}
	if p.Spec.Rate.Count > 0 && r.inside != "" {
		if err := r.count(p.Name, op.name+" "+r.inside, p.Spec.Rate); err != nil {
			return err
		}
	}
	r.stage("authorize")
	r.about(value.Record{}, value.Record{}, value.Record{})
	return r.allowed(ctx, p.Allow)
}
