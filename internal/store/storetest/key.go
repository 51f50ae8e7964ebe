package storetest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

func (b *bench) customer(o journal.Origin, name string) (journal.Entry, error) {
	return b.write(o, func(tx store.Tx) error {
		rec, err := tx.Put(b.ctx, "customers", b.record("customers", "name", name, "wallet", 1))
		if err == nil {
			tx.Reply(value.OfRecord(rec))
		}
		return err
	})
}

func sameKeySameAnswer(r Report, p Place) {
	b := start(r, p, Faults{})
	first, err := b.customer(journal.Origin{Key: "k"}, "ana")
	b.ok(err)
	want := string(value.AppendJSON(nil, first.Reply))
	for range 3 {
		e, err := b.customer(journal.Origin{Key: "k"}, "ana")
		b.ok(err)
		b.is(e.Replayed, true)
		b.is(e.Seq, first.Seq)
		b.is(e.Reply.Text(), want)
		b.close()
		b = resume(r, p, Faults{})
	}
	defer b.close()
	b.is(len(b.find(all("customers"))), 1)
}

func keyScope(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	ana := ident.Subject{Who: ident.User, ID: ident.NewRecord()}
	other := ana
	other.Session = ident.NewRecord()
	for n, o := range []journal.Origin{
		{Key: "k"}, {Key: "k", Subject: ana}, {Key: "k", Operation: "other"}, {Key: "l"},
	} {
		e, err := b.customer(o, "x")
		b.ok(err)
		b.is(e.Replayed, false)
		b.is(len(b.find(all("customers"))), n+1)
	}
	e, err := b.customer(journal.Origin{Key: "k", Subject: other}, "x")
	b.ok(err)
	b.is(e.Replayed, true)
}

// vouchedFirst has a record stand for the right to ask, and takes it away and gives it
// back beside calls with and without a key.
func vouchedFirst(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	right := b.put("customers", "name", "the right", "wallet", 1)
	id := ident.Record(right.Slots[spec.SlotID].Text())
	ctx, asked, called := b.ctx, 0, 0
	b.ctx = store.Vouching(ctx, func(ctx context.Context, v store.View) error {
		asked++
		rec, err := v.Get(ctx, "customers", id)
		if err == nil && rec.Get("wallet").Int() == 0 {
			err = fault.New(fault.Unauthenticated, "the right is taken away")
		}
		return err
	})
	call := func(o journal.Origin, name string) (journal.Entry, error) {
		called = 0
		return b.write(o, func(tx store.Tx) error {
			called++
			_, err := tx.Put(ctx, "customers", b.record("customers", "name", name, "wallet", 1))
			return err
		})
	}
	grant := func(n int) {
		may := b.ctx
		b.ctx = ctx
		defer func() { b.ctx = may }()
		b.must(func(tx store.Tx) error {
			rec := b.record("customers", "wallet", n)
			rec.Slots[spec.SlotID] = value.OfText(string(id))
			rec.Slots[spec.SlotVersion] = value.OfNull()
			_, err := tx.Put(ctx, "customers", rec)
			return err
		})
	}
	done, err := call(journal.Origin{Key: "done"}, "ana")
	b.ok(err)
	b.is(asked > 0, true)
	grant(0)
	head := len(b.entries())
	for _, o := range []journal.Origin{
		{}, {Key: "new"}, {Key: "done"}, {Key: "done", Fingerprint: journal.Fingerprint{1}},
		{Key: "dry", DryRun: true},
	} {
		e, err := call(o, "bob")
		b.want(err, fault.Unauthenticated, "unauthenticated")
		b.is(e.Replayed, false)
		b.is(called, 0)
	}
	b.is(len(b.entries()), head)
	grant(1)
	e, err := call(journal.Origin{Key: "done"}, "ana")
	b.ok(err)
	b.is(e.Replayed, true)
	b.is(e.Seq, done.Seq)
	for _, o := range []journal.Origin{{}, {Key: "new"}} {
		e, err = call(o, "bob")
		b.ok(err)
		b.is(e.Replayed, false)
	}
}

func otherInput(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	_, err := b.customer(journal.Origin{Key: "k", Fingerprint: journal.Fingerprint{1}}, "ana")
	b.ok(err)
	_, err = b.customer(journal.Origin{Key: "k", Fingerprint: journal.Fingerprint{2}}, "bob")
	b.want(err, fault.Invalid, "idempotency_key_reused")
	b.is(len(b.find(all("customers"))), 1)
}

