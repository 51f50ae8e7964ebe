package socket_test

import (
	"net"
	"sync"
)

// pipes is a listener whose connections are in memory, so that the time of synctest is theirs.
type pipes struct {
	far  chan net.Conn
	end  chan struct{}
	once sync.Once
}

func newPipes() *pipes { return &pipes{far: make(chan net.Conn), end: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.far:
		return c, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.end) })
	return nil
}

func (p *pipes) Addr() net.Addr { return here }

// dial opens a connection.
func (p *pipes) dial() (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.far <- local{far}:
		return near, nil
	case <-p.end:
		return nil, net.ErrClosed
	}
}

var here = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}

// local is a pipe with the address of this machine.
type local struct{ net.Conn }

func (local) RemoteAddr() net.Addr { return here }
