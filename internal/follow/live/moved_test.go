package live_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/spec"
)

func TestAnotherAppCountsAgainstNobodysRate(t *testing.T) {
	n := onSQLite(t, board)
	n.engine = engine.New(engine.Config{Store: n.store, App: n.engine.App(), Authenticator: byID{},
		Limits: true, Rate: spec.Rate{Count: 5, Per: time.Hour}})
	if err := n.restart(); err != nil {
		t.Fatal(err)
	}
	r := n.reader("")
	for i := range 5 {
		r.follow("notes", "kind", strconv.Itoa(i))
	}
	q := live.Query{Collection: "notes"}
	if _, err := r.conn.Follow(t.Context(), q); !fault.Is(err, fault.Exhausted) {
		t.Fatalf("more than the rate allows: got %v", err)
	}
	next := compile(t, strings.Replace(board, "kind: {type: string, default: a}",
		"kind: {type: string, default: a}, more: {type: int, default: 1}", 1))
	before := n.engine.App()
	if err := n.engine.Swap(next, nil, func() error { migrate(t, n.store, before, next); return nil }); err != nil {
		t.Fatal(err)
	}
	id := n.create("notes", `{"text":"one","kind":"3"}`)
	r.until("a record by the new app", func() bool {
		for _, f := range r.subs {
			if f.ended != nil {
				t.Fatalf("a subscription ended: %v", f.ended)
			}
			if strings.Contains(f.have[id], `"more":1`) {
				return true
			}
		}
		return false
	})
}
