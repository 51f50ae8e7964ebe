package rpc

import (
	"context"
	"net"
	"net/http"
	"sync"

	"connectrpc.com/connect"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/limit"
)

// streams counts the calls that go on, in all and of each address.
type streams struct {
	mu    sync.Mutex
	total int
	from  map[string]int
}

// enter counts a stream in, which then must leave.
func (d *Door) enter(address string) error {
	s, name := &d.streams, limit.Network(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.total >= d.StreamsMax:
		f := fault.New(fault.Unavailable, "There are %d streams, which is the most.", d.StreamsMax)
		f.RetryAfter = 10
		return f
	case s.from[name] >= d.AddressMax && !loopback(address):
		f := fault.New(fault.Exhausted, "There are %d streams of your address, which is the most.",
			d.AddressMax)
		f.RetryAfter = 10
		return f
	}
	s.total++
	s.from[name]++
	return nil
}

func (d *Door) leave(address string) {
	s, name := &d.streams, limit.Network(address)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total--
	if s.from[name]--; s.from[name] == 0 {
		delete(s.from, name)
	}
}

// loopback reports whether the address is this machine's own: of a developer, or of a
// server in front of this one that speaks for everybody.
func loopback(address string) bool {
	ip := net.ParseIP(address)
	return ip != nil && ip.IsLoopback() || address == ""
}

// goesOn has a handler answer for longer than requests may take, until the door closes.
// There are only so many.
func (d *Door) goesOn(h http.Handler) http.Handler {
	refusal := connect.NewErrorWriter()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchangeOf(r.Context())
		err := x.Refused
		if err == nil {
			err = d.enter(x.Call.Request.IP)
		}
		if err != nil {
			// The peer may be gone: there is nobody to tell.
			_ = refusal.Write(w, r, d.problem(x, err))
			return
		}
		defer d.leave(x.Call.Request.IP)
		ctx, stop := context.WithCancel(r.Context())
		defer stop()
		ends := context.AfterFunc(d.closing, stop)
		defer ends()
		h.ServeHTTP(w, r.WithContext(ctx))
		if x.status == 0 {
			x.status = http.StatusOK
		}
	})
}
