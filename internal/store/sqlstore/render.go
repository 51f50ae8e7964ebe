package sqlstore

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// statement is a rendered plan. Its parameters are the plan's own, then literals.
type statement struct {
	sql      string
	reader   *reader
	params   int
	literals []value.Value
	// reads are the tables that the statement looks into.
	reads []*table
	// narrow makes the scan of a narrow plan from its arguments.
	narrow func(args []value.Value) *scan
}

// renderer writes one plan. Conditions become true, false or null, as SQL and the tree
// mean them alike.
type renderer struct {
	catalog  *catalog
	dialect  Dialect
	words    Words
	params   int
	literals []value.Value
	// scopes holds the table of each scope.
	scopes map[int]*table
	// inner numbers the looks through relations.
	inner int
	depth int
	err   error
}

const (
	// depthMax bounds how deep a tree may be.
	depthMax = 200
	// literalMark stands before the number of a literal until that of the parameters
	// is known.
	literalMark = "\x00"
)

func render(c *catalog, p *query.Plan) (*statement, error) {
	t := c.tables[p.From]
	if t == nil {
		return nil, fmt.Errorf("no collection %q in the store", p.From)
	}
	r := &renderer{catalog: c, dialect: c.dialect, words: c.dialect.Words(),
		scopes: map[int]*table{0: t}}
	var b strings.Builder
	b.WriteString("SELECT ")
	out := t.reader
	if p.Out != nil {
		out = newReader(p.Out)
		r.aggregates(&b, p)
	} else {
		r.all(&b, t)
	}
	b.WriteString(" FROM " + c.dialect.Quote(t.Name) + " AS t0")
	if p.Where != nil {
		b.WriteString(" WHERE " + r.holds(p.Where))
	}
	for i, g := range p.Group {
		b.WriteString([]string{" GROUP BY ", ", "}[min(i, 1)] + r.expr(g))
	}
	for i, o := range p.Sort {
		b.WriteString([]string{" ORDER BY ", ", "}[min(i, 1)] + r.expr(o.By) +
			r.words.order(o.Desc, !r.certain(o.By)))
	}
	if p.Limit > 0 {
		b.WriteString(" LIMIT " + strconv.Itoa(p.Limit))
	}
	if r.err != nil {
		return nil, fmt.Errorf("render a query of %s: %w", p.From, r.err)
	}
	return &statement{sql: r.number(b.String()), reader: out, params: r.params,
		literals: r.literals}, nil
}

// number gives the literals their places after the parameters.
func (r *renderer) number(sql string) string {
	parts := strings.Split(sql, literalMark)
	for i := 1; i < len(parts); i++ {
		n, rest, _ := strings.Cut(parts[i], ";")
		k, err := strconv.Atoi(n)
		if err != nil {
			r.err = err
		}
		parts[i] = r.dialect.Placeholder(r.params+k+1) + rest
	}
	return strings.Join(parts, "")
}

func (r *renderer) all(b *strings.Builder, t *table) {
	for i, f := range t.shape.Fields() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("t0." + r.dialect.Quote(f.Name))
	}
}

func (r *renderer) aggregates(b *strings.Builder, p *query.Plan) {
	var parts []string
	for _, g := range p.Group {
		parts = append(parts, r.expr(g))
	}
	for _, a := range p.Aggregates {
		switch {
		case a.Func == "count" && a.Of == nil:
			parts = append(parts, "count(*)")
		case a.Func == "count":
			parts = append(parts, "count("+r.expr(a.Of)+")")
		default:
			parts = append(parts, r.call(a.Func, a.Of))
		}
	}
	if len(parts) != p.Out.Len() {
		r.fail("an aggregate of %d columns has a shape of %d", len(parts), p.Out.Len())
	}
	b.WriteString(strings.Join(parts, ", "))
}

func (r *renderer) fail(format string, args ...any) string {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
	return "NULL"
}

