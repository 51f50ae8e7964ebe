package live_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/transport"
)

const sales = `
app: sales
auth: {sign_in: [password]}
collections:
  users: {fields: {name: string}}
  staff: {fields: {user: {type: users, on_delete: cascade}}}
  products: {fields: {name: string, price: {type: int, default: 1}}}
  items:
    fields: {product: {type: products, on_delete: cascade}, quantity: int, owner: users?, note: string?, kind: {type: string, default: a}}
    allow: {read: record.owner == auth}
views:
  sold: {from: items, group: product, fields: {n: sum(record.quantity), dearest: max(record.product.price)}, sort: -n, allow: true}
  some: {from: items, where: record.kind == "b", fields: {n: count()}, allow: true}
  secret: {from: items, fields: {n: count()}, allow: "staff.exists(s, s.user == auth)"}
  mine: {from: items, where: record.owner == auth, fields: {n: count()}, allow: auth != null}
  kept: {from: items, fields: {n: count()}, cache: 1h, allow: true}
  brief: {from: items, fields: {n: count()}, cache: 1s, allow: true}
`

// value is the answer of a whole as JSON, with its place.
type answer struct {
	at   journal.Seq
	text string
}

func (n *node) place(at string) journal.Seq {
	n.t.Helper()
	_, text, _ := strings.Cut(at, ":")
	seq, err := journal.ParseSeq(text)
	if err != nil {
		n.t.Fatal(err)
	}
	return seq
}

func (n *node) answer(s *live.Start) answer {
	n.t.Helper()
	var rows []string
	for i := range s.Items {
		rows = append(rows, string(transport.AppendItem(nil, &s.Items[i])))
	}
	a := answer{n.place(s.At), "[" + strings.Join(rows, ",") + "]"}
	if s.Text != nil && string(s.Text) != a.text {
		n.t.Errorf("encoded for all as %s, which is %s", s.Text, a.text)
	}
	return a
}

// watcher follows a whole, and gathers what it is told.
type watcher struct {
	n     *node
	conn  *live.Conn
	told  []answer
	ended *fault.Fault
}

func (n *node) watcher(who ident.Record, name string, pairs ...string) *watcher {
	n.t.Helper()
	w := &watcher{n: n, conn: n.connect(who)}
	s, err := w.conn.Follow(n.t.Context(), live.Query{Collection: name, Params: params(pairs...)})
	if err != nil {
		n.t.Fatalf("follow %s: %v", name, err)
	}
	if s.Reset || s.Changed {
		n.t.Errorf("%s begins with a reset or changes", name)
	}
	w.told = append(w.told, n.answer(&s))
	return w
}

func (w *watcher) last() string { return w.told[len(w.told)-1].text }

// until takes pushes until the last answer is as it should be, or the end has come.
func (w *watcher) until(what string, ok func() bool) {
	w.n.t.Helper()
	ctx, cancel := context.WithTimeout(w.n.t.Context(), patience)
	defer cancel()
	for !ok() {
		select {
		case <-w.conn.Ready():
		case <-ctx.Done():
			w.n.t.Fatalf("waiting for %s: %v, the last answer is %s", what, ctx.Err(), w.last())
		}
		pushes, err := w.conn.Take()
		if err != nil {
			w.n.t.Fatalf("waiting for %s: %v", what, err)
		}
		for i := range pushes {
			switch p := &pushes[i]; {
			case p.Ended != nil:
				w.ended = p.Ended
			case p.Reset != nil:
				w.told = append(w.told, w.n.answer(p.Reset))
			case p.Frame != nil:
				w.n.t.Error("a whole was told in changes")
			}
		}
		w.conn.AckTaken()
	}
}

func (w *watcher) becomes(text string) {
	w.n.t.Helper()
	w.until(text, func() bool { return w.last() == text })
}

