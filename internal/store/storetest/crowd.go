package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// hundredAdd adds to one record by operators: nothing is lost, and every call sees a
// sum of its own, in the order of the journal.
func hundredAdd(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("one", 0)
	const n = 100
	var mu sync.Mutex
	at := map[int64]journal.Seq{}
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() {
			var sum int64
			e, err := b.write(journal.Origin{Operation: "add"}, func(tx store.Tx) error {
				rec, err := tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
					"stock", b.add(1), "tags", value.OfOp(value.OpAppend, value.OfText("x"))))
				if err == nil {
					sum = rec.Get("stock").Int()
				}
				return err
			})
			if err != nil {
				b.Errorf("write: %v", err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			at[sum] = e.Seq
		})
	}
	calls.Wait()
	b.is(len(at), n)
	for sum := int64(2); sum <= n; sum++ {
		if at[sum].Compare(at[sum-1]) <= 0 {
			b.Errorf("the sum %d stands at %v, the one before it at %v", sum, at[sum], at[sum-1])
		}
	}
	b.is(b.get("products", id).Get("stock").Int(), n)
	b.is(len(b.get("products", id).Get("tags").List()), n)
}

// crowd is what a check lets many do at once, on one handle or on several.
type crowd struct {
	*bench
	handles []*bench
	wallets []ident.Record
	lease   ident.Record
	counted atomic.Int64
	kept    atomic.Int64
}

const crowdWallets, crowdMoney = 6, 100

func (b *bench) crowd(handles ...*bench) *crowd {
	c := &crowd{bench: b, handles: append([]*bench{b}, handles...)}
	for range crowdWallets {
		c.wallets = append(c.wallets, idOf(b.put("customers", "name", "crowd", "wallet",
			crowdMoney)))
	}
	c.lease = idOf(b.put("leases", "name", "crowd", "count", 0))
	return c
}

// call is one call of the crowd's, drawn by chance.
func (c *crowd) call(rnd *rand.Rand, b *bench) {
	plan := bySlot("customers", "name", typeText)
	whole := func(v store.View) error {
		rows, err := v.Find(b.ctx, query.Query{Plan: plan, Args: []value.Value{of("crowd")}})
		if err != nil {
			return err
		}
		var sum int64
		for _, rec := range rows {
			sum += rec.Get("wallet").Int()
		}
		if sum != crowdWallets*crowdMoney {
			b.Errorf("a view adds up to %d, want %d", sum, crowdWallets*crowdMoney)
		}
		return nil
	}
	from, to := rnd.IntN(crowdWallets), rnd.IntN(crowdWallets-1)
	if to >= from {
		to++
	}
	n := 1 + rnd.Int64N(40)
	kind, looks := rnd.IntN(5), rnd.IntN(3)
	if kind == 4 {
		if err := b.Read(b.ctx, whole); err != nil {
			b.Errorf("read: %v", err)
		}
		return
	}
	_, err := b.write(journal.Origin{Operation: fmt.Sprint("crowd", kind)},
		func(tx store.Tx) error {
			if looks == 1 {
				if err := whole(tx); err != nil {
					return err
				}
			}
			if err := c.act(tx, b, kind, c.wallets[from], c.wallets[to], n); err != nil {
				return err
			}
			if looks == 2 {
				return whole(tx)
			}
			return nil
		})
	switch {
	case err == nil && kind == 3:
		c.counted.Add(1)
	case err == nil:
		c.kept.Add(1)
	case !fault.Is(err, fault.Invalid) && !fault.Is(err, fault.Refused):
		b.Errorf("kind %d: %v", kind, err)
	}
}

