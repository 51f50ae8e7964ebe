package channel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
)

const (
	// beatEach is how often a process says that it lives, beatsMissed after how many beats
	// that did not come it is taken for gone.
	beatEach    = time.Second
	beatsMissed = 4
	// sayEach is the least time between two words on the bus, so that what happens
	// meanwhile goes together.
	sayEach = 10 * time.Millisecond
	// sayMax is how much may wait for the bus, in bytes. What is beyond is not said.
	sayMax = 4 << 20
	// wordMax is how much goes together: one note may come on top of it.
	wordMax = store.BusMax - 2*maxNote
	maxNote = 24 << 10
	// nodesMax bounds the processes that are heard.
	nodesMax = 1000
)

// word is what goes over the bus. Words of one process are numbered, so that whoever
// misses one knows it, and asks for all that the process has.
type word struct {
	Node  string            `json:"n"`
	Seq   uint64            `json:"i"`
	Notes []json.RawMessage `json:"e,omitempty"`
	// Ask names the process that is to say all it has.
	Ask string `json:"ask,omitempty"`
	// From begins and To ends all that a process has.
	From bool `json:"from,omitempty"`
	To   bool `json:"to,omitempty"`
	// Bye says that the process ends.
	Bye bool `json:"bye,omitempty"`
}

// note is one thing that happened at a process.
type note struct {
	Channel string          `json:"c"`
	Kind    Kind            `json:"k"`
	Who     string          `json:"w"`
	User    json.RawMessage `json:"u,omitempty"`
	State   json.RawMessage `json:"s,omitempty"`
	By      string          `json:"b,omitempty"`
	Message json.RawMessage `json:"m,omitempty"`
}

// bus is what a hub says to those of other processes, and hears of them.
type bus struct {
	node  string
	spoke chan struct{}
	// hearing is held while others are heard, and guards who is at them.
	hearing sync.Mutex

	mu sync.Mutex
	// notes wait to be said, size is how large they are; all says that everything that is
	// here is to be said, asks whom to ask for that.
	notes []json.RawMessage
	size  int
	all   bool
	asks  []string
	seq   uint64
	// nodes are the other processes.
	nodes map[string]*node
}

// node is another process.
type node struct {
	heard time.Time
	seq   uint64
	// sure says that no word of it was missed since it began to say all that it has, asked
	// when it was asked for that.
	sure  bool
	asked time.Time
	// seats are those who are at it; a seat that is false was not named yet by what it
	// says again.
	seats map[place]bool
}

type place struct{ channel, who string }

func newBus() *bus {
	return &bus{node: string(ident.NewRecord()), spoke: make(chan struct{}, 1),
		nodes: map[string]*node{}}
}

// say has the other processes hear of something, if there are any.
func (h *Hub) say(n note) {
	b := h.bus
	if h.cfg.Bus == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.nodes) == 0 {
		return
	}
	text := encode(n)
	if b.size+len(text) > sayMax {
		// Who is here can be said later. Messages are lost.
		h.numbers.dropped.Add(int64(len(b.notes)))
		b.notes, b.size, b.all = nil, 0, true
		return
	}
	b.notes = append(b.notes, text)
	b.size += len(text)
	b.nudge()
}

func (b *bus) nudge() {
	select {
	case b.spoke <- struct{}{}:
	default:
	}
}

// talk speaks with the hubs of other processes until ctx ends.
func (h *Hub) talk(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() {
		if err := h.cfg.Bus.Listen(ctx, h.hear); err != nil && ctx.Err() == nil {
			h.log.Warn("other processes cannot be heard", "cause", err)
		}
	})
	defer listening.Wait()
	h.bus.mu.Lock()
	h.bus.asks = []string{"*"}
	h.bus.mu.Unlock()
	h.bus.nudge()
	beat := time.NewTicker(h.cfg.Beat)
	defer beat.Stop()
	failed := false
	for {
		due := false
		select {
		case <-ctx.Done():
			bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = h.utter(bye, &word{Bye: true}) // else it is missed by its beats
			return
		case <-beat.C:
			h.bury()
			if due = len(h.cfg.Engine.App().Channels()) > 0; !due {
				continue // there is nothing to tell others of
			}
		case <-h.bus.spoke:
		}
		err := h.speak(ctx, due)
		if err != nil && !failed && !errors.Is(err, context.Canceled) {
			h.log.Warn("other processes do not hear of channels", "cause", err)
		}
		failed = err != nil
		select {
		case <-time.After(sayEach):
		case <-ctx.Done():
		}
	}
}

// speak says what waits; due asks for a word in any case.
func (h *Hub) speak(ctx context.Context, due bool) error {
	b := h.bus
	b.mu.Lock()
	notes, asks, all := b.notes, b.asks, b.all && due
	b.notes, b.size, b.asks = nil, 0, nil
	if all {
		b.all = false
	}
	b.mu.Unlock()
	var words []*word
	for _, who := range asks {
		words = append(words, &word{Ask: who})
	}
	words = append(words, together(notes)...)
	if all {
		list := together(h.everything())
		if len(list) == 0 {
			list = []*word{{}}
		}
		list[0].From, list[len(list)-1].To = true, true
		words = append(words, list...)
	}
	if len(words) == 0 && due {
		words = append(words, &word{})
	}
	for _, w := range words {
		if err := h.utter(ctx, w); err != nil {
			b.mu.Lock()
			b.all = true
			b.mu.Unlock()
			return err
		}
	}
	return nil
}

