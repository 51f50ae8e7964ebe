package rule

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// field is a short form of a declared field for tests.
func field(name string, t value.Type) *spec.Field { return &spec.Field{Name: name, Type: t} }

func kind(k value.TypeKind) value.Type { return value.Type{Kind: k} }

func optional(t value.Type) value.Type {
	t.Optional = true
	return t
}

func relation(of string) value.Type { return value.Type{Kind: value.TypeRelation, Of: of} }

func enum(words ...string) value.Type { return value.Type{Kind: value.TypeEnum, Words: words} }

func listOf(t value.Type) value.Type { return value.Type{Kind: value.TypeList, Elem: &t} }

// appOf builds a spec and its schema of collections.
func appOf(cs ...*spec.Collection) (*spec.Spec, *spec.Schema) {
	s, schema := &spec.Spec{Collections: cs}, &spec.Schema{}
	for _, c := range cs {
		fs := []value.Field{{Name: "id", Type: kind(value.TypeID)},
			{Name: "created", Type: kind(value.TypeTime)},
			{Name: "updated", Type: kind(value.TypeTime)},
			{Name: "version", Type: kind(value.TypeInt)}}
		for _, f := range c.Fields {
			fs = append(fs, value.Field{Name: f.Name, Type: f.Type})
		}
		schema.Collections = append(schema.Collections,
			&spec.Table{Name: c.Name, Shape: value.NewShape(c.Name, fs)})
	}
	return s, schema
}

// shop is the app that most tests speak of.
func shop() (*spec.Spec, *spec.Schema) {
	str, money := kind(value.TypeString), kind(value.TypeMoney)
	return appOf(
		&spec.Collection{Name: "users", Fields: []*spec.Field{
			field("name", str), field("wallet", money), field("verified", kind(value.TypeBool)),
			field("boss", optional(relation("users")))}},
		&spec.Collection{Name: "products", Fields: []*spec.Field{
			field("name", str), field("price", money), field("stock", kind(value.TypeInt)),
			field("listed", kind(value.TypeBool)), field("weight", optional(kind(value.TypeFloat))),
			field("tags", listOf(str))}},
		&spec.Collection{Name: "discounts", Fields: []*spec.Field{field("code", str)}},
		&spec.Collection{Name: "orders", Fields: []*spec.Field{
			field("customer", relation("users")), field("total", money),
			field("status", enum("paid", "shipped", "refunded")),
			field("discount", optional(relation("discounts"))),
			field("due", optional(kind(value.TypeTime)))}},
		&spec.Collection{Name: "order_items", Fields: []*spec.Field{
			field("order", relation("orders")), field("product", relation("products")),
			field("quantity", kind(value.TypeInt))}},
		&spec.Collection{Name: "boards", Fields: []*spec.Field{field("name", str)}},
		&spec.Collection{Name: "members", Fields: []*spec.Field{
			field("board", relation("boards")), field("user", relation("users")),
			field("role", enum("viewer", "editor", "owner"))}},
	)
}

// worldOf fails the test if the spec has findings.
func worldOf(t testing.TB, s *spec.Spec, schema *spec.Schema) *World {
	t.Helper()
	w, findings := NewWorld(s, schema)
	for _, f := range findings {
		t.Errorf("finding: %s", f.Message)
	}
	return w
}

func text(source string) spec.Text {
	return spec.Text{Source: source, Pos: spec.Pos{File: "galley.yaml", Line: 10, Column: 13}}
}

