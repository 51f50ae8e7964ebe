package live_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

// counting is a database that counts what is searched for.
type counting struct {
	database
	finds atomic.Int64
}

func (c *counting) Read(ctx context.Context, fn func(store.View) error) error {
	return c.database.Read(ctx, func(v store.View) error { return fn(countedView{v, c}) })
}

type countedView struct {
	store.View
	of *counting
}

func (v countedView) Find(ctx context.Context, q query.Query) ([]value.Record, error) {
	v.of.finds.Add(1)
	return v.View.Find(ctx, q)
}

// TestManyWhoAskTheSameAtOnceAskOnce lets many clients come at once, as after a restart.
// Those who ask the same while nothing changes are answered by few queries.
func TestManyWhoAskTheSameAtOnceAskOnce(t *testing.T) {
	const clients, each, tick = 25, 8, 250 * time.Millisecond
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: t.TempDir() + "/data.db"})
	if err != nil {
		t.Fatal(err)
	}
	a := compile(t, papers)
	migrate(t, db, nil, a)
	counted := &counting{database: db}
	n := newNode(t, counted, a)
	n.handled(n.fill(30, 30, "x", zero))
	storm := func(since string, right func(*live.Start) bool) int64 {
		before, began := counted.finds.Load(), time.Now()
		var all sync.WaitGroup
		for range each {
			all.Go(func() {
				for range clients {
					c, err := n.hub.Connect(t.Context(), engine.Call{Trusted: true, Subject: carla})
					if err != nil {
						t.Error(err)
						return
					}
					start, err := c.Follow(t.Context(), live.Query{Collection: "papers", Since: since})
					if err != nil || !right(&start) {
						t.Errorf("got %d papers, %d changes, %v", len(start.Items), len(start.Changes), err)
					}
					c.Close()
				}
			})
		}
		all.Wait()
		// Every tick forgets the answer, and until it is there again each may ask once.
		most := each * (2 + int64(time.Since(began)/tick))
		got := counted.finds.Load() - before
		t.Logf("%d queries for %d clients", got, each*clients)
		if got > most {
			t.Errorf("%d queries for %d clients, want at most %d", got, each*clients, most)
		}
		return got
	}
	all := func(s *live.Start) bool { return !s.Changed && len(s.Items) == 30 }
	if first, then := storm("", all), storm("", all); first == 0 && then == 0 {
		t.Error("nothing was asked at all")
	}
	before := n.reader("carla").follow("papers").at
	n.create("papers", `{"text":"one more"}`)
	if err := n.restart(); err != nil {
		t.Fatal(err)
	}
	storm(before, func(s *live.Start) bool { // who would have to wait long gets everything
		return s.Changed && len(s.Changes) == 1 || s.Reset && len(s.Items) == 31
	})
	// Who has written sees it, whatever others were told a moment ago.
	r := n.reader("carla")
	for range 20 {
		id := n.create("papers", `{"text":"new"}`)
		f := r.follow("papers", "limit", "100")
		if f.have[id] == "" {
			t.Fatalf("what was written before is not in the answer at %s", f.at)
		}
	}
}
