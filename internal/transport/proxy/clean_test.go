package proxy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
)

// FuzzListed looks for paths that are listed and mean something else behind.
func FuzzListed(f *testing.F) {
	p := &spec.Proxy{Routes: []spec.ProxyRoute{{Method: "GET", Path: "/rates"},
		{Method: "GET", Path: "/rates/{id}"}, {Method: "GET", Path: "/a/{b}/c"}}}
	for _, seed := range []string{"rates", "rates/1", "a/../c", "a/..;/c", "rates/%2e%2e", "a/b%2fc/c",
		"rates/\\..", "rates/ä", "rates/a b", "rates/?x", "rates/#x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		segments, ok := listed(p, http.MethodGet, path)
		if !ok {
			return
		}
		sent := escaped(segments)
		u, err := url.Parse("https://api.example.com/v2" + sent)
		if err != nil || u.Host != "api.example.com" || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%q becomes %q, which is %v", path, sent, err)
		}
		back := strings.Split(strings.TrimPrefix(u.Path, "/v2/"), "/")
		if strings.Join(back, "\n") != strings.Join(segments, "\n") {
			t.Errorf("%q becomes %q, which is read as %q", path, segments, back)
		}
		again, err := url.PathUnescape(u.Path)
		if err != nil || again != u.Path {
			t.Errorf("%q means something else when it is unescaped twice", path)
		}
		for _, s := range back {
			if s == "" || s == "." || s == ".." || strings.ContainsAny(s, "\\;\x00") {
				t.Errorf("%q becomes the segment %q", path, s)
			}
		}
	})
}
