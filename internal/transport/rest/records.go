package rest

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// api answers a request below /api.
func (d *Door) api(x *exchange, route transport.Route) {
	allowed := route.Form.Methods()
	if route.Form == transport.FormAuth {
		allowed = authMethods(route.Target)
	}
	m := transport.ParseMethod(x.r.Method)
	switch {
	case allowed == 0:
		x.fail(fault.New(fault.NotFound, "There is nothing at this address."))
		return
	case x.r.Method == http.MethodOptions:
		x.set("Allow", allowed.String())
		x.send(http.StatusNoContent, nil)
		return
	case m&allowed == 0:
		x.set("Allow", allowed.String())
		x.problem(d.Words().MethodProblem("It takes "+allowed.String()+".", x.id))
		return
	}
	ctx := x.r.Context() // the engine bounds the time of each call
	var err error
	switch route.Form {
	case transport.FormHealth:
		d.health(ctx, x)
	case transport.FormOpenAPI:
		err = d.document(x, d.openAPI)
	case transport.FormAsyncAPI:
		err = d.document(x, d.asyncAPI)
	case transport.FormSocket:
		err = d.stream(x, d.Socket)
	case transport.FormEvents:
		err = d.stream(x, d.Events)
	case transport.FormAuth:
		err = d.auth(ctx, x, route.Target, m)
	case transport.FormJob:
		err = d.job(ctx, x, route.Target, m)
	default:
		err = d.operate(ctx, x, route, m)
	}
	if err != nil {
		x.refuse(err)
	}
}

// refuse answers with a problem. A session that has ended is taken out of the
// browser's hands, so that its next request is that of a stranger and not refused.
func (x *exchange) refuse(err error) {
	if x.byCookie && fault.Is(err, fault.Unauthenticated) {
		x.setCookie("", x.seen.Started)
	}
	x.fail(err)
}

// operate asks the engine for an operation on records, for an action or for a batch.
func (d *Door) operate(ctx context.Context, x *exchange, route transport.Route,
	m transport.Methods) error {
	call, err := x.call()
	if err != nil {
		return err
	}
	call.Verb = route.Form.Verb(m)
	call.Target, call.Record = route.Target, route.Record
	if m == transport.MethodGet {
		if err := noBody(x.r); err != nil {
			return err
		}
		if call.Params, err = params(x.r); err != nil {
			return err
		}
		answer, err := d.Engine.Query(ctx, call)
		if err != nil {
			return err
		}
		x.answer(&call, &answer)
		return nil
	}
	if err := x.write(&call); err != nil {
		return err
	}
	reply, err := d.Engine.Execute(ctx, call)
	x.committed(&reply, err)
	if err != nil {
		return err
	}
	x.reply(&call, &reply)
	return nil
}

// write reads what a call that writes has: a body, a version.
func (x *exchange) write(call *engine.Call) error {
	if err := noParams(x.r); err != nil {
		return err
	}
	var err error
	if tags := x.r.Header["If-Match"]; call.Verb == engine.Update || call.Verb == engine.Delete {
		if call.IfMatch, err = version(tags); err != nil {
			return err
		}
	} else if len(tags) > 0 {
		return fault.New(fault.Malformed, "If-Match belongs to an update or a delete.")
	}
	if call.Verb == engine.Delete {
		return noBody(x.r)
	}
	body, err := x.body(call.Verb == engine.Update)
	switch {
	case err != nil:
		return err
	case body == nil && call.Verb != engine.Action:
		return fault.New(fault.Malformed, "This request needs a body of JSON.")
	case call.Verb == engine.Batch:
		call.Batch, err = transport.ParseBatch(body)
	}
	call.Body = body
	return err
}

// answer writes what a Query found.
func (x *exchange) answer(call *engine.Call, a *engine.Answer) {
	h := x.w.Header()
	h["Cache-Control"], h["Vary"] = revalidate, varyCaller
	b := buffers.Get().(*[]byte)
	defer putBuffer(b)
	switch call.Verb {
	case engine.Get:
		if len(a.Items) != 1 {
			x.fail(fault.New(fault.NotFound, "There is no such record."))
			return
		}
		if v := transport.Version(&a.Items[0]); v > 0 {
			tag := entityTag(v)
			x.set("Etag", tag)
			// What was expanded has versions of its own, of which the tag knows nothing.
			none, expanded := x.r.Header["If-None-Match"], call.Params["expand"] != nil
			if len(none) > 0 && !expanded && matches(none, tag) {
				x.send(http.StatusNotModified, nil)
				return
			}
		}
		*b = transport.AppendItem((*b)[:0], &a.Items[0])
	case engine.Action:
		if a.Output.IsNull() {
			x.send(http.StatusNoContent, nil)
			return
		}
		*b = value.AppendJSON((*b)[:0], a.Output)
	default:
		if a.Next != "" {
			x.set("Link", next(x.r.URL, call.Params, a.Next))
		}
		*b = transport.AppendList((*b)[:0], a)
		if a.Kept.Fresh > 0 && x.kept(a.Kept, *b) {
			x.send(http.StatusNotModified, nil)
			return
		}
	}
	x.send(http.StatusOK, *b)
}

func entityTag(version int64) string {
	b := make([]byte, 0, 24)
	b = strconv.AppendInt(append(b, '"'), version, 10)
	return string(append(b, '"'))
}

// next is the link to the next page: the same query with its cursor.
func next(u *url.URL, params url.Values, cursor string) string {
	query := make(url.Values, len(params)+1)
	for k, v := range params {
		query[k] = v
	}
	query["cursor"] = []string{cursor}
	return "<" + u.Path + "?" + query.Encode() + `>; rel="next"`
}

// reply writes what an Execute did.
func (x *exchange) reply(call *engine.Call, r *engine.Reply) {
	id, version := r.Record, r.Version
	if !r.Replayed {
		version = transport.Version(&r.Item)
	}
	if call.Verb == engine.Create || call.Verb == engine.Update {
		if version > 0 {
			x.set("Etag", entityTag(version))
		}
		if id == "" {
			id = transport.ID(&r.Item)
		}
		if call.Verb == engine.Create && id != "" {
			x.set("Location", "/api/"+call.Target+"/"+string(id))
		}
	}
	r.Verb = call.Verb
	b := buffers.Get().(*[]byte)
	defer putBuffer(b)
	status := transport.ReplyStatus(r)
	if status == http.StatusNoContent {
		x.send(status, nil)
		return
	}
	*b = transport.AppendReply((*b)[:0], r)
	x.send(status, *b)
}

// health says whether the service can be given, and nothing else.
func (d *Door) health(ctx context.Context, x *exchange) {
	ctx, cancel := context.WithTimeout(ctx, HealthTime)
	defer cancel()
	if d.Health != nil && d.Health(ctx) != nil {
		x.send(http.StatusServiceUnavailable, []byte(`{"status":"unavailable"}`))
		return
	}
	x.send(http.StatusOK, []byte(`{"status":"ok"}`))
}

// document answers with a document of the app, where they are shown.
func (d *Door) document(x *exchange, of func() []byte) error {
	if !d.Dev && !d.Docs || d.spec() == nil {
		return fault.New(fault.NotFound, "There is nothing at this address.")
	}
	if err := noParams(x.r); err != nil {
		return err
	}
	x.send(http.StatusOK, of())
	return nil
}
