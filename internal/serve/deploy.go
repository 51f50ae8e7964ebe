package serve

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/system"
)

// The app in force is part of the schema: to deploy one is an entry of the journal,
// which changes the records' shape and names the app in one commit. A node whose app
// is not that of the schema decides no call: it takes the app from the database first.

const (
	// pastMax bounds the superseded apps that are remembered.
	pastMax = 200
	// deployTries bounds how often a deploy begins anew because another came before
	// it, movedTries how often a call does.
	deployTries = 5
	movedTries  = 10
	// followAgain is how long to wait after the journal could not be followed.
	followAgain = time.Second
)

// errMoved says that the app in force is not the one by which the call was read.
var errMoved = errors.New("another app is in force")

// moved reports, as a fault, that the app of this node is not the one in force.
func (s *Server) moved() error {
	have, now := s.app.Load(), s.store.Schema().App
	if have == now || have.Same(now) {
		return nil
	}
	return &fault.Fault{Kind: fault.Unavailable, RetryAfter: 1, Cause: errMoved,
		Message: "The app is being changed. Nothing was done."}
}

// guarded is the store as the engine has it: nothing is read or written by an app that
// is not in force in the state that is looked at. The engine holds swaps back while a
// call runs, so that its app is one and the same from end to end.
type guarded struct {
	store.Store
	server *Server
}

// Read implements store.Store.
func (g guarded) Read(ctx context.Context, fn func(store.View) error) error {
	return g.Store.Read(ctx, func(v store.View) error {
		if err := g.server.moved(); err != nil {
			return err
		}
		return fn(v)
	})
}

// Write implements store.Store.
func (g guarded) Write(ctx context.Context, o journal.Origin, fn func(store.Tx) error) (
	journal.Entry, error) {
	return g.Store.Write(ctx, o, func(tx store.Tx) error {
		if err := g.server.moved(); err != nil {
			return err
		}
		return fn(tx)
	})
}

// calls is the engine as doors have it: a call that finds another app in force begins
// anew on that one.
type calls struct{ *Server }

// Query implements transport.Engine.
func (c calls) Query(ctx context.Context, call engine.Call) (engine.Answer, error) {
	for try := 1; ; try++ {
		answer, err := c.engine.Query(ctx, call)
		if err == nil {
			return answer, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return answer, err
		}
	}
}

// Execute implements transport.Engine.
func (c calls) Execute(ctx context.Context, call engine.Call) (engine.Reply, error) {
	for try := 1; ; try++ {
		reply, err := c.engine.Execute(ctx, call)
		if err == nil {
			return reply, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return reply, err
		}
	}
}

// anew returns nil if a call that failed is to begin anew, or else why it failed.
func (c calls) anew(ctx context.Context, seen *observe.Call, try int, err error) error {
	if try == movedTries || !c.stale(ctx, err) {
		return err
	}
	if err := c.catchUp(ctx); err != nil {
		return err
	}
	if seen != nil {
		seen.Code, seen.Cause = "", nil
	}
	return nil
}

// stale reports whether a call ended so because its app is not in force. A call that
// came to no transaction looked at the app alone, so the store has to be asked.
func (s *Server) stale(ctx context.Context, err error) bool {
	if errors.Is(err, errMoved) {
		return true
	}
	switch fault.From(err).Kind {
	case fault.NotFound, fault.Malformed, fault.Invalid, fault.Unauthenticated, fault.Denied:
		return s.shared() && errors.Is(s.look(ctx), errMoved)
	}
	return false
}

// look reports, as moved does, what the database says: a store hears of the commits of
// other processes when it reads.
func (s *Server) look(ctx context.Context) error {
	return s.store.Read(ctx, func(v store.View) error {
		if err := s.moved(); err != nil {
			return err
		}
		_, err := v.Get(ctx, system.Keys, noRecord)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		return err
	})
}

// noRecord is the id of no record.
const noRecord = "00000000000000000000000000"

// deploys says what this process deploys, or that it takes what is in force.
func (s *Server) begin(ctx context.Context, folder Compiled) (Compiled, error) {
	now := s.store.Schema().App
	if now == nil || now.Hash == folder.source.hash || !s.shared() || s.cfg.Dev ||
		!s.cfg.door && !slices.Contains(now.Past, folder.source.hash) {
		_, err := s.deploy(ctx, folder, nil, func(change func() error) error { return change() })
		return folder, err
	}
	if !s.cfg.door {
		s.log.Warn("the app in this folder was superseded; the one in force is served instead. "+
			"To go back on purpose: galley migrate apply", "deploy", now.Number)
	}
	next, err := s.compileDeploy(now)
	if err != nil {
		return next, err
	}
	if !s.cfg.door {
		values, err := s.secretsOf(next)
		if err != nil {
			return next, err
		}
		s.hold(values)
	}
	s.app.Store(now)
	return next, nil
}

