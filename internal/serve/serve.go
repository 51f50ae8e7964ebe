// Package serve is the knot: the only room that knows all others. It opens them in
// order, ties them, listens, and closes them in reverse. It sees to it that every
// process on a database runs the app that is in force there. It has no other logic
// but the order.
package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/tsaction"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/system"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/transport/rpc"
	"github.com/galleybackend/galley/internal/transport/site"
	"github.com/galleybackend/galley/internal/transport/socket"
)

// Config is what a Server is made of.
type Config struct {
	config.Config
	// Files holds the app; nil means the folder AppDir.
	Files fs.FS
	// Program holds the actions in Go and Runner runs them; nil if there are none.
	Program action.Program
	Runner  action.Runner
	// Log takes what is told to the operator; nil means slog.Default().
	Log *slog.Logger
	// Calls takes a line of JSON for each call, Terminal the developer's line; each
	// may be nil.
	Calls    io.Writer
	Terminal *observe.Terminal
	// Now is the app's own time, nil the machine's; Seed yields each call's chance,
	// nil the machine's.
	Now  func() time.Time
	Seed func() uint64
	// Keep leaves the schema of the database as it is, whatever the app file says,
	// for commands that show the plan or take records out. Calls of the engine need
	// a schema that fits.
	Keep bool
	// door marks an app that is opened for a command, deployed one whose files come
	// out of the database.
	door, deployed bool
	// database replaces the one that the config names. It is for tests, as is the
	// owner's own Close of it.
	database database
	// world answers what the app asks of others, where it is tried.
	world http.RoundTripper
}

// Server is an app that is open. It is safe for concurrent use.
type Server struct {
	cfg      Config
	log      *slog.Logger
	store    database
	accounts *auth.Accounts
	hasher   *auth.Hasher
	system   *system.System
	metrics  *observe.Metrics
	observe  *observe.Observer
	engine   *engine.Engine
	compiled atomic.Pointer[Compiled]
	// reload guards the change from one app to the next; broken says what is wrong with
	// the app that was read last, "" if nothing is.
	reload sync.Mutex
	broken atomic.Value
	// app is the deploy that the engine runs, stuck one that it cannot.
	app   atomic.Pointer[spec.Deploy]
	stuck atomic.Pointer[stuck]

	outside
	after
	post
	talk
	live        *live.Hub
	sockets     *socket.Door
	rpc         *rpc.Door
	site        atomic.Pointer[folder]
	admin       string
	servers     []*http.Server
	drains      []*drain
	listening   sync.WaitGroup
	endChores   context.CancelFunc
	chores      sync.WaitGroup
	endJourneys context.CancelFunc
	writing     sync.WaitGroup
}

// database is a store with all that a Server asks of one.
type database interface {
	store.Store
	store.History
	store.Planner
	copied
	// Schema returns the schema in force.
	Schema() *spec.Schema
	// Failed is closed when the store takes no more writes, Failure says why.
	Failed() <-chan struct{}
	Failure() error
}

// folder is the open folder of the site.
type folder struct {
	fs.FS
	io.Closer
}

// AppError is an app file that has errors. The findings say them all.
type AppError struct {
	Findings []spec.Finding
	Files    map[string][]byte
}

// Error counts the findings.
func (e *AppError) Error() string {
	n := 0
	for _, f := range e.Findings {
		if f.Severity == spec.Error {
			n++
		}
	}
	if n == 1 {
		return "the app has an error"
	}
	return fmt.Sprintf("the app has %d errors", n)
}

