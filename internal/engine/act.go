package engine

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// prepare does what an action of the house does before its transaction.
func (r *run) prepare(ctx context.Context, op *operation) error {
	h := op.house
	if h == nil {
		return nil
	}
	if h.SignedIn && r.subject.Who != ident.User {
		return errSignIn()
	}
	if h.Prepare == nil {
		return nil
	}
	r.stage("prepare")
	in, err := h.Prepare(ctx, r.caller(), op.input)
	op.input = in
	return err
}

// caller is what an action of the house may know of who calls.
func (r *run) caller() action.Caller {
	return action.Caller{Address: r.call.Request.IP, Agent: r.call.Request.UserAgent,
		Credential: r.call.Credential, Now: r.now}
}

// act authorizes and runs an action that writes.
func (r *run) act(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	h := r.newHost(tx, tx)
	out, err := r.runAction(ctx, h, op)
	return Reply{Verb: Action, Output: out}, err
}

// actRead authorizes and runs an action that only reads.
func (r *run) actRead(ctx context.Context, v store.View, op *operation) (Answer, error) {
	if err := r.look(ctx, v); err != nil {
		return Answer{}, err
	}
	if err := r.prepare(ctx, op); err != nil {
		return Answer{}, err
	}
	out, err := r.runAction(ctx, r.newHost(v, nil), op)
	return Answer{Output: out}, err
}

func (r *run) runAction(ctx context.Context, h *host, op *operation) (value.Value, error) {
	r.stage("authorize")
	if op.house != nil {
		h.quiet = true
		r.settle()
		return op.house.Run(ctx, h, r.caller(), op.input)
	}
	r.about(value.Record{}, value.Record{}, op.input)
	if err := r.allowed(ctx, op.action.Allow); err != nil {
		return value.Value{}, err
	}
	r.settle()
	return r.guest(ctx, h, op)
}

// guest runs the app's own code of an action.
func (r *run) guest(ctx context.Context, h *host, op *operation) (value.Value, error) {
	a := op.action
	span := cmp.Or(a.Spec.Timeout, actionTime)
	h.wallet.spend(span)
	out, err := r.code(ctx, h, span, action.Run{
		Name: action.Actions + "/" + a.Name, Input: op.input, Output: a.Spec.Output})
	if err != nil {
		return value.Value{}, err
	}
	return outputOf(op, out)
}

// code runs a function of the app's code within the bounds of its kind.
func (r *run) code(ctx context.Context, h *host, span time.Duration, call action.Run) (
	value.Value, error) {
	f := r.Function(call.Name)
	if f == nil || f.Program == nil || r.engine.runner[f.Language] == nil {
		return value.Value{}, internal("no runner for the %s", call.Title())
	}
	call.Bounds = action.Bounds{Time: span, Memory: actionMemory, Calls: hostCallsMax}
	// The runner keeps the time itself; the deadline is for the host's own reads.
	ctx, cancel := context.WithTimeout(ctx, span+time.Second)
	defer cancel()
	out, err := r.engine.runner[f.Language].Run(ctx, f.Program, call, h)
	if err != nil {
		return value.Value{}, r.guestFault(call.Title(), err)
	}
	return out, nil
}

// guestFault gives a refusal of the app's code the kind and sentence of its code.
func (r *run) guestFault(name string, err error) error {
	f := *fault.From(err)
	f.Message = r.engine.mask.Text(f.Message)
	for i, d := range f.Data {
		if text, ok := d.Value.(string); ok && r.engine.mask.Holds([]byte(text)) {
			f.Data = slices.Clone(f.Data)
			f.Data[i].Value = r.engine.mask.Text(text)
		}
	}
	if f.Kind != fault.Refused || f.Code == "" {
		return &f
	}
	known, ok := r.Refuse(f.Code)
	if !ok {
		return internal("the %s refuses with %q, which the app file does not declare",
			name, f.Code)
	}
	f.Kind = known.Kind
	f.Message = cmp.Or(f.Message, known.Message)
	return &f
}

// outputOf makes sure that an action answered with what it declares.
func outputOf(op *operation, out value.Value) (value.Value, error) {
	shape := op.action.Spec.Output
	if shape == nil {
		return value.OfNull(), nil
	}
	t := value.Type{Kind: value.TypeObject, Fields: shape}
	out, issues := value.Conform(&t, out, "#")
	if out.Kind() == value.Absent {
		issues = append(issues, value.Issue{Pointer: "#", Detail: "is missing"})
	}
	if len(issues) > 0 {
		return value.Value{}, internal("the output of the action %s: %s %s", op.action.Name,
			issues[0].Pointer, issues[0].Detail)
	}
	return out, nil
}
