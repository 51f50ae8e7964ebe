package serve

import (
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Bounds of the end of a listener that is used.
const (
	// quietTime is how long nothing new must come before it ends, drainTime how long it is
	// waited for that.
	quietTime = 20 * time.Millisecond
	drainTime = 500 * time.Millisecond
)

// drain lets those who use a listener go before it ends: whoever is answered is told to
// use another connection, and who was taken in by the system is still served. It counts
// what comes.
type drain struct {
	net.Listener
	next http.Handler
	// open counts connections, came those and the requests since it is going to end.
	open   atomic.Int64
	came   atomic.Int64
	ending atomic.Bool
}

// Accept implements net.Listener.
func (d *drain) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err == nil {
		d.open.Add(1)
		d.came.Add(1)
	}
	return c, err
}

// state notes what becomes of a connection.
func (d *drain) state(_ net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		d.open.Add(-1)
	}
}

// ServeHTTP implements http.Handler.
func (d *drain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if d.ending.Load() {
		d.came.Add(1)
		w.Header().Set("Connection", "close")
	}
	d.next.ServeHTTP(w, r)
}

// end waits until those who use the listener have gone, for a while.
func (d *drain) end() {
	d.ending.Store(true)
	for late := time.Now().Add(drainTime); d.open.Load() > 0 && time.Now().Before(late); {
		before := d.came.Load()
		time.Sleep(quietTime)
		if d.came.Load() == before {
			return
		}
	}
}
