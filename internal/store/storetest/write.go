package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const writers, perWriter = 16, 40

// followSeesAll follows from two places while many write.
func followSeesAll(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("one", 0)
	begin := b.entries()[len(b.entries())-1].Seq
	var followers, calls sync.WaitGroup
	seen := make([][]journal.Entry, 2)
	for i := range seen {
		followers.Go(func() {
			for e, err := range b.Follow(b.ctx, begin) {
				if err != nil {
					b.Errorf("follow: %v", err)
					return
				}
				if seen[i] = append(seen[i], e); len(seen[i]) == writers*perWriter {
					return
				}
			}
		})
	}
	for range writers {
		calls.Go(func() {
			for range perWriter {
				_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
					_, err := tx.Put(b.ctx, "products", b.record("products", "id", id,
						"version", nil, "stock", value.OfOp(value.OpAdd, value.OfInt(1))))
					return err
				})
				if err != nil {
					b.Errorf("write: %v", err)
				}
			}
		})
	}
	calls.Wait()
	followers.Wait()
	for _, entries := range seen {
		b.is(len(entries), writers*perWriter)
		at := begin
		for n, e := range entries {
			if e.Seq.Compare(at) <= 0 {
				b.Fatalf("entry %v after %v", e.Seq, at)
			}
			at = e.Seq
			b.is(len(e.Changes), 1)
			b.is(e.Changes[0].Before.Get("stock").Int(), n)
			b.is(e.Changes[0].After.Get("stock").Int(), n+1)
		}
	}
	b.is(b.get("products", id).Get("stock").Int(), writers*perWriter)
}

func followEnds(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	n := 0
	for _, err := range b.Follow(ctx, journal.Seq{}) {
		b.ok(err)
		n++
		stop()
	}
	b.is(n, 1)
}

// writesAreSerializable lets many take the last of few: each looks first and writes
// then, and none takes what is not there.
func writesAreSerializable(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("few", 5)
	var taken atomic.Int64
	var calls sync.WaitGroup
	for range 40 {
		calls.Go(func() {
			_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
				rec, err := tx.Get(b.ctx, "products", id)
				if err != nil {
					return err
				}
				if rec.Get("stock").Int() == 0 {
					return fault.WithCode(fault.Refused, "sold_out", "Sold out.")
				}
				rec.Set("stock", value.OfInt(rec.Get("stock").Int()-1))
				_, err = tx.Put(b.ctx, "products", rec)
				return err
			})
			if err == nil {
				taken.Add(1)
			} else if !fault.Is(err, fault.Refused) {
				b.Errorf("write: %v", err)
			}
		})
	}
	calls.Wait()
	b.is(taken.Load(), 5)
	b.is(b.get("products", id).Get("stock").Int(), 0)
}

func failedCallLeavesNothing(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	before := len(b.entries())
	var id ident.Record
	for _, err := range []error{errBoom, fault.New(fault.Denied, "no"),
		fault.New(fault.Refused, "no")} {
		_, got := b.write(journal.Origin{}, func(tx store.Tx) error {
			rec, e := tx.Put(b.ctx, "products", b.record("products", "sku", "x", "title", "t",
				"stock", 1, "open", true))
			b.ok(e)
			id = idOf(rec)
			return err
		})
		b.is(got, err)
		b.is(b.get("products", id).Zero(), true)
	}
	b.is(len(b.entries()), before)
}

// panicLeavesNothing panics among calls of others, which go on.
func panicLeavesNothing(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	var calls sync.WaitGroup
	var panics atomic.Int64
	for n := range 60 {
		calls.Go(func() {
			defer func() {
				if recover() != nil {
					panics.Add(1)
				}
			}()
			_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
				_, err := tx.Put(b.ctx, "products", b.record("products",
					"sku", fmt.Sprint(n), "title", "t", "stock", n, "open", n%3 == 0))
				if n%3 == 0 {
					panic("boom")
				}
				return err
			})
			if err != nil {
				b.Errorf("write: %v", err)
			}
		})
	}
	calls.Wait()
	b.is(panics.Load(), 20)
	b.is(len(b.find(all("products"))), 40)
}

