package engine_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
)

const viewApp = `app: small
collections:
  users:
    fields: {name: string}
  items:
    fields: {n: int}
views:
  kept:  {from: items, fields: {n: count()}, cache: 5m, allow: true}
  fresh: {from: items, fields: {n: count()}, allow: true}
  few:   {from: items, fields: {n: count()}, cache: 5m, allow: "now > now - days(1)"}
`

// count returns what a view counts, and how it was kept.
func count(w *world, view string) (int64, engine.Kept) {
	w.t.Helper()
	a, err := w.engine.Query(w.t.Context(), engine.Call{Verb: engine.List, Target: view})
	if err != nil || len(a.Items) != 1 {
		w.t.Fatalf("%s: %v %+v", view, err, a)
	}
	return a.Items[0].Record.Slots[0].Int(), a.Kept
}

func TestACachedViewIsComputedOnceInItsTime(t *testing.T) {
	w := open(t, yaml(viewApp), nil)
	w.create("items", `{"n":1}`)
	var asking sync.WaitGroup
	for range 50 { // more than the store has readers
		for _, view := range []string{"kept", "few"} {
			asking.Go(func() {
				if n, _ := count(w, view); n != 1 {
					t.Errorf("%s counts %d, want 1", view, n)
				}
			})
		}
	}
	asking.Wait()
	w.create("items", `{"n":2}`)
	w.clock.Add(4 * time.Minute.Milliseconds())
	n, kept := count(w, "kept")
	if n != 1 || kept.Fresh != 5*time.Minute || kept.Age != 4*time.Minute || !kept.Public {
		t.Errorf("after 4 minutes it counts %d, kept %+v", n, kept)
	}
	if n, kept := count(w, "fresh"); n != 2 || kept != (engine.Kept{}) {
		t.Errorf("what is not cached counts %d, kept %+v", n, kept)
	}
	if _, kept := count(w, "few"); kept.Public {
		t.Errorf("what not everybody may see is kept as %+v", kept)
	}
	// What is old is given once more while it is computed anew.
	w.clock.Add(2 * time.Minute.Milliseconds())
	n, _ = count(w, "kept")
	for range 20_000 {
		if n == 2 {
			break
		}
		<-time.After(time.Millisecond)
		n, _ = count(w, "kept")
	}
	if n != 2 {
		t.Errorf("it still counts %d", n)
	}
	// What is very old is not given at all.
	w.create("items", `{"n":3}`)
	w.clock.Add(time.Hour.Milliseconds())
	if n, _ := count(w, "kept"); n != 3 {
		t.Errorf("after an hour it counts %d, want 3", n)
	}
	// Another app has other views.
	if err := w.engine.Swap(compile(t, yaml(viewApp+"\n")), nil, nil); err != nil {
		t.Fatal(err)
	}
	w.create("items", `{"n":4}`)
	if n, _ := count(w, "kept"); n != 4 {
		t.Errorf("after a deploy it counts %d, want 4", n)
	}
}

func TestViewsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"v: {from: items, fields: {n: size(record.n)}, allow: true}":                          "there is no function size",
		"v: {from: items, fields: {n: record.n + 1}, allow: true}":                            "n is not of the form sum(record.FIELD)",
		"v: {from: items, fields: {n: sum(record.x)}, allow: true}":                           "items has no field x",
		"v: {from: items, fields: {n: sum(record.id)}, allow: true}":                          "sum needs a number",
		"v: {from: items, fields: {n: sum()}, allow: true}":                                   "sum needs a field",
		"v: {from: items, fields: {n: max(record.n.x)}, allow: true}":                         "n is no relation",
		"v: {from: item, fields: {n: count()}, allow: true}":                                  `from names no collection "item"`,
		"v: {from: items, fields: {n: count()}, sort: -m, allow: true}":                       `v has no field "m" to sort by`,
		"v: {from: items, group: x, fields: {n: count()}, allow: true}":                       `items has no field "x"`,
		"items: {from: items, fields: {n: count()}, allow: true}":                             "items is a collection already",
		"jobs: {from: items, fields: {n: count()}, allow: true}":                              "jobs cannot name a view",
		"v: {from: items, fields: {n: count()}, cache: 5m, allow: true, where: auth != null}": "cannot depend on auth",
	} {
		_, findings := compileFiles(yaml("app: a\ncollections:\n  users:\n    fields: {name: string}\n" +
			"  items:\n    fields: {n: int}\nviews:\n  " + text + "\n"))
		said := fmt.Sprint(findings)
		if !strings.Contains(said, want) {
			t.Errorf("%s: got %s, want %s", text, said, want)
		}
	}
}
