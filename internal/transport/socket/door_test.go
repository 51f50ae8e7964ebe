package socket_test

import (
	"context"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	entries "github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/serve/servetest"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/socket"
)

// still is an engine in which nothing happens.
type still struct{}

func (still) Watch(context.Context, engine.Call) (*engine.Watch, engine.Rows, error) {
	return nil, engine.Rows{}, fault.New(fault.NotFound, "There is nothing here.")
}

func (still) Look(_ context.Context, fn func(*engine.Look) error) error { return fn(&engine.Look{}) }

func (still) Identify(context.Context, engine.Call) (ident.Subject, error) {
	return ident.Subject{}, nil
}

// bare is a door without a server's rest: what is asked, a test answers.
func bare(t *testing.T, c socket.Config) (*world, *socket.Door) { return bareOn(t, c, nil) }

// bareOn is bare, reached by pipes if there are some.
func bareOn(t *testing.T, c socket.Config, in *pipes) (*world, *socket.Door) {
	t.Helper()
	hub := live.New(live.Config{Engine: still{}, Epoch: "e", Append: transport.AppendItem,
		Follow: func(ctx context.Context, _ entries.Seq) iter.Seq2[entries.Entry, error] {
			return func(yield func(entries.Entry, error) bool) {
				<-ctx.Done()
				yield(entries.Entry{}, ctx.Err())
			}
		}})
	if err := hub.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	words := transport.NewWords(nil)
	w := &world{t: t, log: &servetest.Log{}}
	c.Live, c.Words = hub, func() *transport.Words { return words }
	c.Log = slog.New(slog.NewJSONHandler(w.log, nil))
	door := socket.New(c, nil)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			t.Error(err)
		}
		if from := r.Header.Get("From"); from != "" {
			host = from
		}
		to := door.Socket
		if r.URL.Path == "/api/events" {
			to = door.Events
		}
		if _, err := to(w, r, engine.Call{Request: engine.Request{IP: host}}); err != nil {
			p := words.Problem(err, "x")
			w.WriteHeader(p.Status)
			_, _ = w.Write(p.Append(nil))
		}
	}))
	if in != nil {
		_ = srv.Listener.Close() // nobody comes there
		srv.Listener, w.dials = in, in.dial
	}
	srv.Start()
	w.base = srv.URL
	w.stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		door.Close(ctx)
		srv.Close()
	})
	t.Cleanup(w.stop)
	return w, door
}

// ok answers every request.
func ok(w http.ResponseWriter, _ *http.Request, _, _ string) entries.Seq {
	w.Header()["Content-Type"] = []string{"application/json"}
	_, _ = io.WriteString(w, "{}")
	return entries.Seq{}
}

func TestADeadPeerIsCutOff(t *testing.T) { synctest.Test(t, aDeadPeerIsCutOff) }