// queuedCallLeaves ends the context of a call while the line is held by another's
// commit: it is told at once, and nothing of it is kept.
func queuedCallLeaves(r Report, p Place) {
	var armed atomic.Bool
	inside, leave := make(chan struct{}), make(chan struct{})
	b := start(r, p, Faults{Before: func() error {
		if armed.Swap(false) {
			close(inside)
			<-leave
		}
		return nil
	}})
	defer b.close()
	armed.Store(true)
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.customer(journal.Origin{}, "first")
		if err != nil {
			b.Errorf("write: %v", err)
		}
	})
	<-inside
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	left := make(chan error)
	go func() {
		_, err := b.Write(ctx, journal.Origin{Operation: "left"}, func(tx store.Tx) error {
			_, err := tx.Put(ctx, "customers", b.record("customers", "name", "left", "wallet", 1))
			return err
		})
		left <- err
	}()
	stop()
	err := <-left
	close(leave)
	calls.Wait()
	b.want(err, fault.Timeout, "")
	b.put("customers", "name", "after", "wallet", 1)
	var names []string
	for _, rec := range b.find(all("customers")) {
		names = append(names, rec.Get("name").Text())
	}
	slices.Sort(names)
	b.is(names, []string{"after", "first"})
}

func dryRunLeavesNothing(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	before := len(b.entries())
	e, err := b.write(journal.Origin{Key: "k", DryRun: true}, func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "ana", "wallet", 5))
		tx.Reply(value.OfText("done"))
		return err
	})
	b.ok(err)
	b.is(len(e.Changes), 1)
	b.is(e.Reply.Text(), "done")
	b.is(b.get("customers", e.Changes[0].ID).Zero(), true)
	b.is(len(b.entries()), before)
	e, err = b.write(journal.Origin{Key: "k"}, func(tx store.Tx) error { return nil })
	b.ok(err)
	b.is(e.Replayed, false)
}

// once returns a hook that fails when it is armed.
func once(armed *atomic.Bool) func() error {
	return func() error {
		if armed.Swap(false) {
			return errBoom
		}
		return nil
	}
}

func errorBeforeCommit(r Report, p Place) {
	var armed atomic.Bool
	b := start(r, p, Faults{Before: once(&armed)})
	defer b.close()
	before := len(b.entries())
	armed.Store(true)
	put := func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "ana", "wallet", 5))
		return err
	}
	_, err := b.write(journal.Origin{Key: "k"}, put)
	b.want(err, fault.Unavailable, "")
	b.is(len(b.entries()), before)
	b.is(len(b.find(all("customers"))), 0)
	e, err := b.write(journal.Origin{Key: "k"}, put)
	b.ok(err)
	b.is(e.Replayed, false)
	b.is(len(b.find(all("customers"))), 1)
}

// errorAfterCommit breaks the answer to a commit. A store that cannot find out says
// so; the retry tells in any case, and a follower hears of it once.
func errorAfterCommit(r Report, p Place) {
	var armed atomic.Bool
	b := start(r, p, Faults{After: once(&armed)})
	before := b.entries()
	armed.Store(true)
	put := func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "ana", "wallet", 5))
		tx.Reply(value.OfText("done"))
		return err
	}
	_, err := b.write(journal.Origin{Key: "k"}, put)
	if err != nil {
		b.want(err, fault.Unknown, "")
	}
	if b.Failure() != nil {
		_, err = b.write(journal.Origin{}, put)
		b.want(err, fault.Unavailable, "")
		b.close()
		b = resume(r, p, Faults{})
	} else if err != nil {
		b.Errorf("the store says nothing of its failure")
	}
	defer b.close()
	e, err := b.write(journal.Origin{Key: "k"}, put)
	b.ok(err)
	b.is(e.Replayed, true)
	b.is(e.Reply.Text(), `"done"`)
	b.is(len(b.find(all("customers"))), 1)
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	for heard, err := range b.Follow(ctx, before[len(before)-1].Seq) {
		b.ok(err)
		b.is(heard.Seq, e.Seq)
		stop()
	}
	b.is(len(b.entries()), len(before)+1)
}

