package rule

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

func compiled(t testing.TB, w *World, source string, scope Scope) *Rule {
	t.Helper()
	r, findings := w.Compile(text(source), scope)
	if r == nil {
		t.Fatalf("%s: %s", source, say(findings))
	}
	return r
}

func TestRulesSayWhatTheyNeed(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	for _, c := range []struct{ of, rule, want string }{
		{"orders", "record.customer == auth",
			"reads [] only=true auth=true before=false mentions orders.customer equal orders.customer/0"},
		{"orders", "record.total >= 0", "reads [] only=true auth=false before=false mentions orders.total equal "},
		{"orders", "record.customer.name != before.status",
			"reads [users] only=false auth=false before=true mentions orders.customer>users.name orders.status equal "},
		{"orders", "record.customer.id == auth.id",
			"reads [] only=true auth=true before=false mentions orders.customer>users.id equal "},
		{"boards", `members.exists(m, m.board == record && m.user == auth.id && m.role != "viewer")`,
			"reads [members] only=false auth=true before=false mentions  equal members.board/1 members.user/1"},
		{"orders", "record.customer != auth", "reads [] only=true auth=false before=false " +
			"mentions orders.customer equal "},
		{"orders", "auth != null", "reads [] only=true auth=true before=false mentions  equal "},
		{"orders", "auth == null || auth.verified",
			"reads [] only=true auth=false before=false mentions  equal "},
		{"orders", "record.discount == auth.id", "reads [] only=true auth=true before=false " +
			"mentions orders.discount equal orders.discount/0"},
		{"users", "record == auth", "reads [] only=true auth=true before=false mentions  equal users.id/0"},
		{"users", "!(auth == null)", "reads [] only=true auth=true before=false mentions  equal "},
		{"users", "auth.boss.verified", "reads [users] only=false auth=true before=false mentions  equal "},
	} {
		r := compiled(t, w, c.rule, Scope{Name: "r", Collection: c.of, Before: true})
		var mentions, equal []string
		for _, p := range r.Mentions() {
			var steps []string
			for _, s := range p.Steps {
				steps = append(steps, s.Collection+"."+s.Field)
			}
			mentions = append(mentions, strings.Join(steps, ">"))
		}
		for _, e := range r.Equalities() {
			equal = append(equal, fmt.Sprintf("%s.%s/%d", e.Collection, e.Field, e.Lookup))
		}
		got := fmt.Sprintf("reads %v only=%v auth=%v before=%v mentions %s equal %s", r.Reads(),
			r.OnlyRecord(), r.AuthRequired(), r.UsesBefore(), strings.Join(mentions, " "),
			strings.Join(equal, " "))
		if got != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.rule, got, c.want)
		}
	}
}

func TestConditionsStayPlainWhereNothingCanFail(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	for _, c := range []struct{ rule, want string }{
		{"record.listed", "products.listed"},
		{"record.listed && record.stock > 0", "(products.listed and (products.stock > 0))"},
		{"true", "true"},
		{"record.price != 3 || true", "true"},
		{"record.weight == null", "null?(products.weight)"},
		{`"x" in record.tags`, "has(products.tags, x)"},
	} {
		r := compiled(t, w, c.rule, Scope{Name: "r", Collection: "products"})
		cond, err := r.Condition()
		if err != nil {
			t.Fatal(err)
		}
		if got := sketch(cond.Expr); got != c.want {
			t.Errorf("%s\n got  %s\n want %s", c.rule, got, c.want)
		}
		if cond.Always() != (c.want == "true") {
			t.Errorf("%s: Always is %v", c.rule, cond.Always())
		}
	}
}

// sketch writes the nodes that the test above speaks of.
func sketch(e query.Expr) string {
	switch e := e.(type) {
	case query.Field:
		return e.Collection + "." + e.Name
	case query.Literal:
		if e.Value.Kind() == value.Text {
			return e.Value.Text()
		}
		return string(value.AppendJSON(nil, e.Value))
	case query.And:
		var parts []string
		for _, x := range e.Of {
			parts = append(parts, sketch(x))
		}
		return "(" + strings.Join(parts, " and ") + ")"
	case query.Compare:
		return "(" + sketch(e.L) + " " + e.Op + " " + sketch(e.R) + ")"
	case query.IsNull:
		return "null?(" + sketch(e.Of) + ")"
	case query.Has:
		return "has(" + sketch(e.Of) + ", " + sketch(e.X) + ")"
	}
	return fmt.Sprintf("%T", e)
}

