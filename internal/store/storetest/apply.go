package storetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// clone returns a copy of a schema that may be changed.
func (b *bench) clone() *spec.Schema {
	b.Helper()
	text, err := json.Marshal(b.Schema())
	b.ok(err)
	var s spec.Schema
	b.ok(json.Unmarshal(text, &s))
	return &s
}

// reshaped replaces the fields of a table by what change makes of them.
func reshaped(t *spec.Table, change func([]value.Field) []value.Field) {
	fields := append([]value.Field(nil), t.Shape.Fields()...)
	t.Shape = value.NewShape(t.Name, change(fields))
}

func adopt(s *spec.Schema, steps ...spec.Step) []spec.Step {
	return append(steps, spec.Step{Kind: spec.Adopt, Schema: s})
}

func (b *bench) apply(steps []spec.Step) (journal.Entry, error) {
	return b.Apply(b.ctx, journal.Origin{Operation: "apply"}, steps, nil)
}

func applyChangesShapes(r Report, p Place) {
	b := start(r, p, Faults{})
	ana := idOf(b.put("customers", "name", "ana", "wallet", 1))
	order := idOf(b.put("orders", "customer", ana, "total", 7, "note", "hello"))
	pen := b.product("pen", 3)
	item := idOf(b.put("order_items", "order", order, "product", pen, "quantity", 2))

	next := b.clone()
	// customers become people, with a nick; orders lose their note and count in floats;
	// products may be sold under one sku again, but not under one title.
	maybe := value.Type{Kind: value.TypeString, Optional: true}
	number := value.Type{Kind: value.TypeFloat}
	people := next.Table("customers")
	people.Name = "people"
	reshaped(people, func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Name = "full_name"
		return append(f, value.Field{Name: "nick", Type: maybe})
	})
	orders := next.Table("orders")
	old := orders.Shape.Fields()
	to := value.Type{Kind: value.TypeRelation, Of: "people"}
	reshaped(orders, func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Type, f[spec.SlotFirst+1].Type = to, number
		return f[:spec.SlotFirst+2]
	})
	next.Table("products").Unique = [][]string{{"title"}}
	e, err := b.apply(adopt(next,
		spec.Step{Kind: spec.RenameCollection, Collection: "people", From: "customers"},
		spec.Step{Kind: spec.RenameField, Collection: "people", Field: "full_name", From: "name"},
		spec.Step{Kind: spec.AddField, Collection: "people", Field: "nick", Type: &maybe},
		spec.Step{Kind: spec.ChangeField, Collection: "orders", Field: "customer", Type: &to,
			Old: &old[spec.SlotFirst].Type},
		spec.Step{Kind: spec.ChangeField, Collection: "orders", Field: "total", Type: &number,
			Old: &old[spec.SlotFirst+1].Type},
		spec.Step{Kind: spec.DropField, Collection: "orders", Field: "note"},
		spec.Step{Kind: spec.ChangeIndexes, Collection: "products"}))
	b.ok(err)
	if len(e.Intents) != 1 || e.Spec == "" {
		b.Fatalf("the entry says nothing of the steps: %v", e)
	}
	look := func() {
		b.is(b.get("people", ana).Get("full_name").Text(), "ana")
		b.is(b.get("people", ana).Get("nick").Kind(), value.Null)
		b.is(b.get("orders", order).Get("total").Kind(), value.Float)
		b.is(b.get("orders", order).Get("customer").Text(), ana)
		b.is(b.get("order_items", item).Get("order").Text(), order)
		_, err = b.delete("people", ana)
		b.want(err, fault.Refused, "in_use")
		b.must(func(tx store.Tx) error {
			_, err := tx.Put(b.ctx, "products", b.record("products", "sku", "pen", "title", "t",
				"stock", 1, "open", true))
			b.is(b.want(err, fault.Exists, "").Items[0].Pointer, "#/title")
			return nil
		})
		b.put("products", "sku", "pen", "title", ident.NewRecord(), "stock", 1, "open", true)
	}
	look()
	b.close()
	b = resume(r, p, Faults{})
	look()
	b.close()
}

