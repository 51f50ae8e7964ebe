// Package limit counts: how often each name comes in a span of time, and how many
// are inside at once. It promises a bound on what it remembers. Who is counted under
// which name, and what follows from too many, is left to others.
package limit

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

// State is what is left of a quota after a call was counted.
type State struct {
	// Quota is how many calls fit into Window, from a standing start.
	Quota  int
	Window time.Duration
	// Remaining is how many more calls would pass now.
	Remaining int
	// Reset is how long it takes until the whole quota is there again; for a call
	// that did not pass, Retry is how long until one will.
	Reset time.Duration
	Retry time.Duration
}

// Network returns the name under which an address is counted: itself, or of IPv6 the
// network of 64 bits that everybody has to himself.
func Network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

const (
	shardCount = 64
	// namesMax bounds the names that one shard remembers.
	namesMax = 4096
)

// Rates counts calls by name with the generic cell rate algorithm: for each name it
// keeps one instant, at which the name's quota would be whole again. It is safe for
// concurrent use.
type Rates struct {
	seed   maphash.Seed
	shards [shardCount]shard
}

type shard struct {
	mu    sync.Mutex
	whole map[string]int64
	_     [40]byte // so that two shards share no cache line
}

// NewRates returns Rates that have counted nothing.
func NewRates() *Rates {
	r := &Rates{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].whole = map[string]int64{}
	}
	return r
}

// Take counts a call of the name at the instant now and reports whether it passes: at
// most quota do at once, and then one each window/quota. A call that does not pass
// is not counted.
func (r *Rates) Take(name string, quota int, window time.Duration, now time.Time) (State, bool) {
	s := &r.shards[maphash.String(r.seed, name)%shardCount]
	step, at := int64(window)/int64(quota), now.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	whole := max(s.whole[name], at)
	state := State{Quota: quota, Window: window}
	next := whole + step
	if over := next - at - int64(window); over > 0 {
		state.Reset, state.Retry = time.Duration(whole-at), time.Duration(over)
		return state, false
	}
	if _, known := s.whole[name]; !known && len(s.whole) >= namesMax {
		s.forget(at)
	}
	s.whole[name] = next
	state.Remaining = int((int64(window) - (next - at)) / step)
	state.Reset = time.Duration(next - at)
	return state, true
}

// forget drops the names whose quota is whole, and others if that does not leave a
// quarter of the room: a caller who is forgotten starts anew.
func (s *shard) forget(at int64) {
	for name, whole := range s.whole {
		if whole <= at {
			delete(s.whole, name)
		}
	}
	for name := range s.whole {
		if len(s.whole) <= namesMax*3/4 {
			return
		}
		delete(s.whole, name)
	}
}

// Inside counts how many of each name are inside at once. It is safe for concurrent
// use; the zero value has nobody inside.
type Inside struct {
	mu    sync.Mutex
	count map[string]int
}

// Enter lets one of the name in unless there are most already, and reports whether it
// did. Who was let in must Leave.
func (i *Inside) Enter(name string, most int) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := i.count[name]
	if n >= most {
		return false
	}
	if i.count == nil {
		i.count = map[string]int{}
	}
	i.count[name] = n + 1
	return true
}

// Leave says that one of the name is not inside any more.
func (i *Inside) Leave(name string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if n := i.count[name]; n > 1 {
		i.count[name] = n - 1
	} else {
		delete(i.count, name)
	}
}
