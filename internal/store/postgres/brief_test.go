package postgres

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// Brief reads that come together get each its own answer, the newest one, in fewer round
// trips than there are reads; those whose caller goes away disturb nobody.
func TestBriefReadsShareTheirTrips(t *testing.T) {
	s, shape, trips := served(t)
	const callers, reads = 24, 40
	ids := make([]ident.Record, callers)
	for n := range ids {
		ids[n] = note(t, s, shape, "")
	}
	trips.Store(0)
	var wait sync.WaitGroup
	for n := range callers {
		wait.Go(func() {
			for i := range reads {
				ctx, stop := context.WithCancel(store.Brief(t.Context()))
				if gone := i%8 == 7; gone {
					go stop()
				}
				var got value.Record
				err := s.Read(ctx, func(v store.View) (err error) {
					got, err = v.Get(ctx, "notes", ids[n])
					return err
				})
				switch {
				case err == nil && got.Slots[spec.SlotID].Text() == string(ids[n]):
				case err != nil && ctx.Err() != nil && fault.From(err).Kind == fault.Timeout:
				default:
					t.Errorf("caller %d: got %v, %v", n, got, err)
				}
				stop()
			}
			err := s.Read(store.Brief(t.Context()), func(v store.View) error {
				_, err := v.Get(t.Context(), "notes", ident.NewRecord())
				return err
			})
			if err == nil || fault.From(err).Kind != fault.NotFound {
				t.Errorf("a record that is not there: %v", err)
			}
		})
	}
	wait.Wait()
	if got := trips.Load(); got > callers*reads/2 {
		t.Errorf("%d reads waited %d times", callers*reads, got)
	}
	t.Logf("%d reads, %d round trips", callers*(reads+1), trips.Load())
}

