package faults

import (
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// lookers is how many read at each handle while the schema changes.
	lookers = 3
	// changeTime bounds a change of the schema: it waits for the calls that run, and for
	// nobody who waits for it.
	changeTime = 15 * time.Second
)

// TestSchemasChange changes the schema again and again, from one node and the other,
// while both write, read and follow: no reader sees a table that is on its way, and
// nobody waits for somebody who waits for him.
func TestSchemasChange(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	w := begin(t, address, address)
	done := make(chan struct{})
	var looking sync.WaitGroup
	for _, h := range w.handles {
		for range lookers {
			looking.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						w.look(h)
					}
				}
			})
		}
	}
	var longest time.Duration
	for n := range 2 * changes {
		longest = max(longest, w.change(n))
		w.progress(2)
	}
	close(done)
	looking.Wait()
	w.end()
	t.Logf("the longest change took %v", longest)
	if longest > changeTime {
		t.Errorf("a change of the schema took %v", longest)
	}
}

// change takes the wallets and the transfers from one form to another: every other
// change gives them a field, the wallets one that is required, for which the table is
// made anew, or takes it away. It returns how long that took.
func (w *world) change(n int) time.Duration {
	w.Helper()
	h := w.handles[n%len(w.handles)]
	note := value.Field{Name: "note", Type: value.Type{Kind: value.TypeString, Optional: true}}
	kind := value.Field{Name: "kind", Type: value.Type{Kind: value.TypeString}}
	for began := time.Now(); ; {
		before := h.Schema()
		next := &spec.Schema{}
		for _, t := range before.Collections {
			fields := t.Shape.Fields()[spec.SlotVersion+1:]
			switch {
			case t.Name != "wallets" && t.Name != "transfers":
			case n%2 == 1:
				t = storetest.Table(t.Name, fields[0])
			case t.Name == "wallets":
				t = storetest.Table(t.Name, fields[0], kind)
			default:
				t = storetest.Table(t.Name, fields[0], note)
			}
			next.Collections = append(next.Collections, t)
		}
		steps := spec.Diff(before, next)
		for i := range steps {
			if steps[i].Field == kind.Name {
				steps[i].Fill = value.OfText("plain")
			}
		}
		_, err := h.Apply(w.ctx, journal.Origin{Operation: "apply"}, steps, nil)
		switch {
		case err == nil:
			return time.Since(began)
		case !fault.Is(err, fault.Unavailable) || time.Since(began) > patience:
			w.Fatalf("change %d: %v (%v)", n, err, fault.From(err).Cause)
		}
		w.Logf("change %d: %v (%v)", n, err, fault.From(err).Cause)
	}
}
