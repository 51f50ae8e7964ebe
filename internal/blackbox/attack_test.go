package blackbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// attack is one class of mistake that others have made.
type attack struct {
	name string
	// try attacks and returns what got through. It ends the test if its control, a
	// request that must succeed, does not.
	try func(a *arena) found
	// flaw is what must turn the attack red.
	flaw flaw
	// limits runs the server with its rates on.
	limits bool
}

func TestAttacksGetNothing(t *testing.T) {
	for _, x := range attacks() {
		t.Run(x.name, func(t *testing.T) {
			if got := x.try(open(t, flaw{}, x.limits)); len(got) > 0 {
				t.Errorf("it got through:\n%s", strings.Join(got, "\n"))
			}
			if got := x.try(open(t, x.flaw, x.limits)); len(got) == 0 {
				t.Error("the planted flaw is not found")
			}
		})
	}
}

func attacks() []attack {
	return []attack{
		{name: "closed collections", try: closedCollections,
			flaw: flaw{file: []string{"gold: {type: string, max: 80}",
				"gold: {type: string, max: 80}\n    allow:\n      read: \"true\""}}},
		{name: "hidden fields", try: hiddenFields,
			flaw: flaw{file: []string{"cost: {type: money?, read: false}", "cost: money?"}}},
		{name: "hidden fields of one's own", try: hiddenOwn,
			flaw: flaw{file: []string{"key: {type: string?, read: false}", "key: string?"}}},
		{name: "unknown parameters", try: unknownParameters, flaw: flaw{front: dropsParameters}},
		{name: "through relations", try: throughRelations,
			flaw: flaw{file: []string{"read: record == auth", "read: \"true\""}}},
		{name: "odd sign-in parameters", try: oddSignIn, flaw: flaw{front: takesEmptyObjects}},
		{name: "odd ids", try: oddIDs, flaw: flaw{front: dropsOddIDs}},
		{name: "mass assignment on create", try: massAssignment,
			flaw: flaw{file: []string{"fields: [title, body, data, count, amount, ratio, tags]",
				"fields: [title, body, data, count, amount, ratio, tags, key]"}}},
		{name: "mass assignment on update", try: massAssignment,
			flaw: flaw{file: []string{"update: {if: record == auth, fields: [name]}",
				"update: {if: record == auth, fields: [name, wallet]}"}}},
		{name: "mass assignment on sign-up", try: massAssignment,
			flaw: flaw{file: []string{"sign_up: {fields: [name]}", "sign_up: {fields: [name, pin]}"}}},
		{name: "other people's records", try: othersRecords,
			flaw: flaw{file: []string{"read: record.owner == auth", "read: auth != null"}}},
		{name: "forged cursors", try: forgedCursors, flaw: flaw{front: dropsCursors}},
		{name: "injection", try: injection, flaw: flaw{front: breaksOnQuotes}},
		{name: "sessions after a new password", try: oldSessions, flaw: flaw{front: keepsSessions()}},
		{name: "forged addresses", try: forgedAddresses, limits: true, flaw: flaw{front: believesForwarded}},
		{name: "second spellings of a path", try: secondSpellings, flaw: flaw{front: cleansPaths}},
		{name: "method tricks", try: methodTricks, flaw: flaw{front: overridesMethods}},
		{name: "pages of other origins", try: otherOrigins, flaw: flaw{front: trustsOrigins}},
		{name: "who has an account", try: enumeration, flaw: flaw{front: tellsUnknown}},
		{name: "guessing", try: guessing, limits: true, flaw: flaw{front: newAddressEachTime()}},
	}
}

// found gathers what got through.
type found []string

func (f *found) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// refused notes an answer that is no refusal with a 4xx.
func (f *found) refused(what string, a answer) {
	if a.status < 400 || a.status >= 500 {
		f.add("%s: %v", what, a)
	}
}

