package storetest

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Calls whose steps are drawn by chance run beside each other at two handles, and each
// keeps what it saw; now and then a commit fails, and its calls come again. Then the same
// steps are taken call by call, in the order of the journal: each must see the same again.
// Every step may write what others look at.

const (
	chanceWorkers = 6
	chanceCalls   = 30
	chanceSteps   = 6
	chanceNames   = 3
)

// chanceCall is a call with the seed of its steps.
type chanceCall struct {
	seed uint64
	seq  journal.Seq
	// saw is what its last run saw, code how it ended.
	saw  []string
	code string
}

// chance knows the ids that calls draw from.
type chance struct{ ids map[string][]ident.Record }

func aCrowdOfChance(r Report, p Place) {
	var failing atomic.Bool
	var commits atomic.Int64
	b := start(r, p, Faults{Before: func() error { // of the first handle
		if failing.Load() && commits.Add(1)%9 == 0 {
			return errBoom
		}
		return nil
	}})
	defer b.close()
	other := b.peer(p)
	defer other.leave(b)
	seed := rand.Uint64()
	b.Logf("seed %d", seed)
	// An id of this very moment is taken for a new one.
	long, ids := time.Now().Add(-time.Hour), rand.New(rand.NewPCG(seed, 2))
	c := &chance{ids: map[string][]ident.Record{}}
	for _, t := range b.Schema().Collections {
		for range chanceNames {
			c.ids[t.Name] = append(c.ids[t.Name], ident.RecordAt(long, ids, len(c.ids[t.Name])))
		}
	}
	failing.Store(true)
	var mu sync.Mutex
	var calls []*chanceCall
	var workers sync.WaitGroup
	for w := range uint64(chanceWorkers) {
		h := []*bench{b, other}[w%2]
		workers.Go(func() {
			for n := range uint64(chanceCalls) {
				call := &chanceCall{seed: seed + w<<32 + n}
				c.run(h, call, journal.Origin{Operation: fmt.Sprint("chance", n%5),
					Key: fmt.Sprint(call.seed)})
				mu.Lock()
				calls = append(calls, call)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	failing.Store(false)
	slices.SortFunc(calls, func(x, y *chanceCall) int { return x.seq.Compare(y.seq) })
	b.clear()
	for n, call := range calls {
		if call.seq == (journal.Seq{}) {
			b.Errorf("a call with a key ended with %s and has no place", call.code)
			continue
		}
		for _, dry := range []bool{true, false} {
			again := &chanceCall{seed: call.seed}
			c.run(b, again, journal.Origin{Operation: "again", DryRun: dry,
				Key: fmt.Sprint("again", n)})
			if !slices.Equal(again.saw, call.saw) || again.code != call.code {
				b.Errorf("call %d (%d), taken for itself (dry %v), saw\n%s %s\nand before\n%s %s", n,
					call.seed, dry, strings.Join(again.saw, "\n"), again.code,
					strings.Join(call.saw, "\n"), call.code)
				return
			}
		}
	}
	b.whole()
}

// clear deletes every record.
func (b *bench) clear() {
	b.Helper()
	b.must(func(tx store.Tx) error {
		for _, name := range []string{"order_items", "orders", "products", "customers", "folders",
			"leases"} {
			rows, err := tx.Find(b.ctx, query.Query{Plan: all(name)})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if err := tx.Delete(b.ctx, name, idOf(r)); err != nil && !fault.Is(err, fault.NotFound) {
					return err
				}
			}
		}
		return nil
	})
}

// run makes the call until it is committed, and notes what it saw and how it ended.
func (c *chance) run(b *bench, call *chanceCall, o journal.Origin) {
	e, err := c.write(b, call, o)
	for fault.Is(err, fault.Unavailable) && b.ctx.Err() == nil {
		e, err = c.write(b, call, o)
	}
	call.seq, call.code = e.Seq, codeOf(err)
	switch {
	case err != nil && call.code != "no":
		b.Errorf("a call of chance: %v", err)
	case e.Replayed:
		b.Errorf("a call of which nothing was written, as was said, stands at %v", e.Seq)
	}
}

func (c *chance) write(
	b *bench, call *chanceCall, o journal.Origin,
) (journal.Entry, error) {
	return b.Write(b.ctx, o, func(tx store.Tx) error {
		call.saw = nil
		rnd := rand.New(rand.NewPCG(call.seed, 1))
		for range 1 + rnd.IntN(chanceSteps) {
			what, saw, err := c.step(b, tx, rnd)
			if err != nil {
				return err
			}
			call.saw = append(call.saw, what+": "+saw)
			runtime.Gosched()
		}
		if rnd.IntN(5) == 0 {
			return fault.WithCode(fault.Refused, "no", "No.")
		}
		return nil
	})
}

// step takes one step, and tells what it was and what it saw.
func (c *chance) step(b *bench, tx store.Tx, rnd *rand.Rand) (what, saw string, err error) {
	collection := []string{"customers", "products", "products", "orders", "order_items",
		"folders", "leases"}[rnd.IntN(7)]
	one := func(collection string) ident.Record {
		return c.ids[collection][rnd.IntN(chanceNames)]
	}
	id := one(collection)
	kind := rnd.IntN(8)
	what = fmt.Sprint([]string{"get", "find", "find", "new", "new", "over", "over",
		"delete"}[kind], " ", collection, " ", slices.Index(c.ids[collection], id))
	var r value.Record
	switch kind {
	case 0:
		r, err = tx.Get(b.ctx, collection, id)
	case 1, 2:
		saw, err = c.find(b, tx, rnd, collection)
	case 3, 4:
		r, err = tx.Put(b.ctx, collection, b.record(collection, append(c.pairs(rnd, collection, one),
			"id", id)...))
	case 5, 6:
		pairs := c.pairs(rnd, collection, one)
		n := 2 * rnd.IntN(len(pairs)/2)
		r, err = tx.Put(b.ctx, collection, b.record(collection, append(pairs[n:n+2:n+2], "id", id,
			"version", nil)...))
	default:
		err = tx.Delete(b.ctx, collection, id)
	}
	if err != nil {
		saw, err = said(err)
	} else if !r.Zero() {
		saw = c.text(r)
	}
	return what, saw, err
}

// pairs are values for a record of a collection.
func (c *chance) pairs(
	rnd *rand.Rand, collection string, one func(collection string) ident.Record,
) []any {
	name := fmt.Sprint("n", rnd.IntN(chanceNames))
	number := rnd.IntN(4)
	var maybe any
	switch collection {
	case "customers":
		return []any{"name", name, "wallet", number}
	case "products":
		return []any{"sku", name, "title", fmt.Sprint("t", rnd.IntN(2)), "stock", number, "open",
			true}
	case "orders":
		return []any{"customer", one("customers"), "total", number}
	case "order_items":
		if rnd.IntN(2) == 0 {
			maybe = one("products")
		}
		return []any{"order", one("orders"), "product", maybe, "quantity", number}
	case "folders":
		if rnd.IntN(2) == 0 {
			maybe = one("folders")
		}
		return []any{"name", name, "parent", maybe}
	default:
		return []any{"name", name, "count", number}
	}
}

// chancePlans are the ways to look for records of a collection, by one text.
var chancePlans = map[string][]*query.Plan{
	"customers": {all("customers"), bySlot("customers", "name", typeText),
		{From: "customers", Where: query.Exists{From: "orders", Scope: 1,
			Where: query.Same{L: query.Field{Of: query.Row{Scope: 1}, Collection: "orders",
				Name: "customer", Type: toCustomers}, R: query.Row{}}}}},
	"products": {all("products"), bySlot("products", "sku", typeText)},
	"orders":   {all("orders")},
	"order_items": {all("order_items"), {From: "order_items", Where: query.Same{
		L: query.Field{Of: in("order_items", "product", toProducts), Collection: "products",
			Name: "sku", Type: typeText}, R: query.Param{Type: typeText}}}},
	"folders": {all("folders"), bySlot("folders", "name", typeText)},
	"leases":  {all("leases"), bySlot("leases", "name", typeText)},
}

// find looks for records and tells which there are.
func (c *chance) find(
	b *bench, tx store.Tx, rnd *rand.Rand, collection string,
) (string, error) {
	plans := chancePlans[collection]
	plan := plans[rnd.IntN(len(plans))]
	rows, err := tx.Find(b.ctx, query.Query{Plan: plan, Args: []value.Value{
		value.OfText(fmt.Sprint("n", rnd.IntN(chanceNames)))}})
	var out []string
	for _, r := range rows {
		out = append(out, c.text(r))
	}
	slices.Sort(out)
	return strings.Join(out, " "), err
}

// text is a record without its times.
func (c *chance) text(r value.Record) string {
	out := string(idOf(r)) + " " + string(value.AppendJSON(nil, r.Slots[spec.SlotVersion]))
	for _, v := range r.Slots[spec.SlotFirst:] {
		out += " " + string(value.AppendJSON(nil, v))
	}
	for _, ids := range c.ids {
		for n, id := range ids {
			out = strings.ReplaceAll(out, string(id), fmt.Sprint("#", n))
		}
	}
	return out
}