func TestNeverTellsThatNobodyCanSeeAnything(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	ana := recordOf(schema, "users", "ana", "name", "Ana", "verified", true)
	for _, c := range []struct {
		rule           string
		signed, absent bool
	}{
		{"record.customer == auth", false, true},
		{"record.customer == auth.id || record.total > 3", false, false},
		{"auth != null && record.total > 3", false, true},
		{"auth == null", true, false},
		{"record.discount == auth.id && auth.verified", false, true},
		{"members.exists(m, m.user == auth)", false, true},
		{"false", true, true},
	} {
		r := compiled(t, w, c.rule, Scope{Name: "r", Collection: "orders"})
		cond, err := r.Condition()
		if err != nil {
			t.Fatal(err)
		}
		for _, auth := range []value.Record{ana, {}} {
			args, err := cond.Args(context.Background(), &Input{Auth: auth, Now: start})
			if err != nil {
				t.Fatal(err)
			}
			want := c.signed
			if auth.Zero() {
				want = c.absent
			}
			if got := cond.Never(args); got != want {
				t.Errorf("%s, signed in %v: got %v", c.rule, !auth.Zero(), got)
			}
		}
	}
}

func TestNamedRulesAreHygienic(t *testing.T) {
	openShop(t, func(_ *World, schema *spec.Schema, view store.View, get func(string) value.Record) {
		s, _ := shop()
		one := func(name, param, body string) *spec.Define {
			return &spec.Define{Name: name, Params: []spec.Name{{Name: param}},
				Body: spec.Text{Source: body, Pos: spec.Pos{Line: 3, Column: 5}}}
		}
		// The body's own m must not catch the m of the caller.
		s.Define = []*spec.Define{
			one("member", "b", "members.exists(m, m.board == b && m.user == auth)"),
			one("twice", "x", "member(x) && member(x)"),
		}
		w := worldOf(t, s, schema)
		for rule, want := range map[string]bool{
			"members.exists(m, m.user == record && member(m.board))":  true,
			"members.all(m, twice(m.board))":                          true,
			"members.exists(m, m.user != record && !member(m.board))": false,
		} {
			r := compiled(t, w, rule, Scope{Name: "r", Collection: "users"})
			in := &Input{Auth: get("ana"), Record: get("ben"), Now: start, View: view}
			if v := r.Decide(t.Context(), in); v.Allowed() != want {
				t.Errorf("%s: got %+v\n%s", rule, v, r.Expanded())
			}
			c, err := r.Condition()
			if err != nil {
				t.Fatal(err)
			}
			args, err := c.Args(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			found, err := view.Find(t.Context(), query.Query{Args: args,
				Plan: &query.Plan{From: "users", Where: c.Expr}})
			if err != nil || (len(found) > 0) != want {
				t.Errorf("%s: the store found %d, %v", rule, len(found), err)
			}
		}
	})
}

func TestNamedRulesThatAreWrongAreTold(t *testing.T) {
	one := func(name, param, body string) *spec.Define {
		return &spec.Define{Name: name, Params: []spec.Name{{Name: param}},
			Pos:  spec.Pos{Line: 2, Column: 1},
			Body: spec.Text{Source: body, Pos: spec.Pos{Line: 3, Column: 5}}}
	}
	for want, defines := range map[string][]*spec.Define{
		"calls itself":            {one("a", "x", "b(x)"), one("b", "x", "a(x)")},
		"does not see record":     {one("a", "x", "record == x")},
		`no name "bord" here`:     {one("a", "board", "members.exists(m, m.board == bord)")},
		"has a meaning already":   {one("users", "x", "true")},
		"of this name":            {one("a", "x", "true"), one("a", "y", "false")},
		"ends too early":          {one("a", "x", "true &&")},
		"asks for a field":        {one("a", "x", "has(x)")},
		"the name auth has a mea": {one("a", "auth", "true")},
	} {
		s, schema := shop()
		s.Define = defines
		_, findings := NewWorld(s, schema)
		if got := say(findings); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestInputAndResult(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	item := value.NewShape("item", []value.Field{
		{Name: "product", Type: relation("products")},
		{Name: "quantity", Type: kind(value.TypeInt)}})
	shape := value.NewShape("input", []value.Field{
		{Name: "items", Type: listOf(value.Type{Kind: value.TypeObject, Fields: item})},
		{Name: "code", Type: optional(kind(value.TypeString))},
		{Name: "pens", Type: listOf(relation("products"))}})
	pen := recordOf(schema, "products", "pen", "name", "Pen", "stock", 3, "listed", true)
	line := value.NewRecord(item)
	line.Slots = []value.Value{value.OfText("pen"), value.OfInt(2)}
	in := value.NewRecord(shape)
	in.Slots[0] = value.OfList([]value.Value{value.OfRecord(line)})
	in.Slots[2] = value.OfList([]value.Value{value.OfText("pen")})
	view := rows{"products": {"pen": pen}}
	for rule, want := range map[string]Answer{
		"input.items.all(i, i.product.stock >= i.quantity)":   Yes,
		"input.items.exists(i, i.quantity > 2)":               No,
		"has(input.code)":                                     No,
		"!has(input.code)":                                    Yes,
		`input.code == "x"`:                                   Failed,
		"size(input.items) == 1":                              Yes,
		`"pen" in input.pens`:                                 Yes,
		`input.items[0].quantity == 2`:                        Failed,
		`input.items.filter(i, i.quantity == 2).size() == 1`:  Yes,
		`input.items.exists_one(i, i.product == "pen")`:       Yes,
		`request.method == "POST" && request.ip != "1.2.3.4"`: Yes,
	} {
		r, findings := w.Compile(text(rule), Scope{Name: "r", Input: shape, NoSQL: true})
		if r == nil {
			if !strings.Contains(rule, "[0]") {
				t.Errorf("%s: %s", rule, say(findings))
			}
			continue
		}
		v := r.Decide(t.Context(), &Input{Input: in, Now: start, View: view,
			Request: Request{Method: "POST"}})
		if v.Answer != want {
			t.Errorf("%s: got %+v, want %v", rule, v, want)
		}
	}
	for _, c := range []struct {
		rule string
		want value.Type
		got  value.Value
	}{
		{"auth", relation("users"), value.OfText("ana")},
		{"auth.id", relation("users"), value.OfText("ana")},
		{"now", kind(value.TypeTime), value.OfTime(start)},
		{"now + days(1)", kind(value.TypeDate),
			value.OfMillis(value.Date, start.Truncate(24*time.Hour).UnixMilli()+24*3600*1000)},
		{"record.price * 2", kind(value.TypeMoney), value.OfInt(14)},
		{"record.name.upperAscii()", kind(value.TypeString), value.OfText("PEN")},
		{"null", optional(kind(value.TypeString)), value.OfNull()},
	} {
		r := compiled(t, w, c.rule, Scope{Name: "r", Collection: "products", Result: &c.want,
			NoSQL: true})
		pen.Set("price", value.OfInt(7))
		got, err := r.Eval(t.Context(), &Input{Now: start, Record: pen,
			Auth: recordOf(schema, "users", "ana", "name", "Ana")})
		if err != nil || !got.Equal(c.got) || got.Kind() != c.got.Kind() {
			t.Errorf("%s: got %+v, %v", c.rule, got, err)
		}
	}
}

func TestPlacesInFoldedTexts(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	folded := spec.Text{Source: "record.listed &&\nrecord.lsted &&\nrecord.prise > 1",
		Pos: spec.Pos{File: "a", Line: 4, Column: 7},
		Lines: []spec.Pos{{File: "a", Line: 4, Column: 7}, {File: "a", Line: 6, Column: 9},
			{File: "a", Line: 7, Column: 3}}}
	_, findings := w.Compile(folded, Scope{Name: "r", Collection: "products"})
	want := `6:15+1 r: no field "lsted" | did you mean listed (in products)?` + "\n" +
		`7:9+1 r: no field "prise" | did you mean price (in products)?`
	if got := say(findings); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestFilterFindings(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	long := strings.Repeat("a", FilterMax+1)
	deep := strings.Repeat("price + ", 40) + "1 > 0"
	walks := "[1].all(a, [1].all(b, true))"
	for source, want := range map[string]string{
		"pricey > 1":                     `10:13+6 no field "pricey" in products | did you mean price?`,
		"members.exists(m, true)":        "a filter cannot look up collections",
		long:                             "longer than 2048 bytes",
		deep:                             "more than 32 deep",
		walks:                            "a filter does not walk lists",
		"name == auth":                   "cannot compare string with users",
		"has(1)":                         "has() asks for a field",
		"price.foo > 1":                  "a int has no fields",
		"stock == 1 &&":                  "ends too early",
		"order_items.filter(x, x.price)": "a filter cannot look up collections",
		"matches(name, name)":            "a pattern must be written out",
		`name.matches("a{300}")`:         "a{300} repeats more than 255 times",
	} {
		r, findings := w.Compile(text(source), Scope{Collection: "products", Bare: true})
		if got := say(findings); r != nil || !strings.Contains(got, want) {
			t.Errorf("%.60s: got %q, want %q", source, got, want)
		}
	}
	asks := compiled(t, w, "stock > auth.wallet && auth.boss.name != name",
		Scope{Collection: "products", Bare: true})
	if got, want := fmt.Sprint(asks.Mentions()), "[{[{products stock}] {galley.yaml 10 13} 5} "+
		"{[{users wallet}] {galley.yaml 10 25} 1} "+
		"{[{users boss} {users name}] {galley.yaml 10 45} 1} "+
		"{[{products name}] {galley.yaml 10 54} 4}]"; got != want {
		t.Errorf("mentions: got %s, want %s", got, want)
	}
	many := strings.TrimSuffix(strings.Repeat("stock > 1 && ", 150), " && ")
	compiled(t, w, many, Scope{Collection: "products", Bare: true})
	args := value.NewShape("args", []value.Field{{Name: "name", Type: kind(value.TypeInt)},
		{Name: "p1", Type: listOf(kind(value.TypeInt))}})
	r := compiled(t, w, "stock < name && stock in p1", Scope{Collection: "products", Bare: true,
		Args: args})
	in := value.NewRecord(args)
	in.Slots = []value.Value{value.OfInt(5), value.OfList([]value.Value{value.OfInt(3)})}
	v := r.Decide(t.Context(), &Input{Args: in, Record: recordOf(schema, "products", "p", "stock", 3)})
	if !v.Allowed() {
		t.Errorf("bound values: got %+v", v)
	}
}

// broken is a view whose store does not answer.
type broken struct{ rows }

func (broken) Get(context.Context, string, ident.Record) (value.Record, error) {
	return value.Record{}, context.DeadlineExceeded
}

func TestABrokenStoreNeverAllows(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	order := recordOf(schema, "orders", "o", "customer", "ana", "total", 1)
	for _, rule := range []string{"record.customer.verified || true",
		"members.exists(m, true) || record.total == 1", "!(record.customer.verified && false)"} {
		r := compiled(t, w, rule, Scope{Name: "r", Collection: "orders", NoSQL: true})
		v := r.Decide(t.Context(), &Input{Record: order, View: broken{}})
		if v.Allowed() || v.Broken() == nil {
			t.Errorf("%s: got %+v", rule, v)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	s, schema := shop()
	w := worldOf(t, s, schema)
	r := compiled(t, w, `record.customer.name == "Ana" && record.customer == auth`,
		Scope{Name: "r", Collection: "orders"})
	ana := recordOf(schema, "users", "ana", "name", "Ana")
	view := rows{"users": {"ana": ana}}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				in := &Input{Auth: ana, View: view,
					Record: recordOf(schema, "orders", "o", "customer", "ana")}
				if v := r.Decide(context.Background(), in); !v.Allowed() {
					t.Errorf("got %+v", v)
				}
				if x, _ := w.Compile(text("total > 1"), Scope{Collection: "orders", Bare: true}); x == nil {
					t.Error("a filter did not compile")
				}
			}
		})
	}
	wg.Wait()
}
