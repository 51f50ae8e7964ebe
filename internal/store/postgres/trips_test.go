package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// bazaar is a store with people, products of makers, orders and their lines.
type bazaar struct {
	testing.TB
	*Store
	trips *atomic.Int64
	keys  int
}

func openBazaar(t *testing.T) *bazaar {
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	b := &bazaar{TB: t, trips: count(d)}
	b.Store, err = open(t.Context(), d, Config{})
	must(t, err)
	t.Cleanup(func() { must(t, b.Close()) })
	whole := func(name string) value.Field {
		return value.Field{Name: name, Type: value.Type{Kind: value.TypeInt}}
	}
	to := func(name, of string) value.Field {
		return value.Field{Name: name, Type: value.Type{Kind: value.TypeRelation, Of: of}}
	}
	_, err = b.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(
		&spec.Schema{Collections: []*spec.Table{
			storetest.Table(spec.Users, whole("wallet")),
			storetest.Table("makers", whole("sold")),
			storetest.Table("products", to("maker", "makers"), whole("stock")),
			storetest.Table("orders", to("customer", spec.Users)),
			storetest.Table("lines", to("order", "orders"), to("product", "products")),
		}}), nil)
	must(t, err)
	return b
}

// write is a call of somebody who says which records it names.
func (b *bazaar) write(
	who ident.Record, names map[ident.Record]string, fn func(context.Context, store.Tx) error,
) error {
	b.keys++
	ctx := store.Naming(b.Context(), func(yield func(string, ident.Record) bool) {
		for id, collection := range names {
			if !yield(collection, id) {
				return
			}
		}
	})
	origin := journal.Origin{Operation: "test", Key: fmt.Sprint(b.keys),
		Subject: ident.Subject{Who: ident.User, ID: who}}
	_, err := b.Write(ctx, origin, func(tx store.Tx) error { return fn(ctx, tx) })
	return err
}

// make inserts a record.
func (b *bazaar) make(
	ctx context.Context, tx store.Tx, collection string, fields map[string]value.Value,
) (ident.Record, error) {
	r := value.NewRecord(b.Schema().Table(collection).Shape)
	for name, v := range fields {
		r.Set(name, v)
	}
	r, err := tx.Put(ctx, collection, r)
	if err != nil {
		return "", err
	}
	return ident.Record(r.Slots[spec.SlotID].Text()), nil
}

// add changes a number of a record, and returns the record.
func add(
	ctx context.Context, tx store.Tx, collection string, id ident.Record, field string, n int64,
) (value.Record, error) {
	r, err := tx.Get(ctx, collection, id)
	if err != nil {
		return r, err
	}
	r.Set(field, value.OfInt(r.Get(field).Int()+n))
	return tx.Put(ctx, collection, r)
}

// stocked makes a person and products, each of a maker of its own.
func (b *bazaar) stocked(products int) (who ident.Record, ids []ident.Record) {
	must(b, b.write("", nil, func(ctx context.Context, tx store.Tx) (err error) {
		ids = nil
		who, err = b.make(ctx, tx, spec.Users, map[string]value.Value{"wallet": value.OfInt(0)})
		for range products {
			var maker, id ident.Record
			if err == nil {
				maker, err = b.make(ctx, tx, "makers", map[string]value.Value{"sold": value.OfInt(0)})
			}
			if err == nil {
				id, err = b.make(ctx, tx, "products", map[string]value.Value{
					"maker": value.OfText(string(maker)), "stock": value.OfInt(1000)})
			}
			ids = append(ids, id)
		}
		return err
	}))
	return who, ids
}

// checkout buys one of each product, in the order of an action: who asks, the products,
// the order, its lines.
func (b *bazaar) checkout(who ident.Record, products []ident.Record) error {
	names := map[ident.Record]string{}
	for _, id := range products {
		names[id] = "products"
	}
	return b.write(who, names, func(ctx context.Context, tx store.Tx) error {
		for _, id := range products {
			if _, err := add(ctx, tx, "products", id, "stock", -1); err != nil {
				return err
			}
		}
		if _, err := add(ctx, tx, spec.Users, who, "wallet", -1); err != nil {
			return err
		}
		order, err := b.make(ctx, tx, "orders", map[string]value.Value{
			"customer": value.OfText(string(who))})
		for _, id := range products {
			if err == nil {
				_, err = b.make(ctx, tx, "lines", map[string]value.Value{
					"order": value.OfText(string(order)), "product": value.OfText(string(id))})
			}
		}
		return err
	})
}

