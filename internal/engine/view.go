package engine

import (
	"context"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/cache"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// viewsMax bounds the answers of views that are kept, in bytes.
	viewsMax = 32 << 20
	// viewStale is how many times as long as it is fresh an answer is given while another
	// is computed.
	viewStale = 2
)

// Kept says how an answer was kept for others.
type Kept struct {
	// Fresh is how long it is good from when it was made, 0 if it is not kept; Age how
	// long ago that was.
	Fresh time.Duration
	Age   time.Duration
	// Public reports that everybody may have it.
	Public bool
}

// viewOf resolves a view, which is asked for as a list is.
func (r *run) viewOf(c *Call, v *app.View) (*operation, error) {
	if v.Allow == nil && !r.free() {
		return nil, errNotFound()
	}
	for name := range c.Params {
		f := fault.New(fault.Malformed, "A view has no parameters.")
		f.At.Parameter = name
		return nil, f
	}
	return &operation{verb: List, name: "views." + v.Name, view: v}, nil
}

// viewed authorizes, and computes a view that is not kept.
func (r *run) viewed(ctx context.Context, v store.View, op *operation) (Answer, error) {
	r.about(value.Record{}, value.Record{}, value.Record{})
	if err := r.allowed(ctx, op.view.Allow); err != nil {
		return Answer{}, err
	}
	if op.view.Spec.Cache > 0 {
		// Who waits for what others compute must hold no view of his own: they may need it.
		r.kept = op.view
		return Answer{}, nil
	}
	return r.compute(ctx, v, op.view, &r.in)
}

// public returns the view that a call asks for, if it is kept for everybody and nobody
// needs to be known for it: then the store is not asked.
func (r *run) public() *app.View {
	if r.call.Verb != List || r.call.Credential != "" || r.call.Trusted {
		return nil
	}
	x := r.View(r.call.Target)
	if x == nil || x.Spec.Cache == 0 || !everybodys(x) {
		return nil
	}
	return x
}

func everybodys(x *app.View) bool { return x.Allow != nil && x.Allow.Text().Source == "true" }

// fromKept returns a view as it was computed for all who ask.
func (r *run) fromKept(ctx context.Context, x *app.View) (Answer, error) {
	r.stage("read")
	kept, _, err := r.engine.views.Get(ctx, x.Name, r.loadView(x))
	if err != nil {
		return Answer{}, err
	}
	answer := kept.Value
	answer.Kept = Kept{Fresh: kept.Fresh, Age: max(r.now.Sub(kept.Made), 0), Public: everybodys(x)}
	return answer, nil
}

// loadView computes a view for all who ask, in a state of its own: who asked first may
// not wait for it.
func (r *run) loadView(x *app.View) cache.Load[Answer] {
	e, now := r.engine, r.now
	l := &run{loaded: r.loaded, engine: e, now: now, call: &Call{ID: ident.NewCall()}}
	return func(ctx context.Context) (a cache.Answer[Answer], err error) {
		l.now = e.clock().Truncate(time.Millisecond)
		err = e.store.Read(ctx, func(v store.View) error {
			at, err := v.Head(ctx)
			if err != nil {
				return err
			}
			a.Value, err = l.compute(ctx, v, x, &rule.Input{Now: l.now, View: v})
			a.Value.at = at
			return err
		})
		for _, item := range a.Value.Items {
			a.Size += int64(len(value.AppendRecord(nil, item.Record)))
		}
		a.Fresh = x.Spec.Cache
		a.Stale = viewStale * x.Spec.Cache
		return a, err
	}
}

// compute reads the groups of a view.
func (r *run) compute(ctx context.Context, v store.View, x *app.View, in *rule.Input) (Answer, error) {
	var args []value.Value
	if x.Where != nil {
		var err error
		if args, err = x.Where.Args(ctx, in); err != nil {
			return Answer{}, err
		}
	}
	rows, err := v.Find(ctx, query.Query{Plan: x.Plan, Args: args})
	switch {
	case err != nil:
		return Answer{}, err
	case len(rows) > app.ViewGroupsMax:
		return Answer{}, internal("the view %s has more than %d groups", x.Name, app.ViewGroupsMax)
	}
	if err := finite(rows); err != nil {
		return Answer{}, err
	}
	slices.SortStableFunc(rows, func(a, b value.Record) int {
		for _, k := range x.Sort {
			if c := compare(a.Slots[k.Slot], b.Slots[k.Slot]); c != 0 {
				if k.Desc {
					return -c
				}
				return c
			}
		}
		return 0
	})
	items := make([]Item, min(len(rows), x.Limit))
	for i := range items {
		items[i].Record = rows[i]
	}
	return Answer{Items: items}, nil
}