func refusalIsKept(r Report, p Place) {
	b := start(r, p, Faults{})
	for _, kind := range []fault.Kind{fault.Refused, fault.Exists, fault.NotFound} {
		o := journal.Origin{Key: kind.String(), Operation: "act"}
		no := &fault.Fault{Kind: kind, Code: "empty_wallet", Message: "There is nothing in it.",
			Data: []fault.Param{{Name: "needed", Value: int64(7)}, {Name: "of", Value: "x"},
				{Name: "rate", Value: 0.5}, {Name: "open", Value: false}}}
		e, err := b.write(o, func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "x", "wallet", 1))
			if err != nil {
				return err
			}
			return no
		})
		b.want(err, kind, "empty_wallet")
		b.is(len(e.Changes), 0)
		b.close()
		b = resume(r, p, Faults{})
		e, err = b.write(o, func(store.Tx) error {
			b.Errorf("the call ran again")
			return nil
		})
		got := b.want(err, kind, "empty_wallet")
		b.is(e.Replayed, true)
		b.is(got.Message, no.Message)
		b.is(fmt.Sprintf("%#v", got.Data), fmt.Sprintf("%#v", no.Data))
		b.is(len(b.find(all("customers"))), 0)
	}
	b.close()
}

func othersAreNotKept(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for _, kind := range []fault.Kind{fault.Internal, fault.Invalid, fault.Denied,
		fault.Stale, fault.Timeout} {
		o := journal.Origin{Key: kind.String()}
		_, err := b.write(o, func(store.Tx) error { return fault.New(kind, "no") })
		b.want(err, kind, "")
		e, err := b.customer(o, "x")
		b.ok(err)
		b.is(e.Replayed, false)
	}
}

func secretIsNotKept(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	o := journal.Origin{Key: "k", Secret: true}
	e, err := b.customer(o, "ana")
	b.ok(err)
	b.is(e.Reply.Kind(), value.Object)
	_, err = b.customer(o, "ana")
	b.want(err, fault.Conflict, "reply_not_kept")
	all := b.entries()
	b.is(all[len(all)-1].Reply.Kind(), value.Absent)
}

func keyIsFreed(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	day := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		days     int
		replayed bool
	}{{0, false}, {13, true}, {14, false}, {27, true}, {28, false}} {
		e, err := b.customer(journal.Origin{Key: "k", Now: day.AddDate(0, 0, c.days)}, "ana")
		b.ok(err)
		if e.Replayed != c.replayed {
			b.Errorf("after %d days: got replayed %v, want %v", c.days, e.Replayed, c.replayed)
		}
	}
}

func equalCallsAtOnce(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	before := len(b.entries())
	var replayed atomic.Int64
	var calls sync.WaitGroup
	for n := range 100 {
		calls.Go(func() {
			e, err := b.write(journal.Origin{Key: fmt.Sprint(n % 4)}, func(tx store.Tx) error {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "x", "wallet", 1))
				return err
			})
			if err != nil {
				b.Errorf("write: %v", err)
			}
			if e.Replayed {
				replayed.Add(1)
			}
		})
	}
	calls.Wait()
	b.is(replayed.Load(), 96)
	b.is(len(b.entries()), before+4)
	b.is(len(b.find(all("customers"))), 4)
}

// inFlight lets a call wait until its time runs out, and another until the first has
// ended.
func inFlight(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	inside, leave := make(chan struct{}), make(chan struct{})
	enter := sync.OnceFunc(func() { close(inside) })
	var calls sync.WaitGroup
	calls.Go(func() {
		_, err := b.write(journal.Origin{Key: "k"}, func(tx store.Tx) error {
			enter()
			<-leave
			tx.Reply(value.OfInt(7))
			return nil
		})
		if err != nil {
			b.Errorf("write: %v", err)
		}
	})
	<-inside
	_, err := b.customer(journal.Origin{Key: "k"}, "x")
	f := b.want(err, fault.Conflict, "in_progress")
	b.is(f.RetryAfter, 1)
	calls.Go(func() {
		e, err := b.customer(journal.Origin{Key: "k"}, "x")
		if err != nil || !e.Replayed || e.Reply.Text() != "7" {
			b.Errorf("got %v %v %v, want the first call's answer", e.Reply, e.Replayed, err)
		}
	})
	close(leave)
	calls.Wait()
}
