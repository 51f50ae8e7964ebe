package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// step is something that a call does, and what it heard.
type step struct {
	name string
	do   func(b *bench, tx store.Tx, w *world) (string, error)
}

// steps are all probes and all changes.
func steps() []step {
	var out []step
	for _, p := range probes() {
		out = append(out, step{p.name, p.look})
	}
	for _, c := range changes() {
		out = append(out, step{c.name, func(b *bench, tx store.Tx, w *world) (string, error) {
			if err := c.make(b, tx, w); err != nil {
				return said(err)
			}
			return "done", nil
		}})
	}
	return out
}

// stepsSeeEachOther does the same steps in one call and in as many calls, in two
// worlds that are twins: they hear the same and leave the same.
func stepsSeeEachOther(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	const seed = 20261121
	b.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	pool := steps()
	for n := range 150 {
		one, many := b.world(fmt.Sprintf("o%d.", n)), b.world(fmt.Sprintf("m%d.", n))
		var names []string
		var do []step
		for range 2 + rnd.IntN(6) {
			s := pool[rnd.IntN(len(pool))]
			names, do = append(names, s.name), append(do, s)
		}
		var apart, together []string
		for _, s := range do {
			var said string
			_, err := b.write(b.fresh(), func(tx store.Tx) (err error) {
				said, err = s.do(b, tx, many)
				return err
			})
			b.ok(err)
			apart = append(apart, many.plain(said))
		}
		middle := rnd.IntN(2 * len(do))
		other := b.beside(func() {
			_, err := b.write(b.fresh(), func(tx store.Tx) error {
				// The version moves, and nothing that the steps look at.
				return b.touch(tx, one)
			})
			if err != nil {
				b.Errorf("the other: %v", err)
			}
		})
		e, err := b.write(b.fresh(), func(tx store.Tx) (err error) {
			together = nil
			if middle < len(do) { // it reads what the other touches
				if _, err := tx.Get(b.ctx, "folders", one.folder); err != nil {
					return err
				}
			}
			for i, s := range do {
				if i == middle {
					other.now()
				}
				said, err := s.do(b, tx, one)
				if err != nil {
					return err
				}
				together = append(together, one.plain(said))
			}
			return nil
		})
		if middle < len(do) {
			other.wait()
		}
		if err != nil {
			b.Errorf("%v together: %v", names, err)
			continue
		}
		if fmt.Sprint(together) != fmt.Sprint(apart) {
			b.Errorf("%v heard\n%v together,\n%v apart", names, together, apart)
		}
		if got, want := b.dump(one), b.dump(many); got != want {
			b.Errorf("%v left\n%s together,\n%s apart; changes %v", names, got, want, e.Changes)
		}
	}
	b.whole()
}

// touch changes the world's folder.
func (b *bench) touch(tx store.Tx, w *world) error {
	_, err := tx.Put(b.ctx, "folders", b.record("folders", "id", w.folder, "version", nil,
		"name", "touched"))
	return err
}

