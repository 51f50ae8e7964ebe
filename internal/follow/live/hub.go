package live

import (
	"context"
	"hash/maphash"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
)

// Bounds, each of which is named by the error that it causes.
const (
	// ConnsMax is how many connections a process has, SubsMax how many subscriptions a
	// connection.
	ConnsMax = 20_000
	SubsMax  = 200
	// rowsMax is how many rows all topics of a process may have together, where a topic
	// itself counts as topicRows.
	rowsMax   = 1_000_000
	topicRows = 8
	// changesMax and bytesMax are how much of a subscription may be unacknowledged before
	// it is paused.
	changesMax = 1000
	bytesMax   = 1 << 20
	// connBytes is how much may wait for a connection to take it, of all its subscriptions.
	connBytes = 4 << 20
)

// Bounds of work, after which other work has its turn.
const (
	// queueMax and queueBytes bound the entries that wait.
	queueMax   = 1024
	queueBytes = 16 << 20
	// againMax is how many topics ask their query again in one state.
	againMax = 64
	// againTime bounds how long they keep others waiting.
	againTime = 50 * time.Millisecond
	// askTime bounds how long a query may take that is asked again, failuresMax how often
	// it may fail.
	askTime     = time.Second
	failuresMax = 5
	// tickEach is how often is looked for what only time changes, againEach how often
	// rules that mention now are judged again, sessionEach how often it is asked whether
	// sessions still live of which no entry said that they ended.
	tickEach    = 250 * time.Millisecond
	againEach   = 10 * time.Second
	sessionEach = 30 * time.Second
	// sessionsMax is how many of them are looked at in one state.
	sessionsMax = 500
	// lingerTime is how long a topic that nobody follows is kept for those who come back.
	lingerTime = 30 * time.Second
	// ringFrames and ringBytes bound the frames that a topic keeps for those who come
	// back, ringAll those of all topics.
	ringFrames = 256
	ringBytes  = 128 << 10
	ringAll    = 64 << 20
	// freshMax is of how many topics an answer is kept from one tick to the next.
	freshMax = 64
	// arriveTime is how long entries are waited for that a state includes, lateTime until
	// another state is looked at, retryTime and retryMax how long after a failure.
	arriveTime = 200 * time.Millisecond
	lateTime   = 5 * time.Millisecond
	retryTime  = 50 * time.Millisecond
	retryMax   = 2 * time.Second
)

// Engine is what a Hub asks of the engine.
type Engine interface {
	// Watch, Look and Identify are as in engine.Engine.
	Watch(ctx context.Context, call engine.Call) (*engine.Watch, engine.Rows, error)
	Look(ctx context.Context, fn func(*engine.Look) error) error
	Identify(ctx context.Context, call engine.Call) (ident.Subject, error)
}

// Config is what a Hub is made of.
type Config struct {
	Engine Engine
	// Follow yields the entries of the journal: store.Store.Follow.
	Follow func(ctx context.Context, after journal.Seq) iter.Seq2[journal.Entry, error]
	// Append writes an item as JSON, as every door does: transport.AppendItem.
	Append func(dst []byte, item *engine.Item) []byte
	// Epoch names the history that the journal tells: places of another one are void.
	Epoch string
	// Revoked returns the sessions that an entry ended, Expires until when a session
	// lasts: zero if it has ended. nil knows no sessions.
	Revoked func(e *journal.Entry) []ident.Record
	Expires func(ctx context.Context, r auth.Reader, session ident.Record) (time.Time, error)
	// Again is how often rules that mention now are judged again; 0 means 10 s.
	Again time.Duration
	// Quick is how long a query may take that is asked again whenever it must be; 0 means
	// 20 ms.
	Quick time.Duration
	// Now is the app's own time; nil means the machine's.
	Now func() time.Time
	Log *slog.Logger
}

