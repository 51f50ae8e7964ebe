package follow

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// batchMax is how many entries one commit of a follower is about.
	batchMax = 256
	// beatEach is how often a node says that it lives, beatsMissed after how many beats
	// that did not come it is taken for gone, buryTime after how long its record is taken
	// away.
	beatEach    = time.Second
	beatsMissed = 4
	buryTime    = time.Hour
	// nodesMax bounds the nodes that are looked at.
	nodesMax = 1000
	// triesMax is how often an entry is tried before it is set apart, againMin and
	// againMax how long it is waited between two tries.
	triesMax = 6
	againMin = 50 * time.Millisecond
	againMax = 5 * time.Second
	// saveEach is how often a place is kept that moved past entries which were none of
	// the follower's business.
	saveEach = 2 * time.Second
	// closeTime bounds the last writes of a node that stops.
	closeTime = 10 * time.Second
)

// Config is what a Runner is made of.
type Config struct {
	Store interface {
		store.Store
		store.History
	}
	// Head returns the place of the last entry.
	Head func(context.Context) (journal.Seq, error)
	// Shared reports whether other processes may be on the database; nil means that
	// none is.
	Shared func() bool
	// Timed returns what the clock starts in the app in force, and Guarded is a store on
	// which a write fails while another app is; both are nil where nothing is timed.
	Timed   func() []Timed
	Guarded store.Store
	// Beat is how often this node says that it lives; 0 means once in a second. A node
	// of which nothing was heard for four beats is gone.
	Beat time.Duration
	// Now is the app's own time.
	Now func() time.Time
	Log *slog.Logger
}

// Runner runs followers at one node. It is safe for concurrent use.
type Runner struct {
	cfg     Config
	node    ident.Record
	shapes  map[string]*value.Shape
	members members
	beaten  atomic.Int64
	halted  atomic.Bool

	durable []*durable
	ticked  chan struct{}
	wakes   []func()
	closes  []func(context.Context)

	end     context.CancelFunc
	running sync.WaitGroup
}