// deploy puts an app in force on the database, after the schema was changed as it
// needs; lose names what may be lost by it. swap runs the change while no call of this
// process is under way. Where another process deployed meanwhile, it begins anew.
func (s *Server) deploy(ctx context.Context, next Compiled, lose []string,
	swap func(change func() error) error) (Plan, error) {
	for try := 1; ; try++ {
		base := s.store.Schema()
		p, err := s.plan(ctx, base, next)
		if err == nil {
			err = p.allowed(lose)
		}
		if err == nil {
			err = swap(func() error {
				if len(p.steps)+len(p.checks) > 1 {
					// What was written since, by the app before, is looked at too.
					if p, err = s.plan(ctx, base, next); err == nil {
						err = p.allowed(lose)
					}
					if err != nil {
						return err
					}
				}
				if len(p.steps) > 0 {
					p.Deploy = p.deploy.Number
				}
				return s.apply(ctx, base, next, p)
			})
		}
		if err == nil {
			if p.Deploy > 0 {
				s.log.Info("an app was deployed", "deploy", p.Deploy, "hash", p.deploy.Hash)
			}
			return p, nil
		}
		var unsafe *UnsafePlan
		if errors.As(err, &unsafe) || try == deployTries {
			return p, err
		}
		if look := s.look(ctx); look != nil && !errors.Is(look, errMoved) ||
			s.store.Schema() == base {
			return p, err
		}
	}
}

// successor is the deploy of an app after another, which may be nil.
func successor(before *spec.Deploy, next archive) *spec.Deploy {
	d := &spec.Deploy{Number: 1, Hash: next.hash, Files: next.zip}
	if before == nil {
		return d
	}
	d.Number = before.Number + 1
	for _, hash := range append(slices.Clone(before.Past), before.Hash) {
		if hash != d.Hash {
			d.Past = append(d.Past, hash)
		}
	}
	d.Past = d.Past[max(0, len(d.Past)-pastMax):]
	return d
}

// apply makes the plan's steps as one entry, and its app the one of this node. Its
// idempotency key is the number of the deploy, so that of two processes that deploy at
// once one has the number, and the other, if it meant the same app, has its answer. New
// checks are asked once more, of a state that nobody can change until they hold.
func (s *Server) apply(ctx context.Context, base *spec.Schema, next Compiled, p Plan) error {
	if len(p.steps) > 0 {
		origin := journal.Origin{Call: ident.NewCall(), Operation: "migrate", Door: "serve",
			Subject: ident.Subject{Who: ident.System, Name: "migrate"}, Now: s.cfg.Now(),
			Key:         fmt.Sprint("deploy ", p.deploy.Number),
			Fingerprint: sha256.Sum256([]byte(p.deploy.Hash))}
		var judge func(store.View) error
		if len(p.checks) > 0 {
			judge = func(v store.View) (err error) {
				last := Plan{deploy: p.deploy}
				if last.Changes, err = s.judgeAll(ctx, v, base, next.App, p.checks); err != nil {
					return err
				}
				return last.allowed(nil)
			}
		}
		if _, err := s.store.Apply(ctx, origin, p.steps, judge); err != nil {
			return err
		}
	}
	s.app.Store(p.deploy)
	return nil
}

// put deploys an app while calls come, and serves it.
func (s *Server) put(ctx context.Context, next Compiled, lose []string) (Plan, error) {
	values, err := s.secretsOf(next)
	if err != nil && !s.cfg.door {
		return Plan{}, err
	}
	site, err := openSite(s.cfg, next.Spec)
	if err != nil {
		return Plan{}, err
	}
	s.hold(values)
	p, err := s.deploy(ctx, next, lose, func(change func() error) error {
		return s.engine.Swap(next.App, s.houseActions(next.Spec), change)
	})
	if err != nil {
		return p, errors.Join(err, site.close())
	}
	s.show(next, site)
	s.broken.Store("")
	return p, nil
}

// show makes what is beside the engine fit the app.
func (s *Server) show(next Compiled, site *folder) {
	s.compiled.Store(&next)
	// The folder before stays open as long as an answer may read from it, which is
	// until the process ends: apps change seldom.
	s.site.Store(site)
	if s.channels != nil {
		s.channels.Swapped()
	}
}

