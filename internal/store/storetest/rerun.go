package storetest

import (
	"context"
	"fmt"
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

// rerun runs a call whose record is changed by another after its first look, so that
// a store that runs calls beside each other runs it again. fn gets the run's number.
func (b *bench) rerun(
	ctx context.Context, o journal.Origin, id ident.Record, fn func(tx store.Tx, run int) error,
) (outcome, int) {
	b.Helper()
	other := b.beside(func() {
		_, err := b.write(b.fresh(), func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
				"stock", b.add(1)))
			return err
		})
		if err != nil {
			b.Errorf("the other: %v", err)
		}
	})
	runs := 0
	var out outcome
	out.entry, out.err = b.Write(ctx, o, func(tx store.Tx) error {
		runs++
		if _, err := tx.Get(ctx, "products", id); err != nil {
			return err
		}
		other.now()
		return fn(tx, runs)
	})
	other.wait()
	return out, runs
}

func lastRunCounts(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 8 {
		id := b.product(fmt.Sprint("p", n), 1)
		o := b.fresh()
		o.Key = fmt.Sprint("k", n)
		out, runs := b.rerun(b.ctx, o, id, func(tx store.Tx, run int) error {
			b.is(len(tx.Changes()), 0)
			b.ok(tx.Intend(b.ctx, journal.Intent{Kind: "email", Name: fmt.Sprint(run),
				Payload: value.OfInt(int64(run))}))
			_, err := tx.Put(b.ctx, "customers", b.record("customers", "name",
				fmt.Sprint("run", n, ".", run), "wallet", run))
			if err != nil {
				return err
			}
			_, err = tx.Put(b.ctx, "leases", b.record("leases", "name", fmt.Sprint("run", n),
				"count", run))
			if run == 1 || n%2 == 0 {
				tx.Reply(value.OfInt(int64(run)))
			}
			return err
		})
		b.ok(out.err)
		b.is(len(out.entry.Intents), 1)
		b.is(out.entry.Intents[0].Name, runs)
		b.is(len(out.entry.Changes), 1)
		b.is(out.entry.Changes[0].After.Get("wallet").Int(), runs)
		if runs > 1 && n%2 == 1 {
			b.is(out.entry.Reply.Kind(), value.Absent)
		} else {
			b.is(out.entry.Reply.Int(), runs)
		}
		b.is(len(b.find(bySlot("leases", "name", typeText), of(fmt.Sprint("run", n)))), 1)
		kept, err := b.EntryOf(b.ctx, out.entry.Origin.Call)
		if out.entry.Origin.Call != "" {
			b.ok(err)
			b.is(len(kept.Intents), 1)
		}
	}
	b.is(len(b.find(all("customers"))), 8)
}

// takenLater runs fn in a call that runs again, after a first run that put a unique value
// which is free and a later one which puts one that was taken before the call began. It
// reports false if the store did not run it again.
func (b *bench) takenLater(n int, fn func(tx store.Tx, put value.Record) error) (outcome, bool) {
	b.Helper()
	id := b.product(fmt.Sprint("p", n), 1)
	o := b.fresh()
	if n%2 == 0 {
		o.Key = fmt.Sprint("k", n)
	}
	last := 0
	out, _ := b.rerun(b.ctx, o, id, func(tx store.Tx, run int) error {
		last = run
		sku := fmt.Sprint("free", n)
		if run > 1 {
			sku = "taken"
		}
		put, err := tx.Put(b.ctx, "products", b.record("products", "sku", sku, "title", "t",
			"stock", 1, "open", true))
		if err != nil {
			return err
		}
		return fn(tx, put)
	})
	b.is(b.get("products", id).Get("stock").Int(), 2)
	return out, last > 1
}

