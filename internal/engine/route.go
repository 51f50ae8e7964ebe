package engine

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// routeOf resolves a request of one of the app's own URLs.
func (r *run) routeOf(c *Call) (*operation, error) {
	x := r.App.Route(c.Target)
	if x == nil || c.Web == nil || len(x.Spec.Paths) == 0 || x.Allow == nil && !r.free() {
		return nil, errNotFound()
	}
	method, _, _ := strings.Cut(c.Web.Pattern, " ")
	op := &operation{verb: Route, name: "routes." + x.Name, route: x,
		reading: x.Spec.Reads(method)}
	if shape := x.Spec.Input; shape != nil {
		given := *c
		if len(c.Body) == 0 {
			given.Body, given.Params = nil, c.Web.Query
		}
		if err := r.actionInput(op, &given, shape); err != nil {
			return nil, err
		}
		op.typed = op.input
	}
	op.input = request(c, x.Spec.Input, op.typed)
	return op, nil
}

// problemOf resolves the shaping of a problem, which the house alone asks for.
func (r *run) problemOf(c *Call) (*operation, error) {
	x := r.App.Route(c.Target)
	if x == nil || !r.free() {
		return nil, errNotFound()
	}
	op := &operation{verb: Problem, name: "routes." + x.Name, route: x,
		input: value.NewRecord(action.ProblemShape())}
	op.input.Slots[0] = value.OfJSON(string(c.Body))
	return op, nil
}

// request is what the code sees of a request.
func request(c *Call, shape *value.Shape, typed value.Record) value.Record {
	in := value.NewRecord(action.RequestShape(shape))
	set := func(name string, v value.Value) { in.Set(name, v) }
	w := c.Web
	set("route", value.OfText(w.Pattern))
	set("method", value.OfText(c.Request.Method))
	set("path", value.OfText(w.Path))
	set("ip", value.OfText(c.Request.IP))
	set("params", jsonOf(w.Params))
	set("query", jsonOf(firstOf(w.Query)))
	set("headers", jsonOf(headersOf(w.Header)))
	text := ""
	if utf8.Valid(c.Body) {
		text = string(c.Body)
	}
	set("text", value.OfText(text))
	set("base64", value.OfText(base64.StdEncoding.EncodeToString(c.Body)))
	set("json", value.OfNull())
	if text != "" && json.Valid(c.Body) {
		set("json", value.OfJSON(text))
	}
	if !typed.Zero() {
		set("input", value.OfRecord(typed))
	}
	return in
}

func jsonOf(v any) value.Value {
	text, err := json.Marshal(v)
	if err != nil {
		return value.OfJSON("{}") // texts can always be written
	}
	return value.OfJSON(string(text))
}

func firstOf(q url.Values) map[string]string {
	out := make(map[string]string, len(q))
	for name, values := range q {
		out[name] = values[0]
	}
	return out
}

// headersOf returns the headers by names in small letters.
func headersOf(h http.Header) map[string]string {
	out := make(map[string]string, len(h))
	for name, values := range h {
		if text := strings.Join(values, ", "); utf8.ValidString(text) {
			out[strings.ToLower(name)] = text
		}
	}
	return out
}

// viewer asks the app's code which user asks, in a state that it only reads.
func (r *run) viewer(ctx context.Context, v store.View) error {
	x := r.App.Route(r.call.Target)
	if x == nil || r.call.Web == nil {
		return nil
	}
	h := r.newHost(v, nil)
	h.wallet.spend(actionTime)
	r.in.View = v
	out, err := r.code(ctx, h, actionTime, action.Run{Name: action.Routes + "/" + x.Spec.User.Name,
		Input:  request(r.call, nil, value.Record{}),
		Output: action.WhoShape()})
	if err != nil {
		return err
	}
	id := out.Record().Slots[0]
	if id.IsNull() || id.Text() == "" {
		return nil
	}
	if _, err := v.Get(ctx, usersName, ident.Record(id.Text())); err != nil {
		if fault.Is(err, fault.NotFound) {
			return fault.New(fault.Unauthenticated, "The account does not exist any more.")
		}
		return err
	}
	r.subject = ident.Subject{Who: ident.User, ID: ident.Record(id.Text())}
	return nil
}

// ownUsers reports whether the app's code tells who asks.
func (r *run) ownUsers() bool {
	if r.call.Verb != Route || r.call.Trusted {
		return false
	}
	x := r.App.Route(r.call.Target)
	return x != nil && x.Spec.User.Name != ""
}

// routeWrite authorizes and runs a route that may write.
func (r *run) routeWrite(ctx context.Context, tx store.Tx, op *operation) (Reply, error) {
	out, err := r.route(ctx, r.newHost(tx, tx), op)
	return Reply{Verb: Route, Output: out}, err
}

// routeRead authorizes and runs a route that only reads, or shapes a problem.
func (r *run) routeRead(ctx context.Context, v store.View, op *operation) (Answer, error) {
	if err := r.look(ctx, v); err != nil {
		return Answer{}, err
	}
	out, err := r.route(ctx, r.newHost(v, nil), op)
	return Answer{Output: out}, err
}

func (r *run) route(ctx context.Context, h *host, op *operation) (value.Value, error) {
	r.stage("authorize")
	r.about(value.Record{}, value.Record{}, op.typed)
	if op.verb == Route {
		if err := r.allowed(ctx, op.route.Allow); err != nil {
			return value.Value{}, err
		}
	}
	r.settle()
	span := cmp.Or(op.route.Spec.Timeout, actionTime)
	h.wallet.spend(span)
	call := action.Run{Name: action.Routes + "/" + op.route.Name, Input: op.input,
		Output: action.ResponseShape()}
	if op.verb == Problem {
		call.Name = action.Routes + "/" + op.route.Spec.Problem.Name
	}
	return r.code(ctx, h, span, call)
}
