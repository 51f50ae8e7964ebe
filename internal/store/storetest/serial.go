package storetest

import (
	"fmt"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// dry runs a call that is not kept.
func (b *bench) dry(fn func(tx store.Tx) error) error {
	o := b.fresh()
	o.DryRun = true
	_, err := b.write(o, fn)
	return err
}

// readsHold lets every kind of change be committed while a call looks in every way
// that there is. What the call saw must be what was true at its place in the journal.
func readsHold(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	n := 0
	for _, look := range probes() {
		for _, other := range changes() {
			for _, early := range []bool{true, false} {
				n++
				b.readHolds(b.world(fmt.Sprintf("w%d.", n)), look, other, early)
			}
		}
	}
	b.whole()
}

func (b *bench) readHolds(w *world, look probe, other change, early bool) {
	var before, after string
	var allowed error
	b.ok(b.dry(func(tx store.Tx) (err error) {
		before, err = look.look(b, tx, w)
		return err
	}))
	b.ok(b.dry(func(tx store.Tx) (err error) {
		if allowed = other.make(b, tx, w); allowed != nil {
			return nil
		}
		after, err = look.look(b, tx, w)
		return err
	}))
	var saw string
	one, two, inside := b.two(func(tx store.Tx, now func()) (err error) {
		if early {
			now()
		}
		if saw, err = look.look(b, tx, w); err != nil {
			return err
		}
		if !early {
			now()
		}
		_, err = tx.Put(b.ctx, "folders", b.record("folders", "name", "saw "+saw))
		return err
	}, func(tx store.Tx) error { return other.make(b, tx, w) })
	name := fmt.Sprintf("%s beside %s (early %v, inside %v)", look.name, other.name, early, inside)
	if one.err != nil {
		b.Errorf("%s: the call ended with %v", name, one.err)
		return
	}
	want := []string{before}
	switch second := two.entry.Seq; {
	case two.err != nil:
		// It came later and met what the call left, or was refused anyway.
		if k := fault.From(two.err).Kind; k == fault.Internal || k == fault.Unavailable {
			b.Errorf("%s: the other ended with %v", name, two.err)
		}
	case inside || second != journal.Seq{} && second.Compare(one.entry.Seq) < 0:
		want = []string{after}
	case second == journal.Seq{}:
		want = append(want, after)
	}
	for _, text := range want {
		if saw == text {
			return
		}
	}
	b.Errorf("%s: saw %s, want %v", name, saw, want)
}

// refusalsAreTrue lets a call find no stock and refuse, while another restocks: a
// refusal that stands behind the restocking in the journal would be a lie for ever.
func refusalsAreTrue(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 10 {
		id := b.product(fmt.Sprint("p", n), 0)
		o := b.fresh()
		o.Key = "k"
		var other outcome
		restock := b.beside(func() {
			other.entry, other.err = b.write(b.fresh(), func(tx store.Tx) error {
				_, err := tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
					"stock", 1))
				return err
			})
		})
		buy := func(tx store.Tx) error {
			rec, err := tx.Get(b.ctx, "products", id)
			if err != nil {
				return err
			}
			restock.now()
			if rec.Get("stock").Int() == 0 {
				return fault.WithCode(fault.Refused, "sold_out", "Sold out.")
			}
			rec.Set("stock", value.OfInt(0))
			_, err = tx.Put(b.ctx, "products", rec)
			return err
		}
		e, err := b.write(o, buy)
		restock.wait()
		b.ok(other.err)
		if err != nil {
			b.want(err, fault.Refused, "sold_out")
			if other.entry.Seq.Compare(e.Seq) < 0 {
				b.Errorf("refused at %v for want of what came at %v", e.Seq, other.entry.Seq)
			}
		}
		again, err2 := b.write(o, buy)
		b.is(again.Replayed, true)
		b.is(again.Seq, e.Seq)
		b.is(codeOf(err2), codeOf(err))
	}
}

