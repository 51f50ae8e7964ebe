package sim

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// GALLEY_SIM_SEED repeats what was drawn in another run, GALLEY_SIM_CALLS is how many
// calls each client makes. The seed fixes the calls, the repetitions, and how often
// commits fail and followers die; how they interleave is the machine's affair.
const (
	envSeed  = "GALLEY_SIM_SEED"
	envCalls = "GALLEY_SIM_CALLS"

	simPeople    = 5
	simWards     = 3
	simClients   = 6
	simNodes     = 3
	simCalls     = 60
	simFollowers = 3
	// simTries bounds how often a client repeats a call that had no answer.
	simTries = 10_000
	// simTime bounds a simulation.
	simTime = 5 * time.Minute
	// simPatience is how long nothing may come to followers that are not at their end.
	simPatience = time.Minute
)

var errPlanned = errors.New("planned")

// simulation is several engines on one database, and all that was said to clients.
type simulation struct {
	t      testing.TB
	app    *app.App
	people *people
	// doctors are two in each ward.
	doctors []ident.Record
	open    func(f faults) (handle, error)
	// wrap stands between engines and store; it may have a flaw.
	wrap func(store.Store) store.Store
	ctx  context.Context
	// patience is how long nothing may come to followers that are not at their end.
	patience time.Duration

	// mu is held for reading by each call, and for writing while a handle that has
	// failed is opened again.
	mu      sync.RWMutex
	handles []handle
	engines []*engine.Engine

	chance struct {
		sync.Mutex
		*rand.Rand
	}
	calm    atomic.Bool
	revived atomic.Int64
	failed  atomic.Int64

	told struct {
		sync.Mutex
		accepted map[string]journal.Seq
		refused  map[string]string
		counts   int
	}
	wrong struct {
		sync.Mutex
		texts []string
	}
}

// errorf notes what must not be.
func (s *simulation) errorf(format string, args ...any) {
	s.wrong.Lock()
	defer s.wrong.Unlock()
	s.wrong.texts = append(s.wrong.texts, fmt.Sprintf(format, args...))
}

// one draws whether something happens that happens once in n times.
func (s *simulation) one(n int) bool {
	if s.calm.Load() {
		return false
	}
	s.chance.Lock()
	defer s.chance.Unlock()
	return s.chance.IntN(n) == 0
}

// faults lets commits fail, before and after.
func (s *simulation) faults(at sqlstore.Point) error {
	often := 25
	if at == sqlstore.AfterCommit {
		often = 60
	}
	if s.one(often) {
		s.failed.Add(1)
		return errPlanned
	}
	return nil
}

// start opens the handles and engines of an empty database and fills it.
func start(
	t testing.TB, d database, seed uint64, wrap func(store.Store) store.Store,
) *simulation {
	ctx, end := context.WithTimeout(context.Background(), simTime)
	t.Cleanup(end)
	s := &simulation{t: t, app: compiled(t), open: d.place(t), wrap: wrap, ctx: ctx,
		patience: simPatience}
	s.chance.Rand = rand.New(rand.NewPCG(seed, 1<<32))
	s.told.accepted, s.told.refused = map[string]journal.Seq{}, map[string]string{}
	s.calm.Store(true)
	for n := range simNodes {
		if n == 0 || d.shared {
			h, err := s.open(s.faults)
			if err != nil {
				t.Fatal(err)
			}
			s.handles = append(s.handles, h)
		}
		if n == 0 {
			prepare(t, s.handles[0], s.app)
		}
		s.engines = append(s.engines, nil)
	}
	for n := range s.engines {
		s.engines[n] = newEngine(wrap(s.handle(n)), s.app)
	}
	first := newEngine(s.handles[0], s.app)
	s.people = populate(t, first, simPeople)
	for w := range simWards {
		for range 2 {
			s.doctors = append(s.doctors,
				create(t, first, "doctors", `{"ward":"w%d","on_call":true}`, w))
		}
	}
	return s
}

// handle is the one of a node.
func (s *simulation) handle(node int) handle { return s.handles[node%len(s.handles)] }