func (c *crowd) act(
	tx store.Tx, b *bench, kind int, from, to ident.Record, n int64,
) error {
	switch kind {
	case 0: // by what was read
		return b.move(tx, from, to, n)
	case 1, 2: // by operators, in one order or the other
		steps := []func() error{
			func() error {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", from, "version",
					nil, "wallet", b.add(-n)))
				return err
			},
			func() error {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", to, "version", nil,
					"wallet", b.add(n)))
				return err
			},
		}
		if kind == 2 {
			slices.Reverse(steps)
		}
		return errors.Join(steps[0](), steps[1]())
	default: // what is quiet
		rec, err := tx.Get(b.ctx, "leases", c.lease)
		if err != nil {
			return err
		}
		rec.Set("count", value.OfInt(rec.Get("count").Int()+1))
		_, err = tx.Put(b.ctx, "leases", rec)
		return err
	}
}

// run lets the crowd go and asks what it left.
func (c *crowd) run(people, each int) {
	const seed = 20261121
	c.Logf("seed %d", seed)
	before := len(c.entries())
	var calls sync.WaitGroup
	for w := range people {
		calls.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for range each {
				c.call(rnd, c.handles[w%len(c.handles)])
			}
		})
	}
	calls.Wait()
	for _, b := range c.handles {
		b.is(b.get("leases", c.lease).Get("count").Int(), c.counted.Load())
		b.is(len(b.entries()), int64(before)+c.kept.Load())
	}
}

func moneyInACrowd(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.crowd().run(12, 60)
}

// acknowledgedIsSeen reads back at once what was just written, by a call that looks
// and by a read, while others write.
func acknowledgedIsSeen(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	var calls sync.WaitGroup
	for w := range 8 {
		calls.Go(func() {
			id := ident.NewRecord()
			_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", id, "name",
					fmt.Sprint(w), "wallet", 0))
				return err
			})
			for n := int64(1); n <= 40 && err == nil; n++ {
				seen := func(v store.View) error {
					rec, err := v.Get(b.ctx, "customers", id)
					if err == nil && rec.Get("wallet").Int() != n-1 {
						b.Errorf("%d was acknowledged, the next sees %d", n-1,
							rec.Get("wallet").Int())
					}
					return err
				}
				if err = b.Read(b.ctx, seen); err != nil {
					break
				}
				_, err = b.write(journal.Origin{Operation: fmt.Sprint("next", n%3)},
					func(tx store.Tx) error {
						if err := seen(tx); err != nil {
							return err
						}
						_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", id,
							"version", n, "wallet", n))
						return err
					})
			}
			if err != nil {
				b.Errorf("write: %v", err)
			}
		})
	}
	calls.Wait()
}

// peer opens the place once more. A database that one process holds refuses that by
// name; then there is nobody beside the first handle, and it is returned itself.
func (b *bench) peer(p Place) *bench {
	b.Helper()
	s, err := p(Faults{})
	if err != nil {
		if !strings.Contains(err.Error(), "another galley (process") {
			b.Fatalf("open a second handle: %v", err)
		}
		b.Logf("one process holds the database: %v", err)
		return b
	}
	other := &bench{Report: b.Report, Store: s, ctx: b.ctx, end: func() {}}
	other.patience.Store(int64(patienceMax))
	return other
}

// leave closes the handle if it is not the first.
func (b *bench) leave(first *bench) {
	if b != first {
		b.others.Wait()
		b.ok(b.Store.Close())
	}
}

