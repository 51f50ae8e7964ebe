package storetest

import (
	"math"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

func valuesComeBack(r Report, p Place) {
	b := start(r, p, Faults{})
	texts := []string{"", "plain", "zürich 東京 🚢", "a\x00b", `"quoted" \ and 'more'`,
		strings.Repeat("x", 70_000), "line\nline", "\u2028\u2029", "--; drop table"}
	day := value.OfMillis(value.Time, -1)
	place := b.Schema().Table("customers").Shape.Fields()[spec.SlotFirst+2].Type.Fields
	home := value.NewRecord(place)
	home.Set("city", value.OfText(`St. "Gallen"`))
	home.Set("since", day)
	type stored struct {
		collection string
		record     value.Record
	}
	var all []stored
	for i, text := range texts {
		all = append(all, stored{"customers", b.put("customers", "name", text,
			"wallet", value.OfInt(value.IntMax), "place", value.OfRecord(home))})
		all = append(all, stored{"products", b.put("products", "sku", text, "title", text,
			"stock", i, "price", math.MaxFloat64, "open", i%2 == 0, "sold", day,
			"tags", value.OfList([]value.Value{value.OfText(text), value.OfText("]")}))})
		all = append(all, stored{"products", b.put("products", "sku", text+".", "title", text,
			"stock", i, "price", -0.1, "open", true, "tags", value.OfList([]value.Value{}))})
	}
	for range 2 {
		for _, s := range all {
			got := b.get(s.collection, idOf(s.record))
			for i := range got.Slots {
				if !got.Slots[i].Equal(s.record.Slots[i]) || got.Slots[i].Kind() !=
					s.record.Slots[i].Kind() {
					b.Errorf("%s: got %s, want %s", got.Shape.Fields()[i].Name, print(got),
						print(s.record))
				}
			}
		}
		b.close()
		b = resume(r, p, Faults{})
	}
	b.close()
}

func putSetsSystemFields(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	at := time.Date(2026, 3, 4, 5, 6, 7, 8_999_999, time.UTC)
	var rec value.Record
	put := func(o journal.Origin, pairs ...any) journal.Entry {
		e, err := b.write(o, func(tx store.Tx) (err error) {
			rec, err = tx.Put(b.ctx, "customers", b.record("customers", pairs...))
			return err
		})
		b.ok(err)
		return e
	}
	e := put(journal.Origin{Now: at}, "name", "ana", "wallet", 1, "created", day(1), "updated",
		day(1), "version", 0)
	b.is(e.At, at.Truncate(time.Millisecond))
	b.is(rec.Get("created").Time(), e.At)
	b.is(rec.Get("updated").Time(), e.At)
	b.is(rec.Get("version").Int(), 1)
	b.is(len(idOf(rec)), 26)
	later := at.Add(time.Hour)
	put(journal.Origin{Now: later}, "id", idOf(rec), "version", 1, "name", "bea",
		"created", day(1))
	b.is(rec.Get("created").Time(), e.At)
	b.is(rec.Get("updated").Time(), later.Truncate(time.Millisecond))
	b.is(rec.Get("version").Int(), 2)
	own := ident.NewRecord()
	put(journal.Origin{}, "id", own, "name", "own", "wallet", 1)
	b.is(idOf(rec), own)
	_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", own, "name", "again",
			"wallet", 1))
		return err
	})
	b.want(err, fault.Exists, "")
}

func day(n int64) value.Value { return value.OfMillis(value.Time, n*86_400_000) }

func absentKeeps(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("a", 4)
	b.put("products", "id", id, "version", nil, "title", "new", "sold", day(3))
	got := b.get("products", id)
	b.is(got.Get("stock").Int(), 4)
	b.is(got.Get("title").Text(), "new")
	b.put("products", "id", id, "version", nil, "sold", nil)
	b.is(b.get("products", id).Get("sold").Kind(), value.Null)
	_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
			"title", nil))
		return err
	})
	b.is(b.want(err, fault.Invalid, "").Items[0].Pointer, "#/title")
	_, err = b.write(journal.Origin{}, func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "products", b.record("products", "sku", "b", "stock", 1))
		return err
	})
	b.is(b.want(err, fault.Invalid, "").Items[0].Pointer, "#/title")
}

