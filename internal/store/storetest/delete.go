package storetest

import (
	"fmt"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

func (b *bench) delete(collection string, id ident.Record) (journal.Entry, error) {
	return b.write(journal.Origin{}, func(tx store.Tx) error {
		return tx.Delete(b.ctx, collection, id)
	})
}

func deleteInUse(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	ana := idOf(b.put("customers", "name", "ana", "wallet", 1))
	order := idOf(b.put("orders", "customer", ana, "total", 1))
	_, err := b.delete("customers", ana)
	f := b.want(err, fault.Refused, "in_use")
	b.is(f.Data[0].Value, "orders")
	b.is(f.Data[1].Value, "customer")
	_, err = b.delete("orders", order)
	b.ok(err)
	e, err := b.delete("customers", ana)
	b.ok(err)
	b.is(e.Changes[0].Before.Get("name").Text(), "ana")
	b.is(e.Changes[0].After.Zero(), true)
	_, err = b.delete("customers", ana)
	b.want(err, fault.NotFound, "")
}

func deleteTakesAndClears(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	ana := idOf(b.put("customers", "name", "ana", "wallet", 1))
	pen := b.product("pen", 5)
	order := idOf(b.put("orders", "customer", ana, "total", 1))
	var items []ident.Record
	for n := range 3 {
		items = append(items, idOf(b.put("order_items", "order", order, "product", pen,
			"quantity", n)))
	}
	e, err := b.delete("products", pen)
	b.ok(err)
	b.is(len(e.Changes), 4)
	for _, id := range items {
		b.is(b.get("order_items", id).Get("product").Kind(), value.Null)
		b.is(b.get("order_items", id).Get("version").Int(), 2)
	}
	e, err = b.delete("orders", order)
	b.ok(err)
	b.is(len(e.Changes), 4)
	b.is(len(b.find(all("order_items"))), 0)
}

func deleteTree(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	top := idOf(b.put("folders", "name", "top"))
	for n := range 3 {
		mid := idOf(b.put("folders", "name", fmt.Sprint(n), "parent", top))
		for m := range 3 {
			b.put("folders", "name", fmt.Sprint(n, m), "parent", mid)
		}
	}
	b.put("folders", "name", "other")
	e, err := b.delete("folders", top)
	b.ok(err)
	b.is(len(e.Changes), 13)
	b.is(len(b.find(all("folders"))), 1)
}

// deleteRing deletes records that point at each other, and sees that relations are
// looked at as before afterwards.
func deleteRing(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	one := idOf(b.put("folders", "name", "one"))
	two := idOf(b.put("folders", "name", "two", "parent", one))
	b.put("folders", "id", one, "version", nil, "parent", two)
	self := ident.NewRecord()
	b.put("folders", "id", self, "name", "self", "parent", self)
	b.must(func(tx store.Tx) error {
		b.ok(tx.Delete(b.ctx, "folders", one))
		b.ok(tx.Delete(b.ctx, "folders", self))
		_, err := tx.Put(b.ctx, "folders", b.record("folders", "name", "x", "parent", two))
		b.want(err, fault.Invalid, "")
		return nil
	})
	b.is(len(b.find(all("folders"))), 0)
}

func deleteBounded(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	top := idOf(b.put("folders", "name", "top"))
	b.must(func(tx store.Tx) error {
		for range 10_001 {
			if _, err := tx.Put(b.ctx, "folders", b.record("folders", "name", "x", "parent",
				top)); err != nil {
				return err
			}
		}
		return nil
	})
	_, err := b.delete("folders", top)
	b.want(err, fault.Refused, "in_use")
	b.is(len(b.find(all("folders"))), 10_002)
}
