package rest

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// routePathMax bounds the path of a route, in bytes.
const routePathMax = 2 << 10

// routesOf is what was made of an app's routes, kept as long as the app is in force.
type routesOf struct {
	spec *spec.Spec
	all  []taken
}

// taken is a method and a path that a route takes.
type taken struct {
	route    *spec.Route
	path     spec.ProxyRoute
	segments []string
}

// openness is less for a path that names what another leaves open.
func (t *taken) openness() string {
	b := make([]byte, len(t.segments))
	for i, s := range t.segments {
		if b[i] = '0'; strings.HasPrefix(s, "{") {
			b[i] = '1'
		}
	}
	return string(b)
}

// routes returns the app's own URLs: those that name more of a path before those that
// have a parameter there.
func (d *Door) routes() []taken {
	sp := d.spec()
	if sp == nil || len(sp.Routes) == 0 {
		return nil
	}
	if at := d.own.Load(); at != nil && at.spec == sp {
		return at.all
	}
	at := &routesOf{spec: sp}
	for _, x := range sp.Routes {
		for _, p := range x.Paths {
			at.all = append(at.all, taken{x, p, strings.Split(strings.TrimPrefix(p.Path, "/"), "/")})
		}
	}
	slices.SortStableFunc(at.all, func(a, b taken) int {
		return strings.Compare(a.openness(), b.openness())
	})
	d.own.Store(at)
	return at.all
}

// segments reads a path as routes see it: what stands between its slashes, unescaped.
func segments(u *url.URL) []string {
	path := u.EscapedPath()
	if len(path) > routePathMax || !strings.HasPrefix(path, "/") {
		return nil
	}
	parts := strings.Split(path[1:], "/")
	for i, s := range parts {
		text, err := url.PathUnescape(s)
		if err != nil || !utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0 {
			return nil
		}
		parts[i] = text
	}
	return parts
}

// house are the first segments that no parameter of a route stands for.
var house = []string{"api", "_", "hooks", "problems", "galley.js", "galley.d.ts"}

// match returns what takes a request, and the methods that its path takes.
func (d *Door) match(method string, parts []string) (found *taken, methods []string) {
	all := d.routes()
	if len(all) == 0 || parts == nil {
		return nil, nil
	}
	for i := range all {
		t := &all[i]
		if !t.path.Match(parts) || strings.HasPrefix(t.segments[0], "{") && slices.Contains(house, parts[0]) {
			continue
		}
		if found == nil && (t.path.Method == method ||
			method == http.MethodHead && t.path.Method == http.MethodGet) {
			found = t
		}
		if !slices.Contains(methods, t.path.Method) {
			methods = append(methods, t.path.Method)
		}
	}
	return found, methods
}

// routed answers a request of one of the app's own URLs, and reports whether it is one.
func (d *Door) routed(x *exchange) bool {
	if d.Unrouted || len(d.routes()) == 0 {
		return false
	}
	parts := segments(x.r.URL)
	t, methods := d.match(x.r.Method, parts)
	switch {
	case methods == nil:
		return false
	case t != nil:
		d.route(x, t, parts)
	case x.r.Method == http.MethodOptions:
		x.set("Allow", strings.Join(methods, ", "))
		x.send(http.StatusNoContent, nil)
	default:
		x.set("Allow", strings.Join(methods, ", "))
		x.problem(d.Words().MethodProblem("It takes "+strings.Join(methods, ", ")+".", x.id))
	}
	return true
}

// route asks the app's code.
func (d *Door) route(x *exchange, t *taken, parts []string) {
	ctx := x.r.Context()
	raw, err := d.askRoute(ctx, x, t, parts)
	if err == nil {
		x.raw(raw)
		return
	}
	if t.route.Problem.Name == "" {
		x.refuse(err)
		return
	}
	p := d.Words().Problem(fault.From(err), x.id)
	call := engine.Call{ID: x.id, Door: x.wire(), Verb: engine.Problem, Target: t.route.Name,
		Trusted: true, Subject: ident.Subject{Who: ident.System, Name: "problem"},
		Body: d.Mask.Bytes(p.Append(nil))}
	answer, shaping := d.Engine.Query(ctx, call)
	if shaping == nil {
		raw, shaping = rawOf(value.AppendJSON(nil, answer.Output))
	}
	if shaping != nil {
		if f := fault.From(shaping); f.Cause != nil {
			shaping = f.Cause
		}
		x.seen.Cause = errors.Join(x.seen.Cause, shaping)
		x.refuse(err)
		return
	}
	if f := fault.From(err); f.RetryAfter > 0 {
		x.set("Retry-After", strconv.Itoa(f.RetryAfter))
	}
	if x.seen.Code == "" {
		x.seen.Code = fault.From(err).CodeOr()
	}
	x.raw(raw)
}

