package live

import (
	"context"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
)

// Conn is one connection. It is safe for concurrent use, except that one goroutine at a
// time may Take.
type Conn struct {
	hub   *Hub
	id    string
	ready chan struct{}

	// Guarded by the hub's lock. holding counts topics that wait; opening are
	// subscriptions that are about to begin; check is when to look for the session.
	call    engine.Call
	subject ident.Subject
	subs    map[string]*sub
	named   int
	opening int
	holding int
	check   time.Time
	gone    bool

	mu sync.Mutex
	// staged are pushes of commits that are not whole yet, out those that may be taken.
	staged, out []push
	// bytes are those of staged and out.
	bytes int
	wrote []journal.Seq
	// all are the subscriptions, slow those that wait for their reset.
	all, slow []*sub
	ended     error
	// notify is called in place of ready, if there is one.
	notify func()
}

// sub is one subscription.
type sub struct {
	conn  *Conn
	name  string
	query Query
	topic *topic
	// from is the place at which it began: what was committed up to there it knows.
	from journal.Seq

	// Guarded by the connection's lock. sent are pushes that are not acknowledged, of
	// which the first taken were handed out.
	sent    []sent
	taken   int
	changes int
	bytes   int
	paused  bool
	wished  bool
}

type sent struct {
	at             journal.Seq
	changes, bytes int
}

// push is a Push with its place.
type push struct {
	Push
	seq   journal.Seq
	sub   *sub
	bytes int
}

// wroteMax bounds the places of own commits that a connection waits for.
const wroteMax = 256

// Connect makes a connection. The call is the template of each call that is made of it:
// its Credential, or Trusted and Subject, its Request and Door. Whoever has a connection
// must Close it. An error is a *fault.Fault.
func (h *Hub) Connect(ctx context.Context, call engine.Call) (*Conn, error) {
	c := &Conn{hub: h, id: "c" + string(ident.NewCall()), ready: make(chan struct{}, 1),
		subs: map[string]*sub{}}
	if err := h.knows(ctx, c, call); err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed || !h.started():
		return nil, closing()
	case len(h.conns) >= ConnsMax:
		f := fault.New(fault.Unavailable, "This server has %d connections, its most.", ConnsMax)
		f.RetryAfter = 5
		return nil, f
	}
	h.conns[c] = struct{}{}
	h.counts.conns.Add(1)
	return c, nil
}

// knows finds out who calls. From then on the connection is his until his session ends,
// whichever of its tokens is in use.
func (h *Hub) knows(ctx context.Context, c *Conn, call engine.Call) error {
	call.ID, call.Seen, call.Key = ident.NewCall(), nil, ""
	subject, err := h.cfg.Engine.Identify(ctx, call)
	if err != nil {
		return fault.From(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	call.Trusted, call.Subject, call.Credential = true, subject, ""
	c.call, c.subject, c.check = call, subject, time.Time{}
	return nil
}

// ID names the connection among those of all nodes. It begins with c. A call that is
// made over the connection has the Door "<wire>/<ID>", so that pushes say By whom.
func (c *Conn) ID() string { return c.id }

// Subject is who has the connection.
func (c *Conn) Subject() ident.Subject {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	return c.subject
}

// Authenticate gives the connection another credential, before the first Follow.
func (c *Conn) Authenticate(ctx context.Context, credential string) error {
	h := c.hub
	h.mu.Lock()
	call, late := c.call, c.named > 0 || c.opening > 0
	h.mu.Unlock()
	if late {
		return fault.New(fault.Malformed, "Authenticate before the first follow.")
	}
	call.Trusted, call.Subject, call.Credential = false, ident.Subject{}, credential
	return h.knows(ctx, c, call)
}

// Follow begins a subscription. Its pushes may be taken as soon as Follow has returned,
// so a door tells its caller of the Start before it takes again. An error is a
// *fault.Fault.
func (c *Conn) Follow(ctx context.Context, q Query) (Start, error) {
	h := c.hub
	call, err := c.open(q)
	if err != nil {
		return Start{}, err
	}
	start, err := h.begin(ctx, c, call, q)
	if err != nil {
		h.mu.Lock()
		c.opening--
		h.mu.Unlock()
	}
	if err != nil && ctx.Err() != nil {
		return Start{}, fault.Wrap(fault.Timeout, err, "The subscription could not begin in time.")
	}
	if err != nil {
		return Start{}, fault.From(err)
	}
	return start, nil
}

// open makes room for a subscription.
func (c *Conn) open(q Query) (engine.Call, error) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case c.gone:
		return engine.Call{}, c.end()
	case len(c.subs)+c.opening >= SubsMax:
		return engine.Call{}, fault.New(fault.Exhausted,
			"A connection has at most %d subscriptions.", SubsMax)
	case h.rows+topicRows*len(h.topics) >= rowsMax:
		return engine.Call{}, fault.New(fault.Unavailable,
			"What is followed at this server has %d records, its most.", rowsMax)
	}
	c.opening++
	return c.callOf(q), nil
}