// TestAViewIsKeptTrue lets several write at once, and holds each answer against what the
// journal says of its place.
func TestAViewIsKeptTrue(t *testing.T) {
	onBoth(t, sales, func(t *testing.T, n *node) {
		var products []ident.Record
		for i := range 3 {
			products = append(products, n.create("products", `{"name":"p","price":%d}`, i))
		}
		before := n.update("products", products[0], `{"price":7}`)
		began, computed := time.Now(), n.hub.Stats().Queries
		ws := []*watcher{n.watcher("", "sold"), n.watcher("carla", "sold"), n.watcher("", "sold")}
		var writers sync.WaitGroup
		for k := range 4 {
			writers.Go(func() {
				for i := range 25 {
					p := products[(k+i)%3]
					id := n.create("items", `{"product":%q,"quantity":%d}`, p, i)
					switch i % 5 {
					case 1:
						n.update("items", id, `{"quantity":%d,"note":"x"}`, 2*i)
					case 2:
						n.delete("items", id)
					case 3:
						n.update("products", p, `{"price":%d}`, 10*k+i)
					}
				}
			})
		}
		writers.Wait()
		last := n.update("products", products[1], `{"price":1000}`)
		want := n.model(before, last)
		for i, w := range ws {
			w.becomes(want[last])
			for j, a := range w.told {
				if text, ok := want[a.at]; !ok || text != a.text {
					t.Errorf("reader %d at %v: got %s, want %s", i, a.at, a.text, text)
				}
				if j > 0 && (a.at.Compare(w.told[j-1].at) <= 0 || a.text == w.told[j-1].text) {
					t.Errorf("reader %d: %v after %v", i, a, w.told[j-1])
				}
			}
		}
		// Each of the two answers, for all and for admins, is left alone for a while, but
		// for who begins.
		most := 2*(int64(time.Since(began)/(100*time.Millisecond))+2) + int64(len(ws))
		if got := n.hub.Stats().Queries - computed; got > most {
			t.Errorf("computed %d times, want at most %d", got, most)
		}
	})
}

// model says of each place from one to another what is sold, by the journal.
func (n *node) model(from, to journal.Seq) map[journal.Seq]string {
	n.t.Helper()
	type item struct {
		product  string
		quantity int64
	}
	items, prices := map[ident.Record]item{}, map[string]int64{}
	out := map[journal.Seq]string{}
	for e, err := range n.store.Follow(n.t.Context(), journal.Seq{}) {
		if err != nil {
			n.t.Fatal(err)
		}
		for i := range e.Changes {
			c := &e.Changes[i]
			switch {
			case c.Collection == "products":
				prices[string(c.ID)] = c.After.Get("price").Int()
			case c.Collection == "items" && c.After.Zero():
				delete(items, c.ID)
			case c.Collection == "items":
				items[c.ID] = item{c.After.Get("product").Text(), c.After.Get("quantity").Int()}
			}
		}
		sums := map[string]int64{}
		for _, x := range items {
			sums[x.product] += x.quantity
		}
		names := slices.SortedFunc(maps.Keys(sums), func(a, b string) int {
			if sums[a] != sums[b] {
				return int(sums[b] - sums[a])
			}
			return strings.Compare(a, b)
		})
		var rows []string
		for _, p := range names {
			rows = append(rows, fmt.Sprintf(`{"product":%q,"n":%d,"dearest":%d}`, p, sums[p], prices[p]))
		}
		if e.Seq.Compare(from) >= 0 {
			out[e.Seq] = "[" + strings.Join(rows, ",") + "]"
		}
		if e.Seq.Compare(to) >= 0 {
			return out
		}
	}
	return out
}