// revive opens a handle that failed anew, as the next process would.
func (s *simulation) revive(node int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.handle(node).Failure() == nil {
		return
	}
	at := node % len(s.handles)
	if err := s.handles[at].Close(); err != nil && !strings.Contains(err.Error(), "planned") {
		s.errorf("close a store that failed: %v", err)
	}
	h, err := s.open(s.faults)
	if err != nil {
		s.errorf("open a store that failed: %v", err)
		return
	}
	s.revived.Add(1)
	s.handles[at] = h
	for n := range s.engines {
		if n%len(s.handles) == at {
			s.engines[n] = newEngine(s.wrap(h), s.app)
		}
	}
}

// execute makes a call at a node.
func (s *simulation) execute(node int, c engine.Call) (engine.Reply, error) {
	s.mu.RLock()
	failed := s.handle(node).Failed()
	r, err := s.engines[node].Execute(s.ctx, c)
	s.mu.RUnlock()
	if err == nil {
		return r, nil
	}
	select {
	case <-failed:
		s.revive(node)
	default:
	}
	return r, err
}

// answer is what a call came to in the end.
type answer struct {
	seq  journal.Seq
	code string
}

// insist makes a call until it has an answer, at one node after the other.
func (s *simulation) insist(c engine.Call, node int) (answer, error) {
	for try := range simTries {
		c.ID = ident.NewCall()
		r, err := s.execute((node+try)%simNodes, c)
		f := fault.From(err)
		switch {
		case err == nil:
			return answer{seq: r.Seq}, nil
		case f.Kind == fault.Refused || f.Kind == fault.NotFound:
			return answer{code: f.CodeOr()}, nil
		case f.Kind == fault.Unavailable, f.Kind == fault.Unknown, f.Kind == fault.Conflict,
			f.Kind == fault.Timeout && s.ctx.Err() == nil:
		default:
			return answer{}, err
		}
	}
	return answer{}, fmt.Errorf("no answer after %d tries", simTries)
}

// client makes calls, repeats some, and looks at what it may see.
func (s *simulation) client(seed uint64, id, calls int) {
	rnd := rand.New(rand.NewPCG(seed, uint64(id)))
	for n := range calls {
		who, node := rnd.IntN(simPeople), rnd.IntN(simNodes)
		key := fmt.Sprintf("%d.%d", id, n)
		again := rnd.IntN(4)
		switch kind := rnd.IntN(10); kind {
		case 0, 1, 2, 3:
			to := (who + 1 + rnd.IntN(simPeople-1)) % simPeople
			s.send(s.people.transfer(who, to, 1+rnd.Int64N(70), key), node, again)
		case 4, 5:
			s.send(s.people.count(who, key, kind == 4), node, again)
		case 6, 7:
			s.send(engine.Call{Verb: engine.Update, Target: "doctors", Key: key,
				Record:     string(s.doctors[rnd.IntN(len(s.doctors))]),
				Credential: string(s.people.users[who]),
				Body:       fmt.Appendf(nil, `{"on_call":%v}`, rnd.IntN(3) == 0)}, node, again)
		case 8:
			other := rnd.IntN(simPeople)
			s.send(engine.Call{Verb: engine.Update, Target: "wallets", Key: key,
				Record: string(s.people.wallets[other]), Credential: string(s.people.users[who]),
				Body: fmt.Appendf(nil, `{"note":%q}`, key)}, node, again)
		default:
			s.look(who, node)
		}
	}
}

