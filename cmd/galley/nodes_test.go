package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/do/server"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// fleet is several processes on one database behind a proxy that asks one after the
// other, and knows nothing of them but their addresses.
type fleet struct {
	t                *testing.T
	dir, galley, url string
	proxy            *httptest.Server
	count            int
	keys             atomic.Int64

	mu   sync.Mutex
	turn int
	all  []*member
}

// member is one of the processes.
type member struct {
	*server.Server
	door  *httputil.ReverseProxy
	calls sync.WaitGroup
}

// signedNotes is an app with people, records and code.
const signedNotes = `app: notes
auth:
  sign_in: [password]
  sign_up: {fields: []}
collections:
  users: {}
  notes:
    fields:
      text: {type: string, max: 80}
    allow:
      read:   true
      create: {if: auth != null, fields: [text]}
actions:
  shout:
    allow: auth != null
    input: {text: string}
    output: {text: string}
`

const shout = `import { action } from "galley";
export default action("shout", async (tx, { text }) => {
  await tx.db.notes.insert({ text: text.toUpperCase() });
  return { text: text.toUpperCase() };
});
`

// start runs a process of its own with an app, in which the first of each pair of texts
// became the second.
func (f *fleet) start(pairs ...string) *member {
	f.t.Helper()
	app, code := signedNotes, shout
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(app+code, pairs[i]) {
			f.t.Fatalf("the app has no %q", pairs[i])
		}
		app = strings.ReplaceAll(app, pairs[i], pairs[i+1])
		code = strings.ReplaceAll(code, pairs[i], pairs[i+1])
	}
	f.count++
	dir := filepath.Join(f.dir, fmt.Sprint(f.count))
	if err := os.MkdirAll(filepath.Join(dir, "actions"), 0o700); err != nil {
		f.t.Fatal(err)
	}
	for name, text := range map[string]string{"galley.yaml": app, "actions/shout.ts": code} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			f.t.Fatal(err)
		}
	}
	m := &member{Server: &server.Server{Galley: f.galley, App: dir, Database: f.url,
		Data: filepath.Join(dir, "data")}}
	if err := m.Start(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
	at, err := url.Parse(m.Address)
	if err != nil {
		f.t.Fatal(err)
	}
	m.door = httputil.NewSingleHostReverseProxy(at)
	return m
}

// ServeHTTP is the proxy.
func (f *fleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.turn++
	m := f.all[f.turn%len(f.all)]
	m.calls.Add(1)
	f.mu.Unlock()
	defer m.calls.Done()
	m.door.ServeHTTP(w, r)
}

// replace starts a process in the place of another, which ends when its calls have.
func (f *fleet) replace(i int, pairs ...string) {
	f.t.Helper()
	m := f.start(pairs...)
	f.mu.Lock()
	old := f.all[i]
	f.all[i] = m
	f.mu.Unlock()
	old.calls.Wait()
	if err := old.Stop(); err != nil {
		f.t.Error(err)
	}
}

