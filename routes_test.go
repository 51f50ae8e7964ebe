package galley_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/galleybackend/galley"
)

const routesApp = `app: small
secrets: [TOKEN_KEY]
collections:
  users:
    fields: {name: string, password: {type: string, read: false}}
  notes:
    fields: {text: string}
    allow: {read: true}
routes:
  who:   {}
  shape: {}
  echo:
    path:  ["GET /echo/{a}/{b}", "POST /echo/{a}/{b}", "GET /echo/{a}/fixed"]
    allow: true
  enter: {path: POST /enter, allow: true, problem: shape, timeout: 30s}
  me:    {path: GET /me, allow: auth != null, user: who, problem: shape}
  add:   {path: POST /notes, allow: true, input: {text: {type: string, max: 5}}}
  raw:   {path: GET /raw, allow: true}
views:
  total: {from: notes, fields: {n: count()}, cache: 1h, allow: true}
`

// routesIn registers the routes in Go.
func routesIn(g *galley.App) {
	galley.RouteUser(g, "who", func(tx *galley.Tx, r galley.Request) (string, error) {
		var claims struct{ Sub string }
		_, err := tx.Verify("TOKEN_KEY", r.Headers["x-token"], &claims)
		return claims.Sub, err
	})
	galley.RouteProblem(g, "shape", func(_ *galley.Tx, p galley.Problem) (galley.Response, error) {
		return galley.JSON(418, map[string]string{"no": p.Code})
	})
	galley.Route(g, "echo", func(_ *galley.Tx, r galley.Request) (galley.Response, error) {
		return galley.Response{Body: fmt.Appendf(nil, "%s %s %s|%s|%s|%s", r.Route, r.Params["a"], r.Params["b"],
			r.Query["q"], r.Headers["x-a"], r.Body)}, nil
	})
	galley.Route(g, "enter", func(tx *galley.Tx, r galley.Request) (galley.Response, error) {
		hash, err := tx.HashPassword(string(r.Body))
		if err != nil {
			return galley.Response{}, err
		}
		right, err := tx.CheckPassword(hash, string(r.Body))
		if err != nil || !right {
			return galley.Response{}, fmt.Errorf("the password is not right: %w", err)
		}
		token, err := tx.Sign("TOKEN_KEY", map[string]string{"sub": r.Headers["x-user"]}, 0)
		if err != nil {
			return galley.Response{}, err
		}
		return galley.Response{Status: 201, Body: []byte(token),
			Headers: map[string][]string{"Set-Cookie": {"a=1", "b=2"}, "Connection": {"close"}}}, nil
	})
	galley.Route(g, "me", func(tx *galley.Tx, _ galley.Request) (galley.Response, error) {
		return galley.Response{Body: []byte("it is you")}, nil
	})
	galley.Route(g, "add", func(tx *galley.Tx, r galley.Request) (galley.Response, error) {
		return galley.Response{Status: 202, Body: r.Input}, nil
	})
	galley.Route(g, "raw", func(*galley.Tx, galley.Request) (galley.Response, error) {
		return galley.Response{Body: []byte{0xff, 0, 1}}, nil
	})
}

// asker sends requests to an app.
type asker struct {
	t    *testing.T
	base string
}

// ask returns the status, the headers and the body.
func (a asker) ask(method, path, body string, headers ...string) (int, http.Header, string) {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.base+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(text)
}

func openApp(t *testing.T, text string, register func(*galley.App)) asker {
	t.Helper()
	return openFiles(t, fstest.MapFS{"galley.yaml": {Data: []byte(text)}}, register)
}

