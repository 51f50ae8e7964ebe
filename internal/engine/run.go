package engine

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// run is one call on its way through the line.
type run struct {
	*loaded
	engine  *Engine
	call    *Call
	own     Call
	subject ident.Subject
	// presumed reports that the subject is a presumption, and vouched that it is the one
	// that the state knows in which the call asks.
	presumed, vouched bool
	// me is the subject's record of users in the state that is read, zero for
	// others than users.
	me   value.Record
	now  time.Time
	seed uint64
	// in is what rules are asked about; its view is the transaction's.
	in rule.Input
	// inside is the name under which the call is counted among its subject's.
	inside string
	// expanded counts the records that are put beside others.
	expanded int
	// sought, where set, is told which records are looked for beside others.
	sought func(c *app.Collection, ids []string)
	// kept is a view that is taken from what is kept, after the read.
	kept *app.View

	// Of one attempt of a write, which may be made more than once.
	chance *rand.Rand
	ids    int
	// settled reports that the operation itself ran: only then is its no an answer
	// that is kept.
	settled bool
}

// begin makes the run of a call. The caller holds the gate.
func (e *Engine) begin(call Call) *run {
	r := &run{loaded: e.loaded.Load(), engine: e, own: call,
		now: e.clock().Truncate(time.Millisecond)}
	r.call = &r.own
	r.in.Now = r.now
	r.in.Request = rule.Request{ID: string(call.ID), IP: call.Request.IP,
		Country: call.Request.Country, Method: call.Request.Method,
		Origin: call.Request.Origin, UserAgent: call.Request.UserAgent}
	return r
}

// stage notes that a stage of the line begins.
func (r *run) stage(name string) { r.call.Seen.Begin(name) }

// end notes how the call ended.
func (r *run) end(outcome string, err error) error {
	seen := r.call.Seen
	if err == nil {
		if seen != nil {
			seen.End()
			seen.Outcome = outcome
		}
		return nil
	}
	f := fault.From(err)
	if seen == nil {
		return f
	}
	seen.End()
	seen.Code = f.CodeOr()
	if f.Line != "" {
		seen.Found(seen.Code + " at " + f.Line)
	}
	switch f.Kind {
	case fault.Internal, fault.Unavailable, fault.Timeout, fault.Unknown, fault.Upstream:
		seen.Outcome, seen.Cause = observe.Failed, f.Cause
		if f.Cause == nil {
			seen.Cause = f
		}
	case fault.Denied, fault.Unauthenticated, fault.NotFound, fault.Exhausted:
		seen.Outcome = observe.Denied
		if r.settled {
			seen.Outcome = observe.Refused
		}
	default:
		seen.Outcome = observe.Refused
	}
	return f
}

// free reports that no allow binds the subject: admins and the house itself, whom no
// wire can be.
func (r *run) free() bool {
	return r.call.Trusted && r.subject.Who != ident.Anonymous && r.subject.Who != ident.User
}

// attempt begins to run the operation in a transaction, with the same chance as any
// attempt before, and reads who asks in the transaction's own state.
func (r *run) attempt(ctx context.Context, tx store.Tx) error {
	r.chance, r.ids, r.settled = nil, 0, false
	return r.look(ctx, tx)
}

// look makes a view the state that rules are asked about.
func (r *run) look(ctx context.Context, v store.View) error {
	r.in.View = v
	if r.subject.Who != ident.User {
		return nil
	}
	me, err := v.Get(ctx, usersName, r.subject.ID)
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.Unauthenticated, "The account does not exist any more.")
	}
	r.me, r.in.Auth = me, me
	if s := r.call.Seen; s != nil && err == nil {
		s.Name = me.Get(spec.FieldEmail).Text()
	}
	return err
}

// random returns the chance of the call.
func (r *run) random() *rand.Rand {
	if r.chance == nil {
		if r.seed == 0 {
			r.seed = r.engine.seed() | 1
		}
		r.chance = rand.New(rand.NewPCG(r.seed, uint64(r.now.UnixMilli())))
	}
	return r.chance
}

// newID returns the next id of the call.
func (r *run) newID() ident.Record {
	id := ident.RecordAt(r.now, r.random(), r.ids)
	r.ids++
	return id
}

// ask decides a rule on what stands in r.in, and notes the verdict.
func (r *run) ask(ctx context.Context, x *rule.Rule) (bool, error) {
	v := x.Decide(ctx, &r.in)
	if err := v.Broken(); err != nil {
		return false, fault.From(err)
	}
	yes := v.Allowed()
	if seen := r.call.Seen; seen != nil && (!yes || len(seen.Rules) < verdictsMax) {
		verdict := observe.Verdict{Rule: x.Name(), Place: r.PlaceOf(x), Yes: yes}
		if !yes {
			// What the rule looked at is gone when the call has ended.
			tree := x.Explain(ctx, &r.in).String()
			verdict.Explain = func() string { return tree }
		}
		seen.Asked(verdict)
	}
	return yes, nil
}

// part notes, once, that a rule was part of a query, and whether it let it find anything.
func (r *run) part(x *rule.Rule, some bool) {
	seen := r.call.Seen
	if seen == nil || len(seen.Rules) >= verdictsMax {
		return
	}
	for i := range seen.Rules {
		if v := &seen.Rules[i]; v.Query && v.Yes == some && v.Rule == x.Name() {
			return
		}
	}
	seen.Asked(observe.Verdict{Rule: x.Name(), Place: r.PlaceOf(x), Yes: some, Query: true,
		Explain: func() string { return x.Text().Source }})
}

// about puts a record before the rules.
func (r *run) about(record, before, input value.Record) {
	r.in.Record, r.in.Before, r.in.Input = record, before, input
}