// stuck is an app in force that this node cannot run.
type stuck struct {
	hash string
	err  error
}

// catchUp makes the app in force the one of this node.
func (s *Server) catchUp(ctx context.Context) error {
	s.reload.Lock()
	defer s.reload.Unlock()
	err := s.look(ctx)
	if !errors.Is(err, errMoved) {
		return err
	}
	now := s.store.Schema().App
	if now == nil {
		return err
	}
	bad := s.stuck.Load()
	if bad == nil || bad.hash != now.Hash {
		next, err := s.compileDeploy(now)
		if err == nil {
			return s.take(next, now)
		}
		bad = &stuck{now.Hash, err}
		s.stuck.Store(bad)
		s.log.Error("the app in force cannot be run by this node, which answers no calls "+
			"until another one is in force", "deploy", now.Number, "cause", err,
			"first", firstError(next.Findings))
	}
	return fault.Wrap(fault.Unavailable, bad.err, "This node cannot run the app in force.")
}

// firstError is the first of the findings that is an error, as one line.
func firstError(findings []spec.Finding) string {
	for _, f := range findings {
		if f.Severity == spec.Error {
			return fmt.Sprintf("%s:%d:%d  %s", f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message)
		}
	}
	return ""
}

// take swaps to an app that another process deployed.
func (s *Server) take(next Compiled, d *spec.Deploy) error {
	site, err := openSite(s.cfg, next.Spec)
	if err != nil {
		s.noSite(err)
	}
	values, err := s.secretsOf(next)
	if err != nil {
		s.log.Warn("the app in force needs a secret that this node does not have", "cause", err)
	}
	s.hold(values)
	err = s.engine.Swap(next.App, s.houseActions(next.Spec), func() error {
		s.app.Store(d)
		return nil
	})
	if err != nil {
		return errors.Join(err, site.close())
	}
	s.stuck.Store(nil)
	s.show(next, site)
	s.log.Info("another app is in force", "deploy", d.Number, "hash", d.Hash)
	return nil
}

// noSite says that this node has no pages for the app that it took.
func (s *Server) noSite(err error) {
	s.log.Warn("the folder of the site is not here, so no pages are served", "cause", err)
}

// compileDeploy compiles an app of the database.
func (s *Server) compileDeploy(d *spec.Deploy) (Compiled, error) {
	files, err := unpack(d.Files)
	if err != nil {
		return Compiled{}, fmt.Errorf("read the files of deploy %d: %w", d.Number, err)
	}
	cfg := s.cfg
	cfg.Files, cfg.deployed = files, true
	next := Compile(cfg)
	if next.Failed() {
		return next, &AppError{next.Findings, next.Files}
	}
	if len(next.missing) > 0 {
		s.log.Warn("this program has no code for some functions of the app in force; "+
			"calls of them are not available here", "deploy", d.Number, "functions", next.missing)
	}
	return next, nil
}

// follow reads the journal from its end on and takes what other processes deploy; where
// there are none, it waits until the database is moved to where there may be.
func (s *Server) follow(ctx context.Context) {
	var at journal.Seq
	for ctx.Err() == nil {
		if !s.shared() {
			s.pause(ctx)
			continue
		}
		if at == (journal.Seq{}) {
			last, err := s.store.Entries(ctx, store.Filter{}, journal.Seq{}, 1)
			if err != nil || len(last) == 0 {
				s.pause(ctx)
				continue
			}
			at = last[0].Seq
			// What came before that place was looked at by nobody yet.
			s.takeNews(ctx)
		}
		for e, err := range s.store.Follow(ctx, at) {
			if err != nil {
				s.log.Error("the journal cannot be followed", "cause", err)
				break
			}
			at = e.Seq
			if deploys(e) {
				s.takeNews(ctx)
			}
		}
		s.pause(ctx)
	}
}

// takeNews takes the app in force, if it is another one.
func (s *Server) takeNews(ctx context.Context) {
	if err := s.catchUp(ctx); err != nil && s.stuck.Load() == nil && ctx.Err() == nil {
		s.log.Warn("the app in force is taken at the next call", "cause", err)
	}
}

// pause waits before the journal is followed again.
func (s *Server) pause(ctx context.Context) {
	select {
	case <-time.After(followAgain):
	case <-ctx.Done():
	}
}

// deploys reports whether an entry changed the schema, and with it perhaps the app.
func deploys(e journal.Entry) bool {
	return slices.ContainsFunc(e.Intents, func(i journal.Intent) bool {
		return i.Kind == store.IntentApply
	})
}