// send makes a call, in three ways of four more than once: afterwards, or at once.
func (s *simulation) send(c engine.Call, node, again int) {
	var first, second answer
	var err error
	name := fmt.Sprintf("%v %s %s", c.Verb, c.Target, c.Key)
	switch again {
	case 0:
		if first, err = s.insist(c, node); err == nil {
			second, err = s.insist(c, (node+1)%simNodes)
		}
	case 1:
		var other sync.WaitGroup
		var err2 error
		other.Go(func() { second, err2 = s.insist(c, (node+1)%simNodes) })
		first, err = s.insist(c, node)
		other.Wait()
		err = errors.Join(err, err2)
	default:
		first, err = s.insist(c, node)
		second = first
	}
	if err != nil {
		s.errorf("%s: %v", name, err)
		return
	}
	if first.seq != second.seq || first.code != second.code {
		s.errorf("%s: one answer is %v %q, the other %v %q", name, first.seq, first.code,
			second.seq, second.code)
	}
	s.told.Lock()
	defer s.told.Unlock()
	switch {
	case first.code != "":
		s.told.refused[c.Key] = first.code
	case first.seq == journal.Seq{}:
		s.errorf("%s: accepted, without a place in the journal", name)
	default:
		s.told.accepted[c.Key] = first.seq
		if c.Target == "counters" || c.Target == "count" {
			s.told.counts++
		}
	}
}

// look asks for all that somebody may see: it is his, and the money adds up.
func (s *simulation) look(who, node int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e, me := s.engines[node], s.people.users[who]
	list := func(c engine.Call) (engine.Answer, bool) {
		c.ID, c.Verb = ident.NewCall(), engine.List
		a, err := e.Query(s.ctx, c)
		if err != nil && !fault.Is(err, fault.Unavailable) {
			s.errorf("list %s: %v", c.Target, err)
		}
		return a, err == nil
	}
	if a, ok := list(engine.Call{Target: "wallets", Credential: string(me)}); ok {
		for _, item := range a.Items {
			if owner := item.Record.Get("owner").Text(); owner != string(me) {
				s.errorf("%s was shown a wallet of %s", me, owner)
			}
		}
		if len(a.Items) != 1 {
			s.errorf("%s was shown %d wallets", me, len(a.Items))
		}
	}
	if a, ok := list(engine.Call{Target: "transfers", Credential: string(me)}); ok {
		mine := string(s.people.wallets[who])
		for _, item := range a.Items {
			from, to := item.Record.Get("from").Text(), item.Record.Get("to").Text()
			if from != mine && to != mine {
				s.errorf("%s was shown a transfer of others", me)
			}
		}
	}
	if a, ok := list(engine.Call{Target: "wallets", Subject: admin, Trusted: true}); ok {
		var sum int64
		for _, item := range a.Items {
			sum += item.Record.Get("balance").Int()
		}
		if sum != simPeople*money {
			s.errorf("a list adds up to %d, want %d", sum, simPeople*money)
		}
	}
}

// run lets clients and followers go until all is done, and returns what was wrong.
func (s *simulation) run(seed uint64, calls int) []string {
	var clients sync.WaitGroup
	crew := s.follow(seed)
	s.calm.Store(false)
	for id := range simClients {
		clients.Go(func() { s.client(seed, id, calls) })
	}
	clients.Wait()
	s.calm.Store(true)
	for node := range simNodes {
		s.revive(node)
	}
	crew.end()
	if len(s.wrong.texts) == 0 || s.ctx.Err() == nil {
		s.judge(crew)
	}
	for _, h := range s.handles {
		if err := h.Close(); err != nil {
			s.errorf("close: %v", err)
		}
	}
	return s.wrong.texts
}

// TestSimulation lets several engines on one database be used and abused.
func TestSimulation(t *testing.T) {
	seed, calls := rand.Uint64N(1_000_000), simCalls
	for name, set := range map[string]func(n uint64){
		envSeed:  func(n uint64) { seed = n },
		envCalls: func(n uint64) { calls = int(n) },
	} {
		if text := os.Getenv(name); text != "" {
			n, err := strconv.ParseUint(text, 10, 32)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			set(n)
		}
	}
	for _, d := range databases() {
		for n := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", d.name, n), func(t *testing.T) {
				t.Logf("%s=%d %s=%d", envSeed, seed, envCalls, calls)
				s := start(t, d, seed+n, func(s store.Store) store.Store { return s })
				for _, text := range s.run(seed+n, calls) {
					t.Error(text)
				}
				t.Logf("%d calls accepted, %d refused, %d commits failed, %d stores opened again",
					len(s.told.accepted), len(s.told.refused), s.failed.Load(), s.revived.Load())
			})
		}
	}
}
