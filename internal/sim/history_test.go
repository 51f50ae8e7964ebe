package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
)

const (
	historyPeople  = 4
	historyCallers = 8
	historyCalls   = 60
	// historyTime bounds the search for an order.
	historyTime = 20 * time.Second
)

// bankState is all that the callers of a history can see.
type bankState struct {
	balance [historyPeople]int64
	counter int64
}

// asked is a call, heard its answer.
type (
	asked struct {
		kind     string
		from, to int
		amount   int64
	}
	heard struct {
		refused bool
		n       int64
		all     [historyPeople]int64
	}
)

// model says what a bank answers if one call comes after the other.
func model() porcupine.Model {
	return porcupine.Model{
		Init: func() any {
			s := bankState{}
			for i := range s.balance {
				s.balance[i] = money
			}
			return s
		},
		Step: func(state, in, out any) (bool, any) {
			s, q, a := state.(bankState), in.(asked), out.(heard)
			switch q.kind {
			case "transfer":
				if s.balance[q.from] < q.amount {
					return a.refused, s
				}
				s.balance[q.from] -= q.amount
				left := s.balance[q.from]
				s.balance[q.to] += q.amount
				return !a.refused && a.n == left, s
			case "balance":
				return a.n == s.balance[q.from], s
			case "balances":
				return a.all == s.balance, s
			case "count":
				s.counter++
				return a.n == s.counter, s
			default:
				return a.n == s.counter, s
			}
		},
		DescribeOperation: func(in, out any) string { return fmt.Sprintf("%+v → %+v", in, out) },
	}
}

// history lets callers loose on engines and returns what they asked and heard.
func history(t *testing.T, engines []*engine.Engine, p *people, seed uint64) []porcupine.Operation {
	var now clock
	var mu sync.Mutex
	var ops []porcupine.Operation
	var callers sync.WaitGroup
	for id := range historyCallers {
		callers.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(id)))
			for n := range historyCalls {
				e := engines[rnd.IntN(len(engines))]
				op := porcupine.Operation{ClientId: id, Call: now.Add(1)}
				q, a, err := ask(t.Context(), e, p, rnd, fmt.Sprintf("%d.%d.%d", seed, id, n))
				if fault.Is(err, fault.Unavailable) {
					continue // nothing was done
				}
				if err != nil {
					t.Errorf("%+v: %v", q, err)
					return
				}
				op.Input, op.Output, op.Return = q, a, now.Add(1)
				mu.Lock()
				ops = append(ops, op)
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	return ops
}

// ask makes one call, drawn by chance.
func ask(
	ctx context.Context, e *engine.Engine, p *people, rnd *rand.Rand, key string,
) (asked, heard, error) {
	q := asked{from: rnd.IntN(historyPeople), amount: 1 + rnd.Int64N(90)}
	q.to = (q.from + 1 + rnd.IntN(historyPeople-1)) % historyPeople
	switch rnd.IntN(6) {
	case 0, 1:
		q.kind = "transfer"
		r, err := e.Execute(ctx, p.transfer(q.from, q.to, q.amount, key))
		if f := fault.From(err); f != nil && f.Code == "overdrawn" {
			return q, heard{refused: true}, nil
		}
		if err != nil {
			return q, heard{}, err
		}
		return q, heard{n: r.Output.Record().Get("left").Int()}, err
	case 2:
		q.kind = "count"
		operator := rnd.IntN(2) == 0
		r, err := e.Execute(ctx, p.count(q.from, key, operator))
		if err != nil {
			return q, heard{}, err
		}
		if operator {
			return q, heard{n: r.Item.Record.Get("n").Int()}, nil
		}
		return q, heard{n: r.Output.Record().Get("n").Int()}, nil
	case 3:
		q.kind = "balance"
		a, err := e.Query(ctx, read("wallets", p.wallets[q.from], p.users[q.from]))
		if err != nil {
			return q, heard{}, err
		}
		return q, heard{n: a.Items[0].Record.Get("balance").Int()}, nil
	case 4:
		q.kind = "counter"
		a, err := e.Query(ctx, read("counters", p.counter, p.users[q.from]))
		if err != nil {
			return q, heard{}, err
		}
		return q, heard{n: a.Items[0].Record.Get("n").Int()}, nil
	default:
		q.kind = "balances"
		a, err := e.Query(ctx, engine.Call{ID: ident.NewCall(), Verb: engine.List,
			Target: "wallets", Subject: admin, Trusted: true})
		var h heard
		for _, item := range a.Items {
			i := slices.Index(p.wallets, ident.Record(item.Record.Get("id").Text()))
			h.all[i] = item.Record.Get("balance").Int()
		}
		return q, h, err
	}
}