// expr writes a node. What it writes can stand anywhere: it is bracketed or a term.
func (r *renderer) expr(e query.Expr) string {
	if r.depth++; r.depth > depthMax {
		return r.fail("a condition is nested deeper than %d", depthMax)
	}
	defer func() { r.depth-- }()
	switch e := e.(type) {
	case query.Param:
		r.params = max(r.params, e.Index+1)
		return r.dialect.Typed(r.dialect.Placeholder(e.Index+1), e.Type.ValueKind())
	case query.Literal:
		return r.literal(e.Value)
	case query.Row:
		return r.scope(e.Scope) + r.dialect.Quote(spec.FieldID)
	case query.Field:
		return r.field(e)
	case query.Compare:
		switch e.Op {
		case "<", "<=", ">", ">=":
			if text, ok := r.ordered(e.Op, e.L, e.R); ok {
				return text
			}
			return "(" + r.expr(e.L) + " " + e.Op + " " + r.expr(e.R) + ")"
		}
		return r.fail("no comparison %q", e.Op)
	case query.Same:
		return r.same(e.L, e.R)
	case query.And:
		return r.join(e.Of, " AND ", r.words.True, r.cond)
	case query.Or:
		return r.join(e.Of, " OR ", r.words.False, r.cond)
	case query.Not:
		return "(NOT " + r.expr(e.Of) + ")"
	case query.IsNull:
		return "(" + r.expr(e.Of) + " IS NULL)"
	case query.Unknown:
		return "(" + r.expr(e.Of) + " IS NULL)"
	case query.IsTrue:
		return "(" + r.expr(e.Of) + " IS TRUE)"
	case query.When:
		if kindOf(e.Then) == value.Null {
			return "NULL"
		}
		return "(CASE WHEN " + r.expr(e.If) + " THEN " + r.expr(e.Then) + " END)"
	case query.Cond:
		if kindOf(e) == value.Null {
			return "NULL"
		}
		return "(CASE " + r.expr(e.If) + " WHEN " + r.words.True + " THEN " + r.expr(e.Then) +
			" WHEN " + r.words.False + " THEN " + r.expr(e.Else) + " END)"
	case query.In:
		return r.in(e)
	case query.Has:
		return r.call("has", e.Of, e.X)
	case query.Arith:
		return r.arith(e)
	case query.Func:
		return r.call(e.Name, e.Args...)
	case query.Exists:
		return "EXISTS (SELECT 1" + r.from(e.From, e.Scope, e.Where) + ")"
	case query.Count:
		return "(SELECT count(*)" + r.from(e.From, e.Scope, e.Where) + ")"
	default:
		return r.fail("no node %T", e)
	}
}

func (r *renderer) join(
	of []query.Expr, by, none string, part func(query.Expr) string,
) string {
	if len(of) == 0 {
		return none
	}
	parts := make([]string, len(of))
	for i, e := range of {
		parts[i] = part(e)
	}
	return "(" + strings.Join(parts, by) + ")"
}

// cond writes a node as a condition. A stored truth alone may say the same as its
// comparison with the truth, but only for that is an index used.
func (r *renderer) cond(e query.Expr) string {
	if f, ok := e.(query.Field); ok && f.Type.Kind == value.TypeBool && r.words.IsTrue != "" {
		return "(" + r.expr(f) + r.words.IsTrue + ")"
	}
	return r.expr(e)
}

// holds writes a condition of which it matters only whether it is true, so that
// unknown may stand for false.
func (r *renderer) holds(e query.Expr) string {
	switch e := e.(type) {
	case query.And:
		return r.join(e.Of, " AND ", r.words.True, r.holds)
	case query.Or:
		return r.join(e.Of, " OR ", r.words.False, r.holds)
	case query.IsTrue:
		if r.words.Plain {
			return r.holds(e.Of)
		}
	case query.In:
		// Among items that may be null, one that is not there is unknown, not false.
		if r.certain(e.X) && len(e.Of) > 0 {
			return "(" + r.list(e) + ")"
		}
	case query.Has:
		if text, ok := r.among(e); ok {
			return text
		}
	case query.Same:
		if r.words.Plain {
			return r.sameTrue(e.L, e.R)
		}
	}
	return r.cond(e)
}

// sameTrue is same where unknown may stand for false. A field is found by its index,
// whether what it is compared with is null or not.
func (r *renderer) sameTrue(l, m query.Expr) string {
	if _, ok := r.ordered("=", l, m); ok {
		return r.same(l, m)
	}
	if r.certain(l) || r.certain(m) {
		return "(" + r.expr(l) + " = " + r.expr(m) + ")"
	}
	if _, ok := l.(query.Param); ok {
		l, m = m, l
	}
	if _, ok := m.(query.Param); !ok {
		return r.same(l, m)
	}
	x, y := r.expr(l), r.expr(m)
	return "(" + x + " = " + y + " OR (" + x + " IS NULL AND " + y + " IS NULL))"
}

// same writes equality that is never unknown. Between two sides that cannot be null
// it is the plain one, for which every index is used.
func (r *renderer) same(l, m query.Expr) string {
	if text, ok := r.ordered("=", l, m); ok {
		return "(CASE WHEN " + r.expr(l) + " IS NULL OR " + r.expr(m) + " IS NULL THEN " +
			r.expr(l) + " IS NULL AND " + r.expr(m) + " IS NULL ELSE " + text + " END)"
	}
	op := r.words.Same
	if r.certain(l) && r.certain(m) {
		op = " = "
	}
	return "(" + r.expr(l) + op + r.expr(m) + ")"
}

