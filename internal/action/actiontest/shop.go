package actiontest

import (
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Shop returns the spec of a small shop, with the actions named.
func Shop(names ...string) *spec.Spec {
	text := value.Type{Kind: value.TypeString}
	num, money := value.Type{Kind: value.TypeInt}, value.Type{Kind: value.TypeMoney}
	of := func(name string, optional bool) value.Type {
		return value.Type{Kind: value.TypeRelation, Of: name, Optional: optional}
	}
	field := func(name string, t value.Type) *spec.Field { return &spec.Field{Name: name, Type: t} }
	s := &spec.Spec{App: "shop", Collections: []*spec.Collection{
		{Name: spec.Users, Fields: []*spec.Field{field("name", text),
			{Name: "wallet", Type: money, Default: value.OfInt(0)}},
			Checks: []*spec.Check{{Name: "insufficient_funds"}}},
		{Name: "products", Fields: []*spec.Field{field("name", text), field("price", money),
			field("cost", value.Type{Kind: value.TypeMoney, Optional: true}),
			{Name: "stock", Type: num, Default: value.OfInt(0)},
			field("listed", value.Type{Kind: value.TypeBool})},
			Checks: []*spec.Check{{Name: "out_of_stock"}}},
		{Name: "discounts", Fields: []*spec.Field{field("code", text), field("percent", num),
			field("uses", num), field("expires", value.Type{Kind: value.TypeTime, Optional: true})}},
		{Name: "orders", Fields: []*spec.Field{field("customer", of(spec.Users, false)),
			{Name: "status", Type: value.Type{Kind: value.TypeEnum, Words: []string{"paid", "shipped"}},
				Default: value.OfText("paid")},
			field("total", money), field("discount", of("discounts", true))}},
		{Name: "order_items", Fields: []*spec.Field{field("order", of("orders", false)),
			field("product", of("products", false)), field("quantity", num), field("price", money)}},
		{Name: "notes", Fields: []*spec.Field{
			field("tags", value.Type{Kind: value.TypeList, Elem: &text}),
			field("day", value.Type{Kind: value.TypeDate, Optional: true}),
			field("span", value.Type{Kind: value.TypeDuration, Optional: true}),
			field("share", value.Type{Kind: value.TypeFloat, Optional: true}),
			field("data", value.Type{Kind: value.TypeJSON, Optional: true})}},
	}, Errors: []*spec.Refusal{{Code: "insufficient_funds", Say: "Your wallet balance is too low."},
		{Code: "discount_invalid", Say: "This code is not valid."}}}
	item := value.Type{Kind: value.TypeObject, Fields: value.NewShape("items", []value.Field{
		{Name: "product", Type: of("products", false)}, {Name: "quantity", Type: num}})}
	for _, name := range names {
		a := &spec.Action{Name: name}
		if name == "checkout" {
			a.Input = value.NewShape(name, []value.Field{
				{Name: "items", Type: value.Type{Kind: value.TypeList, Elem: &item}},
				{Name: "code", Type: value.Type{Kind: value.TypeString, Optional: true}}})
			a.Output = value.NewShape(name, []value.Field{
				{Name: "order", Type: of("orders", false)}, {Name: "balance", Type: money}})
		}
		s.Actions = append(s.Actions, a)
	}
	return s
}

// Keep is the checks of Shop, for Memory.Checks.
func Keep(collection string, r value.Record) error {
	if collection == spec.Users && r.Get("wallet").Int() < 0 {
		return fault.WithCode(fault.Refused, "insufficient_funds", "Your wallet balance is too low.")
	}
	if collection == "products" && r.Get("stock").Int() < 0 {
		return fault.WithCode(fault.Refused, "out_of_stock", "Out of stock.")
	}
	return nil
}
