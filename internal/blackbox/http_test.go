package blackbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestADayAtTheDoor is what a client of the API meets, in the order in which he does.
func TestADayAtTheDoor(t *testing.T) {
	a := open(t, flaw{}, false)
	header := func(got answer, name, want string) {
		t.Helper()
		if h := got.header.Get(name); h != want {
			t.Errorf("%s is %q, want %q: %v", name, h, want, got)
		}
	}
	// A create without an id of its own needs a key, and says how to send one.
	got := a.ana.do("POST", "/api/notes", `{"title":"a","body":"b"}`).want(t, 400)
	if got.text("code") != "idempotency_key_missing" || !strings.Contains(got.text("detail"),
		"-H") {
		t.Errorf("without a key: %v", got)
	}
	got = a.ana.do("POST", "/api/notes", `{"title":"a","body":"b"}`, key()...).want(t, 201)
	id := got.text("id")
	path := "/api/notes/" + id
	header(got, "Location", path)
	header(got, "Etag", `"1"`)
	// What has not changed is not sent again.
	a.ana.do("GET", path, "", "If-None-Match", `"1"`).want(t, 304)
	header(a.ana.do("HEAD", path, "").want(t, 200), "Etag", `"1"`)
	header(a.ana.do("GET", path+"?fields=title", "").want(t, 200), "Etag", `"1"`)
	a.ana.do("GET", path+"?fields=title", "", "If-None-Match", `"1"`).want(t, 304)
	// But what was expanded may have changed although the record has not.
	a.ana.do("GET", path+"?expand=owner", "", "If-None-Match", `"1"`).want(t, 200)
	// A merge patch leaves what it does not name, and null clears.
	got = a.ana.do("PATCH", path, `{"body":null}`, "If-Match", `"1"`,
		"Content-Type", "application/merge-patch+json").want(t, 200)
	if got.text("title") != "a" || got.json()["body"] != nil || got.number("version") != 2 {
		t.Errorf("the patch is %v", got)
	}
	got = a.ana.do("PATCH", path, `{"title":"late"}`, "If-Match", `"1"`).want(t, 412)
	if got.text("code") != "stale" {
		t.Errorf("over an old version: %v", got)
	}
	a.ana.do("DELETE", path, "", "If-Match", `"1"`).want(t, 412)
	a.ana.do("DELETE", path, "", "If-Match", `"2"`).want(t, 204)
	a.ana.do("GET", path, "").want(t, 404)
	// Each problem has a page.
	page := a.nobody.do("GET", got.text("type"), "", "Accept", "text/html").want(t, 200)
	if !strings.HasPrefix(page.header.Get("Content-Type"), "text/html") ||
		!strings.Contains(string(page.body), "stale") {
		t.Errorf("the page is %v", page)
	}
	// A batch is one transaction: the first that fails takes all back.
	batch := `{"requests":[{"method":"POST","path":"/api/notes","body":{"title":"one"}},{"method":"PATCH","path":"` + path + `","body":{"title":"x"}}]}`
	got = a.ana.do("POST", "/api/batch", batch, key()...).want(t, 404)
	if at, _ := got.json()["at"].(map[string]any); at["request"] != 1. {
		t.Errorf("the batch is %v", got)
	}
	if n := len(a.ana.do("GET", "/api/notes", "").items()); n != 0 {
		t.Errorf("%d notes are left of a batch that failed", n)
	}
	got = a.ana.do("POST", "/api/batch",
		`{"requests":[{"method":"POST","path":"/api/notes","body":{"title":"one"}},`+
			`{"method":"POST","path":"/api/notes","body":{"title":"two"}}]}`, key()...).want(t, 200)
	if list, _ := got.json()["responses"].([]any); len(list) != 2 ||
		list[0].(map[string]any)["status"] != 201. {
		t.Errorf("the batch is %v", got)
	}
	// The documents are for developers.
	a.nobody.do("GET", "/api/openapi.json", "").want(t, 404)
	if got := a.nobody.do("GET", "/api/health", "").want(t,
		200); string(got.body) != `{"status":"ok"}` {
		t.Errorf("health is %v", got)
	}
}

func TestAnswersAreKeptUnderTheirKeys(t *testing.T) {
	a := open(t, flaw{}, false)
	pen := a.put("products", `{"name":"pen","price":100,"stock":1}`)
	buy := `{"product":"` + pen + `"}`
	k := key()
	first := a.ana.do("POST", "/api/actions/buy", buy, k...).want(t, 409)
	a.fund(a.ana, 1000)
	again := a.ana.do("POST", "/api/actions/buy", buy, k...).want(t, 409)
	if again.text("code") != first.text("code") ||
		again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("the refusal was %v and is %v", first, again)
	}
	other := a.put("products", `{"name":"ink","price":100,"stock":1}`)
	if got := a.ana.do("POST", "/api/actions/buy", `{"product":"`+other+`"}`, k...).want(t,
		422); got.text("code") != "idempotency_key_reused" {
		t.Errorf("another input under the key: %v", got)
	}
	// The scope of a key is who asks and what: for others it is another.
	a.fund(a.bo, 1000)
	a.bo.do("POST", "/api/actions/buy", buy, k...).want(t, 200)
	a.ana.do("POST", "/api/notes", `{"title":"x"}`, k...).want(t, 201)
	// What ended before anything ran may be tried again under its key.
	k = key()
	a.ana.do("POST", "/api/actions/buy", `{"product":1}`, k...).want(t, 422)
	bought := a.ana.do("POST", "/api/actions/buy", `{"product":"`+other+`"}`, k...).want(t, 200)
	replay := a.ana.do("POST", "/api/actions/buy", `{"product":"`+other+`"}`, "Idempotency-Key",
		`"`+k[1]+`"`).want(t, 200)
	if string(bought.body) != string(replay.body) || a.wallet(a.ana) != 900 {
		t.Errorf("bought %v, replayed %v, %d left", bought, replay, a.wallet(a.ana))
	}
	// An answer that holds a secret is not kept.
	k = key()
	in := `{"email":"ana@example.com","password":"` + password + `","token":true}`
	a.nobody.do("POST", "/api/auth/sign-in", in, k...).want(t, 200)
	if got := a.nobody.do("POST", "/api/auth/sign-in", in, k...).want(t,
		409); got.text("code") != "reply_not_kept" {
		t.Errorf("a sign-in again is %v", got)
	}
}

