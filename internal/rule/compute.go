package rule

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// call returns a function's result as a value.
func (b *builder) call(e ast.Expr) (term, error) {
	c := e.AsCall()
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	switch fn := c.FunctionName(); fn {
	case idOf, idsOf:
		return b.value(args[0])
	case operators.Conditional:
		return b.conditional(e, args)
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide,
		operators.Modulo:
		l, r, err := b.both(args)
		if err != nil {
			return term{}, err
		}
		return b.arith(e, fn[1:len(fn)-1], l, r), nil
	case operators.Negate:
		x, err := b.value(args[0])
		if err != nil {
			return term{}, err
		}
		zero := value.OfInt(0)
		if x.t.Kind == value.TypeFloat {
			zero = value.OfFloat(0)
		}
		return b.arith(e, "-", term{raw: literal(zero), t: x.t}, x), nil
	case "days", "hours", "minutes", "seconds":
		return term{}, b.refuse(e, fn+"() is asked of a field", "store the time itself")
	case "contains", "startsWith", "endsWith", "matches":
		return b.function(e, fn, args, value.Type{Kind: value.TypeBool})
	default:
		if isBool(b.u.typeOf(e)) {
			return b.boolTerm(e)
		}
		return b.function(e, fn, args, *b.u.typeByCEL(e))
	}
}

func isBool(t *value.Type) bool { return t.Kind == value.TypeBool }

// function is a function whose result is null if an argument is.
func (b *builder) function(e ast.Expr, name string, args []ast.Expr, t value.Type) (term,
	error) {
	f := query.Func{Name: name}
	sure := name != "int"
	for _, a := range args {
		x, err := b.value(a)
		if err != nil {
			return term{}, err
		}
		sure = sure && !x.null && len(x.ok) == 0
		f.Args = append(f.Args, x.value())
	}
	out := term{raw: f, t: t}
	if !sure {
		out.ok = []query.Expr{notNull(f)}
	}
	return out, nil
}

// conditional chooses between two values.
func (b *builder) conditional(e ast.Expr, args []ast.Expr) (term, error) {
	c, err := b.cond(args[0], true)
	if err != nil {
		return term{}, err
	}
	l, r, err := b.both(args[1:])
	if err != nil {
		return term{}, err
	}
	out := term{raw: query.Cond{If: c, Then: l.value(), Else: r.value()},
		t: *b.u.typeOf(e), null: l.null || r.null}
	if mayUnknown(c) || len(l.ok) > 0 || len(r.ok) > 0 {
		out.ok = []query.Expr{query.IsTrue{Of: query.Cond{If: c, Then: and(l.ok...),
			Else: and(r.ok...)}}}
	}
	return out, nil
}

// arith computes; a result that CEL would not give is null.
func (b *builder) arith(e ast.Expr, op string, l, r term) term {
	t := *b.u.typeByCEL(e)
	kind := t.ValueKind()
	out := query.Arith{Op: op, L: l.value(), R: r.value(), Kind: kind}
	if kind == value.Text && !l.null && !r.null && len(l.ok)+len(r.ok) == 0 {
		return term{raw: out, t: t}
	}
	return term{raw: out, t: t, ok: []query.Expr{notNull(out)}}
}

// tests are the conditions on a record that decide a question to its collection. Nil
// is one that no record fulfils.
type tests struct{ fails, hit, doubt query.Expr }

// tests compiles a question about the records of a scope.
func (b *builder) tests(q *quantifier, scope int) (tests, error) {
	for _, v := range q.vars {
		b.rows[v] = row{scope, q.of}
	}
	var t tests
	var before, fails []query.Expr
	for _, f := range q.filters {
		exact, err := b.cond(f, true)
		if err != nil {
			return t, err
		}
		if mayUnknown(exact) {
			fails = append(fails, and(and(before...), query.Unknown{Of: exact}))
		}
		loose, err := b.cond(f, false)
		if err != nil {
			return t, err
		}
		before = append(before, loose)
	}
	if len(fails) > 0 {
		t.fails = or(fails...)
	}
	t.hit = and(before...)
	if q.pred == nil {
		return t, nil
	}
	exact, err := b.cond(q.pred, true)
	if err != nil {
		return t, err
	}
	if mayUnknown(exact) {
		t.doubt = and(t.hit, query.Unknown{Of: exact})
	}
	if q.kind == "all" {
		t.hit = and(t.hit, not(exact))
		return t, nil
	}
	loose, err := b.cond(q.pred, false)
	t.hit = and(t.hit, loose)
	return t, err
}

