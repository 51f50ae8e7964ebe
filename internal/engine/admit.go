package engine

import (
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/limit"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
)

// admit counts the call among those of its subject that are under way and against his
// rate, and each action that it asks
// for, alone or in a batch, against that action's own. Callers who are not signed in
// are counted by their address.
func (r *run) admit(op *operation) error {
	if r.engine.rates == nil || r.free() || r.call.Again {
		return nil
	}
	who := r.subject.String()
	if r.subject.Who == ident.Anonymous {
		who = limit.Network(r.call.Request.IP)
	}
	if r.inside == "" && !r.engine.inside.Enter(who, callsOwnMax) { // a read may begin anew
		f := fault.New(fault.Exhausted, "More than %d of your calls are under way.", callsOwnMax)
		f.RetryAfter = 1
		return f
	}
	r.inside = who
	if err := r.count("burst", who, r.engine.rate); err != nil {
		return err
	}
	for i, part := range op.batch {
		if err := r.countAction(part, who); err != nil {
			return faultAt(err, i)
		}
	}
	return r.countAction(op, who)
}

// leave ends what admit began.
func (r *run) leave() {
	if r.inside != "" {
		r.engine.inside.Leave(r.inside)
	}
}

// countAction counts an operation that is an action or a route with a rate.
func (r *run) countAction(op *operation, who string) error {
	if op.route != nil && op.route.Spec.Rate.Count > 0 {
		return r.count(op.route.Name, op.name+" "+who, op.route.Spec.Rate)
	}
	if op.action == nil || op.action.Spec.Rate.Count == 0 {
		return nil
	}
	return r.count(op.action.Name, op.name+" "+who, op.action.Spec.Rate)
}

func (r *run) count(policy, name string, rate spec.Rate) error {
	s, ok := r.engine.rates.Take(name, rate.Count, rate.Per, r.now)
	r.call.Seen.Limited(observe.Limit{Name: policy, Quota: s.Quota, Left: s.Remaining,
		Window: s.Window, Reset: s.Reset, Over: !ok})
	if ok {
		return nil
	}
	f := fault.New(fault.Exhausted, "More than %d calls in %s.", rate.Count, rate.Per)
	f.RetryAfter = int((s.Retry + time.Second - 1) / time.Second)
	return f
}