// twoHandles lets a crowd work at two handles, with followers at both.
func twoHandles(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	c := b.crowd(other)
	begin := b.entries()
	last := begin[len(begin)-1].Seq
	heard := make([][]journal.Seq, 2)
	var followers sync.WaitGroup
	const marker = "the last"
	for i, h := range []*bench{b, other} {
		followers.Go(func() {
			for e, err := range h.Follow(b.ctx, last) {
				if err != nil {
					b.Errorf("follow: %v", err)
					return
				}
				heard[i] = append(heard[i], e.Seq)
				if e.Origin.Operation == marker {
					return
				}
			}
		})
	}
	c.run(12, 40)
	_, err := other.customer(journal.Origin{Operation: marker}, "last")
	b.ok(err)
	followers.Wait()
	var want []journal.Seq
	for _, e := range b.entries()[len(begin):] {
		want = append(want, e.Seq)
	}
	b.is(heard[0], want)
	b.is(heard[1], want)
	// What one acknowledged, the other sees.
	id := b.product("relay", 0)
	for n := range 20 {
		h := []*bench{b, other}[n%2]
		h.must(func(tx store.Tx) error {
			rec, err := tx.Get(b.ctx, "products", id)
			if err != nil {
				return err
			}
			b.is(rec.Get("stock").Int(), n)
			_, err = tx.Put(b.ctx, "products", b.record("products", "id", id, "version", n+1,
				"stock", n+1))
			return err
		})
		b.is([]*bench{other, b}[n%2].get("products", id).Get("stock").Int(), n+1)
	}
	// What one sees while the other commits, holds when it is committed.
	for n := range 6 {
		add := func(h *bench, now func()) func(store.Tx) error {
			return func(tx store.Tx) error {
				rec, err := tx.Get(b.ctx, "products", id)
				if err != nil {
					return err
				}
				now()
				_, err = tx.Put(b.ctx, "products", h.record("products", "id", id, "version", nil,
					"stock", rec.Get("stock").Int()+1))
				return err
			}
		}
		o := b.beside(func() {
			if _, err := other.write(other.fresh(), add(other, func() {})); err != nil {
				b.Errorf("write: %v", err)
			}
		})
		_, err := b.write(b.fresh(), add(b, o.now))
		o.wait()
		b.ok(err)
		b.is(b.get("products", id).Get("stock").Int(), 20+2*(n+1))
	}
}

// keyAtTwoHandles sends each call to both handles at once, and again.
func keyAtTwoHandles(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	before := len(b.entries())
	const keys, times = 10, 6
	var calls sync.WaitGroup
	var first atomic.Int64
	var mu sync.Mutex
	places := map[string]journal.Seq{}
	for n := range keys * times {
		h, key := []*bench{b, other}[n%2], fmt.Sprint("key", n/times)
		calls.Go(func() {
			e, err := h.customer(journal.Origin{Key: key}, key)
			for fault.Is(err, fault.Conflict) {
				e, err = h.customer(journal.Origin{Key: key}, key)
			}
			if err != nil {
				b.Errorf("write: %v", err)
				return
			}
			if !e.Replayed {
				first.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			if at, ok := places[key]; ok && at != e.Seq {
				b.Errorf("%s has the places %v and %v", key, at, e.Seq)
			}
			places[key] = e.Seq
		})
	}
	calls.Wait()
	b.is(first.Load(), keys)
	b.is(len(b.find(all("customers"))), keys)
	b.is(len(other.entries()), before+keys)
	_, err := other.write(journal.Origin{Key: "no"}, func(store.Tx) error {
		return fault.WithCode(fault.Refused, "sold_out", "Sold out.")
	})
	b.want(err, fault.Refused, "sold_out")
	_, err = b.write(journal.Origin{Key: "no"}, func(store.Tx) error { return nil })
	b.want(err, fault.Refused, "sold_out")
}

// shapesReachTheOther changes the shape of the records at one handle.
func shapesReachTheOther(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	b.put("customers", "name", "ana", "wallet", 1)
	next := b.clone()
	text := value.Type{Kind: value.TypeString, Optional: true}
	reshaped(next.Table("customers"), func(f []value.Field) []value.Field {
		return append(f, value.Field{Name: "nick", Type: text})
	})
	e, err := b.apply(adopt(next, spec.Step{Kind: spec.AddField, Collection: "customers",
		Field: "nick", Type: &text}))
	b.ok(err)
	// Who has heard of the entry knows the shape.
	for heard, err := range other.Follow(b.ctx, journal.Seq{}) {
		b.ok(err)
		if heard.Seq == e.Seq {
			break
		}
	}
	other.put("customers", "name", "bob", "wallet", 1, "nick", "b")
	for _, h := range []*bench{b, other} {
		found := h.find(bySlot("customers", "nick", text), of("b"))
		b.is(len(found), 1)
		b.is(len(h.find(all("customers"))), 2)
	}
}
