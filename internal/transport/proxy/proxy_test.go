package proxy_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/serve/servetest"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/proxy"
	"github.com/galleybackend/galley/internal/transport/rest"
)

const marked = "marked/secret+of=shipping"

// world is an app with a proxy, before a server that does as it is told.
type world struct {
	t     *testing.T
	door  *httptest.Server
	other *httptest.Server
	asked atomic.Int64
	clock atomic.Int64

	mu    sync.Mutex
	do    http.HandlerFunc
	last  *http.Request
	body  string
	log   servetest.Log
	calls servetest.Log
}

// open serves an app whose proxy other has these lines beside its URL.
func open(t *testing.T, lines string) *world {
	t.Helper()
	w := &world{t: t}
	w.clock.Store(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixNano())
	w.other = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		text, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.last, w.body = r, string(text)
		do := w.do
		w.mu.Unlock()
		if do != nil {
			do(rw, r)
		}
	}))
	t.Cleanup(w.other.Close)
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte("app: shop\n" +
		"secrets: [SHIPPING_KEY]\nproxies:\n  other:\n    url: " + w.other.URL + "/v2\n" + lines)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	a, findings := app.Compile(s, nil, nil)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	now := func() time.Time { return time.Unix(0, w.clock.Load()) }
	e := engine.New(engine.Config{Store: db, App: a, Limits: true, Clock: now})
	mask := &observe.Mask{}
	mask.Set(map[string]string{"SHIPPING_KEY": marked})
	wall := outbound.New(outbound.Config{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	t.Cleanup(wall.Close)
	out := proxy.New(proxy.Config{App: e.App, Admit: e.Admit, Wall: wall, Mask: mask, Now: now,
		Secret: func(string) string { return marked },
		Log:    slog.New(slog.NewTextHandler(&w.log, nil))})
	t.Cleanup(out.Close)
	w.door = httptest.NewServer(rest.New(rest.Config{Engine: e, Proxy: out.Ask,
		Spec: func() *spec.Spec { return s }, Observe: observe.New(observe.Config{Log: &w.calls})}))
	t.Cleanup(w.door.Close)
	return w
}

func (w *world) answers(do http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.do = do
}

func (w *world) seen() (*http.Request, string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, w.body
}

// ask sends a request and returns the answer with its body.
func (w *world) ask(method, path, body string, headers ...string) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.door.URL+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return res, string(text)
}

const plainProxy = `    routes: [GET /rates, "GET /rates/{id}", POST /labels]
    headers: {Authorization: "Bearer ${SHIPPING_KEY}"}
    allow: true
`

func TestARequestIsPassedOnAndItsAnswerBack(t *testing.T) {
	w := open(t, plainProxy)
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		h := rw.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Etag", `"7"`)
		h.Set("Set-Cookie", "a=b")
		h.Set("Server", "other")
		h.Set("X-Internal", "yes")
		h.Set("Access-Control-Allow-Origin", "*")
		rw.WriteHeader(http.StatusCreated)
		fmt.Fprint(rw, `{"price":7}`)
	})
	res, text := w.ask("POST", "/api/proxy/other/labels?to=DE&a=b%20c&to=FR", "to=DE",
		"Content-Type", "application/x-www-form-urlencoded", "Accept-Language", "de",
		"Cookie", "x=y", "X-Forwarded-For", "1.2.3.4", "X-User", "admin",
		"Referer", "http://secret", "Idempotency-Key", "k1",
		"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if res.StatusCode != 201 || text != `{"price":7}` || res.Header.Get("Content-Type") != "application/json" ||
		res.Header.Get("Etag") != `"7"` || res.Header.Get("Request-Id") == "" ||
		!strings.Contains(res.Header.Get("Content-Security-Policy"), "sandbox") ||
		res.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("got %d %v %s", res.StatusCode, res.Header, text)
	}
	for _, name := range []string{"Set-Cookie", "Server", "X-Internal", "Access-Control-Allow-Origin"} {
		if res.Header[name] != nil {
			t.Errorf("%s came back", name)
		}
	}
	r, body := w.seen()
	if r.Method != "POST" || r.URL.Path != "/v2/labels" || r.URL.RawQuery != "a=b+c&to=DE&to=FR" ||
		body != "to=DE" || r.Header.Get("Authorization") != "Bearer "+marked ||
		r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" ||
		r.Header.Get("Accept-Language") != "de" || r.Header.Get("Idempotency-Key") != "k1" ||
		!strings.HasPrefix(r.Header.Get("Traceparent"), "00-0af7651916cd43dd8448eb211c80319c-") ||
		r.ContentLength != 5 || r.TransferEncoding != nil {
		t.Errorf("asked %s %s %v %q", r.Method, r.URL, r.Header, body)
	}
	for _, name := range []string{"Cookie", "X-Forwarded-For", "X-User", "Referer", "Origin"} {
		if r.Header[name] != nil {
			t.Errorf("%s was passed on", name)
		}
	}
}

