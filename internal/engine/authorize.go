package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// authorizeCreate asks whether the record may be created and returns it as it would
// be stored.
func (r *run) authorizeCreate(ctx context.Context, op *operation) (value.Record, error) {
	if op.coll.Create == nil && !r.free() {
		return value.Record{}, r.denied(nil)
	}
	record := value.NewRecord(op.coll.Shape)
	for i, v := range op.input.Slots {
		record.Slots[op.slots[i]] = v
	}
	if record.Slots[spec.SlotID].IsNull() {
		record.Slots[spec.SlotID] = value.OfText(string(r.newID()))
	}
	record.Slots[spec.SlotCreated] = value.OfTime(r.now)
	record.Slots[spec.SlotUpdated] = value.OfTime(r.now)
	record.Slots[spec.SlotVersion] = value.OfInt(1)
	if err := fill(op.coll, record, r.free()); err != nil {
		return value.Record{}, err
	}
	r.about(record, value.Record{}, op.input)
	for i := range op.coll.Fields {
		if set := op.coll.Fields[i].Set; set != nil && !r.free() {
			v, err := set.Eval(ctx, &r.in)
			if err != nil {
				return value.Record{}, r.unset(op, i, err)
			}
			t := &op.coll.Shape.Fields()[i].Type
			v, issues := value.Conform(t, v, op.coll.Shape.Pointer(i))
			if err := errInput(issues); err != nil {
				return value.Record{}, r.unset(op, i, err)
			}
			record.Slots[i] = v
		}
	}
	return record, r.allowed(ctx, op.coll.Create)
}

// unset is the answer where a set has no value: for a caller who is not signed in
// that is mostly the want of auth.
func (r *run) unset(op *operation, slot int, err error) error {
	if r.subject.Who == ident.Anonymous {
		return errSignIn()
	}
	return internal("set of %s.%s: %w", op.coll.Name, op.coll.Shape.Fields()[slot].Name, err)
}

// allowed asks the rule of an allow about what stands in r.in.
func (r *run) allowed(ctx context.Context, x *rule.Rule) error {
	if r.free() {
		return nil
	}
	if x == nil {
		return r.denied(nil)
	}
	yes, err := r.ask(ctx, x)
	if err != nil || yes {
		return err
	}
	return r.denied(x)
}

// denied is the no of a rule: a caller who is not signed in may try again signed in.
func (r *run) denied(x *rule.Rule) error {
	if r.subject.Who == ident.Anonymous {
		return errSignIn()
	}
	f := fault.New(fault.Denied, denied)
	if x != nil {
		f.Rule = x.Name()
	}
	return f
}

func errSignIn() error { return fault.New(fault.Unauthenticated, "Sign in first.") }

// readable reads a record that the caller may see; any other is not there for him.
func (r *run) readable(ctx context.Context, v store.View, op *operation) (value.Record, error) {
	record, err := v.Get(ctx, op.coll.Name, op.id)
	if fault.Is(err, fault.NotFound) {
		return record, errNotFound()
	}
	if err != nil || r.free() {
		return record, err
	}
	yes, err := r.mayRead(ctx, op.coll.Read, record)
	if err == nil && !yes {
		err = errNotFound()
	}
	return record, err
}

func (r *run) mayRead(ctx context.Context, read *rule.Rule, record value.Record) (bool, error) {
	if read == nil {
		return false, nil
	}
	r.about(record, value.Record{}, value.Record{})
	return r.ask(ctx, read)
}

// authorizeUpdate asks whether the record may become what it would, and returns it as
// it is and as it would become. The rule is asked about both, or once where it looks
// at both itself.
func (r *run) authorizeUpdate(ctx context.Context, v store.View, op *operation) (
	old, next value.Record, err error) {
	if old, err = r.readable(ctx, v, op); err != nil {
		return old, next, err
	}
	if op.coll.Update == nil && !r.free() {
		return old, next, r.refused(nil, denied)
	}
	if next, err = patched(op, old); err != nil {
		return old, next, err
	}
	next.Slots[spec.SlotUpdated] = value.OfTime(r.now)
	next.Slots[spec.SlotVersion] = value.OfInt(old.Slots[spec.SlotVersion].Int() + 1)
	if x := op.coll.Update; !r.free() {
		if !x.UsesBefore() {
			r.about(old, value.Record{}, op.input)
			if yes, err := r.ask(ctx, x); err != nil || !yes {
				return old, next, r.refusedOr(x, err, denied)
			}
		}
		before := value.Record{}
		if x.UsesBefore() {
			before = old
		}
		r.about(next, before, op.input)
		if yes, err := r.ask(ctx, x); err != nil || !yes {
			return old, next, r.refusedOr(x, err, deniedNext)
		}
	}
	return old, next, stale(op, old)
}

// authorizeDelete asks whether the record may be deleted.
func (r *run) authorizeDelete(ctx context.Context, v store.View, op *operation) error {
	old, err := r.readable(ctx, v, op)
	if err != nil {
		return err
	}
	if !r.free() {
		if op.coll.Delete == nil {
			return r.refused(nil, denied)
		}
		r.about(old, value.Record{}, value.Record{})
		if yes, err := r.ask(ctx, op.coll.Delete); err != nil || !yes {
			return r.refusedOr(op.coll.Delete, err, denied)
		}
	}
	return stale(op, old)
}

// What is said of a no: to a change of the record as it is, and as it would become.
const (
	denied     = "A rule of the app does not allow this."
	deniedNext = "A rule of the app does not allow the record to become what it would."
)

// refused is the no to a change of a record that the caller may read: forbidden,
// signed in or not.
func (r *run) refused(x *rule.Rule, text string) error {
	f := fault.New(fault.Denied, "%s", text)
	if x != nil {
		f.Rule = x.Name()
	}
	return f
}

func (r *run) refusedOr(x *rule.Rule, err error, text string) error {
	if err != nil {
		return err
	}
	return r.refused(x, text)
}

func stale(op *operation, old value.Record) error {
	version := old.Slots[spec.SlotVersion].Int()
	if op.ifMatch == 0 || op.ifMatch == version {
		return nil
	}
	return fault.New(fault.Stale, "The record has version %d, not %d.", version, op.ifMatch)
}

// fill puts defaults and nulls into the slots of a new record that were left out. What
// a set will fill is null so far, but for admins, for whom nothing is set.
func fill(c *appCollection, record value.Record, free bool) error {
	for i := spec.SlotFirst; i < len(record.Slots); i++ {
		if record.Slots[i].Kind() != value.Absent {
			continue
		}
		f := &c.Fields[i]
		switch {
		case f.Spec.Default.Kind() != value.Absent:
			record.Slots[i] = f.Spec.Default
		case f.Spec.Type.Optional || f.Set != nil && !free:
			record.Slots[i] = value.OfNull()
		default:
			return errInput([]value.Issue{{Pointer: c.Shape.Pointer(i),
				Code: value.CodeRequired, Detail: "is required"}})
		}
	}
	return nil
}
