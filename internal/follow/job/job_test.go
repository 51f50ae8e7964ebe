package job_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/value"
)

func TestJobRunsItsSteps(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		var ran counts
		var n *node
		kinds := map[string]*kind{"charge": {run: func(ctx context.Context, in value.Record,
			s action.Steps) (value.Value, error) {
			paid, err := s.Step(ctx, "charge", func(_ context.Context, st action.Step) (
				value.Value, error) {
				ran.add(st.Key)
				return value.OfText("paid " + fmt.Sprint(in.Get("n").Int())), nil
			})
			if err != nil {
				return paid, err
			}
			s.Progress(1, 2)
			return paid, nil
		}}}
		n = start(t, open(), shared, kinds, nil)
		id := n.add("charge", `{"n":7}`)[0]
		got := n.await(id, job.Done)
		equal(t, "the result", string(got.Result), `"paid 7"`)
		equal(t, "the progress", got.Progress, &job.Progress{Done: 1, Total: 2})
		equal(t, "the owner", got.Owner, "admin/test")
		equal(t, "how often the step ran", ran.get(string(id)+"/charge"), 1)
		if len(got.Steps) != 1 || got.Steps[0].Name != "charge" {
			t.Errorf("the steps are %+v", got.Steps)
		}
	})
}

func TestManyJobsRunOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		var ran counts
		kinds := map[string]*kind{"noop": {run: func(_ context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			ran.add(s.ID())
			return value.OfNull(), nil
		}}}
		n := start(t, open(), shared, kinds, nil)
		inputs := make([]string, 700)
		for i := range inputs {
			inputs[i] = "null"
		}
		ids := append(n.add("noop", inputs...), n.add("noop", inputs[:50]...)...)
		for _, id := range ids {
			n.await(id, job.Done)
			equal(t, "how often a job ran", ran.get(string(id)), 1)
		}
	})
}

func TestFailedAttemptIsMadeAgain(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		var ran counts
		kinds := map[string]*kind{
			"flaky": {Job: spec.Job{Retry: 3}, run: func(ctx context.Context, _ value.Record,
				s action.Steps) (value.Value, error) {
				_, err := s.Step(ctx, "once", func(context.Context, action.Step) (value.Value, error) {
					ran.add("once")
					return value.OfNull(), nil
				})
				if err != nil {
					return value.Value{}, err
				}
				return s.Step(ctx, "flaky", func(context.Context, action.Step) (value.Value, error) {
					ran.add("flaky")
					if s.Attempt() < 3 {
						return value.Value{}, errors.New("the line is dead")
					}
					return value.OfInt(int64(s.Attempt())), nil
				})
			}},
			"never": {Job: spec.Job{Retry: 1}, run: func(context.Context, value.Record,
				action.Steps) (value.Value, error) {
				ran.add("never")
				return value.Value{}, errors.New("no")
			}},
			"final": {Job: spec.Job{Retry: 8}, run: func(context.Context, value.Record,
				action.Steps) (value.Value, error) {
				ran.add("final")
				return value.Value{}, action.Fail("card_declined")
			}},
		}
		n := start(t, open(), shared, kinds, nil)
		id := n.add("flaky", "null")[0]
		for tried := range int64(2) {
			got := n.until(id, func(i job.Info) bool {
				return i.State == job.Waiting && i.Attempt == tried+2
			})
			if !got.Due.After(n.now()) || got.Problem == nil {
				t.Errorf("after a failure the job is %+v", got)
			}
			n.advance(time.Minute)
		}
		got := n.await(id, job.Done)
		equal(t, "the result", string(got.Result), "3")
		equal(t, "how often the first step ran", ran.get("once"), 1)

		id = n.add("never", "null")[0]
		n.await(id, job.Waiting)
		n.advance(time.Minute)
		got = n.await(id, job.Failed)
		equal(t, "how often it was tried", ran.get("never"), 2)
		equal(t, "the problem", got.Problem.Code, "internal")

		id = n.add("final", "null")[0]
		got = n.await(id, job.Failed)
		equal(t, "how often it was tried", ran.get("final"), 1)
		equal(t, "the problem", got.Problem.Code, "card_declined")
	})
}

func TestTransactionIsDoneOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		var n *node
		kinds := map[string]*kind{}
		n = start(t, open(), shared, kinds, nil)
		mine := n.open("ana", 10)
		n.run(kinds, "credit", &kind{Job: spec.Job{Retry: 3}, run: func(ctx context.Context,
			_ value.Record, s action.Steps) (value.Value, error) {
			out, err := s.Transaction(ctx, "credit", credit(mine, 5))
			if err == nil && s.Attempt() == 1 {
				return out, s.Sleep(ctx, "rest", time.Hour)
			}
			return out, err
		}})
		n.run(kinds, "debit", &kind{run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			_, err := s.Transaction(ctx, "debit", credit(mine, -100))
			if !fault.Is(err, fault.Refused) {
				return value.Value{}, fmt.Errorf("the debit was %w", err)
			}
			if err := s.Sleep(ctx, "rest", time.Hour); err != nil {
				return value.Value{}, err
			}
			return value.OfText(fault.From(err).Code), nil
		}})
		id, other := n.add("credit", "null")[0], n.add("debit", "null")[0]
		n.paused(id, 2)
		n.paused(other, 2)
		n.advance(time.Hour)
		got := n.await(id, job.Done)
		equal(t, "the result", string(got.Result), "15")
		equal(t, "the wallet", n.wallet(mine), 15)
		got = n.await(other, job.Done)
		equal(t, "the refusal", string(got.Result), `"overdrawn"`)
	})
}

func TestStepsMustBeTheSame(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		var now atomic.Value
		now.Store("charge")
		var ran counts
		kinds := map[string]*kind{"pay": {Job: spec.Job{Retry: 3}, run: func(ctx context.Context,
			_ value.Record, s action.Steps) (value.Value, error) {
			name := now.Load().(string)
			_, err := s.Step(ctx, name, func(context.Context, action.Step) (value.Value, error) {
				ran.add(name)
				return value.OfNull(), nil
			})
			if err != nil {
				return value.Value{}, err
			}
			return value.Value{}, s.Sleep(ctx, "rest", time.Hour)
		}}}
		n := start(t, open(), shared, kinds, nil)
		id := n.add("pay", "null")[0]
		n.paused(id, 2)
		now.Store("capture")
		n.advance(time.Hour)
		got := n.await(id, job.Failed)
		want := `step "charge" expected, found "capture": the job changed while running. ` +
			`galley jobs retry ` + string(id) + ` --from charge`
		equal(t, "the problem", got.Problem.Detail, want)
		if err := n.jobs.Retry(t.Context(), id, "chrage"); err == nil ||
			!strings.Contains(err.Error(), "Did you mean charge?") {
			t.Errorf("a retry from an unknown step is %v", err)
		}
		if err := n.jobs.Retry(t.Context(), id, "charge"); err != nil {
			t.Fatal(err)
		}
		n.paused(id, 2)
		n.advance(time.Hour)
		n.await(id, job.Done)
		equal(t, "how often the new step ran", ran.get("capture"), 1)
	})
}

func TestRefusalThatNothingCaughtWaitsForSomebody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		kinds := map[string]*kind{}
		n := start(t, open(), shared, kinds, nil)
		mine := n.open("ana", 10)
		n.run(kinds, "debit", &kind{Job: spec.Job{Retry: 3}, run: func(ctx context.Context,
			_ value.Record, s action.Steps) (value.Value, error) {
			_, err := s.Transaction(ctx, "credit", credit(mine, 1))
			if err == nil {
				_, err = s.Transaction(ctx, "debit", credit(mine, -100))
			}
			return value.OfNull(), err
		}})
		id := n.add("debit", "null")[0]
		got := n.await(id, job.Failed)
		equal(t, "the problem", got.Problem.Code, "overdrawn")
		equal(t, "how often it was tried", got.Attempt, 1)
		if err := n.jobs.Retry(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		n.await(id, job.Failed)
		if _, err := n.engine.Execute(t.Context(), engine.Call{ID: ident.NewCall(),
			Verb: engine.Update, Target: "wallets", Record: string(mine), Trusted: true,
			Subject: ident.Subject{Who: ident.Admin, Name: "test"},
			Body:    []byte(`{"balance":211}`)}); err != nil {
			t.Fatal(err)
		}
		if err := n.jobs.Retry(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		n.await(id, job.Done)
		equal(t, "the wallet", n.wallet(mine), 111)
		equal(t, "a job that is done is not tried again",
			fault.Is(n.jobs.Retry(t.Context(), id, ""), fault.Refused), true)
	})
}