// ordered compares a whole number of more than 53 bits with a float, where the
// database would round it. It reports false where the plain comparison does.
func (r *renderer) ordered(op string, l, m query.Expr) (string, bool) {
	x, y := l, m
	if kindOf(x) == value.Float {
		x, y = y, x
	}
	if kindOf(x) != value.Int || kindOf(y) != value.Float || bitsOf(x) <= 53 {
		return "", false
	}
	return r.dialect.Call("order"+op, []Arg{{SQL: r.expr(l), Kind: kindOf(l)},
		{SQL: r.expr(m), Kind: kindOf(m)}})
}

// order writes what stands behind a key of an order or of an index.
func (w Words) order(desc, nullable bool) string {
	switch {
	case desc && nullable:
		return " DESC" + w.NullsLast
	case desc:
		return " DESC"
	case nullable:
		return w.NullsFirst
	default:
		return ""
	}
}

// certain reports whether the node is never null.
func (r *renderer) certain(e query.Expr) bool {
	switch e := e.(type) {
	case query.Literal:
		return !e.Value.IsNull()
	case query.Row:
		return true
	case query.Field:
		_, row := e.Of.(query.Row)
		return row && !e.Type.Optional || e.Name == spec.FieldID && r.certain(e.Of)
	default:
		return false
	}
}

// among writes membership of a record in a list that is bound so that an index helps: a
// list from outside may be short, and the table long.
func (r *renderer) among(e query.Has) (string, bool) {
	if _, bound := e.Of.(query.Param); !bound || !identity(e.X) || !r.certain(e.X) {
		return "", false
	}
	return r.dialect.Call(CallAmong, []Arg{{SQL: r.expr(e.Of), Kind: value.List},
		{SQL: r.expr(e.X), Kind: value.Text}})
}

// identity reports whether the node is the id of a record.
func identity(e query.Expr) bool {
	if f, ok := e.(query.Field); ok {
		return f.Name == spec.FieldID || f.Type.Kind == value.TypeRelation
	}
	_, ok := e.(query.Row)
	return ok
}

// list writes membership by the words of SQL.
func (r *renderer) list(e query.In) string {
	parts := make([]string, len(e.Of))
	for i, item := range e.Of {
		parts[i] = r.expr(item)
	}
	return r.expr(e.X) + " IN (" + strings.Join(parts, ", ") + ")"
}

// in writes membership in a few items, by the index where one helps.
func (r *renderer) in(e query.In) string {
	if len(e.Of) == 0 {
		return r.words.False
	}
	x := r.expr(e.X)
	parts := make([]string, len(e.Of))
	plain := true
	for i, item := range e.Of {
		parts[i] = r.expr(item)
		plain = plain && r.certain(item)
	}
	if !plain {
		for i := range parts {
			parts[i] = x + r.words.Same + parts[i]
		}
		return "(" + strings.Join(parts, " OR ") + ")"
	}
	list := x + " IN (" + strings.Join(parts, ", ") + ")"
	if r.certain(e.X) {
		return "(" + list + ")"
	}
	return "(" + x + " IS NOT NULL AND " + list + ")"
}

// literal writes a constant: numbers as they are, texts as a bound parameter.
func (r *renderer) literal(v value.Value) string {
	switch v.Kind() {
	case value.Absent, value.Null:
		return "NULL"
	case value.Bool:
		if v.Bool() {
			return r.words.True
		}
		return r.words.False
	case value.Int, value.Time, value.Date, value.Duration:
		if n := v.Int(); n >= 0 {
			return strconv.FormatInt(n, 10) + r.words.Number
		} else if n > math.MinInt64 {
			return "(" + strconv.FormatInt(n, 10) + ")" + r.words.Number
		}
	}
	n := slices.IndexFunc(r.literals, func(w value.Value) bool {
		return w.Kind() == v.Kind() && w.Equal(v)
	})
	if n < 0 {
		n = len(r.literals)
		r.literals = append(r.literals, v)
	}
	return r.dialect.Typed(literalMark+strconv.Itoa(n)+";", v.Kind())
}

func (r *renderer) scope(n int) string {
	if r.scopes[n] == nil {
		r.fail("no scope %d", n)
	}
	return "t" + strconv.Itoa(n) + "."
}

