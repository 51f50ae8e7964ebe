package serve

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/journal"
)

// open opens a server of its own, in dev.
func open(t *testing.T, app string, change func(*Config)) (_ *Server, dir string,
	end func()) {
	t.Helper()
	dir = t.TempDir()
	write(t, dir, app)
	cfg := Config{Log: slog.New(slog.DiscardHandler), Config: config.Config{App: dir,
		Data: filepath.Join(dir, "data"), Limits: "off", Dev: true}}
	if change != nil {
		change(&cfg)
	}
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return s, dir, end
}

// TestProblemsTellABrokenSave saves an app that is broken, unsafe and right again: all
// the while problems say what is wrong with it, and answers that are none do not.
func TestProblemsTellABrokenSave(t *testing.T) {
	s, dir, _ := open(t, diary, nil)
	front := httptest.NewServer(s.Handler())
	defer front.Close()
	get := func(path string) string {
		t.Helper()
		res, err := http.Get(front.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	made := httptest.NewRequest("POST", "/api/notes", strings.NewReader(`{"text":"x"}`))
	made.Header.Set("Content-Type", "application/json")
	made.Header.Set("Idempotency-Key", "one")
	s.local().ServeHTTP(httptest.NewRecorder(), made)
	for _, c := range []struct{ name, app, broken string }{
		{"broken", later(t, diary, "by: users?", "by: user?"), `"broken":"galley.yaml:10:11  unknown`},
		{"unsafe", later(t, diary, "    allow:\n      read:   true",
			"    check: {never: record.text == \"\"}\n    allow:\n      read:   true"),
			`"broken":"the app file changes the schema: 1 blocked`},
		{"broken code", later(t, diary, "text.toUpperCase()", "text +"), `"broken":"loud.ts:1:`},
		{"right", diary, ""},
	} {
		write(t, dir, c.app)
		var unsafe *UnsafePlan
		if _, _, err := s.Reload(t.Context()); err != nil && !errors.As(err, &unsafe) {
			t.Errorf("%s: %v", c.name, err)
		}
		text := get("/api/nothing")
		if !strings.Contains(text, c.broken) || c.broken == "" && strings.Contains(text, "broken") {
			t.Errorf("after a save that is %s a problem is %s", c.name, text)
		}
		if text := get("/api/notes"); strings.Contains(text, "broken") {
			t.Errorf("after a save that is %s a list is %s", c.name, text)
		}
	}
}

// TestAHandlerAloneKeepsWhatItPromises serves an app as a program does that has a
// server of its own: what is over its keep goes all the same.
func TestAHandlerAloneKeepsWhatItPromises(t *testing.T) {
	const app = "app: short\ncollections:\n  notes:\n    keep: 1h\n    fields: {text: string?}\n" +
		"    allow: {read: true, create: {if: true, fields: [text]}}\n"
	dir := t.TempDir()
	long := time.Now().Add(-2 * time.Hour)
	s, _, end := open(t, app, func(c *Config) {
		c.Data = dir
		c.Now = func() time.Time { return long.UTC().Truncate(time.Millisecond) }
	})
	front := httptest.NewServer(s.Handler())
	r, err := http.NewRequest("POST", front.URL+"/api/notes", strings.NewReader(`{"text":"x"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Idempotency-Key", "one")
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusCreated {
		t.Fatal(res, err)
	}
	_ = res.Body.Close() // only the status counts
	front.Close()
	end()
	again, _, _ := open(t, app, func(c *Config) { c.Data = dir })
	for e, err := range again.store.Follow(t.Context(), journal.Seq{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Origin.Operation == "notes.sweep" {
			return
		}
	}
	t.Error("the note is still there")
}
