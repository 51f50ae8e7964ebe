package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/galleybackend/galley/bench/load"
)

// workload is one kind of call, asked again and again.
type workload struct {
	name  string
	title string
	// script makes what the n-th connection asks of a target.
	script func(b *bench, t *target, n int) load.Script
	// count adds acknowledged writes to the target's count.
	count func(t *target, right int64)
}

// workloads is the table of what is measured one by one; "beside" stands apart.
func workloads() []workload {
	none := func(*target, int64) {}
	notes := func(t *target, n int64) { t.acked.notes += n }
	checkouts := func(t *target, n int64) { t.acked.checkouts += n }
	return []workload{
		{name: "get", title: "get by id under a rule", script: getScript(false), count: none},
		{
			name: "list", title: "list of 30: filter, sort, rule", count: none,
			script: listScript(priceStep, func(t *target) string { return t.api.list }),
		},
		{
			name: "filters", title: "list of 30, a filter not asked before", count: none,
			script: listScript(1, func(t *target) string { return t.api.list }),
		},
		{
			name: "total", title: "list of 30 with its total", count: none,
			script: listScript(priceStep, func(t *target) string { return t.api.total }),
		},
		{name: "create", title: "create a record, signed in", script: createScript, count: notes},
		{
			name: "checkout", title: "checkout, any product", count: checkouts,
			script: checkoutScript(func(b *bench, r *rand.Rand) string {
				return b.fixture.listed[r.IntN(len(b.fixture.listed))]
			}),
		},
		{
			name: "hot", title: "checkout, one product for all", count: checkouts,
			script: checkoutScript(func(b *bench, _ *rand.Rand) string {
				return b.fixture.listed[len(b.fixture.listed)/2]
			}),
		},
	}
}

// getScript reads products at random; signed says that each connection is somebody.
func getScript(signed bool) func(*bench, *target, int) load.Script {
	return func(b *bench, t *target, n int) load.Script {
		chance := rand.New(rand.NewPCG(3, uint64(n)))
		var buf []byte
		var id, token string
		if signed {
			token = t.token[n%len(t.token)]
		}
		return load.Script{
			Status: 200,
			Next: func() []byte {
				id = b.fixture.listed[chance.IntN(len(b.fixture.listed))]
				buf = t.api.get(buf[:0], t.server.Addr, id, token)
				return buf
			},
			Check: func(body []byte) error {
				var p product
				if err := json.Unmarshal(body, &p); err != nil {
					return fmt.Errorf("%w in %.200s", err, body)
				}
				if t.name != "hello" && (p.ID != id || !p.Listed || p.Price < 100) {
					return fmt.Errorf("asked for %s: %.200s", id, body)
				}
				if p.Cost != 0 {
					return fmt.Errorf("the cost is shown: %.200s", body)
				}
				return nil
			},
		}
	}
}

// priceStep is how far the prices of a filter lie apart, as those that a page offers
// to choose from.
const priceStep = 500

// listScript asks for the dearest 30 products below a price at random, one of those a
// step apart.
func listScript(step int64, path func(*target) string) func(*bench, *target, int) load.Script {
	return func(_ *bench, t *target, n int) load.Script {
		chance := rand.New(rand.NewPCG(4, uint64(n)))
		var buf []byte
		var most int64
		return load.Script{
			Status: 200,
			Next: func() []byte {
				most = 1000 + step*chance.Int64N(19_000/step)
				buf = t.api.find(buf[:0], t.server.Addr, path(t), most)
				return buf
			},
			Check: func(body []byte) error {
				var page struct{ Items []product }
				if err := json.Unmarshal(body, &page); err != nil {
					return fmt.Errorf("%w in %.200s", err, body)
				}
				if len(page.Items) != 30 {
					return fmt.Errorf("%d items in place of 30", len(page.Items))
				}
				last := most
				for _, p := range page.Items {
					if p.Price > last || !p.Listed {
						return fmt.Errorf("%+v below %d", p, last)
					}
					last = p.Price
				}
				return nil
			},
		}
	}
}

func createScript(b *bench, t *target, n int) load.Script {
	keys := b.keys(n)
	var buf []byte
	return load.Script{
		Status: t.createdStatus(),
		Next: func() []byte {
			buf = t.api.create(buf[:0], t.server.Addr, t.token[n%len(t.token)], keys())
			return buf
		},
		Check: func(body []byte) error {
			var note struct{ ID, Title, Author string }
			if err := json.Unmarshal(body, &note); err != nil {
				return fmt.Errorf("%w in %.200s", err, body)
			}
			if note.ID == "" || note.Title == "" || note.Author == "" {
				return fmt.Errorf("not a note: %.200s", body)
			}
			return nil
		},
	}
}

// createdStatus is what answers a create: PocketBase says 200.
func (t *target) createdStatus() int {
	if t.peer {
		return 200
	}
	return 201
}

// checkoutScript buys one piece of the product that pick chooses, each connection for
// its own buyer.
func checkoutScript(pick func(*bench, *rand.Rand) string) func(*bench, *target, int) load.Script {
	return func(b *bench, t *target, n int) load.Script {
		chance := rand.New(rand.NewPCG(5, uint64(n)))
		keys := b.keys(n)
		var buf []byte
		return load.Script{
			Status: 200,
			Next: func() []byte {
				token := t.token[n%len(t.token)]
				buf = t.api.checkout(buf[:0], t.server.Addr, token, keys(), pick(b, chance))
				return buf
			},
			Check: func(body []byte) error {
				var out struct {
					Order   string
					Balance int64
				}
				if err := json.Unmarshal(body, &out); err != nil {
					return fmt.Errorf("%w in %.200s", err, body)
				}
				if out.Order == "" || out.Balance <= 0 {
					return errors.New("no order in " + string(body))
				}
				return nil
			},
		}
	}
}

// keys returns a maker of idempotency keys that no other connection or run makes.
func (b *bench) keys(n int) func() string {
	prefix := fmt.Sprintf("bench-%d-%d-", b.scripts.Add(1), n)
	count := 0
	return func() string {
		count++
		return prefix + strconv.Itoa(count)
	}
}
