package rpc

import (
	"testing"

	"github.com/galleybackend/galley/internal/fault"
)

func TestStreamsAreCounted(t *testing.T) {
	d := New(Config{StreamsMax: 5, AddressMax: 2})
	defer d.Close()
	enter := func(address string, want fault.Kind) {
		t.Helper()
		switch err := d.enter(address); {
		case want == 0 && err != nil, want != 0 && !fault.Is(err, want):
			t.Errorf("a stream of %s: %v", address, err)
		case err != nil && fault.From(err).RetryAfter == 0:
			t.Errorf("%v does not say when to come back", err)
		}
	}
	for range 2 {
		enter("192.0.2.1", 0)
	}
	enter("192.0.2.1", fault.Exhausted)
	enter("2001:db8::1", 0)
	enter("2001:db8::ffff", 0) // of the same network
	enter("2001:db8::2", fault.Exhausted)
	d.leave("192.0.2.1")
	enter("192.0.2.1", 0)
	enter("127.0.0.1", 0)
	enter("127.0.0.1", fault.Unavailable)
	for _, a := range []string{"192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::1", "127.0.0.1"} {
		d.leave(a)
	}
	if d.streams.total != 0 || len(d.streams.from) != 0 {
		t.Errorf("all are gone, and %d are counted, %v", d.streams.total, d.streams.from)
	}
}