// callOf is the call of a query.
func (c *Conn) callOf(q Query) engine.Call {
	call := c.call
	call.ID = ident.NewCall()
	call.Verb, call.Target, call.Params = engine.List, q.Collection, q.Params
	if name, ok := strings.CutSuffix(q.Collection, aggregateSuffix); ok {
		call.Verb, call.Target = engine.Aggregate, name
	}
	return call
}

func (s *sub) slow() bool {
	s.conn.mu.Lock()
	defer s.conn.mu.Unlock()
	return s.paused
}

func (c *Conn) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended == nil {
		return fault.New(fault.Unavailable, "The connection is closed.")
	}
	return c.ended
}

// attach makes a subscription of a topic, which knows everything up to a place.
func (h *Hub) attach(c *Conn, q Query, t *topic, from journal.Seq) *sub {
	c.named++
	s := &sub{conn: c, name: "s" + strconv.Itoa(c.named), query: q, topic: t, from: from}
	s.query.Params = copyParams(q.Params)
	c.subs[s.name] = s
	c.opening-- // in one step, so that it never counts twice
	t.subs[s] = struct{}{}
	if t.waiting {
		c.holding++
	}
	c.mu.Lock()
	c.all = append(c.all, s)
	c.mu.Unlock()
	h.counts.subs.Add(1)
	return s
}

func copyParams(p url.Values) url.Values {
	out := make(url.Values, len(p))
	for k, v := range p {
		out[k] = slices.Clone(v)
	}
	return out
}

