package channel

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// room is one channel at this process.
//
// Presence is a list in the order of the last change of each who is in it. A member
// remembers how far he has heard, and is told what stands behind that: however much
// happened meanwhile, he hears of each one thing, and nothing is kept for him alone.
type room struct {
	hub  *Hub
	name string
	// users counts those who hold the room, under the hub's lock.
	users int
	// family is what the app file says of it; it changes under the hub's lock.
	family atomic.Pointer[family]

	mu sync.Mutex
	// members are those at this process, in any order.
	members []*membership
	// seats are all who are here, and those who left not long ago, by who they are.
	seats map[string]*seat
	// first and last are the ends of the list, the last changed at the end.
	first, last *seat
	// version counts the changes; those up to floor may be forgotten.
	version, floor uint64
	// here and gone count the seats, bytes what is shown.
	here, gone, bytes int
	// told is when presence was told last, later that it will be.
	told  time.Time
	later bool
}

// family is a family of channels with the parameters of one of them.
type family struct {
	*app.Channel
	params value.Record
}

// seat is one who is in a channel, here or at another process, or was not long ago.
type seat struct {
	Present
	node string
	gone bool
	// since is the version of the first change that is known of him, joined that of the
	// last by which all of him is told anew, changed that of the last.
	since, joined, changed uint64
	prev, next             *seat
	// whole and state are the events as they are pushed, nil until they are asked for.
	whole, state []byte
}

// size is how much is shown of him and by him, in bytes.
func (s *seat) size() int { return len(s.User) + len(s.State) }

// membership is a member in a channel.
type membership struct {
	room   *room
	member *Member
	name   string
	// over says that it has ended, doubtful that it waits to be judged again, during which
	// nothing is told.
	over     atomic.Bool
	doubtful atomic.Bool

	// Under the room's lock: active says that he was let in, by the call; seen how far he
	// has heard of presence; at is his place among the members; doubts counts what puts him
	// in doubt since he was judged.
	active  bool
	call    engine.Call
	subject ident.Subject
	seen    uint64
	at      int
	doubts  int

	// person is who he is, under the hub's lock, nil until that is known.
	person *ident.Record

	// marked, under the member's lock, says that presence waits to be told.
	marked bool
}

func newRoom(h *Hub, name string) *room {
	return &room{hub: h, name: name, seats: map[string]*seat{}}
}

// add adds one who is not let in yet.
func (r *room) add(m *membership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.at = len(r.members)
	r.members = append(r.members, m)
}

// remove takes a membership away.
func (r *room) remove(m *membership) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.over.Store(true)
	last := r.members[len(r.members)-1]
	r.members[m.at], last.at = last, m.at
	r.members = r.members[:len(r.members)-1]
	if m.active {
		m.active = false
		r.left(m.member.who, "")
	}
}

// doubt puts in doubt all for whom the function says yes.
func (r *room) doubt(whom func(*membership) bool) {
	r.mu.Lock()
	var list []*membership
	for _, m := range r.members {
		if m.doubt(whom) {
			list = append(list, m)
		}
	}
	r.mu.Unlock()
	if len(list) > 0 {
		r.hub.doubt(list...)
	}
}

// doubtOne is doubt of one member.
func (r *room) doubtOne(m *membership, whom func(*membership) bool) {
	r.mu.Lock()
	asked := m.doubt(whom)
	r.mu.Unlock()
	if asked {
		r.hub.doubt(m)
	}
}

// doubt puts a member in doubt if the function says yes, and reports whether he is to be
// judged for that. One who is not let in yet is, when he is. The caller holds the lock.
func (m *membership) doubt(whom func(*membership) bool) bool {
	if m.active && !whom(m) {
		return false
	}
	m.doubts++
	if !m.active || m.doubts > 1 {
		return false
	}
	m.doubtful.Store(true)
	return true
}

// concerns reports whether a change may matter to a membership.
func (r *room) concerns(c *journal.Change, m *membership) bool {
	f := r.family.Load()
	return f == nil || f.Concerns(c, f.params, m.subject.ID)
}

// joined seats one who came, or tells anew of one who is seated. The caller holds the
// lock.
func (r *room) joined(p Present, node string) {
	s := r.seats[p.Who]
	if node == "" && r.shows() {
		r.hub.say(note{Channel: r.name, Kind: Joined, Who: p.Who, User: p.User, State: p.State})
	}
	switch {
	case s != nil && !s.gone && s.node == node && bytes.Equal(s.User, p.User) &&
		bytes.Equal(s.State, p.State):
		return // it is said again
	case s == nil:
		s = &seat{since: r.version + 1}
		r.seats[p.Who] = s
		r.here++
	case s.gone:
		r.gone--
		r.here++
	}
	r.bytes -= s.size()
	s.Present, s.node, s.gone = p, node, false
	r.bytes += s.size()
	r.moved(s)
	s.joined = s.changed
}

