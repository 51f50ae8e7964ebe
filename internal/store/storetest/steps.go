package storetest

import (
	"fmt"
	"math"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// The steps of one call, in orders in which they cannot be done in the end all at once,
// and with a question among them that fails.

// taker takes the steps of a call until one fails.
type taker struct {
	b   *bench
	tx  store.Tx
	tag string
	err error
}

func (s *taker) put(collection string, pairs ...any) (id ident.Record) {
	if s.err == nil {
		var r value.Record
		if r, s.err = s.tx.Put(s.b.ctx, collection, s.b.record(collection, pairs...)); s.err == nil {
			id = idOf(r)
		}
	}
	return id
}

func (s *taker) sku(id ident.Record, sku string) {
	s.put("products", "id", id, "version", nil, "sku", s.tag+sku)
}

func (s *taker) delete(collection string, id ident.Record) {
	if s.err == nil {
		s.err = s.tx.Delete(s.b.ctx, collection, id)
	}
}

// orders are steps that leave two products with the values a and b.
var orders = []func(s *taker, one, two ident.Record){
	func(s *taker, one, two ident.Record) { // they change places
		s.sku(one, "c")
		s.sku(two, "a")
		s.sku(one, "b")
	},
	func(s *taker, one, two ident.Record) { // a new one takes over
		put := s.put("products", "sku", s.tag+"c", "title", "t", "stock", 1, "open", true)
		s.sku(two, "d")
		s.sku(put, "b")
		s.delete("products", one)
		s.sku(put, "a")
		s.sku(two, "b")
	},
	func(s *taker, one, two ident.Record) { // a child leaves, its parent goes
		old := s.put("folders", "name", s.tag+"old")
		child := s.put("folders", "name", s.tag, "parent", old)
		parent := s.put("folders", "name", s.tag+"new")
		s.put("folders", "id", child, "version", nil, "parent", parent)
		s.delete("folders", old)
		s.sku(one, "c")
		s.sku(two, "a")
		s.sku(one, "b")
	},
	func(s *taker, one, two ident.Record) { // one goes and comes again
		s.delete("products", one)
		s.sku(two, "a")
		s.put("products", "id", one, "sku", s.tag+"b", "title", "t", "stock", 1, "open", true)
	},
}

// ordersOfUniqueValues passes unique values on within one call, and looks at the records
// afterwards or not: what counts is the order of the call's own steps.
func ordersOfUniqueValues(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n, steps := range orders {
		for _, looks := range []bool{false, true} {
			for _, again := range []bool{false, true} {
				tag := fmt.Sprint("order", n, looks, again)
				one, two := b.product(tag+"a", 1), b.product(tag+"b", 1)
				other := b.product(tag+"other", 1)
				fn := func(tx store.Tx, _ int) error {
					s := &taker{b: b, tx: tx, tag: tag}
					if steps(s, one, two); s.err != nil || !looks {
						return s.err
					}
					rows, err := tx.Find(b.ctx, query.Query{Plan: bySlot("products", "sku", typeText),
						Args: []value.Value{of(tag + "a")}})
					if err == nil {
						b.is(len(rows), 1)
					}
					return err
				}
				if again { // it runs a second time
					out, _ := b.rerun(b.ctx, b.fresh(), other, fn)
					b.ok(out.err)
				} else {
					_, err := b.write(b.fresh(), func(tx store.Tx) error { return fn(tx, 0) })
					b.ok(err)
				}
				for _, sku := range []string{"a", "b"} {
					b.is(len(b.find(bySlot("products", "sku", typeText), of(tag+sku))), 1)
				}
			}
		}
	}
	b.whole()
}

// aQuestionThatFails lets a call ask for a sum that is beyond its numbers, and go on: what
// it does besides is done.
func aQuestionThatFails(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 2 {
		b.put("products", "sku", fmt.Sprint("most", n), "title", "most", "stock",
			int64(math.MaxInt64), "open", true)
	}
	sum := &query.Plan{From: "products", Where: query.Same{L: in("products", "title", typeText),
		R: query.Param{Type: typeText}}, Aggregates: []query.Aggregate{
		{Func: "sum", Of: in("products", "stock", typeInt)}},
		Out: value.NewShape("out", []value.Field{{Name: "sum", Type: maybeInt}})}
	for n := range 4 {
		id := b.product(fmt.Sprint("p", n), 1)
		fn := func(tx store.Tx, _ int) error {
			put := func(name string) {
				_, err := tx.Put(b.ctx, "customers", b.record("customers", "name", name, "wallet", 1))
				if f := fault.From(err); f != nil && f.Kind != fault.Internal {
					b.ok(err)
				}
			}
			if n%2 == 0 {
				put("before")
			}
			_, err := tx.Find(b.ctx, query.Query{Plan: sum, Args: []value.Value{of("most")}})
			b.want(err, fault.Invalid, "")
			if _, err := tx.Get(b.ctx, "products", id); err != nil {
				return err
			}
			put("after")
			return nil
		}
		if n < 2 {
			_, err := b.write(b.fresh(), func(tx store.Tx) error { return fn(tx, 0) })
			b.ok(err)
		} else {
			out, _ := b.rerun(b.ctx, b.fresh(), id, fn)
			b.ok(out.err)
		}
	}
	b.is(len(b.find(bySlot("customers", "name", typeText), of("before"))), 2)
	b.is(len(b.find(bySlot("customers", "name", typeText), of("after"))), 4)
}

// whatWasFoundIsTheCallers changes what a call has found, and finds it again, in its
// first run and in the one after another has come between.
func whatWasFoundIsTheCallers(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.put("customers", "name", "ana", "wallet", 1)
	plan := bySlot("customers", "name", typeText)
	for n := range 4 {
		id := b.product(fmt.Sprint("p", n), 1)
		out, _ := b.rerun(b.ctx, b.fresh(), id, func(tx store.Tx, _ int) error {
			for range 3 {
				rows, err := tx.Find(b.ctx, query.Query{Plan: plan, Args: []value.Value{of("ana")}})
				if err != nil {
					return err
				}
				b.is(len(rows), 1)
				b.is(rows[0].Get("wallet").Int(), 1)
				rows[0].Set("wallet", value.OfInt(7))
				rows[0].Set("name", value.OfText("bob"))
			}
			_, err := tx.Put(b.ctx, "folders", b.record("folders", "name", "x"))
			return err
		})
		b.ok(out.err)
	}
}

// refusedBesideAValue lets a unique value be taken after a call has put it, which then
// refuses for another reason: the refusal that is kept is that of one after the other.
func refusedBesideAValue(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	for n := range 4 {
		sku, o := fmt.Sprint("sku", n), b.fresh()
		o.Key = "k"
		put := func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "products", b.record("products", "sku", sku, "title", "t",
				"stock", 1, "open", true))
			return err
		}
		var taken outcome
		other := b.beside(func() { taken.entry, taken.err = b.write(b.fresh(), put) })
		call := func(tx store.Tx) error {
			if err := put(tx); err != nil {
				return err
			}
			other.now()
			return fault.WithCode(fault.Refused, "no", "No.")
		}
		e, err := b.write(o, call)
		other.wait()
		b.ok(taken.err)
		code := "no"
		if taken.entry.Seq.Compare(e.Seq) < 0 {
			code = "already_exists"
		}
		b.is(codeOf(err), code)
		_, err = b.write(o, call)
		b.is(codeOf(err), code)
	}
}
