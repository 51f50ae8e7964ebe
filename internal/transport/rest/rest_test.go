package rest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/value"
)

// script is an engine that notes the calls it gets and answers as it is told.
type script struct {
	mu     sync.Mutex
	calls  []engine.Call
	answer engine.Answer
	reply  engine.Reply
	err    error
	panics bool
}

func (s *script) note(c engine.Call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	if s.panics {
		panic("the engine broke with secret-in-panic")
	}
}

func (s *script) Query(_ context.Context, c engine.Call) (engine.Answer, error) {
	s.note(c)
	return s.answer, s.err
}

func (s *script) Execute(_ context.Context, c engine.Call) (engine.Reply, error) {
	s.note(c)
	return s.reply, s.err
}

// last is the call that came last; the zero call if none did.
func (s *script) last() engine.Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.calls) == 0 {
		return engine.Call{}
	}
	return s.calls[len(s.calls)-1]
}

const id = "01k9vq3k1c0000000000000000"

// pen is a record of products, version 7.
func pen() engine.Item {
	shape := value.NewShape("products", []value.Field{
		{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}},
		{Name: spec.FieldCreated, Type: value.Type{Kind: value.TypeTime}},
		{Name: spec.FieldUpdated, Type: value.Type{Kind: value.TypeTime}},
		{Name: spec.FieldVersion, Type: value.Type{Kind: value.TypeInt}},
		{Name: "name", Type: value.Type{Kind: value.TypeString}},
	})
	r := value.NewRecord(shape)
	r.Slots[spec.SlotID], r.Slots[spec.SlotVersion] = value.OfText(id), value.OfInt(7)
	r.Slots[spec.SlotFirst] = value.OfText("pen")
	return engine.Item{Record: r}
}

// ask sends one request to a door before the script.
func ask(t testing.TB, s *script, r *http.Request) *http.Response {
	t.Helper()
	w := httptest.NewRecorder()
	rest.New(rest.Config{Engine: s}).ServeHTTP(w, r)
	return w.Result()
}

// request makes a request; headers come in pairs.
func request(method, target, body string, headers ...string) *http.Request {
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, b)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// problem reads a problem and makes sure that it is one.
func problem(t testing.TB, res *http.Response) map[string]any {
	t.Helper()
	if got := res.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("the answer %d is %s, want a problem", res.StatusCode, got)
	}
	var p map[string]any
	if err := json.NewDecoder(res.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p["request"] != res.Header.Get("Request-Id") || p["request"] == "" ||
		p["status"] != float64(res.StatusCode) || p["title"] == "" {
		t.Errorf("the problem is %v, of request %s", p, res.Header.Get("Request-Id"))
	}
	return p
}

func TestRequestsBecomeCalls(t *testing.T) {
	for _, c := range []struct {
		method, path, body string
		verb               engine.Verb
		target, record     string
	}{
		{"GET", "/api/products", "", engine.List, "products", ""},
		{"HEAD", "/api/products", "", engine.List, "products", ""},
		{"GET", "/api/products/" + id, "", engine.Get, "products", id},
		{"GET", "/api/products/aggregate?select=n:count()", "", engine.Aggregate, "products", ""},
		{"POST", "/api/products", `{"name":"pen"}`, engine.Create, "products", ""},
		{"PATCH", "/api/products/" + id, `{"name":"ink"}`, engine.Update, "products", id},
		{"DELETE", "/api/products/" + id, "", engine.Delete, "products", id},
		{"POST", "/api/actions/checkout", `{}`, engine.Action, "checkout", ""},
		{"GET", "/api/actions/quote?n=1", "", engine.Action, "quote", ""},
		{"POST", "/api/batch", `{"requests":[{"method":"DELETE","path":"/api/products/` + id +
			`"}]}`,
			engine.Batch, "", ""},
	} {
		s := &script{answer: engine.Answer{Items: []engine.Item{pen()}},
			reply: engine.Reply{Item: pen()}}
		res := ask(t, s, request(c.method, c.path, c.body, "Idempotency-Key", "k1"))
		if res.StatusCode >= 300 {
			t.Errorf("%s %s is %d", c.method, c.path, res.StatusCode)
		}
		got := s.last()
		if got.Verb != c.verb || got.Target != c.target || got.Record != c.record ||
			string(got.Body) != c.body || got.Key != "k1" || got.Trusted {
			t.Errorf("%s %s became %+v", c.method, c.path, got)
		}
		if res.Header.Get("Request-Id") != string(got.ID) {
			t.Errorf("the request is %q, the call %q", res.Header.Get("Request-Id"), got.ID)
		}
	}
}

