package blackbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func closedCollections(a *arena) (f found) {
	id := a.put("vaults", `{"gold":"closed-canary"}`)
	a.nobody.do("GET", "/api/products", "").want(a.t, 200)
	for _, who := range []*caller{a.nobody, a.ana} {
		for _, p := range []string{"vaults", "vaults/" + id, "vaults/aggregate?select=n:count()",
			"_sessions", "_passwords"} {
			twin := strings.Replace(strings.Replace(p, "vaults", "nothin", 1), "_sessions",
				"nothin", 1)
			for _, m := range []string{"GET", "POST", "PATCH", "DELETE"} {
				body := ""
				if m == "POST" || m == "PATCH" {
					body = `{"gold":"x"}`
				}
				target := "/api/" + p
				got := who.do(m, target, body)
				if got.status != 404 && got.status != 405 && got.status != 400 {
					f.add("%s %s: %v", m, target, got)
				}
				if want := who.do(m, "/api/"+twin, body); got.same() != want.same() &&
					got.status != 405 {
					f.add("%s %s differs from what does not exist: %v, %v", m, target, got, want)
				}
			}
		}
		batch := who.do("POST", "/api/batch",
			`{"requests":[{"method":"DELETE","path":"/api/vaults/`+id+`"}]}`)
		if batch.status != 404 {
			f.add("batch: %v", batch)
		}
	}
	a.asAdmin("GET", "/api/vaults/"+id, "").want(a.t, 200)
	return f
}

// probes are the ways to learn of a field without being shown it.
func probes(collection, field, value string) []string {
	q := url.QueryEscape
	return []string{
		"/api/" + collection + "?filter=" + q(field+" == "+value),
		"/api/" + collection + "?filter=" + q("has("+field+")"),
		"/api/" + collection + "?filter=" + q("string("+field+").startsWith(\"1\")"),
		"/api/" + collection + "?filter=" + q("true || "+field+" == "+value),
		"/api/" + collection + "?" + field + "=" + q(strings.Trim(value, `"`)),
		"/api/" + collection + "?sort=" + field, "/api/" + collection + "?sort=-" + field,
		"/api/" + collection + "?fields=id," + field, "/api/" + collection + "?expand=" + field,
		"/api/" + collection + "/aggregate?select=" + q("n:sum("+field+")"),
		"/api/" + collection + "/aggregate?select=" + q("n:max("+field+")"),
		"/api/" + collection + "/aggregate?select=" + q("n:count()") + "&group=" + field,
		"/api/" + collection + "/aggregate?select=" + q("n:count()") + "&sort=" + field,
		"/api/" + collection + "/aggregate?select=" + q("n:count()") + "&filter=" +
			q(field+" == "+value),
	}
}

func hiddenFields(a *arena) (f found) {
	pen := a.put("products", `{"name":"pen","price":200,"cost":1234567}`)
	got := a.nobody.do("GET", "/api/products/"+pen, "").want(a.t, 200)
	if strings.Contains(string(got.body), "1234567") {
		f.add("get shows it: %v", got)
	}
	for _, p := range probes("products", "cost", "1234567") {
		f.refused(p, a.nobody.do("GET", p, ""))
	}
	for _, p := range probes("products", "price", "200") { // the controls
		if strings.Contains(p, "has(") || strings.Contains(p, "expand") || strings.Contains(p,
			"&sort") {
			continue
		}
		a.nobody.do("GET", p, "").want(a.t, 200)
	}
	r := a.put("reviews", `{"product":"`+pen+`","author":"`+a.bo.id+`","text":"good"}`)
	for _, field := range []string{"product.cost", "author.wallet", "author.pin", "author.email"} {
		for _, p := range []string{
			"/api/reviews?sort=" + field, "/api/reviews?fields=" + field,
			"/api/reviews/aggregate?select=" + url.QueryEscape("n:sum("+field+")"),
			"/api/reviews/aggregate?select=n:count()&group=" + field,
		} {
			if field != "author.wallet" && field != "author.email" || strings.Contains(p,
				"fields") {
				f.refused(p, a.ana.do("GET", p, ""))
			}
		}
	}
	a.ana.do("GET", "/api/reviews/"+r+"?expand=product", "").want(a.t, 200)
	return f
}