// takenForALaterRun has a later run write a unique value that was taken long since.
func takenForALaterRun(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	sku := func(text string) query.Expr {
		return query.Same{L: f("sku", typeText), R: query.Literal{Value: value.OfText(text)}}
	}
	b.product("taken", 1)
	for n := range 6 {
		out, again := b.takenLater(n, func(store.Tx, value.Record) error { return nil })
		if !again {
			b.ok(out.err)
			continue
		}
		said := b.want(out.err, fault.Exists, "already_exists")
		b.is(len(said.Items), 1)
		b.is(said.Items[0].Pointer, "#/sku")
		b.is(b.skus(sku(fmt.Sprint("free", n))), "")
	}
	b.is(b.skus(sku("taken")), "taken")
}

// takenForAWhile has a later run write such a value, of which nothing remains at its end:
// it is told nevertheless that it is taken.
func takenForAWhile(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.product("taken", 1)
	for n := range 6 {
		out, again := b.takenLater(n, func(tx store.Tx, put value.Record) error {
			if n >= 4 {
				return fault.New(fault.Denied, "Nobody has that value, and it is not for you.")
			}
			put.Set("sku", value.OfText(fmt.Sprint("other", n)))
			_, err := tx.Put(b.ctx, "products", put)
			return err
		})
		if again {
			b.want(out.err, fault.Exists, "already_exists")
		}
	}
}

// panicInAnyRun panics in the first run of a call, and in the one after another has
// come between.
func panicInAnyRun(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 8 {
		id := b.product(fmt.Sprint("p", n), 1)
		at := n%2 + 1
		panicked := false
		func() {
			defer func() { panicked = recover() != nil }()
			b.rerun(b.ctx, b.fresh(), id, func(tx store.Tx, run int) error {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "x", "wallet",
					run))
				if run == at {
					panic("boom")
				}
				return err
			})
		}()
		b.others.Wait()
		found := len(b.find(all("customers")))
		if panicked && found != 0 {
			b.Fatalf("a call that panicked left %d records", found)
		}
		if !panicked {
			b.is(at, 2) // the store did not run it again
			b.is(found, 1)
			_, err := b.delete("customers", idOf(b.find(all("customers"))[0]))
			b.ok(err)
		}
		b.is(b.get("products", id).Get("stock").Int(), 2)
	}
}

// errorInAnyRun fails in the first run or in a later one, and catches faults of the
// store's in others.
func errorInAnyRun(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 8 {
		id := b.product(fmt.Sprint("p", n), 1)
		at := n%2 + 1
		var last int
		out, _ := b.rerun(b.ctx, b.fresh(), id, func(tx store.Tx, run int) error {
			last = run
			_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "x", "wallet", run))
			b.ok(err)
			_, err = tx.Put(b.ctx, "leases", b.record("leases", "name", "x", "count", run))
			b.ok(err)
			if run == at {
				return errBoom
			}
			return nil
		})
		kept := 0
		if out.err == nil {
			kept = 1
			if last == at {
				b.Errorf("the last run failed, and the call was kept")
			}
		} else {
			b.is(out.err, errBoom)
			b.is(last, at)
		}
		b.is(len(b.find(all("customers"))), kept)
		b.is(len(b.find(all("leases"))), kept)
		for _, c := range []string{"customers", "leases"} {
			for _, rec := range b.find(all(c)) {
				_, err := b.delete(c, idOf(rec))
				b.ok(err)
			}
		}
	}
}

// contextEnds ends a call's context in the middle of its first run or of a later one:
// it is told of the timeout, and nothing of it is kept.
func contextEnds(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 8 {
		id := b.product(fmt.Sprint("p", n), 1)
		ctx, stop := context.WithCancel(b.ctx)
		at, ended := n%2+1, false
		o := b.fresh()
		o.Key = "k"
		out, _ := b.rerun(ctx, o, id, func(tx store.Tx, run int) error {
			_, err := tx.Put(ctx, "customers", b.record("customers", "name", "x", "wallet", run))
			if run == at {
				ended = true
				stop()
				if n%4 < 2 {
					_, err = tx.Get(ctx, "products", id)
					b.want(err, fault.Timeout, "")
				}
				return nil
			}
			return err
		})
		stop()
		kept := len(b.find(all("customers")))
		if ended {
			b.want(out.err, fault.Timeout, "")
			b.is(kept, 0)
		} else {
			b.ok(out.err)
			b.is(kept, 1)
		}
		e, err := b.customer(o, "again")
		b.ok(err)
		b.is(e.Replayed, !ended)
		for _, rec := range b.find(all("customers")) {
			_, err := b.delete("customers", idOf(rec))
			b.ok(err)
		}
	}
}

