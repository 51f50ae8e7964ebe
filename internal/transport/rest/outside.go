package rest

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
)

// Pass hands a request on and returns the answer: a proxy to another server, a webhook
// to the app's code. The call names its Target and who asks; its Request has the method.
type Pass func(context.Context, engine.Call, transport.Passed) (transport.Raw, error)

// proxy answers what is below /api/proxy/.
func (d *Door) proxy(x *exchange, rest string) {
	name, path, _ := strings.Cut(rest, "/")
	raw, err := d.pass(x, d.Proxy, name, path)
	if err != nil {
		x.refuse(err)
		return
	}
	if x.w.Header()["Vary"] == nil {
		x.w.Header()["Vary"] = varyCaller
	}
	x.raw(raw)
}

// pass reads a request and hands it on.
func (d *Door) pass(x *exchange, to Pass, name, path string) (transport.Raw, error) {
	call, err := x.call()
	if err != nil {
		return transport.Raw{}, err
	}
	call.Target = name
	body, err := x.anyBody()
	if err != nil {
		return transport.Raw{}, err
	}
	return to(x.r.Context(), call, transport.Passed{Path: path, Query: x.r.URL.RawQuery,
		Header: x.r.Header, Body: body})
}

// hook answers what is below /hooks/. No session is looked for: who may call proves it
// with a signature.
func (d *Door) hook(x *exchange, name string) {
	if x.r.Method != http.MethodPost {
		x.set("Allow", http.MethodPost)
		x.problem(d.Words().MethodProblem("It takes POST.", x.id))
		return
	}
	body, err := x.anyBody()
	if err != nil {
		x.fail(err)
		return
	}
	name, path, _ := strings.Cut(name, "/")
	call := engine.Call{ID: x.id, Door: "webhook", Seen: x.seen, Target: name,
		Request: engine.Request{IP: peer(x.r.RemoteAddr), Method: x.r.Method,
			UserAgent: first(x.r.Header["User-Agent"])}}
	raw, err := d.Hook(x.r.Context(), call, transport.Passed{Path: path, Query: x.r.URL.RawQuery,
		Header: x.r.Header, Body: body})
	if err != nil {
		x.fail(err)
		return
	}
	x.raw(raw)
}

// anyBody reads a body of any type, within the door's bound.
func (x *exchange) anyBody() ([]byte, error) {
	if e := x.r.Header["Content-Encoding"]; len(e) > 1 || len(e) == 1 && e[0] != "identity" {
		return nil, fault.New(fault.Unsupported, "A body cannot be compressed.")
	}
	most := x.door.BodyMax
	tooLarge := fault.New(fault.TooLarge, "The body is larger than %d bytes.", most)
	if x.r.ContentLength > most {
		x.w.Header()["Connection"] = closing // the rest is not read
		return nil, tooLarge
	}
	text, err := read(http.MaxBytesReader(x.w, x.r.Body, most), x.r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case err != nil:
		return nil, fault.Wrap(fault.Malformed, err, "The body ended before it was whole.")
	}
	return text, nil
}

// raw writes an answer whose form is not ours.
func (x *exchange) raw(a transport.Raw) {
	h := x.w.Header()
	for name, values := range a.Header {
		h[name] = values
	}
	x.send(a.Status, a.Body)
}
