package engine

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/cache"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/limit"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Bounds of calls. Each is named by the error that it causes.
const (
	// BodyMax is the greatest size of an input, in bytes.
	BodyMax = 1 << 20
	// BatchMax is the greatest number of operations in a batch.
	BatchMax = 50
	// ImportMax is the same for admins, who import.
	ImportMax = 1000
	// callsMax is how many calls may be under way at once.
	callsMax = 4096
	// callsOwnMax is how many of them may be one subject's.
	callsOwnMax = 256
	// queryTime is how long a query may take, executeTime a call that writes with
	// all its waiting, actionTime an action's own code, if it names no other.
	queryTime   = 5 * time.Second
	executeTime = 15 * time.Second
	actionTime  = time.Second
	// batchTime is how long all operations of a batch may take together.
	batchTime = 5 * time.Second
	// actionMemory is how many bytes an action may hold, hostCallsMax how often it
	// may turn to its Host, hostRowsMax how many rows it may read.
	actionMemory = 64 << 20
	hostCallsMax = 10_000
	hostRowsMax  = 100_000
	// presumedMax is how many credentials one generation of those of late holds, plansMax
	// how many compiled reads.
	presumedMax = 4096
	plansMax    = 512
	// verdictsMax is how many rules that said yes are noted of one call.
	verdictsMax = 200
)

// Config is what an Engine is made of.
type Config struct {
	Store store.Store
	App   *app.App
	// Authenticator may be nil: then nobody can sign in.
	Authenticator Authenticator
	// Runners run the languages of the app's code, by their names.
	Runners map[string]action.Runner
	// House holds the built-in actions.
	House []action.House
	// Limits switches the rates on; Rate is the one that holds for every caller, by
	// default 1,000 calls a minute.
	Limits bool
	Rate   spec.Rate
	// Clock tells the time; nil means the machine's.
	Clock Clock
	// Seed yields the chance of each call; nil means that of the machine.
	Seed func() uint64
	// Secret authenticates cursors; nil means one that ends with the process.
	Secret []byte
	// Mask hides secrets in what the app's code refuses with; nil hides nothing.
	Mask *observe.Mask
	// Log takes what the app's code logs; nil means nowhere.
	Log *slog.Logger
	// Secrets returns the value of a secret that the app file names, "" where there is
	// none; nil knows none.
	Secrets func(name string) string
	// Hasher keeps passwords for the app's code; nil does not.
	Hasher *auth.Hasher
}

// Authenticator turns credentials into subjects.
type Authenticator interface {
	// Authenticate returns the subject of a credential. One that is not valid is a
	// fault of kind Unauthenticated; whether the subject's record of users is still
	// there, the engine asks.
	Authenticate(ctx context.Context, r auth.Reader, credential string) (ident.Subject, error)
}

// Engine decides calls. It is safe for concurrent use.
type Engine struct {
	store  store.Store
	auth   Authenticator
	runner map[string]action.Runner
	house  []action.House
	rates  *limit.Rates
	inside limit.Inside
	rate   spec.Rate
	clock  Clock
	seed   func() uint64
	secret []byte
	mask   *observe.Mask
	log    *slog.Logger
	// secrets and hasher are for the app's code.
	secrets func(string) string
	hasher  *auth.Hasher
	views   *cache.Cache[Answer]
	// presumed says who asked with a credential of late, by its hash. Who asks again is
	// presumed to be the same, which the state in which he asks must confirm.
	presumed *recent[[sha256.Size]byte, ident.Subject]

	// gate is held for reading by each call, so that an app is swapped between
	// calls and never under one.
	gate   sync.RWMutex
	loaded atomic.Pointer[loaded]
	calls  atomic.Int64
}

// loaded is the app in force with what is kept as long as it is.
type loaded struct {
	*app.App
	house map[string]*action.House
	// plans are what was compiled from callers' texts, so that a store prepares each once.
	plans *recent[string, any]
	// shapes holds the shapes of records that were found to be those of the app.
	shapes sync.Map
}

// aligned makes sure that a record of the store has the slots that the app thinks it
// has: by slot it is decided what may be seen.
func (l *loaded) aligned(c *app.Collection, s *value.Shape) error {
	if s == c.Shape {
		return nil
	}
	if _, ok := l.shapes.Load(s); ok {
		return nil
	}
	if !slices.Equal(s.Names(), c.Shape.Names()) {
		return internal("the records of %s have other fields than the app says", c.Name)
	}
	l.shapes.Store(s, true)
	return nil
}

// New returns an Engine of the config.
func New(c Config) *Engine {
	e := &Engine{store: c.Store, auth: c.Authenticator, runner: c.Runners, house: c.House,
		rate: c.Rate, clock: c.Clock, seed: c.Seed, secret: c.Secret, mask: c.Mask, log: c.Log,
		secrets: c.Secrets, hasher: c.Hasher}
	if c.Limits {
		e.rates = limit.NewRates()
	}
	if e.rate.Count == 0 {
		e.rate = spec.Rate{Count: 1000, Per: time.Minute}
	}
	if e.clock == nil {
		e.clock = time.Now
	}
	if e.seed == nil {
		e.seed = machineSeed
	}
	if e.secret == nil {
		e.secret = make([]byte, 32)
		_, _ = rand.Read(e.secret) // crypto/rand never fails on the systems we run on
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.presumed = newRecent[[sha256.Size]byte, ident.Subject](presumedMax)
	e.views = cache.New[Answer](viewsMax, queryTime, e.clock)
	e.load(c.App, c.House)
	return e
}

func machineSeed() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // crypto/rand never fails on the systems we run on
	return binary.LittleEndian.Uint64(b[:])
}

func (e *Engine) load(a *app.App, house []action.House) {
	l := &loaded{App: a, house: make(map[string]*action.House, len(house)), plans: newRecent[string, any](plansMax)}
	for i := range house {
		l.house[house[i].Name] = &house[i]
	}
	e.loaded.Store(l)
	e.views.Drop("") // other views have other answers
}

// App returns the app in force.
func (e *Engine) App() *app.App { return e.loaded.Load().App }

// Swap waits until no call is under way, runs change, which may be nil, and if it
// does not fail puts the app with its built-in actions in force. Calls that come
// meanwhile wait.
func (e *Engine) Swap(next *app.App, house []action.House, change func() error) error {
	e.gate.Lock()
	defer e.gate.Unlock()
	if change != nil {
		if err := change(); err != nil {
			return err
		}
	}
	e.load(next, house)
	return nil
}

// enter counts a call in, which then must leave.
func (e *Engine) enter() error {
	if e.calls.Add(1) > callsMax {
		e.calls.Add(-1)
		f := fault.New(fault.Unavailable, "More than %d calls are under way.", callsMax)
		f.RetryAfter = 1
		return f
	}
	e.gate.RLock()
	return nil
}

func (e *Engine) leave() {
	e.gate.RUnlock()
	e.calls.Add(-1)
}
