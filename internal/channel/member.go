package channel

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Member is one connection and the channels that it is in. It is safe for concurrent
// use; messages that are to arrive in an order are sent one after the other. Errors are
// *fault.Fault.
type Member struct {
	hub   *Hub
	who   string
	ready chan struct{}

	mu     sync.Mutex
	closed bool
	in     map[string]*membership
	// queue is what waits to be told, messages and bytes how many messages are in it and
	// how large they are.
	// Those before from are no messages any more.
	queue    []waiting
	from     int
	messages int
	bytes    int
	// left is how many words may be sent, as of then.
	left float64
	then time.Time
}

// waiting is an event that waits, or, where there is none, the place at which presence is
// told. A message that was dropped leaves a zero one.
type waiting struct {
	of    *membership
	event *Event
}

// Join makes the connection a member of the channel, and returns who is there, itself
// among them; for a channel without presence it returns none. state may be nil. The call
// says who asks, and is kept to judge the membership again. Who is a member already is
// judged by this call from now on, and shows the state.
func (m *Member) Join(ctx context.Context, call engine.Call, name string, state []byte) ([]Present,
	error) {
	state, err := shown(state)
	if err != nil {
		return nil, err
	}
	x, err := m.begin(name)
	if err != nil {
		return nil, err
	}
	call.Target, call.Verb = name, engine.Join
	in, err := m.hub.cfg.Engine.Enter(ctx, call)
	var all []Present
	if err == nil {
		call.Verb, call.Seen = engine.Rejoin, nil
		all, err = m.seat(x, in, call, state)
	}
	if err != nil {
		m.end(x, nil)
	}
	return all, err
}

// begin returns the membership in a channel, or one that is not let in yet. That is there
// before it is judged, so that what changes meanwhile puts it in doubt.
func (m *Member) begin(name string) (*membership, error) {
	kind, params := m.hub.cfg.Engine.App().Channel(name)
	if kind == nil {
		return nil, fault.New(fault.NotFound, "There is no such channel.")
	}
	x := &membership{member: m}
	m.hub.enter(name, &family{kind, params}, x)
	m.mu.Lock()
	old := m.in[name]
	var err error
	switch {
	case m.closed:
		err = errClosed()
	case !m.spend():
		err = errWords()
	case old == nil && len(m.in) >= channelsMax:
		err = fault.New(fault.Exhausted, "A connection is in at most %d channels.", channelsMax)
	case old == nil:
		m.in[name] = x
	}
	m.mu.Unlock()
	if old != nil || err != nil {
		m.hub.leave(x)
	}
	if err == nil && old != nil {
		return old, nil
	}
	return x, err
}

// seat lets a membership in.
func (m *Member) seat(x *membership, in engine.Entrance, call engine.Call, state []byte) ([]Present,
	error) {
	m.hub.classify(x.room, in)
	m.hub.identify(x, in.Subject.ID)
	defer m.hub.settled(x)
	r := x.room
	r.mu.Lock()
	defer r.mu.Unlock()
	old := 0
	if s := r.seats[m.who]; s != nil {
		old = s.size()
	}
	switch {
	case len(in.User) > userMax:
		return nil, errUser()
	case x.over.Load():
		return nil, errClosed()
	case state != nil && in.Family.Shown == nil:
		return nil, errUnshown()
	case !x.active && r.here >= membersMax:
		return nil, fault.New(fault.Exhausted, "A channel has at most %d members.", membersMax)
	case r.bytes+len(state)+len(in.User)-old > statesMax:
		return nil, errStates()
	}
	x.active, x.subject, x.call = true, in.Subject, call
	r.joined(Present{Who: m.who, User: []byte(in.User), State: state}, "")
	x.seen = r.version
	if x.doubts > 0 {
		x.doubtful.Store(true)
		m.hub.doubt(x)
	}
	all := r.present()
	if size := r.bytes + 64*len(all); len(all) > 0 && size > answerFree {
		m.charge(size / wordBytes)
	}
	return all, nil
}

// charge counts words more.
func (m *Member) charge(words int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.left -= float64(words)
}

// Renew has the memberships judged by another token of their session from now on.
func (m *Member) Renew(credential string) {
	m.mu.Lock()
	list := make([]*membership, 0, len(m.in))
	for _, x := range m.in {
		list = append(list, x)
	}
	m.mu.Unlock()
	for _, x := range list {
		x.room.mu.Lock()
		x.call.Credential = credential
		x.room.mu.Unlock()
	}
}

// Leave ends a membership; it is no error if there is none.
func (m *Member) Leave(name string) error {
	m.mu.Lock()
	x := m.in[name]
	m.mu.Unlock()
	if x != nil {
		m.end(x, nil)
	}
	return nil
}

// Joined returns in how many channels the connection is.
func (m *Member) Joined() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.in)
}

// end ends a membership, of which the member is told if an event is given.
func (m *Member) end(x *membership, told *Event) {
	m.mu.Lock()
	if m.in[x.name] != x {
		m.mu.Unlock()
		return
	}
	delete(m.in, x.name)
	m.mu.Unlock()
	m.hub.leave(x)
	if told != nil {
		m.push(nil, told)
	}
}

// Send tells a message to all members of the channel, the sender's own connection not
// among them.
func (m *Member) Send(ctx context.Context, call engine.Call, name string, message []byte) error {
	if message == nil {
		return fault.New(fault.Invalid, "There is no message.")
	}
	message, err := compact(message, spec.MessageMax, "A message")
	if err != nil {
		return err
	}
	x, err := m.member(name)
	if err != nil {
		return err
	}
	x.room.mu.Lock()
	subject, active := x.subject, x.active
	x.room.mu.Unlock()
	if !active {
		return errMember()
	}
	if f := x.room.family.Load(); f == nil || !f.Same || x.doubtful.Load() {
		call.Target, call.Verb = name, engine.Send
		in, err := m.hub.cfg.Engine.Enter(ctx, call)
		if err != nil {
			return err
		}
		subject = in.Subject
	}
	e := Event{Kind: Message, Channel: name, From: m.who, Message: message}
	if subject.Who == ident.User {
		e.User = string(subject.ID)
	}
	m.hub.deliver(name, m, e)
	m.hub.say(note{Channel: name, Kind: Message, Who: m.who, By: e.User, Message: message})
	return nil
}

// State changes what the member shows of himself in the channel; nil shows nothing.
func (m *Member) State(name string, value []byte) error {
	value, err := shown(value)
	if err != nil {
		return err
	}
	x, err := m.member(name)
	if err != nil {
		return err
	}
	r := x.room
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.seats[m.who]
	switch {
	case !r.shows():
		return errUnshown()
	case s == nil || s.gone:
		return errMember()
	case r.bytes+len(value)-len(s.State) > statesMax:
		return errStates()
	}
	r.changed(m.who, "", value)
	return nil
}

// member returns the membership of one who was let in, for a word that counts.
func (m *Member) member(name string) (*membership, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.spend() {
		return nil, errWords()
	}
	x := m.in[name]
	if x == nil {
		return nil, errMember()
	}
	return x, nil
}

// spend counts a word. The caller holds the lock.
func (m *Member) spend() bool {
	now := time.Now()
	if m.then.IsZero() {
		m.left = wordsMax
	} else {
		m.left = min(wordsMax, m.left+now.Sub(m.then).Seconds()*wordsMax)
	}
	m.then = now
	if m.left < 1 {
		return false
	}
	m.left--
	return true
}

func errWords() error {
	f := fault.New(fault.Exhausted, "More than %d messages, states and joins of one connection "+
		"in a second.", wordsMax)
	f.RetryAfter = 1
	return f
}

func errClosed() error { return fault.New(fault.Unavailable, "The connection is closed.") }

func errMember() error { return fault.New(fault.Denied, "Join the channel first.") }

func errUnshown() error {
	return fault.New(fault.Invalid, "The channel has no presence, so it takes no state.")
}

func errUser() error {
	return fault.New(fault.TooLarge, "What a channel shows of a user has at most %d bytes.", userMax)
}

func errStates() error {
	return fault.New(fault.Exhausted, "What the members of a channel show has at most %d bytes.",
		statesMax)
}