// applyJudges lets somebody write while a change is judged: that comes behind it.
func applyJudges(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.put("customers", "name", "ana", "wallet", 1)
	steps := adopt(b.clone())
	judge := func(verdict error) (entry, change journal.Entry, err error) {
		var late sync.WaitGroup
		change, err = b.Apply(b.ctx, journal.Origin{Operation: "apply"}, steps,
			func(v store.View) error {
				late.Go(func() {
					var err error
					entry, err = b.Write(b.ctx, journal.Origin{Operation: "late"},
						func(tx store.Tx) error {
							_, err := tx.Put(b.ctx, "customers",
								b.record("customers", "name", "bob", "wallet", 1))
							return err
						})
					b.ok(err)
				})
				rows, err := v.Find(b.ctx, query.Query{Plan: all("customers")})
				b.ok(err)
				again, err := v.Find(b.ctx, query.Query{Plan: all("customers")})
				b.ok(err)
				b.is(len(again), len(rows))
				return verdict
			})
		late.Wait()
		return entry, change, err
	}
	entry, change, err := judge(nil)
	b.ok(err)
	b.is(entry.Seq.Compare(change.Seq), 1)
	before := len(b.entries())
	_, _, err = judge(errBoom)
	b.is(errors.Is(err, errBoom), true)
	b.is(len(b.entries()), before+1) // what was written meanwhile
}

func applyAllOrNothing(r Report, p Place) {
	armed := false
	b := start(r, p, Faults{Before: func() error {
		if armed {
			return errBoom
		}
		return nil
	}})
	ana := idOf(b.put("customers", "name", "ana", "wallet", 1))
	b.put("customers", "name", "ana", "wallet", 2)
	b.put("folders", "name", "x")
	before, last := len(b.entries()), b.Schema()
	check := func(err error, kind fault.Kind) {
		b.want(err, kind, "")
		b.is(len(b.entries()), before)
		b.is(b.Schema() == last, true)
		b.is(b.get("customers", ana).Get("name").Text(), "ana")
		b.is(len(b.find(all("folders"))), 1)
	}
	text := value.Type{Kind: value.TypeString}
	required := b.clone()
	reshaped(required.Table("customers"), func(f []value.Field) []value.Field {
		return append(f, value.Field{Name: "nick", Type: text})
	})
	double := b.clone()
	double.Table("customers").Unique = [][]string{{"name"}}
	dangling := b.clone()
	to := value.Type{Kind: value.TypeRelation, Of: "orders"}
	reshaped(dangling.Table("customers"), func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Type = to
		return f
	})
	fewer := b.clone()
	fewer.Collections = fewer.Collections[:4]
	drop := []spec.Step{{Kind: spec.DropCollection, Collection: "folders"},
		{Kind: spec.DropCollection, Collection: "words"},
		{Kind: spec.DropCollection, Collection: "leases"}}
	for _, s := range []*spec.Schema{required, double, dangling} {
		s.Collections = s.Collections[:4]
	}
	for _, c := range []struct {
		schema *spec.Schema
		step   spec.Step
	}{
		{required, spec.Step{Kind: spec.AddField, Collection: "customers", Field: "nick",
			Type: &text}},
		{double, spec.Step{Kind: spec.ChangeIndexes, Collection: "customers"}},
		{dangling, spec.Step{Kind: spec.ChangeField, Collection: "customers", Field: "name",
			Type: &to, Old: &text}},
	} {
		_, err := b.apply(adopt(c.schema, append(drop, c.step)...))
		check(err, fault.Invalid)
	}
	_, err := b.apply(adopt(fewer, drop[0]))
	check(err, fault.Internal)
	armed = true
	_, err = b.apply(adopt(fewer, drop...))
	check(err, fault.Unavailable)
	armed = false
	_, err = b.Apply(b.ctx, journal.Origin{Operation: "apply", DryRun: true},
		adopt(fewer, drop...), nil)
	b.ok(err)
	b.is(len(b.entries()), before)
	b.product("after", 1) // relations and tables are as before
	_, err = b.apply(adopt(fewer, drop...))
	b.ok(err)
	b.close()
}

