package job_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/value"
)

// gate lets jobs stand until it is opened, and tells that they stand there.
type gate struct {
	at   chan string
	open chan struct{}
}

func newGate() *gate { return &gate{make(chan string, 1000), make(chan struct{})} }

func (g *gate) pass(ctx context.Context, id string) error {
	g.at <- id
	select {
	case <-g.open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// step stands at the gate in a step, where a job does not compute.
func (g *gate) step(ctx context.Context, s action.Steps, name string) error {
	_, err := s.Step(ctx, name, func(ctx context.Context, _ action.Step) (value.Value, error) {
		return value.OfNull(), g.pass(ctx, s.ID())
	})
	return err
}

func TestWaitEndsWithTheEvent(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		kinds := map[string]*kind{"pay": {run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			v, err := s.Wait(ctx, "webhook:stripe", time.Hour)
			if fault.Is(err, fault.Timeout) {
				return value.OfText("late"), nil
			}
			return v, err
		}}}
		n := start(t, open(), shared, kinds, nil)
		first := n.add("pay", "null")[0]
		n.paused(first, 1)
		equal(t, "how many waited", n.signal("webhook:stripe"), 1)
		equal(t, "the result", string(n.await(first, job.Done).Result), `"paid"`)
		equal(t, "how many wait now", n.signal("webhook:stripe"), 0)

		second := n.add("pay", "null")[0]
		n.paused(second, 1)
		n.advance(time.Hour)
		equal(t, "the result", string(n.await(second, job.Done).Result), `"late"`)
	})
}

func TestAWaitInVainWaitsForSomebody(t *testing.T) {
	kinds := map[string]*kind{"pay": {Job: spec.Job{Retry: 3}, run: func(ctx context.Context,
		_ value.Record, s action.Steps) (value.Value, error) {
		return s.Wait(ctx, "webhook:stripe", time.Hour)
	}}}
	n := start(t, dbtest.Memory(t), false, kinds, nil)
	id := n.add("pay", "null")[0]
	for range 2 {
		n.paused(id, 1)
		n.advance(time.Hour)
		got := n.await(id, job.Failed)
		equal(t, "the problem", got.Problem.Code, "timeout")
		equal(t, "the attempt", got.Attempt, 1)
		if err := n.jobs.Retry(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
	}
	n.paused(id, 1)
	n.signal("webhook:stripe")
	n.await(id, job.Done)
}

func TestAWaitThatNamesNoBoundHasOne(t *testing.T) {
	kinds := map[string]*kind{"pay": {run: func(ctx context.Context, _ value.Record,
		s action.Steps) (value.Value, error) {
		return s.Wait(ctx, "webhook:stripe", 0)
	}}}
	n := start(t, dbtest.Memory(t), false, kinds, nil)
	id := n.add("pay", "null")[0]
	n.paused(id, 1)
	n.advance(job.WaitTime)
	equal(t, "the problem", n.await(id, job.Failed).Problem.Code, "timeout")
}

func TestWhatFailsAfterAWaitInVainIsTriedAgain(t *testing.T) {
	tried := 0
	kinds := map[string]*kind{"pay": {Job: spec.Job{Retry: 3}, run: func(ctx context.Context,
		_ value.Record, s action.Steps) (value.Value, error) {
		if _, err := s.Wait(ctx, "webhook:stripe", time.Hour); !fault.Is(err, fault.Timeout) {
			return value.OfNull(), err
		}
		return s.Step(ctx, "ask", func(context.Context, action.Step) (value.Value, error) {
			if tried++; tried == 1 {
				return value.OfNull(), fault.New(fault.Timeout, "The other side took too long.")
			}
			return value.OfText("asked"), nil
		})
	}}}
	n := start(t, dbtest.Memory(t), false, kinds, nil)
	id := n.add("pay", "null")[0]
	n.paused(id, 1)
	n.advance(time.Hour)
	n.until(id, func(i job.Info) bool { return i.Problem != nil })
	n.advance(time.Hour)
	equal(t, "the result", string(n.await(id, job.Done).Result), `"asked"`)
}

func TestAnEventThatComesWhileTheJobRunsIsNotMissed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		g := newGate()
		var second atomic.Bool
		kinds := map[string]*kind{"pay": {run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			if second.CompareAndSwap(true, false) {
				if err := g.pass(ctx, s.ID()); err != nil {
					return value.OfNull(), err
				}
			}
			return s.Wait(ctx, "webhook:stripe", 0)
		}}}
		n := start(t, open(), shared, kinds, nil)
		id := n.add("pay", "null")[0]
		n.paused(id, 1)
		second.Store(true)
		if err := n.jobs.Retry(t.Context(), id, ""); err != nil { // somebody is impatient
			t.Fatal(err)
		}
		<-g.at // it has read its steps, and waits again in a moment
		n.signal("webhook:stripe")
		close(g.open)
		equal(t, "the result", string(n.await(id, job.Done).Result), `"paid"`)
	})
}