func versionsGuard(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("a", 4)
	for _, c := range []struct {
		id      ident.Record
		version any
		kind    fault.Kind
	}{
		{id, 2, fault.Stale}, {id, -1, fault.Stale}, {id, 0, fault.Exists},
		{ident.NewRecord(), 1, fault.NotFound}, {ident.NewRecord(), nil, fault.NotFound},
	} {
		_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "products", b.record("products", "id", c.id, "version",
				c.version, "sku", "a", "title", "t", "stock", 1, "open", true))
			return err
		})
		b.want(err, c.kind, "")
	}
	b.put("products", "id", id, "version", 1, "stock", 3)
	b.put("products", "id", id, "version", 2, "stock", 2)
	b.put("products", "id", id, "version", nil, "stock", 1)
	b.is(b.get("products", id).Get("version").Int(), 4)
}

func operatorsApply(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("a", 4)
	one, two := value.OfText("one"), value.OfText("two")
	for _, c := range []struct {
		field   string
		op      value.Op
		operand value.Value
		want    string
	}{
		{"stock", value.OpAdd, value.OfInt(3), "7"},
		{"stock", value.OpAdd, value.OfInt(-2), "5"},
		{"stock", value.OpMax, value.OfInt(4), "5"},
		{"stock", value.OpMax, value.OfInt(9), "9"},
		{"stock", value.OpMin, value.OfInt(8), "8"},
		{"stock", value.OpMin, value.OfInt(10), "8"},
		{"price", value.OpAdd, value.OfFloat(0.5), "0.5"},
		{"price", value.OpAdd, value.OfInt(1), "1.5"},
		{"price", value.OpMin, value.OfFloat(-1), "-1"},
		{"tags", value.OpRemove, one, "null"},
		{"tags", value.OpAppend, one, `["one"]`},
		{"tags", value.OpAppend, two, `["one","two"]`},
		{"tags", value.OpAppend, one, `["one","two","one"]`},
		{"tags", value.OpRemove, one, `["two"]`},
		{"tags", value.OpRemove, one, `["two"]`},
	} {
		rec := b.put("products", "id", id, "version", nil, c.field,
			value.OfOp(c.op, c.operand))
		b.is(string(value.AppendJSON(nil, rec.Get(c.field))), c.want)
		b.is(string(value.AppendJSON(nil, b.get("products", id).Get(c.field))), c.want)
	}
}

func operatorsKeepBounds(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("a", 4)
	for _, v := range []value.Value{
		value.OfOp(value.OpAdd, value.OfInt(-5)),
		value.OfOp(value.OpAdd, value.OfInt(value.IntMax)),
		value.OfOp(value.OpMin, value.OfInt(-1)),
		value.OfOp(value.OpAppend, value.OfInt(1)),
		value.OfOp(value.OpAdd, value.OfText("1")),
	} {
		_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
				"stock", v))
			return err
		})
		b.is(b.want(err, fault.Invalid, "").Items[0].Pointer, "#/stock")
	}
	b.is(b.get("products", id).Get("stock").Int(), 4)
}

func uniqueOnce(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.product("a", 1)
	other := b.product("b", 1)
	for _, rec := range []value.Record{
		b.record("products", "sku", "a", "title", "t", "stock", 1, "open", true),
		b.record("products", "id", other, "version", nil, "sku", "a"),
	} {
		b.must(func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "products", rec)
			f := b.want(err, fault.Exists, "already_exists")
			b.is(f.Items[0].Pointer, "#/sku")
			return nil // what stands against one record does not end the call
		})
	}
	b.product("A", 1)
}