func closedCollections(a *arena) (f found) {
	id := a.put("vaults", `{"gold":"closed-canary"}`)
	a.nobody.do("GET", "/api/products", "").want(a.t, 200)
	for _, who := range []*caller{a.nobody, a.ana} {
		for _, p := range []string{"vaults", "vaults/" + id, "vaults/aggregate?select=n:count()", "_sessions", "_passwords"} {
			twin := strings.Replace(strings.Replace(p, "vaults", "nothin", 1), "_sessions", "nothin", 1)
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
				if want := who.do(m, "/api/"+twin, body); got.same() != want.same() && got.status != 405 {
					f.add("%s %s differs from what does not exist: %v, %v", m, target, got, want)
				}
			}
		}
		batch := who.do("POST", "/api/batch", `{"requests":[{"method":"DELETE","path":"/api/vaults/`+id+`"}]}`)
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
		"/api/" + collection + "/aggregate?select=" + q("n:count()") + "&filter=" + q(field+" == "+value),
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
		if strings.Contains(p, "has(") || strings.Contains(p, "expand") || strings.Contains(p, "&sort") {
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
			if field != "author.wallet" && field != "author.email" || strings.Contains(p, "fields") {
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
	for _, p := range append(probes("notes", "key", `"hidden-canary"`), "/api/notes", "/api/notes/"+note) {
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
	for _, p := range []string{"where[price]=1", "where%5Bprice%5D=1", "t1.password=x", "price__gt=1", "price[gt]=1", "$where=1",
		"name->>'a'=1", "populate=*", "select=cost", "_limit=1", "page=1", "limit=0", "limit=-1", "limit=x", "limit=1e3",
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
		sum := who.do("GET", "/api/reviews/aggregate?select=n:count()&filter="+url.QueryEscape(filter), "")
		return fmt.Sprint(len(got.items()), got.number("total"), got.status, sum.items(), sum.text("code"), sum.text("detail"))
	}
	for right, wrong := range map[string]string{
		`author.wallet == 777`: `author.wallet == 778`, `author.email.contains("bo@")`: `author.email.contains("xo@")`,
		`author.wallet > 700`: `author.wallet > 800`, `author.name == "x"`: `author.name == "y"`,
		`!(author.wallet == 778)`: `!(author.wallet == 777)`, `author.wallet != 778`: `author.wallet != 777`,
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

func oddSignIn(a *arena) (f found) {
	odd := []string{`{}`, `[]`, `null`, `true`, `0`, `1e400`, `""`, `["` + password + `"]`, `{"$ne":null}`, `{"$gt":""}`,
		`"` + strings.Repeat("a", 900_000) + `"`, `"\u0000"`, `"` + password + `\u0000"`, `" ` + password + `"`}
	for _, o := range odd {
		f.refused("password "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/sign-in", `{"email":"ana@example.com","password":`+o+`}`))
		f.refused("email "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/sign-in", `{"email":`+o+`,"password":"`+password+`"}`))
		f.refused("sign-up "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/sign-up", `{"email":`+o+`,"password":"`+password+`","name":"x"}`))
		if o != `"" ` {
			f.refused("new password "+o[:min(len(o), 30)], a.ana.do("PUT", "/api/auth/password", `{"old":`+o+`,"new":"another-password"}`))
		}
		f.refused("refresh "+o[:min(len(o), 30)], a.nobody.do("POST", "/api/auth/refresh", `{"refresh_token":`+o+`}`))
	}
	for _, o := range []string{`{}`, `[]`, `"true"`, `1`} {
		f.refused("token "+o, a.nobody.do("POST", "/api/auth/sign-in", `{"email":"ana@example.com","password":"`+password+`","token":`+o+`}`))
	}
	if _, got := a.signIn(a.ana, password); got.status != 200 {
		a.t.Fatalf("the control is %v", got)
	}
	return f
}

// takesEmptyObjects lets {} pass for the password.
func takesEmptyObjects(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/api/auth/sign-in" {
			r2, body := bodyOf(r)
			r = withBody(r2, strings.Replace(body, `"password":{}`, `"password":"`+password+`"`, 1))
		}
		next.ServeHTTP(w, r)
	})
}

func oddIDs(a *arena) (f found) {
	good := "01k9vq3k1c0000000000000000"
	for _, id := range []string{`"role:admin"`, `"admin"`, `""`, `"` + strings.ToUpper(good) + `"`, `"` + good + `x"`, `"z` + good[1:] + `"`,
		`"` + good[:25] + `l"`, `{}`, `[]`, `1`, `true`, `"../users"`, `"` + good[:25] + ` "`, `"` + good[:24] + `\u0000a"`} {
		f.refused("id "+id, a.ana.do("POST", "/api/notes", `{"title":"x","id":`+id+`}`, key()...))
		name := strings.Trim(id, `"`)
		f.refused("get "+id, a.ana.do("GET", "/api/notes/"+url.PathEscape(name+"x"), ""))
	}
	a.ana.do("POST", "/api/notes", `{"title":"x","id":"`+good+`"}`).want(a.t, 201)
	if got := a.bo.do("POST", "/api/notes", `{"title":"y","id":"`+good+`"}`); got.status != 409 {
		f.add("an id that exists: %v", got)
	}
	if got := a.ana.do("GET", "/api/notes/"+good, ""); got.text("title") != "x" {
		f.add("it was written over: %v", got)
	}
	a.ana.do("DELETE", "/api/notes/"+good, "").want(a.t, 204)
	// A user's id gives no right, whatever it is.
	a.bo.do("POST", "/api/notes", `{"title":"z","id":"`+a.ana.id+`"}`).want(a.t, 201)
	if got := a.bo.do("GET", "/api/users/"+a.ana.id, ""); got.status != 404 {
		f.add("a note with her id opens her record: %v", got)
	}
	return f
}

// dropsOddIDs makes an id of its own where the one that came is odd.
func dropsOddIDs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := bodyOf(r)
		r = withBody(r, strings.Replace(body, `,"id":"role:admin"`, "", 1))
		next.ServeHTTP(w, r)
	})
}

func massAssignment(a *arena) (f found) {
	refused := func(what, field string, got answer) {
		if got.status != 422 || !strings.Contains(string(got.body), `"#/`+strings.TrimSpace(field)) {
			f.add("%s: %v", what, got)
		}
	}
	values := map[string]string{"wallet": "1000000", "pin": `"1"`, "verified": "true", "version": "9",
		"created": `"2020-01-01T00:00:00.000Z"`, "updated": `"2020-01-01T00:00:00.000Z"`, "role": `"admin"`, "is_admin": "true",
		"Wallet": "1", "wallet ": "1", "__proto__": "{}", "constructor": "1", "deleted": "true", "_passwords": "{}"}
	for field, v := range values {
		refused("update users."+field, field, a.ana.do("PATCH", "/api/users/"+a.ana.id, fmt.Sprintf(`{"name":"x",%q:%s}`, field, v)))
		refused("sign-up "+field, field, a.nobody.do("POST", "/api/auth/sign-up", fmt.Sprintf(
			`{"email":"new%d@example.com","password":%q,"name":"x",%q:%s}`, time.Now().UnixNano(), password, field, v)))
	}
	refused("update users.email", "email", a.ana.do("PATCH", "/api/users/"+a.ana.id, `{"email":"x@example.com"}`))
	refused("update users.id", "id", a.ana.do("PATCH", "/api/users/"+a.ana.id, `{"id":"`+a.bo.id+`"}`))
	note := a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(a.t, 201).text("id")
	for field, v := range map[string]string{"owner": `"` + a.bo.id + `"`, "key": `"k"`, "version": "9", "created": `"2020-01-01T00:00:00.000Z"`, "nope": "1"} {
		body := fmt.Sprintf(`{"title":"x",%q:%s}`, field, v)
		refused("create notes."+field, field, a.ana.do("POST", "/api/notes", body, key()...))
		refused("update notes."+field, field, a.ana.do("PATCH", "/api/notes/"+note, body))
		refused("batch notes."+field, field, a.ana.do("POST", "/api/batch",
			`{"requests":[{"method":"POST","path":"/api/notes","body":`+body+`}]}`, key()...))
	}
	f.refused("operator on wallet", a.ana.do("PATCH", "/api/users/"+a.ana.id, `{"wallet":{"$add":1000}}`, key()...))
	f.refused("input of an action", a.ana.do("POST", "/api/actions/buy", `{"product":"`+a.ana.id+`","price":0}`, key()...))
	if a.wallet(a.ana) != 0 {
		f.add("the wallet holds %d", a.wallet(a.ana))
	}
	a.ana.do("PATCH", "/api/users/"+a.ana.id, `{"name":"Ana"}`).want(a.t, 200)
	return f
}

func othersRecords(a *arena) (f found) {
	mine := a.ana.do("POST", "/api/notes", `{"title":"ana-canary","count":41}`, key()...).want(a.t, 201).text("id")
	none := "01k9vq3k1c0000000000000000"
	pen := a.put("products", `{"name":"pen","price":200,"stock":3}`)
	a.fund(a.ana, 1000)
	order := a.ana.do("POST", "/api/actions/buy", `{"product":"`+pen+`"}`, key()...).want(a.t, 200).text("order")
	review := a.put("reviews", `{"product":"`+pen+`","author":"`+a.ana.id+`","text":"good"}`)
	for _, who := range []*caller{a.bo, a.nobody} {
		for _, p := range [][2]string{{"/api/notes/", mine}, {"/api/users/", a.ana.id}, {"/api/orders/", order}} {
			for _, m := range []string{"GET", "HEAD", "PATCH", "DELETE"} {
				body := ""
				if m == "PATCH" {
					body = `{"title":"stolen"}`
					if p[0] == "/api/users/" {
						body = `{"name":"stolen"}`
					}
				}
				for _, headers := range [][]string{nil, {"If-None-Match", "*"}, {"If-Match", `"1"`}} {
					got, want := who.do(m, p[0]+p[1], body, headers...), who.do(m, p[0]+none, body, headers...)
					if got.same() != want.same() || got.status < 400 {
						f.add("%s %s is told from nothing: %v, %v", m, p[0], got, want)
					}
				}
			}
		}
		for _, q := range []string{"", "?filter=title+==+%22ana-canary%22", "?title=ana-canary", "?sort=-count&total=true", "?owner=" + a.ana.id,
			"?expand=owner", "?id=" + mine} {
			got := who.do("GET", "/api/notes"+q, "")
			if len(got.items()) > 0 || got.number("total") > 0 || strings.Contains(string(got.body), "ana-canary") {
				f.add("notes%s: %v", q, got)
			}
		}
		for _, q := range []string{"select=n:count()", "select=n:sum(count)", "select=n:max(count)&group=title", "select=n:count()&filter=count+==+41"} {
			if got := who.do("GET", "/api/notes/aggregate?"+q, ""); strings.Contains(string(got.body), "41") ||
				strings.Contains(string(got.body), `"n":1`) || strings.Contains(string(got.body), "ana-canary") {
				f.add("aggregate %s: %v", q, got)
			}
		}
		got := who.do("GET", "/api/reviews/"+review+"?expand=author", "").want(a.t, 200)
		if strings.Contains(string(got.body), "ana@") || strings.Contains(string(got.body), "wallet") {
			f.add("expand: %v", got)
		}
		for _, part := range []string{`{"method":"DELETE","path":"/api/notes/%s"}`, `{"method":"PATCH","path":"/api/notes/%s","body":{"title":"stolen"}}`} {
			wrap := `{"requests":[` + part + `]}`
			got, want := who.do("POST", "/api/batch", fmt.Sprintf(wrap, mine)), who.do("POST", "/api/batch", fmt.Sprintf(wrap, none))
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
	got, want := a.bo.do("DELETE", "/api/auth/sessions/"+id, ""), a.bo.do("DELETE", "/api/auth/sessions/"+none, "")
	if got.status != 404 || want.status != 404 {
		f.add("another's session: %v, %v", got, want)
	}
	if got := a.ana.do("GET", "/api/notes/"+mine, ""); len(f) == 0 && got.text("title") != "ana-canary" {
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
	a.ana.do("GET", "/api/notes?sort=title&limit=2&cursor="+url.QueryEscape(cursor), "").want(a.t, 200)
	forged := []string{"x", "AAAA", "null", "{}", "e30", "e30=", cursor + "A", cursor[1:], strings.ToUpper(cursor), strings.Repeat("A", 2000), "-1", "' OR 1=1 --"}
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
	for who, query := range map[*caller]string{a.bo: "sort=title&limit=2", a.ana: "sort=-title&limit=2", a.nobody: "sort=title&limit=2"} {
		if got := who.do("GET", "/api/notes?"+query+"&cursor="+url.QueryEscape(cursor), ""); got.status != 400 {
			f.add("a cursor of another: %s: %v", query, got)
		}
	}
	if got := a.ana.do("GET", "/api/notes?sort=title&filter=count+==+0&cursor="+url.QueryEscape(cursor), ""); got.status != 400 {
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
	payloads := []string{`' OR '1'='1`, `'; DROP TABLE notes; --`, `" OR ""="`, `1); DELETE FROM notes; --`, `title' --`, `title"; --`, `title;`,
		`(SELECT 1)`, `title,(SELECT cost FROM products)`, `title COLLATE NOCASE`, `json_extract(data,'$.a')`, `data->>'$.a'`, `data.a`, `title/**/`,
		`id UNION SELECT * FROM users`, "title\n", `title%00`, `\`, `%`, `_`, `?1`, `:a`, `@a`, `$1`, `"title"`, "`title`", `[title]`, `rowid`, `_rowid_`, `sqlite_version()`,
		`randomblob(1000000000)`, `load_extension('x')`, `title.matches("(a+)+$")`, `title.matches("(")`}
	for _, p := range payloads {
		q := url.QueryEscape(p)
		for _, at := range []string{"/api/notes?filter=", "/api/notes?sort=", "/api/notes?fields=", "/api/notes?expand=", "/api/notes?cursor=",
			"/api/notes?limit=", "/api/notes?total=", "/api/notes/aggregate?select=", "/api/notes/aggregate?select=n:count()&group=",
			"/api/notes/aggregate?select=n:count()&sort=", "/api/notes?filter=title+==+"} {
			got := a.ana.do("GET", at+q, "")
			fine := strings.Contains(at, "filter") && (strings.Contains(p, "matches") || p == "title\n" || p == `"title"`)
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
		if got := a.ana.do("POST", "/api/notes", fmt.Sprintf(`{%q:1}`, p), key()...); got.status != 422 && got.status != 400 {
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

func oldSessions(a *arena) (f found) {
	other, _ := a.signIn(a.ana, password)
	other.do("GET", "/api/auth/session", "").want(a.t, 200)
	if got := a.ana.do("PUT", "/api/auth/password", `{"old":"wrong-password","new":"fresh-password-1"}`); got.status < 400 {
		f.add("a wrong old password: %v", got)
	}
	a.ana.do("PUT", "/api/auth/password", `{"old":"`+password+`","new":"fresh-password-1"}`).want(a.t, 204)
	if got := other.do("GET", "/api/auth/session", ""); got.status != 401 {
		f.add("another session after the change: %v", got)
	}
	if got := other.do("GET", "/api/notes", ""); got.status != 401 {
		f.add("its reads: %v", got)
	}
	a.ana.do("GET", "/api/auth/session", "").want(a.t, 200)
	if _, got := a.signIn(a.ana, password); got.status != 401 {
		f.add("the old password: %v", got)
	}
	again, got := a.signIn(a.ana, "fresh-password-1")
	got.want(a.t, 200)
	again.do("POST", "/api/auth/sign-out", "").want(a.t, 204)
	if got := again.do("GET", "/api/auth/session", ""); got.status != 401 {
		f.add("a session that signed out: %v", got)
	}
	return f
}

// keepsSessions takes the session of who changed his password for all that he had.
func keepsSessions() func(http.Handler) http.Handler {
	var mu sync.Mutex
	var current string
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			if r.Method == http.MethodPut {
				current = r.Header.Get("Authorization")
			} else if current != "" && r.Header.Get("Authorization") != "" {
				r.Header.Set("Authorization", current)
			}
			next.ServeHTTP(w, r)
		})
	}
}

// wrongTries is how many wrong passwords one address may send, as the house says.
const wrongTries = 20

func forgedAddresses(a *arena) (f found) {
	headers := func(i int) []string {
		ip := fmt.Sprintf("10.0.0.%d", i)
		return []string{"X-Forwarded-For", ip, "X-Real-Ip", ip, "Forwarded", "for=" + ip, "True-Client-Ip", ip, "Cf-Connecting-Ip", ip, "X-Client-Ip", ip}
	}
	limited := false
	for i := range wrongTries + 5 {
		got := a.nobody.do("POST", "/api/auth/sign-in", fmt.Sprintf(`{"email":"u%d@example.com","password":"wrong-password"}`, i), headers(i)...)
		if limited = got.status == 429; limited {
			break
		}
	}
	if !limited {
		f.add("%d wrong tries with forged addresses were not stopped", wrongTries+5)
	}
	a.nobody.do("GET", "/api/products", "").want(a.t, 200)
	return f
}

func believesForwarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ip := r.Header.Get("X-Forwarded-For"); ip != "" {
			r.RemoteAddr = ip + ":1"
		}
		next.ServeHTTP(w, r)
	})
}

func secondSpellings(a *arena) (f found) {
	pen := a.put("products", `{"name":"pen","price":200}`)
	good := "/api/products/" + pen
	a.nobody.do("GET", good, "").want(a.t, 200)
	for _, p := range []string{"/api//products/" + pen, "//api/products/" + pen, "/api/./products/" + pen, "/api/x/../products/" + pen,
		"/api/%2e/products/" + pen, "/x/%2e%2e/api/products/" + pen, "/api/products/" + pen + "/", "/api/products%2f" + pen, "/api/products%2F" + pen,
		"/api/products%252f" + pen, "/api/%70roducts/" + pen, "/%61pi/products/" + pen, "/API/products/" + pen, "/api/Products/" + pen,
		"/api/products/" + strings.ToUpper(pen), "/api/products;x=1/" + pen, "/api/products/" + pen + ";x=1", "/api\\products\\" + pen, "/api/products/" + pen + "%00",
		"/api/products/" + pen + "%20", "/api/products/" + pen + ".json", "/api/products/" + pen + "%09", "/api/products/" + pen + "%23", "/api/products/" + pen + "%3fa"} {
		got, err := rawGet(a.base, p)
		if err != nil {
			f.add("%s: %v", p, err)
		} else if got != 404 && got != 400 {
			f.add("%s is %d", p, got)
		}
	}
	return f
}

// cleansPaths looks for the address that was perhaps meant, after the check.
func cleansPaths(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path, r.URL.RawPath = path.Clean(r.URL.Path), ""
		next.ServeHTTP(w, r)
	})
}

func methodTricks(a *arena) (f found) {
	note := a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(a.t, 201).text("id")
	for _, h := range []string{"X-Http-Method-Override", "X-Method-Override", "X-Http-Method", "X-Original-Method", "_method"} {
		if got := a.ana.do("GET", "/api/notes/"+note, "", h, "DELETE"); got.status != 200 {
			f.add("GET with %s: %v", h, got)
		}
		if got := a.ana.do("POST", "/api/notes/"+note, `{}`, h, "DELETE"); got.status != 405 {
			f.add("POST with %s: %v", h, got)
		}
	}
	f.refused("_method", a.ana.do("GET", "/api/notes/"+note+"?_method=DELETE", ""))
	for _, m := range []string{"TRACE", "CONNECT", "PROPFIND", "get", "DELETE ", "PUT", "LINK"} {
		r, err := http.NewRequest("GET", a.base+"/api/notes/"+note, nil)
		if err != nil {
			a.t.Fatal(err)
		}
		r.Method = m
		r.Header.Set("Authorization", "Bearer "+a.ana.token)
		if res, err := client.Do(r); err == nil {
			_ = res.Body.Close()
			if res.StatusCode < 400 {
				f.add("%s is %d", m, res.StatusCode)
			}
		}
	}
	if got := a.ana.do("GET", "/api/notes/"+note, ""); got.status != 200 {
		f.add("the note is gone: %v", got)
	}
	return f
}

func overridesMethods(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m := r.Header.Get("X-Http-Method-Override"); m != "" && r.Method == http.MethodPost {
			r.Method, r.Body, r.ContentLength = m, http.NoBody, 0
			r.Header.Del("Content-Type")
		}
		next.ServeHTTP(w, r)
	})
}

func otherOrigins(a *arena) (f found) {
	got := a.nobody.do("POST", "/api/auth/sign-in", `{"email":"ana@example.com","password":"`+password+`"}`).want(a.t, 200)
	cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
	browser := &caller{t: a.t, base: a.base}
	same := []string{"Cookie", cookie, "Origin", a.base, "Sec-Fetch-Site", "same-origin"}
	note := browser.do("POST", "/api/notes", `{"title":"x"}`, append(same, key()...)...).want(a.t, 201).text("id")
	for _, h := range [][]string{{"Origin", "https://evil.example"}, {"Origin", "null"}, {"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, {"Origin", a.base + ".evil.example"}} {
		h = append(h, "Cookie", cookie)
		f.refused(fmt.Sprint("delete ", h[:2]), browser.do("DELETE", "/api/notes/"+note, "", h...))
		f.refused(fmt.Sprint("patch ", h[:2]), browser.do("PATCH", "/api/notes/"+note, `{"title":"y"}`, h...))
		f.refused(fmt.Sprint("sign-out ", h[:2]), browser.do("POST", "/api/auth/sign-out", "", h...))
		f.refused(fmt.Sprint("sign-in ", h[:2]), browser.do("POST", "/api/auth/sign-in", `{"email":"bo@example.com","password":"`+password+`"}`, h...))
		read := browser.do("GET", "/api/notes", "", h...)
		if read.header.Get("Access-Control-Allow-Origin") != "" || read.header.Get("Access-Control-Allow-Credentials") != "" {
			f.add("another origin may read: %v", read.header)
		}
		pre := browser.do("OPTIONS", "/api/notes", "", append(h, "Access-Control-Request-Method", "POST")...)
		for name := range pre.header {
			if strings.HasPrefix(name, "Access-Control-") {
				f.add("a preflight is answered with %s", name)
			}
		}
	}
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"} { // what a form can send
		f.refused(kind, browser.do("POST", "/api/notes", `{"title":"x"}`, append(slices.Clone(same), "Content-Type", kind, "Idempotency-Key", "k")...))
	}
	return f
}

func trustsOrigins(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Origin")
		r.Header.Del("Sec-Fetch-Site")
		next.ServeHTTP(w, r)
	})
}

// enumeration compares the answers for addresses with and without an account. The
// times must be alike: both take a password's hash, which is a hundred times what
// everything else takes.
func enumeration(a *arena) (f found) {
	_, got := a.signIn(a.ana, password)
	got.want(a.t, 200)
	ask := func(email string) (answer, time.Duration) {
		start := time.Now()
		got := a.nobody.do("POST", "/api/auth/sign-in", `{"email":"`+email+`","password":"wrong-password"}`)
		return got, time.Since(start)
	}
	var known, unknown []time.Duration
	for i := range 12 {
		yes, y := ask("ana@example.com")
		no, n := ask(fmt.Sprintf("nobody%d@example.com", i))
		if yes.same() != no.same() || yes.status != 401 {
			f.add("known: %v, unknown: %v", yes, no)
		}
		known, unknown = append(known, y), append(unknown, n)
	}
	slices.Sort(known)
	slices.Sort(unknown)
	if k, u := known[len(known)/2], unknown[len(unknown)/2]; u < k/3 || k < u/3 {
		f.add("half of the known take %v, of the unknown %v", k, u)
	}
	return f
}

// tellsUnknown answers at once where there is no account.
func tellsUnknown(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, body := bodyOf(r)
		if strings.Contains(body, "nobody") {
			r = withBody(r, `{"email":"","password":""}`)
		}
		next.ServeHTTP(w, r)
	})
}

// guessing tries many passwords of one account; its owner must not be locked out.
func guessing(a *arena) (f found) {
	a.ana.do("GET", "/api/auth/session", "").want(a.t, 200)
	right := 0
	for i := range 40 {
		got := a.nobody.do("POST", "/api/auth/sign-in", fmt.Sprintf(`{"email":"bo@example.com","password":"guess-number-%d"}`, i))
		if got.status == 401 {
			right++
		}
	}
	if right > wrongTries {
		f.add("%d guesses were looked at", right)
	}
	got := a.nobody.do("POST", "/api/auth/sign-in", `{"email":"carla@example.com","password":"guess-number-1"}`)
	if got.status == 429 && got.header.Get("Retry-After") == "" {
		f.add("it is not said how long to wait: %v", got)
	}
	a.bo.do("GET", "/api/auth/session", "").want(a.t, 200)
	return f
}

// newAddressEachTime counts nobody twice.
func newAddressEachTime() func(http.Handler) http.Handler {
	var mu sync.Mutex
	n := 0
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			n++
			r.RemoteAddr = fmt.Sprintf("10.0.%d.%d:1", n/250, n%250)
			mu.Unlock()
			r, body := bodyOf(r)
			if strings.Contains(body, "guess") {
				r = withBody(r, strings.Replace(body, `"bo@`, fmt.Sprintf(`"bo%d@`, n), 1))
			}
			next.ServeHTTP(w, r)
		})
	}
}