func TestAtOnceAndOncePer(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		g := newGate()
		var now, most atomic.Int64
		kinds := map[string]*kind{
			"few": {Job: spec.Job{AtOnce: 2}, run: func(ctx context.Context, _ value.Record,
				s action.Steps) (value.Value, error) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer now.Add(-1)
				return value.OfNull(), g.step(ctx, s, "stand")
			}},
			"one": {run: func(ctx context.Context, _ value.Record, s action.Steps) (
				value.Value, error) {
				return value.OfNull(), g.step(ctx, s, "stand")
			}, once: func(in value.Record) value.Value { return in.Get("n") }},
		}
		n := start(t, open(), shared, kinds, nil)
		few := n.add("few", "null", "null", "null", "null", "null")
		<-g.at
		<-g.at
		a := n.add("one", `{"n":1}`)[0]
		<-g.at
		same, other := n.add("one", `{"n":1}`)[0], n.add("one", `{"n":2}`)[0]
		got := n.await(same, job.Cancelled)
		equal(t, "the problem", got.Problem.Code, "once_per")
		n.await(other, job.Running)
		close(g.open)
		for _, id := range append(few, a, other) {
			n.await(id, job.Done)
		}
		if most.Load() > 2 {
			t.Errorf("%d ran at once", most.Load())
		}
		n.await(n.add("one", `{"n":1}`)[0], job.Done)
	})
}

func TestAJobThatIsTriedAgainIsOneAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		g := newGate()
		var well atomic.Bool
		kinds := map[string]*kind{"one": {run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			if !well.Load() {
				return value.OfNull(), fault.New(fault.Internal, "The other side is away.")
			}
			return value.OfNull(), g.step(ctx, s, "stand")
		}, once: func(in value.Record) value.Value { return in.Get("n") }}}
		n := start(t, open(), shared, kinds, nil)
		first := n.add("one", `{"n":1}`)[0]
		n.await(first, job.Failed)
		well.Store(true)
		second := n.add("one", `{"n":1}`)[0]
		<-g.at
		err := n.jobs.Retry(t.Context(), first, "")
		if !fault.Is(err, fault.Refused) || fault.From(err).Code != "once_per" {
			t.Errorf("beside another of its value it is tried again: %v", err)
		}
		g.open <- struct{}{}
		n.await(second, job.Done)
		if err := n.jobs.Retry(t.Context(), first, ""); err != nil {
			t.Fatal(err)
		}
		<-g.at
		n.await(n.add("one", `{"n":1}`)[0], job.Cancelled)
		close(g.open)
		n.await(first, job.Done)
	})
}