// detach ends a subscription.
func (h *Hub) detach(s *sub) {
	t, c := s.topic, s.conn
	if _, ok := t.subs[s]; !ok {
		return
	}
	delete(t.subs, s)
	delete(c.subs, s.name)
	h.counts.subs.Add(-1)
	if t.waiting {
		c.holding--
		h.staged[c] = struct{}{}
	}
	if len(t.subs) == 0 {
		t.idle = time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(s)
	c.resume(s)
	c.all = slices.DeleteFunc(c.all, func(x *sub) bool { return x == s })
}

// resume ends a pause.
func (c *Conn) resume(s *sub) {
	if s.paused {
		s.paused, s.wished = false, false
		c.slow = slices.DeleteFunc(c.slow, func(x *sub) bool { return x == s })
	}
}

// forget takes the pushes of a subscription away that were not handed out.
func (c *Conn) forget(s *sub) {
	of := func(p push) bool {
		if p.sub == s {
			c.bytes -= p.bytes
		}
		return p.sub == s
	}
	c.staged, c.out = slices.DeleteFunc(c.staged, of), slices.DeleteFunc(c.out, of)
	for _, x := range s.sent[s.taken:] {
		s.changes -= x.changes
		s.bytes -= x.bytes
	}
	s.sent = s.sent[:s.taken:s.taken]
}

// Unfollow ends a subscription. A name that is none is a fault of kind NotFound.
func (c *Conn) Unfollow(name string) error {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	s := c.subs[name]
	if s == nil {
		return fault.New(fault.NotFound, "There is no subscription of this name.")
	}
	h.detach(s)
	nudge(h.wake)
	return nil
}

// Ready receives when Take has something, and when the connection is at its end.
func (c *Conn) Ready() <-chan struct{} { return c.ready }

// Notify has fn called whenever Ready would receive, in place of it, and once at first.
// It must return at once and ask nothing of the connection.
func (c *Conn) Notify(fn func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.notify = fn
	fn()
}

// say says that Take has something. The connection is locked.
func (c *Conn) say() {
	if c.notify != nil {
		c.notify()
		return
	}
	nudge(c.ready)
}

// Take returns all that is ready, without waiting: whole commits in their order. An
// error is the end of the connection: a fault of kind Unauthenticated when its session
// has ended, Unavailable when the server is closing, with RetryAfter.
func (c *Conn) Take() ([]Push, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended != nil {
		return nil, c.ended
	}
	out := make([]Push, len(c.out))
	for i := range c.out {
		p := &c.out[i]
		next := i + 1
		c.bytes -= p.bytes
		p.More = p.sub != nil && next < len(c.out) && c.out[next].sub != nil &&
			c.out[next].seq == p.seq
		if p.sub != nil && p.Ended == nil {
			p.sub.taken++
		}
		out[i] = p.Push
	}
	clear(c.out)
	c.out = c.out[:0]
	if cap(c.out) > 256 {
		c.out = nil
	}
	c.wish()
	return out, nil
}

// wish asks for the whole answer anew for a subscription that was paused and of which
// the client has acknowledged all that it was sent: for one, so that not all of them wait
// to be taken.
func (c *Conn) wish() {
	if c.bytes > connBytes/2 || slices.ContainsFunc(c.slow, func(s *sub) bool { return s.wished }) {
		return
	}
	i := slices.IndexFunc(c.slow, func(s *sub) bool { return len(s.sent) == 0 })
	if i < 0 {
		return
	}
	c.slow[i].wished = true
	w := &c.hub.wishes
	w.mu.Lock()
	w.resets = append(w.resets, c.slow[i])
	w.mu.Unlock()
	nudge(c.hub.wake)
}

// full reports that too much waits to be taken for a whole answer more.
func (c *Conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.bytes > connBytes/2
}

// Ack says that the client has all pushes up to a place, which frees the budget.
func (c *Conn) Ack(at string) error {
	seq, ok := c.hub.seqOf(at)
	if !ok {
		return fault.New(fault.Malformed, "%q is no place that was told.", shown(at))
	}
	c.acked(func(x sent) bool { return x.at.Compare(seq) <= 0 })
	return nil
}

// AckTaken says that the client has all pushes that were taken.
func (c *Conn) AckTaken() { c.acked(func(sent) bool { return true }) }

// acked forgets the pushes that the client has.
func (c *Conn) acked(has func(sent) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.all {
		n := 0
		for n < s.taken && has(s.sent[n]) {
			s.changes -= s.sent[n].changes
			s.bytes -= s.sent[n].bytes
			n++
		}
		s.sent = slices.Delete(s.sent, 0, n)
		s.taken -= n
	}
	c.wish()
}

func shown(text string) string {
	if len(text) > 40 {
		return text[:40]
	}
	return text
}

// seqOf reads a place of this history.
func (h *Hub) seqOf(at string) (journal.Seq, bool) {
	epoch, text, ok := strings.Cut(at, ":")
	if !ok || epoch != h.cfg.Epoch {
		return journal.Seq{}, false
	}
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return journal.Seq{Lo: n}, true
	}
	seq, err := journal.ParseSeq(text)
	return seq, err == nil
}