func TestAnswersCarryTheirHeaders(t *testing.T) {
	s := &script{answer: engine.Answer{Items: []engine.Item{pen()}, Next: "abc", Total: 9,
		HasTotal: true},
		reply: engine.Reply{Item: pen(), Verb: engine.Create}}
	res := ask(t, s, request("GET", "/api/products/"+id, ""))
	body, _ := io.ReadAll(res.Body)
	if want := `{"id":"` + id + `","version":7,"name":"pen"}`; string(body) != want {
		t.Errorf("got %s, want %s", body, want)
	}
	for name, want := range map[string]string{"Etag": `"7"`, "Cache-Control": "private, no-cache",
		"X-Content-Type-Options": "nosniff", "Content-Type": "application/json",
		"Access-Control-Allow-Origin": ""} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	res = ask(t, s, request("GET", "/api/products?filter=price+%3C+5&sort=name", ""))
	body, _ = io.ReadAll(res.Body)
	if !strings.HasSuffix(string(body), `],"next":"abc","total":9}`) {
		t.Errorf("the list is %s", body)
	}
	want := `</api/products?cursor=abc&filter=price+%3C+5&sort=name>; rel="next"`
	if got := res.Header.Get("Link"); got != want {
		t.Errorf("Link is %q, want %q", got, want)
	}
	res = ask(t, s, request("POST", "/api/products", "{}"))
	if res.StatusCode != 201 || res.Header.Get("Location") != "/api/products/"+id ||
		res.Header.Get("Etag") != `"7"` || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("a create is %d %v", res.StatusCode, res.Header)
	}
	s.reply = engine.Reply{Verb: engine.Create, Replayed: true, Body: `{"id":"x"}`, Record: id,
		Version: 3}
	res = ask(t, s, request("POST", "/api/products", "{}"))
	body, _ = io.ReadAll(res.Body)
	if res.StatusCode != 201 || res.Header.Get("Idempotent-Replayed") != "true" ||
		string(body) != `{"id":"x"}` || res.Header.Get("Etag") != `"3"` {
		t.Errorf("a replay is %d %v %s", res.StatusCode, res.Header, body)
	}
	s.err = fault.WithCode(fault.Refused, "out_of_stock", "Gone.")
	res = ask(t, s, request("POST", "/api/products", "{}"))
	if problem(t, res)["code"] != "out_of_stock" || res.StatusCode != 409 ||
		res.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("a replayed refusal is %d %v", res.StatusCode, res.Header)
	}
}

func TestConditionalRequests(t *testing.T) {
	s := &script{answer: engine.Answer{Items: []engine.Item{pen()}},
		reply: engine.Reply{Item: pen()}}
	for none, want := range map[string]int{`"7"`: 304, `W/"7"`: 304, `"1", "7"`: 304, `*`: 304,
		`"8"`: 200, `7`: 200, `"77"`: 200, ``: 200} {
		res := ask(t, s, request("GET", "/api/products/"+id, "", "If-None-Match", none))
		if res.StatusCode != want {
			t.Errorf("If-None-Match %s is %d, want %d", none, res.StatusCode, want)
		}
		if body, _ := io.ReadAll(res.Body); want == 304 && len(body) > 0 {
			t.Errorf("a 304 has a body: %s", body)
		}
	}
	for match, want := range map[string]int64{`"7"`: 7, `*`: 0} {
		ask(t, s, request("PATCH", "/api/products/"+id, "{}", "If-Match", match))
		if got := s.last().IfMatch; got != want {
			t.Errorf("If-Match %s is %d, want %d", match, got, want)
		}
	}
	for _, match := range []string{`7`, `W/"7"`, `"7", "8"`, `"-1"`, `"07"`, `"0"`, `"x"`, `""`,
		`"99999999999999999999"`} {
		res := ask(t, s, request("PATCH", "/api/products/"+id, "{}", "If-Match", match))
		if res.StatusCode != 400 {
			t.Errorf("If-Match %s is %d, want 400", match, res.StatusCode)
		}
	}
	if res := ask(t, s, request("POST", "/api/products", "{}", "If-Match",
		`"7"`)); res.StatusCode != 400 {
		t.Errorf("a create with If-Match is %d, want 400", res.StatusCode)
	}
}

