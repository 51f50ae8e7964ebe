package job_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/value"
)

// hourly has a job begun at the full hour.
func hourly(t testing.TB, db database, name string) func(*follow.Config) {
	t.Helper()
	s, err := spec.ParseCron("0 * * * *")
	if err != nil {
		t.Fatal(err)
	}
	timed := []follow.Timed{{Kind: journal.IntentJob, Name: name, Text: "0 * * * *", Busy: job.Live,
		Next: func(after time.Time) time.Time { return s.Next(after, time.UTC) },
		Intent: func(id ident.Record, _ time.Time) journal.Intent {
			return journal.JobIntent(name, id, value.OfNull())
		}}}
	return func(c *follow.Config) {
		c.Guarded, c.Timed = db, func() []follow.Timed { return timed }
		c.Beat = fastBeat
	}
}

// runsOf waits until so many jobs of a name were begun, and asks that it stays so while
// the others have their say.
func (n *node) runsOf(name string, want int) []job.Info {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Minute)
	defer cancel()
	for stays := 0; ; {
		all, err := n.jobs.List(ctx, "", name, "", 100)
		if err != nil {
			n.t.Fatal(err)
		}
		switch {
		case len(all) > want:
			n.t.Fatalf("%d jobs were begun, not %d", len(all), want)
		case len(all) == want:
			if stays++; stays == 5 {
				return all
			}
		}
		poll := time.NewTimer(fastBeat)
		select {
		case <-poll.C:
		case <-ctx.Done():
			n.t.Fatalf("%d jobs were begun, not %d", len(all), want)
		}
	}
}

func TestClockStartsAJobOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		g := newGate()
		var stand atomic.Bool
		kinds := map[string]*kind{"report": {run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			if stand.Load() {
				return value.OfNull(), g.step(ctx, s, "stand")
			}
			return value.OfNull(), nil
		}}}
		db := open()
		n := startWith(t, db, shared, kinds, nil, hourly(t, db, "report"))
		nodes := []*node{n}
		if shared {
			other := open()
			m := startBy(t, n.ahead, other, shared, kinds, nil, hourly(t, other, "report"))
			nodes = append(nodes, m)
		}
		pass := func(d time.Duration) { // for all of them at once
			n.ahead.Add(int64(d))
			for _, x := range nodes {
				x.runner.Wake()
			}
		}
		n.runsOf("report", 0)
		pass(time.Hour)
		n.await(n.runsOf("report", 1)[0].ID, job.Done)
		// Of many instants at which nobody was there, one is made up for.
		pass(5 * time.Hour)
		n.await(n.runsOf("report", 2)[0].ID, job.Done)
		// While one runs, no other begins.
		stand.Store(true)
		pass(time.Hour)
		n.runsOf("report", 3)
		<-g.at
		pass(time.Hour)
		last := n.runsOf("report", 3)[0]
		close(g.open)
		n.await(last.ID, job.Done)
		pass(time.Hour)
		n.runsOf("report", 4)
	})
}

func TestAClockThatWasFarAheadHoldsNothingUp(t *testing.T) {
	kinds := map[string]*kind{"report": {run: func(context.Context, value.Record,
		action.Steps) (value.Value, error) {
		return value.OfNull(), nil
	}}}
	db := dbtest.Memory(t)
	n := startWith(t, db, false, kinds, nil, hourly(t, db, "report"))
	n.runsOf("report", 0)
	n.advance(20 * 365 * 24 * time.Hour)
	n.await(n.runsOf("report", 1)[0].ID, job.Done)
	n.advance(-20 * 365 * 24 * time.Hour) // somebody has set it right
	n.runsOf("report", 1)
	n.advance(time.Hour)
	n.await(n.runsOf("report", 2)[0].ID, job.Done)
}