func TestOnlyListedRoutesAreThere(t *testing.T) {
	w := open(t, plainProxy)
	for _, path := range []string{"", "/", "/rates/", "/rates/1/2", "/labels", "/Rates", "/rates/..",
		"/rates/%2e%2e", "/rates/%2E%2E/labels", "/rates/..%2flabels", "/rates/a%2fb", "/rates/a%5cb",
		"/rates/..;", "/rates/..;/x", "/rates/a;b", "/rates/%252e%252e", "/rates/%252f", "/rates/%00",
		"/rates/%0d%0aHost:x", "//rates", "/./rates", "/rates//1", "/rates/%c0%ae%c0%ae",
		"/rates/%ff", "/http://evil.example/", "/@evil.example", "/rates/" + strings.Repeat("a", 256)} {
		if res, text := w.ask("GET", "/api/proxy/other"+path, ""); res.StatusCode != 404 {
			t.Errorf("GET %s: got %d %s", path, res.StatusCode, text)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get"} {
		if method == "CONNECT" {
			continue // the client itself does not send it so
		}
		if res, _ := w.ask(method, "/api/proxy/other/rates", ""); res.StatusCode != 404 {
			t.Errorf("%s: got %d", method, res.StatusCode)
		}
	}
	if res, _ := w.ask("GET", "/api/proxy/others/rates", ""); res.StatusCode != 404 {
		t.Errorf("a proxy that is not there: got %d", res.StatusCode)
	}
	// Servers do not agree on what a body of a GET is.
	if res, _ := w.ask("GET", "/api/proxy/other/rates", "GET /secret HTTP/1.1\r\n\r\n"); res.StatusCode != 400 {
		t.Errorf("a GET with a body: got %d", res.StatusCode)
	}
	if n := w.asked.Load(); n != 0 {
		t.Fatalf("the other side was asked %d times", n)
	}
	for path, want := range map[string]string{"/rates": "/v2/rates", "/rates/7": "/v2/rates/7",
		"/rates/a%20b": "/v2/rates/a%20b", "/rates/%C3%A4": "/v2/rates/%C3%A4", "/rates/...": "/v2/rates/...",
		"/rates/a@b:c": "/v2/rates/a@b:c"} {
		res, text := w.ask("GET", "/api/proxy/other"+path, "")
		r, _ := w.seen()
		if res.StatusCode != 200 || r.RequestURI != want {
			t.Errorf("%s: got %d %s, asked %s", path, res.StatusCode, text, r.RequestURI)
		}
	}
}

func TestASecretNeverComesBack(t *testing.T) {
	w := open(t, plainProxy)
	for name, do := range map[string]http.HandlerFunc{
		"body": func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, "you sent %s", r.Header.Get("Authorization"))
		},
		"json": func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(rw, `{"a":"%s"}`, strings.ReplaceAll(marked, "/", `\/`))
		},
		"base64": func(rw http.ResponseWriter, r *http.Request) {
			fmt.Fprint(rw, base64.StdEncoding.EncodeToString([]byte("Bearer "+marked)))
		},
		"url":    func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, url.QueryEscape(marked)) },
		"header": func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("Etag", `"`+marked+`"`) },
		"type":   func(rw http.ResponseWriter, r *http.Request) { rw.Header().Set("Content-Type", "a/"+marked) },
		"refusal": func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "bad key "+marked, http.StatusForbidden)
		},
		"failure": func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "bad key "+marked, http.StatusInternalServerError)
		},
		"credentials": func(rw http.ResponseWriter, r *http.Request) {
			http.Error(rw, "bad key", http.StatusUnauthorized)
		},
		"redirect": func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/v2/labels?key="+marked, http.StatusFound)
		},
		"late": func(rw http.ResponseWriter, r *http.Request) {
			_, _ = rw.Write(make([]byte, 64<<10-10))
			rw.(http.Flusher).Flush()
			fmt.Fprint(rw, marked)
		},
	} {
		w.answers(do)
		before := w.asked.Load()
		res, text := w.ask("GET", "/api/proxy/other/rates", "")
		if res.StatusCode != 502 || !strings.Contains(text, `"proxy_failed"`) {
			t.Errorf("%s: got %d %s", name, res.StatusCode, text)
		}
		if strings.Contains(text+fmt.Sprint(res.Header), "secret+of") || strings.Contains(text, w.other.URL[7:]) {
			t.Errorf("%s: the answer tells too much: %v %s", name, res.Header, text)
		}
		if n := w.asked.Load() - before; n != 1 {
			t.Errorf("%s: the other side was asked %d times", name, n)
		}
		w.answers(nil)
		w.ask("GET", "/api/proxy/other/rates", "") // so that failures are not in a row
	}
	if all := w.log.String() + w.calls.String(); strings.Contains(all, marked) ||
		!strings.Contains(all, "held a secret") {
		t.Errorf("logged %s", all)
	}
}