func TestIdempotencyKeysAreReadBareAndQuoted(t *testing.T) {
	s := &script{reply: engine.Reply{Item: pen()}}
	for sent, want := range map[string]string{`abc`: "abc", `"abc"`: "abc",
		`a-b_c.1!`: "a-b_c.1!"} {
		ask(t, s, request("POST", "/api/products", "{}", "Idempotency-Key", sent))
		if got := s.last().Key; got != want {
			t.Errorf("the key %s is %q, want %q", sent, got, want)
		}
	}
	for _, bad := range []string{`""`, `a b`, "a\tb", "ké", `a"b`, strings.Repeat("k", 256), `"`} {
		res := ask(t, s, request("POST", "/api/products", "{}", "Idempotency-Key", bad))
		if problem(t, res)["code"] != "invalid_request" {
			t.Errorf("the key %q is %d, want 400", bad, res.StatusCode)
		}
	}
	res := ask(t, s, request("POST", "/api/products", "{}", "Idempotency-Key", "a",
		"Idempotency-Key", "b"))
	if res.StatusCode != 400 {
		t.Errorf("two keys are %d, want 400", res.StatusCode)
	}
}

func TestPathsHaveOneSpelling(t *testing.T) {
	for _, path := range []string{
		"/api", "/api/", "//api/products", "/api//products", "/api/products/", "/api/products//" +
			id,
		"/api/./products", "/api/../api/products", "/api/%2e%2e/api/products", "/api/products/%2e",
		"/api/%70roducts", "/%61pi/products", "/api%2fproducts", "/api/products%2f" + id,
		"/api/products;v=1", "/api/products/" + id + "/", "/api/products/" + id + "/name",
		"/api/products%00", "/api/products%5c" + id, "/api\\products", "/API/products",
		"/api/actions", "/api/actions/", "/api/actions/a/b", "/api/batch/", "/api/auth",
		"/api/auth/",
		"/api/auth/sign-in/", "/api/auth/sessions/", "/api/auth/nothing", "/api/health/x",
		"/api/ws", "/api/events", "/api/files", "/api/jobs/1", "/api/proxy/x/y", "/api/hooks/x",
		"/api/openapi.yaml", "/api/openapi.json", "/api/.git", "/api/" + strings.Repeat("a", 300),
		"/api/pro ducts", "/api/produçts",
	} {
		s := &script{answer: engine.Answer{Items: []engine.Item{pen()}}}
		r := httptest.NewRequest("GET", "/", nil)
		if !setPath(r, path) {
			continue // net/http itself refuses it
		}
		res := ask(t, s, r)
		if p := problem(t, res); res.StatusCode != 404 || p["code"] != "not_found" {
			t.Errorf("%q is %d %v, want 404", path, res.StatusCode, p["code"])
		}
		if len(s.calls) > 0 {
			t.Errorf("%q reached the engine", path)
		}
	}
}

// setPath gives the request a target as it would come over the wire.
func setPath(r *http.Request, path string) bool {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return false
	}
	r.URL.Path, r.URL.RawPath = u.Path, u.RawPath
	return true
}