func TestAViewIsComputedWhereItsRecordsChange(t *testing.T) {
	n := onSQLite(t, sales)
	p := n.create("products", `{"name":"p"}`)
	w := n.watcher("", "some")
	w.becomes(`[{"n":0}]`)
	other := n.create("items", `{"product":%q,"quantity":1}`, p)
	n.handled(n.update("items", other, `{"quantity":2}`))
	computed := n.hub.Stats().Queries
	n.handled(n.update("products", p, `{"name":"q"}`))
	n.handled(n.update("items", other, `{"note":"n"}`))
	n.create("items", `{"product":%q,"quantity":1,"kind":"b"}`, p)
	w.becomes(`[{"n":1}]`)
	n.update("items", other, `{"kind":"b"}`)
	w.becomes(`[{"n":2}]`)
	if got := n.hub.Stats().Queries - computed; got != 2 {
		t.Errorf("computed %d times, want once for each change that it may see", got)
	}
}

func TestAViewIsForThoseWhomItsRuleLets(t *testing.T) {
	onBoth(t, sales, func(t *testing.T, n *node) {
		ana, bo := n.create("users", `{"name":"ana","email":"a@x.org"}`), n.create("users", `{"name":"bo","email":"b@x.org"}`)
		p := n.create("products", `{"name":"p"}`)
		staff := n.create("staff", `{"user":%q}`, ana)
		for who, code := range map[ident.Record]string{bo: "forbidden", "": "unauthenticated"} {
			_, err := n.connect(who).Follow(t.Context(), live.Query{Collection: "secret"})
			if fault.From(err).CodeOr() != code {
				t.Errorf("%q: got %v, want %s", who, err, code)
			}
		}
		w, mine, his := n.watcher(ana, "secret"), n.watcher(ana, "mine"), n.watcher(bo, "mine")
		free := n.watcher("carla", "secret")
		n.create("items", `{"product":%q,"quantity":1,"owner":%q}`, p, ana)
		n.create("items", `{"product":%q,"quantity":1}`, p)
		w.becomes(`[{"n":2}]`)
		mine.becomes(`[{"n":1}]`)
		n.delete("staff", staff)
		n.create("items", `{"product":%q,"quantity":1,"owner":%q}`, p, bo)
		w.until("the end", func() bool { return w.ended != nil })
		if w.ended.CodeOr() != "forbidden" || w.last() != `[{"n":2}]` {
			t.Errorf("ended with %v after %s", w.ended, w.last())
		}
		his.becomes(`[{"n":1}]`)
		free.becomes(`[{"n":3}]`)
		if len(mine.told) != 2 || len(his.told) != 2 {
			t.Errorf("told %v and %v, want the own items alone", mine.told, his.told)
		}
	})
}

func TestAKeptViewIsComputedOnceHoweverManyFollow(t *testing.T) {
	n := onSQLite(t, sales)
	p := n.create("products", `{"name":"p"}`)
	one, brief := n.watcher("", "kept"), n.watcher("", "brief")
	n.handled(n.create2("items", `{"product":%q,"quantity":1}`, p))
	two := n.watcher("", "kept")
	if a, b := one.told[0], two.told[0]; a != b || a.text != `[{"n":0}]` {
		t.Errorf("got %v and then %v, want what was computed once", a, b)
	}
	a, err := n.engine.Query(t.Context(), engine.Call{Verb: engine.List, Target: "kept"})
	if err != nil || string(transport.AppendItem(nil, &a.Items[0])) != `{"n":0}` {
		t.Errorf("who asks got %v, %v", a.Items, err)
	}
	brief.becomes(`[{"n":1}]`) // when its time is over
}

// create2 creates a record and returns the place.
func (n *node) create2(collection, format string, args ...any) journal.Seq {
	n.t.Helper()
	return n.do(engine.Create, collection, "", fmt.Sprintf(format, args...)).Seq
}