// say writes findings in a line each.
func say(findings []spec.Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%d:%d+%d %s", f.Pos.Line, f.Pos.Column, f.Width, f.Message)
		if f.Help != "" {
			b.WriteString(" | " + f.Help)
		}
		if f.See.Line != 0 {
			fmt.Fprintf(&b, " | see %d:%d", f.See.Line, f.See.Column)
		}
		b.WriteByte('\n')
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// rows is a Reader over records in memory. It answers only Get.
type rows map[string]map[ident.Record]value.Record

func (r rows) Get(_ context.Context, collection string, id ident.Record) (value.Record, error) {
	rec, ok := r[collection][id]
	if !ok {
		return value.Record{}, fault.New(fault.NotFound, "no such record")
	}
	return rec, nil
}

func (r rows) Find(context.Context, query.Query) ([]value.Record, error) {
	return nil, fault.New(fault.Internal, "these rows cannot be searched")
}

// recordOf makes a record of pairs of names and values.
func recordOf(schema *spec.Schema, collection, id string, pairs ...any) value.Record {
	r := value.NewRecord(schema.Table(collection).Shape)
	for i := range r.Slots {
		r.Slots[i] = value.OfNull()
	}
	r.Slots[0] = value.OfText(id)
	for i := 0; i < len(pairs); i += 2 {
		var v value.Value
		switch x := pairs[i+1].(type) {
		case string:
			v = value.OfText(x)
		case int:
			v = value.OfInt(int64(x))
		case bool:
			v = value.OfBool(x)
		case float64:
			v = value.OfFloat(x)
		case time.Time:
			v = value.OfTime(x)
		case value.Value:
			v = x
		}
		if !r.Set(pairs[i].(string), v) {
			panic(pairs[i])
		}
	}
	return r
}

func TestFindings(t *testing.T) {
	s, schema := shop()
	s.Define = []*spec.Define{
		{Name: "member", Params: []spec.Name{{Name: "board"}}, Pos: spec.Pos{Line: 3, Column: 3},
			Body: spec.Text{Source: "members.exists(m, m.board == board && m.user == auth)",
				Pos: spec.Pos{Line: 3, Column: 18}}},
		{Name: "broken", Params: []spec.Name{{Name: "x"}}, Pos: spec.Pos{Line: 4, Column: 3},
			Body: spec.Text{Source: "members.exists(m, m.bord == x)",
				Pos: spec.Pos{Line: 4, Column: 14}}},
	}
	w := worldOf(t, s, schema)
	cases := []struct{ collection, rule, want string }{
		{"products", "record.lsted",
			`10:19+1 r: no field "lsted" | did you mean listed (in products)?`},
		{"orders", "record.discount == auth", "10:29+2 r: cannot compare discounts with users | " +
			"the left side points to discounts. It can equal another discounts record or an id"},
		{"users", "record.wallet", "10:13+13 r: this is a int, but a bool is needed here"},
		{"orders", `record.status == "payed"`,
			`10:30+7 r: "payed" is none of the words that this can be | did you mean paid?`},
		{"orders", "recrd.total > 1", `10:13+5 r: no name "recrd" here | did you mean record?`},
		{"orders", "record.total > ", "10:28+0 r: this ends too early | something is missing at its end"},
		{"orders", "record.total = 1", `10:26+1 r: "=" means nothing here | write ==`},
		{"orders", "record.total > 1 and auth != null", `10:30+3 r: "and" cannot stand here | write &&`},
		{"orders", `record.status == "paid`,
			"10:30+0 r: a text begins here and does not end | close the quote"},
		{"orders", "(record.total > 1", `10:30+0 r: this ends without its ")"`},
		{"orders", "record.", "10:20+0 r: a name is missing after the dot"},
		{"orders", "record.zzzzzzzz == 1", `10:19+1 r: no field "zzzzzzzz" | orders has ` +
			strings.Join(fieldNames(w.table("orders")), ", ")},
		{"orders", "isOwner(record)",
			`10:13+7 r: no function "isOwner" | rules of your own get a name under define:`},
		{"orders", `record.total > "a"`, "10:26+1 r: cannot use > between int and string"},
		{"orders", "broken(record)", `10:13+6 r: no field "bord" | did you mean board (in members)? | see 4:33`},
		{"orders", "member(record)", "10:13+6 r: cannot compare boards with orders | the left side " +
			"points to boards. It can equal another boards record or an id | see 3:44"},
		{"orders", "member(record, 1)", "10:13+6 r: member takes 1 argument, not 2"},
		{"orders", "members", "10:13+7 r: this is a list of members, but a bool is needed here"},
		{"orders", "members[0] == record", "10:20+1 r: rules do not take an item by its place | " +
			"ask with in, exists() or size()"},
		{"orders", "record.customer.contains(1)",
			"10:29+8 r: contains() cannot be asked of users, int"},
		{"orders", "membr(record)", `10:13+5 r: no function "membr" | did you mean member?`},
		{"orders", "record.total.foo", "10:25+1 r: a int has no fields"},
		{"orders", "record.customer.id == record.customer", ""},
		{"products", `record.tags.exists(t, t == "a")`,
			"10:25+6 r: cannot become a query: it walks a list field | ask with in or size()"},
		{"products", `record.name.matches("(")`,
			"10:33+3 r: this pattern cannot be read: error parsing regexp: missing closing ): `(`"},
		{"products", `days(record.stock) > duration("1s")`,
			"10:13+4 r: cannot become a query: days() is asked of a field | store the time itself"},
		{"products", `members.filter(m, m.role == "ower").size() > 0`,
			`10:41+6 r: "ower" is none of the words that this can be | did you mean owner?`},
		{"products", `members.all(auth, auth.role == "owner")`,
			"10:21+3 r: the name auth has a meaning already | call the variable something else"},
		{"products", `{"a": 1}.a == 1`,
			"10:13+1 r: maps and objects cannot be made in a rule"},
		{"products", `record.stock == 1.0`,
			"10:26+2 r: cannot compare int with float | write both as float, such as 1.0 or double(x)"},
		{"products", `record.stock < 1.5`, ""},
		{"products", `record.name == null`, "10:25+2 r: cannot compare string with null | " +
			"this is never null: drop the comparison, or mark the field optional with ?"},
		{"products", `record.weight == null && has(record.weight)`, ""},
		{"products", `auth != null && auth.verified`, ""},
		{"products", ``, "10:13+0 r: there is no expression here"},
		{"products", `input.x == 1`, "10:13+5 r: there is no input here"},
		{"products", `record.tags == ["a"]`, "10:19+1 r: cannot become a query: lists are " +
			"compared | ask for their items with in"},
		{"products", `timestamp(record.name) < now`,
			"10:29+1 r: a time must be written out, to the millisecond at most | " +
				`such as timestamp("2026-11-21T08:00:00Z")`},
		{"products", `record.tags.contains("x")`,
			"10:25+8 r: contains() cannot be asked of list of string, string"},
	}
	for _, c := range cases {
		r, findings := w.Compile(text(c.rule), Scope{Name: "r", Collection: c.collection})
		got := say(findings)
		if got != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.rule, got, c.want)
		}
		if (r == nil) != (c.want != "") {
			t.Errorf("%s: rule is %v", c.rule, r)
		}
	}
}