func hiddenOwn(a *arena) (f found) {
	note := a.ana.do("POST", "/api/notes", `{"title":"mine"}`, key()...).want(a.t, 201).text("id")
	a.asAdmin("PATCH", "/api/notes/"+note, `{"key":"hidden-canary"}`).want(a.t, 200)
	for _, p := range append(probes("notes", "key", `"hidden-canary"`), "/api/notes",
		"/api/notes/"+note) {
		got := a.ana.do("GET", p, "")
		if strings.Contains(string(got.body), "hidden-canary") {
			f.add("%s shows it: %v", p, got)
		}
		if strings.Contains(p, "?") {
			f.refused(p, got)
		}
	}
	got := a.ana.do("PATCH", "/api/notes/"+note, `{"title":"again"}`).want(a.t, 200)
	if strings.Contains(string(got.body), "hidden-canary") {
		f.add("an update shows it: %v", got)
	}
	return f
}

func unknownParameters(a *arena) (f found) {
	a.put("products", `{"name":"pen","price":200}`)
	a.nobody.do("GET", "/api/products?price=200&limit=5", "").want(a.t, 200)
	for _, p := range []string{"where[price]=1", "where%5Bprice%5D=1", "t1.password=x",
		"price__gt=1", "price[gt]=1", "$where=1",
		"name->>'a'=1", "populate=*", "select=cost", "_limit=1", "page=1", "limit=0", "limit=-1",
		"limit=x", "limit=1e3",
		"total=yes", "LIMIT=1", "products.price=1", "id[]=1", "expand=nothing", "access_token=x"} {
		f.refused(p, a.nobody.do("GET", "/api/products?"+p, ""))
	}
	return f
}

// dropsParameters forgets the parameters that the door does not know, as frameworks do.
func dropsParameters(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		for name := range q {
			if !slices.Contains([]string{"filter", "sort", "limit", "price"}, name) {
				q.Del(name)
			}
		}
		r.URL.RawQuery = q.Encode()
		next.ServeHTTP(w, r)
	})
}

// throughRelations asks for a review by what only its author may know of himself.
func throughRelations(a *arena) (f found) {
	pen := a.put("products", `{"name":"pen","price":200}`)
	a.put("reviews", `{"product":"`+pen+`","author":"`+a.bo.id+`","text":"good"}`)
	a.fund(a.bo, 777)
	ask := func(who *caller, filter string) string {
		got := who.do("GET", "/api/reviews?total=true&filter="+url.QueryEscape(filter), "")
		sum := who.do("GET",
			"/api/reviews/aggregate?select=n:count()&filter="+url.QueryEscape(filter), "")
		return fmt.Sprint(len(got.items()), got.number("total"), got.status, sum.items(),
			sum.text("code"), sum.text("detail"))
	}
	for right, wrong := range map[string]string{
		`author.wallet == 777`:         `author.wallet == 778`,
		`author.email.contains("bo@")`: `author.email.contains("xo@")`,
		`author.wallet > 700`:          `author.wallet > 800`, `author.name == "x"`: `author.name == "y"`,
		`!(author.wallet == 778)`:      `!(author.wallet == 777)`,
		`author.wallet != 778`:         `author.wallet != 777`,
		`author.wallet > 700 || false`: `author.wallet > 800 || false`,
	} {
		if yes, no := ask(a.ana, right), ask(a.ana, wrong); yes != no {
			f.add("%s is told from %s: %s, %s", right, wrong, yes, no)
		}
	}
	if yes, no := ask(a.bo, `author.wallet == 777`), ask(a.bo, `author.wallet == 778`); yes == no {
		a.t.Fatalf("the control finds nothing: %s", yes)
	}
	got := a.ana.do("GET", "/api/reviews?expand=author,product", "").want(a.t, 200)
	if strings.Contains(string(got.body), "bo@example.com") {
		f.add("expand shows the author: %v", got)
	}
	if !strings.Contains(string(got.body), `"name":"pen"`) {
		a.t.Fatalf("expand shows no product: %v", got)
	}
	return f
}

