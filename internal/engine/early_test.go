package engine_test

import (
	"context"
	"errors"
	"testing"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// beside is a store that runs every call once more before it, to no end, as one does that
// then finds the answer in the journal, where another process has put it meanwhile.
type beside struct {
	database
	runs int
}

func (b *beside) Write(ctx context.Context, o journal.Origin, fn func(store.Tx) error) (
	journal.Entry, error) {
	b.runs++
	_ = fn(useless{}) // whatever comes of it means nothing
	return b.database.Write(ctx, o, fn)
}

// useless is a transaction that answers nothing.
type useless struct{ store.Tx }

var errUseless = errors.New("this run counts for nothing")

func (useless) Get(context.Context, string, ident.Record) (value.Record, error) {
	return value.Record{}, errUseless
}

func (useless) Find(context.Context, query.Query) ([]value.Record, error) { return nil, errUseless }

func (useless) Put(context.Context, string, value.Record) (value.Record, error) {
	return value.Record{}, errUseless
}

func (useless) Reply(value.Value) {}

func (useless) Changes() []journal.Change { return nil }

// TestARunThatCountsForNothingTellsNothing asks twice with one key: the second answer
// comes from the journal, whatever became of a run that was given up.
func TestARunThatCountsForNothingTellsNothing(t *testing.T) {
	w := open(t, shop(t), nil)
	ana, pen := buyers(w, 1)[0], product(w, "P", 10)
	over := &beside{database: w.store}
	w.config.Store = over
	e := engine.New(w.config)
	look := func(ctx context.Context, tx store.Tx) error {
		_, err := tx.Get(ctx, "products", pen)
		return err
	}
	for name, ask := range map[string]func() (replayed bool, err error){
		"an action": func() (bool, error) {
			r, err := e.Execute(t.Context(), checkout(ana, pen, "one"))
			return r.Replayed, err
		},
		"an event": func() (bool, error) {
			r, err := e.Take(t.Context(), engine.Call{ID: ident.NewCall()},
				engine.Event{Webhook: "stripe", ID: "evt_1", Body: `{"type":"none","data":{}}`, Keep: look})
			return r.Replayed, err
		},
		"a piece of work": func() (bool, error) {
			worked := false
			_, err := e.Transact(t.Context(), engine.Work{Key: "one", Operation: "work", Begin: look,
				Subject: ident.Subject{Who: ident.System, Name: "work"},
				Run: func(context.Context, action.Host) (value.Value, error) {
					worked = true
					return value.OfInt(1), nil
				}})
			return !worked, err
		},
	} {
		for again := range 2 {
			if replayed, err := ask(); err != nil || replayed != (again > 0) {
				t.Errorf("%s, time %d: replayed %v, %v", name, again+1, replayed, err)
			}
		}
	}
	if over.runs != 6 {
		t.Errorf("%d runs beside, want 6", over.runs)
	}
}

// deaf is a store that has nobody vouch for a call.
type deaf struct{ database }

func (d deaf) Write(ctx context.Context, o journal.Origin, fn func(store.Tx) error) (
	journal.Entry, error) {
	return d.database.Write(store.Vouching(ctx, nil), o, fn)
}

// TestWhomNobodyVouchesForDoesNothing presumes who asks over a store that forgets to ask.
func TestWhomNobodyVouchesForDoesNothing(t *testing.T) {
	w := withAuth(t)
	w.config.Store = deaf{w.store}
	w.engine = engine.New(w.config)
	r, err := w.house("auth/sign-up", "", `{"email":"ana@example.com","password":"a long password","name":"Ana"}`)
	if err != nil {
		t.Fatal(err)
	}
	token, id := r.Output.Record().Get("token").Text(), r.Output.Record().Get("user").Text()
	write := func(key string) (engine.Reply, error) {
		return w.engine.Execute(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Update,
			Target: "users", Record: id, Credential: token, Key: key, Body: []byte(`{"name":"Anna"}`)})
	}
	if _, err := write("one"); err != nil { // who asks for the first time is looked up
		t.Fatal(err)
	}
	before := len(w.entries())
	if _, err := write("two"); !fault.Is(err, fault.Internal) {
		t.Errorf("got %v", err)
	}
	if r, err := write("one"); err != nil || !r.Replayed {
		t.Errorf("got %v, %v", r, err)
	}
	if n := len(w.entries()); n != before {
		t.Errorf("%d entries came", n-before)
	}
	if _, err = w.house("auth/sign-out", token, `{}`); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"one", "two"} {
		if r, err := write(key); !fault.Is(err, fault.Unauthenticated) || r.Replayed {
			t.Errorf("got %v, %v", r, err)
		}
	}
}
