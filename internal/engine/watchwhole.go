package engine

import (
	"context"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Value is the answer to a watch that is Whole, in one state.
type Value struct {
	// At is the place of the state.
	At    journal.Seq
	Items []Item
	// Left is how long it is kept for all who ask, so that it is the same until then.
	Left time.Duration
}

// watchWhole watches a view or an aggregate, in which no record can be judged for itself.
func (r *run) watchWhole(op *operation) (*Watch, error) {
	w := &Watch{engine: r.engine, loaded: r.loaded, call: r.own, subject: r.subject, op: op}
	w.call.Seen, w.call.Credential = nil, ""
	if x := op.view; x != nil {
		if x.Rule != nil {
			w.rules = append(w.rules, newInvolved(x.Rule, true))
		}
		key := "view\x00" + x.Name
		if r.free() {
			key += "\x00!"
		} else {
			w.rules = append(w.rules, newInvolved(x.Allow, false))
		}
		w.key = w.name(key)
		return w, nil
	}
	var err error
	if w.params, err = readParams(op.coll, r.call.Params, aggregateParams, true); err != nil {
		return nil, err
	}
	key, kept, err := r.compiled(op, &w.params, func() (any, error) { return r.grouping(op, w.params) })
	if err != nil {
		return nil, err
	}
	w.groups = kept.(*grouping)
	w.rules = r.involved(&w.groups.selection, nil)
	w.key = w.name(key)
	return w, nil
}

// Whole reports that the answer is one value: it has no rows that could be judged, and
// is computed again by Value where something changed at which its facts look.
func (w *Watch) Whole() bool { return w.list == nil }

// plan is what a whole is computed by.
func (w *Watch) plan() *query.Plan {
	if w.op.view != nil {
		return w.op.view.Plan
	}
	return w.groups.plan
}

// permitted asks the rule of a view whether the caller may have it. What an aggregate
// may be of is part of it.
func (w *Watch) permitted(ctx context.Context, r *run) error {
	if w.op.view == nil {
		return nil
	}
	r.about(value.Record{}, value.Record{}, value.Record{})
	return r.allowed(ctx, w.op.view.Allow)
}

// kept reports whether the answer is kept for all who ask.
func (w *Watch) kept() bool { return w.op.view != nil && w.op.view.Spec.Cache > 0 }

// admits asks whether the caller may have it, and returns the place at which he may.
func (w *Watch) admits(ctx context.Context, r *run, v store.View) (at journal.Seq, err error) {
	if err = w.permitted(ctx, r); err != nil || w.kept() {
		return at, err
	}
	return v.Head(ctx)
}

// Value computes a whole in the last committed state, or takes it from what is kept for
// all who ask. What the caller may no longer ask at all is a fault.
func (w *Watch) Value(ctx context.Context) (Value, error) {
	e := w.engine
	if err := e.enter(); err != nil {
		return Value{}, err
	}
	defer e.leave()
	if !w.Current() {
		return Value{}, fault.New(fault.Unavailable, "Another app is in force.")
	}
	ctx, cancel := context.WithTimeout(ctx, queryTime)
	defer cancel()
	out, err := w.computed(ctx)
	return out, fromErr(err)
}

func (w *Watch) computed(ctx context.Context) (out Value, err error) {
	kept := w.kept()
	r := w.begin(&Look{})
	if kept && (r.free() || everybodys(w.op.view)) { // nothing in the store is asked
		err = w.bind(ctx, r, nil)
	} else {
		err = w.engine.store.Read(ctx, func(v store.View) (err error) {
			r := w.begin(&Look{engine: w.engine, view: v, known: v})
			if err = w.permitted(ctx, r); err != nil {
				return err
			}
			if kept {
				return w.bind(ctx, r, nil)
			}
			if out.At, err = v.Head(ctx); err == nil {
				out.Items, err = w.compute(ctx, r, v)
			}
			return err
		})
	}
	if err != nil || !kept {
		return out, err
	}
	// Who waits for what others compute must hold no view of his own: they may need it.
	x := w.op.view
	a, err := w.engine.views.Latest(ctx, x.Name, r.loadView(x))
	if err != nil {
		return out, err
	}
	left := a.Fresh - w.engine.clock().Sub(a.Made)
	return Value{At: a.Value.at, Items: a.Value.Items, Left: max(left, 0)}, nil
}

// compute binds the arguments and reads the groups.
func (w *Watch) compute(ctx context.Context, r *run, v store.View) ([]Item, error) {
	if w.groups != nil {
		args, _, err := r.arguments(ctx, &w.groups.selection, w.params)
		if err != nil {
			return nil, err
		}
		if err := w.bind(ctx, r, args); err != nil {
			return nil, err
		}
		return w.groups.compute(ctx, v, args)
	}
	var args []value.Value
	if x := w.op.view; x.Where != nil {
		var err error
		if args, err = x.Where.Args(ctx, &r.in); err != nil {
			return nil, err
		}
	}
	if err := w.bind(ctx, r, args); err != nil {
		return nil, err
	}
	answer, err := r.compute(ctx, v, w.op.view, &r.in)
	return answer.Items, err
}

// whole gathers the sources of a plan of which the records are not judged: they are one
// of its sources.
func (g *gatherer) whole(p *query.Plan) {
	g.ask(p.From, 0, p.Where)
	g.scopes[0].Born = true
	for _, x := range p.Group {
		g.visit(x)
	}
	for _, a := range p.Aggregates {
		g.visit(a.Of)
	}
}

func sameSource(a, b Source) bool {
	return a.Collection == b.Collection && slices.Equal(a.Fields, b.Fields) && a.Born == b.Born &&
		a.Bound == b.Bound && a.Field == b.Field && a.Value.Equal(b.Value)
}
