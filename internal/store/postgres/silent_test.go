package postgres

import (
	"bytes"
	"context"
	"io"
	"net"
	"slices"
	"testing"
	"time"
)

// muteConn loses what holds a word, and ends nothing.
type muteConn struct {
	net.Conn
	word string
}

func (c muteConn) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte(c.word)) {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// TestANewConnectionThatFallsSilentIsGivenUp loses what is said right after the greeting:
// who holds the line of all writes must not wait for ever, nor who wants to hear words.
func TestANewConnectionThatFallsSilentIsGivenUp(t *testing.T) {
	for word, connect := range map[string]func(context.Context, *dialect) error{
		"pg_backend_pid": func(ctx context.Context, d *dialect) error {
			return newConn(d, true).connect(ctx)
		},
		"LISTEN ": func(ctx context.Context, d *dialect) error { return d.Watch(ctx, func() {}) },
	} {
		d := connected(t).d // of its own: what is given up cancels by its DialFunc, later
		dial := d.config.DialFunc
		d.config.ConnectTimeout = time.Second
		d.config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			n, err := dial(ctx, network, addr)
			return muteConn{n, word}, err
		}
		ended := make(chan error, 1)
		go func() { ended <- connect(t.Context(), d) }()
		select {
		case err := <-ended:
			if err == nil {
				t.Errorf("%s: got a connection", word)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it is waited for still", word)
		}
	}
}

// cancelCode begins the message that asks to cancel.
var cancelCode = []byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e}

// stray keeps back what asks to cancel until the next statement runs.
type stray struct {
	// sent is called when the first statement is on its way, caught when somebody asks to
	// cancel it.
	sent, caught func()
	held         []byte
	late         net.Conn
	// out says that what was kept back came to the server.
	out bool
}

// strayConn is a connection of a stray. Nobody uses two at a time.
type strayConn struct {
	net.Conn
	of     *stray
	cancel bool
}

func (c *strayConn) Write(p []byte) (int, error) {
	switch s := c.of; {
	case bytes.HasPrefix(p, cancelCode):
		s.held, s.late, c.cancel = slices.Clone(p), c.Conn, true
		s.caught()
		return len(p), nil
	case bytes.Contains(p, []byte("'first'")):
		n, err := c.Conn.Write(p)
		s.sent()
		return n, err
	case bytes.Contains(p, []byte("'next'")):
		n, err := c.Conn.Write(p)
		if _, late := s.late.Write(s.held); late == nil {
			_, _ = io.Copy(io.Discard, s.late) // to its end: the server has heard it
			s.out = true
		}
		return n, err
	}
	return c.Conn.Write(p)
}

func (c *strayConn) Read(p []byte) (int, error) {
	if c.cancel {
		return 0, io.EOF
	}
	return c.Conn.Read(p)
}

// Close leaves the connection open on which something is under way.
func (c *strayConn) Close() error {
	if c.cancel {
		return nil
	}
	return c.Conn.Close()
}

// TestACancelThatComesLateHitsNobodyElse lets what asks to cancel a statement come to the
// server when that has ended and the next one runs.
func TestACancelThatComesLateHitsNobodyElse(t *testing.T) {
	c := connected(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// The first statement runs until somebody has asked to cancel it.
	c.value(t, "pg_advisory_lock(1)::text")
	dial, s := c.d.config.DialFunc, &stray{sent: cancel}
	s.caught = func() { _, _ = c.one(context.Background(), "SELECT pg_advisory_unlock(1)") }
	c.d.config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		n, err := dial(ctx, network, addr)
		return &strayConn{Conn: n, of: s}, err
	}
	r := newConn(c.d, false)
	must(t, r.connect(t.Context()), r.Begin(false))
	if _, err := r.one(ctx, "SELECT 'first' FROM pg_advisory_lock(1)"); s.held == nil {
		t.Fatalf("nothing was cancelled: %v", err)
	}
	must(t, r.Rollback(), r.Begin(false))
	if got, err := r.one(t.Context(), "SELECT 'next' FROM pg_sleep(0.5)"); got != "next" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if !s.out {
		t.Error("nothing came late")
	}
	must(t, r.Rollback(), r.Close(), s.late.Close())
}
