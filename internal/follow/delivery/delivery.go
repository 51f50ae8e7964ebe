// Package delivery sends what the app file's deliveries say to other people's hooks:
// signed, after the commit, again until it arrives, and for each record in the order of
// its changes. It follows the intents of deliveries and keeps each one as a record:
//
//	waiting --taken--> sending --2xx--> done
//	   ^                  |
//	   +----- again ------+--no more tries, or for good--> failed
//
// A delivery whose record has an older one on its way waits for that one's end. One that
// is sent belongs to its node for as long as the node lives; then another sends it again
// under the same id, by which the other side can tell a repetition. What is delivered,
// and on which change, is the app's; which addresses can be reached, outbound's.
package delivery

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Bounds of deliveries.
const (
	// SendTime is how long the other side may take to answer, answerMax how much of its
	// answer is read, in bytes: only the status counts.
	SendTime  = 15 * time.Second
	answerMax = 64 << 10
	// workersMax is how many deliveries a node sends together, namedMax how many of
	// them are of one name, so that a slow hook does not hold up the others.
	workersMax, namedMax = 32, 8
	// againFirst is the wait after the first failure; it is three times as long after
	// each further one, and at most againMost. The other side may ask for another, up
	// to askedMost.
	againFirst, againMost, askedMost = 5 * time.Second, 6 * time.Hour, 24 * time.Hour
	// BodyMax is the greatest size of what is delivered, in bytes.
	BodyMax = 1 << 20
	// Keep is how long a delivery that arrived is known, KeepFailed one that did not.
	Keep       = 14 * 24 * time.Hour
	KeepFailed = 90 * 24 * time.Hour
	// lookEach is how often the database is looked at for what nobody told of.
	lookEach = time.Second
	// closeGrace is how long deliveries may go on when the node stops.
	closeGrace = 5 * time.Second
)

// Config is what Deliveries are made of.
type Config struct {
	Store store.Store
	// Follow runs the follower, and knows the nodes.
	Follow *follow.Runner
	// App returns the app in force. InForce is asked within a transaction, and its fault
	// of kind Unavailable ends it, where another app is by now; nil means that none is.
	App     func() *app.App
	InForce func() error
	// Secret returns a secret of the app, "" where there is none.
	Secret func(name string) string
	// Wall is the way out.
	Wall *outbound.Wall
	// Mask hides secrets in what is kept of failures.
	Mask *observe.Mask
	Now  func() time.Time
	Log  *slog.Logger
	// Count counts what came of each try, by the delivery and its outcome; nil counts
	// nothing.
	Count func(operation, outcome string)
	// Again is how long to wait after the n-th failure; nil means the house's times.
	Again func(n int64) time.Duration
}

// Deliveries follows the journal and sends. It is safe for concurrent use.
type Deliveries struct {
	cfg    Config
	shape  *value.Shape
	client *http.Client
	wake   chan struct{}

	mu      sync.Mutex
	sending map[string]int // by name
	running int
	closing bool
	swept   time.Time

	stop    context.CancelFunc // ends the loop
	abort   context.CancelFunc // ends what is being sent
	ctx     context.Context
	loop    sync.WaitGroup
	workers sync.WaitGroup
}

var _ follow.Follower = (*Deliveries)(nil)

// New returns Deliveries. It adds them to the follower's runner; Start begins to send.
func New(c Config) *Deliveries {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Count == nil {
		c.Count = func(string, string) {}
	}
	if c.InForce == nil {
		c.InForce = func() error { return nil }
	}
	if c.Again == nil {
		c.Again = func(n int64) time.Duration { return Again(n, rand.Float64()) }
	}
	d := &Deliveries{cfg: c, shape: follow.Shapes(collections())[Collection],
		client: c.Wall.Client(outbound.Reach{Timeout: SendTime, BodyMax: answerMax}),
		wake:   make(chan struct{}, 1), sending: map[string]int{}}
	c.Follow.Add(d)
	c.Follow.OnWake(d.Wake)
	c.Follow.OnClose(d.close)
	return d
}

// Again is how long to wait after the n-th failure: a chance between 0 and 1 makes it up
// to a quarter longer or shorter, so that deliveries that failed together do not come
// back together.
func Again(n int64, chance float64) time.Duration {
	d := againFirst
	for range min(n-1, 20) {
		d = min(3*d, againMost)
	}
	return d + time.Duration(float64(d)*(chance-0.5)/2)
}

// Start begins to send, until the follower's runner is closed.
func (d *Deliveries) Start(ctx context.Context) {
	base := context.WithoutCancel(ctx)
	d.ctx, d.abort = context.WithCancel(base)
	ctx, d.stop = context.WithCancel(base)
	d.loop.Go(func() { d.run(ctx) })
}

// Wake has it looked at which deliveries are due.
func (d *Deliveries) Wake() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// run takes what is due until ctx ends.
func (d *Deliveries) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	looked := time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.wake:
		case <-timer.C:
		}
		timer.Stop()
		var err error
		if time.Since(looked) >= lookEach*9/10 {
			looked = time.Now()
			if err = d.reap(ctx); err == nil {
				err = d.sweep(ctx)
			}
		}
		rest := lookEach
		if err == nil {
			rest, err = d.take(ctx)
		}
		if err != nil && ctx.Err() == nil {
			d.cfg.Log.Warn("deliveries are looked for again", "cause", err)
		}
		timer.Reset(rest)
	}
}

// close lets what is being sent come to an end for a while.
func (d *Deliveries) close(context.Context) {
	d.mu.Lock()
	d.closing = true
	d.mu.Unlock()
	if d.stop == nil {
		return
	}
	d.stop()
	d.loop.Wait()
	late := time.AfterFunc(closeGrace, d.abort)
	d.workers.Wait()
	late.Stop()
	d.abort()
}

// origin is that of the house's own bookkeeping.
func (d *Deliveries) origin() journal.Origin {
	return journal.Origin{Call: ident.NewCall(), Operation: Collection, Door: "house",
		Subject: ident.Subject{Who: ident.System, Name: "deliveries"}, Now: d.cfg.Now()}
}

func (d *Deliveries) write(ctx context.Context, fn func(store.Tx) error) error {
	_, err := d.cfg.Store.Write(ctx, d.origin(), fn)
	return err
}

// find returns the records of a plan.
func (d *Deliveries) find(ctx context.Context, plan *query.Plan, args ...value.Value) (
	rows []value.Record, err error) {
	err = d.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err = v.Find(ctx, query.Query{Plan: plan, Args: args})
		return err
	})
	return rows, err
}

// lenient forgives that something is not there.
func lenient(row value.Record, err error) (value.Record, error) {
	if fault.Is(err, fault.NotFound) {
		return value.Record{}, nil
	}
	return row, err
}