func TestWhoAsksTooOftenOrMayNotIsRefused(t *testing.T) {
	w := open(t, plainProxy+"    rate: 3/min\n")
	for range 3 {
		if res, text := w.ask("GET", "/api/proxy/other/rates", ""); res.StatusCode != 200 {
			t.Fatalf("got %d %s", res.StatusCode, text)
		}
	}
	res, text := w.ask("GET", "/api/proxy/other/rates", "")
	if res.StatusCode != 429 || res.Header.Get("Retry-After") != "20" ||
		!strings.Contains(text, `"violated-policies":["other"]`) {
		t.Errorf("got %d %v %s", res.StatusCode, res.Header, text)
	}
	if w.asked.Load() != 3 {
		t.Errorf("the other side was asked %d times", w.asked.Load())
	}
	w = open(t, strings.Replace(plainProxy, "allow: true", `allow: request.method == "POST"`, 1))
	if res, _ := w.ask("GET", "/api/proxy/other/rates", ""); res.StatusCode != 401 {
		t.Errorf("got %d", res.StatusCode)
	}
	if res, _ := w.ask("POST", "/api/proxy/other/labels", "", "Origin", "http://evil.example",
		"Sec-Fetch-Site", "cross-site"); res.StatusCode != 403 {
		t.Errorf("a page elsewhere: got %d", res.StatusCode)
	}
	if w.asked.Load() != 0 {
		t.Error("the other side was asked")
	}
	if res, _ := w.ask("POST", "/api/proxy/other/labels", ""); res.StatusCode != 200 {
		t.Errorf("got %d", res.StatusCode)
	}
}

func TestAServerThatFailsIsLeftAlone(t *testing.T) {
	w := open(t, plainProxy)
	w.answers(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(503) })
	fail := func(asked int64, wait string) {
		t.Helper()
		res, text := w.ask("GET", "/api/proxy/other/rates", "")
		if res.StatusCode != 502 || res.Header.Get("Retry-After") != wait || w.asked.Load() != asked {
			t.Errorf("got %d, Retry-After %q after %d requests, want %q after %d: %s", res.StatusCode,
				res.Header.Get("Retry-After"), w.asked.Load(), wait, asked, text)
		}
	}
	for i := range int64(5) {
		fail(i+1, "")
	}
	fail(5, "5")
	w.clock.Add(int64(5 * time.Second))
	fail(6, "") // one is let through, and fails
	fail(6, "10")
	w.clock.Add(int64(10 * time.Second))
	w.answers(nil)
	for range 3 {
		if res, _ := w.ask("GET", "/api/proxy/other/rates", ""); res.StatusCode != 200 {
			t.Errorf("got %d", res.StatusCode)
		}
	}
}

func TestTimeAndSizeAreBounded(t *testing.T) {
	w := open(t, plainProxy+"    timeout: 100ms\n")
	hold := make(chan struct{})
	defer close(hold)
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		select {
		case <-hold:
		case <-r.Context().Done():
		}
	})
	if res, text := w.ask("GET", "/api/proxy/other/rates", ""); res.StatusCode != 504 {
		t.Errorf("got %d %s", res.StatusCode, text)
	}
	w = open(t, plainProxy)
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		for range 5 {
			_, _ = rw.Write(make([]byte, 1<<20))
		}
	})
	if res, text := w.ask("GET", "/api/proxy/other/rates", ""); res.StatusCode != 502 {
		t.Errorf("got %d %s", res.StatusCode, text)
	}
	if res, _ := w.ask("POST", "/api/proxy/other/labels", strings.Repeat("x", 1<<20+1)); res.StatusCode != 413 {
		t.Errorf("got %d", res.StatusCode)
	}
}

