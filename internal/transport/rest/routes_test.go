package rest

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
)

// routedDoor is a door of an app with these routes.
func routedDoor(paths ...string) *Door {
	sp := &spec.Spec{}
	for _, p := range paths {
		method, path, _ := strings.Cut(p, " ")
		sp.Routes = append(sp.Routes, &spec.Route{Name: path,
			Paths: []spec.ProxyRoute{{Method: method, Path: path}}})
	}
	return New(Config{Spec: func() *spec.Spec { return sp }})
}

func TestThePathThatSaysMoreComesFirst(t *testing.T) {
	d := routedDoor("GET /{a}", "GET /{a}/{b}", "GET /x/{b}", "POST /x/{b}", "GET /{a}/y", "GET /x/y",
		"GET /api/x/{b}", "GET /")
	for _, c := range []struct{ method, path, want, methods string }{
		{"GET", "/q", "/{a}", "GET"},
		{"GET", "/q/r", "/{a}/{b}", "GET"},
		{"GET", "/x/r", "/x/{b}", "GET POST"},
		{"POST", "/x/r", "/x/{b}", "GET POST"},
		{"GET", "/q/y", "/{a}/y", "GET"},
		{"HEAD", "/x/y", "/x/y", "GET POST"},
		{"DELETE", "/x/y", "", "GET POST"},
		{"GET", "/api/x/1", "/api/x/{b}", "GET"},
		{"GET", "/", "/", "GET"},
		{"GET", "/api", "", ""},
		{"GET", "/api/x", "", ""},
		{"GET", "/_/x", "", ""},
		{"GET", "/hooks/x", "", ""},
		{"GET", "/problems/x", "", ""},
		{"GET", "/galley.js", "", ""},
		{"GET", "/q/", "", ""},
		{"GET", "//r", "", ""},
		{"GET", "/q/r/s", "", ""},
	} {
		u, err := url.Parse("http://x.example" + c.path)
		if err != nil {
			t.Fatal(err)
		}
		got, methods := d.match(c.method, segments(u))
		slices.Sort(methods)
		path := ""
		if got != nil {
			path = got.path.Path
		}
		if path != c.want || strings.Join(methods, " ") != c.methods {
			t.Errorf("%s %s: got %q of %v, want %q of %s", c.method, c.path, path, methods, c.want, c.methods)
		}
	}
}

// FuzzSegments reads paths as routes see them: what the house serves is taken by no
// parameter, and what was read can be written again.
func FuzzSegments(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "/a%2Fb/c", "/api/x", "/%61pi/x", "//", "/a/%00", "/%zz", "/ü/%C3"} {
		f.Add(seed)
	}
	d := routedDoor("GET /{a}", "GET /{a}/{b}")
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		parts := segments(u)
		if parts == nil {
			return
		}
		written := ""
		for _, s := range parts {
			written += "/" + url.PathEscape(s)
		}
		if len(written) > routePathMax {
			return // escapes made it longer
		}
		again, err := url.Parse("http://x.example" + written)
		if err != nil || !slices.Equal(segments(again), parts) {
			t.Errorf("%q reads as %q, which is written %q", path, parts, written)
		}
		if got, _ := d.match("GET", parts); got != nil && slices.Contains(house, parts[0]) {
			t.Errorf("%q is taken by %s", path, got.path.Path)
		}
	})
}