// A brief read that asks for more is asked again, sees one state, and what was written
// before it.
func TestABriefReadMayAskForMore(t *testing.T) {
	s, shape, _ := served(t)
	a, b := note(t, s, shape, ""), note(t, s, shape, "")
	ctx := t.Context()
	both := func(text string) { // both notes say the same at every time
		_, err := s.Write(ctx, journal.Origin{Operation: "both"}, func(tx store.Tx) error {
			for _, id := range []ident.Record{a, b} {
				r, err := tx.Get(ctx, "notes", id)
				if err == nil {
					r.Set("text", value.OfText(text))
					_, err = tx.Put(ctx, "notes", r)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		must(t, err)
	}
	calls := 0
	for n := range 30 {
		text := fmt.Sprint(n)
		both(text)
		var first, second value.Record
		must(t, s.Read(store.Brief(ctx), func(v store.View) (err error) {
			calls++
			if first, err = v.Get(ctx, "notes", a); err != nil {
				return err
			}
			if calls%2 == 1 {
				both(text + " again") // a state between the two questions
			}
			second, err = v.Get(ctx, "notes", b)
			return err
		}))
		if f, s := first.Get("text").Text(), second.Get("text").Text(); f != s {
			t.Fatalf("one view saw %q and %q", f, s)
		}
	}
	nothing := errors.New("nothing was asked")
	if err := s.Read(store.Brief(ctx), func(store.View) error { return nothing }); !errors.Is(
		err, nothing) {
		t.Errorf("got %v", err)
	}
}

// Who asks comes along with the question for the key, as he is in the same state; and he
// counts as read when he was looked at, so that a call that changes him is not lost.
func TestWhoAsksComesAlong(t *testing.T) {
	ctx := t.Context()
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	trips := count(d)
	s, err := open(ctx, d, Config{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	schema := &spec.Schema{Collections: []*spec.Table{storetest.Table(spec.Users,
		value.Field{Name: "wallet", Type: value.Type{Kind: value.TypeInt}})}}
	_, err = s.Apply(ctx, journal.Origin{Operation: "test"}, storetest.Steps(schema), nil)
	must(t, err)
	ana := ident.NewRecord()
	_, err = s.Write(ctx, journal.Origin{Operation: "sign up"}, func(tx store.Tx) error {
		r := value.NewRecord(s.Schema().Table(spec.Users).Shape)
		r.Set(spec.FieldID, value.OfText(string(ana)))
		r.Set("wallet", value.OfInt(0))
		_, err := tx.Put(ctx, spec.Users, r)
		return err
	})
	must(t, err)
	earn := func(key string) {
		_, err := s.Write(ctx, journal.Origin{Operation: "earn", Key: key,
			Subject: ident.Subject{Who: ident.User, ID: ana}}, func(tx store.Tx) error {
			r, err := tx.Get(ctx, spec.Users, ana)
			if err != nil {
				return err
			}
			r.Set("wallet", value.OfInt(r.Get("wallet").Int()+1))
			_, err = tx.Put(ctx, spec.Users, r)
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	alone := int64(0)
	best := fewest(t, trips, 3, func(int) error {
		alone++
		earn(fmt.Sprint("alone", alone))
		return nil
	})
	if best > 3 {
		t.Errorf("a call that looks at who asks waited %d times, want at most 3", best)
	}
	var wait sync.WaitGroup
	for n := range 8 {
		wait.Go(func() {
			for i := range 15 {
				earn(fmt.Sprint("beside", n, " ", i))
			}
		})
	}
	wait.Wait()
	must(t, s.Read(ctx, func(v store.View) error {
		r, err := v.Get(ctx, spec.Users, ana)
		if want := alone + 8*15; err == nil && r.Get("wallet").Int() != want {
			t.Errorf("the wallet holds %d, want %d", r.Get("wallet").Int(), want)
		}
		return err
	}))
}

// A call asks nothing that it knows: not whether a value is free beside a record that it
// makes itself, nor for a record that it has found. What is taken by itself it is told.
func TestACallAsksNothingThatItKnows(t *testing.T) {
	ctx := t.Context()
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	trips := count(d)
	s, err := open(ctx, d, Config{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	lines := storetest.Table("lines",
		value.Field{Name: "order", Type: value.Type{Kind: value.TypeRelation, Of: "orders"}},
		value.Field{Name: "number", Type: value.Type{Kind: value.TypeInt}})
	lines.Unique = [][]string{{"order", "number"}}
	_, err = s.Apply(ctx, journal.Origin{Operation: "test"}, storetest.Steps(&spec.Schema{
		Collections: []*spec.Table{storetest.Table("orders"), lines}}), nil)
	must(t, err)
	put := func(tx store.Tx, collection string, fields map[string]value.Value) (string, error) {
		r := value.NewRecord(s.Schema().Table(collection).Shape)
		for name, v := range fields {
			r.Set(name, v)
		}
		r, err := tx.Put(ctx, collection, r)
		if err != nil {
			return "", err
		}
		return r.Slots[spec.SlotID].Text(), nil
	}
	order := func(numbers ...int64) error {
		_, err := s.Write(ctx, journal.Origin{Operation: "order"}, func(tx store.Tx) error {
			id, err := put(tx, "orders", nil)
			for _, n := range numbers {
				if err == nil {
					_, err = put(tx, "lines", map[string]value.Value{
						"order": value.OfText(id), "number": value.OfInt(n)})
				}
			}
			return err
		})
		return err
	}
	find := &query.Plan{From: "lines"}
	renumber := func(int) error {
		_, err := s.Write(ctx, journal.Origin{Operation: "renumber"}, func(tx store.Tx) error {
			rows, err := tx.Find(ctx, query.Query{Plan: find})
			for _, r := range rows {
				if err == nil {
					r.Set("number", value.OfInt(r.Get("number").Int()))
					_, err = tx.Put(ctx, "lines", r)
				}
			}
			return err
		})
		return err
	}
	if got := fewest(t, trips, 2, func(int) error { return order(1, 2, 3, 4, 5) }); got > 2 {
		t.Errorf("an order with five lines waited %d times, want at most 2", got)
	}
	if got := fewest(t, trips, 3, renumber); got > 3 {
		t.Errorf("a change of what was found waited %d times, want at most 3", got)
	}
	if err := order(1, 2, 1); err == nil || fault.From(err).Kind != fault.Exists {
		t.Errorf("the same number twice: %v", err)
	}
}
