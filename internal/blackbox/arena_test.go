// Package blackbox_test attacks a whole server from outside, over HTTP, as strangers
// do. Each attack is run twice: against the house, where nothing may get through, and
// against the house with a planted flaw, where something must; an attack that finds
// nothing in both proves nothing. Each has a control that must succeed, because a dead
// server withstands everything.
package blackbox_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/serve/servetest"
	"github.com/galleybackend/galley/internal/transport/rest"
)

// flaw is what is planted: a change of the app file, or a handler in front.
type flaw struct {
	// file replaces pieces of the app file, in pairs of old and new.
	file []string
	// front stands before the door and spoils what it does.
	front func(http.Handler) http.Handler
	// server spoils the settings of the listener.
	server func(*http.Server)
}

// arena is a running server with two users and an admin.
type arena struct {
	t testing.TB
	// base is the address that is attacked.
	base string
	data string
	// began is when nobody had asked yet.
	began time.Time
	log   *servetest.Log
	// ana and bo are signed in, nobody is not; admin uses the local door.
	ana, bo, nobody *caller
	admin           *serve.Door
	// door is what answers, and front what listens before it.
	door  http.Handler
	front *httptest.Server
	close func()
}

// password is what everybody signs up with. It must never be found in anything.
const password = "canary-password-7f3a91"

// open starts a server with the flaw planted, the zero flaw for none. With limits
// the rates hold, as they do by default.
func open(t testing.TB, f flaw, limits bool) *arena {
	t.Helper()
	app := copyApp(t, filepath.Join(servetest.Folder(t), "app"), f.file)
	s := servetest.Start(t, app, func(c *serve.Config) {
		if limits {
			c.Limits = ""
		}
	})
	a := &arena{t: t, data: s.Config.Data, log: s.Log, began: time.Now()}
	a.close = sync.OnceFunc(func() {
		if a.admin != nil {
			_ = a.admin.Close() // it only lets connections go
		}
		if a.front != nil {
			a.front.Close()
		}
		s.Stop()
	})
	t.Cleanup(a.close)
	a.listen(s.Handler(), f)
	var err error
	if a.admin, err = serve.Dial(context.Background(), s.Config); err != nil {
		t.Fatal(err)
	}
	a.nobody = &caller{base: a.base, t: t}
	a.ana, a.bo = a.signUp("ana@example.com"), a.signUp("bo@example.com")
	return a
}

// listen puts the door, and what is planted before it, on an address of its own.
func (a *arena) listen(door http.Handler, f flaw) {
	if f.front != nil {
		door = f.front(door)
	}
	a.door = door
	srv := httptest.NewUnstartedServer(door)
	settings := rest.Server(door)
	settings.ErrorLog = slog.NewLogLogger(slog.NewTextHandler(a.log, nil), slog.LevelInfo)
	if f.server != nil {
		f.server(settings)
	}
	srv.Config = settings
	srv.Start()
	a.base, a.front = srv.URL, srv
}

// copyApp copies the shop, with pieces of its file replaced.
func copyApp(t testing.TB, dir string, change []string) string {
	t.Helper()
	if err := os.CopyFS(dir, os.DirFS("testdata/shop")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "galley.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(change); i += 2 {
		if !bytes.Contains(text, []byte(change[i])) {
			t.Fatalf("the app file has no %q to spoil", change[i])
		}
		text = bytes.Replace(text, []byte(change[i]), []byte(change[i+1]), 1)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// caller is somebody who sends requests.
type caller struct {
	t     testing.TB
	base  string
	token string
	id    string
	email string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request with a JSON body, none if it is empty; headers come in pairs.
func (c *caller) do(method, path, body string, headers ...string) answer {
	c.t.Helper()
	a, err := c.try(method, path, body, headers...)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
		return answer{status: brokenStatus, body: []byte(err.Error())}
	}
	return a
}

func (c *caller) try(method, path, body string, headers ...string) (answer, error) {
	a, err := servetest.Person{Base: c.base, Token: c.token}.Ask(method, path, body, headers...)
	return answer{a.Status, a.Header, a.Body}, err
}

// key is a fresh idempotency key, as a pair for the headers.
func key() []string { return []string{"Idempotency-Key", string(ident.NewRecord())} }

// json reads the body.
func (a answer) json() map[string]any {
	var out map[string]any
	if json.Unmarshal(a.body, &out) != nil {
		return map[string]any{}
	}
	return out
}

// text is a field of the body that is a text.
func (a answer) text(name string) string {
	s, _ := a.json()[name].(string)
	return s
}

// number is a field of the body that is a number; -1 if there is none.
func (a answer) number(name string) int {
	n, ok := a.json()[name].(float64)
	if !ok {
		return -1
	}
	return int(n)
}

// items are the items of a list.
func (a answer) items() []any {
	list, _ := a.json()["items"].([]any)
	return list
}

func (a answer) String() string { return fmt.Sprintf("%d %.300s", a.status, a.body) }

// same is the answer without what differs between any two: its id and its time.
func (a answer) same() string {
	h := a.header.Clone()
	id := h.Get("Request-Id")
	for _, name := range []string{"Request-Id", "Date", "Ratelimit"} {
		h.Del(name)
	}
	body := strings.ReplaceAll(string(a.body), id, "R")
	var b strings.Builder
	_ = h.Write(&b)
	return fmt.Sprintf("%d\n%s\n%s", a.status, b.String(), body)
}

// want ends the test unless the status is this: the controls of the attacks.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("the control is %v, want %d", a, status)
	}
	return a
}

// signUp makes a user who is signed in by a token.
func (a *arena) signUp(email string) *caller {
	a.t.Helper()
	c := &caller{t: a.t, base: a.base, email: email}
	got := c.do("POST", "/api/auth/sign-up", fmt.Sprintf(
		`{"email":%q,"password":%q,"name":"x","token":true}`, email, password)).want(a.t, 201)
	user, _ := got.json()["user"].(map[string]any)
	c.id, _ = user["id"].(string)
	c.token = got.text("token")
	if c.id == "" || c.token == "" {
		a.t.Fatalf("sign-up is %v", got)
	}
	return c
}

// signIn signs an existing user in by another session.
func (a *arena) signIn(c *caller, with string) (*caller, answer) {
	got := a.nobody.do("POST", "/api/auth/sign-in", fmt.Sprintf(
		`{"email":%q,"password":%q,"token":true}`, c.email, with))
	return &caller{t: a.t, base: a.base, email: c.email, id: c.id, token: got.text("token")}, got
}

// asAdmin sends a request through the local door.
func (a *arena) asAdmin(method, path, body string) answer {
	a.t.Helper()
	r, err := http.NewRequest(method, "http://galley"+path, strings.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	} else {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	if method == http.MethodPost {
		r.Header.Set("Idempotency-Key", string(ident.NewRecord()))
	}
	res, err := a.admin.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer{res.StatusCode, res.Header, text}
}

// put makes a record as the admin and returns its id.
func (a *arena) put(collection, body string) string {
	a.t.Helper()
	return a.asAdmin("POST", "/api/"+collection, body).want(a.t, 201).text("id")
}

// fund gives a user money.
func (a *arena) fund(c *caller, money int) {
	a.t.Helper()
	a.asAdmin("PATCH", "/api/users/"+c.id, fmt.Sprintf(`{"wallet":%d}`, money)).want(a.t, 200)
}

// wallet is how much money a user has.
func (a *arena) wallet(c *caller) int {
	a.t.Helper()
	return c.do("GET", "/api/users/"+c.id, "").want(a.t, 200).number("wallet")
}