func TestCancelEndsBetweenSteps(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		g := newGate()
		var ran counts
		kinds := map[string]*kind{
			"long": {run: func(ctx context.Context, _ value.Record, s action.Steps) (
				value.Value, error) {
				if err := g.step(ctx, s, "first"); err != nil {
					return value.Value{}, err
				}
				_, err := s.Step(ctx, "second", func(context.Context, action.Step) (value.Value, error) {
					ran.add("second")
					return value.OfNull(), nil
				})
				return value.Value{}, err
			}},
			"rest": {run: func(ctx context.Context, _ value.Record, s action.Steps) (
				value.Value, error) {
				return value.OfNull(), s.Sleep(ctx, "rest", time.Hour)
			}},
		}
		n := start(t, open(), shared, kinds, nil)
		long, rest := n.add("long", "null")[0], n.add("rest", "null")[0]
		<-g.at
		n.await(long, job.Running)
		n.paused(rest, 1)
		for _, id := range []ident.Record{long, rest} {
			if err := n.jobs.Cancel(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		n.await(rest, job.Cancelled)
		close(g.open)
		n.await(long, job.Cancelled)
		equal(t, "how often the second step ran", ran.get("second"), 0)
		if err := n.jobs.Cancel(t.Context(), long); !fault.Is(err, fault.Refused) {
			t.Errorf("a job that has ended is cancelled: %v", err)
		}
		if err := n.jobs.Retry(t.Context(), long, ""); err != nil {
			t.Fatal(err)
		}
		n.await(long, job.Done)
		equal(t, "how often the second step ran", ran.get("second"), 1)
	})
}

func TestACancelledJobGoesOnNoMore(t *testing.T) {
	var steps atomic.Int64
	g := newGate()
	kinds := map[string]*kind{
		"fails": {Job: spec.Job{Retry: 9}, run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			return s.Step(ctx, "ask", func(ctx context.Context, _ action.Step) (value.Value, error) {
				steps.Add(1)
				if err := g.pass(ctx, s.ID()); err != nil {
					return value.OfNull(), err
				}
				return value.OfNull(), fault.New(fault.Internal, "The other side is away.")
			})
		}},
		"sleeps": {run: func(ctx context.Context, _ value.Record, s action.Steps) (value.Value, error) {
			if err := g.pass(ctx, s.ID()); err != nil {
				return value.OfNull(), err
			}
			return value.OfNull(), s.Sleep(ctx, "long", 24*time.Hour)
		}},
	}
	n := start(t, dbtest.Memory(t), false, kinds, nil)
	ids := []ident.Record{n.add("fails", "null")[0], n.add("sleeps", "null")[0]}
	for _, id := range ids {
		<-g.at
		n.until(id, func(i job.Info) bool { return i.State == job.Running })
		// Another node has heard it.
		origin := journal.Origin{Call: ident.NewCall(), Operation: "test", Now: n.now()}
		_, err := n.db.Write(t.Context(), origin, func(tx store.Tx) error {
			row, err := tx.Get(t.Context(), job.Collection, id)
			if err != nil {
				return err
			}
			row.Set("cancel", value.OfBool(true))
			_, err = tx.Put(t.Context(), job.Collection, row)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	close(g.open)
	for _, id := range ids {
		n.await(id, job.Cancelled)
	}
	n.advance(48 * time.Hour)
	equal(t, "how often it was asked", steps.Load(), 1)
}

func TestAJobForAnotherAppWaitsForIt(t *testing.T) {
	var behind atomic.Bool
	behind.Store(true)
	kinds := map[string]*kind{"noop": {run: func(context.Context, value.Record,
		action.Steps) (value.Value, error) {
		return value.OfNull(), nil
	}}}
	n := start(t, dbtest.Memory(t), false, kinds, func(c *job.Config) {
		c.InForce = func() error {
			if behind.Load() {
				return fault.New(fault.Unavailable, "The app is being changed.")
			}
			return nil
		}
	})
	id := n.add("noop", `{"later":1}`)[0] // a field that only the next app knows
	n.await(id, job.Waiting)
	n.advance(time.Minute)
	n.await(n.add("noop", `{"n":1}`)[0], job.Done)
	n.await(id, job.Waiting)
	behind.Store(false)
	n.advance(time.Minute)
	n.await(id, job.Failed) // nor does it know it
}

func TestStopGivesJobsToTheNext(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		g := newGate()
		var ran counts
		kinds := map[string]*kind{"long": {run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			_, err := s.Step(ctx, "first", func(context.Context, action.Step) (value.Value, error) {
				ran.add(s.ID())
				return value.OfNull(), nil
			})
			if err == nil {
				err = g.step(ctx, s, "second")
			}
			return value.OfNull(), err
		}}}
		n := start(t, open(), shared, kinds, nil)
		ids := n.add("long", "null", "null", "null")
		for range ids {
			<-g.at
		}
		n.close()
		close(g.open)
		next := start(t, open(), shared, kinds, nil)
		for _, id := range ids {
			next.await(id, job.Done)
			equal(t, "how often the first step ran", ran.get(string(id)), 1)
		}
	})
}