// openFiles opens an app of files and functions in Go.
func openFiles(t *testing.T, files fstest.MapFS, register func(*galley.App)) asker {
	t.Helper()
	t.Setenv("TOKEN_KEY", "t0ken-key-of-a-test")
	g := galley.New(files)
	register(g)
	server, err := g.Open(t.Context(), galley.Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	listen := httptest.NewServer(server.Handler())
	t.Cleanup(func() {
		listen.Close()
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return asker{t, listen.URL}
}

func TestRoutesOverHTTP(t *testing.T) {
	a := openApp(t, routesApp, routesIn)
	for _, c := range []struct {
		method, path, body string
		headers            []string
		status             int
		want               string
	}{
		{"GET", "/echo/x/y?q=1", "", []string{"X-A", "b"}, 200, "GET /echo/{a}/{b} x y|1|b|"},
		{"GET", "/echo/a%2Fb/%C3%BC", "", nil, 200, "GET /echo/{a}/{b} a/b ü|||"},
		{"GET", "/echo/x/fixed", "", nil, 200, "GET /echo/{a}/fixed x |||"},
		{"POST", "/echo/x/fixed", "body", nil, 200, "POST /echo/{a}/{b} x fixed|||body"},
		{"HEAD", "/echo/x/y", "", nil, 200, ""},
		{"GET", "/echo/x/%FF", "", nil, 404, `"code":"not_found"`},
		{"GET", "/echo/x", "", nil, 404, `"code":"not_found"`},
		{"DELETE", "/echo/x/y", "", nil, 405, `"code":"method_not_allowed"`},
		{"POST", "/notes", `{"text":"abc"}`, nil, 202, `{"text":"abc"}`},
		{"POST", "/notes", `{"text":"abcdef"}`, nil, 422, `"pointer":"#/text"`},
		{"POST", "/enter", "short", nil, 418, `{"no":"invalid_input"}`},
		{"GET", "/me", "", nil, 418, `{"no":"unauthenticated"}`},
		{"GET", "/me", "", []string{"X-Token", "a.b.c"}, 418, `{"no":"unauthenticated"}`},
		{"GET", "/raw", "", nil, 200, "\xff\x00\x01"},
		{"GET", "/api/notes", "", nil, 200, `{"items":[]}`},
	} {
		status, _, text := a.ask(c.method, c.path, c.body, c.headers...)
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s %s: got %d %s, want %d %s", c.method, c.path, status, text, c.status, c.want)
		}
	}
	_, h, _ := a.ask("GET", "/echo/x/y", "")
	if h.Get("Content-Type") != "text/plain; charset=utf-8" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("the headers are %v", h)
	}
	status, h, token := a.ask("POST", "/enter", "a long secret", "X-User", "01k9vq3m8de00r40m30e209185")
	if status != 201 || len(h["Set-Cookie"]) != 2 || strings.Count(token, ".") != 2 {
		t.Errorf("got %d %v %s", status, h, token)
	}
	// The token is one of ours, but nobody has that account.
	if status, _, text := a.ask("GET", "/me", "", "X-Token", token); status != 418 || text != `{"no":"unauthenticated"}` {
		t.Errorf("got %d %s", status, text)
	}
	// Under a key the first answer is given again.
	for i, want := range []string{"", "true"} {
		status, h, text := a.ask("POST", "/notes", `{"text":"k"}`, "Idempotency-Key", "k1")
		if status != 202 || text != `{"text":"k"}` || h.Get("Idempotent-Replayed") != want {
			t.Errorf("%d: got %d %s %v", i, status, text, h)
		}
	}
	if status, _, _ := a.ask("POST", "/notes", `{"text":"l"}`, "Idempotency-Key", "k1"); status != 422 {
		t.Errorf("another request under the key got %d", status)
	}
}

func TestACachedViewSaysForHowLong(t *testing.T) {
	a := openApp(t, routesApp, routesIn)
	status, h, text := a.ask("GET", "/api/total", "")
	if status != 200 || text != `{"items":[{"n":0}]}` || h.Get("Age") != "0" || h.Get("Etag") == "" ||
		h.Get("Cache-Control") != "public, max-age=3600, stale-while-revalidate=3600" {
		t.Errorf("got %d %s %v", status, text, h)
	}
	if status, _, text := a.ask("GET", "/api/total", "", "If-None-Match", h.Get("Etag")); status != 304 || text != "" {
		t.Errorf("got %d %s", status, text)
	}
}