func relationsExist(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	_, err := b.write(journal.Origin{}, func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "orders", b.record("orders", "customer", ident.NewRecord(),
			"total", 1))
		return err
	})
	f := b.want(err, fault.Invalid, "")
	b.is(f.Items[0].Pointer, "#/customer")
	ana := b.put("customers", "name", "ana", "wallet", 1)
	order := b.put("orders", "customer", idOf(ana), "total", 1)
	_, err = b.write(journal.Origin{}, func(tx store.Tx) error {
		_, err := tx.Put(b.ctx, "orders", b.record("orders", "id", idOf(order), "version", nil,
			"customer", "nobody"))
		return err
	})
	b.want(err, fault.Invalid, "")
}

func ownWrites(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("a", 1)
	b.must(func(tx store.Tx) error {
		rec, err := tx.Get(b.ctx, "products", id)
		b.ok(err)
		b.is(len(tx.Changes()), 0)
		rec.Set("stock", value.OfInt(9))
		_, err = tx.Put(b.ctx, "products", rec)
		b.ok(err)
		rec, err = tx.Get(b.ctx, "products", id)
		b.ok(err)
		b.is(rec.Get("stock").Int(), 9)
		rec.Set("stock", value.OfInt(10))
		_, err = tx.Put(b.ctx, "products", rec)
		b.ok(err)
		found, err := tx.Find(b.ctx, queryOf(all("products")))
		b.ok(err)
		b.is(found[0].Get("stock").Int(), 10)
		b.is(len(tx.Changes()), 1)
		b.is(tx.Changes()[0].Before.Get("stock").Int(), 1)
		b.is(tx.Changes()[0].After.Get("stock").Int(), 10)
		b.ok(tx.Delete(b.ctx, "products", id))
		_, err = tx.Get(b.ctx, "products", id)
		b.want(err, fault.NotFound, "")
		b.want(tx.Delete(b.ctx, "products", id), fault.NotFound, "")
		b.is(tx.Changes()[0].After.Zero(), true)
		_, err = tx.Put(b.ctx, "products", b.record("products", "id", id, "sku", "a",
			"title", "again", "stock", 2, "open", true))
		b.ok(err)
		b.is(len(tx.Changes()), 1)
		return nil
	})
	b.is(b.get("products", id).Get("title").Text(), "again")
	// Many records in one call are found again, too.
	var ids []ident.Record
	b.must(func(tx store.Tx) error {
		for range 100 {
			rec, err := tx.Put(b.ctx, "customers", b.record("customers", "name", "x", "wallet", 1))
			b.ok(err)
			ids = append(ids, idOf(rec))
		}
		for _, id := range ids {
			_, err := tx.Put(b.ctx, "customers", b.record("customers", "id", id, "version", 1,
				"wallet", 2))
			b.ok(err)
		}
		b.is(len(tx.Changes()), 100)
		return nil
	})
}

func recordsAreTheCallers(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	id := b.product("a", 1)
	b.must(func(tx store.Tx) error {
		rec, err := tx.Get(b.ctx, "products", id)
		b.ok(err)
		rec.Set("title", value.OfText("spoiled"))
		rec, err = tx.Put(b.ctx, "products", b.record("products", "id", id, "version", nil,
			"stock", 2))
		b.ok(err)
		b.is(rec.Get("title").Text(), "t")
		rec.Set("title", value.OfText("spoiled"))
		return nil
	})
	b.is(b.get("products", id).Get("title").Text(), "t")
	all := b.entries()
	b.is(all[len(all)-1].Changes[0].After.Get("title").Text(), "t")
}

func txEnds(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	var kept store.Tx
	b.must(func(tx store.Tx) error {
		kept = tx
		return nil
	})
	_, err := kept.Put(b.ctx, "customers", b.record("customers", "name", "x", "wallet", 1))
	b.want(err, fault.Internal, "")
	_, err = kept.Find(b.ctx, queryOf(all("customers")))
	b.want(err, fault.Internal, "")
}