// noLostUpdate adds twice to what was read, in a collection of the journal and in a
// quiet one.
func noLostUpdate(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for _, c := range []struct{ collection, field string }{
		{"products", "stock"}, {"leases", "count"}} {
		for n := range 10 {
			var id ident.Record
			if c.collection == "products" {
				id = b.product(fmt.Sprint("p", n), 0)
			} else {
				id = idOf(b.put("leases", "name", "x", "count", 0))
			}
			add := func(tx store.Tx, now func()) error {
				rec, err := tx.Get(b.ctx, c.collection, id)
				if err != nil {
					return err
				}
				now()
				_, err = tx.Put(b.ctx, c.collection, b.record(c.collection, "id", id, "version",
					nil, c.field, rec.Get(c.field).Int()+1))
				return err
			}
			one, two, inside := b.two(add, func(tx store.Tx) error { return add(tx, func() {}) })
			b.ok(one.err)
			b.ok(two.err)
			if got := b.get(c.collection, id).Get(c.field).Int(); got != 2 {
				b.Errorf("%s: two added one each and made it %d (inside %v)", c.collection, got,
					inside)
			}
		}
	}
}

// noWriteSkew lets two take the last of a pair each, having seen that the other is
// there: looked up by id, by a query, by a sum, and in a subquery.
func noWriteSkew(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	open := bySlot("products", "title", typeText)
	sum := &query.Plan{From: "products", Where: open.Where, Aggregates: []query.Aggregate{
		{Func: "sum", Of: in("products", "stock", typeInt)}},
		Out: value.NewShape("out", []value.Field{{Name: "sum", Type: maybeInt}})}
	for n, count := range []func(tx store.Tx, tag string, ids []ident.Record) (int64, error){
		func(tx store.Tx, _ string, ids []ident.Record) (sum int64, err error) {
			for _, id := range ids {
				rec, err := tx.Get(b.ctx, "products", id)
				if err != nil {
					return 0, err
				}
				sum += rec.Get("stock").Int()
			}
			return sum, nil
		},
		func(tx store.Tx, tag string, _ []ident.Record) (sum int64, err error) {
			rows, err := tx.Find(b.ctx, query.Query{Plan: open, Args: []value.Value{of(tag)}})
			for _, rec := range rows {
				sum += rec.Get("stock").Int()
			}
			return sum, err
		},
		func(tx store.Tx, tag string, _ []ident.Record) (int64, error) {
			rows, err := tx.Find(b.ctx, query.Query{Plan: sum, Args: []value.Value{of(tag)}})
			if err != nil {
				return 0, err
			}
			return rows[0].Get("sum").Int(), nil
		},
	} {
		tag := fmt.Sprint("pair", n)
		ids := []ident.Record{b.product(tag+"a", 1), b.product(tag+"b", 1)}
		for _, id := range ids {
			b.put("products", "id", id, "version", nil, "title", tag)
		}
		leave := func(id ident.Record) func(store.Tx, func()) error {
			return func(tx store.Tx, now func()) error {
				left, err := count(tx, tag, ids)
				if err != nil {
					return err
				}
				now()
				if left < 2 {
					return fault.New(fault.Refused, "The last one stays.")
				}
				_, err = tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
					"stock", 0))
				return err
			}
		}
		one, two, inside := b.two(leave(ids[0]), func(tx store.Tx) error {
			return leave(ids[1])(tx, func() {})
		})
		if codes := one.code() + two.code(); codes != "refused" {
			b.Errorf("case %d: the calls ended with %q (inside %v), want one refusal", n, codes,
				inside)
		}
	}
}

