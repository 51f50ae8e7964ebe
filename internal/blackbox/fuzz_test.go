package blackbox_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/serve/servetest"
)

// storm is how many odd requests are sent; GALLEY_STORM asks for another number.
const storm = 20_000

// pieces are what odd requests are made of.
type pieces struct {
	*rand.Rand
	ids []string
}

func (p pieces) one(of ...string) string { return of[p.IntN(len(of))] }

func (p pieces) path() string {
	id := p.ids[p.IntN(len(p.ids))]
	return p.one("/api/notes", "/api/notes/"+id, "/api/products", "/api/products/"+id,
		"/api/reviews", "/api/counters/"+id,
		"/api/notes/aggregate", "/api/actions/echo", "/api/actions/buy", "/api/actions/nothing",
		"/api/batch", "/api/auth/session",
		"/api/auth/sessions", "/api/auth/sessions/"+id, "/api/auth/refresh", "/api/vaults",
		"/api/health", "/api/openapi.json",
		"/problems/x", "/", "/api/users/"+id, "/api/"+p.text(), "/api/notes/"+p.text(),
		"/"+p.text())
}

func (p pieces) text() string {
	return url.PathEscape(p.one("", "a", "..", "\x00", "é", "'", `"`, "%", strings.Repeat("x", 300),
		"🙂", "-1", "null", "a/b", "\\"))
}

func (p pieces) query() string {
	if p.IntN(2) == 0 {
		return ""
	}
	q := url.Values{}
	for range 1 + p.IntN(3) {
		name := p.one("filter", "sort", "limit", "cursor", "fields", "expand", "total", "select",
			"group", "title", "count", "owner", "x", "id")
		q.Set(name, p.one("", "title", "-title,count", "1", "0", "-1", "500", "501",
			"99999999999999999999", "true", "x", "owner", "owner.name", "product,author",
			"n:count()", "n:sum(count),m:max(ratio)", "n:avg(title)", `title == "a"`,
			`count > 1 && `, `title.matches("(a|a)*b")`, `owner.wallet > 5`,
			`size(tags) > 0`, `tags.exists(t, t == "a")`, `now > created`,
			`created + duration("1h") > now`, strings.Repeat("(", 200), strings.Repeat("!",
				1500)+"true",
			strings.Repeat("count==1||", 150)+"true", `count / 0 == 1`, `count % 0 == 1`,
			`9223372036854775807 + count > 0`, `ratio * 1e308 > 1e308`, `"\u0000" == title`,
			`data.a.b == 1`, `title[0] == "a"`,
			`{"a":1}.a == count`, `[1,2,3].exists(x, x == count)`, `timestamp("x") > now`,
			`int(title) > 1`, `type(count) == int`, `dyn(count) == "1"`,
			string(rune(p.IntN(0x10ffff)))))
	}
	return "?" + q.Encode()
}

func (p pieces) body(depth int) string {
	switch n := p.IntN(14); {
	case n == 0 && depth > 0:
		return p.one(`"`, `{`, `[`, `}`, "", "\x00", "\xff", `{"a"`, `[1,`, `1 2`, `nul`, `"\u12"`)
	case n < 3 && depth < 4:
		return "[" + p.body(depth+1) + "," + p.body(depth+1) + "]"
	case n < 8 && depth < 4:
		var b []string
		for range p.IntN(4) {
			b = append(b, fmt.Sprintf("%q:%s", p.one("title", "body", "data", "count", "amount",
				"ratio", "tags", "owner", "id", "version", "text", "product", "requests",
				"method", "path", "if_match", "$add", "$append", "email", "password",
				"refresh_token", "x"), p.body(depth+1)))
		}
		return "{" + strings.Join(b, ",") + "}"
	default:
		return p.one("null", "true", "1", "-1", "1.5", "1e400", "9007199254740993", `""`, `"a"`,
			`"\u0000"`, `"é"`, `"`+p.ids[p.IntN(len(p.ids))]+`"`, `"POST"`, `"/api/notes"`,
			`"`+strings.Repeat("x", 2000)+`"`, `{"$add":1}`, `{"$append":"a"}`, `"ana@example.com"`)
	}
}

