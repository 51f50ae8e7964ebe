package channel

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
)

// doubt has memberships judged again.
func (h *Hub) doubt(list ...*membership) {
	h.doubts.Lock()
	h.doubts.list = append(h.doubts.list, list...)
	h.doubts.Unlock()
	select {
	case h.ask <- struct{}{}:
	default:
	}
}

// judge judges memberships that are in doubt until ctx ends.
func (h *Hub) judge(ctx context.Context) {
	var again []*membership
	var later <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-h.ask:
		case <-later:
			h.doubt(again...)
			again, later = nil, nil
			continue
		}
		h.doubts.Lock()
		list := h.doubts.list
		h.doubts.list = nil
		h.doubts.Unlock()
		for i, x := range list {
			if !h.judged(ctx, x) {
				// The others would wait as long; who could not be judged comes last.
				again = append(append(again, list[i+1:]...), x)
				break
			}
		}
		if len(again) > 0 && later == nil {
			later = time.After(againEach)
		}
	}
}

// judged asks whether a membership still holds, and ends it if not. It reports false if
// that could not be decided.
func (h *Hub) judged(ctx context.Context, x *membership) bool {
	r := x.room
	for !x.over.Load() {
		r.mu.Lock()
		call, doubts := x.call, x.doubts
		r.mu.Unlock()
		in, err := h.cfg.Engine.Enter(ctx, call)
		if err == nil && len(in.User) > userMax {
			err = errUser()
		}
		if err != nil {
			f := fault.From(err)
			switch f.Kind {
			case fault.Internal, fault.Unavailable, fault.Timeout, fault.Unknown, fault.Exhausted:
				if !errors.Is(err, context.Canceled) {
					h.log.Warn("a membership cannot be judged", "channel", x.name, "cause", err)
				}
				return false
			}
			x.member.end(x, &Event{Kind: Ended, Channel: x.name, Code: f.CodeOr()})
			return true
		}
		h.classify(r, in)
		r.mu.Lock()
		if s := r.seats[x.member.who]; x.active && s != nil && string(s.User) != in.User {
			p := s.Present
			p.User = []byte(in.User)
			r.joined(p, "")
		}
		sure := x.doubts == doubts
		if sure {
			x.doubts = 0
			x.doubtful.Store(false)
		}
		r.mu.Unlock()
		if sure {
			x.member.again()
			return true
		}
	}
	return true
}

// numbers are what a hub counts.
type numbers struct{ dropped atomic.Int64 }

// Numbers say how much a Hub has to do.
type Numbers struct {
	// Channels are those that somebody is in, Members those who are in them at this
	// process.
	Channels, Members int
	// Dropped are messages that members were too slow for.
	Dropped int64
}

// Numbers returns what the hub counts.
func (h *Hub) Numbers() Numbers {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := Numbers{Channels: len(h.rooms), Dropped: h.numbers.dropped.Load()}
	for _, r := range h.rooms {
		r.mu.Lock()
		n.Members += len(r.members)
		r.mu.Unlock()
	}
	return n
}
