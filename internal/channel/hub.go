package channel

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// The bounds. Each is named by the error that it causes.
const (
	// channelsMax is how many channels one connection may be in.
	channelsMax = 100
	// membersMax is how many members one channel may have.
	membersMax = 10_000
	// stateMax is the greatest size of what one member shows, userMax that of what the app
	// shows of him, statesMax that of both of all of a channel together, in bytes.
	stateMax  = 4 << 10
	userMax   = 16 << 10
	statesMax = 8 << 20
	// wordsMax is how many messages, states and joins a connection may send in a second. A
	// join whose answer is longer than answerFree counts for one more for each wordBytes.
	wordsMax   = 30
	answerFree = 256 << 10
	wordBytes  = 16 << 10
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
	// families and named hold the rooms by their families, and by the values of their
	// parameters; people the members by who they are, pending those who are not let in yet.
	families map[*app.Channel]map[*room]bool
	named    map[string]map[*room]bool
	people   map[ident.Record]map[*membership]bool
	pending  map[*membership]bool

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
	return &Hub{cfg: c, log: c.Log, bus: newBus(), ask: make(chan struct{}, 1),
		rooms: map[string]*room{}, families: map[*app.Channel]map[*room]bool{},
		named:  map[string]map[*room]bool{},
		people: map[ident.Record]map[*membership]bool{}, pending: map[*membership]bool{}}
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
	var rooms []*room
	var list []*membership
	for kind, all := range h.families {
		if !slices.Contains(kind.Reads, c.Collection) {
			continue
		}
		reach := kind.Reach(c)
		if reach.All {
			rooms = slices.AppendSeq(rooms, maps.Keys(all))
			continue
		}
		for _, p := range reach.Params {
			for r := range h.named[p] {
				if all[r] {
					rooms = append(rooms, r)
				}
			}
		}
		for _, u := range reach.Users {
			for m := range h.people[u] {
				if all[m.room] {
					list = append(list, m)
				}
			}
		}
	}
	for m := range h.pending {
		if f := m.room.family.Load(); f != nil && slices.Contains(f.Reads, c.Collection) {
			list = append(list, m)
		}
	}
	h.mu.Unlock()
	for _, r := range rooms {
		r.doubt(func(m *membership) bool { return r.concerns(c, m) })
	}
	for _, m := range list {
		m.room.doubtOne(m, func(m *membership) bool { return m.room.concerns(c, m) })
	}
}

// identify notes who a member is who is about to be let in; settled that he was.
func (h *Hub) identify(m *membership, user ident.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.unknown(m); m.over.Load() {
		return
	}
	m.person = &user
	if h.people[user] == nil {
		h.people[user] = map[*membership]bool{}
	}
	h.people[user][m] = true
}

func (h *Hub) settled(m *membership) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.pending, m)
}

// unknown forgets who a member is. The caller holds the lock.
func (h *Hub) unknown(m *membership) {
	if m.person == nil {
		return
	}
	delete(h.people[*m.person], m)
	if len(h.people[*m.person]) == 0 {
		delete(h.people, *m.person)
	}
	m.person = nil
}

// enter puts one who is not let in yet into the room of a name.
func (h *Hub) enter(name string, f *family, m *membership) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.room(name)
	r.users++
	if r.family.Load() == nil {
		h.index(r, f)
	}
	m.name, m.room = name, r
	h.pending[m] = true
	r.add(m)
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

// leave takes a membership out of its room.
func (h *Hub) leave(m *membership) {
	m.room.remove(m)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unknown(m)
	delete(h.pending, m)
	h.release(m.room)
}

// release lets a room go by one of those who hold it. The caller holds the lock.
func (h *Hub) release(r *room) {
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

// index has a room found by its family and its parameters. The caller holds the lock.
func (h *Hub) index(r *room, f *family) {
	if old := r.family.Load(); old != nil {
		if delete(h.families[old.Channel], r); len(h.families[old.Channel]) == 0 {
			delete(h.families, old.Channel)
		}
		for _, v := range old.params.Slots {
			if key := app.ParamKey(v); h.named[key] != nil {
				if delete(h.named[key], r); len(h.named[key]) == 0 {
					delete(h.named, key)
				}
			}
		}
	}
	r.family.Store(f)
	if f == nil {
		return
	}
	add(h.families, f.Channel, r)
	for _, v := range f.params.Slots {
		add(h.named, app.ParamKey(v), r)
	}
}

func add[K comparable](to map[K]map[*room]bool, key K, r *room) {
	if to[key] == nil {
		to[key] = map[*room]bool{}
	}
	to[key][r] = true
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