// TestHistoriesAreLinearizable asks for an order of all calls in which each answer is
// right, and no call comes before one that had ended when it began.
func TestHistoriesAreLinearizable(t *testing.T) {
	a := compiled(t)
	for _, d := range databases() {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%s/%d", d.name, seed), func(t *testing.T) {
				open := d.place(t)
				var engines []*engine.Engine
				var first handle
				for n := range 2 {
					if n == 0 || d.shared {
						s, err := open(nil)
						if err != nil {
							t.Fatal(err)
						}
						defer closed(t, s)
						if n == 0 {
							prepare(t, s, a)
							first = s
						}
						engines = append(engines, newEngine(s, a))
						continue
					}
					engines = append(engines, newEngine(first, a))
				}
				p := populate(t, engines[0], historyPeople)
				ops := history(t, engines, p, seed)
				if got := judge(ops); got != porcupine.Ok {
					t.Errorf("no order explains the %d answers: %s", len(ops), got)
				}
			})
		}
	}
}

func closed(t testing.TB, s handle) {
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func judge(ops []porcupine.Operation) porcupine.CheckResult {
	return porcupine.CheckOperationsTimeout(model(), ops, historyTime)
}

// TestEachFlawIsFound plants a flaw below the engines each time: no order may explain
// what callers then hear.
func TestEachFlawIsFound(t *testing.T) {
	a := compiled(t)
	for _, flaw := range []string{"stale read", "lost write", "double effect", "lost update"} {
		t.Run(flaw, func(t *testing.T) {
			for seed := range uint64(5) {
				s, err := databases()[0].place(t)(nil)
				if err != nil {
					t.Fatal(err)
				}
				prepare(t, s, a)
				p := populate(t, newEngine(s, a), historyPeople)
				f := &flawed{Store: s, flaw: flaw, rnd: rand.New(rand.NewPCG(seed, 7))}
				ops := history(t, []*engine.Engine{newEngine(f, a)}, p, seed)
				closed(t, s)
				if judge(ops) == porcupine.Illegal {
					return
				}
			}
			t.Errorf("an order was found that explains a %s", flaw)
		})
	}
}

// TestLookingChecksHold lets the last two doctors of a ward leave at once, again and
// again: the check of each looks the other up.
func TestLookingChecksHold(t *testing.T) {
	a := compiled(t)
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			s, err := d.place(t)(nil)
			if err != nil {
				t.Fatal(err)
			}
			defer closed(t, s)
			prepare(t, s, a)
			engines := []*engine.Engine{newEngine(s, a), newEngine(s, a)}
			p := populate(t, engines[0], 1)
			for round := range 40 {
				var left sync.WaitGroup
				var codes [2]string
				for i := range codes {
					doctor := create(t, engines[0], "doctors", `{"ward":"w%d","on_call":true}`,
						round)
					codes[i] = string(doctor)
				}
				for i, doctor := range codes {
					left.Go(func() {
						_, err := engines[i].Execute(t.Context(), engine.Call{ID: ident.NewCall(),
							Verb: engine.Update, Target: "doctors", Record: doctor,
							Credential: string(p.users[0]), Body: []byte(`{"on_call":false}`)})
						codes[i] = ""
						if err != nil {
							codes[i] = fault.From(err).CodeOr()
						}
					})
				}
				left.Wait()
				if got := codes[0] + codes[1]; got != "nobody_left" {
					t.Fatalf("round %d: the two heard %q", round, codes)
				}
			}
		})
	}
}