// dryRunBeside runs calls that are not kept while others move money: each sees one
// state, and nothing stays of it.
func dryRunBeside(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	var ids [4]ident.Record
	for i := range ids {
		ids[i] = idOf(b.put("customers", "name", "x", "wallet", 100))
	}
	before := len(b.entries())
	var calls sync.WaitGroup
	var kept atomic.Int64
	for w := range 8 {
		calls.Go(func() {
			for n := range 20 {
				dry := w%2 == 0
				_, err := b.write(journal.Origin{Operation: "move", DryRun: dry},
					func(tx store.Tx) error {
						from, to := ids[(w+n)%4], ids[(w+n+1)%4]
						if err := b.move(tx, from, to, 1); err != nil {
							return err
						}
						return b.sums(tx, ids[:], 400)
					})
				if err != nil && !fault.Is(err, fault.Invalid) {
					b.Errorf("write: %v", err)
				}
				if err == nil && !dry {
					kept.Add(1)
				}
			}
		})
	}
	calls.Wait()
	b.is(len(b.entries()), int64(before)+kept.Load())
}

// move takes from one wallet and gives to another.
func (b *bench) move(tx store.Tx, from, to ident.Record, n int64) error {
	for _, m := range []struct {
		id ident.Record
		n  int64
	}{{from, -n}, {to, n}} {
		rec, err := tx.Get(b.ctx, "customers", m.id)
		if err != nil {
			return err
		}
		rec.Set("wallet", value.OfInt(rec.Get("wallet").Int()+m.n))
		if _, err = tx.Put(b.ctx, "customers", rec); err != nil {
			return err
		}
	}
	return nil
}

// sums asks that the wallets add up.
func (b *bench) sums(v store.View, ids []ident.Record, want int64) error {
	var sum int64
	for _, id := range ids {
		rec, err := v.Get(b.ctx, "customers", id)
		if err != nil {
			return err
		}
		sum += rec.Get("wallet").Int()
	}
	if sum != want {
		b.Errorf("a view adds up to %d, want %d", sum, want)
	}
	return nil
}

// schemaBetween changes the shape of what a call has read and written before it is
// committed.
func schemaBetween(r Report, p Place) {
	text := value.Type{Kind: value.TypeString, Optional: true}
	for name, alter := range map[string]func(b *bench) []spec.Step{
		"drop": func(b *bench) []spec.Step {
			next := b.without("leases")
			return adopt(next, spec.Step{Kind: spec.DropCollection, Collection: "leases"})
		},
		"unique": func(b *bench) []spec.Step {
			next := b.clone()
			next.Table("leases").Unique = [][]string{{"name"}}
			return adopt(next, spec.Step{Kind: spec.ChangeIndexes, Collection: "leases"})
		},
		"field": func(b *bench) []spec.Step {
			next := b.clone()
			reshaped(next.Table("leases"), func(f []value.Field) []value.Field {
				return append(f, value.Field{Name: "more", Type: text})
			})
			return adopt(next, spec.Step{Kind: spec.AddField, Collection: "leases", Field: "more",
				Type: &text})
		},
		"rename": func(b *bench) []spec.Step {
			next := b.clone()
			reshaped(next.Table("leases"), func(f []value.Field) []value.Field {
				f[spec.SlotFirst].Name = "label"
				return f
			})
			return adopt(next, spec.Step{Kind: spec.RenameField, Collection: "leases",
				Field: "label", From: "name"})
		},
	} {
		for _, early := range []bool{true, false} {
			b := start(r, p, Faults{})
			b.between(name, early, alter(b))
			// Back to the first shape, for the next.
			if b.Schema().Table("leases") != nil {
				_, err := b.apply(adopt(b.without("leases"), spec.Step{Kind: spec.DropCollection,
					Collection: "leases"}))
				b.ok(err)
			}
			next := b.clone()
			next.Collections = append(next.Collections, shop().Table("leases"))
			_, err := b.apply(adopt(next, spec.Step{Kind: spec.AddCollection,
				Collection: "leases"}))
			b.ok(err)
			b.close()
		}
	}
}