// walk reads all pages of a list, as their links say, and calls between after each.
func walk(c *caller, path string, between func()) (ids []string) {
	for path != "" {
		got := c.do("GET", path, "").want(c.t, 200)
		for _, i := range got.items() {
			m, _ := i.(map[string]any)
			id, _ := m["id"].(string)
			ids = append(ids, id)
		}
		path = ""
		if link := got.header.Get("Link"); link != "" {
			path, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
		}
		between()
	}
	return ids
}

// pages walks through notes of equal rank while others come and go, and returns what
// was skipped or repeated.
func pages(a *arena) (f found) {
	var all []string
	for i := range 120 {
		all = append(all, a.ana.do("POST", "/api/notes", fmt.Sprintf(`{"title":"n","count":%d}`,
			i%3), key()...).want(a.t, 201).text("id"))
	}
	for _, sort := range []string{"count", "-count", "title,-count", "-created", "ratio"} {
		seen := map[string]int{}
		for _, id := range walk(a.ana, "/api/notes?limit=7&sort="+url.QueryEscape(sort), func() {
			extra := a.ana.do("POST", "/api/notes", `{"title":"n","count":1}`, key()...).text("id")
			a.ana.do("DELETE", "/api/notes/"+extra, "")
		}) {
			seen[id]++
		}
		for _, id := range all {
			if seen[id] != 1 {
				f.add("sorted by %s, %s came %d times", sort, id, seen[id])
			}
		}
	}
	return f
}

func TestPagesNeitherSkipNorRepeat(t *testing.T) {
	if got := pages(open(t, flaw{}, false)); len(got) > 0 {
		t.Errorf("%s", strings.Join(got[:min(len(got), 10)], "\n"))
	}
	forgets := func(next http.Handler) http.Handler { // the order is not completed by the id
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got := record(next, r)
			if got.header.Get("Link") != "" {
				got.body = []byte(strings.Replace(string(got.body), `{"items":[{`,
					`{"items":[{"id":"lost"},{"was":1,`, 1))
				got.body = []byte(strings.Replace(string(got.body), `"was":1,"id"`, `"was"`, 1))
			}
			got.send(w)
		})
	}
	if got := pages(open(t, flaw{front: forgets}, false)); len(got) == 0 {
		t.Error("a list that loses records is not found")
	}
}

func TestRatesHoldByDefault(t *testing.T) {
	a := open(t, flaw{}, true)
	got := a.ana.do("GET", "/api/products", "").want(t, 200)
	if got.header.Get("Ratelimit-Policy") == "" || got.header.Get("Ratelimit") == "" {
		t.Errorf("the rates are not told: %v", got.header)
	}
	limited := answer{}
	for range 1200 {
		if limited = a.bo.do("GET", "/api/products", ""); limited.status != 200 {
			break
		}
	}
	if limited.status != 429 || limited.header.Get("Retry-After") == "" ||
		!strings.Contains(limited.text("type"), "quota-exceeded") {
		t.Errorf("1,200 requests in a moment end with %v", limited)
	}
	a.ana.do("GET", "/api/products", "").want(t, 200) // others are not in his way
	off := open(t, flaw{}, false)
	if got := off.ana.do("GET", "/api/products", "").want(t,
		200); got.header.Get("Ratelimit") != "" {
		t.Errorf("with limits off: %v", got.header)
	}
}

// shared tries what one installation gave out at another.
func shared(a, b *arena) (f found) {
	for i := range 3 {
		a.ana.do("POST", "/api/notes", fmt.Sprintf(`{"title":"%d"}`, i), key()...).want(a.t, 201)
	}
	cursor := a.ana.do("GET", "/api/notes?limit=1", "").want(a.t, 200).text("next")
	a.ana.do("GET", "/api/notes?limit=1&cursor="+url.QueryEscape(cursor), "").want(a.t, 200)
	b.ana.do("GET", "/api/notes", "").want(b.t, 200)
	if got := b.ana.do("GET", "/api/notes?limit=1&cursor="+url.QueryEscape(cursor),
		""); got.status != 400 {
		f.add("a cursor: %v", got)
	}
	stranger := &caller{t: a.t, base: b.base, token: a.ana.token}
	if got := stranger.do("GET", "/api/notes", ""); got.status != 401 {
		f.add("a session: %v", got)
	}
	return f
}

func TestInstallationsShareNoSecret(t *testing.T) {
	a, b := open(t, flaw{}, false), open(t, flaw{}, false)
	if got := shared(a, b); len(got) > 0 {
		t.Errorf("it got through:\n%s", strings.Join(got, "\n"))
	}
	if got := shared(a, a); len(got) == 0 { // the flaw: both are one
		t.Error("two installations with one secret are not found")
	}
}