// Hub keeps the subscriptions of one process. It is safe for concurrent use.
type Hub struct {
	cfg  Config
	seed maphash.Seed

	intake intake
	// wake is for what others left for the loop to do.
	wake   chan struct{}
	wishes wishes

	// place is that up to which all topics know all, and every whole commit was pushed.
	place atomic.Pointer[journal.Seq]
	// mu guards all that follows, and what topics and subscriptions hold.
	mu     sync.Mutex
	conns  map[*Conn]struct{}
	topics map[string]*topic
	// own finds topics by their records, uses by what else they look at, holds by the
	// records that stand beside theirs.
	own   index
	uses  uses
	holds map[engine.Held]map[*topic]struct{}
	// again are topics that must ask their query again, in the order of their need.
	again []*topic
	// slow are those of them that take long.
	slow slow
	// staged are connections with pushes of the commits that are being handled.
	staged map[*Conn]struct{}
	// touched is, by collection, the last entry that changed it, since began.
	touched map[string]journal.Seq
	began   journal.Seq
	memory  *engine.Memory
	rows    int
	// fresh are the topics that have an answer of a moment ago.
	fresh []*topic
	// quick and long are the topics that are computed again, by how long it takes, came
	// those that were and of which the loop takes note.
	quick, long lane
	came        []*topic
	// app is a watch of the app by which the topics judge, old are topics of another.
	app    *engine.Watch
	old    []*topic
	timed  time.Time
	closed bool

	// reading is held by who reads the journal for one who comes back.
	reading chan struct{}

	counts counts
	// base ends with the hub.
	base  context.Context
	end   context.CancelFunc
	tasks sync.WaitGroup
}

// counts are what is told of a hub.
type counts struct {
	conns, subs, frames, pushes, resets, judged, queries atomic.Int64
}

// Stats is what is told of a hub.
type Stats struct {
	// Conns, Subs, Topics and Rows are how many there are.
	Conns, Subs, Topics, Rows int64
	// Frames are those that were made, Pushes how often one was given to a connection,
	// Resets how many whole answers were sent anew, Judged how many records were judged
	// in memory, Queries how many queries were asked again, since the start.
	Frames, Pushes, Resets, Judged, Queries int64
	// Lag is how many entries wait.
	Lag int64
}

// New returns a Hub. Start begins its work.
func New(c Config) *Hub {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Again == 0 {
		c.Again = againEach
	}
	if c.Quick == 0 {
		c.Quick = quickTime
	}
	h := &Hub{cfg: c, seed: maphash.MakeSeed(), wake: make(chan struct{}, 1),
		conns: map[*Conn]struct{}{}, topics: map[string]*topic{}, own: index{}, uses: uses{},
		holds:  map[engine.Held]map[*topic]struct{}{},
		staged: map[*Conn]struct{}{}, touched: map[string]journal.Seq{},
		quick: lane{most: 2}, long: lane{most: 1}, memory: engine.NewMemory(), reading: make(chan struct{}, 1)}
	h.intake.more = make(chan struct{}, 1)
	h.intake.room = make(chan struct{}, 1)
	return h
}

// Start begins to follow the journal from its head on, until Close.
func (h *Hub) Start(ctx context.Context) error {
	var at journal.Seq
	err := h.cfg.Engine.Look(ctx, func(l *engine.Look) error {
		at = l.At()
		return nil
	})
	if err != nil {
		return err
	}
	h.place.Store(&at)
	h.began = at
	h.intake.last = at
	ctx, h.end = context.WithCancel(context.WithoutCancel(ctx))
	h.base = ctx
	h.tasks.Go(func() { h.follow(ctx, at) })
	h.tasks.Go(func() { h.run(ctx) })
	return nil
}

// At writes a place as it goes over the wire: epoch and place.
func (h *Hub) At(seq journal.Seq) string { return h.cfg.Epoch + ":" + seq.String() }

// started reports whether subscriptions can begin.
func (h *Hub) started() bool { return h.place.Load() != nil }

// Stats returns what is told of the hub.
func (h *Hub) Stats() Stats {
	c := &h.counts
	h.mu.Lock()
	topics, rows := len(h.topics), h.rows
	h.mu.Unlock()
	return Stats{Conns: c.conns.Load(), Subs: c.subs.Load(), Topics: int64(topics),
		Rows: int64(rows), Frames: c.frames.Load(), Pushes: c.pushes.Load(),
		Resets: c.resets.Load(), Judged: c.judged.Load(), Queries: c.queries.Load(),
		Lag: h.intake.size()}
}