// shown returns a state in its short form.
func shown(state []byte) ([]byte, error) {
	if state == nil || string(state) == "null" {
		return nil, nil
	}
	return compact(state, stateMax, "A state")
}

// compact returns JSON without blanks, if it is not too long.
func compact(text []byte, most int, what string) ([]byte, error) {
	v, issues := value.ParseText(&value.Type{Kind: value.TypeJSON}, string(text), "#")
	switch {
	case len(issues) > 0:
		return nil, fault.New(fault.Invalid, "%s %s.", what, issues[0].Detail)
	case len(v.Text()) > most:
		return nil, fault.New(fault.TooLarge, "%s has at most %d bytes.", what, most)
	}
	return []byte(v.Text()), nil
}

// Ready receives when Take has something.
func (m *Member) Ready() <-chan struct{} { return m.ready }

// push has an event told; of is nil for one that ends a membership.
func (m *Member) push(of *membership, e *Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.queue = append(m.queue, waiting{of, e})
	if of != nil {
		m.messages++
		m.bytes += len(e.text)
		for m.messages > waitingMax || m.bytes > waitingBytes {
			m.drop()
		}
	}
	m.wake()
}

// drop forgets the oldest message.
func (m *Member) drop() {
	for m.queue[m.from].event == nil || m.queue[m.from].event.Kind != Message {
		m.from++
	}
	m.messages--
	m.bytes -= len(m.queue[m.from].event.text)
	m.hub.numbers.dropped.Add(1)
	m.queue[m.from] = waiting{}
	m.from++
	if m.from > 2*waitingMax {
		m.queue = slices.DeleteFunc(m.queue, func(w waiting) bool { return w == waiting{} })
		m.from = 0
	}
}

// mark has presence told.
func (m *Member) mark(x *membership) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || x.marked {
		return
	}
	x.marked = true
	m.queue = append(m.queue, waiting{of: x})
	m.wake()
}

// again has what waited for a judgement told.
func (m *Member) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.queue) > 0 {
		m.wake()
	}
}

func (m *Member) wake() {
	select {
	case m.ready <- struct{}{}:
	default:
	}
}

// Take returns what happened since, and never blocks. Of one who is slow the presence is
// merged, and messages beyond a bound are dropped.
func (m *Member) Take() []Event {
	m.mu.Lock()
	queue := m.queue
	m.queue, m.from, m.messages, m.bytes = nil, 0, 0, 0
	for _, w := range queue {
		if w.event == nil && w.of != nil {
			w.of.marked = false
		}
	}
	m.mu.Unlock()
	var out []Event
	var later []waiting
	for _, w := range queue {
		switch {
		case w == waiting{}:
		case len(out) >= takeMax || w.of != nil && w.of.doubtful.Load():
			later = append(later, w)
		case w.of == nil:
			out = append(out, *w.event)
		case w.of.over.Load():
		case w.event != nil:
			out = append(out, *w.event)
		default:
			var all bool
			if out, all = w.of.room.take(w.of, out); !all {
				m.end(w.of, nil)
				out = append(out, Event{Kind: Ended, Channel: w.of.name, Code: fault.Unavailable.Code()})
			}
		}
	}
	m.back(later, len(out) >= takeMax)
	return out
}

// back puts what could not be told before what waits. soon says that it can be now.
func (m *Member) back(list []waiting, soon bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(list) == 0 {
		return
	}
	kept := list[:0]
	for _, w := range list {
		if w.event == nil {
			if w.of.marked {
				continue
			}
			w.of.marked = true
		} else if w.event.Kind == Message {
			m.messages++
			m.bytes += len(w.event.text)
		}
		kept = append(kept, w)
	}
	m.queue, m.from = append(kept, m.queue...), 0
	if soon {
		m.wake()
	}
}

// Close leaves all channels.
func (m *Member) Close() {
	m.mu.Lock()
	m.closed = true
	list := make([]*membership, 0, len(m.in))
	for _, x := range m.in {
		list = append(list, x)
	}
	m.queue = nil
	m.mu.Unlock()
	for _, x := range list {
		m.end(x, nil)
	}
}
