package blackbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/serve/servetest"
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
			flaw: flaw{file: []string{"sign_up: {fields: [name]}",
				"sign_up: {fields: [name, pin]}"}}},
		{name: "other people's records", try: othersRecords,
			flaw: flaw{file: []string{"read: record.owner == auth", "read: auth != null"}}},
		{name: "forged cursors", try: forgedCursors, flaw: flaw{front: dropsCursors}},
		{name: "injection", try: injection, flaw: flaw{front: breaksOnQuotes}},
		{name: "sessions after a new password", try: oldSessions,
			flaw: flaw{front: keepsSessions()}},
		{name: "forged addresses", try: forgedAddresses, limits: true,
			flaw: flaw{front: believesForwarded}},
		{name: "second spellings of a path", try: secondSpellings, flaw: flaw{front: cleansPaths}},
		{name: "method tricks", try: methodTricks, flaw: flaw{front: overridesMethods}},
		{name: "pages of other origins", try: otherOrigins, flaw: flaw{front: trustsOrigins}},
		{name: "who has an account", try: enumeration, flaw: flaw{front: tellsUnknown}},
		{name: "guessing", try: guessing, limits: true, flaw: flaw{front: newAddressEachTime()}},
		{name: "locking out by guessing", try: lockingOut, limits: true,
			flaw: flaw{front: oneAddress}},
		{name: "accounts by the dozen", try: manyAccounts, limits: true,
			flaw: flaw{front: newAddressEachTime()}},
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

func oddIDs(a *arena) (f found) {
	good := "01k9vq3k1c0000000000000000"
	for _, id := range []string{`"role:admin"`, `"admin"`, `""`, `"` + strings.ToUpper(good) + `"`,
		`"` + good + `x"`, `"z` + good[1:] + `"`,
		`"` + good[:25] + `l"`, `{}`, `[]`, `1`, `true`, `"../users"`, `"` + good[:25] + ` "`, `"` +
			good[:24] + `\u0000a"`} {
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
		if got.status != 422 || !strings.Contains(string(got.body),
			`"#/`+strings.TrimSpace(field)) {
			f.add("%s: %v", what, got)
		}
	}
	values := map[string]string{"wallet": "1000000", "pin": `"1"`, "verified": "true",
		"version": "9",
		"created": `"2020-01-01T00:00:00.000Z"`, "updated": `"2020-01-01T00:00:00.000Z"`,
		"role": `"admin"`, "is_admin": "true",
		"Wallet": "1", "wallet ": "1", "__proto__": "{}", "constructor": "1", "deleted": "true",
		"_passwords": "{}"}
	for field, v := range values {
		refused("update users."+field, field, a.ana.do("PATCH", "/api/users/"+a.ana.id,
			fmt.Sprintf(`{"name":"x",%q:%s}`, field, v)))
		refused("sign-up "+field, field, a.nobody.do("POST", "/api/auth/sign-up", fmt.Sprintf(
			`{"email":"new%d@example.com","password":%q,"name":"x",%q:%s}`, time.Now().UnixNano(),
			password, field, v)))
	}
	refused("update users.email", "email", a.ana.do("PATCH", "/api/users/"+a.ana.id,
		`{"email":"x@example.com"}`))
	refused("update users.id", "id", a.ana.do("PATCH", "/api/users/"+a.ana.id,
		`{"id":"`+a.bo.id+`"}`))
	note := a.ana.do("POST", "/api/notes", `{"title":"x"}`, key()...).want(a.t, 201).text("id")
	for field, v := range map[string]string{"owner": `"` + a.bo.id + `"`, "key": `"k"`,
		"version": "9", "created": `"2020-01-01T00:00:00.000Z"`, "nope": "1"} {
		body := fmt.Sprintf(`{"title":"x",%q:%s}`, field, v)
		refused("create notes."+field, field, a.ana.do("POST", "/api/notes", body, key()...))
		refused("update notes."+field, field, a.ana.do("PATCH", "/api/notes/"+note, body))
		refused("batch notes."+field, field, a.ana.do("POST", "/api/batch",
			`{"requests":[{"method":"POST","path":"/api/notes","body":`+body+`}]}`, key()...))
	}
	f.refused("operator on wallet", a.ana.do("PATCH", "/api/users/"+a.ana.id,
		`{"wallet":{"$add":1000}}`, key()...))
	f.refused("input of an action", a.ana.do("POST", "/api/actions/buy",
		`{"product":"`+a.ana.id+`","price":0}`, key()...))
	if a.wallet(a.ana) != 0 {
		f.add("the wallet holds %d", a.wallet(a.ana))
	}
	a.ana.do("PATCH", "/api/users/"+a.ana.id, `{"name":"Ana"}`).want(a.t, 200)
	return f
}

func secondSpellings(a *arena) (f found) {
	pen := a.put("products", `{"name":"pen","price":200}`)
	good := "/api/products/" + pen
	a.nobody.do("GET", good, "").want(a.t, 200)
	for _, p := range []string{"/api//products/" + pen, "//api/products/" + pen,
		"/api/./products/" + pen, "/api/x/../products/" + pen,
		"/api/%2e/products/" + pen, "/x/%2e%2e/api/products/" + pen, "/api/products/" + pen + "/",
		"/api/products%2f" + pen, "/api/products%2F" + pen,
		"/api/products%252f" + pen, "/api/%70roducts/" + pen, "/%61pi/products/" + pen,
		"/API/products/" + pen, "/api/Products/" + pen,
		"/api/products/" + strings.ToUpper(pen), "/api/products;x=1/" + pen, "/api/products/" +
			pen + ";x=1", "/api\\products\\" + pen, "/api/products/" + pen + "%00",
		"/api/products/" + pen + "%20", "/api/products/" + pen + ".json", "/api/products/" + pen +
			"%09", "/api/products/" + pen + "%23", "/api/products/" + pen + "%3fa"} {
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
	for _, h := range []string{"X-Http-Method-Override", "X-Method-Override", "X-Http-Method",
		"X-Original-Method", "_method"} {
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
		if res, err := servetest.Client.Do(r); err == nil {
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