// utter says one word.
func (h *Hub) utter(ctx context.Context, w *word) error {
	h.bus.mu.Lock()
	h.bus.seq++
	w.Node, w.Seq = h.bus.node, h.bus.seq
	h.bus.mu.Unlock()
	return h.cfg.Bus.Publish(ctx, encode(w))
}

// encode writes JSON, and what of it is JSON already as it is.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // texts, and JSON that was read
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// together makes words of notes.
func together(notes []json.RawMessage) []*word {
	var words []*word
	size := wordMax
	for _, n := range notes {
		if size += len(n) + 1; size > wordMax {
			words, size = append(words, &word{}), len(n)
		}
		last := words[len(words)-1]
		last.Notes = append(last.Notes, n)
	}
	return words
}

// everything is who is at this process.
func (h *Hub) everything() []json.RawMessage {
	h.mu.Lock()
	rooms := make([]*room, 0, len(h.rooms))
	for _, r := range h.rooms {
		rooms = append(rooms, r)
	}
	h.mu.Unlock()
	var out []json.RawMessage
	for _, r := range rooms {
		r.mu.Lock()
		for s := r.first; s != nil; s = s.next {
			if s.node != "" || s.gone || !r.shows() {
				continue
			}
			out = append(out, encode(note{Channel: r.name, Kind: Joined, Who: s.Who, User: s.User,
				State: s.State}))
		}
		r.mu.Unlock()
	}
	return out
}

// hear takes a word of the bus; nil says that words may have been missed, which their
// numbers will tell.
func (h *Hub) hear(text []byte) {
	var w word
	if text == nil || json.Unmarshal(text, &w) != nil || w.Node == h.bus.node || w.Node == "" {
		return
	}
	b := h.bus
	b.hearing.Lock()
	defer b.hearing.Unlock()
	n := h.known(&w)
	if n == nil {
		return
	}
	if w.From {
		for p := range n.seats {
			n.seats[p] = false
		}
	}
	for _, raw := range w.Notes {
		var x note
		if json.Unmarshal(raw, &x) == nil {
			h.noted(n, w.Node, &x)
		}
	}
	if w.To && n.sure {
		h.unseatAll(n, w.Node, func(named bool) bool { return !named })
	}
	if w.Bye {
		h.unseatAll(n, w.Node, func(bool) bool { return true })
		b.mu.Lock()
		delete(b.nodes, w.Node)
		b.mu.Unlock()
	}
}

// known returns the process that says the word, nil for one that is not to be heard, and
// notes whether words of it were missed.
func (h *Hub) known(w *word) *node {
	b := h.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.nodes[w.Node]
	if n == nil {
		if w.Bye || len(b.nodes) >= nodesMax {
			return nil
		}
		n = &node{seats: map[place]bool{}}
		b.nodes[w.Node] = n
		b.all = true // it knows nothing of what was here while nobody heard
	}
	if w.Ask == b.node || w.Ask == "*" {
		b.all = true
	}
	now := time.Now()
	n.sure = w.From || n.sure && w.Seq == n.seq+1
	n.heard, n.seq = now, w.Seq
	if !n.sure && now.Sub(n.asked) >= h.cfg.Beat {
		n.asked = now
		b.asks = append(b.asks, w.Node)
		b.nudge()
	}
	return n
}

// noted does what a note of another process says.
func (h *Hub) noted(n *node, name string, x *note) {
	p := place{x.Channel, x.Who}
	if len(x.Channel) > spec.ChannelNameMax {
		return
	}
	switch x.Kind {
	case Message:
		h.deliver(x.Channel, nil, Event{Kind: Message, Channel: x.Channel, From: x.Who, User: x.By,
			Message: x.Message})
	case Joined:
		h.mu.Lock()
		r := h.room(x.Channel)
		if _, known := n.seats[p]; !known {
			r.users++
		}
		h.mu.Unlock()
		n.seats[p] = true
		r.mu.Lock()
		r.joined(Present{Who: x.Who, User: x.User, State: x.State}, name)
		r.mu.Unlock()
	case State:
		if _, known := n.seats[p]; known {
			h.mu.Lock()
			r := h.rooms[x.Channel]
			h.mu.Unlock()
			r.mu.Lock()
			r.changed(x.Who, name, x.State)
			r.mu.Unlock()
		}
	case Left:
		if _, known := n.seats[p]; known {
			h.unseat(n, name, p)
		}
	}
}

// unseat takes one of another process from his seat.
func (h *Hub) unseat(n *node, name string, p place) {
	delete(n.seats, p)
	h.mu.Lock()
	r := h.rooms[p.channel]
	h.mu.Unlock()
	r.mu.Lock()
	r.left(p.who, name)
	r.mu.Unlock()
	h.mu.Lock()
	h.release(r)
	h.mu.Unlock()
}

// unseatAll takes those of another process from their seats for whom the function says
// yes, which is told whether they were named again.
func (h *Hub) unseatAll(n *node, name string, whom func(bool) bool) {
	for p, named := range n.seats {
		if whom(named) {
			h.unseat(n, name, p)
		}
	}
}

// bury takes away the processes of which nothing was heard for too long.
func (h *Hub) bury() {
	b := h.bus
	b.hearing.Lock()
	defer b.hearing.Unlock()
	gone := map[string]*node{}
	b.mu.Lock()
	for name, n := range b.nodes {
		if time.Since(n.heard) >= beatsMissed*h.cfg.Beat {
			gone[name] = n
			delete(b.nodes, name)
		}
	}
	b.mu.Unlock()
	for name, n := range gone {
		h.unseatAll(n, name, func(bool) bool { return true })
	}
}
