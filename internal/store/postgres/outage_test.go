package postgres

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// notes is a schema of one collection.
func notes() *spec.Schema {
	return &spec.Schema{Collections: []*spec.Table{storetest.Table("notes",
		value.Field{Name: "text", Type: value.Type{Kind: value.TypeString}})}}
}

// TestManyOpenAtOnce has several processes make the same tables.
func TestManyOpenAtOnce(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	var opening sync.WaitGroup
	for range 6 {
		opening.Go(func() {
			s, err := Open(t.Context(), Config{URL: url})
			if err != nil {
				t.Error(err)
				return
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
}

// TestTheStoreOutlivesItsServer lets callers repeat their calls until each has an answer,
// while the server crashes again and again: every call is in the journal once, and
// nobody opens anything anew. How many calls hear of a crash is not promised: the store
// itself carries out again what it can prove was not kept.
func TestTheStoreOutlivesItsServer(t *testing.T) {
	cluster := pgtest.Start(t)
	s, err := Open(t.Context(), Config{URL: cluster.Database(t)})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	_, err = s.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(notes()), nil)
	must(t, err)
	shape := s.Schema().Table("notes").Shape
	const callers, crashes = 8, 3
	ctx, cancel := context.WithCancel(t.Context())
	var done atomic.Bool
	var kept, tries atomic.Int64
	// answered tells of each call that has an answer.
	answered := make(chan struct{}, 1)
	var calling sync.WaitGroup
	defer func() { cancel(); calling.Wait() }()
	for caller := range callers {
		calling.Go(func() {
			for n := 0; !done.Load(); n++ {
				if err := keep(ctx, s, shape, fmt.Sprint(caller, ".", n), &tries); err != nil {
					t.Errorf("caller %d: %v", caller, err)
					return
				}
				kept.Add(1)
				select {
				case answered <- struct{}{}:
				default:
				}
			}
		})
	}
	wait := func(more int64) {
		for want := kept.Load() + more; kept.Load() < want; {
			select {
			case <-answered:
			case <-time.After(time.Minute):
				t.Fatalf("no answer for a minute, after %d", kept.Load())
			}
		}
	}
	for range crashes {
		wait(30)
		cluster.Kill(t)
		cluster.Restart(t)
	}
	wait(30)
	done.Store(true)
	calling.Wait()
	late := time.AfterFunc(time.Minute, cancel) // all of it is there already
	defer late.Stop()
	keys := map[string]bool{}
	var last journal.Seq
	for e, err := range s.Follow(ctx, journal.Seq{}) {
		must(t, err)
		if last = e.Seq; e.Origin.Key != "" {
			if keys[e.Origin.Key] {
				t.Errorf("%s is in the journal twice", e.Origin.Key)
			}
			keys[e.Origin.Key] = true
		}
		if int64(len(keys)) == kept.Load() {
			break
		}
	}
	if last.Lo != uint64(kept.Load())+1 {
		t.Errorf("the journal ends at %d, want %d", last.Lo, kept.Load()+1)
	}
	t.Logf("%d calls, %d tries", kept.Load(), tries.Load())
}

// keep writes a note, and asks again with the same key until that is answered.
func keep(
	ctx context.Context, s *Store, shape *value.Shape, key string, tries *atomic.Int64,
) error {
	id := ident.NewRecord()
	for {
		tries.Add(1)
		_, err := s.Write(ctx, journal.Origin{Operation: "keep", Key: key}, func(tx store.Tx) error {
			r := value.NewRecord(shape)
			r.Set(spec.FieldID, value.OfText(string(id)))
			r.Set("text", value.OfText(key))
			_, err := tx.Put(ctx, "notes", r)
			return err
		})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Unknown):
			return err
		}
	}
}