// plain takes out of a text what differs between twins.
func (w *world) plain(text string) string {
	pairs := []string{w.tag, ""}
	for id, name := range map[ident.Record]string{w.ana: "ana", w.bob: "bob", w.pen: "pen",
		w.ink: "ink", w.order: "order", w.item: "item", w.free: "free", w.lease: "lease"} {
		pairs = append(pairs, string(id), name)
	}
	// Whose order is by id has another in the twin.
	if parts := strings.Fields(strings.Trim(text, "[]")); strings.HasPrefix(text, "[") {
		for i := range parts {
			parts[i] = strings.NewReplacer(pairs...).Replace(parts[i])
		}
		slices.Sort(parts)
		return fmt.Sprint(parts)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// dump writes all that is stored of a world, less what differs between twins.
func (b *bench) dump(w *world) string {
	b.Helper()
	var out []string
	add := func(collection string, rows []value.Record) {
		for _, r := range rows {
			line := collection
			if name := w.plain(string(idOf(r))); len(name) < 10 {
				line += " " + name
			}
			for i, f := range r.Shape.Fields() {
				switch {
				case i < spec.SlotVersion:
				case f.Type.Kind == value.TypeRelation && f.Type.Of == "folders":
					line += fmt.Sprint(" parent:", !r.Slots[i].IsNull())
				default:
					line += " " + f.Name + ":" + w.plain(string(value.AppendJSON(nil, r.Slots[i])))
				}
			}
			out = append(out, line)
		}
	}
	owners := []query.Expr{lit(w.ana), lit(w.bob), lit(w.free)}
	starts := func(collection, field string) *query.Plan {
		return &query.Plan{From: collection, Where: query.Func{Name: "startsWith",
			Args: []query.Expr{in(collection, field, typeText), lit(w.tag)}}}
	}
	add("customers", b.find(&query.Plan{From: "customers", Where: query.Or{Of: []query.Expr{
		starts("customers", "name").Where, query.In{X: query.Row{}, Of: owners}}}}))
	add("products", b.find(starts("products", "sku")))
	add("orders", b.find(&query.Plan{From: "orders", Where: query.In{
		X: in("orders", "customer", toCustomers), Of: owners}}))
	add("order_items", b.find(&query.Plan{From: "order_items", Where: query.Same{
		L: in("order_items", "order", toOrders), R: lit(w.order)}}))
	add("leases", b.find(starts("leases", "name")))
	add("folders", b.find(starts("folders", "name")))
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// writesKeepTheirOrder does in one call what only an order of its own makes possible.
func writesKeepTheirOrder(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n, c := range orderly() {
		for _, scanned := range []bool{false, true} {
			w := b.world(fmt.Sprintf("order%d%v.", n, scanned))
			e, err := b.write(b.fresh(), func(tx store.Tx) error {
				if scanned {
					if _, err := tx.Find(b.ctx, queryOf(all(c.name))); err != nil {
						return err
					}
				}
				return c.make(b, tx, w)
			})
			if err != nil {
				b.Errorf("%d, %s (scanned %v): %v", n, c.name, scanned, err)
			}
			for _, ch := range e.Changes {
				if ch.After.Zero() != b.get(ch.Collection, ch.ID).Zero() {
					b.Errorf("%d, %s: the entry and the table differ", n, c.name)
				}
			}
		}
	}
	b.whole()
}

// orderly are calls whose writes do not commute; they are named for a collection.
func orderly() []change {
	put := func(b *bench, tx store.Tx, collection string, pairs ...any) ident.Record {
		r, err := tx.Put(b.ctx, collection, b.record(collection, pairs...))
		b.ok(err)
		return idOf(r)
	}
	over := func(b *bench, tx store.Tx, collection string, id ident.Record, pairs ...any) {
		put(b, tx, collection, append([]any{"id", id, "version", nil}, pairs...)...)
	}
	product := func(b *bench, tx store.Tx, sku string) ident.Record {
		return put(b, tx, "products", "sku", sku, "title", "t", "stock", 1, "open", true)
	}
	return []change{
		{"products", func(b *bench, tx store.Tx, w *world) error { // two change their names
			over(b, tx, "products", w.pen, "sku", w.tag+"aside")
			over(b, tx, "products", w.ink, "sku", w.tag+"pen")
			over(b, tx, "products", w.pen, "sku", w.tag+"ink")
			return nil
		}},
		{"products", func(b *bench, tx store.Tx, w *world) error { // a new one takes a name
			id := product(b, tx, w.tag+"new")
			b.ok(tx.Delete(b.ctx, "products", w.pen))
			over(b, tx, "products", id, "sku", w.tag+"pen")
			return nil
		}},
		{"products", func(b *bench, tx store.Tx, w *world) error { // and one that gives it up
			id := product(b, tx, w.tag+"new")
			over(b, tx, "products", w.pen, "sku", w.tag+"old")
			over(b, tx, "products", id, "sku", w.tag+"pen")
			return nil
		}},
		{"products", func(b *bench, tx store.Tx, w *world) error { // twice in one call
			id := product(b, tx, w.tag+"new")
			_, err := tx.Put(b.ctx, "products", b.record("products", "sku", w.tag+"new", "title",
				"t", "stock", 1, "open", true))
			b.is(codeOf(err), "already_exists")
			b.ok(tx.Delete(b.ctx, "products", id))
			product(b, tx, w.tag+"new")
			return nil
		}},
		{"folders", func(b *bench, tx store.Tx, w *world) error { // the child before its parent
			child := put(b, tx, "folders", "name", "child")
			parent := put(b, tx, "folders", "name", "parent")
			over(b, tx, "folders", child, "parent", parent)
			return nil
		}},
		{"folders", func(b *bench, tx store.Tx, w *world) error { // a ring of new ones
			one := put(b, tx, "folders", "name", "one")
			two := put(b, tx, "folders", "name", "two", "parent", one)
			over(b, tx, "folders", one, "parent", two)
			return nil
		}},
		{"orders", func(b *bench, tx store.Tx, w *world) error { // the parent is touched first
			over(b, tx, "customers", w.bob, "wallet", 9)
			order := put(b, tx, "orders", "customer", w.bob, "total", 1)
			b.is(codeOf(tx.Delete(b.ctx, "customers", w.bob)), "in_use")
			b.ok(tx.Delete(b.ctx, "orders", order))
			return tx.Delete(b.ctx, "customers", w.bob)
		}},
		{"orders", func(b *bench, tx store.Tx, w *world) error { // and its child moves away
			over(b, tx, "customers", w.ana, "wallet", 9)
			over(b, tx, "orders", w.order, "customer", w.bob)
			return tx.Delete(b.ctx, "customers", w.ana)
		}},
		{"order_items", func(b *bench, tx store.Tx, w *world) error { // what comes goes along
			over(b, tx, "orders", w.order, "total", 8)
			item := put(b, tx, "order_items", "order", w.order, "product", w.ink, "quantity", 1)
			b.ok(tx.Delete(b.ctx, "orders", w.order))
			_, err := tx.Get(b.ctx, "order_items", item)
			b.is(codeOf(err), "not_found")
			_, err = tx.Put(b.ctx, "order_items", b.record("order_items", "order", w.order,
				"quantity", 1))
			b.is(codeOf(err), "invalid_input")
			return nil
		}},
		{"order_items", func(b *bench, tx store.Tx, w *world) error { // cleared, and set again
			b.ok(tx.Delete(b.ctx, "products", w.pen))
			item, err := tx.Get(b.ctx, "order_items", w.item)
			b.ok(err)
			b.is(item.Get("product").Kind(), value.Null)
			over(b, tx, "order_items", w.item, "product", w.ink)
			return tx.Delete(b.ctx, "products", w.ink)
		}},
		{"customers", func(b *bench, tx store.Tx, w *world) error { // gone, back, gone, back
			for range 2 {
				b.ok(tx.Delete(b.ctx, "customers", w.bob))
				put(b, tx, "customers", "id", w.bob, "name", "back", "wallet", 1)
			}
			over(b, tx, "customers", w.bob, "wallet", b.add(4))
			over(b, tx, "customers", w.bob, "wallet", b.add(-2))
			rec, err := tx.Get(b.ctx, "customers", w.bob)
			b.ok(err)
			b.is(rec.Get("wallet").Int(), 3)
			return nil
		}},
		{"leases", func(b *bench, tx store.Tx, w *world) error {
			b.ok(tx.Delete(b.ctx, "leases", w.lease))
			put(b, tx, "leases", "id", w.lease, "name", "x", "count", 1)
			over(b, tx, "leases", w.lease, "count", b.add(1))
			found, err := tx.Find(b.ctx, query.Query{Plan: bySlot("leases", "name", typeText),
				Args: []value.Value{of("x")}})
			b.ok(err)
			b.is(len(found), 1)
			b.is(found[0].Get("count").Int(), 2)
			return tx.Delete(b.ctx, "leases", w.lease)
		}},
	}
}