func othersRecords(a *arena) (f found) {
	mine := a.ana.do("POST", "/api/notes", `{"title":"ana-canary","count":41}`, key()...).want(a.t,
		201).text("id")
	none := "01k9vq3k1c0000000000000000"
	pen := a.put("products", `{"name":"pen","price":200,"stock":3}`)
	a.fund(a.ana, 1000)
	order := a.ana.do("POST", "/api/actions/buy", `{"product":"`+pen+`"}`, key()...).want(a.t,
		200).text("order")
	review := a.put("reviews", `{"product":"`+pen+`","author":"`+a.ana.id+`","text":"good"}`)
	for _, who := range []*caller{a.bo, a.nobody} {
		for _, p := range [][2]string{{"/api/notes/", mine}, {"/api/users/", a.ana.id},
			{"/api/orders/", order}} {
			for _, m := range []string{"GET", "HEAD", "PATCH", "DELETE"} {
				body := ""
				if m == "PATCH" {
					body = `{"title":"stolen"}`
					if p[0] == "/api/users/" {
						body = `{"name":"stolen"}`
					}
				}
				for _, headers := range [][]string{nil, {"If-None-Match", "*"}, {"If-Match",
					`"1"`}} {
					got, want := who.do(m, p[0]+p[1], body, headers...), who.do(m, p[0]+none, body,
						headers...)
					if got.same() != want.same() || got.status < 400 {
						f.add("%s %s is told from nothing: %v, %v", m, p[0], got, want)
					}
				}
			}
		}
		for _, q := range []string{"", "?filter=title+==+%22ana-canary%22", "?title=ana-canary",
			"?sort=-count&total=true", "?owner=" + a.ana.id,
			"?expand=owner", "?id=" + mine} {
			got := who.do("GET", "/api/notes"+q, "")
			if len(got.items()) > 0 || got.number("total") > 0 || strings.Contains(string(got.body),
				"ana-canary") {
				f.add("notes%s: %v", q, got)
			}
		}
		for _, q := range []string{"select=n:count()", "select=n:sum(count)",
			"select=n:max(count)&group=title", "select=n:count()&filter=count+==+41"} {
			if got := who.do("GET", "/api/notes/aggregate?"+q,
				""); strings.Contains(string(got.body), "41") ||
				strings.Contains(string(got.body), `"n":1`) || strings.Contains(string(got.body),
				"ana-canary") {
				f.add("aggregate %s: %v", q, got)
			}
		}
		got := who.do("GET", "/api/reviews/"+review+"?expand=author", "").want(a.t, 200)
		if strings.Contains(string(got.body), "ana@") || strings.Contains(string(got.body),
			"wallet") {
			f.add("expand: %v", got)
		}
		for _, part := range []string{`{"method":"DELETE","path":"/api/notes/%s"}`,
			`{"method":"PATCH","path":"/api/notes/%s","body":{"title":"stolen"}}`} {
			wrap := `{"requests":[` + part + `]}`
			got, want := who.do("POST", "/api/batch", fmt.Sprintf(wrap, mine)), who.do("POST",
				"/api/batch", fmt.Sprintf(wrap, none))
			if got.same() != want.same() || got.status < 400 {
				f.add("batch is told from nothing: %v, %v", got, want)
			}
		}
	}
	// A note cannot be handed to somebody, nor taken by the one who writes it.
	f.refused("take over", a.bo.do("PATCH", "/api/notes/"+mine, `{"owner":"`+a.bo.id+`"}`))
	// Another's session is as one that does not exist.
	sessions := a.ana.do("GET", "/api/auth/sessions", "").want(a.t, 200).items()
	first, _ := sessions[0].(map[string]any)
	id, _ := first["id"].(string)
	got, want := a.bo.do("DELETE", "/api/auth/sessions/"+id, ""), a.bo.do("DELETE",
		"/api/auth/sessions/"+none, "")
	if got.status != 404 || want.status != 404 {
		f.add("another's session: %v, %v", got, want)
	}
	if got := a.ana.do("GET", "/api/notes/"+mine, ""); len(f) == 0 &&
		got.text("title") != "ana-canary" {
		a.t.Fatalf("the control is %v", got)
	}
	return f
}

