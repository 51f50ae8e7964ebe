package socket_test

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

	"github.com/coder/websocket"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/serve"
)

// board is the app that the tests ask.
const board = `app: board
auth:
  sign_in: [password]
  sign_up: {fields: [name]}
collections:
  users:
    fields:
      name: {type: string, max: 80}
    allow:
      read: record == auth
  cards:
    fields:
      owner: {type: users, set: auth}
      title: {type: string, max: 20000}
      position: {type: float, default: 0}
      count: {type: int, default: 0}
    check:
      too_far: record.position <= 1000.0
    allow:
      read: record.owner == auth
      create: {if: auth != null, fields: [title, position, count]}
      update: {if: record.owner == auth, fields: [title, position, count]}
      delete: record.owner == auth
  news:
    fields:
      text: {type: string, max: 20000}
    allow:
      read: "true"
      create: {if: "true", fields: [text]}
      delete: "true"
errors:
  too_far: That is too far to the right.
`

// patience bounds every wait of a test.
const patience = 10 * time.Second

// world is a running server.
type world struct {
	t    testing.TB
	base string
	log  *journal
	stop func()
}

// journal is a log that can be read while it is written.
type journal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.b.String()
}

// open starts a server with the app.
func open(t testing.TB, app string) *world {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // short, because a socket's path is
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Mkdir(filepath.Join(dir, "app"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "app", "galley.yaml"), []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, log: &journal{}}
	cfg := serve.Config{Config: config.Config{App: filepath.Join(dir, "app"),
		Data: filepath.Join(dir, "data"), Listen: "127.0.0.1:0", Admin: "127.0.0.1:0", Limits: "off"}}
	cfg.Calls, cfg.Log = w.log, slog.New(slog.NewJSONHandler(w.log, nil))
	s, err := serve.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.stop = sync.OnceFunc(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(w.stop)
	if w.base, err = s.Listen(); err != nil {
		t.Fatal(err)
	}
	return w
}

// person is somebody who is signed in by a token.
type person struct {
	w         *world
	id, token string
}

// signUp makes a user.
func (w *world) signUp(name string) *person {
	w.t.Helper()
	p := &person{w: w}
	status, body := p.do("POST", "/api/auth/sign-up", fmt.Sprintf(
		`{"email":"%s@example.com","password":"correct horse battery","name":%q,"token":true}`, name,
		name))
	if status != 201 {
		w.t.Fatalf("sign-up is %d %v", status, body)
	}
	p.id, p.token = body["user"].(map[string]any)["id"].(string), body["token"].(string)
	return p
}

// do asks over HTTP; headers come in pairs.
func (p *person) do(method, path, body string, headers ...string) (int, map[string]any) {
	p.w.t.Helper()
	res, text := p.raw(method, path, body, headers...)
	var out map[string]any
	if len(text) > 0 {
		if err := json.Unmarshal(text, &out); err != nil {
			p.w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
		}
	}
	return res.StatusCode, out
}

func (p *person) raw(method, path, body string, headers ...string) (*http.Response, []byte) {
	p.w.t.Helper()
	r, err := http.NewRequest(method, p.w.base+path, strings.NewReader(body))
	if err != nil {
		p.w.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if p.token != "" {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.w.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return res, text
}

// make creates a record over HTTP and returns its id.
func (p *person) make(collection, body string) string {
	p.w.t.Helper()
	p.w.t.Helper()
	status, got := p.do("POST", "/api/"+collection, body, "Idempotency-Key", key())
	if status != 201 {
		p.w.t.Fatalf("create in %s is %d %v", collection, status, got)
	}
	return got["id"].(string)
}

var keys struct {
	sync.Mutex
	n int
}

// key is a fresh idempotency key.
func key() string {
	keys.Lock()
	defer keys.Unlock()
	keys.n++
	return fmt.Sprintf("key-%d", keys.n)
}

// line is a socket as a client has it.
type line struct {
	t  testing.TB
	ws *websocket.Conn
	// later are pushes that came while an answer was waited for.
	later []map[string]any
	n     int
}

// dial opens a socket with headers, in pairs.
func (w *world) dial(headers ...string) *line {
	w.t.Helper()
	l, res, err := w.tryDial(headers...)
	if err != nil {
		w.t.Fatalf("dial: %v %v", err, res)
	}
	return l
}

func (w *world) tryDial(headers ...string) (*line, *http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, w.base+"/api/ws", &websocket.DialOptions{HTTPHeader: h,
		Subprotocols: []string{"galley.v1"}, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		return nil, res, err
	}
	ws.SetReadLimit(-1)
	w.t.Cleanup(func() { _ = ws.CloseNow() })
	return &line{t: w.t, ws: ws}, res, nil
}

// dial opens a socket as the person.
func (p *person) dial() *line {
	p.w.t.Helper()
	return p.w.dial("Authorization", "Bearer "+p.token)
}

// send sends a frame.
func (l *line) send(frame string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := l.ws.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		l.t.Fatalf("send %.80s: %v", frame, err)
	}
}

// read reads the next frame.
func (l *line) read() (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, text, err := l.ws.Read(ctx)
	if err != nil {
		return nil, err
	}
	var out map[string]any
	if err := json.Unmarshal(text, &out); err != nil {
		l.t.Fatalf("a frame is no JSON: %s", text)
	}
	return out, nil
}

// ask sends a frame without its id and returns the answer.
func (l *line) ask(frame string) map[string]any {
	l.t.Helper()
	l.n++
	l.send(fmt.Sprintf(`{"id":%d,%s`, l.n, strings.TrimPrefix(frame, "{")))
	return l.answer(l.n)
}

// answer waits for the answer to an id.
func (l *line) answer(id int) map[string]any {
	l.t.Helper()
	for {
		got, err := l.read()
		if err != nil {
			l.t.Fatalf("waiting for answer %d: %v", id, err)
		}
		if got["id"] == float64(id) {
			return got
		}
		if got["id"] != nil {
			l.t.Fatalf("waiting for answer %d: %v", id, got)
		}
		l.later = append(l.later, got)
	}
}

// push returns the next frame that is no answer.
func (l *line) push() map[string]any {
	l.t.Helper()
	if len(l.later) > 0 {
		first := l.later[0]
		l.later = l.later[1:]
		return first
	}
	got, err := l.read()
	if err != nil {
		l.t.Fatalf("waiting for a push: %v", err)
	}
	return got
}

// closed reads until the socket is closed and returns the code and the reason.
func (l *line) closed() (int, string) {
	l.t.Helper()
	for {
		_, err := l.read()
		var ce websocket.CloseError
		if errorAs(err, &ce) {
			return int(ce.Code), ce.Reason
		}
		if err != nil {
			return 0, err.Error()
		}
	}
}

// text writes a value as JSON, to compare and to show.
func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