// weather sends odd requests and returns those that the server could not bear.
func weather(a *arena, count int) (f found) {
	seed := uint64(time.Now().UnixNano())
	a.t.Logf("seed %d", seed)
	ids := []string{a.ana.id, a.bo.id, "01k9vq3k1c0000000000000000", a.put("products",
		`{"name":"pen","price":1,"stock":100}`), a.put("counters", `{}`),
		a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(a.t, 201).text("id")}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	var mu sync.Mutex
	together(crew, func(part int) {
		p := pieces{rand.New(rand.NewPCG(seed, uint64(part))), ids}
		for range count / crew {
			method := p.one("GET", "GET", "POST", "POST", "PATCH", "DELETE", "PUT", "HEAD",
				"OPTIONS", "TRACE")
			who := []*caller{a.ana, a.bo, a.nobody}[p.IntN(3)]
			target, body := p.path()+p.query(), ""
			if method != "GET" && method != "HEAD" || p.IntN(20) == 0 {
				body = p.body(0)
			}
			headers := []string{"Content-Type", p.one("application/json", "application/json",
				"application/json", "text/plain", "application/merge-patch+json", "")}
			for range p.IntN(3) {
				headers = append(headers, p.one("Idempotency-Key", "If-Match", "If-None-Match",
					"Range", "Traceparent", "Accept-Encoding", "Expect", "Origin", "Cookie"),
					p.one("k1", `"1"`, "*", "bytes=0-1", "bytes=9-1,2-", strings.Repeat("a", 300),
						"gzip", "100-continue", "x=y", `W/"1"`, "null"))
			}
			got, err := who.try(method, target, body, headers...)
			if err == nil && got.status < 500 {
				continue
			}
			mu.Lock()
			f.add("%s %.200s %.200q %v: %v, %v", method, target, body, headers, got, err)
			mu.Unlock()
		}
	})
	servetest.Client.CloseIdleConnections()
	for wait := time.Now(); runtime.NumGoroutine() > goroutines+20 &&
		time.Since(wait) < time.Minute; {
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > goroutines+20 {
		f.add("%d goroutines became %d", goroutines, n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if after.HeapInuse > before.HeapInuse+100<<20 {
		f.add("the heap grew by %d bytes", after.HeapInuse-before.HeapInuse)
	}
	a.nobody.do("GET", "/api/health", "").want(a.t, 200)
	a.ana.do("GET", "/api/notes", "").want(a.t, 200)
	return f
}

func TestNoRequestBreaksTheServer(t *testing.T) {
	count := storm
	if n, err := strconv.Atoi(os.Getenv("GALLEY_STORM")); err == nil {
		count = n
	}
	if got := weather(open(t, flaw{}, false), count); len(got) > 0 {
		t.Errorf("%d:\n%s", len(got), strings.Join(got[:min(len(got), 20)], "\n"))
	}
	brittle := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.Header.Get("Range"), ",") {
				panic("a range was cut wrongly")
			}
			next.ServeHTTP(w, r)
		})
	}
	if got := weather(open(t, flaw{front: brittle}, false), 4000); len(got) == 0 {
		t.Error("a door that panics is not found")
	}
}

// inside asks the door without a wire, for fuzzing.
func (a *arena) inside(method, target, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Method = method
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil
	}
	r.URL, r.RequestURI = u, target
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	} else {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+a.ana.token)
	w := httptest.NewRecorder()
	a.door.ServeHTTP(w, r)
	return w
}

// bear fails if an answer is a 5xx, or no JSON below /api.
func bear(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if w == nil {
		return
	}
	if w.Code >= 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w.Body.Len() > 0 && strings.Contains(w.Header().Get("Content-Type"), "json") &&
		!json.Valid(w.Body.Bytes()) {
		t.Errorf("%d is no JSON: %q", w.Code, w.Body)
	}
}

// FuzzWireJSON sends any body to a create, an update, an action and a batch.
func FuzzWireJSON(f *testing.F) {
	a := open(f, flaw{}, false)
	note := a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(f, 201).text("id")
	f.Add(`{"title":"a","data":{"b":[1,2.5,null]},"count":7,"tags":["x"]}`)
	f.Add(`{"count":{"$add":1}}`)
	f.Add(`{"requests":[{"method":"PATCH","path":"/api/notes/x","body":{"title":"y"},"if_match":1}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		bear(t, a.inside("PATCH", "/api/notes/"+note, body))
		bear(t, a.inside("POST", "/api/notes", body))
		bear(t, a.inside("POST", "/api/actions/echo", body))
		bear(t, a.inside("POST", "/api/batch", body))
		bear(t, a.inside("POST", "/api/auth/refresh", body))
	})
}

// FuzzCursor sends any cursor, and changes of a real one.
func FuzzCursor(f *testing.F) {
	a := open(f, flaw{}, false)
	for range 3 {
		a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(f, 201)
	}
	real := a.ana.do("GET", "/api/notes?limit=1", "").want(f, 200).text("next")
	f.Add(real, 0, byte(1))
	f.Add("", 3, byte(0x80))
	f.Fuzz(func(t *testing.T, cursor string, at int, change byte) {
		for _, c := range []string{cursor, mutate(real, at, change)} {
			w := a.inside("GET", "/api/notes?limit=1&cursor="+url.QueryEscape(c), "")
			bear(t, w)
			if c != real && c != "" && w.Code == 200 {
				t.Errorf("the cursor %q is taken", c)
			}
		}
	})
}

func mutate(text string, at int, change byte) string {
	b := []byte(text)
	if len(b) > 0 {
		b[(at%len(b)+len(b))%len(b)] ^= change
	}
	return string(b)
}

// FuzzQuery sends any query to a list and to an aggregate.
func FuzzQuery(f *testing.F) {
	a := open(f, flaw{}, false)
	a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(f, 201)
	for _, q := range []string{"filter=count+%3E+1", "sort=-title&limit=3",
		"fields=id,title&expand=owner", "select=n:count()&group=title", "total=true", "title=x"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/api/notes?", "/api/notes/aggregate?", "/api/products?",
			"/api/reviews?"} {
			bear(t, a.inside("GET", path+query, ""))
		}
	})
}

// FuzzPath sends any path, by any method.
func FuzzPath(f *testing.F) {
	a := open(f, flaw{}, false)
	f.Add("GET", "/api/notes")
	f.Add("DELETE", "/api/../x")
	f.Fuzz(func(t *testing.T, method, path string) {
		bear(t, a.inside(method, path, ""))
	})
}