func forgedCursors(a *arena) (f found) {
	for i := range 6 {
		a.ana.do("POST", "/api/notes", fmt.Sprintf(`{"title":"t%d"}`, i), key()...).want(a.t, 201)
		a.bo.do("POST", "/api/notes", fmt.Sprintf(`{"title":"t%d"}`, i), key()...).want(a.t, 201)
	}
	first := a.ana.do("GET", "/api/notes?sort=title&limit=2", "").want(a.t, 200)
	cursor := first.text("next")
	a.ana.do("GET", "/api/notes?sort=title&limit=2&cursor="+url.QueryEscape(cursor), "").want(a.t,
		200)
	forged := []string{"x", "AAAA", "null", "{}", "e30", "e30=", cursor + "A", cursor[1:],
		strings.ToUpper(cursor), strings.Repeat("A", 2000), "-1", "' OR 1=1 --"}
	for i := 0; i < len(cursor); i += 5 {
		b := []byte(cursor)
		if b[i]++; b[i] > 'z' {
			b[i] = 'a'
		}
		forged = append(forged, string(b))
	}
	for _, c := range forged {
		got := a.ana.do("GET", "/api/notes?sort=title&limit=2&cursor="+url.QueryEscape(c), "")
		if got.status != 400 || got.text("code") != "invalid_cursor" {
			f.add("the cursor %q: %v", c, got)
		}
	}
	for who, query := range map[*caller]string{a.bo: "sort=title&limit=2",
		a.ana: "sort=-title&limit=2", a.nobody: "sort=title&limit=2"} {
		if got := who.do("GET", "/api/notes?"+query+"&cursor="+url.QueryEscape(cursor),
			""); got.status != 400 {
			f.add("a cursor of another: %s: %v", query, got)
		}
	}
	if got := a.ana.do("GET",
		"/api/notes?sort=title&filter=count+==+0&cursor="+url.QueryEscape(cursor),
		""); got.status != 400 {
		f.add("a cursor of another filter: %v", got)
	}
	return f
}

// dropsCursors begins again where a cursor is not understood.
func dropsCursors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := record(next, r.Clone(r.Context())); got.status != 400 {
			got.send(w)
			return
		}
		q := r.URL.Query()
		q.Del("cursor")
		r.URL.RawQuery = q.Encode()
		next.ServeHTTP(w, r)
	})
}

func injection(a *arena) (f found) {
	note := a.ana.do("POST", "/api/notes", `{"title":"safe"}`, key()...).want(a.t, 201).text("id")
	payloads := []string{`' OR '1'='1`, `'; DROP TABLE notes; --`, `" OR ""="`,
		`1); DELETE FROM notes; --`, `title' --`, `title"; --`, `title;`,
		`(SELECT 1)`, `title,(SELECT cost FROM products)`, `title COLLATE NOCASE`,
		`json_extract(data,'$.a')`, `data->>'$.a'`, `data.a`, `title/**/`,
		`id UNION SELECT * FROM users`, "title\n", `title%00`, `\`, `%`, `_`, `?1`, `:a`, `@a`,
		`$1`, `"title"`, "`title`", `[title]`, `rowid`, `_rowid_`, `sqlite_version()`,
		`randomblob(1000000000)`, `load_extension('x')`, `title.matches("(a+)+$")`,
		`title.matches("(")`}
	for _, p := range payloads {
		q := url.QueryEscape(p)
		for _, at := range []string{"/api/notes?filter=", "/api/notes?sort=", "/api/notes?fields=",
			"/api/notes?expand=", "/api/notes?cursor=",
			"/api/notes?limit=", "/api/notes?total=", "/api/notes/aggregate?select=",
			"/api/notes/aggregate?select=n:count()&group=",
			"/api/notes/aggregate?select=n:count()&sort=", "/api/notes?filter=title+==+"} {
			got := a.ana.do("GET", at+q, "")
			fine := strings.Contains(at, "filter") && (strings.Contains(p, "matches") ||
				p == "title\n" || p == `"title"`)
			if got.status != 400 && !(fine && got.status == 200) {
				f.add("%s%s: %v", at, p, got)
			}
		}
		for _, at := range []string{"/api/notes?title=", "/api/notes?filter=title+==+"} {
			v := p
			if strings.Contains(at, "filter") {
				v = fmt.Sprintf("%q", p)
			}
			got := a.ana.do("GET", at+url.QueryEscape(v), "")
			if got.status >= 500 || len(got.items()) > 0 {
				f.add("%s%s: %v", at, v, got)
			}
		}
		if got := a.ana.do("GET", "/api/notes?"+q+"=1", ""); got.status != 400 && p != "%" {
			f.add("the field %s: %v", p, got)
		}
		if got := a.ana.do("POST", "/api/notes", fmt.Sprintf(`{%q:1}`, p),
			key()...); got.status != 422 && got.status != 400 {
			f.add("the member %s: %v", p, got)
		}
	}
	if got := a.ana.do("GET", "/api/notes/"+note, ""); got.text("title") != "safe" {
		a.t.Fatalf("the control is %v", got)
	}
	return f
}

// breaksOnQuotes is a door that writes SQL by hand.
func breaksOnQuotes(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Query().Get("title"), "'") {
			http.Error(w, `near "'": syntax error`, http.StatusInternalServerError)
			return
		}
		next.ServeHTTP(w, r)
	})
}
