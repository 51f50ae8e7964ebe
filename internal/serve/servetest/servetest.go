// Package servetest starts a whole server inside a test, for those that ask it from outside.
package servetest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/serve"
)

// Log is a log that can be read while it is written.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write adds to the log.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was logged until now.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A Server is a running server with its data in a folder of its own.
type Server struct {
	*serve.Server
	// Base is its address, as http://127.0.0.1:PORT.
	Base string
	// Config is what it was started with; another may be started with the same.
	Config serve.Config
	// Log has its log and its calls.
	Log *Log
	// Stop stops it, once. It is called when the test ends.
	Stop func()
}

// Start serves the app in a folder until the test ends, on a port that the system chooses
// and without rates; change, which may be nil, changes what it is started with.
func Start(t testing.TB, app string, change func(*serve.Config)) *Server {
	t.Helper()
	s := &Server{Log: &Log{}, Config: serve.Config{Config: config.Config{App: app,
		Data: filepath.Join(Folder(t), "data"), Listen: "127.0.0.1:0", Limits: "off"}}}
	s.Config.Calls = s.Log
	s.Config.Log = slog.New(slog.NewJSONHandler(s.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if change != nil {
		change(&s.Config)
	}
	var err error
	if s.Server, err = serve.Open(context.Background(), s.Config); err != nil {
		t.Fatal(err)
	}
	s.Stop = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.Stop)
	if s.Base, err = s.Listen(); err != nil {
		t.Fatal(err)
	}
	return s
}

// Folder returns a new folder with a short name, because the path of a local socket is
// bounded, and removes it when the test ends.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "g")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Client has a pool that is large enough for the crowds of tests. It follows no
// redirect, and lets answers be as they were sent.
var Client = &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{
	MaxIdleConnsPerHost: 256, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// A Person asks a server over HTTP; the zero Token is nobody's.
type Person struct {
	Base, ID, Token string
}

// Answer is what came back.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// JSON returns the body as an object, which is empty if it is none.
func (a Answer) JSON() map[string]any {
	var out map[string]any
	if json.Unmarshal(a.Body, &out) != nil {
		return map[string]any{}
	}
	return out
}

// String returns the status and the beginning of the body.
func (a Answer) String() string { return fmt.Sprintf("%d %.300s", a.Status, a.Body) }

// Ask sends a request with a JSON body, none if it is empty; headers come in pairs.
func (p Person) Ask(method, path, body string, headers ...string) (Answer, error) {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequest(method, p.Base+path, reader)
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if p.Token != "" {
		r.Header.Set("Authorization", "Bearer "+p.Token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := Client.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	return Answer{res.StatusCode, res.Header, text}, err
}

// SignUp makes a user, who is signed in by a token.
func SignUp(t testing.TB, base, email, password string) Person {
	t.Helper()
	name, _, _ := strings.Cut(email, "@")
	a, err := Person{Base: base}.Ask("POST", "/api/auth/sign-up", fmt.Sprintf(
		`{"email":%q,"password":%q,"name":%q,"token":true}`, email, password, name))
	if err != nil || a.Status != http.StatusCreated {
		t.Fatalf("sign-up is %v, %v", a, err)
	}
	user, _ := a.JSON()["user"].(map[string]any)
	id, _ := user["id"].(string)
	token, _ := a.JSON()["token"].(string)
	if id == "" || token == "" {
		t.Fatalf("sign-up is %v", a)
	}
	return Person{Base: base, ID: id, Token: token}
}