func TestAnswersAreKeptForEverybody(t *testing.T) {
	w := open(t, plainProxy+"    cache: 10m\n")
	var version atomic.Int64
	hold := make(chan struct{})
	w.answers(func(rw http.ResponseWriter, r *http.Request) {
		<-hold
		rw.Header().Set("Etag", fmt.Sprintf(`"%d"`, version.Load()))
		fmt.Fprintf(rw, "version %d", version.Load())
	})
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if res, text := w.ask("GET", "/api/proxy/other/rates?b=2&a=1", ""); res.StatusCode != 200 ||
				text != "version 0" {
				t.Errorf("got %d %s", res.StatusCode, text)
			}
		})
	}
	close(hold)
	wg.Wait()
	if n := w.asked.Load(); n != 1 {
		t.Fatalf("the other side was asked %d times", n)
	}
	version.Store(1)
	w.clock.Add(int64(time.Minute))
	res, text := w.ask("GET", "/api/proxy/other/rates?a=1&b=2", "", "Accept-Language", "de")
	if text != "version 0" || res.Header.Get("Age") != "60" ||
		res.Header.Get("Cache-Control") != "private, max-age=540" {
		t.Errorf("got %s %v", text, res.Header)
	}
	if res, text := w.ask("GET", "/api/proxy/other/rates?a=1&b=2", "", "If-None-Match", `"0"`); res.StatusCode != 304 ||
		text != "" {
		t.Errorf("got %d %q", res.StatusCode, text)
	}
	if r, _ := w.seen(); r.Header.Get("Accept-Language") != "" || r.Header.Get("If-None-Match") != "" {
		t.Error("a caller's header formed what is kept for all")
	}
	// Old: given once more while another is asked for.
	w.clock.Add(int64(10 * time.Minute))
	if _, text := w.ask("GET", "/api/proxy/other/rates?a=1&b=2", ""); text != "version 0" {
		t.Errorf("got %s", text)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if _, text := w.ask("GET", "/api/proxy/other/rates?a=1&b=2", ""); text == "version 1" {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("got %s", text)
		}
	}
	// Other parameters are another question, and POST is never kept.
	n := w.asked.Load()
	w.ask("GET", "/api/proxy/other/rates?a=2", "")
	w.ask("POST", "/api/proxy/other/labels", "")
	w.ask("POST", "/api/proxy/other/labels", "")
	if got := w.asked.Load() - n; got != 3 {
		t.Errorf("the other side was asked %d times, want 3", got)
	}
	if !strings.Contains(w.calls.String(), `"outside":`) {
		t.Error("the time outside is no stage")
	}
}

func TestWhatMayNotBeKeptIsNot(t *testing.T) {
	for name, values := range map[string][2]string{"no-store": {"Cache-Control", "No-Store"},
		"private": {"Cache-Control", "max-age=60, private"}, "cookie": {"Set-Cookie", "a=b"},
		"vary": {"Vary", "*"}, "status": {"", ""}, "second line": {"Cache-Control", "max-age=60\nprivate"},
		"vary in a list": {"Vary", "Accept\nOrigin, *"}} {
		t.Run(name, func(t *testing.T) {
			w := open(t, plainProxy+"    cache: 10m\n")
			w.answers(func(rw http.ResponseWriter, r *http.Request) {
				if name == "status" {
					rw.WriteHeader(404)
					return
				}
				for line := range strings.SplitSeq(values[1], "\n") {
					rw.Header().Add(values[0], line)
				}
			})
			for range 2 {
				res, _ := w.ask("GET", "/api/proxy/other/rates", "")
				if res.Header.Get("Age") != "" || res.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("got %v", res.Header)
				}
			}
			if w.asked.Load() != 2 {
				t.Errorf("the other side was asked %d times", w.asked.Load())
			}
		})
	}
}

func TestPrivateAddressesAreBehindTheWall(t *testing.T) {
	w := open(t, plainProxy)
	s := *mustSpec(t, w.other.URL)
	a, _ := app.Compile(&s, nil, nil)
	wall := outbound.New(outbound.Config{})
	defer wall.Close()
	d := proxy.New(proxy.Config{App: func() *app.App { return a }, Wall: wall,
		Admit: func(ctx context.Context, c engine.Call) (*engine.Admission, error) {
			return engine.New(engine.Config{App: a, Store: nothing(t)}).Admit(ctx, c)
		}, Secret: func(string) string { return marked }})
	defer d.Close()
	_, err := d.Ask(t.Context(), engine.Call{Target: "other", Request: engine.Request{Method: "GET"}},
		passed("rates"))
	if err == nil || !strings.Contains(err.Error(), "not public") || w.asked.Load() != 0 {
		t.Errorf("got %v after %d requests", err, w.asked.Load())
	}
}

func mustSpec(t *testing.T, address string) *spec.Spec {
	t.Helper()
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(
		"app: shop\nproxies:\n  other: {url: " + address + ", routes: [GET /rates], allow: true}\n")})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	return s
}

func nothing(t *testing.T) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func passed(path string) transport.Passed { return transport.Passed{Path: path} }