func TestMethodsAreAnsweredByTheFormOfThePath(t *testing.T) {
	for _, c := range []struct{ method, path, allow string }{
		{"PUT", "/api/products", "GET, HEAD, POST, OPTIONS"},
		{"DELETE", "/api/products", "GET, HEAD, POST, OPTIONS"},
		{"POST", "/api/products/" + id, "GET, HEAD, PATCH, DELETE, OPTIONS"},
		{"PUT", "/api/nothing/" + id, "GET, HEAD, PATCH, DELETE, OPTIONS"},
		{"POST", "/api/products/aggregate", "GET, HEAD, OPTIONS"},
		{"GET", "/api/batch", "POST, OPTIONS"},
		{"GET", "/api/auth/sign-in", "POST, OPTIONS"},
		{"POST", "/api/auth/password", "PUT, OPTIONS"},
		{"POST", "/api/health", "GET, HEAD, OPTIONS"},
		{"TRACE", "/api/products", "GET, HEAD, POST, OPTIONS"},
		{"get", "/api/products", "GET, HEAD, POST, OPTIONS"},
		{"PROPFIND", "/api/products", "GET, HEAD, POST, OPTIONS"},
	} {
		s := &script{}
		res := ask(t, s, request(c.method, c.path, ""))
		if res.StatusCode != 405 || res.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s is %d, Allow %q; want 405, %q", c.method, c.path, res.StatusCode,
				res.Header.Get("Allow"), c.allow)
		}
		if problem(t, res)["code"] != "method_not_allowed" || len(s.calls) > 0 {
			t.Errorf("%s %s reached the engine", c.method, c.path)
		}
		res = ask(t, s, request("OPTIONS", c.path, "", "Origin", "https://evil.example",
			"Access-Control-Request-Method", "POST"))
		if res.StatusCode != 204 || res.Header.Get("Allow") != c.allow ||
			res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("OPTIONS %s is %d %v", c.path, res.StatusCode, res.Header)
		}
	}
}

func TestMethodCannotBeOverridden(t *testing.T) {
	s := &script{answer: engine.Answer{Items: []engine.Item{pen()}}}
	ask(t, s, request("GET", "/api/products/"+id, "", "X-HTTP-Method-Override", "DELETE",
		"X-Method-Override", "DELETE", "X-HTTP-Method", "DELETE"))
	if s.last().Verb != engine.Get {
		t.Errorf("a header made the call %v", s.last().Verb)
	}
}

func TestBodiesMustBeWhatTheySay(t *testing.T) {
	for name, c := range map[string]struct {
		r    *http.Request
		code string
	}{
		"no type": {request("POST", "/api/products", "{}", "Content-Type", ""),
			"unsupported_type"},
		"form": {typed("POST", "{}", "application/x-www-form-urlencoded"),
			"unsupported_type"},
		"multipart": {typed("POST", "{}", "multipart/form-data; boundary=x"),
			"unsupported_type"},
		"text": {typed("POST", "{}", "text/plain"), "unsupported_type"},
		"latin": {typed("POST", "{}", "application/json; charset=latin1"),
			"unsupported_type"},
		"odd parameter":  {typed("POST", "{}", "application/json; x=y"), "unsupported_type"},
		"not quite json": {typed("POST", "{}", "application/jsonp"), "unsupported_type"},
		"patch on create": {typed("POST", "{}", "application/merge-patch+json"),
			"unsupported_type"},
		"json patch": {typed("PATCH", "[]", "application/json-patch+json"),
			"unsupported_type"},
		"two types": {request("POST", "/api/products", "{}", "Content-Type", "text/plain"),
			"unsupported_type"},
		"compressed": {request("POST", "/api/products", "{}", "Content-Encoding", "gzip"),
			"unsupported_type"},
		"nothing": {request("POST", "/api/products", ""), "invalid_request"},
		"empty":   {typed("POST", "", "application/json"), "invalid_request"},
		"empty action": {request("POST", "/api/actions/x", "", "Content-Type",
			"application/json"), "invalid_request"},
		"too large": {request("POST", "/api/products", strings.Repeat(" ", rest.BodyMax+1)),
			"too_large"},
		"on a get":    {request("GET", "/api/products", "{}"), "invalid_request"},
		"on a delete": {request("DELETE", "/api/products/"+id, "{}"), "invalid_request"},
		"query on a write": {request("POST", "/api/products?_method=DELETE", "{}"),
			"invalid_request"},
		"batch of nothing": {request("POST", "/api/batch", "[]"), "invalid_request"},
	} {
		s := &script{}
		res := ask(t, s, c.r)
		if p := problem(t, res); p["code"] != c.code {
			t.Errorf("%s is %d %v, want %s", name, res.StatusCode, p["code"], c.code)
		}
		if len(s.calls) > 0 {
			t.Errorf("%s reached the engine", name)
		}
	}
	for _, kind := range []string{"application/json", "application/json; charset=utf-8",
		"Application/JSON;charset=UTF-8"} {
		if res := ask(t, &script{reply: engine.Reply{Item: pen()}}, typed("POST", "{}",
			kind)); res.StatusCode != 201 {
			t.Errorf("the control, %s, is %d", kind, res.StatusCode)
		}
	}
	if res := ask(t, &script{reply: engine.Reply{Item: pen()}},
		typed("PATCH", "{}", "application/merge-patch+json")); res.StatusCode != 200 {
		t.Errorf("the control, a merge patch, is %d", res.StatusCode)
	}
}