// A whole checkout, with the look at the session, waits four times at most, however many
// products it names: for the session, for all that it names, and for its group.
func TestACheckoutWaitsFourTimes(t *testing.T) {
	b := openBazaar(t)
	who, products := b.stocked(10)
	for _, n := range []int{1, 10} {
		got := fewest(t, b.trips, 4, func(int) error {
			err := b.Read(store.Brief(t.Context()), func(v store.View) error {
				_, err := v.Get(t.Context(), spec.Users, who)
				return err
			})
			if err != nil {
				return err
			}
			return b.checkout(who, products[:n])
		})
		t.Logf("a checkout of %d products: %d round trips", n, got)
		if got > 4 {
			t.Errorf("a checkout of %d products waited %d times, want at most 4", n, got)
		}
	}
}

// Who follows a relation of one of several records has those of the others as well.
func TestRelationsAreFollowedTogether(t *testing.T) {
	b := openBazaar(t)
	who, products := b.stocked(12)
	plan := &query.Plan{From: "products"}
	sold := int64(0)
	sell := func(int) error {
		sold++
		return b.write(who, nil, func(ctx context.Context, tx store.Tx) error {
			found, err := tx.Find(ctx, query.Query{Plan: plan})
			for _, r := range found {
				if err == nil {
					_, err = add(ctx, tx, "makers", ident.Record(r.Get("maker").Text()), "sold", 1)
				}
			}
			return err
		})
	}
	// The key, the products, their makers, the group.
	if got := fewest(t, b.trips, 4, sell); got > 4 {
		t.Errorf("a call that follows %d relations waited %d times, want at most 4",
			len(products), got)
	}
	must(t, b.Read(t.Context(), func(v store.View) error {
		found, err := v.Find(t.Context(), query.Query{Plan: &query.Plan{From: "makers"}})
		for _, r := range found {
			if got := r.Get("sold").Int(); got != sold {
				t.Errorf("a maker sold %d, want %d", got, sold)
			}
		}
		return err
	}))
}

// What is named is not thereby there, nor read: a name of nothing is not found, and a
// record that was only named may be changed by others.
func TestNamesAreNoReads(t *testing.T) {
	b := openBazaar(t)
	who, products := b.stocked(1)
	nothing := ident.NewRecord()
	err := b.write(who, map[ident.Record]string{nothing: "products"},
		func(ctx context.Context, tx store.Tx) error {
			_, err := tx.Get(ctx, "products", nothing)
			return err
		})
	if err == nil || fault.From(err).Kind != fault.NotFound {
		t.Errorf("a record that is not there: %v", err)
	}
	for _, read := range []bool{false, true} {
		calls := 0
		names := map[ident.Record]string{products[0]: "products"}
		must(t, b.write(who, names, func(ctx context.Context, tx store.Tx) error {
			if _, err := add(ctx, tx, spec.Users, who, "wallet", 1); err != nil {
				return err
			}
			if read {
				if _, err := tx.Get(ctx, "products", products[0]); err != nil {
					return err
				}
			}
			if calls++; calls > 1 {
				return nil
			}
			return b.write("", nil, func(ctx context.Context, tx store.Tx) error {
				_, err := add(ctx, tx, "products", products[0], "stock", -1)
				return err
			})
		}))
		if want := map[bool]int{false: 1, true: 2}[read]; calls != want {
			t.Errorf("read %v: the function was called %d times, want %d", read, calls, want)
		}
	}
}

// A call whose first question is asked together with those of others, and that asks more,
// sees one state all the same.
func TestACallThatAsksMoreSeesOneState(t *testing.T) {
	b := openBazaar(t)
	who, products := b.stocked(2)
	moved := false
	move := func(ctx context.Context, tx store.Tx) error {
		_, err := add(ctx, tx, "products", products[0], "stock", -1)
		if err == nil {
			_, err = add(ctx, tx, "products", products[1], "stock", 1)
		}
		return err
	}
	sums := 0
	must(t, b.write(who, map[ident.Record]string{products[0]: "products"},
		func(ctx context.Context, tx store.Tx) error {
			first, err := tx.Get(ctx, "products", products[0])
			if err != nil {
				return err
			}
			if !moved {
				moved = true
				must(t, b.write("", nil, move))
			}
			second, err := tx.Get(ctx, "products", products[1])
			if err != nil {
				return err
			}
			sums++
			if got := first.Get("stock").Int() + second.Get("stock").Int(); got != 2000 {
				t.Errorf("got a sum of %d, want 2000", got)
			}
			return nil
		}))
	if sums == 0 {
		t.Error("nobody added up")
	}
}
