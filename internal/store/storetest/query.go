package storetest

import (
	"fmt"
	"math"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

func all(collection string) *query.Plan { return &query.Plan{From: collection} }

func queryOf(p *query.Plan) query.Query { return query.Query{Plan: p} }

var (
	typeText  = value.Type{Kind: value.TypeString}
	typeInt   = value.Type{Kind: value.TypeInt}
	typeFloat = value.Type{Kind: value.TypeFloat, Optional: true}
	typeTime  = value.Type{Kind: value.TypeTime, Optional: true}
	typeBool  = value.Type{Kind: value.TypeBool}
	typeTags  = value.Type{Kind: value.TypeList, Elem: &typeText, Optional: true}
)

func f(name string, t value.Type) query.Expr {
	return query.Field{Of: query.Row{}, Name: name, Type: t}
}

func lit(v any) query.Expr { return query.Literal{Value: of(v)} }

// stock fills the products: a, b and c, of which c has neither price, tags nor sold.
func (b *bench) stock() {
	b.Helper()
	tags := func(texts ...string) value.Value {
		var out []value.Value
		for _, t := range texts {
			out = append(out, value.OfText(t))
		}
		return value.OfList(out)
	}
	b.put("products", "sku", "a", "title", "Ärmel\x00x", "stock", 1, "price", 1.5, "open", true,
		"tags", tags("red", `"quo,ted"`), "sold", value.OfMillis(value.Time, 1_700_000_000_123))
	b.put("products", "sku", "b", "title", "brush", "stock", 2, "price", 1e300, "open", false,
		"tags", tags("]", "\x00", ""), "sold", value.OfMillis(value.Time, -62135596800000))
	b.put("products", "sku", "c", "title", " Zoo ", "stock", 0, "open", true)
}

// skus returns the products for which a condition holds, as one text.
func (b *bench) skus(where query.Expr, args ...value.Value) string {
	b.Helper()
	var out strings.Builder
	for _, r := range b.find(&query.Plan{From: "products", Where: where,
		Sort: []query.Order{{By: f("sku", typeText)}}}, args...) {
		out.WriteString(r.Get("sku").Text())
	}
	return out.String()
}

// three asks for which products a condition is true, for which false, and for which
// unknown.
func (b *bench) three(e query.Expr) string {
	b.Helper()
	return b.skus(e) + "/" + b.skus(query.Not{Of: e}) + "/" + b.skus(query.Unknown{Of: e})
}

func findSorts(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	for _, c := range []struct {
		plan query.Plan
		want string
	}{
		{query.Plan{Sort: []query.Order{{By: f("price", typeFloat)}}}, "cab"},
		{query.Plan{Sort: []query.Order{{By: f("price", typeFloat), Desc: true}}}, "bac"},
		{query.Plan{Sort: []query.Order{{By: f("title", typeText)}}}, "cba"},
		{query.Plan{Sort: []query.Order{{By: f("open", typeBool), Desc: true},
			{By: f("sku", typeText), Desc: true}}, Limit: 2}, "ca"},
		{query.Plan{Where: query.Compare{Op: ">=", L: f("stock", typeInt), R: lit(1)},
			Sort: []query.Order{{By: f("stock", typeInt), Desc: true}}}, "ba"},
	} {
		c.plan.From = "products"
		got := ""
		for _, rec := range b.find(&c.plan) {
			got += rec.Get("sku").Text()
		}
		b.is(got, c.want)
	}
}

func conditions(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	price, stock, sku := f("price", typeFloat), f("stock", typeInt), f("sku", typeText)
	cheap := query.Compare{Op: "<", L: price, R: lit(2.0)}
	yes, no, null := lit(true), lit(false), lit(nil)
	for i, c := range []struct {
		e    query.Expr
		want string
	}{
		{cheap, "a/b/c"},
		{query.Compare{Op: ">", L: stock, R: lit(0.5)}, "ab/c/"},
		{query.Compare{Op: "<", L: sku, R: lit("b")}, "a/bc/"},
		{query.Same{L: price, R: null}, "c/ab/"},
		{query.Same{L: price, R: lit(1.5)}, "a/bc/"},
		{query.Same{L: stock, R: lit(1.0)}, "a/bc/"},
		{query.Same{L: sku, R: lit("A")}, "/abc/"},
		{query.And{}, "abc//"}, {query.Or{}, "/abc/"},
		{query.And{Of: []query.Expr{cheap, no}}, "/abc/"},
		{query.And{Of: []query.Expr{cheap, yes}}, "a/b/c"},
		{query.Or{Of: []query.Expr{cheap, yes}}, "abc//"},
		{query.Or{Of: []query.Expr{cheap, no, f("open", typeBool)}}, "ac/b/"},
		{query.Not{Of: cheap}, "b/a/c"},
		{query.IsNull{Of: price}, "c/ab/"},
		{query.IsNull{Of: cheap}, "c/ab/"},
		{query.IsTrue{Of: cheap}, "a/bc/"},
		{query.Unknown{Of: cheap}, "c/ab/"},
		{null, "//abc"},
		{query.When{If: query.Same{L: sku, R: lit("a")}, Then: cheap}, "a//bc"},
		{query.Cond{If: cheap, Then: no, Else: yes}, "b/a/c"},
		{query.In{X: sku, Of: []query.Expr{lit("a"), lit("c")}}, "ac/b/"},
		{query.In{X: price, Of: []query.Expr{lit(1.5)}}, "a/bc/"},
		{query.In{X: price, Of: []query.Expr{lit(1.5), null}}, "ac/b/"},
		{query.In{X: sku}, "/abc/"},
		{query.Has{Of: f("tags", typeTags), X: lit("red")}, "a/b/c"},
		{query.Has{Of: f("tags", typeTags), X: lit(`"quo,ted"`)}, "a/b/c"},
		{query.Has{Of: f("tags", typeTags), X: lit("]")}, "b/a/c"},
		{query.Has{Of: f("tags", typeTags), X: lit("\x00")}, "b/a/c"},
		{query.Has{Of: f("tags", typeTags), X: lit("")}, "b/a/c"},
		{query.Has{Of: f("tags", typeTags), X: sku}, "/ab/c"},
	} {
		if got := b.three(c.e); got != c.want {
			b.Errorf("condition %d, %v: got %s, want %s", i, c.e, got, c.want)
		}
	}
	param := query.Param{Index: 1, Type: typeText}
	b.is(b.skus(query.Same{L: sku, R: param}, value.OfNull(), value.OfText("b")), "b")
	b.is(b.skus(query.Or{Of: []query.Expr{query.Same{L: sku, R: param},
		query.Same{L: sku, R: lit("c")}}}, value.OfNull(), value.OfText("b")), "bc")
	b.is(b.skus(query.Same{L: sku, R: param}, value.OfNull(),
		value.OfText(`b' OR 1=1 --`)), "")
	among := query.Has{Of: query.Param{Index: 0, Type: typeTags}, X: query.Row{}}
	id := map[string]value.Value{}
	for _, r := range b.find(&query.Plan{From: "products"}) {
		id[r.Get("sku").Text()] = r.Get(spec.FieldID)
	}
	for want, ids := range map[string][]value.Value{
		"": {}, "b": {of("\x00"), of(`"`), id["b"]}, "ac": {id["a"], id["c"], id["c"]},
	} {
		b.is(b.skus(among, value.OfList(ids)), want)
		b.is(b.skus(query.Not{Of: query.Not{Of: among}}, value.OfList(ids)), want)
	}
}

// names asks about fields whose names stand for something else in what is asked.
func names(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	words := []any{}
	for _, name := range []string{"value", "key", "l", "e", "t0", "t1", "r1"} {
		words = append(words, name, "x")
	}
	red := value.OfList([]value.Value{value.OfText("red")})
	top := b.put("words", append(words, "item", "top", "list", red)...)
	b.put("words", append(words, "item", "low", "of", ident.Record(top.Get(spec.FieldID).Text()))...)
	of := query.Field{Of: query.Row{}, Name: "of", Type: value.Type{Kind: value.TypeRelation, Of: "words",
		Optional: true}}
	above := func(name string) query.Expr {
		return query.Field{Of: of, Collection: "words", Name: name, Type: typeText}
	}
	outer := func(name string) query.Expr { return f(name, typeText) }
	inner := func(name string) query.Expr {
		return query.Field{Of: query.Row{Scope: 1}, Name: name, Type: typeText}
	}
	ids := query.Param{Index: 0, Type: typeTags}
	for i, c := range []struct {
		where query.Expr
		want  string
	}{
		{query.Has{Of: ids, X: query.Row{}}, "top"},
		{query.Has{Of: ids, X: of}, "low"},
		{query.Has{Of: f("list", typeTags), X: lit("red")}, "top"},
		{query.Same{L: above("item"), R: lit("top")}, "low"},
		{query.Same{L: above("r1"), R: outer("t0")}, "low"},
		{query.Has{Of: query.Field{Of: of, Collection: "words", Name: "list", Type: typeTags},
			X: lit("red")}, "low"},
		{query.Exists{From: "words", Scope: 1, Where: query.And{Of: []query.Expr{
			query.Same{L: query.Field{Of: query.Row{Scope: 1}, Name: "of", Type: of.Type}, R: query.Row{}},
			query.Same{L: inner("t1"), R: outer("value")}}}}, "top"},
		{query.Exists{From: "words", Scope: 1, Where: query.And{Of: []query.Expr{
			query.Has{Of: ids, X: query.Row{Scope: 1}},
			query.Same{L: inner("item"), R: outer("item")}}}}, "top"},
	} {
		got := ""
		for _, rec := range b.find(&query.Plan{From: "words", Where: c.where}, value.OfList(
			[]value.Value{top.Get(spec.FieldID)})) {
			got += rec.Get("item").Text()
		}
		b.is(fmt.Sprint(i, " ", got), fmt.Sprint(i, " ", c.want))
	}
}

func functions(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	title, sold := f("title", typeText), f("sold", typeTime)
	call := func(name string, args ...query.Expr) query.Expr {
		return query.Func{Name: name, Args: args}
	}
	is := func(e query.Expr, v any) query.Expr { return query.Same{L: e, R: lit(v)} }
	hour := query.Literal{Value: value.OfMillis(value.Duration, 3_723_004)}
	for i, c := range []struct {
		e    query.Expr
		want string
	}{
		{call("contains", title, lit("\x00")), "a/bc/"},
		{call("contains", title, lit("")), "abc//"},
		{call("contains", lit(nil), lit("")), "//abc"},
		{call("startsWith", title, lit("Är")), "a/bc/"},
		{call("endsWith", title, lit("\x00x")), "a/bc/"},
		{call("matches", title, lit("^[a-z]+$")), "b/ac/"},
		{call("matches", title, lit("o+")), "c/ab/"},
		{call("matches", title, lit("(")), "//abc"},
		{is(call("size", title), 7), "a/bc/"},
		{is(call("size", f("tags", typeTags)), 2), "a/bc/"},
		{is(call("lowerAscii", title), "Ärmel\x00x"), "a/bc/"},
		{is(call("upperAscii", title), "BRUSH"), "b/ac/"},
		{is(call("trim", title), "Zoo"), "c/ab/"},
		{is(call("int", f("price", typeFloat)), 1), "a/bc/"},
		{is(call("int", lit("12")), 12), "abc//"},
		{is(call("int", lit("1x")), nil), "abc//"},
		{is(call("int", lit(-1.9)), -1), "abc//"},
		{is(call("int", sold), 1_700_000_000), "a/bc/"},
		{is(call("double", lit("1.5")), f15), "abc//"},
		{is(call("string", f("stock", typeInt)), "2"), "b/ac/"},
		{is(call("string", lit(1.5)), "1.5"), "abc//"},
		{is(call("string", lit(true)), "true"), "abc//"},
		{is(call("string", sold), "2023-11-14T22:13:20.123Z"), "a/bc/"},
		{is(call("string", hour), "3723.004s"), "abc//"},
		{is(call("getFullYear", sold), 1), "b/ac/"},
		{is(call("getMonth", sold), 10), "a/bc/"},
		{is(call("getDate", sold), 14), "a/bc/"},
		{is(call("getDayOfMonth", sold), 13), "a/bc/"},
		{is(call("getDayOfWeek", sold), 2), "a/bc/"},
		{is(call("getDayOfYear", sold), 317), "a/bc/"},
		{is(call("getHours", sold), 22), "a/bc/"},
		{is(call("getHours", sold, lit("Europe/Berlin")), 23), "a/bc/"},
		{is(call("getMinutes", sold, lit("-01:30")), 43), "a/bc/"},
		{is(call("getHours", sold, lit("Nowhere")), nil), "abc//"},
		{is(call("getMinutes", sold), 13), "a/bc/"},
		{is(call("getSeconds", sold), 20), "a/bc/"},
		{is(call("getMilliseconds", sold), 123), "a/bc/"},
		{is(call("getHours", hour), 1), "abc//"},
		{is(call("getMinutes", hour), 62), "abc//"},
		{is(call("getSeconds", hour), 3723), "abc//"},
		{is(call("getMilliseconds", hour), 3_723_004), "abc//"},
	} {
		if got := b.three(c.e); got != c.want {
			b.Errorf("function %d, %v: got %s, want %s", i, c.e, got, c.want)
		}
	}
}

const f15 = 1.5

func calculations(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	sold := f("sold", typeTime)
	big, low := query.Literal{Value: value.OfInt(math.MaxInt64)},
		query.Literal{Value: value.OfInt(math.MinInt64)}
	days := func(n int64) query.Expr {
		return query.Literal{Value: value.OfMillis(value.Duration, n*86_400_000)}
	}
	calc := func(op string, kind value.Kind, l, m query.Expr) query.Expr {
		return query.Arith{Op: op, L: l, R: m, Kind: kind}
	}
	is := func(e query.Expr, v any) query.Expr { return query.Same{L: e, R: lit(v)} }
	stock := f("stock", typeInt)
	for i, c := range []struct {
		e    query.Expr
		want string
	}{
		{is(calc("+", value.Int, stock, lit(1)), 2), "a/bc/"},
		{is(calc("*", value.Int, stock, stock), 4), "b/ac/"},
		{is(calc("/", value.Int, lit(-7), lit(2)), -3), "abc//"},
		{is(calc("%", value.Int, lit(-7), lit(2)), -1), "abc//"},
		{is(calc("/", value.Int, lit(7), stock), nil), "c/ab/"},
		{is(calc("%", value.Int, lit(7), stock), nil), "c/ab/"},
		{is(calc("+", value.Int, big, stock), nil), "ab/c/"},
		{is(calc("-", value.Int, low, stock), nil), "ab/c/"},
		{is(calc("*", value.Int, big, stock), nil), "b/ac/"},
		{is(calc("/", value.Int, low, lit(-1)), nil), "abc//"},
		{is(calc("*", value.Int, low, lit(-1)), nil), "abc//"},
		{query.Compare{Op: ">", L: calc("/", value.Float, lit(1.0), lit(0.0)), R: lit(1.0)},
			"abc//"},
		{query.Compare{Op: ">", L: calc("*", value.Float, f("price", typeFloat), lit(1e300)),
			R: lit(1e305)}, "b/a/c"},
		{is(calc("+", value.Text, f("sku", typeText), lit("\x00é")), "a\x00é"), "a/bc/"},
		{query.Compare{Op: "<", L: calc("-", value.Time, sold, days(1)), R: sold}, "a//bc"},
		{query.Compare{Op: ">", L: calc("+", value.Time, sold, days(3_000_000)), R: sold},
			"b//ac"},
		{query.Compare{Op: ">", L: calc("-", value.Duration, sold, query.Literal{
			Value: value.OfMillis(value.Time, 0)}), R: days(1)}, "a//bc"},
	} {
		if got := b.three(c.e); got != c.want {
			b.Errorf("calculation %d, %v: got %s, want %s", i, c.e, got, c.want)
		}
	}
}

func relations(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	top := idOf(b.put("folders", "name", "top"))
	mid := idOf(b.put("folders", "name", "mid", "parent", top))
	b.put("folders", "name", "low", "parent", mid)
	to := value.Type{Kind: value.TypeRelation, Of: "folders", Optional: true}
	parent := query.Field{Of: query.Row{}, Collection: "folders", Name: "parent", Type: to}
	through := func(of query.Expr, name string, t value.Type) query.Expr {
		return query.Field{Of: of, Collection: "folders", Name: name, Type: t}
	}
	child := query.Same{L: query.Field{Of: query.Row{Scope: 1}, Collection: "folders",
		Name: "parent", Type: to}, R: query.Row{}}
	for i, c := range []struct {
		where query.Expr
		want  string
	}{
		{query.Same{L: parent, R: lit(top)}, "mid"},
		{query.Same{L: through(parent, "name", typeText), R: lit("mid")}, "low"},
		{query.Same{L: through(through(parent, "parent", to), "name", typeText),
			R: lit("top")}, "low"},
		{query.IsNull{Of: through(parent, "name", typeText)}, "top"},
		{query.Same{L: through(parent, spec.FieldID, to), R: lit(mid)}, "low"},
		{query.Exists{From: "folders", Scope: 1, Where: child}, "mid top"},
		{query.Not{Of: query.Exists{From: "folders", Scope: 1, Where: child}}, "low"},
		{query.Not{Of: query.Exists{From: "folders", Scope: 1, Where: lit(nil)}}, "low mid top"},
		{query.Same{L: query.Count{From: "folders", Scope: 1, Where: child}, R: lit(0)}, "low"},
		{query.Exists{From: "folders", Scope: 1, Where: query.And{Of: []query.Expr{child,
			query.Exists{From: "folders", Scope: 2, Where: query.Same{L: query.Field{
				Of: query.Row{Scope: 2}, Collection: "folders", Name: "parent", Type: to},
				R: query.Row{Scope: 1}}}}}}, "top"},
	} {
		var got []string
		for _, rec := range b.find(&query.Plan{From: "folders", Where: c.where,
			Sort: []query.Order{{By: f("name", typeText)}}}) {
			got = append(got, rec.Get("name").Text())
		}
		if strings.Join(got, " ") != c.want {
			b.Errorf("look %d: got %v, want %s", i, got, c.want)
		}
	}
}

func aggregates(r Report, p Place) {
	b := start(r, p, Faults{})
	defer b.close()
	b.stock()
	open := value.Field{Name: "open", Type: typeBool}
	number := func(name string, t value.Type) value.Field { return value.Field{Name: name, Type: t} }
	maybe := typeInt
	maybe.Optional = true
	rows := b.find(&query.Plan{From: "products", Group: []query.Expr{f("open", typeBool)},
		Sort: []query.Order{{By: f("open", typeBool)}},
		Aggregates: []query.Aggregate{{Func: "count"}, {Func: "count", Of: f("price", typeFloat)},
			{Func: "sum", Of: f("stock", typeInt)}, {Func: "avg", Of: f("stock", typeInt)},
			{Func: "min", Of: f("price", typeFloat)}, {Func: "max", Of: f("sold", typeTime)}},
		Out: value.NewShape("out", []value.Field{open, number("n", typeInt), number("p", typeInt),
			number("s", maybe), number("a", typeFloat), number("m", typeFloat),
			number("t", typeTime)})})
	var got []string
	for _, row := range rows {
		got = append(got, print(row))
	}
	b.is(got, []string{
		`{"open":false,"n":1,"p":1,"s":2,"a":2,"m":1e+300,"t":"0001-01-01T00:00:00.000Z"}`,
		`{"open":true,"n":2,"p":1,"s":1,"a":0.5,"m":1.5,"t":"2023-11-14T22:13:20.123Z"}`})
	none := b.find(&query.Plan{From: "customers", Aggregates: []query.Aggregate{{Func: "count"},
		{Func: "sum", Of: f("wallet", typeInt)}},
		Out: value.NewShape("out", []value.Field{number("n", typeInt), number("s", maybe)})})
	b.is(print(none[0]), `{"n":0,"s":null}`)
	b.is(fmt.Sprint(len(none)), 1)
}
