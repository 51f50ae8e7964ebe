// Package rpc is the door for gRPC, gRPC-Web and Connect: the same calls as over HTTP and
// JSON, in messages that are made of the app file while it runs. It promises the same
// rules, keys, limits and problems as every door, that a message has one meaning, so that
// fields which are not there are refused and not passed over, and a bound for whatever a
// peer can make it hold. What a call means is left to the engine, who asks is found out
// by the door of HTTP, and what the messages are called codegen says.
package rpc

import (
	"cmp"
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/transport"
)

// The bounds of this door.
const (
	// MessageMax is the greatest size of a message that is taken, in bytes.
	MessageMax = 1 << 20
	// StreamsMax is how many of its calls may be streams that go on, and AddressMax how many
	// of one address that is not this machine's, unless Config says another.
	StreamsMax = 10_000
	AddressMax = 1000
	// compressMin is the least size of a message that is compressed, in bytes.
	compressMin = 1 << 10
)

// Config is what a Door needs.
type Config struct {
	// Engine answers the calls.
	Engine transport.Engine
	// App returns the app in force, and Lock what its file of numbers holds.
	App  func() *app.App
	Lock func() []byte
	// Live keeps what is followed true; nil follows nothing.
	Live *live.Hub
	// Health says whether the service can be given; nil means always.
	Health func(context.Context) error
	// Reflect has the door say what it serves.
	Reflect bool
	// Mask hides secrets in problems; nil hides nothing.
	Mask *observe.Mask
	// StreamsMax and AddressMax replace the constants.
	StreamsMax, AddressMax int
	// Broken hears why an app cannot be served here, which the app file decides.
	Broken func(error)
}

// Door answers calls. It is safe for concurrent use.
type Door struct {
	Config
	making  sync.Mutex
	surface atomic.Pointer[surface]
	streams streams
	crew    *crew
	// closing ends with the door, and with it the streams that go on.
	closing context.Context
	close   context.CancelFunc
}

// New returns a Door, which must be closed.
func New(c Config) *Door {
	c.StreamsMax, c.AddressMax = cmp.Or(c.StreamsMax, StreamsMax), cmp.Or(c.AddressMax, AddressMax)
	d := &Door{Config: c, streams: streams{from: map[string]int{}}}
	d.closing, d.close = context.WithCancel(context.Background())
	d.crew = newCrew(d.closing)
	return d
}

// Close ends the streams that go on.
func (d *Door) Close() { d.close() }

// Takes reports whether a request is a call of this door.
func (d *Door) Takes(r *http.Request) bool {
	if r.Method != http.MethodPost || strings.Count(r.URL.Path, "/") != 2 {
		return false
	}
	if isGRPC(r) {
		return true
	}
	return strings.IndexByte(r.URL.Path, '.') > 0 && d.now().handlers[r.URL.Path] != nil
}

func isGRPC(r *http.Request) bool {
	types := r.Header["Content-Type"]
	return len(types) == 1 && strings.HasPrefix(types[0], "application/grpc")
}

// exchange is a call that has come, and what is known of its answer.
type exchange struct {
	*transport.Remote
	// status is that of HTTP for the same answer.
	status int
}

// exchangeKey is where the exchange of a call stands in its context.
type exchangeKey struct{}

// Answer answers a request that the door takes, and returns the status that the same
// answer has over HTTP.
func (d *Door) Answer(m *transport.Remote) int {
	x := &exchange{Remote: m}
	h := d.now().handlers[m.Request.URL.Path]
	if h == nil {
		m.Told(nil, nil)
		head := m.Writer.Header()
		head.Set("Content-Type", m.Request.Header.Get("Content-Type"))
		head.Set("Grpc-Status", "12")
		head.Set("Grpc-Message", "There is no such method, or no rule opens it.")
		m.Writer.WriteHeader(http.StatusOK)
		return http.StatusNotFound
	}
	if short, is := h.(*straight); is {
		short.serve(m.Writer, m.Request, x)
	} else {
		h.ServeHTTP(m.Writer, x.within(m.Request))
	}
	if x.status == 0 {
		// The wire itself was not as it should be: nobody was asked.
		x.status = http.StatusBadRequest
		if s := m.Call.Seen; s != nil && s.Code == "" {
			s.Code = "invalid_request"
		}
	}
	return x.status
}

// within returns the request with the exchange in its context.
func (x *exchange) within(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), exchangeKey{}, x))
}

// exchangeOf returns the exchange of a call.
func exchangeOf(ctx context.Context) *exchange {
	return ctx.Value(exchangeKey{}).(*exchange)
}