func TestDecide(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	ana := recordOf(schema, "users", "ana", "name", "Ana", "wallet", 100, "verified", true)
	order := recordOf(schema, "orders", "o1", "customer", "ana", "total", 5, "status", "paid")
	view := rows{"users": {"ana": ana}}
	cases := []struct {
		rule string
		auth value.Record
		want Answer
	}{
		{"record.customer == auth", ana, Yes},
		{"record.customer == auth", value.Record{}, No},
		{"record.customer == auth.id", ana, Yes},
		{"record.customer == auth.id", value.Record{}, Failed},
		{"auth.id == record.customer", ana, Yes},
		{`record.customer == "ana"`, ana, Yes},
		{`record.customer.name == "Ana"`, value.Record{}, Yes},
		{`record.discount.code == "X"`, ana, Failed},
		{`record.discount.code == "X" || true`, ana, Yes},
		{`record.discount == null`, ana, Yes},
		{`record.discount != auth.id`, ana, Yes},
		{`has(record.discount)`, ana, No},
		{`has(record.discount.code)`, ana, No},
		{`record.due < now`, ana, Failed},
		{`record.status in ["paid", "shipped"]`, ana, Yes},
		{`auth in [record.customer]`, ana, Yes},
		{`auth.id in [record.customer]`, ana, Yes},
	}
	for _, c := range cases {
		r, findings := w.Compile(text(c.rule), Scope{Name: "r", Collection: "orders"})
		if r == nil {
			t.Errorf("%s: %s", c.rule, say(findings))
			continue
		}
		in := &Input{Auth: c.auth, Record: order, Now: time.UnixMilli(1e12), View: view}
		v := r.Decide(context.Background(), in)
		if v.Answer != c.want {
			t.Errorf("%s: got %v (%v), want %v", c.rule, v.Answer, v.Err, c.want)
		}
		cond, err := r.Condition()
		if err != nil {
			t.Errorf("%s: %v", c.rule, err)
			continue
		}
		if _, err := cond.Args(context.Background(), in); err != nil {
			t.Errorf("%s: %v", c.rule, err)
		}
	}
}
