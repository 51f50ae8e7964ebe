package serve

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/ident"
)

// The headers of the local door, which no other door reads.
const (
	// HeaderAs names the user, by id or email, as whom a command asks, or
	// anonymous. Without it the subject is an admin.
	HeaderAs = "Galley-As"
	// HeaderAdmin is the name of the admin who asks.
	HeaderAdmin = "Galley-Admin"
	// HeaderDryRun asks for everything but the commit.
	HeaderDryRun = "Galley-Dry-Run"
)

// Door is the local door: it reaches the engine of a data folder, whether a server
// runs on it or not. Who may open the folder may use the door.
type Door struct {
	client *http.Client
	close  func() error
}

// Dial opens the local door: to the server that runs on the data folder, or, if none
// runs, to the app opened in this process.
func Dial(ctx context.Context, cfg Config) (*Door, error) {
	if door, ok := dialSocket(ctx, cfg); ok {
		return door, nil
	}
	cfg.door = true
	s, err := Open(ctx, cfg)
	if err != nil {
		return nil, err
	}
	return &Door{client: &http.Client{Transport: direct{s.local()}}, close: s.Close}, nil
}

// dialSocket opens the local door of the server that runs on the data folder. Where the
// configuration names a database, and the server has another one, that server is not
// meant.
func dialSocket(ctx context.Context, cfg Config) (*Door, bool) {
	door, ok := dialAny(ctx, cfg)
	if !ok || cfg.InFolder() || door.has(ctx, cfg.DatabaseAddr()) {
		return door, ok
	}
	_ = door.Close() // nothing was asked that could be lost
	return nil, false
}

// has asks the running server whether its database is that of an address. A server that
// cannot say is taken at its folder.
func (d *Door) has(ctx context.Context, address string) bool {
	address, err := wholePath(address)
	if err != nil {
		return true
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://galley/local/database?"+
		url.Values{"is": {address}}.Encode(), nil)
	if err != nil {
		return true
	}
	res, err := d.Do(req)
	if err != nil {
		return true
	}
	defer res.Body.Close()
	return res.StatusCode != http.StatusConflict
}

// handleDatabase says whether the server's database is that of an address.
func (s *Server) handleDatabase(w http.ResponseWriter, r *http.Request) {
	m, ok := s.store.(*movable)
	if ok && !sameAddress(m.at.Load().address, r.URL.Query().Get("is")) {
		w.WriteHeader(http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// dialAny opens the local door of the server that runs on the data folder, whatever its
// database.
func dialAny(ctx context.Context, cfg Config) (*Door, bool) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", cfg.Socket())
	}
	conn, err := dial(ctx, "", "")
	if err != nil {
		return nil, false
	}
	_ = conn.Close() // it was only asked whether somebody listens
	t := &http.Transport{DialContext: dial}
	return &Door{client: &http.Client{Transport: t}, close: func() error {
		t.CloseIdleConnections()
		return nil
	}}, true
}

// Do sends a request; its host has no meaning.
func (d *Door) Do(r *http.Request) (*http.Response, error) {
	if name := os.Getenv("USER"); name != "" {
		r.Header.Set(HeaderAdmin, name)
	}
	return d.client.Do(r)
}

// Close closes the door, and the app if it was opened for it.
func (d *Door) Close() error { return d.close() }

// direct calls a handler without a wire. The body of the answer is streamed.
type direct struct{ handler http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	body, w := io.Pipe()
	a := &answer{header: http.Header{}, body: w, begun: make(chan int, 1)}
	if r.Body == nil {
		r.Body = http.NoBody
	}
	r = r.Clone(r.Context())
	r.RequestURI = r.URL.RequestURI()
	r.RemoteAddr = "@"
	go func() {
		// As on a wire, an answer that was aborted is one that breaks off.
		defer func() {
			if why := recover(); why != nil && why != http.ErrAbortHandler {
				panic(why)
			}
			a.WriteHeader(http.StatusInternalServerError)
			_ = w.CloseWithError(io.ErrUnexpectedEOF) // never fails
		}()
		d.handler.ServeHTTP(a, r)
		a.WriteHeader(http.StatusOK)
		_ = w.Close() // a pipe's Close never fails
	}()
	select {
	case status := <-a.begun:
		return &http.Response{StatusCode: status, Header: a.sent, Body: body, Request: r,
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: -1}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// answer is the ResponseWriter of direct.
type answer struct {
	header http.Header
	sent   http.Header
	body   *io.PipeWriter
	once   sync.Once
	begun  chan int
}

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answer) WriteHeader(status int) {
	a.once.Do(func() {
		a.sent = a.header.Clone()
		a.begun <- status
	})
}

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(p)
}

// Flush implements http.Flusher.
func (a *answer) Flush() {}

// listenSocket listens for commands. A socket that a killed server left behind is
// replaced; the data folder's lock makes sure that no other server runs.
func listenSocket(path string) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return l, os.Chmod(path, 0o600)
}

// admin is the subject of a request at the local door without HeaderAs.
func admin(r *http.Request) ident.Subject {
	name := r.Header.Get(HeaderAdmin)
	if name == "" {
		name = "local"
	}
	return ident.Subject{Who: ident.Admin, Name: name}
}

// clock is the app's own time: whole milliseconds, UTC.
func clock() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }
