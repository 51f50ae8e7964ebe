package socket_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/serve/servetest"
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
const patience = time.Minute

// world is a running server.
type world struct {
	t    testing.TB
	base string
	log  *servetest.Log
	stop func()
	// dials reaches it otherwise than by its address.
	dials func() (net.Conn, error)
}

// open starts a server with the app.
func open(t testing.TB, app string) *world {
	t.Helper()
	dir := servetest.Folder(t)
	if err := os.WriteFile(filepath.Join(dir, "galley.yaml"), []byte(app), 0o600); err != nil {
		t.Fatal(err)
	}
	s := servetest.Start(t, dir, func(c *serve.Config) { c.Admin = "127.0.0.1:0" })
	return &world{t: t, base: s.Base, log: s.Log, stop: s.Stop}
}

// person is somebody who is signed in by a token.
type person struct {
	w         *world
	id, token string
}

// signUp makes a user.
func (w *world) signUp(name string) *person {
	w.t.Helper()
	p := servetest.SignUp(w.t, w.base, name+"@example.com", "correct horse battery")
	return &person{w: w, id: p.ID, token: p.Token}
}

// do asks over HTTP; headers come in pairs.
func (p *person) do(method, path, body string, headers ...string) (int, map[string]any) {
	p.w.t.Helper()
	a := p.raw(method, path, body, headers...)
	var out map[string]any
	if len(a.Body) > 0 {
		if err := json.Unmarshal(a.Body, &out); err != nil {
			p.w.t.Fatalf("%s %s: %v: %s", method, path, err, a.Body)
		}
	}
	return a.Status, out
}

func (p *person) raw(method, path, body string, headers ...string) servetest.Answer {
	p.w.t.Helper()
	a, err := servetest.Person{Base: p.w.base, Token: p.token}.Ask(method, path, body, headers...)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return a
}

// make creates a record over HTTP and returns its id.
func (p *person) make(collection, body string) string {
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