func (d *Door) askRoute(ctx context.Context, x *exchange, t *taken, parts []string) (
	transport.Raw, error) {
	call, err := x.routeCall(t.route)
	if err != nil {
		return transport.Raw{}, err
	}
	call.Verb, call.Target = engine.Route, t.route.Name
	call.Web = &engine.Web{Pattern: t.path.Method + " " + t.path.Path, Path: x.r.URL.Path,
		Params: map[string]string{}, Header: x.r.Header}
	for i, s := range t.segments {
		if name, ok := strings.CutPrefix(s, "{"); ok {
			call.Web.Params[strings.TrimSuffix(name, "}")] = parts[i]
		}
	}
	if call.Web.Query, err = params(x.r); err != nil {
		return transport.Raw{}, err
	}
	if call.Body, err = x.anyBody(); err != nil {
		return transport.Raw{}, err
	}
	if t.route.Reads(t.path.Method) {
		answer, err := d.Engine.Query(ctx, call)
		if err != nil {
			return transport.Raw{}, err
		}
		return rawOf(value.AppendJSON(nil, answer.Output))
	}
	reply, err := d.Engine.Execute(ctx, call)
	x.committed(&reply, err)
	switch {
	case err != nil:
		return transport.Raw{}, err
	case reply.Body != "":
		return rawOf([]byte(reply.Body))
	default:
		return rawOf(value.AppendJSON(nil, reply.Output))
	}
}

// routeCall reads who asks. Where the app's code tells that, the house looks for no
// session of its own; a cookie is still sent by browsers unasked.
func (x *exchange) routeCall(r *spec.Route) (engine.Call, error) {
	if r.User.Name == "" || x.door.Identify != nil {
		return x.call()
	}
	call := engine.Call{ID: x.id, Door: x.wire(), Seen: x.seen, Request: engine.Request{
		IP: peer(x.r.RemoteAddr), Method: x.r.Method,
		Origin: first(x.r.Header["Origin"]), UserAgent: first(x.r.Header["User-Agent"]),
	}}
	if x.r.Header["Cookie"] != nil && x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		if err := x.sameOrigin(); err != nil {
			return call, err
		}
	}
	var err error
	call.Key, err = key(x.r.Header["Idempotency-Key"])
	return call, err
}

// hop are headers that are not the code's to send.
var hop = []string{"Connection", "Content-Length", "Transfer-Encoding", "Upgrade", "Trailer", "Te",
	"Keep-Alive", "Proxy-Authenticate", "Proxy-Connection", "Request-Id", "Date"}

// rawOf reads the answer of a route's code.
func rawOf(text []byte) (transport.Raw, error) {
	var a struct {
		Status  int
		Headers map[string]any
		Body    string
		Binary  bool
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return transport.Raw{}, err
	}
	raw := transport.Raw{Status: a.Status, Header: http.Header{}, Body: []byte(a.Body)}
	if a.Binary {
		body, err := base64.StdEncoding.DecodeString(a.Body)
		if err != nil {
			return raw, err
		}
		raw.Body = body
	}
	for name, v := range a.Headers {
		name = http.CanonicalHeaderKey(name)
		if slices.Contains(hop, name) || !headerName(name) {
			continue
		}
		values, several := v.([]any)
		if !several {
			values = []any{v}
		}
		for _, one := range values {
			if text, ok := headerValue(one); ok {
				raw.Header[name] = append(raw.Header[name], text)
			}
		}
	}
	if raw.Status == http.StatusNoContent || raw.Status == http.StatusNotModified {
		raw.Body = nil
	}
	return raw, nil
}

// headerName reports whether a text may name a header.
func headerName(name string) bool {
	return name != "" && strings.Trim(name, "!#$%&'*+-.^_`|~0123456789"+
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// headerValue returns what code gives a header as its text.
func headerValue(v any) (string, bool) {
	text, ok := v.(string)
	if n, is := v.(float64); is {
		text, ok = strconv.FormatFloat(n, 'f', -1, 64), true
	}
	return text, ok && !strings.ContainsAny(text, "\x00\r\n")
}

// kept says for how long the answer of a view is good, and whether the caller has it.
func (x *exchange) kept(k engine.Kept, body []byte) (same bool) {
	who := "private"
	if k.Public {
		who = "public"
		delete(x.w.Header(), "Vary")
		x.w.Header()["Vary"] = []string{"Accept-Encoding"}
	}
	left := max(k.Fresh-k.Age, 0)
	x.w.Header()["Cache-Control"] = []string{who + ", max-age=" + whole(k.Fresh) +
		", stale-while-revalidate=" + whole(k.Fresh)}
	if left == 0 {
		x.w.Header()["Cache-Control"] = []string{who + ", no-cache"}
	}
	x.set("Age", whole(k.Age))
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	x.set("Etag", tag)
	return matches(x.r.Header["If-None-Match"], tag)
}

func whole(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }
