package blackbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/serve/servetest"
	"github.com/galleybackend/galley/testdata/hostile"
)

// place is somewhere that takes JSON. What is in it may be a whole body or a part.
type place struct {
	name         string
	method, path string
	// before and after stand around the text.
	before, after string
	// part reports that the text is a part, so that something that is no JSON for
	// itself, such as two values, may be JSON in it.
	part bool
}

func jsonPlaces(note string) []place {
	batch := `{"requests":[{"method":"POST","path":"/api/notes","body":`
	return []place{
		{name: "create", method: "POST", path: "/api/notes"},
		{name: "update", method: "PATCH", path: "/api/notes/" + note},
		{name: "action", method: "POST", path: "/api/actions/echo"},
		{name: "batch", method: "POST", path: "/api/batch"},
		{name: "sign-up", method: "POST", path: "/api/auth/sign-up"},
		{name: "sign-in", method: "POST", path: "/api/auth/sign-in"},
		{name: "refresh", method: "POST", path: "/api/auth/refresh"},
		{name: "password", method: "PUT", path: "/api/auth/password"},
		{name: "json field", method: "POST", path: "/api/notes", before: `{"data":`, after: `}`,
			part: true},
		{name: "json input", method: "POST", path: "/api/actions/echo", before: `{"data":`,
			after: `}`, part: true},
		{name: "text field", method: "POST", path: "/api/notes", before: `{"title":`, after: `}`,
			part: true},
		{name: "number field", method: "POST", path: "/api/notes", before: `{"count":`, after: `}`,
			part: true},
		{name: "float field", method: "POST", path: "/api/notes", before: `{"ratio":`, after: `}`,
			part: true},
		{name: "list field", method: "PATCH", path: "/api/notes/" + note, before: `{"tags":`,
			after: `}`, part: true},
		{name: "operator", method: "PATCH", path: "/api/notes/" + note, before: `{"count":{"$add":`,
			after: `}}`, part: true},
		{name: "body in a batch", method: "POST", path: "/api/batch", before: batch, after: `}]}`,
			part: true},
		{name: "version in a batch", method: "POST", path: "/api/batch",
			before: `{"requests":[{"method":"DELETE","path":"/api/notes/` + note + `x","if_match":`,
			after:  `}]}`, part: true},
	}
}

// hostileJSON sends every text to every place and returns what was not as promised.
func hostileJSON(a *arena, texts map[string]string) (f found) {
	note := a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(a.t, 201).text("id")
	places := jsonPlaces(note)
	var mu sync.Mutex
	together(len(places), func(i int) {
		p, f := places[i], &f
		for name, text := range texts {
			body := p.before + text + p.after
			// What is sent first and second must be answered alike. An empty file is
			// sent as an empty body, which is no JSON either.
			first := send(a, p, body)
			again := send(a, p, body)
			at := p.name + " " + name
			mu.Lock()
			switch {
			case first.status >= 500 || again.status >= 500:
				f.add("%s: %v", at, first)
			case strings.HasPrefix(name, "n_") && first.status < 400 && !(p.part && valid(body)):
				f.add("%s is taken: %v", at, first)
			case first.status != again.status && p.name != "operator" && p.name != "sign-in":
				f.add("%s is once %v and once %v", at, first, again)
			}
			if first.status >= 400 &&
				first.header.Get("Content-Type") != "application/problem+json" {
				f.add("%s is no problem: %v", at, first)
			}
			mu.Unlock()
		}
	})
	if got := a.ana.do("POST", "/api/notes", `{"data":{"a":[1,null,"x"]}}`, key()...).want(a.t,
		201); !bytes.Contains(got.body, []byte(`"data":{"a":[1,null,"x"]}`)) {
		a.t.Fatalf("the control is %v", got)
	}
	return f
}