// field writes a stored field. Through a relation it is a look at the other table by
// its key, which is null where the relation is.
func (r *renderer) field(e query.Field) string {
	if row, ok := e.Of.(query.Row); ok {
		name := r.scope(row.Scope)
		if t := r.scopes[row.Scope]; t != nil {
			if _, ok := t.shape.Index(e.Name); !ok {
				return r.fail("%s has no field %q", t.Name, e.Name)
			}
		}
		return name + r.dialect.Quote(e.Name)
	}
	of := r.expr(e.Of)
	if e.Name == spec.FieldID {
		return of
	}
	t := r.catalog.tables[e.Collection]
	if t == nil {
		return r.fail("no collection %q", e.Collection)
	}
	if _, ok := t.shape.Index(e.Name); !ok {
		return r.fail("%s has no field %q", t.Name, e.Name)
	}
	r.inner++
	as := "r" + strconv.Itoa(r.inner)
	q := r.dialect.Quote
	return "(SELECT " + as + "." + q(e.Name) + " FROM " + q(t.Name) + " AS " + as +
		" WHERE " + as + "." + q(spec.FieldID) + " = " + of + ")"
}

// from writes the source and condition of a look at other records.
func (r *renderer) from(name string, scope int, where query.Expr) string {
	t := r.catalog.tables[name]
	if t == nil {
		return r.fail("no collection %q", name)
	}
	outer, had := r.scopes[scope]
	r.scopes[scope] = t
	text := " FROM " + r.dialect.Quote(name) + " AS t" + strconv.Itoa(scope)
	if where != nil {
		text += " WHERE " + r.holds(where)
	}
	delete(r.scopes, scope)
	if had {
		r.scopes[scope] = outer
	}
	return text
}

// call writes a function.
func (r *renderer) call(name string, args ...query.Expr) string {
	of := make([]Arg, len(args))
	for i, a := range args {
		of[i] = Arg{SQL: r.expr(a), Kind: kindOf(a)}
		if l, ok := a.(query.Literal); ok {
			of[i].Value = l.Value
		}
		if of[i].Kind == value.Null {
			return "NULL"
		}
	}
	text, ok := r.dialect.Call(name, of)
	if !ok {
		return r.fail("no function %s of %d arguments", name, len(args))
	}
	return text
}

// arith writes a calculation. The result is null where there is none; "plain" says
// that it cannot leave 64 bits.
func (r *renderer) arith(e query.Arith) string {
	l, m := Arg{SQL: r.expr(e.L), Kind: kindOf(e.L)}, Arg{SQL: r.expr(e.R), Kind: kindOf(e.R)}
	name := map[value.Kind]string{value.Int: "int", value.Float: "float", value.Time: "time",
		value.Date: "time", value.Duration: "duration"}[e.Kind]
	switch {
	case l.Kind == value.Null || m.Kind == value.Null:
		return "NULL"
	case e.Kind == value.Text && e.Op == "+":
		return "(" + l.SQL + " || " + m.SQL + ")"
	case e.Kind == value.Int && bitsOf(e) <= 62:
		name = "plain"
	}
	text, ok := r.dialect.Call(name+e.Op, []Arg{l, m})
	if !ok {
		return r.fail("no %s on %v", e.Op, e.Kind)
	}
	return text
}

// bitsOf bounds the size of a whole number: stored ones have 53 bits, parameters may
// have all 64.
func bitsOf(e query.Expr) int {
	switch e := e.(type) {
	case query.Field:
		if e.Type.ValueKind() == value.Int {
			return 53
		}
	case query.Literal:
		if e.Value.Kind() == value.Int {
			n := e.Value.Int()
			return bits.Len64(uint64(max(n, -n)))
		}
	case query.Count:
		return 53
	case query.Arith:
		if e.Kind != value.Int {
			return 64
		}
		l, m := bitsOf(e.L), bitsOf(e.R)
		switch e.Op {
		case "+", "-":
			return max(l, m) + 1
		case "*":
			return l + m
		case "/", "%":
			return max(l, m)
		}
	}
	return 64
}

// kindOf is the kind of a node's values, Absent where the node does not say.
func kindOf(e query.Expr) value.Kind {
	switch e := e.(type) {
	case query.Param:
		return e.Type.ValueKind()
	case query.Literal:
		return e.Value.Kind()
	case query.Row:
		return value.Text
	case query.Field:
		return e.Type.ValueKind()
	case query.Arith:
		return e.Kind
	case query.Count:
		return value.Int
	case query.When:
		return kindOf(e.Then)
	case query.Cond:
		if k := kindOf(e.Then); k > value.Null {
			return k
		}
		return kindOf(e.Else)
	case query.Func:
		return kindOfCall(e)
	default:
		return value.Bool
	}
}

func kindOfCall(e query.Func) value.Kind {
	switch e.Name {
	case "contains", "startsWith", "endsWith", "matches":
		return value.Bool
	case "lowerAscii", "upperAscii", "trim", "string":
		return value.Text
	case "double":
		return value.Float
	default:
		return value.Int
	}
}