// Wrote says that a call of the connection was committed at a place: a push of that
// place alone follows once everything up to it has been pushed.
func (c *Conn) Wrote(at journal.Seq) {
	c.mu.Lock()
	if len(c.wrote) >= wroteMax {
		c.wrote = slices.Delete(c.wrote, 0, 1) // a later place says more
	}
	c.wrote = append(c.wrote, at)
	c.mu.Unlock()
	w := &c.hub.wishes
	w.mu.Lock()
	w.wrote = append(w.wrote, c)
	w.mu.Unlock()
	nudge(c.hub.wake)
}

// Close ends the connection and its subscriptions.
func (c *Conn) Close() {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	c.hub.leave(c, fault.New(fault.Unavailable, "The connection is closed."))
	nudge(c.hub.wake)
}

// leave ends a connection.
func (h *Hub) leave(c *Conn, why *fault.Fault) {
	if c.gone {
		return
	}
	c.gone = true
	for _, s := range c.subs {
		h.detach(s)
	}
	delete(h.staged, c)
	if _, ok := h.conns[c]; ok {
		delete(h.conns, c)
		h.counts.conns.Add(-1)
	}
	c.mu.Lock()
	c.ended, c.staged, c.out = why, nil, nil
	c.say()
	c.mu.Unlock()
}

// push stages a push of a subscription, or pauses it if too much of it is not
// acknowledged.
func (h *Hub) push(s *sub, at journal.Seq, p Push, changes, bytes int) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.paused {
		return
	}
	if p.Reset != nil {
		c.forget(s) // it says all that was not handed out yet
	}
	if len(s.sent) > 0 && (s.changes+changes > changesMax || s.bytes+bytes > bytesMax) ||
		c.bytes > 0 && c.bytes+bytes > connBytes {
		s.paused = true
		c.slow = append(c.slow, s)
		c.forget(s)
		c.say() // so that the door takes, and it is seen that it does
		return
	}
	h.counts.pushes.Add(1)
	c.stage(s, at, p, changes, bytes)
	h.staged[c] = struct{}{}
}

func (c *Conn) stage(s *sub, at journal.Seq, p Push, changes, bytes int) {
	s.changes, s.bytes = s.changes+changes, s.bytes+bytes
	s.sent = append(s.sent, sent{at, changes, bytes})
	c.staged = append(c.staged, push{p, at, s, bytes})
	c.bytes += bytes
}

// pushEnded tells that a subscription is over.
func (h *Hub) pushEnded(s *sub, why *fault.Fault) {
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	c.staged = append(c.staged, push{Push{Sub: s.name, At: h.At(*h.place.Load()), Ended: why},
		*h.place.Load(), s, 0})
	h.staged[c] = struct{}{}
}

// reset tells a subscription everything again.
func (h *Hub) reset(s *sub, at journal.Seq, items []engine.Item) {
	c := s.conn
	bytes := 0
	for i := range items {
		bytes += 48 * len(items[i].Record.Slots)
		for _, v := range items[i].Record.Slots {
			bytes += len(v.Text())
		}
	}
	s.from = at
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(s)
	c.resume(s)
	h.counts.resets.Add(1)
	start := Start{Sub: s.name, Reset: true, Items: items, At: h.At(at)}
	c.stage(s, at, Push{Sub: s.name, At: start.At, Reset: &start}, len(items), bytes)
	h.staged[c] = struct{}{}
}

// release lets the connection have what is staged, and the places of its own commits. It
// reports whether that was all.
func (h *Hub) release(c *Conn, place journal.Seq) bool {
	if c.holding > 0 {
		return c.gone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.out = append(c.out, c.staged...)
	clear(c.staged)
	c.staged = c.staged[:0]
	slices.SortFunc(c.wrote, journal.Seq.Compare)
	// A subscription that is paused has not been told everything up to there.
	for len(c.slow) == 0 && len(c.wrote) > 0 && c.wrote[0].Compare(place) <= 0 {
		c.out = append(c.out, push{Push: Push{At: h.At(c.wrote[0])}, seq: c.wrote[0]})
		c.wrote = slices.Delete(c.wrote, 0, 1)
	}
	if len(c.out) > 0 {
		c.say()
	}
	return len(c.wrote) == 0
}