// send sends a body, even an empty one, as JSON.
func send(a *arena, p place, body string) answer {
	r, err := http.NewRequest(p.method, a.base+p.path, strings.NewReader(body))
	if err != nil {
		return answer{status: brokenStatus, body: []byte(err.Error())}
	}
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+a.ana.token)
	r.Header.Set("Idempotency-Key", string(ident.NewRecord()))
	res, err := servetest.Client.Do(r)
	if err != nil {
		return answer{status: brokenStatus, body: []byte(err.Error())}
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{status: brokenStatus, body: []byte(err.Error())}
	}
	return answer{res.StatusCode, res.Header, text}
}

// brokenStatus stands for a connection that broke: as bad as a 5xx.
const brokenStatus = 599

func TestHostileJSONIsRefusedOrTaken(t *testing.T) {
	texts := hostile.JSONTexts(t)
	if got := hostileJSON(open(t, flaw{}, false), texts); len(got) > 0 {
		t.Errorf("%d:\n%s", len(got), strings.Join(got[:min(len(got), 40)], "\n"))
	}
	some := map[string]string{}
	for name, text := range texts {
		if strings.HasPrefix(name, "n_structure") {
			some[name] = text
		}
	}
	if got := hostileJSON(open(t, flaw{front: repairsJSON}, false), some); len(got) == 0 {
		t.Error("a door that repairs bodies is not found")
	}
}

// repairsJSON reads the first value of a body and forgets what follows.
func repairsJSON(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := bodyOf(r)
		var first json.RawMessage
		if json.NewDecoder(strings.NewReader(body)).Decode(&first) == nil {
			r = withBody(r, string(first))
		}
		next.ServeHTTP(w, r)
	})
}

// hostileText sends every string to every place that takes text.
func hostileText(a *arena, texts []string) found {
	var mu sync.Mutex
	var all found
	taken := 0
	together(crew, func(part int) {
		var mine []string
		for i := part; i < len(texts); i += crew {
			mine = append(mine, texts[i])
		}
		f, n := hostileTexts(a, mine)
		mu.Lock()
		defer mu.Unlock()
		all, taken = append(all, f...), taken+n
	})
	if taken < len(texts)*4 {
		all.add("only %d texts were taken", taken)
	}
	return all
}

// crew is how many send hostile texts at once.
const crew = 8

func hostileTexts(a *arena, texts []string) (f found, taken int) {
	note := a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).text("id")
	for i, s := range texts {
		quoted, _ := json.Marshal(s) // a string cannot fail
		q := string(quoted)
		// kept asks that the text comes back byte for byte, unless it was refused.
		kept := func(what, member string, got answer) {
			if got.status >= 400 && got.status < 500 {
				return
			}
			back := got.json()[member]
			if data, ok := back.(map[string]any); ok {
				back = data["k"]
			}
			if list, ok := back.([]any); ok && len(list) == 1 {
				back = list[0]
			}
			if got.status >= 300 || back != any(s) {
				f.add("%s %d: %q came back as %q: %v", what, i, s, back, got)
				return
			}
			taken++
		}
		made := a.ana.do("POST", "/api/notes", `{"title":`+q+`}`, key()...)
		kept("title", "title", made)
		if id := made.text("id"); id != "" {
			kept("title read back", "title", a.ana.do("GET", "/api/notes/"+id, ""))
		}
		kept("body", "body", a.ana.do("PATCH", "/api/notes/"+note, `{"body":`+q+`}`))
		kept("data", "data", a.ana.do("PATCH", "/api/notes/"+note, `{"data":{"k":`+q+`}}`))
		kept("tags", "tags", a.ana.do("PATCH", "/api/notes/"+note, `{"tags":[`+q+`]}`))
		kept("echo", "text", a.ana.do("POST", "/api/actions/echo", `{"text":`+q+`}`))
		if len(s) > 0 {
			if got := a.ana.do("GET", "/api/notes?title="+url.QueryEscape(s),
				""); made.status == 201 && (got.status == 200) != (len(got.items()) > 0) {
				f.add("title %d: %q is not found by itself: %v", i, s, got)
			}
		}
		for _, at := range []string{"/api/notes?filter=", "/api/notes?sort=", "/api/notes?cursor=",
			"/api/notes?fields=", "/api/notes?expand=",
			"/api/notes?limit=", "/api/notes?total=", "/api/notes/aggregate?select=",
			"/api/notes/aggregate?group=", "/problems/", "/"} {
			escape := url.QueryEscape
			if strings.HasSuffix(at, "/") {
				escape = url.PathEscape
			}
			if got := a.ana.do("GET", at+escape(s), ""); got.status >= 500 {
				f.add("%s %d: %v", at, i, got)
			}
		}
		for _, at := range []string{"/api/", "/api/notes/", "/api/actions/",
			"/api/auth/sessions/"} {
			if got := a.ana.do("GET", at+url.PathEscape(s+"~"), ""); got.status < 400 ||
				got.status >= 500 {
				f.add("the path %s %d: %v", at, i, got)
			}
		}
		for _, body := range []string{`{"email":` + q + `,"password":"x"}`,
			`{"email":"nobody@example.com","password":` + q + `}`} {
			if i%10 == 0 { // each of these costs a password's hash
				f.refused(fmt.Sprint("sign-in ", i), a.nobody.do("POST", "/api/auth/sign-in", body))
			}
		}
		if key := strings.Map(visible, s); key == s && s != "" {
			if got := a.ana.do("POST", "/api/notes", `{"title":"k"}`, "Idempotency-Key",
				s); got.status >= 500 {
				f.add("the key %d: %v", i, got)
			}
		}
	}
	return f, taken
}