// Close tells every connection that the server is closing, and ends the hub. What was
// committed before is not pushed any more.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	if h.end != nil {
		h.end()
		h.tasks.Wait()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.conns {
		h.leave(c, closing())
	}
	for _, t := range h.topics {
		h.settle(t) // nobody answers it any more, and who waits to join it has to hear that
	}
}

// closing is the end of a connection of a server that closes. Clients come back at
// different times.
func closing() *fault.Fault {
	f := fault.New(fault.Unavailable, "The server is closing. Connect again.")
	f.RetryAfter = 1 + int(ident.NewRecord()[25]&3)
	return f
}

// intake is the entries that wait for their turn.
type intake struct {
	mu      sync.Mutex
	entries []*journal.Entry
	sizes   []int
	bytes   int
	// full reports that an entry waits for room.
	full bool
	// last is the place of the last entry that came.
	last journal.Seq
	// more receives when entries came, room when some were taken.
	more, room chan struct{}
}

func (q *intake) size() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return int64(len(q.entries))
}

// put adds an entry, and waits while there are too many.
func (q *intake) put(ctx context.Context, e *journal.Entry) {
	n := sizeOf(e)
	for ctx.Err() == nil {
		q.mu.Lock()
		if len(q.entries) == 0 || len(q.entries) < queueMax && q.bytes+n <= queueBytes {
			q.entries, q.sizes = append(q.entries, e), append(q.sizes, n)
			q.bytes += n
			q.last, q.full = e.Seq, false
			q.mu.Unlock()
			nudge(q.more)
			return
		}
		q.full = true
		q.mu.Unlock()
		nudge(q.more)
		select {
		case <-q.room:
		case <-ctx.Done():
		}
	}
}

// take removes the entries up to a place; known reports that all of them have come.
func (q *intake) take(upto journal.Seq) (out []*journal.Entry, known bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := 0
	for n < len(q.entries) && q.entries[n].Seq.Compare(upto) <= 0 {
		q.bytes -= q.sizes[n]
		n++
	}
	out = q.entries[:n:n]
	q.entries, q.sizes = q.entries[n:], q.sizes[n:]
	if n > 0 {
		nudge(q.room)
	}
	return out, q.last.Compare(upto) >= 0
}

// arrived reports whether all entries up to a place have come, or as many as there is
// room for.
func (q *intake) arrived(upto journal.Seq) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.last.Compare(upto) >= 0 || q.full
}

// sizeOf estimates how many bytes an entry holds.
func sizeOf(e *journal.Entry) int {
	n := 256
	for i := range e.Changes {
		for _, v := range e.Changes[i].Before.Slots {
			n += 48 + len(v.Text())
		}
		for _, v := range e.Changes[i].After.Slots {
			n += 48 + len(v.Text())
		}
	}
	return n
}

// follow takes in the entries of the journal.
func (h *Hub) follow(ctx context.Context, at journal.Seq) {
	for ctx.Err() == nil {
		for e, err := range h.cfg.Follow(ctx, at) {
			if err != nil {
				if ctx.Err() == nil {
					h.cfg.Log.Warn("the journal cannot be followed", "cause", err)
				}
				break
			}
			at = e.Seq
			h.intake.put(ctx, &e)
		}
		pause(ctx, retryTime)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// wishes are what connections ask of the loop.
type wishes struct {
	mu     sync.Mutex
	resets []*sub
	wrote  []*Conn
}

func (w *wishes) take() (resets []*sub, wrote []*Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	resets, wrote = w.resets, w.wrote
	w.resets, w.wrote = nil, nil
	return resets, wrote
}

// back gives back what could not be done yet.
func (w *wishes) back(resets []*sub) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.resets = append(w.resets, resets...)
}

func (w *wishes) some() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.resets) > 0
}
