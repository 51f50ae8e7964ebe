package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Query answers a call that reads, from one committed state. What the caller may not
// see is not read, or is left out. An error is a *fault.Fault.
func (e *Engine) Query(ctx context.Context, call Call) (Answer, error) {
	if err := e.enter(); err != nil {
		return Answer{}, err
	}
	defer e.leave()
	r := e.begin(call)
	defer r.leave()
	reading := ctx
	switch {
	case call.Verb != Get || e.looks(r.call):
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, queryTime)
		defer cancel()
		reading = ctx
	case call.Credential == "":
		reading = store.Brief(ctx)
	}
	answer, err := r.query(ctx, reading)
	if s := r.call.Seen; s != nil && !r.in.Auth.Zero() {
		s.Name = r.in.Auth.Get(spec.FieldEmail).Text()
	}
	return answer, r.end(observe.Read, err)
}

// looks reports whether a get may look at more than a few records, so that it needs a
// bound on its time.
func (e *Engine) looks(call *Call) bool {
	c := e.loaded.Load().Collection(call.Target)
	return c != nil && (call.Params != nil || c.Read != nil && len(c.Read.Reads()) > 0)
}

// query reads in a view that is made with the context reading.
func (r *run) query(ctx, reading context.Context) (answer Answer, err error) {
	if x := r.public(); x != nil {
		if _, err := r.admitted(ctx, nil); err != nil {
			return Answer{}, err
		}
		return r.fromKept(ctx, x)
	}
	err = r.engine.store.Read(reading, func(v store.View) error {
		op, err := r.admitted(ctx, v)
		if err != nil {
			return err
		}
		r.stage("read")
		answer, err = r.read(ctx, v, op)
		return err
	})
	if err == nil && r.kept != nil {
		return r.fromKept(ctx, r.kept)
	}
	return answer, err
}

// asker authenticates a call that reads, and makes v the state that its rules look at:
// nil for a call that no rule is asked about.
func (r *run) asker(ctx context.Context, v store.View) error {
	r.stage("authenticate")
	if err := r.authenticate(ctx, v); err != nil {
		return err
	}
	// Who asks is read when a rule asks for it.
	r.in.View, r.in.Auth = v, value.Record{}
	if r.subject.Who == ident.User {
		r.in.Who = r.subject.ID
	}
	return nil
}

// admitted returns the operation that a call asks for which reads, if it is admitted.
func (r *run) admitted(ctx context.Context, v store.View) (*operation, error) {
	if err := r.asker(ctx, v); err != nil {
		return nil, err
	}
	op, err := r.resolve(true)
	if err != nil {
		return nil, err
	}
	r.stage("admit")
	return op, r.admit(op)
}

func (r *run) read(ctx context.Context, v store.View, op *operation) (Answer, error) {
	if op.view != nil {
		return r.viewed(ctx, v, op)
	}
	switch op.verb {
	case Get:
		return r.get(ctx, v, op)
	case List:
		return r.list(ctx, v, op)
	case Aggregate:
		return r.aggregate(ctx, v, op)
	case Route, Problem:
		return r.routeRead(ctx, v, op)
	default:
		return r.actRead(ctx, v, op)
	}
}

// reads reports whether the operation only reads.
func (op *operation) reads() bool {
	if op.verb < Create {
		return true
	}
	switch {
	case op.house != nil:
		return op.house.ReadOnly
	case op.route != nil:
		return op.verb == Problem || op.reading
	}
	return op.action != nil && op.action.Spec.ReadOnly
}

// get reads one record by its id.
func (r *run) get(ctx context.Context, v store.View, op *operation) (Answer, error) {
	p, err := readParams(op.coll, r.call.Params, getParams, false)
	if err != nil {
		return Answer{}, err
	}
	keep, tree, err := r.view(op.coll, p)
	if err != nil {
		return Answer{}, err
	}
	record, err := r.readable(ctx, v, op)
	if err != nil {
		return Answer{}, err
	}
	if err := r.show(ctx, op.coll, record); err != nil {
		return Answer{}, err
	}
	items := []Item{{Record: record, Version: versionOf(record)}}
	if err := r.expand(ctx, v, items, tree); err != nil {
		return Answer{}, err
	}
	project(items, keep)
	return Answer{Items: items}, nil
}

// view reads which fields are wanted and what is to be expanded.
func (r *run) view(c *app.Collection, p params) (keep []bool, tree []*branch, err error) {
	names, err := p.list(paramFields)
	if err != nil {
		return nil, nil, err
	}
	if names != nil {
		keep = make([]bool, c.Shape.Len())
		for _, x := range names {
			slot, ok := r.known(c).Index(x.text)
			if !ok {
				return nil, nil, errField(c.Name, paramFields, x, r.known(c).Names())
			}
			slot, _ = c.Shape.Index(r.known(c).Fields()[slot].Name)
			keep[slot] = true
		}
	}
	tree, err = r.branches(c, p)
	return keep, tree, err
}

// known is what of a record exists for the caller.
func (r *run) known(c *app.Collection) *value.Shape {
	if r.free() {
		return c.Shape
	}
	return c.Known
}

// project leaves only the wanted fields.
func project(items []Item, keep []bool) {
	if keep == nil {
		return
	}
	for _, item := range items {
		for i := range item.Record.Slots {
			if !keep[i] {
				item.Record.Slots[i] = value.Value{}
			}
		}
	}
}
