package channel

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// The bounds. Each is named by the error that it causes.
const (
	// channelsMax is how many channels one connection may be in.
	channelsMax = 100
	// membersMax is how many members one channel may have.
	membersMax = 10_000
	// stateMax is the greatest size of what one member shows, statesMax that of what all
	// of a channel show together, in bytes.
	stateMax  = 4 << 10
	statesMax = 8 << 20
	// wordsMax is how many messages, states and joins a connection may send in a second.
	wordsMax = 30
	// waitingMax is how many messages wait for one connection, waitingBytes how large
	// they may be together; the oldest are dropped.
	waitingMax   = 256
	waitingBytes = 1 << 20
	// goneMax is how many who left are remembered for members who have not heard of it.
	goneMax = 2 * membersMax
	// takeMax is how many events one Take returns, beside the presence of one channel.
	takeMax = 1000
	// fewMax is how many members hear at once of each change of presence. Where there are
	// more, changes are told together, not more often than gatherEach.
	fewMax     = 32
	gatherEach = 50 * time.Millisecond
	// againEach is how long it is waited before a membership is judged once more, if it
	// could not be.
	againEach = time.Second
)

// Hub holds the channels of one process. It is safe for concurrent use.
type Hub struct {
	cfg Config
	log *slog.Logger
	// ask has those judged again who are in doubt.
	ask chan struct{}

	mu    sync.Mutex
	rooms map[string]*room
	// reads holds the rooms by the collections that their rules read.
	reads map[string]map[*room]bool

	doubts struct {
		sync.Mutex
		list []*membership
	}
	numbers numbers
	bus     *bus
}

// New returns a Hub, which judges memberships again while Run runs.
func New(c Config) *Hub {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Beat == 0 {
		c.Beat = beatEach
	}
	return &Hub{cfg: c, log: c.Log, bus: newBus(), ask: make(chan struct{}, 1), rooms: map[string]*room{},
		reads: map[string]map[*room]bool{}}
}

// Run judges memberships again when they are in doubt, and speaks with the hubs of other
// processes, until ctx ends.
func (h *Hub) Run(ctx context.Context) {
	var talking sync.WaitGroup
	if h.cfg.Bus != nil {
		talking.Go(func() { h.talk(ctx) })
	}
	h.judge(ctx)
	talking.Wait()
}

// Connect makes a connection that may be in channels; who names it, over all processes.
func (h *Hub) Connect(who string) *Member {
	return &Member{hub: h, who: who, in: map[string]*membership{}, ready: make(chan struct{}, 1)}
}

// Publish tells a message of the app's code to the members that are at this process.
func (h *Hub) Publish(name string, message []byte) {
	h.deliver(name, nil, Event{Kind: Message, Channel: name, Message: message})
}

// Follow takes an entry of the journal: memberships that may not hold any more come into
// doubt, and the messages that code left in the entry are told. It is a follow.Live.
func (h *Hub) Follow(e journal.Entry) {
	for i := range e.Changes {
		h.changed(&e.Changes[i])
	}
	if h.cfg.Revoked != nil {
		if ended := h.cfg.Revoked(&e); len(ended) > 0 {
			h.doubtAll(func(m *membership) bool { return slices.Contains(ended, m.subject.Session) })
		}
	}
	for _, i := range e.Intents {
		var p payload
		if i.Kind != journal.IntentPublish {
			continue
		}
		if err := json.Unmarshal(value.AppendJSON(nil, i.Payload), &p); err != nil {
			h.log.Error("a message of code cannot be read", "entry", e.Seq.String(), "cause", err)
			continue
		}
		h.Publish(i.Name, p.Given)
	}
}

// payload is that of the intent of a message.
type payload struct {
	Given json.RawMessage `json:"given"`
}

// Swapped puts every membership in doubt, because another app is in force.
func (h *Hub) Swapped() { h.doubtAll(func(*membership) bool { return true }) }

// doubtAll puts in doubt all for whom the function says yes.
func (h *Hub) doubtAll(whom func(*membership) bool) {
	h.mu.Lock()
	rooms := make([]*room, 0, len(h.rooms))
	for _, r := range h.rooms {
		rooms = append(rooms, r)
	}
	h.mu.Unlock()
	for _, r := range rooms {
		r.doubt(whom)
	}
}

// changed puts in doubt whose right to be where he is may depend on the change.
func (h *Hub) changed(c *journal.Change) {
	h.mu.Lock()
	rooms := make([]*room, 0, len(h.reads[c.Collection]))
	for r := range h.reads[c.Collection] {
		rooms = append(rooms, r)
	}
	h.mu.Unlock()
	for _, r := range rooms {
		r.doubt(func(m *membership) bool { return r.concerns(c, m) })
	}
}

// enter returns the room of the name for one member more.
func (h *Hub) enter(name string, f *family) *room {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.room(name)
	r.users++
	if r.family.Load() == nil {
		h.index(r, f)
	}
	return r
}

// room returns the room of the name, made if there was none. The caller holds the lock.
func (h *Hub) room(name string) *room {
	r := h.rooms[name]
	if r == nil {
		r = newRoom(h, name)
		h.rooms[name] = r
	}
	return r
}

// leave lets a room go that enter gave.
func (h *Hub) leave(r *room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r.users--
	h.forget(r)
}

// forget drops a room that nobody uses. The caller holds the lock.
func (h *Hub) forget(r *room) {
	if r.users > 0 {
		return
	}
	h.index(r, nil)
	delete(h.rooms, r.name)
}

// classify notes to which family a room belongs.
func (h *Hub) classify(r *room, in engine.Entrance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old := r.family.Load(); h.rooms[r.name] == r && (old == nil || old.Channel != in.Family) {
		h.index(r, &family{in.Family, in.Params})
	}
}

// index has a room found by what its family reads. The caller holds the lock.
func (h *Hub) index(r *room, f *family) {
	if old := r.family.Load(); old != nil {
		for _, name := range old.Reads {
			delete(h.reads[name], r)
			if len(h.reads[name]) == 0 {
				delete(h.reads, name)
			}
		}
	}
	r.family.Store(f)
	if f == nil {
		return
	}
	for _, name := range f.Reads {
		if h.reads[name] == nil {
			h.reads[name] = map[*room]bool{}
		}
		h.reads[name][r] = true
	}
}

// deliver tells an event to the members of a channel, but for one.
func (h *Hub) deliver(name string, but *Member, e Event) {
	h.mu.Lock()
	r := h.rooms[name]
	h.mu.Unlock()
	if r == nil {
		return
	}
	e.text = e.AppendJSON(nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.member != but && m.active {
			m.member.push(m, &e)
		}
	}
}