// New returns a Runner; Add says what it runs, Start begins.
func New(c Config) *Runner {
	if c.Shared == nil {
		c.Shared = func() bool { return false }
	}
	if c.Beat == 0 {
		c.Beat = beatEach
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Runner{cfg: c, node: ident.NewRecord(), shapes: Shapes(Collections()),
		ticked: make(chan struct{}, 1)}
}

// Shapes returns the shapes of records of the collections by their names.
func Shapes(of []*spec.Collection) map[string]*value.Shape {
	schema := (&spec.Spec{}).Schema(of...)
	out := make(map[string]*value.Shape, len(of))
	for _, t := range schema.Collections {
		out[t.Name] = t.Shape
	}
	return out
}

// Add adds a follower before Start.
func (r *Runner) Add(f Follower) {
	sum := sha256.Sum256([]byte("follower " + f.Name()))
	sum[0] &= 0x7f
	d := &durable{Runner: r, of: f, id: ident.FromBytes([16]byte(sum[:16])),
		wake: make(chan struct{}, 1)}
	r.durable = append(r.durable, d)
}

// OnWake adds, before Start, what is called when time may have passed, or a node may
// be gone: at least once in a second on a database with other nodes.
func (r *Runner) OnWake(fn func()) { r.wakes = append(r.wakes, fn) }

// OnClose adds, before Start, what is called when the followers have ended, while this
// node still counts as alive.
func (r *Runner) OnClose(fn func(context.Context)) { r.closes = append(r.closes, fn) }

// Wake has everything looked at that waits for time.
func (r *Runner) Wake() {
	for _, fn := range r.wakes {
		fn()
	}
	nudge(r.ticked)
	for _, d := range r.durable {
		nudge(d.wake)
	}
}

// nudge wakes whoever waits at the channel.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Start begins to run the followers, until Close.
func (r *Runner) Start(ctx context.Context) error {
	if err := r.beat(ctx); err != nil {
		return err
	}
	ctx, r.end = context.WithCancel(context.WithoutCancel(ctx))
	r.running.Go(func() { r.beats(ctx) })
	if r.cfg.Timed != nil {
		r.running.Go(func() { r.clock(ctx) })
	}
	for _, d := range r.durable {
		r.running.Go(func() { d.run(ctx) })
	}
	return nil
}

// Live calls fn with each entry from the head on until ctx ends, or Close.
func (r *Runner) Live(ctx context.Context, fn Live) {
	r.running.Go(func() {
		var at journal.Seq
		for known := false; ctx.Err() == nil; {
			var err error
			if !known {
				at, err = r.cfg.Head(ctx)
				known = err == nil
			}
			if known {
				for e, broken := range r.cfg.Store.Follow(ctx, at) {
					if err = broken; err != nil {
						break
					}
					at = e.Seq
					fn(e)
				}
			}
			if err != nil && ctx.Err() == nil {
				r.cfg.Log.Warn("the journal cannot be followed", "cause", err)
			}
			pause(ctx, r.cfg.Beat)
		}
	})
}

// Close ends the followers and lets other nodes have them at once.
func (r *Runner) Close() error {
	if r.end == nil {
		return nil
	}
	r.end()
	r.running.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	for _, fn := range r.closes {
		fn(ctx)
	}
	return r.removeNodes(ctx, []ident.Record{r.node})
}

// origin is that of the house's own bookkeeping.
func (r *Runner) origin(operation string) journal.Origin {
	return journal.Origin{Call: ident.NewCall(), Operation: operation, Door: "house",
		Subject: ident.Subject{Who: ident.System, Name: "follow"}, Now: r.cfg.Now()}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// errLost says that another node has the follower.
var errLost = errors.New("another node has the follower")

// durable is a follower with its place.
type durable struct {
	*Runner
	of   Follower
	id   ident.Record
	wake chan struct{}
	// version is that of the follower's record, saved is the place it says. at is how
	// far the entries were looked at: those between were none of the follower's
	// business, so that their place is kept now and then only.
	version int64
	saved   journal.Seq
	at      atomic.Pointer[journal.Seq]
}

// run has the follower and does its work, whenever no other node has it.
func (d *durable) run(ctx context.Context) {
	for again := againMin; ctx.Err() == nil; {
		got, err := d.take(ctx)
		if err == nil && got {
			began := time.Now()
			err = d.work(ctx)
			if p, ok := d.of.(Preparer); ok && errors.Is(err, errLost) {
				p.Lost()
			}
			if time.Since(began) > againMax {
				again = againMin
			}
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil && !errors.Is(err, errLost):
			d.cfg.Log.Warn("a follower begins anew", "follower", d.of.Name(), "cause", err)
			pause(ctx, again)
			again = min(again*2, againMax)
		default:
			select {
			case <-d.wake:
			case <-ctx.Done():
			case <-time.After(d.cfg.Beat):
			}
		}
	}
}

// take makes the follower this node's, unless a living node has it.
func (d *durable) take(ctx context.Context) (bool, error) {
	held := func(row value.Record) bool {
		by := ident.Record(row.Get(fieldNode).Text())
		return by != "" && by != d.node && d.Alive(by)
	}
	there := false
	err := d.cfg.Store.Read(ctx, func(v store.View) error {
		row, err := v.Get(ctx, Followers, d.id)
		there = err == nil && held(row)
		return lenient(err)
	})
	if err != nil || there || !d.Beaten() {
		return false, err
	}
	var mine value.Record
	_, err = d.cfg.Store.Write(ctx, d.origin(Followers), func(tx store.Tx) error {
		row, err := tx.Get(ctx, Followers, d.id)
		switch {
		case fault.Is(err, fault.NotFound):
			row = value.NewRecord(d.shapes[Followers])
			row.Slots[spec.SlotID] = value.OfText(string(d.id))
			row.Set(fieldName, value.OfText(d.of.Name()))
			row.Set(fieldSeq, value.OfText(journal.Seq{}.String()))
		case err != nil:
			return err
		case held(row):
			return errLost
		}
		row.Set(fieldNode, value.OfText(string(d.node)))
		mine, err = tx.Put(ctx, Followers, row)
		return err
	})
	if errors.Is(err, errLost) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("take the follower: %w", err)
	}
	d.version = mine.Slots[spec.SlotVersion].Int()
	d.saved, err = journal.ParseSeq(mine.Get(fieldSeq).Text())
	at := d.saved
	d.at.Store(&at)
	return err == nil, err
}

// lenient forgives that something is not there.
func lenient(err error) error {
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	return err
}

// work accepts entries until another node has the follower, or ctx ends.
func (d *durable) work(ctx context.Context) error {
	if p, ok := d.of.(Preparer); ok {
		doubt, err := d.cfg.Head(ctx)
		if err == nil {
			err = p.Gained(ctx, doubt)
		}
		if err != nil {
			return err
		}
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	type step struct {
		entry journal.Entry
		err   error
	}
	feed := make(chan step, batchMax)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(feed)
		for e, err := range d.cfg.Store.Intents(reading, *d.at.Load()) {
			select {
			case feed <- step{e, err}:
			case <-reading.Done():
				return
			}
		}
	}()
	defer func() { stop(); <-done }()
	batch := make([]journal.Entry, 0, batchMax)
	var late <-chan time.Time
	for {
		var s step
		var ok bool
		select {
		case s, ok = <-feed:
		case <-late:
			if late = nil; *d.at.Load() != d.saved {
				if _, err := d.commit(ctx, nil, *d.at.Load(), nil); err != nil {
					return err
				}
			}
			continue
		}
		batch = batch[:0]
		for ok && s.err == nil {
			if batch = append(batch, s.entry); len(batch) == batchMax {
				break
			}
			select {
			case s, ok = <-feed:
				continue
			default:
			}
			break
		}
		for rest := batch; len(rest) > 0; {
			if first := slices.IndexFunc(rest, d.concerned); first < 0 {
				at := rest[len(rest)-1].Seq
				d.at.Store(&at)
				break
			}
			n, err := d.accept(ctx, rest)
			if err != nil {
				return err
			}
			rest = rest[n:]
		}
		if late == nil && *d.at.Load() != d.saved {
			late = time.After(saveEach)
		}
		if s.err != nil || !ok {
			return s.err
		}
	}
}

// concerned reports whether an entry is the follower's business.
func (d *durable) concerned(e journal.Entry) bool {
	kind := d.of.Kind()
	return slices.ContainsFunc(e.Intents, func(i journal.Intent) bool { return i.Kind == kind })
}

// accept has the follower accept the first of the entries, together, or else one by
// one, and returns how many.
func (d *durable) accept(ctx context.Context, batch []journal.Entry) (int, error) {
	if p, ok := d.of.(Preparer); ok {
		batch = batch[:max(1, p.Prepare(ctx, batch))]
	}
	if bad, err := d.commit(ctx, batch, batch[len(batch)-1].Seq, nil); bad < 0 {
		return len(batch), err
	}
	for i := range batch {
		if err := d.alone(ctx, batch[i:i+1]); err != nil {
			return 0, err
		}
	}
	return len(batch), nil
}

// alone has the follower accept one entry, which is set apart if it fails for good.
func (d *durable) alone(ctx context.Context, one []journal.Entry) error {
	again := againMin
	for n := 1; ; n++ {
		bad, err := d.commit(ctx, one, one[0].Seq, nil)
		if bad < 0 {
			return err
		}
		if n == triesMax {
			d.cfg.Log.Error("an entry was set apart", "follower", d.of.Name(),
				"entry", one[0].Seq.String(), "cause", err)
			_, err := d.commit(ctx, one, one[0].Seq, err)
			return err
		}
		pause(ctx, again)
		again = min(again*2, againMax)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// commit accepts the entries in one commit with the place behind them; with a problem
// it sets them apart instead. bad is the entry at which the follower failed, or less
// than 0.
func (d *durable) commit(ctx context.Context, batch []journal.Entry, last journal.Seq,
	problem error) (bad int, err error) {
	var version int64
	_, err = d.cfg.Store.Write(ctx, d.origin(Followers), func(tx store.Tx) error {
		bad = -1
		row, err := tx.Get(ctx, Followers, d.id)
		if err != nil {
			return err
		}
		if row.Slots[spec.SlotVersion].Int() != d.version {
			return errLost
		}
		for i := range batch {
			if problem != nil {
				err = d.park(ctx, tx, batch[i].Seq, problem)
			} else if err = safely(ctx, d.of.Accept, tx, batch[i]); err != nil && own(err) {
				bad = i
			}
			if err != nil {
				return err
			}
		}
		row.Set(fieldSeq, value.OfText(last.String()))
		if row, err = tx.Put(ctx, Followers, row); err == nil {
			version = row.Slots[spec.SlotVersion].Int()
		}
		return err
	})
	if err != nil {
		return bad, err
	}
	d.version, d.saved = version, last
	d.at.Store(&last)
	d.of.Committed()
	return -1, nil
}

// safely calls a follower; a panic is an error of its own.
func safely(ctx context.Context, take func(context.Context, store.Tx, journal.Entry) error,
	tx store.Tx, e journal.Entry) (err error) {
	defer func() {
		if why := recover(); why != nil {
			err = fmt.Errorf("panic: %v\n%s", why, debug.Stack())
		}
	}()
	return take(ctx, tx, e)
}

// own reports whether an error is the follower's, and not that of a database which
// cannot write now.
func own(err error) bool {
	switch fault.From(err).Kind {
	case fault.Unavailable, fault.Unknown, fault.Timeout:
		return false
	}
	return !errors.Is(err, context.Canceled)
}

// park sets an entry apart.
func (d *durable) park(ctx context.Context, tx store.Tx, seq journal.Seq, problem error) error {
	row := value.NewRecord(d.shapes[Parked])
	row.Slots[spec.SlotID] = value.OfText(string(ident.NewRecord()))
	row.Set(fieldFollower, value.OfText(d.of.Name()))
	row.Set(fieldSeq, value.OfText(seq.String()))
	row.Set(fieldProblem, value.OfText(problem.Error()))
	_, err := tx.Put(ctx, Parked, row)
	return err
}