func typed(method, body, kind string) *http.Request {
	path := "/api/products"
	if method == "PATCH" {
		path += "/" + id
	}
	r := request(method, path, body)
	r.Header.Set("Content-Type", kind)
	return r
}

func TestBodyOfUnknownLengthIsBounded(t *testing.T) {
	s := &script{}
	r := httptest.NewRequest("POST", "/api/products", io.LimitReader(zeros{}, rest.BodyMax*4))
	r.ContentLength = -1
	r.Header.Set("Content-Type", "application/json")
	if p := problem(t, ask(t, s, r)); p["code"] != "too_large" || len(s.calls) > 0 {
		t.Errorf("got %v", p)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return copy(p, bytes.Repeat([]byte{'0'}, len(p))), nil }

func TestQueriesAreStrict(t *testing.T) {
	for _, query := range []string{"limit=1&limit=2", "a=%zz", "a=1;b=2", "a=%00", "a=%ff", "%ff=1",
		strings.Repeat("a=1&", 3000), "a=" + strings.Repeat("x", rest.QueryMax)} {
		s := &script{}
		res := ask(t, s, request("GET", "/api/products?"+query, ""))
		if res.StatusCode != 400 && res.StatusCode != 413 || len(s.calls) > 0 {
			t.Errorf("%.20s is %d, want 400 or 413", query, res.StatusCode)
		}
		problem(t, res)
	}
}

func TestFaultsOfTheHouseTellNothing(t *testing.T) {
	s := &script{err: io.ErrUnexpectedEOF}
	res := ask(t, s, request("GET", "/api/products", ""))
	body, _ := io.ReadAll(res.Body)
	if res.StatusCode != 500 || bytes.Contains(body, []byte("EOF")) {
		t.Errorf("got %d %s", res.StatusCode, body)
	}
	s = &script{panics: true}
	res = ask(t, s, request("GET", "/api/products", ""))
	body, _ = io.ReadAll(res.Body)
	if res.StatusCode != 500 || bytes.Contains(body, []byte("secret-in-panic")) {
		t.Errorf("a panic is %d %s", res.StatusCode, body)
	}
}

func TestTheJourneyTellsWhatWasWrongWithAnInput(t *testing.T) {
	f := fault.New(fault.Invalid, "The input is not valid.")
	f.Items = []fault.Item{{Pointer: "#/items/0/quantity", Code: "min", Detail: "must be at least 1"}}
	s := &script{err: f}
	r := request("PATCH", "/api/products/"+id, "{}")
	if res := ask(t, s, r); res.StatusCode != 422 {
		t.Fatal(res.StatusCode)
	}
	got := s.last().Seen.Findings
	if len(got) != 1 || got[0] != "#/items/0/quantity must be at least 1" {
		t.Errorf("got %q", got)
	}
}

func TestLimitsAreToldOnEveryAnswer(t *testing.T) {
	limited := engineFunc(func(c engine.Call) error {
		c.Seen.Limited(observe.Limit{Name: "burst", Quota: 100, Left: 50, Window: time.Minute,
			Reset: 29500 * time.Millisecond})
		c.Seen.Limited(observe.Limit{Name: "checkout", Quota: 10, Window: time.Minute,
			Reset: time.Second, Over: true})
		return &fault.Fault{Kind: fault.Exhausted, Message: "Slowly.", RetryAfter: 6}
	})
	w := httptest.NewRecorder()
	rest.New(rest.Config{Engine: limited}).ServeHTTP(w, request("GET", "/api/products", ""))
	res := w.Result()
	for name, want := range map[string]string{
		"Ratelimit-Policy": `"burst";q=100;w=60, "checkout";q=10;w=60`,
		"Ratelimit":        `"burst";r=50;t=30, "checkout";r=0;t=1`, "Retry-After": "6"} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	p := problem(t, res)
	if list, ok := p["violated-policies"].([]any); !ok || len(list) != 1 || list[0] != "checkout" ||
		!strings.HasSuffix(p["type"].(string), "#quota-exceeded") {
		t.Errorf("the problem is %v", p)
	}
}

type engineFunc func(engine.Call) error

func (f engineFunc) Query(_ context.Context, c engine.Call) (engine.Answer, error) {
	return engine.Answer{}, f(c)
}

func (f engineFunc) Execute(_ context.Context, c engine.Call) (engine.Reply, error) {
	return engine.Reply{}, f(c)
}

func TestHealthSaysNothingElse(t *testing.T) {
	ill := false
	d := rest.New(rest.Config{Engine: &script{}, Health: func(context.Context) error {
		if ill {
			return io.ErrClosedPipe
		}
		return nil
	}})
	for status, body := range map[int]string{200: `{"status":"ok"}`,
		503: `{"status":"unavailable"}`} {
		ill = status == 503
		w := httptest.NewRecorder()
		d.ServeHTTP(w, request("GET", "/api/health", ""))
		if w.Code != status || w.Body.String() != body {
			t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, body)
		}
	}
}