// between applies the steps inside a call that reads and writes leases.
func (b *bench) between(name string, early bool, steps []spec.Step) {
	var applied error
	old := b.put("leases", "name", "x", "count", 1)
	put := b.record("leases", "name", "x", "count", 2)
	o := b.beside(func() { _, applied = b.apply(steps) })
	var entry journal.Entry
	entry, err := b.write(b.fresh(), func(tx store.Tx) error {
		if early {
			o.now()
		}
		if _, err := tx.Get(b.ctx, "leases", idOf(old)); err != nil {
			return err
		}
		if _, err := tx.Put(b.ctx, "leases", put.Clone()); err != nil {
			return err
		}
		if _, err := tx.Put(b.ctx, "folders", b.record("folders", "name", name)); err != nil {
			return err
		}
		if !early {
			o.now()
		}
		return nil
	})
	o.wait()
	switch {
	case name == "unique" && applied == nil && err == nil:
		b.Errorf("%s (early %v): two of what there may be one of", name, early)
	case name == "unique" && applied != nil:
		b.want(applied, fault.Invalid, "")
		b.ok(err)
	case applied != nil:
		b.Errorf("%s (early %v): the shape did not change: %v", name, early, applied)
	case name == "field" && err != nil:
		b.Errorf("%s (early %v): the call ended with %v", name, early, err)
	case err != nil && entry.Seq != journal.Seq{}:
		b.Errorf("%s (early %v): an entry and %v", name, early, err)
	}
	for _, rec := range b.find(all("folders")) {
		if err != nil {
			b.Errorf("%s (early %v): a call that failed left %s", name, early, print(rec))
		}
		_, err := b.delete("folders", idOf(rec))
		b.ok(err)
	}
	if b.Schema().Table("leases") != nil {
		b.find(all("leases"))
	}
}

// failedCommitAmongMany lets commits fail under many writers: each is told the truth,
// and those after see nothing of those that failed.
func failedCommitAmongMany(r Report, p Place) {
	var armed atomic.Bool
	var commits atomic.Int64
	b := start(r, p, Faults{Before: func() error {
		if armed.Load() && commits.Add(1)%3 == 0 {
			return errBoom
		}
		return nil
	}})
	defer b.close()
	id := b.product("p", 0)
	before := len(b.entries())
	armed.Store(true)
	var calls sync.WaitGroup
	var kept, lost atomic.Int64
	for w := range 16 {
		calls.Go(func() {
			for n := range 12 {
				_, err := b.write(journal.Origin{Operation: fmt.Sprint("add", w%4)},
					func(tx store.Tx) error {
						rec, err := tx.Get(b.ctx, "products", id)
						if err != nil {
							return err
						}
						rec.Set("stock", value.OfInt(rec.Get("stock").Int()+1))
						if _, err = tx.Put(b.ctx, "products", rec); err != nil {
							return err
						}
						_, err = tx.Put(b.ctx, "products", b.record("products", "sku",
							fmt.Sprint(w, ".", n), "title", "t", "stock", 1, "open", true))
						return err
					})
				switch {
				case err == nil:
					kept.Add(1)
				case fault.Is(err, fault.Unavailable):
					lost.Add(1)
				default:
					b.Errorf("write: %v", err)
				}
			}
		})
	}
	calls.Wait()
	armed.Store(false)
	if lost.Load() == 0 {
		b.Errorf("no commit failed")
	}
	b.is(b.get("products", id).Get("stock").Int(), kept.Load())
	b.is(len(b.entries()), int64(before)+kept.Load())
	b.is(len(b.find(all("products"))), kept.Load()+1)
}
