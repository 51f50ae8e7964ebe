package browser

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Line is a way to a server that can be cut, as when somebody enters a tunnel: everything that
// is open breaks off, and nothing new gets through.
type Line struct {
	// Address is where the line begins, such as http://127.0.0.1:40321.
	Address string

	to  string
	mu  sync.Mutex
	cut bool
	all map[net.Conn]bool
}

// NewLine opens a line to a server until the test is over.
func NewLine(t *testing.T, server string) *Line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &Line{Address: "http://" + listener.Addr().String(),
		to: strings.TrimPrefix(server, "http://"), all: make(map[net.Conn]bool)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { l.carry(near) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // what matters is that nobody waits any more
		l.Cut()
		running.Wait()
	})
	return l
}

// Cut breaks the line.
func (l *Line) Cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = true
	for conn := range l.all {
		_ = conn.Close() // it is broken on purpose
	}
	clear(l.all)
}

// To has the line lead to another server from now on.
func (l *Line) To(server string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.to = strings.TrimPrefix(server, "http://")
}

// Mend lets everything through again.
func (l *Line) Mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = false
}

// hold notes connections that Cut breaks, unless the line is cut already.
func (l *Line) hold(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, conn := range conns {
		if l.cut {
			_ = conn.Close() // as above
		} else {
			l.all[conn] = true
		}
	}
	return !l.cut
}

func (l *Line) carry(near net.Conn) {
	if !l.hold(near) {
		return
	}
	l.mu.Lock()
	to := l.to
	l.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		_ = near.Close() // the server is gone
		return
	}
	if !l.hold(far) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // an end is an end, whatever its reason
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, near)
	delete(l.all, far)
}