// noPhantoms lets two insert what there may be one of only: each has looked.
func noPhantoms(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for _, c := range []struct {
		collection string
		pairs      func(tag string) []any
		plan       *query.Plan
	}{
		{"customers", func(tag string) []any { return []any{"name", tag, "wallet", 1} },
			bySlot("customers", "name", typeText)},
		{"leases", func(tag string) []any { return []any{"name", tag, "count", 1} },
			bySlot("leases", "name", typeText)},
	} {
		for n := range 5 {
			tag := fmt.Sprint("only", n)
			insert := func(tx store.Tx, now func()) error {
				rows, err := tx.Find(b.ctx, query.Query{Plan: c.plan, Args: []value.Value{of(tag)}})
				if err != nil {
					return err
				}
				now()
				if len(rows) > 0 {
					return fault.New(fault.Refused, "There is one.")
				}
				_, err = tx.Put(b.ctx, c.collection, b.record(c.collection, c.pairs(tag)...))
				return err
			}
			one, two, inside := b.two(insert, func(tx store.Tx) error {
				return insert(tx, func() {})
			})
			rows := b.find(c.plan, of(tag))
			if codes := one.code() + two.code(); codes != "refused" || len(rows) != 1 {
				b.Errorf("%s: %d of one, and %q (inside %v)", c.collection, len(rows), codes, inside)
			}
		}
	}
}

// uniqueMeanwhile lets a value be taken after a call has put it: the call hears of it
// where it put it, and goes on.
func uniqueMeanwhile(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 6 {
		sku := fmt.Sprint("sku", n)
		put := func(tx store.Tx, sku string) (value.Record, error) {
			return tx.Put(b.ctx, "products", b.record("products", "sku", sku, "title", "t",
				"stock", 1, "open", true))
		}
		change := idOf(b.put("products", "sku", sku+"old", "title", "t", "stock", 1, "open", true))
		one, two, inside := b.two(func(tx store.Tx, now func()) error {
			var err error
			if n%2 == 0 {
				_, err = put(tx, sku)
			} else {
				_, err = tx.Put(b.ctx, "products", b.record("products", "id", change, "version",
					nil, "sku", sku))
			}
			if err == nil {
				now()
				return nil
			}
			f := b.want(err, fault.Exists, "already_exists")
			b.is(f.Items[0].Pointer, "#/sku")
			_, err = put(tx, sku+"-2")
			return err
		}, func(tx store.Tx) error {
			_, err := put(tx, sku)
			return err
		})
		b.ok(one.err)
		if inside {
			b.ok(two.err)
			b.is(len(one.entry.Changes), 1)
			b.is(one.entry.Changes[0].After.Get("sku").Text(), sku+"-2")
		}
		b.is(len(b.find(bySlot("products", "sku", typeText), of(sku))), 1)
	}
}

// childrenMeet lets children come while their parents go, and parents go while
// children come: cascading, clearing, and standing against it.
func childrenMeet(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 12 {
		w := b.world(fmt.Sprint("meet", n, "."))
		kinds := []struct {
			collection string
			parent     ident.Record
			child      string
			pairs      []any
		}{
			{"orders", w.order, "order_items", []any{"order", w.order, "quantity", 1}},
			{"products", w.ink, "order_items", []any{"order", w.order, "product", w.ink,
				"quantity", 1}},
			{"customers", w.bob, "orders", []any{"customer", w.bob, "total", 1}},
		}
		k := kinds[n%3]
		come := func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, k.child, b.record(k.child, k.pairs...))
			return err
		}
		goes := func(tx store.Tx) error { return tx.Delete(b.ctx, k.collection, k.parent) }
		calls := []func(store.Tx) error{come, goes}
		if n%2 == 1 {
			calls[0], calls[1] = goes, come
		}
		one, two, inside := b.two(func(tx store.Tx, now func()) error {
			err := calls[0](tx)
			now()
			return err
		}, calls[1])
		for _, o := range []outcome{one, two} {
			if c := o.code(); c != "" && c != "in_use" && c != "invalid_input" && c != "not_found" {
				b.Errorf("case %d (inside %v): got %v", n, inside, o.err)
			}
		}
		b.whole()
	}
}
