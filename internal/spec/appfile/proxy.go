package appfile

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// The bounds of proxies.
const (
	proxyMax        = 100
	proxyRouteMax   = 100
	proxyHeaderMax  = 20
	proxyTimeoutMin = 100 * time.Millisecond
	proxyTimeoutMax = 30 * time.Second
	cacheMin        = time.Second
	cacheMax        = 30 * 24 * time.Hour
)

var proxyKeys = keys{now: []string{"url", "routes", "headers", "allow", "cache", "rate", "timeout"}}

// proxyMethods are the methods that a route may have.
var proxyMethods = []string{"GET", "POST", "PUT", "PATCH", "DELETE"}

// proxies reads what callers may ask of other servers.
func (r *reader) proxies(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "proxies") {
		if !r.named(e.key, "a proxy") {
			continue
		}
		if first := r.spec.Proxy(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Proxies) >= proxyMax {
			r.fail(e.key, "", "an app has at most %d proxies", proxyMax)
			return
		}
		r.proxy(e)
	}
}

// proxy reads one of them.
func (r *reader) proxy(e entry) {
	p := &spec.Proxy{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
	r.spec.Proxies = append(r.spec.Proxies, p)
	m := r.read(e.value, p.Name, proxyKeys)
	missing := func(key, help, format string) {
		if m[key] == nil && e.value.kind == mapping && e.value.get(key) == nil {
			r.fail(e.key, help, format, p.Name)
		}
	}
	missing("url", "write url: https://api.example.com", "%s does not say which server is asked")
	missing("routes", "write routes: [GET /rates]", "%s lists no routes, so nothing can be asked")
	missing("allow", "write allow: auth != null, or allow: true for everybody",
		"%s does not say who may ask")
	if n := m["url"]; n != nil {
		p.URL = strings.TrimSuffix(r.address(n, "url", false), "/")
	}
	if n := m["routes"]; n != nil {
		r.proxyRoutes(n, p)
	}
	if n := m["headers"]; n != nil {
		r.proxyHeaders(n, p)
	}
	if n := m["allow"]; n != nil {
		p.Allow = r.cel(n, "allow")
	}
	if n := m["rate"]; n != nil {
		p.Rate = r.rate(n)
	}
	if n := m["timeout"]; n != nil {
		p.Timeout = r.span(n, "timeout", proxyTimeoutMin, proxyTimeoutMax)
	}
	if n := m["cache"]; n != nil {
		p.Cache = r.span(n, "cache", cacheMin, cacheMax)
		reads := func(x spec.ProxyRoute) bool { return x.Method == http.MethodGet }
		if len(p.Routes) > 0 && !slices.ContainsFunc(p.Routes, reads) {
			r.fail(n, "remove it", "only what GET answers is kept, and %s has no such route", p.Name)
		}
	}
}

// proxyRoutes reads the methods and paths that may be asked for.
func (r *reader) proxyRoutes(n *node, p *spec.Proxy) {
	items := r.list(n, "routes", proxyRouteMax)
	if n.kind == sequence && len(items) == 0 {
		r.fail(n, "write routes: [GET /rates]", "%s lists no routes, so nothing can be asked", p.Name)
	}
	for _, item := range items {
		route, ok := r.methodPath(item, "a route", "GET /rates", `"GET /rates/{id}"`)
		if !ok {
			continue
		}
		same := func(o spec.ProxyRoute) bool { return sameRequests(o, route) }
		if slices.ContainsFunc(p.Routes, same) {
			r.fail(item, "", "%s %s is listed twice", route.Method, route.Path)
			continue
		}
		p.Routes = append(p.Routes, route)
	}
}

// methodPath reads a method and a path, of which the examples are one without and one with
// a parameter.
func (r *reader) methodPath(item *node, what, example, named string) (spec.ProxyRoute, bool) {
	text, ok := r.plain(item, what)
	if !ok {
		return spec.ProxyRoute{}, false
	}
	method, path, _ := strings.Cut(text, " ")
	path = strings.TrimSpace(path)
	at := *item
	at.text, at.width = method, len(method)
	if !slices.Contains(proxyMethods, method) {
		r.unknown(&at, proxyMethods, "write a method and a path, such as "+example,
			"%q is no method of a route", method)
		return spec.ProxyRoute{}, false
	}
	if why := badPath(path); why != "" {
		r.fail(item, "write a method and a path, such as "+example+" or "+named,
			"the path of a route %s", why)
		return spec.ProxyRoute{}, false
	}
	return spec.ProxyRoute{Method: method, Path: path, Pos: item.pos}, true
}

// sameRequests reports whether two routes take the same requests.
func sameRequests(a, b spec.ProxyRoute) bool {
	return a.Method == b.Method && pathShape(a.Path) == pathShape(b.Path)
}

// pathShape is a path without the names of its parameters.
func pathShape(path string) string {
	parts := strings.Split(path, "/")
	for i, s := range parts {
		if strings.HasPrefix(s, "{") {
			parts[i] = "{}"
		}
	}
	return strings.Join(parts, "/")
}

// badPath says what is wrong with a path, in which {name} may stand for a segment.
func badPath(path string) string {
	rest, ok := strings.CutPrefix(path, "/")
	switch {
	case !ok:
		return "begins with /"
	case len(path) > urlMax:
		return "is too long"
	case rest == "":
		return ""
	}
	for s := range strings.SplitSeq(rest, "/") {
		name, isParam := strings.CutPrefix(s, "{")
		name, ended := strings.CutSuffix(name, "}")
		switch {
		case isParam && ended && isWord(name):
		case isParam || strings.ContainsAny(s, "{}"):
			return "has a {parameter} that is not one whole segment with a name"
		case s == "":
			return "has an empty segment"
		case s == "." || s == "..":
			return "has a segment " + s
		case strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "":
			return "has other characters than letters, digits and - . _ ~"
		}
	}
	return ""
}

// headersOwn are headers that are not an app's to set.
var headersOwn = []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade",
	"Te", "Trailer", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Expect",
	"Accept-Encoding", "Cookie"}