// Open opens the app: files, store, schema, engine. It does not listen yet. An app
// with errors is an *AppError, a change of the schema that is not safe an *UnsafePlan.
func Open(ctx context.Context, cfg Config) (*Server, error) {
	s := &Server{cfg: cfg, log: cfg.Log}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.log = s.maskLog(s.log)
	if s.cfg.Now == nil {
		s.cfg.Now = clock
	}
	compiled := Compile(cfg)
	if compiled.Failed() {
		return nil, &AppError{compiled.Findings, compiled.Files}
	}
	if !cfg.door {
		values, err := s.secretsOf(compiled)
		if err != nil {
			return nil, err
		}
		s.hold(values)
	}
	if err := s.checkMail(compiled); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.DataDir(), 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.store = cfg.database; s.store == nil {
		address := cfg.DatabaseAddr()
		db, err := makeAddress(ctx, address)
		if err != nil {
			return nil, err
		}
		s.store = newMovable(db, address)
	}
	if err = s.store.Usable(ctx); err == nil {
		err = s.tie(ctx, compiled)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// tie makes the rooms above the store, once the records have the shape that the app
// says.
func (s *Server) tie(ctx context.Context, c Compiled) (err error) {
	var tries *auth.Tries
	switch {
	case s.cfg.door:
	case s.cfg.Limits == "off":
		s.log.Warn("rate limits are off, which is for benches and tests alone")
	default:
		tries = auth.NewTries(s.cfg.Now)
	}
	var kept store.Store = s.store
	var secret []byte
	took := false // another app than that of the folder
	if !s.cfg.Keep {
		kept = guarded{s.store, s}
		own := c.source.hash
		if c, err = s.begin(ctx, c); err != nil {
			return err
		}
		took = c.source.hash != own
		shape := c.App.Schema.Table(system.Keys).Shape
		if secret, err = system.Key(ctx, s.store, shape, system.KeyCursors); err != nil {
			return fmt.Errorf("read the key of cursors: %w", err)
		}
	}
	s.accounts, s.hasher = auth.NewAccounts(s.cfg.Now), auth.NewHasher()
	if err := s.openOutside(); err != nil {
		return err
	}
	s.system = system.New(kept, s.accounts, s.hasher, tries)
	s.watchCalls()
	runners := map[string]action.Runner{languageTS: tsaction.Runner{},
		languageGo: partRunner{s.cfg.Runner}}
	s.makeAfter(runners)
	s.engine = engine.New(engine.Config{
		Store: kept, App: c.App, Authenticator: s.accounts, Runners: runners,
		House: s.houseActions(c.Spec), Limits: tries != nil,
		Clock: s.cfg.Now, Seed: s.cfg.Seed, Log: s.log, Secret: secret, Mask: s.mask,
		Secrets: s.secret, Hasher: s.hasher,
	})
	if s.cfg.Keep {
		s.compiled.Store(&c)
		return nil
	}
	site, err := openSite(s.cfg, c.Spec)
	switch {
	case err != nil && took:
		s.noSite(err)
	case err != nil:
		return err
	}
	s.show(c, site)
	s.makeMails(secret)
	s.makeDeliveries()
	if err := s.openAfter(ctx); err != nil {
		return err
	}
	s.startMails()
	s.startDeliveries(ctx)
	if err := s.openLive(ctx); err != nil {
		return err
	}
	s.openChannels(ctx)
	s.openSockets()
	s.openRPC()
	if !s.cfg.door {
		var chores context.Context
		chores, s.endChores = context.WithCancel(context.WithoutCancel(ctx))
		s.chores.Go(func() { s.sweep(chores) })
		s.chores.Go(func() { s.follow(chores) })
	}
	return nil
}

// shared reports whether other processes may be on the database.
func (s *Server) shared() bool {
	m, ok := s.store.(*movable)
	return !ok || isShared(m.at.Load().address)
}

// journeysAgain is how long to wait after journeys could not be written.
const journeysAgain = 10 * time.Second

// watchCalls makes what observes calls, and begins to write their journeys.
func (s *Server) watchCalls() {
	s.metrics = observe.NewMetrics()
	c := observe.Config{Log: s.cfg.Calls, Terminal: s.cfg.Terminal, Metrics: s.metrics,
		Mask: s.mask}
	c.Journeys = observe.OpenJourneys(s.cfg.Journeys())
	var ctx context.Context
	ctx, s.endJourneys = context.WithCancel(context.Background())
	s.writing.Go(func() {
		for { // at least once: a command may be at its end before this has begun
			// A disk that was full may have room again: what is lost is a few stories.
			if err := c.Journeys.Run(ctx); err != nil {
				s.log.Error("the journeys of the last requests were not kept", "cause", err)
			}
			select {
			case <-time.After(journeysAgain):
			case <-ctx.Done():
				return
			}
		}
	})
	s.observe = observe.New(c)
}

func (f *folder) close() error {
	if f == nil {
		return nil
	}
	return f.Close()
}

// openSite opens the folder of the site, nil if there is none.
func openSite(cfg Config, sp *spec.Spec) (*folder, error) {
	if sp.Site == "" {
		return nil, nil
	}
	if cfg.Files != nil {
		sub, err := fs.Sub(cfg.Files, sp.Site)
		return &folder{sub, io.NopCloser(nil)}, err
	}
	files, closer, err := site.Open(filepath.Join(cfg.AppDir(), sp.Site))
	if err != nil {
		return nil, err
	}
	return &folder{files, closer}, nil
}

// Handler returns the door for HTTP, with the site behind it.
func (s *Server) Handler() http.Handler {
	var door *rest.Door
	pages := site.New(site.Config{
		Files: func() fs.FS {
			if f := s.site.Load(); f != nil {
				return f
			}
			return nil
		},
		Words: func() *transport.Words { return door.Words() },
	})
	door = rest.New(rest.Config{
		Engine: calls{s}, Spec: s.Spec, Observe: s.observe, Dev: s.cfg.Dev,
		Site: s.postbox(pages, s.cfg.Dev), Health: s.health, Broken: s.lastSave, Proxy: s.proxy.Ask, Mask: s.mask,
		Hook: s.hooks().Take, Socket: s.sockets.Socket, Events: s.sockets.Events, At: s.live.At,
	})
	if s.cfg.Dev {
		return ownHost(s.withRPC(door))
	}
	return s.withRPC(door)
}

// Spec returns the app file in force.
func (s *Server) Spec() *spec.Spec { return s.compiled.Load().Spec }

// health says whether writes can be taken.
func (s *Server) health(context.Context) error {
	if err := s.store.Failure(); err != nil {
		return fault.Wrap(fault.Unavailable, err, "The database does not take writes.")
	}
	if bad := s.stuck.Load(); bad != nil && s.moved() != nil {
		return fault.Wrap(fault.Unavailable, bad.err, "This node cannot run the app in force.")
	}
	return nil
}

// ownHost answers only to names of this machine, so that a page elsewhere cannot
// reach a developer's server by a name of its own that leads here.
func ownHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		ip := net.ParseIP(host)
		if host != "localhost" && host != "[::1]" && ip == nil {
			http.Error(w, "galley dev answers only to localhost and to addresses.",
				http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}
