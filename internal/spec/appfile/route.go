package appfile

import "github.com/galleybackend/galley/internal/spec"

// The bounds of routes.
const (
	routeMax     = 200
	routePathMax = 100
)

var routeKeys = keys{now: []string{"path", "allow", "user", "problem", "input", "rate", "timeout",
	"read_only"}}

// routes reads the app's own URLs.
func (r *reader) routes(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "routes") {
		if !r.named(e.key, "a route") {
			continue
		}
		if first := r.spec.Route(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Routes) >= routeMax {
			r.fail(e.key, "", "an app has at most %d routes", routeMax)
			return
		}
		r.route(e)
	}
}

// route reads one of them.
func (r *reader) route(e entry) {
	x := &spec.Route{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key), Docs: map[string]string{}}
	r.spec.Routes = append(r.spec.Routes, x)
	m := r.read(e.value, x.Name, routeKeys)
	if n := m["path"]; n != nil {
		r.paths(n, x)
	} else if e.value.get("path") == nil {
		for _, key := range routeKeys.now[1:] {
			if m[key] != nil {
				r.fail(m[key], "write path: GET /sitemap.txt",
					"%s has no path, so it only helps others and has no %s", x.Name, key)
			}
		}
	}
	if n := m["allow"]; n != nil {
		x.Allow = r.cel(n, "allow")
	} else if len(x.Paths) > 0 && e.value.get("allow") == nil {
		r.fail(e.key, "write allow: true for everybody, or allow: auth != null",
			"%s does not say who may ask", x.Name)
	}
	for key, to := range map[string]*spec.Name{"user": &x.User, "problem": &x.Problem} {
		if n := m[key]; n != nil {
			if _, ok := r.plain(n, key); ok {
				*to = nameOf(n)
			}
		}
	}
	if n := m["input"]; n != nil {
		x.Input = r.shape(n, "input", given, &notes{"input", x.Docs})
	}
	if n := m["rate"]; n != nil {
		x.Rate = r.rate(n)
	}
	if n := m["timeout"]; n != nil {
		x.Timeout = r.span(n, "timeout", timeoutMin, timeoutMax)
	}
	if n := m["read_only"]; n != nil {
		x.ReadOnly = r.truth(n, "read_only")
		x.Writes = !x.ReadOnly
	}
}

// paths reads one method and path, or a list of them.
func (r *reader) paths(n *node, x *spec.Route) {
	items := []*node{n}
	if n.kind == sequence {
		items = r.list(n, "path", routePathMax)
		if len(items) == 0 {
			r.fail(n, "write path: GET /sitemap.txt", "%s lists no path", x.Name)
		}
	}
	for _, item := range items {
		route, ok := r.methodPath(item, "path", "GET /sitemap.txt", `"GET /p/{slug}"`)
		if !ok {
			continue
		}
		if first := r.samePath(route); first != nil {
			r.tell(item, spec.Finding{Message: route.Method + " " + route.Path + " is served twice",
				See: first.Pos})
			continue
		}
		x.Paths = append(x.Paths, route)
	}
}

// samePath returns the path that takes the same requests, or nil.
func (r *reader) samePath(route spec.ProxyRoute) *spec.ProxyRoute {
	for _, x := range r.spec.Routes {
		for i, p := range x.Paths {
			if sameRequests(p, route) {
				return &x.Paths[i]
			}
		}
	}
	return nil
}

// helpers asks whether the routes that others name are there and help alone, and whether
// those without a path are named.
func (r *reader) helpers() {
	var names []string
	for _, x := range r.spec.Routes {
		if len(x.Paths) == 0 {
			names = append(names, x.Name)
		}
	}
	for _, x := range r.spec.Routes {
		for _, name := range []spec.Name{x.User, x.Problem} {
			at := &node{kind: scalar, text: name.Name, pos: name.Pos, width: len(name.Name)}
			switch other := r.spec.Route(name.Name); {
			case name.Name == "":
			case other == nil:
				r.unknown(at, names, "declare it under routes, without a path",
					"there is no route %s", name.Name)
			case len(other.Paths) > 0:
				r.fail(at, "name one without", "%s has a path of its own", name.Name)
			}
		}
		user, problem := r.spec.Helps(x.Name)
		at := &node{kind: scalar, text: x.Name, pos: x.Pos, width: len(x.Name)}
		switch {
		case len(x.Paths) > 0:
		case user && problem:
			r.fail(at, "write two", "%s cannot both tell who asks and shape problems", x.Name)
		case !user && !problem && !r.broken:
			r.fail(at, "write path: GET /sitemap.txt, or name it as user or problem of a route",
				"%s has no path, and no route names it", x.Name)
		}
	}
}