// proxyHeaders reads the headers that we add.
func (r *reader) proxyHeaders(n *node, p *spec.Proxy) {
	for _, e := range r.pairs(n, "headers") {
		name := http.CanonicalHeaderKey(e.key.text)
		text, ok := r.plain(e.value, "the value of "+e.key.text)
		twice := func(h spec.Header) bool { return h.Name == name }
		switch {
		case !ok:
			continue
		case !isHeader(e.key.text):
			r.fail(e.key, "", "%q is no name of a header", e.key.text)
			continue
		case slices.Contains(headersOwn, name):
			r.fail(e.key, "remove it", "%s is not for an app to set", name)
			continue
		case slices.ContainsFunc(p.Headers, twice):
			r.fail(e.key, "", "%s is set twice", name)
			continue
		case len(p.Headers) >= proxyHeaderMax:
			r.fail(e.key, "", "a proxy sets at most %d headers", proxyHeaderMax)
			return
		case len(text) > urlMax || strings.Trim(text, printable) != "":
			r.fail(e.value, "", "the value of a header is at most %d visible ASCII characters", urlMax)
			continue
		}
		_, names := spec.Expand(text, func(string) string { return "" })
		if strings.Count(text, "${") != len(names) {
			r.fail(e.value, "write ${NAME}", "a ${ has no }")
		}
		for _, secret := range names {
			at := *e.value
			at.text, at.width = secret, len(secret)
			if !e.value.quoted {
				at.pos.Column += strings.Index(text, "${"+secret) + 2
			}
			r.secret(&at, "${"+secret+"}")
		}
		p.Headers = append(p.Headers, spec.Header{Name: name, Value: text, Pos: e.key.pos})
	}
}

// printable is every character that a header may hold.
const printable = " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`" +
	"abcdefghijklmnopqrstuvwxyz{|}~"
