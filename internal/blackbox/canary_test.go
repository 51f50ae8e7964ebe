package blackbox_test

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/serve/servetest"
)

// The secrets that are looked for everywhere. The password is a constant already.
const (
	canaryHidden   = "canary-hidden-51c7e0"
	canaryPassword = "canary-fresh-password-93d2"
	canaryWrong    = "canary-wrong-password-08ab"
	canaryURL      = "canary-token-in-a-url-77f0"
)

// canaries does everything that handles a secret, and then looks for the secrets in
// what the server said, logged, counted and kept.
func canaries(a *arena) (f found) {
	var said strings.Builder
	note := func(got answer) answer {
		said.Write(got.body)
		_ = got.header.Write(&said)
		return got
	}
	id := a.ana.do("POST", "/api/notes", `{"title":"shown-canary"}`, key()...).want(a.t,
		201).text("id")
	a.asAdmin("PATCH", "/api/notes/"+id, `{"key":"`+canaryHidden+`"}`).want(a.t, 200)
	note(a.ana.do("GET", "/api/notes/"+id, "")).want(a.t, 200)
	note(a.ana.do("PATCH", "/api/notes/"+id, `{"title":"shown-canary-2"}`)).want(a.t, 403)
	for _, who := range []*caller{a.bo, a.nobody, a.ana} {
		note(who.do("GET", "/api/notes/"+id, ""))
		note(who.do("PATCH", "/api/notes/"+id, `{"title":"x","key":"y"}`))
		note(who.do("GET", "/api/notes?filter=key+==+%22a%22", ""))
		note(who.do("GET", "/api/notes", ""))
	}
	note(a.bo.do("PATCH", "/api/notes/"+id, `{"title":"x"}`))
	note(a.nobody.do("POST", "/api/auth/sign-in",
		`{"email":"ana@example.com","password":"`+canaryWrong+`"}`))
	note(a.nobody.do("POST", "/api/auth/sign-in",
		`{"email":"ana@example.com","password":"`+canaryWrong+`"`))
	note(a.nobody.do("POST", "/api/auth/sign-in",
		`{"email":"ana@example.com","password":["`+canaryWrong+`"]}`))
	note(a.nobody.do("POST", "/api/auth/sign-up",
		`{"email":"ana@example.com","password":"`+canaryWrong+`","name":"x"}`))
	note(a.nobody.do("POST", "/api/auth/sign-up",
		`{"email":"new@example.com","password":"`+canaryWrong+`","name":7}`))
	note(a.nobody.do("GET", "/api/products?access_token="+canaryURL, ""))
	note(a.nobody.do("GET", "/api/products?filter=name+==+%22"+canaryURL+"%22", ""))
	note(a.nobody.do("POST", "/api/auth/refresh", `{"refresh_token":"`+canaryWrong+`"}`))
	note(a.ana.do("PUT", "/api/auth/password",
		`{"old":"`+canaryWrong+`","new":"`+canaryPassword+`"}`))
	other, got := a.signIn(a.ana, password)
	refresh := got.text("refresh_token")
	cookie := a.nobody.do("POST", "/api/auth/sign-in",
		`{"email":"ana@example.com","password":"`+password+`"}`).want(a.t, 200)
	token, _, _ := strings.Cut(cookie.header.Get("Set-Cookie"), ";")
	_, token, _ = strings.Cut(token, "=")
	said.Write(cookie.body)
	note(a.nobody.do("GET", "/api/auth/session", "", "Cookie", "galley="+token)).want(a.t, 200)
	note(a.ana.do("PUT", "/api/auth/password",
		`{"old":"`+password+`","new":"`+canaryPassword+`"}`)).want(a.t, 204)
	note(other.do("GET", "/api/auth/session", "")).want(a.t, 401)
	note(a.ana.do("GET", "/api/auth/sessions", "")).want(a.t, 200)
	journal := string(a.asAdmin("GET", "/local/journal", "").want(a.t, 200).body)
	a.close()

	places := map[string]string{"an answer": said.String(), "the log": a.log.String()}
	files := map[string]string{"the journal": journal}
	err := filepath.WalkDir(a.data, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if strings.Contains(path, "journeys") {
			places["journeys: "+e.Name()] = string(text)
		} else {
			files["the file "+e.Name()] = string(text)
		}
		return err
	})
	if err != nil {
		a.t.Fatal(err)
	}
	secrets := map[string]string{"a password": password, "a fresh password": canaryPassword,
		"a wrong password":  canaryWrong,
		"a session's token": a.ana.token, "a cookie": token, "a refresh token": refresh,
		"the token of a session that ended": other.token}
	look := func(places, secrets map[string]string) {
		for place, text := range places {
			for name, s := range secrets {
				if s == "" {
					a.t.Fatalf("there is no %s to look for", name)
				}
				if i := strings.Index(text, s); i >= 0 {
					f.add("%s holds %s: …%q", place, name, text[max(0, i-80):i])
				}
			}
		}
	}
	look(places, secrets)
	look(files, secrets)
	look(places, map[string]string{"a hidden field": canaryHidden, "a token in a URL": canaryURL})
	// The control: what may be seen is found where it is looked for.
	if !strings.Contains(places["an answer"], "shown-canary") ||
		!strings.Contains(places["the log"], "notes.update") ||
		!strings.Contains(places["journeys: kept.jsonl"], "record.key") ||
		!strings.Contains(files["the journal"], "shown-canary") {
		a.t.Fatalf("the control finds nothing")
	}
	return f
}

func TestSecretsAppearNowhere(t *testing.T) {
	// The rule fails by the hidden field, so that what explains it must hide its value.
	looks := []string{"update: {if: record.owner == auth,",
		`update: {if: record.owner == auth && (record.key == null || size(record.key) > 1000),`}
	if got := canaries(open(t, flaw{file: looks}, false)); len(got) > 0 {
		t.Errorf("secrets were found:\n%s", strings.Join(got, "\n"))
	}
	var log *servetest.Log
	talks := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = r.Header.Write(log)
			next.ServeHTTP(w, r)
		})
	}
	flawed := open(t, flaw{file: looks}, false)
	log = flawed.log
	flawed.refront(talks)
	if got := canaries(flawed); len(got) == 0 {
		t.Error("a server that logs headers is not found")
	}
}

// refront puts another handler before the door.
func (a *arena) refront(front func(http.Handler) http.Handler) {
	a.front.Close()
	a.listen(a.door, flaw{front: front})
	for _, c := range []*caller{a.ana, a.bo, a.nobody} {
		c.base = a.base
	}
}
