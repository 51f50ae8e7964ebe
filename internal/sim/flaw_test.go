package sim

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// flawed is a store with a flaw that shows now and then.
type flawed struct {
	store.Store
	flaw string
	mu   sync.Mutex
	rnd  *rand.Rand
	old  sync.Map
}

// now draws whether the flaw shows.
func (f *flawed) now(flaw string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.flaw == flaw && f.rnd.IntN(8) == 0
}

// Read serves what was read before, if the flaw is that.
func (f *flawed) Read(ctx context.Context, fn func(store.View) error) error {
	return f.Store.Read(ctx, func(v store.View) error {
		if f.flaw == "stale read" {
			v = &staleView{v, f}
		}
		return fn(v)
	})
}

type staleView struct {
	store.View
	f *flawed
}

// Get returns a record, or what it was when it was last read.
func (v *staleView) Get(ctx context.Context, c string, id ident.Record) (value.Record, error) {
	r, err := v.View.Get(ctx, c, id)
	if err == nil && v.f.now("stale read") {
		if old, ok := v.f.old.Load(id); ok {
			return old.(value.Record).Clone(), nil
		}
	}
	if err == nil {
		v.f.old.Store(id, r.Clone())
	}
	return r, err
}

// Follow leaves an entry out, or tells it twice.
func (f *flawed) Follow(
	ctx context.Context, after journal.Seq,
) iter.Seq2[journal.Entry, error] {
	return func(yield func(journal.Entry, error) bool) {
		for e, err := range f.Store.Follow(ctx, after) {
			if err == nil && f.now("gap") {
				continue
			}
			if !yield(e, err) || f.now("repetition") && !yield(e, err) {
				return
			}
		}
	}
}

// Write leaves a call out, does it twice, or writes over what another wrote.
func (f *flawed) Write(
	ctx context.Context, o journal.Origin, fn func(store.Tx) error,
) (journal.Entry, error) {
	switch {
	case f.now("lost write"):
		o.DryRun = true
	// Ids are the call's own, so what inserts can have no second effect.
	case o.Operation != "actions.transfer" && f.now("double effect"):
		if _, err := f.Store.Write(ctx, o, fn); err != nil {
			return journal.Entry{}, err
		}
		o.Key += " again"
	case f.now("lost update"):
		return f.Store.Write(ctx, o, func(tx store.Tx) error { return fn(&blindTx{tx, f}) })
	}
	return f.Store.Write(ctx, o, fn)
}

// blindTx puts what it is told over whatever is stored, and gives a record as it was
// some time ago.
type blindTx struct {
	store.Tx
	f *flawed
}

// Get returns what the record was when a blind call last read it.
func (t *blindTx) Get(ctx context.Context, c string, id ident.Record) (value.Record, error) {
	r, err := t.Tx.Get(ctx, c, id)
	if err != nil {
		return r, err
	}
	old, ok := t.f.old.Swap(id, r.Clone())
	if !ok {
		return r, nil
	}
	return old.(value.Record).Clone(), nil
}

// Put writes whatever the version.
func (t *blindTx) Put(ctx context.Context, c string, r value.Record) (value.Record, error) {
	if version, ok := versionOf(r); ok && version > 0 {
		r = r.Clone()
		r.Set("version", value.OfNull())
	}
	return t.Tx.Put(ctx, c, r)
}

func versionOf(r value.Record) (int64, bool) {
	v := r.Get("version")
	return v.Int(), v.Kind() == value.Int
}

// flawRounds bounds the simulations in which a flaw may stay hidden: whether it does any
// harm depends on what happens beside it.
const flawRounds = 20

// TestSimulationFindsEachFlaw plants a flaw between the engines and their store, or
// between it and the followers.
func TestSimulationFindsEachFlaw(t *testing.T) {
	for n, flaw := range []string{"lost write", "double effect", "lost update", "gap",
		"repetition"} {
		t.Run(flaw, func(t *testing.T) {
			for round := range uint64(flawRounds) {
				var wrapped atomic.Uint64
				seed := 100*round + uint64(n)
				s := start(t, databases()[0], seed, func(s store.Store) store.Store {
					return &flawed{Store: s, flaw: flaw, rnd: rand.New(rand.NewPCG(wrapped.Add(1), seed))}
				})
				s.patience = time.Second // a follower that lost the last entry waits for it
				if wrong := s.run(seed, 20); len(wrong) > 0 {
					t.Log(fmt.Sprint(len(wrong), " findings, the first: ", wrong[0]))
					return
				}
			}
			t.Errorf("nothing was found of: %s", flaw)
		})
	}
}
