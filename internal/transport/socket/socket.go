// Package socket is the door for what goes on: WebSocket and Server-Sent Events. A caller
// follows queries, is in channels, and asks over the socket whatever could be asked over
// HTTP, with the same answers. It promises one answer for each frame with an id, the
// pushes of each subscription in the order of commits and only after its answer, and a
// bound for everything that a peer can make it hold. What is pushed, follow/live decides;
// what channels carry, channel; what calls mean, the engine.
//
// A socket has a goroutine that reads. It does what is quick, and starts one more for
// each call, within a bound. Another is there while something is to be written: it gathers
// all that is ready into one write, and goes. Frames with data it writes itself, the frames
// of control are the library's.
package socket

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/limit"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/transport"
)

// The bounds of this door.
const (
	// SubscriptionMax is the greatest number of subscriptions of one connection.
	SubscriptionMax = 200
	// FrameMax is the greatest size of a message that a client sends, in bytes.
	FrameMax = 64 << 10
	// FrameRate is how many messages a second are read of one socket. After a rest
	// FrameBurst of them are read at once. Who sends faster is read later.
	FrameRate  = 60
	FrameBurst = 300
	// CallMax is how many calls of one socket run at once, or wait for the peer to take
	// their answers. While there are as many, nothing more is read.
	CallMax = 16
	// AddressMax is the greatest number of connections of one address that is not this
	// machine's, and ConnectionMax of all, unless Config says another.
	AddressMax    = 1000
	ConnectionMax = 20_000
	// PingTime is how often a peer is asked for a sign of life, PeerTime how long it may
	// give none, and WriteTime how long it may take nothing of what is written.
	PingTime  = 25 * time.Second
	PeerTime  = 60 * time.Second
	WriteTime = 30 * time.Second
	// CloseTime is how long a peer may take to close when it was told to, and DrainTime
	// how long calls may take to end when the server closes, PartTime when a session ended.
	CloseTime = 2 * time.Second
	DrainTime = 5 * time.Second
	PartTime  = 200 * time.Millisecond
)

// Protocol is the subprotocol.
const Protocol = "galley.v1"

// The codes with which a socket is closed, beside those of the protocol itself.
const (
	codeRestart    = 1012
	codeOverloaded = 1013
	codeProtocol   = 4400
	codeSession    = 4401
	codeForbidden  = 4403
)

// Ask answers a request that came over a socket: the same addresses and answers as over
// HTTP. The door names the connection, and seq is the place of what was committed, zero for
// nothing.
type Ask func(w http.ResponseWriter, r *http.Request, door, credential string) (seq journal.Seq)

// Config is what a Door needs.
type Config struct {
	// Live keeps the subscriptions, Channels the channels; without Channels there are
	// none.
	Live     *live.Hub
	Channels *channel.Hub
	// Ask answers what is asked over a socket.
	Ask Ask
	// Words returns the codes of the app in force.
	Words func() *transport.Words
	// Observe sees what is followed and joined; nil sees none.
	Observe *observe.Observer
	// Mask hides secrets in problems; nil hides nothing.
	Mask *observe.Mask
	// Log takes what goes wrong; nil means slog.Default().
	Log *slog.Logger
	// AddressMax and ConnectionMax replace the constants, and PingTime and PeerTime
	// theirs; 0 means those.
	AddressMax, ConnectionMax int
	PingTime, PeerTime        time.Duration
}

// Door answers on sockets and streams of events. It is safe for concurrent use.
type Door struct {
	cfg Config

	mu      sync.Mutex
	peers   map[peer]struct{}
	from    map[string]int
	total   int
	closing bool
	running sync.WaitGroup

	opened *prometheus.CounterVec
	open   *prometheus.GaugeVec
}

// peer is a socket or a stream of events.
type peer interface {
	// end tells the peer that the server closes and that it may come back after a while,
	// ends what runs, and returns at once.
	end(again time.Duration)
}

// New returns a door. The registry, if there is one, is told of its connections.
func New(c Config, registry *prometheus.Registry) *Door {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.AddressMax == 0 {
		c.AddressMax = AddressMax
	}
	if c.ConnectionMax == 0 {
		c.ConnectionMax = ConnectionMax
	}
	if c.PingTime == 0 {
		c.PingTime = PingTime
	}
	if c.PeerTime == 0 {
		c.PeerTime = PeerTime
	}
	d := &Door{cfg: c, peers: map[peer]struct{}{}, from: map[string]int{},
		opened: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "galley_connections_total",
			Help: "Connections that were opened, by door."}, []string{"door"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "galley_connections",
			Help: "Connections that are open, by door."}, []string{"door"})}
	if registry != nil {
		registry.MustRegister(d.opened, d.open)
	}
	return d
}

// enter counts a connection, or says which bound is reached. Who has entered must leave.
func (d *Door) enter(door, address string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	name := limit.Network(address)
	switch {
	case d.closing:
		f := fault.New(fault.Unavailable, "The server is closing.")
		f.RetryAfter = 1
		return f
	case d.total >= d.cfg.ConnectionMax:
		f := fault.New(fault.Unavailable, "There are %d connections, which is the most.",
			d.cfg.ConnectionMax)
		f.RetryAfter = 10
		return f
	case d.from[name] >= d.cfg.AddressMax && !loopback(address):
		f := fault.New(fault.Exhausted, "There are %d connections from your address, which is "+
			"the most.", d.cfg.AddressMax)
		f.RetryAfter = 10
		return f
	}
	d.from[name]++
	d.total++
	d.running.Add(1)
	d.opened.WithLabelValues(door).Inc()
	d.open.WithLabelValues(door).Inc()
	return nil
}

// leave takes back enter.
func (d *Door) leave(door, address string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.total--
	name := limit.Network(address)
	if d.from[name]--; d.from[name] == 0 {
		delete(d.from, name)
	}
	d.open.WithLabelValues(door).Dec()
	d.running.Done()
}

// loopback reports whether the address is this machine's own: of a developer, or of a
// server in front of this one that speaks for everybody.
func loopback(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && ip.IsLoopback() || address == ""
}

// add has the peer told when the door closes; it reports false if it is closing already.
func (d *Door) add(p peer) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return false
	}
	d.peers[p] = struct{}{}
	return true
}

func (d *Door) remove(p peer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.peers, p)
}

// Close lets nobody in any more, tells every peer that the server closes, and returns
// when all have gone or ctx ends. Peers are told to come back after different times.
func (d *Door) Close(ctx context.Context) {
	d.mu.Lock()
	d.closing = true
	for p := range d.peers {
		p.end(time.Duration(200+rand.IntN(1300)) * time.Millisecond)
	}
	d.mu.Unlock()
	gone := make(chan struct{})
	go func() {
		d.running.Wait()
		close(gone)
	}()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// problem writes the problem that err is.
func (d *Door) problem(err error, id ident.Call) (status int, text []byte) {
	p := d.cfg.Words().Problem(err, id)
	return p.Status, d.cfg.Mask.Bytes(p.Append(nil))
}