func TestTwoNodesShareTheWork(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		if !shared {
			return // one process has the database to itself
		}
		var mu sync.Mutex
		at := map[string]string{}
		kinds := func(name string) map[string]*kind {
			return map[string]*kind{"long": {run: func(ctx context.Context, _ value.Record,
				s action.Steps) (value.Value, error) {
				_, err := s.Step(ctx, "work", func(ctx context.Context, _ action.Step) (
					value.Value, error) {
					mu.Lock()
					defer mu.Unlock()
					if was := at[s.ID()]; was != "" {
						return value.Value{}, fmt.Errorf("it ran at %s and now at %s", was, name)
					}
					at[s.ID()] = name
					return value.OfNull(), nil
				})
				if err == nil {
					err = s.Sleep(ctx, "rest", time.Millisecond)
				}
				return value.OfNull(), err
			}}}
		}
		few := func(c *job.Config) { c.Workers = 4 }
		a := start(t, open(), shared, kinds("a"), few)
		b := start(t, open(), shared, kinds("b"), few)
		var ids []ident.Record
		for range 60 {
			ids = append(ids, a.add("long", "null", "null", "null")...)
		}
		for _, id := range ids {
			b.await(id, job.Done)
		}
		count := map[string]int{}
		for _, name := range at {
			count[name]++
		}
		equal(t, "how many ran", count["a"]+count["b"], len(ids))
		t.Log(count)
	})
}

// TestNodeThatWasHeldUpCommitsNothing lets a node believe that it has its jobs still.
func TestNodeThatWasHeldUpCommitsNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		if !shared {
			return // nobody can take its jobs
		}
		g := newGate()
		var n, next *node
		late := make(chan error, 1)
		kinds := func(held bool) map[string]*kind {
			return map[string]*kind{"pay": {Job: spec.Job{Retry: 3}, run: func(ctx context.Context,
				_ value.Record, s action.Steps) (value.Value, error) {
				if held {
					g.at <- s.ID()
					<-g.open
				}
				_, err := s.Step(ctx, "note", func(context.Context, action.Step) (value.Value, error) {
					return value.OfNull(), nil
				})
				if held {
					late <- err
				}
				if err == nil {
					_, err = s.Transaction(ctx, "credit", credit(n.wallets[0], 5))
				}
				return value.OfNull(), err
			}}}
		}
		n = start(t, open(), shared, kinds(true), nil)
		n.wallets = append(n.wallets, n.open("ana", 0))
		id := n.add("pay", "null")[0]
		<-g.at
		n.await(id, job.Running)
		// Its beats stop as if the machine stood still, and the other node takes over.
		n.runner.Halt()
		next = start(t, open(), shared, kinds(false), nil)
		next.await(id, job.Done)
		close(g.open)
		if err := <-late; err == nil {
			t.Error("the node that was held up has committed")
		}
		equal(t, "the wallet", next.wallet(n.wallets[0]), 5)
	})
}

func TestEntryThatFailsIsSetApart(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		kinds := map[string]*kind{"noop": {run: func(context.Context, value.Record,
			action.Steps) (value.Value, error) {
			return value.OfNull(), nil
		}}}
		n := start(t, open(), shared, kinds, nil)
		origin := journal.Origin{Call: ident.NewCall(), Operation: "test", Now: n.now()}
		_, err := n.db.Write(t.Context(), origin, func(tx store.Tx) error {
			return tx.Intend(t.Context(), journal.Intent{Kind: journal.IntentJob, Name: "noop",
				Payload: value.OfText("no payload of a job")})
		})
		if err != nil {
			t.Fatal(err)
		}
		n.await(n.add("noop", "null")[0], job.Done)
		parked, err := n.runner.Parked(t.Context())
		if err != nil || len(parked) != 1 || parked[0].Follower != "jobs" {
			t.Fatalf("set apart is %+v, %v", parked, err)
		}
		if err := n.runner.Retry(t.Context(), parked[0].ID); err == nil {
			t.Error("what cannot be read was accepted")
		}
		if err := n.runner.Skip(t.Context(), parked[0].ID); err != nil {
			t.Fatal(err)
		}
		if parked, err = n.runner.Parked(t.Context()); err != nil || len(parked) != 0 {
			t.Errorf("set apart is still %+v, %v", parked, err)
		}
	})
}

