package storetest

import (
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// shop is the schema of the suite: relations of every kind, a unique set, a list and
// an object, and a quiet collection.
func shop() *spec.Schema {
	text := value.Type{Kind: value.TypeString}
	maybe := func(t value.Type) value.Type { t.Optional = true; return t }
	least := func(t value.Type, n int64) value.Type { t.Min = &value.Bound{Int: n}; return t }
	whole := value.Type{Kind: value.TypeInt}
	to := func(name string) value.Type {
		return value.Type{Kind: value.TypeRelation, Of: name}
	}
	tags := value.Type{Kind: value.TypeList, Elem: &text, Optional: true}
	place := value.Type{Kind: value.TypeObject, Optional: true,
		Fields: value.NewShape("place", []value.Field{
			{Name: "city", Type: text}, {Name: "since", Type: value.Type{Kind: value.TypeTime}}})}
	return &spec.Schema{Collections: []*spec.Table{
		Table("customers", field("name", text), field("wallet", least(value.Type{
			Kind: value.TypeMoney}, 0)), field("place", place)),
		with(Table("products", field("sku", text), field("title", text),
			field("stock", least(whole, 0)), field("price", maybe(value.Type{Kind: value.TypeFloat})),
			field("tags", tags), field("sold", maybe(value.Type{Kind: value.TypeTime})),
			field("open", value.Type{Kind: value.TypeBool})),
			func(t *spec.Table) {
				t.Unique = [][]string{{"sku"}}
				t.Index = [][]spec.Key{{{Field: "title"}, {Field: "stock", Desc: true}}}
			}),
		with(Table("orders", field("customer", to("customers")), field("total", whole),
			field("note", maybe(value.Type{Kind: value.TypeText}))),
			func(t *spec.Table) { t.OnDelete = map[string]string{"customer": spec.OnDeleteInUse} }),
		with(Table("order_items", field("order", to("orders")),
			field("product", maybe(to("products"))), field("quantity", whole)),
			func(t *spec.Table) {
				t.OnDelete = map[string]string{"order": spec.OnDeleteCascade,
					"product": spec.OnDeleteClear}
			}),
		with(Table("folders", field("name", text), field("parent", maybe(to("folders")))),
			func(t *spec.Table) { t.OnDelete = map[string]string{"parent": spec.OnDeleteCascade} }),
		// Fields that are named as what a database, or a store, may say by itself.
		with(Table("words", field("item", text), field("value", maybe(text)),
			field("key", maybe(text)), field("l", maybe(text)), field("e", maybe(text)),
			field("t0", maybe(text)), field("t1", maybe(text)), field("r1", maybe(text)),
			field("list", tags), field("of", maybe(to("words")))),
			func(t *spec.Table) { t.OnDelete = map[string]string{"of": spec.OnDeleteCascade} }),
		with(Table("leases", field("name", text), field("count", whole)),
			func(t *spec.Table) { t.Quiet = true }),
	}}
}

func field(name string, t value.Type) value.Field { return value.Field{Name: name, Type: t} }

func with(t *spec.Table, change func(*spec.Table)) *spec.Table {
	change(t)
	return t
}

// Table returns a collection of the fields, behind those that every record has.
func Table(name string, fields ...value.Field) *spec.Table {
	all := []value.Field{
		{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}},
		{Name: spec.FieldCreated, Type: value.Type{Kind: value.TypeTime}},
		{Name: spec.FieldUpdated, Type: value.Type{Kind: value.TypeTime}},
		{Name: spec.FieldVersion, Type: value.Type{Kind: value.TypeInt}},
	}
	return &spec.Table{Name: name, Shape: value.NewShape(name, append(all, fields...))}
}

// Steps returns the steps that make a schema in an empty store.
func Steps(s *spec.Schema) []spec.Step {
	var out []spec.Step
	for _, t := range s.Collections {
		out = append(out, spec.Step{Kind: spec.AddCollection, Collection: t.Name})
	}
	return append(out, spec.Step{Kind: spec.Adopt, Schema: s})
}