// ask is a question to a collection within a query.
func (b *builder) ask(q *quantifier, exact bool) (query.Expr, error) {
	scope := b.scopes
	b.scopes++
	t, err := b.tests(q, scope)
	if err != nil {
		return nil, err
	}
	some := func(where query.Expr) query.Expr {
		return query.Exists{From: q.of.name, Scope: scope, Where: where}
	}
	var g []query.Expr
	if t.fails != nil {
		g = append(g, not(some(t.fails)))
	}
	var out query.Expr
	switch q.kind {
	case "exists":
		out = some(t.hit)
		if t.doubt != nil && exact {
			out = or(out, query.When{If: not(some(t.doubt)), Then: literal(value.OfBool(false))})
		}
	case "all":
		out = not(some(t.hit))
		if t.doubt != nil {
			sure := not(some(t.doubt))
			if exact {
				sure = query.When{If: sure, Then: literal(value.OfBool(true))}
			}
			out = and(out, sure)
		}
	default:
		if t.doubt != nil {
			g = append(g, not(some(t.doubt)))
		}
		out = query.Same{L: query.Count{From: q.of.name, Scope: scope, Where: t.hit},
			R: literal(value.OfInt(1))}
	}
	return guard(g, out, exact), nil
}

// size counts the records of a collection within a query.
func (b *builder) size(q *quantifier) (term, error) {
	scope := b.scopes
	b.scopes++
	t, err := b.tests(q, scope)
	if err != nil {
		return term{}, err
	}
	out := term{t: value.Type{Kind: value.TypeInt},
		raw: query.Count{From: q.of.name, Scope: scope, Where: t.hit}}
	if t.fails != nil {
		out.ok = []query.Expr{not(query.Exists{From: q.of.name, Scope: scope, Where: t.fails})}
		out.hard = out.ok
	}
	return out, nil
}

// mayUnknown reports whether a condition can be unknown.
func mayUnknown(e query.Expr) bool {
	switch e := e.(type) {
	case query.And:
		return anyUnknown(e.Of)
	case query.Or:
		return anyUnknown(e.Of)
	case query.Not:
		return mayUnknown(e.Of)
	case query.Same, query.IsNull, query.IsTrue, query.Unknown, query.In, query.Has,
		query.Exists:
		return false
	case query.Compare:
		return mayNull(e.L) || mayNull(e.R)
	case query.Cond:
		return mayUnknown(e.If) || mayUnknown(e.Then) || mayUnknown(e.Else)
	default:
		return mayNull(e)
	}
}

func anyUnknown(es []query.Expr) bool {
	for _, e := range es {
		if mayUnknown(e) {
			return true
		}
	}
	return false
}

// mayNull reports whether a value can be null.
func mayNull(e query.Expr) bool {
	switch e := e.(type) {
	case query.Literal:
		return e.Value.IsNull()
	case query.Param:
		return e.Type.Optional
	case query.Row, query.Count:
		return false
	case query.Field:
		return e.Type.Optional || mayNull(e.Of)
	case query.Func:
		for _, a := range e.Args {
			if mayNull(a) {
				return true
			}
		}
		return e.Name == "int"
	case query.Arith:
		return e.Kind != value.Text || mayNull(e.L) || mayNull(e.R)
	case query.Cond:
		return mayUnknown(e.If) || mayNull(e.Then) || mayNull(e.Else)
	case query.When:
		return true
	default:
		return mayUnknown(e)
	}
}

// scopesOf returns how many scopes a condition has below its own row.
func scopesOf(e query.Expr) int {
	most := 0
	query.Walk(e, func(e query.Expr) bool {
		switch e := e.(type) {
		case query.Exists:
			most = max(most, e.Scope)
		case query.Count:
			most = max(most, e.Scope)
		}
		return true
	})
	return most
}

// rescope moves all scopes of a condition up by n, so that its row is that of scope n.
func rescope(e query.Expr, n int) query.Expr {
	return query.Map(e, func(e query.Expr) query.Expr {
		switch e := e.(type) {
		case query.Row:
			e.Scope += n
			return e
		case query.Exists:
			e.Scope += n
			return e
		case query.Count:
			e.Scope += n
			return e
		}
		return e
	})
}
