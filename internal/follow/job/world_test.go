package job_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/value"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// bank is the app: what its transactions write.
const bank = `app: bank
collections:
  wallets:
    fields: {name: {type: string, unique: true}, balance: {type: money, default: 0}}
    check: {overdrawn: record.balance >= 0}
`

type database = dbtest.Database

// code is the code of a job.
type code func(ctx context.Context, in value.Record, s action.Steps) (value.Value, error)

// node is a process: a store, an engine and its jobs.
type node struct {
	t       testing.TB
	db      database
	engine  *engine.Engine
	runner  *follow.Runner
	jobs    *job.Jobs
	config  job.Config
	ahead   *atomic.Int64
	wallets []ident.Record
	mu      sync.Mutex
	closed  bool
}

// kind is a job with its code.
type kind struct {
	spec.Job
	run  code
	once func(in value.Record) value.Value
}

// start opens a node that runs the jobs.
func start(t testing.TB, db database, shared bool, kinds map[string]*kind,
	change func(*job.Config)) *node {
	t.Helper()
	return startWith(t, db, shared, kinds, change, nil)
}

func startWith(t testing.TB, db database, shared bool, kinds map[string]*kind,
	change func(*job.Config), beat func(*follow.Config)) *node {
	t.Helper()
	return startBy(t, &atomic.Int64{}, db, shared, kinds, change, beat)
}

// startBy is startWith by a clock that goes so far ahead, which nodes may share.
func startBy(t testing.TB, ahead *atomic.Int64, db database, shared bool, kinds map[string]*kind,
	change func(*job.Config), beat func(*follow.Config)) *node {
	t.Helper()
	a := apply(t, db)
	n := &node{t: t, db: db, ahead: ahead}
	log := slog.New(slog.DiscardHandler)
	n.engine = engine.New(engine.Config{Store: db, App: a, Clock: n.now, Log: log})
	c := follow.Config{Store: db, Now: n.now, Log: log,
		Head:   dbtest.Head(db),
		Shared: func() bool { return shared }}
	if beat != nil {
		beat(&c)
	}
	n.runner = follow.New(c)
	n.config = job.Config{Store: db, Follow: n.runner, Transact: n.engine.Transact, Now: n.now,
		Log: log, Names: func() []string {
			n.mu.Lock()
			defer n.mu.Unlock()
			var names []string
			for name := range kinds {
				names = append(names, name)
			}
			return names
		},
		Find: func(name string) *job.Job {
			n.mu.Lock()
			k := kinds[name]
			n.mu.Unlock()
			if k == nil {
				return nil
			}
			return jobOf(name, k)
		},
		Secret: func(name string) (string, error) { return "secret of " + name, nil }}
	if change != nil {
		change(&n.config)
	}
	n.jobs = job.New(n.config)
	n.jobs.Start(t.Context())
	if err := n.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.close)
	return n
}

// apply gives the database the app's schema, once.
func apply(t testing.TB, db database) *app.App {
	t.Helper()
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(bank)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	house := slices.Concat(follow.Collections(), job.Collections())
	a, findings := app.Compile(s, house, nil)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	dbtest.Install(t, db, a.Schema, time.Now())
	return a
}

var input = value.NewShape("input", []value.Field{
	{Name: "n", Type: value.Type{Kind: value.TypeInt, Optional: true}}})

func jobOf(name string, k *kind) *job.Job {
	sp := k.Job
	sp.Name = name
	out := &job.Job{Job: &sp, Input: input, Run: func(ctx context.Context, call action.Run,
		s action.Steps) (value.Value, error) {
		return k.run(ctx, call.Input, s)
	}}
	if k.once != nil {
		out.Once = func(_ context.Context, in value.Record) (value.Value, error) {
			return k.once(in), nil
		}
	}
	return out
}

// now is the app's own time.
func (n *node) now() time.Time {
	return time.Now().UTC().Add(time.Duration(n.ahead.Load())).Truncate(time.Millisecond)
}

// advance lets time pass.
func (n *node) advance(d time.Duration) {
	n.ahead.Add(int64(d))
	n.runner.Wake()
}

func (n *node) close() {
	if n.closed {
		return
	}
	n.closed = true
	if err := n.runner.Close(); err != nil {
		n.t.Error(err)
	}
	if err := n.db.Close(); err != nil {
		n.t.Error(err)
	}
}

