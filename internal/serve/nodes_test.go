package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action/goaction"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// joining returns the database as another process has it, and how it lets go of it.
type joining func() (database, func())

// nodes are several servers on one database, behind a proxy that asks one after the
// other.
type nodes struct {
	t     *testing.T
	store database
	join  joining
	proxy *httptest.Server
	log   *logs
	// program is the Go code of nodes that are started.
	program *goaction.Program

	mu   sync.Mutex
	all  []*node
	turn atomic.Int64
	keys atomic.Int64
}

// node is a server with an app folder, a data folder and an address of its own.
type node struct {
	*Server
	app   string
	url   *url.URL
	front *httputil.ReverseProxy
	calls sync.WaitGroup
	end   func()
}

// logs is what the nodes log.
type logs struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.b.Write(p)
}

// wait waits until a text was logged n times.
func (l *logs) wait(t *testing.T, text string, n int) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		l.mu.Lock()
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more, said := l.more, strings.Count(l.b.String(), text)
		l.mu.Unlock()
		if said >= n {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("%q was logged %d times, want %d:\n%s", text, said, n, l)
		}
	}
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// onEach runs a test of nodes that have one store among them, and of nodes that have
// one each on the same database.
func onEach(t *testing.T, run func(t *testing.T, join joining)) {
	t.Run("one store", func(t *testing.T) {
		s, err := sqlite.Open(t.Context(), sqlite.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		run(t, func() (database, func()) { return s, func() {} })
	})
	t.Run("postgres", func(t *testing.T) {
		at := pgtest.Shared(t).Database(t)
		run(t, func() (database, func()) {
			s, err := postgres.Open(t.Context(), postgres.Config{URL: at})
			if err != nil {
				t.Fatal(err)
			}
			return s, func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	})
}

// openNodes opens n nodes with the same app.
func openNodes(t *testing.T, join joining, n int, app string) *nodes {
	t.Helper()
	s, leave := join()
	x := &nodes{t: t, store: s, join: join, log: &logs{}, all: make([]*node, n)}
	x.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := x.next()
		defer n.calls.Done()
		n.front.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		x.proxy.Close()
		for _, n := range x.all {
			if n != nil { // it did not open
				n.end()
			}
		}
		leave()
	})
	for i := range n {
		x.all[i] = x.start(app)
	}
	return x
}

// next is the node whose turn it is, with one more call.
func (x *nodes) next() *node {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := x.all[int(x.turn.Add(1))%len(x.all)]
	n.calls.Add(1)
	return n
}

// config is that of a new node with the app, and how the node lets go of its database.
func (x *nodes) config(app string) (Config, func()) {
	dir := x.t.TempDir()
	write(x.t, dir, app)
	cfg := Config{Config: config.Config{App: dir, Data: filepath.Join(dir, "data"), Limits: "off"},
		Log: slog.New(slog.NewTextHandler(x.log, nil))}
	var leave func()
	cfg.database, leave = x.join()
	if x.program != nil {
		cfg.Program, cfg.Runner = x.program, goaction.Runner{}
	}
	return cfg, leave
}

// deploy is the number of the deploy in force.
func (x *nodes) deploy() int {
	x.t.Helper()
	if err := x.store.Read(x.t.Context(), func(store.View) error { return nil }); err != nil {
		x.t.Fatal(err)
	}
	return x.store.Schema().App.Number
}

// start opens a node, which is in no list yet.
func (x *nodes) start(app string) *node {
	x.t.Helper()
	cfg, leave := x.config(app)
	s, err := Open(x.t.Context(), cfg)
	if err != nil {
		x.t.Fatal(err)
	}
	front := httptest.NewServer(s.Handler())
	at, err := url.Parse(front.URL)
	if err != nil {
		x.t.Fatal(err)
	}
	return &node{Server: s, app: cfg.App, url: at, front: httputil.NewSingleHostReverseProxy(at),
		end: func() {
			front.Close()
			if err := s.Close(); err != nil {
				x.t.Error(err)
			}
			leave()
		}}
}

// replace puts a new node in the place of an old one, which ends when its calls have.
func (x *nodes) replace(i int, app string) {
	x.t.Helper()
	fresh := x.start(app)
	x.mu.Lock()
	old := x.all[i]
	x.all[i] = fresh
	x.mu.Unlock()
	old.calls.Wait()
	old.end()
}

// write makes an app's folder of a text in which a line "-- name --" begins a file; what
// stands before is galley.yaml.
func write(t testing.TB, dir, app string) {
	t.Helper()
	for i, part := range strings.Split("galley.yaml --\n"+app, "-- ") {
		name, text, ok := strings.Cut(part, " --\n")
		if !ok {
			t.Fatalf("part %d of the app has no name", i)
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// reply is what a call was answered.
type reply struct {
	status int
	header http.Header
	body   string
}

// ask sends a request to an address, in JSON where there is a body.
func (x *nodes) ask(at, method, path, token, key, body string) reply {
	x.t.Helper()
	r, err := x.send(at, method, path, token, key, body)
	if err != nil {
		x.t.Fatal(err)
	}
	return r
}

func (x *nodes) send(at, method, path, token, key, body string) (reply, error) {
	r, err := http.NewRequestWithContext(x.t.Context(), method, at+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if key == "" && method == http.MethodPost {
		key = fmt.Sprint("key", x.keys.Add(1))
	}
	if key != "" {
		r.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return reply{}, err
	}
	text, err := io.ReadAll(res.Body)
	_ = res.Body.Close() // it was read
	return reply{res.StatusCode, res.Header, string(text)}, err
}

// want fails unless the reply has the status.
func (x *nodes) want(what string, r reply, status int) {
	x.t.Helper()
	if r.status != status {
		x.t.Fatalf("%s: %d %s, want %d\n%s", what, r.status, r.body, status, x.log)
	}
}

// part is a member of a JSON text, by its path.
func (x *nodes) part(text string, path ...string) string {
	x.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		x.t.Fatalf("%s: %v", text, err)
	}
	for _, name := range path {
		m, ok := v.(map[string]any)
		if !ok {
			x.t.Fatalf("%s has no %v", text, path)
		}
		v = m[name]
	}
	return fmt.Sprint(v)
}

// signUp makes a user at an address and returns his token.
func (x *nodes) signUp(at, email string) string {
	x.t.Helper()
	r := x.ask(at, "POST", "/api/auth/sign-up", "", "",
		fmt.Sprintf(`{"email":%q,"password":"password","token":true}`, email))
	x.want("sign up", r, http.StatusCreated)
	return x.part(r.body, "token")
}

// first reads n entries of the journal as a node follows it.
func (x *nodes) first(n *node, count int) []string {
	x.t.Helper()
	ctx, cancel := context.WithTimeout(x.t.Context(), time.Minute)
	defer cancel()
	var out []string
	for e, err := range n.store.Follow(ctx, journal.Seq{}) {
		if err != nil {
			x.t.Fatal(err)
		}
		out = append(out, fmt.Sprint(e.Seq, e.Origin.Operation, e.Origin.Call, len(e.Changes)))
		if len(out) == count {
			break
		}
	}
	return out
}

const diary = `app: diary
auth:
  sign_in: [password]
  sign_up: {fields: []}
collections:
  users: {}
  notes:
    fields:
      text: {type: string, max: 80}
      by: users?
    allow:
      read:   true
      create: {if: auth != null, fields: [text]}
actions:
  shout:
    allow: auth != null
    input: {text: string}
    output: {text: string}
-- actions/shout.ts --
import { action } from "galley";
import { loud } from "../loud.ts";
export default action("shout", async (tx, input) => {
  await tx.db.notes.insert({ text: loud(input.text) });
  return { text: loud(input.text) };
});
-- loud.ts --
export const loud = (text) => text.toUpperCase();
`

// later changes one text of an app into another.
func later(t testing.TB, app, old, next string) string {
	t.Helper()
	if !strings.Contains(app, old) {
		t.Fatalf("the app has no %q", old)
	}
	return strings.Replace(app, old, next, 1)
}

func TestNodesBehaveAsOne(t *testing.T) { onEach(t, nodesBehaveAsOne) }

func nodesBehaveAsOne(t *testing.T, join joining) {
	x := openNodes(t, join, 3, diary)
	a, b, c := x.all[0].url.String(), x.all[1].url.String(), x.all[2].url.String()
	token := x.signUp(a, "ana@example.com")
	for range 6 {
		x.want("list", x.ask(x.proxy.URL, "GET", "/api/notes", token, "", ""), 200)
	}
	one := x.ask(a, "POST", "/api/actions/shout", token, "k1", `{"text":"hi"}`)
	two := x.ask(b, "POST", "/api/actions/shout", token, "k1", `{"text":"hi"}`)
	x.want("act", one, 200)
	x.want("act again", two, 200)
	if one.body != two.body || two.header.Get("Idempotent-Replayed") == "" {
		t.Errorf("the retry on another node answers %v %s, the first %s", two.header, two.body, one.body)
	}
	x.want("create", x.ask(c, "POST", "/api/notes", token, "", `{"text":"two"}`), 201)
	page := x.ask(a, "GET", "/api/notes?limit=1", "", "", "")
	x.want("page", page, 200)
	next := url.Values{"limit": {"1"}, "cursor": {x.part(page.body, "next")}}
	x.want("the page behind, of another node", x.ask(b, "GET", "/api/notes?"+next.Encode(), "", "", ""),
		200)
	x.want("sign out", x.ask(b, "POST", "/api/auth/sign-out", token, "", ""), 204)
	for _, at := range []string{a, b, c} {
		r := x.ask(at, "POST", "/api/notes", token, "", `{"text":"late"}`)
		x.want("create with a session that ended", r, 401)
	}
	entries, err := x.store.Entries(t.Context(), store.Filter{}, journal.Seq{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := x.first(x.all[0], len(entries))
	for _, n := range x.all[1:] {
		if got := x.first(n, len(entries)); !slices.Equal(got, want) {
			t.Errorf("one node follows\n%v\nanother\n%v", got, want)
		}
	}
}

func TestNodesTakeAnAppFromTheDatabase(t *testing.T) { onEach(t, nodesTakeAnAppFromTheDatabase) }

func nodesTakeAnAppFromTheDatabase(t *testing.T, join joining) {
	x := openNodes(t, join, 3, diary)
	a, b, c := x.all[0].url.String(), x.all[1].url.String(), x.all[2].url.String()
	token := x.signUp(a, "ana@example.com")
	deploy := func(app string) {
		t.Helper()
		write(t, x.all[0].app, app)
		if findings, _, err := x.all[0].Reload(t.Context()); err != nil || Failed(findings) {
			t.Fatal(findings, err)
		}
	}
	// The code of an action, in a file that it imports.
	deploy(later(t, diary, "text.toUpperCase()", `text + "!"`))
	for _, at := range []string{a, b, c} {
		r := x.ask(at, "POST", "/api/actions/shout", token, "", `{"text":"hi"}`)
		x.want("act", r, 200)
		if r.body != `{"text":"hi!"}` {
			t.Errorf("%s runs other code: %s", at, r.body)
		}
	}
	// A rule.
	closed := later(t, diary, "if: auth != null, fields", "if: false, fields")
	deploy(closed)
	for _, at := range []string{c, b, a} {
		x.want("create", x.ask(at, "POST", "/api/notes", token, "", `{"text":"x"}`), 403)
	}
	// A new action and a new field, asked for by nobody in particular.
	open := later(t, closed, "actions:\n", "actions:\n  hello:\n    allow: true\n"+
		"    input: {to: string}\n    output: {text: string}\n")
	open = later(t, open, "by: users?", "by: users?\n      mood: string?") + `-- actions/hello.ts --
import { action } from "galley";
export default action("hello", async (tx, input) => {
  await tx.db.notes.insert({ text: input.to, mood: "fine" });
  return { text: input.to };
});
`
	deploy(open)
	for _, at := range []string{b, c, a} {
		x.want("hello", x.ask(at, "POST", "/api/actions/hello", "", "", `{"to":"bo"}`), 200)
		r := x.ask(at, "GET", "/api/notes?mood=fine", "", "", "")
		if x.want("list", r, 200); !strings.Contains(r.body, `"mood":"fine"`) {
			t.Errorf("%s answers %s", at, r.body)
		}
	}
	if n := x.deploy(); n != 4 {
		t.Errorf("this is deploy %d, want 4", n)
	}
}

func TestNodesThatNobodyAsksFollowTheJournal(t *testing.T) {
	onEach(t, nodesThatNobodyAsksFollowTheJournal)
}

func nodesThatNobodyAsksFollowTheJournal(t *testing.T, join joining) {
	x := openNodes(t, join, 3, diary)
	x.replace(0, later(t, diary, "read:   true", "read:   auth != null"))
	x.log.wait(t, "another app is in force", 2)
}

func TestASupersededFolderDoesNotWinByARestart(t *testing.T) {
	onEach(t, aSupersededFolderDoesNotWinByARestart)
}

func aSupersededFolderDoesNotWinByARestart(t *testing.T, join joining) {
	x := openNodes(t, join, 2, diary)
	next := later(t, diary, "create: {if: auth != null", "create: {if: true")
	status := func(n *node) int {
		return x.ask(n.url.String(), "POST", "/api/notes", "", "", `{"text":"x"}`).status
	}
	x.replace(0, next)
	x.replace(1, diary) // crashed, say, and started again before it was upgraded
	if !strings.Contains(x.log.String(), "superseded") {
		t.Errorf("the log does not say so:\n%s", x.log)
	}
	if one, two := status(x.all[0]), status(x.all[1]); one != 201 || two != 201 {
		t.Errorf("a guest's note is answered %d and %d, want 201", one, two)
	}
	if n := x.deploy(); n != 2 {
		t.Errorf("this is deploy %d, want 2", n)
	}
	// On purpose it does.
	door := httptest.NewServer(x.all[1].local())
	defer door.Close()
	x.want("apply", x.ask(door.URL, "POST", "/local/apply", "", "", `{}`), 200)
	if one, two := status(x.all[0]), status(x.all[1]); one != 401 || two != 401 {
		t.Errorf("after the way back a guest's note is answered %d and %d, want 401", one, two)
	}
	x.replace(0, next) // and now this one is what went before
	if got := status(x.all[0]); got != 401 {
		t.Errorf("a restart undid the way back: %d, want 401", got)
	}
	if n := x.deploy(); n != 3 {
		t.Errorf("this is deploy %d, want 3", n)
	}
}

func TestNodesThatDeployAtOnceAgree(t *testing.T) { onEach(t, nodesThatDeployAtOnceAgree) }

func nodesThatDeployAtOnceAgree(t *testing.T, join joining) {
	x := openNodes(t, join, 1, diary)
	next := later(t, diary, "by: users?", "by: users?\n      mood: string?")
	var group sync.WaitGroup
	for range 4 {
		cfg, leave := x.config(next)
		group.Go(func() {
			defer leave()
			s, err := Open(t.Context(), cfg)
			if err != nil {
				t.Errorf("%v", err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := x.deploy(); n != 2 {
		t.Errorf("this is deploy %d, want 2", n)
	}
}

func TestACommandDeploysNothingOnASharedDatabase(t *testing.T) {
	onEach(t, aCommandDeploysNothingOnASharedDatabase)
}

func aCommandDeploysNothingOnASharedDatabase(t *testing.T, join joining) {
	x := openNodes(t, join, 1, diary)
	cfg, leave := x.config(later(t, diary, "read:   true", "read:   false"))
	defer leave()
	door, err := Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "GET", "http://galley/api/notes", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(HeaderAs, "anonymous")
	res, err := door.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close() // only the status counts
	if err := door.Close(); err != nil {
		t.Error(err)
	}
	if n := x.deploy(); n != 1 || res.StatusCode != 200 {
		t.Errorf("deploy %d, answer %d; want 1 and 200", n, res.StatusCode)
	}
}

const counted = `app: counted
collections:
  notes:
    fields: {text: {type: string, max: 80}}
    allow: {read: true}
actions:
  one: {allow: true, output: {n: int}}
  two: {allow: true, input: {by: int}, output: {n: int}}
`

type number struct{ N int64 }

// coded is a program in Go with a function of its own number for each name.
func coded(functions map[string]any) *goaction.Program {
	p := goaction.New()
	for name, fn := range functions {
		switch fn := fn.(type) {
		case func(*goaction.Call, struct{}) (number, error):
			goaction.Add(p, name, fn, fn)
		case func(*goaction.Call, struct{ By int64 }) (number, error):
			goaction.Add(p, name, fn, fn)
		}
	}
	return p
}

func TestANodeWithOlderCodeRunsWhatItHas(t *testing.T) {
	onEach(t, aNodeWithOlderCodeRunsWhatItHas)
}

func aNodeWithOlderCodeRunsWhatItHas(t *testing.T, join joining) {
	one := func(*goaction.Call, struct{}) (number, error) { return number{1}, nil }
	two := func(_ *goaction.Call, in struct{ By int64 }) (number, error) { return number{in.By}, nil }
	x := openNodes(t, join, 0, "")
	x.program = coded(map[string]any{"one": one, "two": two})
	x.all = []*node{x.start(counted), nil}
	// Action two has another input, and there is a third.
	x.program = coded(map[string]any{"one": one, "two": one, "three": one})
	next := later(t, counted, "input: {by: int}, ", "") + "  three: {allow: true, output: {n: int}}\n"
	x.all[1] = x.start(next)
	for _, c := range []struct {
		node   int
		action string
		status int
	}{{0, "one", 200}, {0, "two", 503}, {0, "three", 503}, {1, "two", 200}, {1, "three", 200}} {
		r := x.ask(x.all[c.node].url.String(), "POST", "/api/actions/"+c.action, "", "", "")
		x.want(fmt.Sprintf("%s on node %d", c.action, c.node), r, c.status)
		if r.status == 503 && r.header.Get("Retry-After") == "" {
			t.Errorf("the answer does not say when to ask again: %v", r.header)
		}
	}
	if !strings.Contains(x.log.String(), `functions="[actions/two actions/three]"`) {
		t.Errorf("the log does not say which functions are missing:\n%s", x.log)
	}
	x.want("health", x.ask(x.all[0].url.String(), "GET", "/api/health", "", "", ""), 200)
}

func TestANodeThatCannotRunTheAppInForceSaysSo(t *testing.T) {
	onEach(t, aNodeThatCannotRunTheAppInForceSaysSo)
}

func aNodeThatCannotRunTheAppInForceSaysSo(t *testing.T, join joining) {
	x := openNodes(t, join, 2, diary)
	src := sources{texts: map[string][]byte{"galley.yaml": []byte("app: diary\nfuture: true\n")}}
	files, err := src.pack("")
	if err != nil {
		t.Fatal(err)
	}
	schema := *x.store.Schema()
	good := schema
	schema.App = successor(schema.App, files)
	apply := func(s *spec.Schema) {
		t.Helper()
		_, err := x.store.Apply(t.Context(), journal.Origin{Operation: "migrate"}, []spec.Step{{Kind: spec.Adopt, Schema: s}}, nil)

		if err != nil {
			t.Fatal(err)
		}
	}
	apply(&schema)
	at := x.all[1].url.String()
	r := x.ask(at, "GET", "/api/notes", "", "", "")
	if x.want("list", r, 503); strings.Contains(r.body, "future") {
		t.Errorf("the answer tells of the app: %s", r.body)
	}
	x.want("health", x.ask(at, "GET", "/api/health", "", "", ""), 503)
	if !strings.Contains(x.log.String(), "cannot be run by this node") {
		t.Errorf("the log does not say so:\n%s", x.log)
	}
	apply(&good)
	x.want("list", x.ask(at, "GET", "/api/notes", "", "", ""), 200)
	x.want("health", x.ask(at, "GET", "/api/health", "", "", ""), 200)
}

func TestANewCheckHoldsForWhatOtherNodesWroteMeanwhile(t *testing.T) {
	onEach(t, aNewCheckHoldsForWhatOtherNodesWroteMeanwhile)
}

// A node with the app before writes what the new check forbids, as the check comes:
// either the check does not come, or what it forbids is not there.
func aNewCheckHoldsForWhatOtherNodesWroteMeanwhile(t *testing.T, join joining) {
	x := openNodes(t, join, 1, diary)
	token := x.signUp(x.proxy.URL, "ana@example.com")
	app, came := diary, 0
	for round := range 6 {
		bad := fmt.Sprint("bad", round)
		next := later(t, app, "    allow:\n      read:   true",
			fmt.Sprintf("    check:\n      no_%s: record.text != %q\n    allow:\n      read:   true",
				bad, bad))
		if round > 0 && came > 0 {
			next = later(t, app, "    check:\n",
				fmt.Sprintf("    check:\n      no_%s: record.text != %q\n", bad, bad))
		}
		var group sync.WaitGroup
		cfg, leave := x.config(next)
		var err error
		group.Go(func() {
			defer leave()
			var s *Server
			if s, err = Open(t.Context(), cfg); err == nil {
				err = s.Close()
			}
		})
		for n := range 4 {
			group.Go(func() {
				body := fmt.Sprintf(`{"text":%q}`, bad)
				key := fmt.Sprintf("%s-%d", bad, n)
				if _, err := x.send(x.proxy.URL, "POST", "/api/notes", token, key, body); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		found := x.ask(x.proxy.URL, "GET", "/api/notes?limit=1&text="+bad, "", "", "")
		x.want("list", found, http.StatusOK)
		var unsafe *UnsafePlan
		switch some := strings.Contains(found.body, bad); {
		case err == nil:
			if came++; some {
				t.Errorf("the check no_%s holds, and is broken: %s", bad, found.body)
			}
			app = next
		case !errors.As(err, &unsafe):
			t.Error(err)
		case !some:
			t.Errorf("the check no_%s was refused, and nothing breaks it", bad)
		}
	}
}
