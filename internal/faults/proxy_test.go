package faults

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// The ways to cut a connection. The first lets so many bytes through and
// closes both ends.
const (
	_ = iota
	// cutHalfUp ends what is said to the server, cutHalfDown what is said to the node;
	// the other direction goes on.
	cutHalfUp
	cutHalfDown
	// cutStall says nothing for a while, and then closes both ends.
	cutStall
	// cutCommitSaid lets a commit through and loses its answer.
	cutCommitSaid
	// cutCommitTorn lets only a part of what ends with a commit through.
	cutCommitTorn
	cutWays
	// cutSilence lets nothing through any more from a commit on, on any connection and in
	// either direction, and ends none.
	cutSilence
)

// stallTime is how long a connection says nothing before it is cut.
const stallTime = time.Second

// cut is an order to cut the next connection that it fits, after so many bytes of
// either direction. done is closed when that has happened.
type cut struct {
	way  int
	left int
	part float64
	done chan struct{}
}

// proxy stands between a node and its server, and cuts connections when it is told to.
// The commits it knows by the text that prepares them.
type proxy struct {
	*testing.T
	listener net.Listener
	target   string
	pumps    sync.WaitGroup

	mu    sync.Mutex
	links map[*wire]bool
	order *cut
	// silent says that nothing comes through, and nobody hears of that.
	silent bool
}

// wire is a connection through the proxy.
type wire struct {
	node, server *net.TCPConn
	once         sync.Once
	// commit is the name under which the node prepared its commit.
	commit []byte
}

// stand puts a proxy before the server of an address, and returns the address that
// leads through it.
func stand(t *testing.T, address string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{T: t, listener: l, target: u.Host, links: map[*wire]bool{}}
	p.pumps.Go(p.accept)
	t.Cleanup(p.close)
	u.Host = l.Addr().String()
	return p, u.String()
}

func (p *proxy) close() {
	if err := p.listener.Close(); err != nil {
		p.Error(err)
	}
	p.mu.Lock()
	for w := range p.links {
		w.close()
	}
	p.mu.Unlock()
	p.pumps.Wait()
}

// close closes both ends, with what is on its way.
func (w *wire) close() {
	w.once.Do(func() {
		// A connection that is closed already is closed.
		_, _ = w.node.Close(), w.server.Close()
	})
}

func (p *proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		s, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = c.Close() // there is nobody to tell
			continue
		}
		w := &wire{node: c.(*net.TCPConn), server: s.(*net.TCPConn)}
		p.mu.Lock()
		p.links[w] = true
		p.mu.Unlock()
		var both sync.WaitGroup
		both.Go(func() { p.pump(w, w.node, w.server, true) })
		both.Go(func() { p.pump(w, w.server, w.node, false) })
		p.pumps.Go(func() {
			both.Wait()
			w.close()
			p.mu.Lock()
			delete(p.links, w)
			p.mu.Unlock()
		})
	}
}

// pump carries bytes from one end to the other until one of them ends or it is cut.
func (p *proxy) pump(w *wire, from, to *net.TCPConn, up bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.swallows() {
			if up {
				w.learn(buf[:n])
			}
			if c, keep := p.take(w, buf[:n], up); c != nil {
				p.carryOut(c, w, from, to, buf[:keep])
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				w.close()
				return
			}
		}
		if err != nil {
			// The other direction may go on; if it does not, the ends are closed.
			if to.CloseWrite() != nil {
				w.close()
			}
			return
		}
	}
}

func (p *proxy) swallows() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.silent
}

// learn looks for the message by which the commit is prepared: its name stands before
// its text.
func (w *wire) learn(b []byte) {
	at := bytes.Index(b, []byte("\x00COMMIT\x00"))
	if at < 0 {
		return
	}
	start := at
	for start > 0 && b[start-1] > ' ' {
		start--
	}
	if start < at {
		w.commit = bytes.Clone(b[start:at])
	}
}

// commits reports whether bytes on their way to the server hold a commit.
func (w *wire) commits(b []byte) bool {
	return w.commit != nil && bytes.Contains(b, fmt.Appendf(nil, "\x00%s\x00", w.commit))
}

// take returns the order, if these bytes are where it is to be carried out, and how
// many of them are to come through.
func (p *proxy) take(w *wire, b []byte, up bool) (*cut, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, keep := p.order, 0
	if c == nil {
		return nil, 0
	}
	switch c.way {
	case cutCommitSaid:
		if up || !bytes.Contains(b, []byte("C\x00\x00\x00\x0bCOMMIT\x00")) {
			return nil, 0
		}
	case cutCommitTorn, cutSilence:
		if !up || !w.commits(b) {
			return nil, 0
		}
		keep = int(c.part * float64(len(b)))
		if p.silent = c.way == cutSilence; p.silent {
			keep = 0
		}
	case cutHalfUp, cutHalfDown:
		if up != (c.way == cutHalfUp) {
			return nil, 0
		}
		fallthrough
	default:
		if c.left > len(b) {
			c.left -= len(b)
			return nil, 0
		}
		keep = c.left
	}
	p.order = nil
	return c, keep
}

// carryOut lets the rest through and cuts the connection.
func (p *proxy) carryOut(c *cut, w *wire, from, to *net.TCPConn, rest []byte) {
	defer close(c.done)
	_, err := to.Write(rest)
	switch {
	case err != nil:
	case c.way == cutSilence:
		return
	case c.way == cutHalfUp || c.way == cutHalfDown:
		if err = to.CloseWrite(); err == nil {
			// What comes still is lost.
			p.pumps.Go(func() { _, _ = io.Copy(io.Discard, from) })
			return
		}
	case c.way == cutStall:
		<-time.After(stallTime)
	}
	w.close()
}

// cut cuts a connection in a way, and waits until that has happened.
func (p *proxy) cut(rnd *rand.Rand, way int) {
	p.Helper()
	c := &cut{way: way, left: 1 + rnd.IntN(20_000), part: rnd.Float64(), done: make(chan struct{})}
	if rnd.IntN(2) == 0 {
		c.part = 1 - c.part/8 // near the end, where the commit stands
	}
	p.mu.Lock()
	p.order = c
	p.mu.Unlock()
	select {
	case <-c.done:
	case <-time.After(patience):
		p.Fatalf("nothing could be cut in the way %d", way)
	}
}

// TestConnectionsAreCut cuts connections between nodes and their server at any byte, and
// in the midst of commits, while all of them write and follow.
func TestConnectionsAreCut(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	one, first := stand(t, address)
	two, second := stand(t, address)
	w := begin(t, first, second, address)
	rnd := rand.New(rand.NewPCG(w.seed, 1))
	w.progress(5)
	for range cuts {
		for way := range cutWays {
			[]*proxy{one, two}[rnd.IntN(2)].cut(rnd, way)
			w.progress(1)
		}
	}
	w.progress(5)
	w.end()
}

// TestCommitsWithoutAnswer loses the answers of commits that were kept: the store finds
// out by itself, and nobody has to ask again.
func TestCommitsWithoutAnswer(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	one, first := stand(t, address)
	w := begin(t, first, address)
	rnd := rand.New(rand.NewPCG(w.seed, 1))
	w.progress(5)
	for range 2 * cuts {
		one.cut(rnd, cutCommitSaid)
		w.progress(1)
	}
	w.end()
	for kind, n := range w.faults {
		t.Errorf("%d calls ended as %v, and all was known", n, kind)
	}
}
