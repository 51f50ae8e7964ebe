// Package mail sends the emails of an app. It follows the journal: what an entry asks
// for becomes letters in the same commit as the follower's place, so that each is
// written once. It keeps to what emails promise to people, whatever app files ask:
// `every`, `until: click`, what they unsubscribed from, and addresses that do not exist.
//
// A letter goes these ways:
//
//	waiting ── claimed ── sending ── sent
//	   │  ▲       │  │        ├──── unknown   marketing whose end nobody knows
//	   │  └───────┘  │        └──── waiting   other mail whose end nobody knows
//	   │             ├──────────── bounced   there is no such address
//	   └─────────────┴──────────── held, parked
//
// A node claims letters; it marks each as sending when the server takes the recipient,
// before the mail itself. Whoever dies before that mark loses nothing and repeats
// nothing. Between the mark and the server's answer SMTP knows no way to ask what became
// of a mail: one that is marketing is then never sent again, any other is, under the same
// Message-ID, by which its reader's server can tell.
//
// How letters are written is said in package letter, how they travel in outbound.
package mail

import (
	"context"
	"log/slog"
	netmail "net/mail"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Sender hands a mail to a server, as outbound.SMTP does.
type Sender interface {
	Send(ctx context.Context, m outbound.Mail, ready func() error) error
}

// Nodes tells which nodes live, as follow.Runner does.
type Nodes interface {
	Node() ident.Record
	Alive(ident.Record) bool
	Beaten() bool
}

// Config is what Mails are made of.
type Config struct {
	Store store.Store
	// App returns the app in force. InForce is asked within a transaction, and its fault
	// of kind Unavailable ends it, where another app is by now; nil means that none is.
	App     func() *app.App
	InForce func() error
	// Nodes tells whose letters are whose.
	Nodes Nodes
	// Sender is the mail server; nil keeps letters in the mailbox.
	Sender Sender
	// From is who writes; a name that is left out is the app's.
	From netmail.Address
	// URL returns the public address of the app, without a slash at the end.
	URL func() string
	// Key signs links; it is the same on all nodes.
	Key []byte
	// Now is the app's own time.
	Now func() time.Time
	Log *slog.Logger
	// Count counts what came of each try, by the email and its outcome; nil counts nothing.
	Count func(operation, outcome string)
	// Pace is for tests.
	Pace Pace
}

// Pace is how fast letters are sent and tried again; zero means the house's.
type Pace struct {
	// Workers is how many mails go at once.
	Workers int
	// Tries is how often a letter is tried, Again how long after the first failure; it
	// doubles with each.
	Tries int
	Again time.Duration
	// Portion is how many letters of a campaign one commit writes.
	Portion int
}

// The bounds of sending.
const (
	workersHouse = 4
	triesHouse   = 12
	againHouse   = 30 * time.Second
	againMost    = 4 * time.Hour
	portionHouse = 200
	// claimMax is how many letters one commit claims.
	claimMax = 16
	// downMax bounds how long it is waited for a server that cannot be reached.
	downMax = time.Minute
	// lookEach is how often it is looked for what is due, unless somebody wakes.
	lookEach = time.Second
	// givenMax is how many recipients code may name at once.
	givenMax = 100
	// problemMax bounds a problem that is kept, in bytes.
	problemMax = 500
)

// Mails sends the emails of an app at one node. It is safe for concurrent use.
type Mails struct {
	cfg Config

	// wakes has a place for each of what runs.
	letters, campaigns chan struct{}

	mu sync.Mutex
	// mine are the letters that this node has claimed and not let go, each with the
	// number of its claim; claims counts them.
	mine   map[ident.Record]int64
	claims int64
	// down says why the mail server takes no mails, "" while it does; until is when it
	// is tried again, and wait how long it is waited the next time.
	down  string
	until time.Time
	wait  time.Duration
}

// New returns Mails; Run sends them.
func New(c Config) *Mails {
	for _, x := range []struct {
		of    *int
		house int
	}{{&c.Pace.Workers, workersHouse}, {&c.Pace.Tries, triesHouse}, {&c.Pace.Portion, portionHouse}} {
		if *x.of == 0 {
			*x.of = x.house
		}
	}
	if c.Pace.Again == 0 {
		c.Pace.Again = againHouse
	}
	if c.Count == nil {
		c.Count = func(string, string) {}
	}
	if c.InForce == nil {
		c.InForce = func() error { return nil }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	m := &Mails{cfg: c, mine: map[ident.Record]int64{}}
	m.letters, m.campaigns = make(chan struct{}, 1), make(chan struct{}, 1)
	return m
}

var _ follow.Follower = (*Mails)(nil)

// Name implements follow.Follower.
func (m *Mails) Name() string { return "mail" }

// Kind implements follow.Follower.
func (m *Mails) Kind() string { return journal.IntentEmail }

// Committed implements follow.Follower.
func (m *Mails) Committed() { m.Wake() }

// Wake has everything looked at that waits.
func (m *Mails) Wake() {
	for _, c := range []chan struct{}{m.letters, m.campaigns} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// Run sends letters and writes those of campaigns until ctx ends. Mails that are on their
// way then are finished, as far as grace goes.
func (m *Mails) Run(ctx context.Context, grace context.Context) {
	var all sync.WaitGroup
	all.Go(func() { m.sendAll(ctx, grace) })
	all.Go(func() { m.repeat(ctx, m.campaigns, m.expand) })
	all.Wait()
}

// repeat does a portion of work as long as there is any, and then when it is woken, or
// time has passed.
func (m *Mails) repeat(ctx context.Context, wake chan struct{},
	portion func(context.Context) (bool, error)) {
	again := lookEach
	for ctx.Err() == nil {
		more, err := false, error(nil)
		if m.open() {
			more, err = portion(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if fault.From(err).Kind != fault.Unavailable {
				m.cfg.Log.Warn("mails are looked at again", "cause", err)
			}
			pause(ctx, nil, again)
			again = min(2*again, downMax)
		case !more:
			again = lookEach
			pause(ctx, wake, lookEach)
		default:
			again = lookEach
		}
	}
}

// pause waits until it is woken, or the time has passed, or ctx ends.
func pause(ctx context.Context, wake chan struct{}, d time.Duration) {
	select {
	case <-wake:
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// Settled reports whether nothing is left to be done now: no letter is due or on its way,
// and no campaign goes on.
func (m *Mails) Settled(ctx context.Context) (bool, error) {
	if !m.open() {
		return true, nil
	}
	settled := true
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		settled = true
		now := value.OfTime(m.cfg.Now())
		for _, q := range []query.Query{{Plan: duePlan, Args: []value.Value{now}}, {Plan: heldPlan},
			{Plan: runningPlan}} {
			rows, err := v.Find(ctx, q)
			if err != nil {
				return err
			}
			settled = settled && len(rows) == 0
		}
		return nil
	})
	return settled, err
}

// open reports whether the app in force has emails at all.
func (m *Mails) open() bool { return m.cfg.App().Schema.Table(Letters) != nil }

// write is a transaction of this room.
func (m *Mails) write(ctx context.Context, operation string, fn func(store.Tx) error) error {
	_, err := m.cfg.Store.Write(ctx, journal.Origin{Call: ident.NewCall(), Operation: operation,
		Door: "house", Subject: ident.Subject{Who: ident.System, Name: "mail"}, Now: m.cfg.Now()}, fn)
	return err
}

// shape returns that of a collection in the app in force.
func (m *Mails) shape(collection string) *value.Shape {
	return m.cfg.App().Schema.Table(collection).Shape
}