func TestWhatWasSetApartIsRepairedBesideTheRest(t *testing.T) {
	nothing := func(context.Context, value.Record, action.Steps) (value.Value, error) {
		return value.OfNull(), nil
	}
	var poisoned atomic.Bool
	poisoned.Store(true)
	kinds := map[string]*kind{"noop": {run: nothing}, "poison": {run: nothing,
		once: func(in value.Record) value.Value {
			if poisoned.Load() {
				panic("it cannot be told")
			}
			return in.Get("n")
		}}}
	n := start(t, dbtest.Memory(t), false, kinds, nil)
	bad := n.add("poison", `{"n":1}`)[0]
	n.await(n.add("noop", "null")[0], job.Done)
	parked, err := n.runner.Parked(t.Context())
	if err != nil || len(parked) != 1 {
		t.Fatalf("set apart is %+v, %v", parked, err)
	}
	var rest []ident.Record
	added := make(chan struct{})
	go func() {
		defer close(added)
		for range 60 {
			rest = append(rest, n.add("noop", "null", "null", "null")...)
		}
	}()
	for going := true; going; {
		if err := n.runner.Retry(t.Context(), parked[0].ID); err == nil {
			t.Fatal("what is poisoned was accepted")
		}
		select {
		case <-added:
			going = false
		default:
		}
	}
	for _, id := range rest {
		n.await(id, job.Done)
	}
	poisoned.Store(false)
	if err := n.runner.Retry(t.Context(), parked[0].ID); err != nil {
		t.Fatal(err)
	}
	n.await(bad, job.Done)
}

func TestRequestsOfAStepCarryItsTrace(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Traceparent"))
	}))
	t.Cleanup(server.Close)
	const own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	kinds := map[string]*kind{"ask": {run: func(ctx context.Context, _ value.Record,
		s action.Steps) (value.Value, error) {
		for i, trace := range []string{"", "", own} {
			_, err := s.Step(ctx, fmt.Sprint("ask ", i), func(ctx context.Context,
				step action.Step) (value.Value, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
				if err != nil {
					return value.OfNull(), err
				}
				if trace != "" {
					r.Header.Set("Traceparent", trace)
				}
				res, err := step.Client.Do(r)
				if err == nil {
					err = res.Body.Close()
				}
				return value.OfNull(), err
			})
			if err != nil {
				return value.OfNull(), err
			}
		}
		return value.OfNull(), nil
	}}}
	n := start(t, dbtest.Memory(t), false, kinds, nil)
	id := n.add("ask", "null")[0]
	n.await(id, job.Done)
	form := regexp.MustCompile("^00-" + job.Trace(id) + "-[0-9a-f]{16}-01$")
	if len(got) != 3 || !form.MatchString(got[0]) || !form.MatchString(got[1]) || got[0] == got[1] ||
		got[2] != own {
		t.Errorf("the requests carried %q", got)
	}
}

func TestBackoffGrowsWithinItsBounds(t *testing.T) {
	for n := int64(1); n < 80; n++ {
		least, most := job.Backoff(n, 0), job.Backoff(n, 1)
		if least <= 0 || least >= most || most > job.RetryMax*5/4 {
			t.Errorf("after %d attempts the wait is %v to %v", n, least, most)
		}
	}
	equal(t, "the first", job.Backoff(1, 0.5), 2*time.Second)
	equal(t, "the eighth", job.Backoff(8, 0.5), 256*time.Second)
}