// send sends a request and returns its status, the answer and whether it is a replay.
func (f *fleet) send(at, method, path, token, key, body string) (int, string, bool, error) {
	r, err := http.NewRequestWithContext(f.t.Context(), method, at+path, strings.NewReader(body))
	if err != nil {
		return 0, "", false, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if key == "" {
		key = fmt.Sprint("own", f.keys.Add(1))
	}
	if method != http.MethodGet {
		r.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res.StatusCode, string(text), res.Header.Get("Idempotent-Replayed") != "", err
}

// want sends a request, wants a status, and returns the answer and whether it is a
// replay.
func (f *fleet) want(status int, at, method, path, token, key, body string) (string, bool) {
	f.t.Helper()
	got, text, again, err := f.send(at, method, path, token, key, body)
	if err != nil || got != status {
		f.t.Fatalf("%s %s: %d %s %v, want %d", method, path, got, text, err, status)
	}
	return text, again
}

// newFleet starts three processes.
func newFleet(t *testing.T) *fleet {
	t.Helper()
	dir, err := os.MkdirTemp("", "g") // short, because a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	f := &fleet{t: t, dir: dir, galley: filepath.Join(dir, "galley"),
		url: pgtest.Shared(t).Database(t)}
	if err := server.Build(t.Context(), "../..", f.galley); err != nil {
		t.Fatal(err)
	}
	f.proxy = httptest.NewServer(f)
	t.Cleanup(func() {
		f.proxy.Close()
		for _, m := range f.all {
			if err := m.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 3 {
		f.all = append(f.all, f.start())
	}
	return f
}

// signUp makes a user and returns his token.
func (f *fleet) signUp(at, email string) string {
	f.t.Helper()
	text, _ := f.want(201, at, "POST", "/api/auth/sign-up", "", "", fmt.Sprintf(
		`{"email":%q,"password":"password","token":true}`, email))
	var out struct{ Token string }
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		f.t.Fatal(err)
	}
	return out.Token
}

// TestThreeProcessesAreOne lets three processes serve one PostgreSQL: what one did
// holds on all of them at once, and all of them tell the same journal.
func TestThreeProcessesAreOne(t *testing.T) {
	f := newFleet(t)
	a, b, c := f.all[0].Address, f.all[1].Address, f.all[2].Address
	token := f.signUp(a, "ana@example.com")
	one, _ := f.want(200, b, "POST", "/api/actions/shout", token, "k", `{"text":"hi"}`)
	two, again := f.want(200, c, "POST", "/api/actions/shout", token, "k", `{"text":"hi"}`)
	if one != two || !again {
		t.Errorf("the retry on another node answers %s (a replay: %v), the first %s", two, again, one)
	}
	f.want(422, a, "POST", "/api/actions/shout", token, "k", `{"text":"ho"}`)
	f.want(204, b, "POST", "/api/auth/sign-out", token, "", "")
	for _, at := range []string{a, b, c} {
		f.want(401, at, "POST", "/api/notes", token, "", `{"text":"late"}`)
	}
	var journals []string
	for _, m := range f.all {
		text, err := m.Run(t.Context(), "export", "journal")
		if err != nil {
			t.Fatal(err)
		}
		journals = append(journals, string(text))
	}
	if journals[0] == "" || journals[1] != journals[0] || journals[2] != journals[0] {
		t.Errorf("the processes tell other journals:\n%s\n%s\n%s", journals[0], journals[1], journals[2])
	}
}

// TestARollingUpgradeFailsNoCall replaces process after process by one with a newer
// app, twice, while clients write and read through the proxy, and starts one with the
// oldest app at last, which takes the newest.
func TestARollingUpgradeFailsNoCall(t *testing.T) {
	f := newFleet(t)
	token := f.signUp(f.proxy.URL, "ana@example.com")
	stop, group, sent := make(chan struct{}), sync.WaitGroup{}, atomic.Int64{}
	for n := range 6 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key, body := fmt.Sprintf("%d-%d", n, i), fmt.Sprintf(`{"text":"%d-%d"}`, n, i)
				for _, r := range [][4]string{{"POST", "/api/notes", token, body},
					{"GET", "/api/notes?limit=5", "", ""}, {"POST", "/api/actions/shout", token, body}} {
					status, text, _, err := f.send(f.proxy.URL, r[0], r[1], r[2], key, r[3])
					if err != nil || status >= 300 {
						t.Errorf("%s %s: %d %s %v", r[0], r[1], status, text, err)
						return
					}
					sent.Add(1)
				}
			}
		})
	}
	second := []string{"max: 80}", "max: 80}\n      mood: {type: string, default: fine}"}
	third := append([]string{"toUpperCase()", `concat("!")`, "if: auth != null", "if: true"}, second...)
	for _, pairs := range [][]string{second, third} {
		for i := range f.all {
			f.replace(i, pairs...)
		}
	}
	f.replace(1)
	close(stop)
	group.Wait()
	t.Logf("%d calls", sent.Load())
	if sent.Load() < 100 {
		t.Error("there was no load")
	}
	for _, m := range f.all {
		f.want(201, m.Address, "POST", "/api/notes", "", "", `{"text":"open to all"}`)
		text, _ := f.want(200, m.Address, "POST", "/api/actions/shout", token, "", `{"text":"hi"}`)
		if text != `{"text":"hi!"}` {
			t.Errorf("a process runs the code of another app: %s", text)
		}
	}
	// The way back is said on purpose, from anywhere.
	operator := &server.Server{Galley: f.galley, App: filepath.Join(f.dir, "1"),
		Data: filepath.Join(f.dir, "operator"), Database: f.url}
	out, err := operator.Run(t.Context(), "migrate", "apply", "--lose", "notes.mood")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range f.all {
		f.want(401, m.Address, "POST", "/api/notes", "", "", `{"text":"closed again"}`)
		text, _ := f.want(200, m.Address, "POST", "/api/actions/shout", token, "", `{"text":"hi"}`)
		if text != `{"text":"HI"}` {
			t.Errorf("a process runs the code of another app: %s", text)
		}
	}
	s, err := postgres.Open(context.Background(), postgres.Config{URL: f.url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := storetest.Fold(t.Context(), s); err != nil {
		t.Errorf("the fold of the journal: %v", err)
	}
	if n := s.Schema().App.Number; n != 4 {
		t.Errorf("this is deploy %d, want 4", n)
	}
}