// add commits intents of a job, all in one entry, and returns their ids.
func (n *node) add(name string, inputs ...string) []ident.Record {
	n.t.Helper()
	ids := make([]ident.Record, len(inputs))
	origin := journal.Origin{Call: ident.NewCall(), Operation: "test", Now: n.now(),
		Subject: ident.Subject{Who: ident.Admin, Name: "test"}}
	_, err := n.db.Write(n.t.Context(), origin, func(tx store.Tx) error {
		for i, in := range inputs {
			ids[i] = ident.NewRecord()
			payload := fmt.Sprintf(`{"id":%q,"input":%s}`, ids[i], in)
			if err := tx.Intend(n.t.Context(), journal.Intent{Kind: journal.IntentJob, Name: name,
				Payload: value.OfJSON(payload)}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return ids
}

// signal has an event come, and returns how many jobs waited for it.
func (n *node) signal(event string) (count int) {
	n.t.Helper()
	origin := journal.Origin{Call: ident.NewCall(), Operation: "test", Now: n.now()}
	_, err := n.db.Write(n.t.Context(), origin, func(tx store.Tx) (err error) {
		count, err = job.Signal(n.t.Context(), tx, event, value.OfText("paid"), n.now())
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.jobs.Wake()
	return count
}

// await waits until a job is in one of the states.
func (n *node) await(id ident.Record, states ...string) job.Info {
	n.t.Helper()
	return n.until(id, func(i job.Info) bool { return slices.Contains(states, i.State) })
}

// paused waits until a job has come to a step in which it waits.
func (n *node) paused(id ident.Record, steps int) job.Info {
	n.t.Helper()
	return n.until(id, func(i job.Info) bool {
		return i.State == job.Waiting && len(i.Steps) == steps
	})
}

// run adds a job to those of a node that has begun.
func (n *node) run(kinds map[string]*kind, name string, k *kind) {
	n.mu.Lock()
	defer n.mu.Unlock()
	kinds[name] = k
}

// until waits until a job is as it is asked for.
func (n *node) until(id ident.Record, is func(job.Info) bool) job.Info {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Minute)
	defer cancel()
	for {
		changed := n.jobs.Changed()
		info, err := n.jobs.Show(ctx, id)
		if err == nil && is(info) {
			return info
		}
		if err != nil && !fault.Is(err, fault.NotFound) {
			n.t.Fatal(err)
		}
		poll := time.NewTimer(20 * time.Millisecond)
		select {
		case <-changed:
		case <-poll.C:
		case <-ctx.Done():
			n.t.Fatalf("the job %s is %+v (%v)", id, info, info.Problem)
		}
		poll.Stop()
	}
}

// wallet returns what is in a wallet, -1 if there is none.
func (n *node) wallet(id ident.Record) int64 {
	n.t.Helper()
	out := int64(-1)
	err := n.db.Read(n.t.Context(), func(v store.View) error {
		row, err := v.Get(n.t.Context(), "wallets", id)
		if fault.Is(err, fault.NotFound) {
			return nil
		}
		out = row.Get("balance").Int()
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

// open makes a wallet.
func (n *node) open(name string, balance int64) ident.Record {
	n.t.Helper()
	r, err := n.engine.Execute(n.t.Context(), engine.Call{ID: ident.NewCall(),
		Verb: engine.Create, Target: "wallets", Trusted: true,
		Subject: ident.Subject{Who: ident.Admin, Name: "test"},
		Body:    fmt.Appendf(nil, `{"name":%q,"balance":%d}`, name, balance)})
	if err != nil {
		n.t.Fatal(err)
	}
	return r.Record
}

// credit adds to a wallet in a transaction of a job.
func credit(id ident.Record, by int64) func(context.Context, action.Host) (value.Value, error) {
	return func(ctx context.Context, h action.Host) (value.Value, error) {
		row, err := h.Get(ctx, "wallets", id)
		if err != nil {
			return value.Value{}, err
		}
		row.Set("balance", value.OfInt(row.Get("balance").Int()+by))
		row, err = h.Put(ctx, "wallets", row)
		if err != nil {
			return value.Value{}, err
		}
		return row.Get("balance"), nil
	}
}

// counts counts by name.
type counts struct {
	mu sync.Mutex
	of map[string]int
}

func (c *counts) add(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of == nil {
		c.of = map[string]int{}
	}
	c.of[name]++
}

func (c *counts) get(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.of[name]
}

func equal(t testing.TB, what string, got, want any) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if string(a) != string(b) {
		t.Errorf("%s is %s, not %s", what, a, b)
	}
}