func noEffectNoEntry(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	before := len(b.entries())
	e := b.must(func(tx store.Tx) error { return nil })
	b.is(e.Seq, journal.Seq{})
	var lease value.Record
	e = b.must(func(tx store.Tx) (err error) {
		lease, err = tx.Put(b.ctx, "leases", b.record("leases", "name", "a", "count", 1))
		b.is(len(tx.Changes()), 0)
		return err
	})
	b.is(e.Seq, journal.Seq{})
	b.is(b.get("leases", idOf(lease)).Get("count").Int(), 1)
	b.must(func(tx store.Tx) error {
		rec, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "a", "wallet", 1))
		b.ok(err)
		return tx.Delete(b.ctx, "customers", idOf(rec))
	})
	b.is(len(b.entries()), before)
	b.must(func(tx store.Tx) error {
		return tx.Intend(b.ctx, journal.Intent{Kind: "email", Name: "receipt",
			Payload: value.OfText("x")})
	})
	all := b.entries()
	b.is(len(all), before+1)
	b.is(all[before].Intents[0].Payload.Text(), `"x"`)
}

func entryHoldsTheCall(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	ana := ident.Subject{Who: ident.User, ID: ident.NewRecord()}
	o := journal.Origin{Call: ident.NewCall(), Subject: ana, Operation: "customers.create",
		Key: "k1", Fingerprint: journal.Fingerprint{1, 2, 255}, Door: "rest"}
	var rec value.Record
	first, err := b.write(o, func(tx store.Tx) (err error) {
		rec, err = tx.Put(b.ctx, "customers", b.record("customers", "name", "ana", "wallet", 5))
		tx.Reply(value.OfRecord(rec))
		return err
	})
	b.ok(err)
	got, err := b.EntryOf(b.ctx, o.Call)
	b.ok(err)
	b.is(got.Seq, first.Seq)
	b.is(got.At, first.At)
	b.is(got.Origin, first.Origin)
	b.is(got.Reply.Text(), print(rec))
	b.is(print(got.Changes[0].After), print(rec))
	_, err = b.EntryOf(b.ctx, ident.NewCall())
	b.want(err, fault.NotFound, "")
	b.product("p", 1)
	for name, f := range map[string]store.Filter{
		"record":     {Collection: "customers", Record: idOf(rec)},
		"subject":    {Subject: ana.String()},
		"operation":  {Operation: "customers.create"},
		"collection": {Collection: "customers"},
	} {
		found, err := b.Entries(b.ctx, f, journal.Seq{}, 10)
		b.ok(err)
		if len(found) != 1 || found[0].Seq != first.Seq {
			b.Errorf("by %s: got %d entries", name, len(found))
		}
		found, err = b.Entries(b.ctx, f, first.Seq, 10)
		b.ok(err)
		b.is(len(found), 0)
	}
}

// readersSeeOneState moves money between two while readers add it up.
func readersSeeOneState(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	one := idOf(b.put("customers", "name", "one", "wallet", 500))
	two := idOf(b.put("customers", "name", "two", "wallet", 500))
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			for ctx.Err() == nil {
				err := b.Read(b.ctx, func(v store.View) error {
					x, err := v.Get(b.ctx, "customers", one)
					if err != nil {
						return err
					}
					y, err := v.Get(b.ctx, "customers", two)
					if err != nil {
						return err
					}
					if sum := x.Get("wallet").Int() + y.Get("wallet").Int(); sum != 1000 {
						b.Errorf("got a sum of %d, want 1000", sum)
					}
					return nil
				})
				if err != nil {
					b.Errorf("read: %v", err)
				}
			}
		})
	}
	for range 100 {
		b.must(func(tx store.Tx) error {
			for id, n := range map[ident.Record]int64{one: -1, two: 1} {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", id, "version", nil,
					"wallet", value.OfOp(value.OpAdd, value.OfInt(n))))
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	stop()
	calls.Wait()
}

func closedStoreRefuses(r Report, p Place) {
	b := start(r, p, Faults{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, err := range b.Follow(b.ctx, journal.Seq{}) {
			if err != nil {
				return
			}
		}
	}()
	b.ok(b.Store.Close())
	<-ended
	_, err := b.write(journal.Origin{}, func(store.Tx) error { return nil })
	b.want(err, fault.Unavailable, "")
	b.want(b.Read(b.ctx, func(store.View) error { return nil }), fault.Unavailable, "")
	b.end()
}