func applyFills(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	pen, ink := b.product("12", 3), b.product("x", 0)
	next := b.clone()
	words := value.Type{Kind: value.TypeList, Elem: &value.Type{Kind: value.TypeString}}
	whole := value.Type{Kind: value.TypeInt}
	text := value.Type{Kind: value.TypeString}
	color := value.Type{Kind: value.TypeEnum, Words: []string{"red", "blue"}}
	old := next.Table("products").Shape.Fields()
	var steps []spec.Step
	reshaped(next.Table("products"), func(f []value.Field) []value.Field {
		for i := range f {
			step := spec.Step{Kind: spec.ChangeField, Collection: "products", Field: f[i].Name,
				Old: &old[i].Type}
			switch f[i].Name {
			case "sku":
				f[i].Type, step.Fill = whole, value.OfInt(-1)
			case "title":
				f[i].Type = words
			case "stock":
				f[i].Type = text
			case "tags":
				f[i].Type, step.Fill = words, value.OfList([]value.Value{value.OfText("new")})
			default:
				continue
			}
			step.Type = &f[i].Type
			steps = append(steps, step)
		}
		return append(f, value.Field{Name: "color", Type: color})
	})
	steps = append(steps, spec.Step{Kind: spec.AddField, Collection: "products",
		Field: "color", Type: &color, Fill: value.OfText("red")})
	_, err := b.apply(adopt(next, steps...))
	b.ok(err)
	for id, want := range map[ident.Record]string{
		pen: `[12 ["t"] "3" ["new"] "red"]`, ink: `[-1 ["t"] "0" ["new"] "red"]`} {
		rec := b.get("products", id)
		var got []string
		for _, name := range []string{"sku", "title", "stock", "tags", "color"} {
			got = append(got, string(value.AppendJSON(nil, rec.Get(name))))
		}
		b.is(fmt.Sprint(got), want)
	}
}

func renamesChangePlaces(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	folder := idOf(b.put("folders", "name", "folder"))
	b.put("folders", "name", "inner", "parent", folder)
	b.put("leases", "name", "lease", "count", 1)
	next := b.clone()
	folders, leases := next.Table("folders"), next.Table("leases")
	folders.Name, leases.Name = "leases", "folders"
	leases.Quiet, folders.Quiet = false, true
	reshaped(folders, func(f []value.Field) []value.Field {
		f[spec.SlotFirst+1].Type.Of = "leases"
		return f
	})
	reshaped(leases, func(f []value.Field) []value.Field { return f })
	_, err := b.apply(adopt(next,
		spec.Step{Kind: spec.RenameCollection, Collection: "aside", From: "folders"},
		spec.Step{Kind: spec.RenameCollection, Collection: "folders", From: "leases"},
		spec.Step{Kind: spec.RenameCollection, Collection: "leases", From: "aside"}))
	b.ok(err)
	b.is(len(b.find(all("leases"))), 2)
	b.is(b.get("leases", folder).Get("name").Text(), "folder")
	_, err = b.delete("leases", folder)
	b.ok(err)
	b.is(len(b.find(all("leases"))), 0)
	// What was quiet until now stands in no entry: it goes before the fold looks.
	for _, rec := range b.find(all("folders")) {
		b.is(rec.Get("name").Text(), "lease")
	}
	_, err = b.apply(adopt(b.without("folders"), spec.Step{Kind: spec.DropCollection,
		Collection: "folders"}))
	b.ok(err)
}

// without returns the schema less one collection.
func (b *bench) without(name string) *spec.Schema {
	s := b.clone()
	var kept []*spec.Table
	for _, t := range s.Collections {
		if t.Name != name {
			kept = append(kept, t)
		}
	}
	s.Collections = kept
	return s
}

// diffLeads goes to another schema and back by the steps that package spec finds.
func diffLeads(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	ana := idOf(b.put("customers", "name", "ana", "wallet", 1))
	b.put("orders", "customer", ana, "total", 7, "note", "hello")
	was := b.clone()
	next := b.without("folders")
	next.Table("customers").Name = "people"
	reshaped(next.Table("people"), func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Name = "full_name"
		return append(f, value.Field{Name: "nick", Type: value.Type{Kind: value.TypeText,
			Optional: true}})
	})
	reshaped(next.Table("orders"), func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Type.Of = "people"
		f[spec.SlotFirst+2].Type = value.Type{Kind: value.TypeString, Optional: true}
		return f
	})
	products := next.Table("products")
	products.Unique, products.Index = [][]string{{"sku", "title"}}, nil
	products.Checks = map[string]string{"some": "stock >= 0"}
	next.Collections = append(next.Collections, Table("extra",
		value.Field{Name: "text", Type: value.Type{Kind: value.TypeText}}))
	_, err := b.apply(spec.Diff(b.Schema(), next,
		spec.Rename{Collection: "people", From: "customers"},
		spec.Rename{Collection: "people", Field: "full_name", From: "name"}))
	b.ok(err)
	b.is(b.get("people", ana).Get("full_name").Text(), "ana")
	b.ok(Fold(b.ctx, b.Store))
	b.put("extra", "text", "x")
	_, err = b.apply(spec.Diff(b.Schema(), was,
		spec.Rename{Collection: "customers", From: "people"},
		spec.Rename{Collection: "customers", Field: "name", From: "full_name"}))
	b.ok(err)
	b.is(b.get("customers", ana).Get("name").Text(), "ana")
	b.is(len(spec.Diff(b.Schema(), was)), 0)
	b.is(b.skus(query.Same{L: f("stock", typeInt), R: lit(2)}), "b")
}

func plansAreCounted(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	next := b.without("folders")
	products := next.Table("products")
	old := b.Schema().Table("products").Shape.Fields()
	short := value.Type{Kind: value.TypeString, Max: &value.Bound{Int: 5}}
	price := value.Type{Kind: value.TypeFloat}
	whole := value.Type{Kind: value.TypeInt}
	reshaped(products, func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Type = whole
		f[spec.SlotFirst+1].Type = short
		f[spec.SlotFirst+3].Type = price
		return append(f[:spec.SlotFirst+4], f[spec.SlotFirst+5:]...)
	})
	products.Unique = [][]string{{"open"}}
	b.put("folders", "name", "x")
	got, err := b.Counts(b.ctx, adopt(next,
		spec.Step{Kind: spec.ChangeField, Collection: "products", Field: "sku",
			Type: &whole, Old: &old[spec.SlotFirst].Type},
		spec.Step{Kind: spec.ChangeField, Collection: "products", Field: "title",
			Type: &short, Old: &old[spec.SlotFirst+1].Type},
		spec.Step{Kind: spec.ChangeField, Collection: "products", Field: "price",
			Type: &price, Old: &old[spec.SlotFirst+3].Type},
		spec.Step{Kind: spec.DropField, Collection: "products", Field: "tags"},
		spec.Step{Kind: spec.ChangeIndexes, Collection: "products"},
		spec.Step{Kind: spec.DropCollection, Collection: "folders"}))
	b.ok(err)
	var text []string
	for _, c := range got {
		text = append(text, fmt.Sprint(c.Code, " ", c.Collection, c.Fields, " ", c.Records))
		b.is(len(c.IDs), c.Records)
	}
	b.is(text, []string{"lost folders[] 1", "lost products[tags] 2", "lost products[sku] 3",
		"outside products[title] 1", "empty products[price] 1", "double products[open] 2"})
}

func oldEntriesKeepShape(r Report, p Place) {
	b := start(r, p, Faults{})
	ana := idOf(b.put("customers", "name", "ana", "wallet", 7))
	next := b.clone()
	reshaped(next.Table("customers"), func(f []value.Field) []value.Field {
		f[spec.SlotFirst].Name = "full_name"
		return append(f[:spec.SlotFirst+1], f[spec.SlotFirst+2:]...)
	})
	_, err := b.apply(adopt(next,
		spec.Step{Kind: spec.RenameField, Collection: "customers", Field: "full_name",
			From: "name"},
		spec.Step{Kind: spec.DropField, Collection: "customers", Field: "wallet"}))
	b.ok(err)
	b.close()
	b = resume(r, p, Faults{})
	defer b.close()
	found, err := b.Entries(b.ctx, store.Filter{Record: ana}, journal.Seq{}, 1)
	b.ok(err)
	b.is(found[0].Changes[0].After.Get("name").Text(), "ana")
	b.is(found[0].Changes[0].After.Get("wallet").Int(), 7)
	b.is(b.get("customers", ana).Get("full_name").Text(), "ana")
}