func visible(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

func TestHostileTextComesBackAsItWas(t *testing.T) {
	texts := hostile.Naughty(t)
	if got := hostileText(open(t, flaw{}, false), texts); len(got) > 0 {
		t.Errorf("%d:\n%s", len(got), strings.Join(got[:min(len(got), 40)], "\n"))
	}
	var some []string
	for _, s := range texts {
		if strings.Contains(s, "<script>") && len(some) < 5 {
			some = append(some, s)
		}
	}
	if got := hostileText(open(t, flaw{front: escapesHTML}, false), some); len(got) == 0 {
		t.Error("a door that escapes texts is not found")
	}
}

func escapesHTML(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := bodyOf(r)
		if r.Method == http.MethodPost || r.Method == http.MethodPatch {
			body = strings.NewReplacer("<", "&lt;", `\u003c`, "&lt;").Replace(body)
			r = withBody(r, body)
		}
		next.ServeHTTP(w, r)
	})
}

// numbers are sent as they are; want is what the field then holds, "" for refused.
func TestNumbersAreExactOrRefused(t *testing.T) {
	type try struct{ field, sent, want string }
	tries := []try{
		{"count", "9007199254740991", "9007199254740991"}, {"count", "-9007199254740991",
			"-9007199254740991"},
		{"count", "9007199254740992", ""}, {"count", "9223372036854775807", ""}, {"count",
			"9223372036854775808", ""},
		{"count", "1e400", ""}, {"count", "1.5", ""}, {"count", "-0", "0"}, {"count", "1e2", ""},
		{"count", `"1"`, ""},
		{"count", "NaN", ""}, {"count", "Infinity", ""}, {"count", "0x10", ""}, {"count", "01", ""},
		{"count", "+1", ""},
		{"amount", "9007199254740992", ""}, {"amount", "1.0", ""}, {"amount", "0.5", ""}, {"amount",
			strings.Repeat("9", 400), ""},
		{"ratio", "1e400", ""}, {"ratio", "-1e400", ""}, {"ratio", "NaN", ""}, {"ratio", "1e308",
			"1e+308"}, {"ratio", "5e-324", "5e-324"},
		{"ratio", "0.1", "0.1"}, {"ratio", `"NaN"`, ""}, {"data", "1e400", ""}, {"data", "[1e999]",
			""}, {"data", "12345678901234567890", "12345678901234567890"},
		{"title", "1", ""}, {"title", `"a\u0000b"`, ""}, {"title", "\"a\x00b\"", ""}, {"title",
			"\"\xff\"", ""}, {"title", `"\ud800"`, ""},
		{"title", `"` + strings.Repeat("x", 20001) + `"`, ""}, {"tags", `"x"`, ""}, {"tags",
			`{"0":"x"}`, ""}, {"tags", strings.Repeat("[", 200), ""},
		{"data", strings.Repeat("[", 31) + strings.Repeat("]", 31), strings.Repeat("[", 31) +
			strings.Repeat("]", 31)},
		{"data", strings.Repeat("[", 100) + strings.Repeat("]", 100), ""}, {"data", `{"a":1,"a":2}`,
			""}, {"data", `{"a":{"b":1,"b":2}}`, ""},
		{"data", `"` + strings.Repeat("x", 70000) + `"`, ""},
	}
	attack := func(a *arena) (f found) {
		for _, x := range tries {
			got := a.ana.do("POST", "/api/notes", `{"`+x.field+`":`+x.sent+`}`, key()...)
			switch {
			case x.want == "" && (got.status < 400 || got.status >= 500):
				f.add("%s %.40q is taken: %v", x.field, x.sent, got)
			case x.want != "" && !bytes.Contains(got.body, []byte(`"`+x.field+`":`+x.want)):
				f.add("%s %.40q: %v, want %s", x.field, x.sent, got, x.want)
			}
		}
		note := a.ana.do("POST", "/api/notes", `{"count":9007199254740990,"amount":1}`,
			key()...).want(a.t, 201).text("id")
		for _, x := range []try{{"count", `{"$add":1}`, "9007199254740991"}, {"count", `{"$add":1}`,
			""}, {"count", `{"$add":9007199254740991}`, ""},
			{"count", `{"$add":1,"$max":2}`, ""}, {"count", `{"$mul":2}`, ""}, {"count",
				`{"$add":"1"}`, ""}, {"count", `{"$add":1.5}`, ""},
			{"amount", `{"$add":-2}`, "-1"}, {"amount", `{"$add":-9007199254740991}`, ""}, {"title",
				`{"$add":1}`, ""}, {"tags", `{"$append":1}`, ""}} {
			got := a.ana.do("PATCH", "/api/notes/"+note, `{"`+x.field+`":`+x.sent+`}`, key()...)
			if x.want == "" && (got.status < 400 || got.status >= 500) || x.want != "" &&
				!bytes.Contains(got.body, []byte(`"`+x.field+`":`+x.want)) {
				f.add("%s %s: %v, want %s", x.field, x.sent, got, x.want)
			}
		}
		// Money that would run over is refused, and nobody is the poorer.
		rich := a.put("products", `{"name":"moon","price":9007199254740991,"stock":5}`)
		a.fund(a.ana, 100)
		if got := a.ana.do("POST", "/api/actions/buy", `{"product":"`+rich+`"}`,
			key()...); got.status != 409 || got.text("code") != "insufficient_funds" {
			f.add("the moon: %v", got)
		}
		if a.wallet(a.ana) != 100 {
			f.add("the wallet holds %d", a.wallet(a.ana))
		}
		return f
	}
	if got := attack(open(t, flaw{}, false)); len(got) > 0 {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
	if got := attack(open(t, flaw{front: throughFloats}, false)); len(got) == 0 {
		t.Error("a door that reads numbers as floats is not found")
	}
}

// throughFloats decodes and encodes bodies as JavaScript would.
func throughFloats(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := bodyOf(r)
		var v map[string]any
		if json.Unmarshal([]byte(body), &v) == nil {
			text, _ := json.Marshal(v)
			r = withBody(r, string(text))
		}
		next.ServeHTTP(w, r)
	})
}