// left takes one who went from his seat. The caller holds the lock.
func (r *room) left(who, node string) {
	s := r.seats[who]
	if s == nil || s.gone || s.node != node {
		return
	}
	if node == "" {
		r.hub.say(note{Channel: r.name, Kind: Left, Who: who})
	}
	r.bytes -= s.size()
	s.State, s.User, s.gone = nil, nil, true
	r.here--
	r.gone++
	r.moved(s)
	for r.gone > goneMax {
		r.trim()
	}
	if r.here == 0 && len(r.members) == 0 {
		r.seats, r.first, r.last, r.gone = map[string]*seat{}, nil, nil, 0
	}
}

// trim forgets the one who is gone for the longest time.
func (r *room) trim() {
	for s := r.first; s != nil; s = s.next {
		if s.gone {
			r.floor = s.changed
			r.unlink(s)
			delete(r.seats, s.Who)
			r.gone--
			return
		}
	}
}

// changed changes what one shows. The caller holds the lock.
func (r *room) changed(who, node string, state []byte) {
	s := r.seats[who]
	if s == nil || s.gone || s.node != node {
		return
	}
	if node == "" && r.shows() {
		r.hub.say(note{Channel: r.name, Kind: State, Who: who, State: state})
	}
	r.bytes += len(state) - len(s.State)
	s.State = state
	r.moved(s)
}

// moved puts a seat that changed at the end of the list, and has the members hear.
func (r *room) moved(s *seat) {
	r.unlink(s)
	r.version++
	s.changed = r.version
	s.whole, s.state = nil, nil
	if s.prev = r.last; r.last == nil {
		r.first = s
	} else {
		r.last.next = s
	}
	r.last = s
	r.tell()
}

// unlink takes a seat out of the list, if it is in it.
func (r *room) unlink(s *seat) {
	if s.prev != nil {
		s.prev.next = s.next
	} else if r.first == s {
		r.first = s.next
	}
	if s.next != nil {
		s.next.prev = s.prev
	} else if r.last == s {
		r.last = s.prev
	}
	s.prev, s.next = nil, nil
}

// tell has the members hear of changes, at once or, of many members, soon. The caller
// holds the lock.
func (r *room) tell() {
	if r.later {
		return
	}
	if len(r.members) > fewMax {
		if wait := gatherEach - time.Since(r.told); wait > 0 {
			r.later = true
			time.AfterFunc(wait, func() {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.later = false
				r.wake()
			})
			return
		}
	}
	r.wake()
}

// wake has the members hear now. The caller holds the lock.
func (r *room) wake() {
	r.told = time.Now()
	if !r.shows() {
		return
	}
	for _, m := range r.members {
		if m.active && m.seen < r.version {
			m.member.mark(m)
		}
	}
}

// take appends what a member has not heard of presence. It reports false if it is not
// known any more who left.
func (r *room) take(m *membership, to []Event) ([]Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !m.active {
		return to, true
	}
	if m.seen < r.floor {
		return to, false
	}
	s := r.last
	for s != nil && s.changed > m.seen {
		s = s.prev
	}
	if s == nil {
		s = r.first
	} else {
		s = s.next
	}
	for ; s != nil; s = s.next {
		if e, ok := r.event(s, m); ok {
			to = append(to, e)
		}
	}
	m.seen = r.version
	return to, true
}

// event is what a member is told of a seat.
func (r *room) event(s *seat, m *membership) (Event, bool) {
	e := Event{Channel: r.name, Present: s.Present}
	own := s.Who == m.member.who
	switch known := s.since <= m.seen; {
	case own && (s.gone || s.joined <= m.seen):
		return e, false // nobody is told what he did himself
	case s.gone:
		e.Kind = Left
		return e, known
	case s.joined > m.seen:
		e.Kind = Joined
		if s.whole == nil {
			s.whole = e.AppendJSON(nil)
		}
		e.text = s.whole
	default:
		e.Kind = State
		if s.state == nil {
			s.state = e.AppendJSON(nil)
		}
		e.text = s.state
	}
	return e, true
}

// shows reports whether members see who is there.
func (r *room) shows() bool {
	f := r.family.Load()
	return f != nil && f.Shown != nil
}

// present returns all who are here. The caller holds the lock.
func (r *room) present() []Present {
	if !r.shows() {
		return nil
	}
	out := make([]Present, 0, r.here)
	for s := r.first; s != nil; s = s.next {
		if !s.gone {
			out = append(out, s.Present)
		}
	}
	return out
}