func TestAnAggregateIsKeptTrue(t *testing.T) {
	onBoth(t, sales, func(t *testing.T, n *node) {
		ana, bo := n.create("users", `{"name":"ana","email":"a@x.org"}`), n.create("users", `{"name":"bo","email":"b@x.org"}`)
		p := n.create("products", `{"name":"p"}`)
		item := n.create("items", `{"product":%q,"quantity":3,"owner":%q}`, p, ana)
		ask := []string{"select", "n:count(),sum:sum(quantity)", "filter", "quantity > 1"}
		a, b := n.watcher(ana, "items/aggregate", ask...), n.watcher(bo, "items/aggregate", ask...)
		a.becomes(`[{"n":1,"sum":3}]`)
		b.becomes(`[{"n":0,"sum":null}]`)
		n.update("items", item, `{"quantity":5}`)
		a.becomes(`[{"n":1,"sum":5}]`)
		n.update("items", item, `{"owner":%q}`, bo)
		a.becomes(`[{"n":0,"sum":null}]`)
		b.becomes(`[{"n":1,"sum":5}]`)
		n.update("items", item, `{"quantity":1}`)
		b.becomes(`[{"n":0,"sum":null}]`)
		for name, q := range map[string]live.Query{
			"no columns":     {Collection: "items/aggregate"},
			"no field":       {Collection: "items/aggregate", Params: params("select", "n:sum(price)")},
			"no collection":  {Collection: "none/aggregate", Params: params("select", "n:count()")},
			"one of a view":  {Collection: "sold/aggregate", Params: params("select", "n:count()")},
			"not to be read": {Collection: "staff/aggregate", Params: params("select", "n:count()")},
			"a parameter":    {Collection: "sold", Params: params("limit", "3")},
		} {
			if _, err := n.connect(ana).Follow(t.Context(), q); err == nil {
				t.Errorf("%s: followed", name)
			}
		}
	})
}

func TestWhoComesBackToAViewGetsItWhole(t *testing.T) {
	n := onSQLite(t, sales)
	w := n.watcher("", "sold")
	at := n.hub.At(w.told[0].at)
	w.conn.Close()
	p := n.create("products", `{"name":"p"}`)
	n.create("items", `{"product":%q,"quantity":2}`, p)
	s, err := n.connect("").Follow(t.Context(), live.Query{Collection: "sold", Since: at})
	want := fmt.Sprintf(`[{"product":%q,"n":2,"dearest":1}]`, p)
	if err != nil || !s.Reset || n.answer(&s).text != want {
		t.Errorf("got %s, reset %v, %v; want %s", n.answer(&s).text, s.Reset, err, want)
	}
}

func TestAViewOfAnotherAppIsToldAnew(t *testing.T) {
	n := onSQLite(t, sales)
	p := n.create("products", `{"name":"p"}`)
	n.create("items", `{"product":%q,"quantity":2}`, p)
	w, mine := n.watcher("", "sold"), n.watcher("", "some")
	next := compile(t, strings.Replace(strings.Replace(sales, "{n: sum(record.quantity), ", "{n: count(), ", 1),
		"  some:", "  few:", 1))
	if err := n.engine.Swap(next, nil, nil); err != nil {
		t.Fatal(err)
	}
	w.becomes(fmt.Sprintf(`[{"product":%q,"n":1,"dearest":1}]`, p))
	mine.until("the end", func() bool { return mine.ended != nil })
	if mine.ended.CodeOr() != "not_found" {
		t.Errorf("ended with %v", mine.ended)
	}
}

// TestWhoIsSlowGetsTheLastAnswer takes nothing while the answer changes.
func TestWhoIsSlowGetsTheLastAnswer(t *testing.T) {
	n := onSQLite(t, sales)
	p := n.create("products", `{"name":"p"}`)
	slow, fast := n.watcher("", "sold"), n.watcher("", "sold")
	for i := range 4 {
		n.create("items", `{"product":%q,"quantity":1}`, p)
		fast.becomes(fmt.Sprintf(`[{"product":%q,"n":%d,"dearest":1}]`, p, i+1))
	}
	slow.becomes(fast.last())
	if len(slow.told) != 2 {
		t.Errorf("told %v, want the first answer and the last", slow.told)
	}
}
