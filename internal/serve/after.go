package serve

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// after is what follows the journal.
type after struct {
	followers *follow.Runner
	jobs      *job.Jobs
	kinds     atomic.Pointer[kindsOf]
	runners   map[string]action.Runner
}

// kindsOf is what of an app is run after the commit, kept as long as it is in force.
type kindsOf struct {
	app   *app.App
	jobs  map[string]*job.Job
	names []string
	timed []follow.Timed
}

// houseActions are the built-in actions of an app.
func (s *Server) houseActions(sp *spec.Spec) []action.House {
	return slices.Concat(s.system.Actions(sp), s.jobs.Actions())
}

// makeAfter makes the followers.
func (s *Server) makeAfter(runners map[string]action.Runner) {
	s.runners = runners
	s.followers = follow.New(follow.Config{
		Store: s.store, Guarded: guarded{s.store, s}, Head: s.head, Shared: s.shared,
		Now: s.cfg.Now, Log: s.log, Timed: func() []follow.Timed { return s.kindsOf().timed },
	})
	client := s.wall.Client(outbound.Reach{})
	s.jobs = job.New(job.Config{
		Store: s.store, Follow: s.followers, Now: s.cfg.Now, Log: s.log, Client: client,
		Mask: s.mask, Count: s.worked, InForce: s.moved,
		Find:     func(name string) *job.Job { return s.kindsOf().jobs[name] },
		Names:    func() []string { return s.kindsOf().names },
		Transact: calls{s}.Transact,
		Secret: func(name string) (string, error) {
			if v := s.secret(name); v != "" {
				return v, nil
			}
			return "", fmt.Errorf("the app file names no secret %s", name)
		},
	})
}

// worked counts what came of something that was done beside calls.
func (s *Server) worked(operation, outcome string) { s.metrics.Worked(operation, outcome) }

// openAfter begins to follow the journal. A command in its own process does not: what it
// commits is done by the server.
func (s *Server) openAfter(ctx context.Context) error {
	if s.cfg.door && s.cfg.database == nil {
		return nil
	}
	s.metrics.Follow(s.lag)
	s.jobs.Start(ctx)
	return s.followers.Start(ctx)
}

// closeAfter ends the followers.
func (s *Server) closeAfter() error {
	if s.followers == nil {
		return nil
	}
	return s.followers.Close()
}

// head is the place of the last entry.
func (s *Server) head(ctx context.Context) (journal.Seq, error) {
	last, err := s.store.Entries(ctx, store.Filter{}, journal.Seq{}, 1)
	if err != nil || len(last) == 0 {
		return journal.Seq{}, err
	}
	return last[0].Seq, nil
}

// lagTime bounds how long it may take to find out how far behind the followers are.
const lagTime = 2 * time.Second

// lag tells how many entries each follower has yet to accept.
func (s *Server) lag() map[string]uint64 {
	ctx, cancel := context.WithTimeout(context.Background(), lagTime)
	defer cancel()
	all, err := s.followers.Status(ctx)
	if err != nil {
		return nil
	}
	out := map[string]uint64{}
	for _, f := range all {
		out[f.Name] = f.Lag
	}
	return out
}

// kindsOf returns what of the app in force is run after the commit.
func (s *Server) kindsOf() *kindsOf {
	a := s.engine.App()
	if k := s.kinds.Load(); k != nil && k.app == a {
		return k
	}
	k := &kindsOf{app: a, jobs: map[string]*job.Job{}}
	place := placeOf(a.Spec)
	for _, x := range a.Jobs() {
		if j := s.jobOf(a, x); j != nil {
			k.jobs[x.Name] = j
			k.names = append(k.names, x.Name)
		}
		if x.Spec.Cron != nil {
			k.timed = append(k.timed, timed(journal.IntentJob, x.Name, x.Spec.Cron, place,
				func(id ident.Record, _ time.Time) journal.Intent {
					return journal.JobIntent(x.Name, id, value.OfNull())
				}, job.Live))
		}
	}
	for _, x := range a.Emails() {
		if x.Spec.Cron != nil {
			k.timed = append(k.timed, timed(journal.IntentEmail, x.Name, x.Spec.Cron, place,
				func(ident.Record, time.Time) journal.Intent {
					return journal.CodeIntent(journal.IntentEmail, x.Name, value.OfNull())
				}, nil))
		}
	}
	s.kinds.Store(k)
	return k
}

// timed is what the app file starts by the clock.
func timed(kind, name string, c *spec.Cron, place *time.Location,
	intent func(ident.Record, time.Time) journal.Intent,
	busy func(context.Context, store.View, ident.Record) (bool, error)) follow.Timed {
	return follow.Timed{Kind: kind, Name: name, Text: c.Text + " " + place.String(),
		Next:   func(after time.Time) time.Time { return c.Schedule.Next(after, place) },
		Intent: intent, Busy: busy}
}

// placeOf is where the app's clock hangs.
func placeOf(s *spec.Spec) *time.Location {
	if place, err := time.LoadLocation(s.Timezone); err == nil {
		return place
	}
	return time.UTC // the app file was refused, were its place unknown
}

// jobOf returns how a job of the app is run; nil if this node has no code for it.
func (s *Server) jobOf(a *app.App, x *app.Job) *job.Job {
	f := a.Function(action.Jobs + "/" + x.Name)
	if f == nil || f.Program == nil {
		return nil
	}
	if p, ok := f.Program.(part); ok && slices.Contains(p.missing, f.Name) {
		return nil
	}
	runner := s.runners[f.Language]
	j := &job.Job{Job: x.Spec, Input: f.Input, Of: f.Of,
		Run: func(ctx context.Context, call action.Run, steps action.Steps) (value.Value, error) {
			out, err := runner.RunJob(ctx, f.Program, call, steps)
			var failure *action.Failure
			if errors.As(err, &failure) && failure.Fault.Message == "" {
				if known, ok := a.Refuse(failure.Fault.Code); ok {
					failure.Fault.Message = known.Message
				}
			}
			return out, err
		}}
	if x.Once != nil {
		j.Once = func(ctx context.Context, in value.Record) (v value.Value, err error) {
			err = s.store.Read(ctx, func(view store.View) error {
				v, err = x.OnceOf(ctx, view, in)
				return err
			})
			return v, err
		}
	}
	return j
}

// Transact is the engine's, on the app in force.
func (c calls) Transact(ctx context.Context, w engine.Work) (value.Value, error) {
	for try := 1; ; try++ {
		out, err := c.engine.Transact(ctx, w)
		if err == nil || try == movedTries || !errors.Is(err, errMoved) {
			return out, err
		}
		if err := c.catchUp(ctx); err != nil {
			return value.Value{}, err
		}
	}
}
