package postgres

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// lateNet keeps back what a connection wrote last, lets that connection break, and lets
// the bytes arrive when others have looked for what became of them.
type lateNet struct {
	dial func(context.Context, string, string) (net.Conn, error)
	mu   sync.Mutex
	// armed says that the next bytes of the connection that writes are to be late.
	armed bool
	held  []byte
	from  net.Conn
	// told is how the server ended what came late, 0 if nothing came.
	told byte
}

// lateConn is a connection of a lateNet.
type lateConn struct {
	net.Conn
	of *lateNet
	// writes says that it is the one for writing; locked, and then looked, that it has
	// locked the head after the break, and let go of it.
	writes, broken, locked, looked bool
}

func (n *lateNet) connect(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := n.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &lateConn{Conn: c, of: n}, nil
}

func (c *lateConn) Write(b []byte) (int, error) {
	n := c.of
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.armed && c.writes:
		n.armed, n.held, n.from, c.broken = false, slices.Clone(b), c.Conn, true
		return len(b), nil
	case n.held == nil:
	case c.looked:
		n.arrive()
	case c.locked && (bytes.Contains(b, []byte("\x00ROLLBACK\x00")) ||
		bytes.Contains(b, []byte("\x00COMMIT\x00"))):
		c.looked = true
	case bytes.Contains(b, []byte("FOR UPDATE")):
		c.locked = true
	}
	c.writes = c.writes || bytes.Contains(b, []byte("ISOLATION LEVEL READ COMMITTED"))
	return c.Conn.Write(b)
}

// arrive lets the late bytes come to the server, and waits for what it says.
func (n *lateNet) arrive() {
	_, err := n.from.Write(n.held)
	n.held = nil
	for in := pgproto3.NewFrontend(n.from, n.from); err == nil; {
		var m pgproto3.BackendMessage
		if m, err = in.Receive(); err != nil {
			return
		}
		switch m.(type) {
		case *pgproto3.ErrorResponse:
			n.told = 'E'
		case *pgproto3.ReadyForQuery:
			if n.told == 0 {
				n.told = 'Z'
			}
			return
		}
	}
}

func (c *lateConn) Read(b []byte) (int, error) {
	c.of.mu.Lock()
	broken := c.broken
	c.of.mu.Unlock()
	if broken {
		return 0, net.ErrClosed
	}
	return c.Conn.Read(b)
}

// Close leaves the connection open whose bytes are late: the network has them.
func (c *lateConn) Close() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.broken {
		return nil
	}
	return c.Conn.Close()
}

// TestACommitThatComesLateIsNone breaks a connection on which a whole transaction is still
// under way: what the store has found not to be kept must not be kept after all.
func TestACommitThatComesLateIsNone(t *testing.T) {
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	late := &lateNet{dial: d.config.DialFunc}
	d.config.DialFunc = late.connect
	s, err := open(t.Context(), d, Config{})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	_, err = s.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(notes()), nil)
	must(t, err)
	shape := s.Schema().Table("notes").Shape
	counter := note(t, s.Store, shape, "")
	more := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := s.Write(ctx, journal.Origin{Operation: "more"}, func(tx store.Tx) error {
			r, err := tx.Get(ctx, "notes", counter)
			if err != nil {
				return err
			}
			next := value.NewRecord(shape)
			next.Set(spec.FieldID, value.OfText(string(counter)))
			next.Set(spec.FieldVersion, r.Get(spec.FieldVersion))
			next.Set("text", value.OfText(r.Get("text").Text()+"."))
			_, err = tx.Put(ctx, "notes", next)
			return err
		})
		return err
	}
	const calls = 20
	for range calls - 1 { // enough of them that the head is guessed
		must(t, more())
	}
	late.mu.Lock()
	late.armed = true
	late.mu.Unlock()
	must(t, more())
	late.mu.Lock()
	told := late.told
	must(t, late.from.Close())
	late.mu.Unlock()
	if told == 0 {
		t.Error("nothing came late")
	}
	want := "hello" + fmt.Sprintf("%0*d", calls, 0)
	must(t, s.Read(t.Context(), func(v store.View) error {
		r, err := v.Get(t.Context(), "notes", counter)
		if got := r.Get("text").Text(); err == nil && len(got) != len(want) {
			t.Errorf("%d calls were done %d times", calls, len(got)-len("hello"))
		}
		return err
	}))
	t.Logf("the server said %c", told)
}
