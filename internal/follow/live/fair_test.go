package live

import (
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
)

func TestWhoHadTheLeastComesFirst(t *testing.T) {
	h := New(Config{})
	of := func(id ident.Record, ip string) *topic {
		c := &Conn{hub: h, call: engine.Call{Request: engine.Request{IP: ip}}}
		if id != "" {
			c.subject = ident.Subject{Who: ident.User, ID: id}
		}
		x := &topic{watch: &engine.Watch{}, subs: map[*sub]struct{}{{conn: c}: {}}}
		h.slow.topics = append(h.slow.topics, x)
		return x
	}
	greedy := []*topic{of("", "192.0.2.1"), of("", "192.0.2.1"), of("", "192.0.2.1")}
	ana := of("ana", "192.0.2.1")
	if got := h.neediest(); got != greedy[0] {
		t.Error("before anything was asked, the first is not the first")
	}
	h.charge(greedy[0], time.Second)
	if got := h.neediest(); got != ana {
		t.Error("who asked nothing of late comes after who did")
	}
	h.charge(ana, 3*time.Second)
	if got := h.neediest(); got != greedy[0] {
		t.Error("who had the most does not come last")
	}
	clear(ana.subs)
	h.neediest()
	for _, x := range h.slow.topics {
		if x == ana {
			t.Error("what nobody follows is asked again")
		}
	}
}