func TestLargeAnswersAreCompressedForWhoTakesIt(t *testing.T) {
	items := make([]engine.Item, 500)
	for i := range items {
		items[i] = pen()
	}
	s := &script{answer: engine.Answer{Items: items}}
	plain := ask(t, s, request("GET", "/api/products", ""))
	zipped := ask(t, s, request("GET", "/api/products", "", "Accept-Encoding", "br, gzip"))
	if plain.Header.Get("Content-Encoding") != "" ||
		zipped.Header.Get("Content-Encoding") != "gzip" ||
		zipped.ContentLength >= plain.ContentLength || zipped.ContentLength <= 0 {
		t.Errorf("plain %d, zipped %d bytes", plain.ContentLength, zipped.ContentLength)
	}
	if res := ask(t, s, request("GET", "/api/products", "", "Accept-Encoding",
		"gzip;q=0")); res.Header.Get("Content-Encoding") != "" {
		t.Error("who refuses gzip gets it")
	}
}

// silent is a ResponseWriter that keeps nothing.
type silent struct{ h http.Header }

func (s silent) Header() http.Header         { return s.h }
func (s silent) Write(p []byte) (int, error) { return len(p), nil }
func (s silent) WriteHeader(int)             {}

// BenchmarkGet is bounded by 4 µs: the door must be cheap beside what is behind it.
func BenchmarkGet(b *testing.B) {
	s := engineAnswer{engine.Answer{Items: []engine.Item{pen()}}}
	d := rest.New(rest.Config{Engine: s})
	r := request("GET", "/api/products/"+id, "")
	b.ReportAllocs()
	for b.Loop() {
		d.ServeHTTP(silent{http.Header{}}, r)
	}
}

type engineAnswer struct{ answer engine.Answer }

func (e engineAnswer) Query(context.Context, engine.Call) (engine.Answer, error) {
	return e.answer, nil
}

func (e engineAnswer) Execute(context.Context, engine.Call) (engine.Reply, error) {
	return engine.Reply{}, nil
}