func aDeadPeerIsCutOff(t *testing.T) {
	w, _ := bareOn(t, socket.Config{Ask: ok}, newPipes())
	open := func() *raw {
		c := w.dialRaw("")
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		return c
	}
	dead := open()
	if got := dead.story(); !strings.HasPrefix(got, "text:{} text:{}") || !strings.HasSuffix(got, "end") {
		t.Errorf("who says nothing hears %s", got)
	}
	// The control: who answers each ping outlives that.
	alive := open()
	for began := time.Now(); time.Since(began) < 3*socket.PeerTime; {
		first, payload, err := alive.next()
		if err != nil || first != fin|opText || string(payload) != "{}" {
			t.Fatalf("who answers hears %x %s %v", first, payload, err)
		}
		alive.send(frame(fin|opText, "{}"))
	}
	alive.send(bye)
	// Half a frame is no sign of life.
	half := open()
	half.send(frame(fin|opText, health)[:9])
	if got := half.story(); !strings.HasSuffix(got, "end") {
		t.Errorf("who sends half a frame hears %s", got)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	w, _ := bare(t, socket.Config{Ask: ok, AddressMax: 3, ConnectionMax: 5})
	refused := func(from, path, bound string, status int) {
		t.Helper()
		r, err := http.NewRequest("GET", w.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, v := range map[string]string{"From": from, "Upgrade": "websocket", "Connection": "Upgrade",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
			r.Header.Set(name, v)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != status || !strings.Contains(string(body), bound) {
			t.Errorf("from %s %s: %d %s %v, want %d with %q", from, path, res.StatusCode, body, err, status,
				bound)
		}
	}
	var open []*raw
	for range 3 {
		open = append(open, w.dialRaw("", "From", "2001:db8::1"))
	}
	// An address of IPv6 is its network.
	refused("2001:db8::2", "/api/ws", "3 connections", 429)
	refused("2001:db8::2", "/api/events?follow=x", "3 connections", 429)
	for range 2 {
		w.dialRaw("", "From", "192.0.2.1")
	}
	refused("192.0.2.1", "/api/ws", "5 connections", 503)
	for _, c := range open {
		c.send(bye)
		if got := c.story(); got != "close(1000) end" {
			t.Errorf("closing is %s", got)
		}
	}
	// What has closed is free again, as soon as the server has seen it.
	for deadline := time.Now().Add(patience); ; {
		l, _, err := w.tryDial("From", "2001:db8::3")
		if err == nil {
			_ = l.ws.CloseNow()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("nothing is free again")
		}
	}
}

func TestCallsOfASocketAreBounded(t *testing.T) {
	var now, most atomic.Int64
	release := make(chan struct{})
	reached := make(chan struct{}, 100)
	w, _ := bare(t, socket.Config{Ask: func(w http.ResponseWriter, r *http.Request, door, c string) entries.Seq {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		if r.URL.Path == "/slow" {
			reached <- struct{}{}
			<-release
		}
		return ok(w, r, door, c)
	}})
	l := w.dial()
	for n := range 60 {
		l.send(fmt.Sprintf(`{"id":%d,"method":"GET","path":"/slow"}`, n+1))
	}
	for range socket.CallMax {
		<-reached
	}
	// Another socket is not kept waiting by it.
	if got := w.dial().ask(`{"method":"GET","path":"/quick"}`); got["status"] != 200.0 {
		t.Errorf("another socket is answered %v", got)
	}
	close(release)
	seen := map[float64]bool{}
	for range 60 {
		got, err := l.read()
		if err != nil || got["status"] != 200.0 {
			t.Fatalf("an answer is %v %v", got, err)
		}
		seen[got["id"].(float64)] = true
	}
	if len(seen) != 60 || most.Load() > socket.CallMax+1 {
		t.Errorf("%d answers, %d calls at once", len(seen), most.Load())
	}
}

func TestASocketThatBreaksIsAlone(t *testing.T) {
	w, _ := bare(t, socket.Config{Ask: func(w http.ResponseWriter, r *http.Request, door, c string) entries.Seq {
		if r.URL.Path == "/break" {
			panic("an invariant")
		}
		return ok(w, r, door, c)
	}})
	other, l := w.dial(), w.dial()
	l.send(`{"id":1,"method":"GET","path":"/break"}`)
	if code, reason := l.closed(); code != 0 {
		t.Errorf("it is closed with %d %s", code, reason)
	}
	if got := other.ask(`{"method":"GET","path":"/"}`); got["status"] != 200.0 {
		t.Errorf("another socket is answered %v", got)
	}
	if !strings.Contains(w.log.String(), "an invariant") {
		t.Errorf("the log is %s", w.log)
	}
}

func TestWhoSendsTooFastIsReadLater(t *testing.T) {
	w, _ := bare(t, socket.Config{Ask: ok})
	c := w.dialRaw("")
	const n = socket.FrameBurst + socket.FrameRate
	began := time.Now()
	c.send(strings.Repeat(frame(fin|opText, `{"ack":"e:0"}`), n), frame(fin|opText, health))
	if got := c.story(); got != "answer close(1000) end" {
		t.Fatalf("the story is %s", got)
	}
	if took := time.Since(began); took < 900*time.Millisecond {
		t.Errorf("%d frames were read in %v", n, took)
	}
}

func TestNobodyKeepsAServerFromClosing(t *testing.T) {
	big := []byte(`"` + strings.Repeat("x", 1<<20) + `"`)
	w, _ := bare(t, socket.Config{Ask: func(w http.ResponseWriter, _ *http.Request, _, _ string) entries.Seq {
		w.Header()["Content-Type"] = []string{"application/json"}
		_, _ = w.Write(big)
		return entries.Seq{}
	}})
	// He asks for more than machines keep for a reader, and reads nothing but the beginning.
	deaf := w.dialRaw("")
	for range socket.CallMax * 2 {
		deaf.send(frame(fin|opText, `{"id":1,"method":"GET","path":"/"}`))
	}
	if _, err := deaf.r.ReadByte(); err != nil {
		t.Fatal(err)
	}
	idle := w.dialRaw("")
	began := time.Now()
	w.stop()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the door took %v to close", took)
	}
	if got := idle.story(); !strings.HasPrefix(got, `text:{"closing":{"code":1012,"reconnect_in":`) ||
		!strings.HasSuffix(got, "close(1012) end") {
		t.Errorf("who is idle hears %s", got)
	}
	if _, _, err := w.tryDial(); err == nil {
		t.Error("somebody is let in after the end")
	}
}
