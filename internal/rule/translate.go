package rule

import (
	"fmt"
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// builder turns checked CEL into a query's tree. Parts that depend on no row become
// arguments. CEL knows an error where SQL has unknown; three things keep them the
// same: a comparison that would swallow a null that came from an error is guarded, a
// null that is a value is compared as one, and where only truth matters a guard is
// just one more condition, so that indexes stay in use.
type builder struct {
	u    *unit
	rows map[string]row
	args []*operand
	keys map[string]int
	// scopes is the number that the next Exists or Count gets.
	scopes  int
	visible func(string) *Rule
}

// row is a variable that stands for a row of the query.
type row struct {
	scope int
	of    *object
}

func newBuilder(u *unit, scopes int) *builder {
	return &builder{u: u, rows: map[string]row{}, keys: map[string]int{}, scopes: scopes}
}

// condition compiles the unit as a condition, or a value, on the row of its scope.
func (u *unit) condition() (*Condition, error) {
	o := u.w.table(u.scope.Collection)
	if o == nil {
		return nil, &refusal{id: u.root.ID(),
			message: "a rule without a record cannot become a query"}
	}
	b := newBuilder(u, 1)
	b.visible = u.scope.Visible
	b.rows["record"] = row{0, o}
	c := &Condition{}
	var err error
	if u.scope.Result == nil && !u.scope.AnyResult {
		c.Expr, err = b.cond(u.root, false)
	} else {
		var t term
		t, err = b.value(u.root)
		c.Expr = t.value()
	}
	if err != nil {
		return nil, err
	}
	if tooLarge(c.Expr) {
		return nil, b.refuse(u.root, fmt.Sprintf("it would have more than %d parts", weightMax),
			"say it in fewer words")
	}
	c.args = b.args
	return c, nil
}

// term is a value in a query. Its expression is null where the value is null and
// where it fails.
type term struct {
	raw query.Expr
	t   value.Type
	// null reports that null may be the value.
	null bool
	// ok are conditions, never unknown, which all hold if the value does not fail;
	// empty for a value that never does.
	ok []query.Expr
	// hard are those of ok under which raw is not null by itself.
	hard []query.Expr
}

// value returns the term as an expression that is null where it fails.
func (t term) value() query.Expr {
	if len(t.hard) == 0 {
		return t.raw
	}
	return query.When{If: and(t.hard...), Then: t.raw}
}

// and joins conditions, leaving out what is always true.
func and(es ...query.Expr) query.Expr {
	var of []query.Expr
	for _, e := range es {
		switch x := e.(type) {
		case query.And:
			of = append(of, x.Of...)
			continue
		case query.Literal:
			if x.Value.Bool() {
				continue
			}
			if x.Value.Kind() == value.Bool {
				return e
			}
		}
		of = append(of, e)
	}
	switch len(of) {
	case 0:
		return literal(value.OfBool(true))
	case 1:
		return of[0]
	}
	return query.And{Of: of}
}

func or(es ...query.Expr) query.Expr {
	var of []query.Expr
	for _, e := range es {
		switch x := e.(type) {
		case query.Or:
			of = append(of, x.Of...)
			continue
		case query.Literal:
			if x.Value.Bool() {
				return e
			}
			if x.Value.Kind() == value.Bool {
				continue
			}
		}
		of = append(of, e)
	}
	switch len(of) {
	case 0:
		return literal(value.OfBool(false))
	case 1:
		return of[0]
	}
	return query.Or{Of: of}
}

func not(e query.Expr) query.Expr {
	switch x := e.(type) {
	case query.Not:
		return x.Of
	case query.Literal:
		if x.Value.Kind() == value.Bool {
			return literal(value.OfBool(!x.Value.Bool()))
		}
	}
	return query.Not{Of: e}
}

func literal(v value.Value) query.Expr { return query.Literal{Value: v} }

func notNull(e query.Expr) query.Expr { return query.Not{Of: query.IsNull{Of: e}} }

// guard makes e unknown, or where only truth matters false, unless all of g hold.
func guard(g []query.Expr, e query.Expr, exact bool) query.Expr {
	if len(g) == 0 {
		return e
	}
	if exact {
		return query.When{If: and(g...), Then: e}
	}
	return and(slices.Concat(g, []query.Expr{e})...)
}

// dependent reports whether the part depends on a row of the query.
func (b *builder) dependent(e ast.Expr) bool {
	found := false
	walk(e, func(e ast.Expr) bool {
		if e.Kind() == ast.IdentKind {
			if _, ok := b.rows[e.AsIdent()]; ok {
				found = true
			}
		}
		return !found
	})
	return found
}

// asks reports whether the part asks a collection.
func (u *unit) asks(e ast.Expr) bool {
	found := false
	walk(e, func(e ast.Expr) bool {
		found = found || u.collection(e) != nil
		return !found
	})
	return found
}

// hoist returns the part as an argument, if it does not depend on a row. What asks a
// collection stays in the query, unless it walks a list beside.
func (b *builder) hoist(e ast.Expr) (term, bool, error) {
	if b.dependent(e) {
		return term{}, false, nil
	}
	if e.Kind() == ast.LiteralKind {
		v, _ := fromCEL(e.AsLiteral())
		return term{raw: literal(v), t: *b.u.typeOf(e), null: v.IsNull()}, true, nil
	}
	if b.u.asks(e) && (e.Kind() != ast.ComprehensionKind || b.u.quantifier(e) != nil) {
		return term{}, false, nil
	}
	t, err := b.param(e)
	return t, true, err
}

// cond returns a part that yields a bool as a condition. Unless it must be exact,
// it may be false where it should be unknown.
func (b *builder) cond(e ast.Expr, exact bool) (query.Expr, error) {
	t, done, err := b.hoist(e)
	if done || err != nil {
		return t.raw, err
	}
	if q := b.u.quantifier(e); q != nil && q.kind != "size" {
		return b.ask(q, exact)
	}
	switch e.Kind() {
	case ast.CallKind:
		return b.condCall(e, exact)
	case ast.SelectKind:
		if s := e.AsSelect(); s.IsTestOnly() {
			return b.has(e, s, exact)
		}
	}
	t, err = b.value(e)
	return t.value(), err
}

func (b *builder) condCall(e ast.Expr, exact bool) (query.Expr, error) {
	c := e.AsCall()
	args := c.Args()
	switch fn := c.FunctionName(); fn {
	case operators.LogicalAnd, operators.LogicalOr:
		l, err := b.cond(args[0], exact)
		if err != nil {
			return nil, err
		}
		r, err := b.cond(args[1], exact)
		if err != nil {
			return nil, err
		}
		if fn == operators.LogicalAnd {
			return and(l, r), nil
		}
		return or(l, r), nil
	case operators.LogicalNot:
		x, err := b.cond(args[0], true)
		return not(x), err
	case operators.Conditional:
		var of [3]query.Expr
		for i := range of {
			var err error
			if of[i], err = b.cond(args[i], true); err != nil {
				return nil, err
			}
		}
		return query.Cond{If: of[0], Then: of[1], Else: of[2]}, nil
	case operators.Equals, operators.NotEquals:
		return b.equal(args[0], args[1], fn == operators.NotEquals, exact)
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		l, r, err := b.both(args)
		if err != nil {
			return nil, err
		}
		g := slices.Concat(l.hard, r.hard)
		return guard(g, query.Compare{Op: fn[1 : len(fn)-1], L: l.raw, R: r.raw}, exact), nil
	case operators.In:
		return b.in(args[0], args[1], exact)
	}
	t, err := b.value(e)
	return t.value(), err
}

func (b *builder) both(args []ast.Expr) (l, r term, err error) {
	if l, err = b.value(args[0]); err != nil {
		return l, r, err
	}
	r, err = b.value(args[1])
	return l, r, err
}

func (b *builder) equal(x, y ast.Expr, differ, exact bool) (query.Expr, error) {
	l, r, err := b.both([]ast.Expr{x, y})
	if err != nil {
		return nil, err
	}
	if l.t.Kind == value.TypeList || r.t.Kind == value.TypeList {
		return nil, b.refuse(x, "lists are compared", "ask for their items with in")
	}
	var same query.Expr = query.Same{L: l.raw, R: r.raw}
	if isNullLiteral(r.raw) {
		same = query.IsNull{Of: l.raw}
	} else if isNullLiteral(l.raw) {
		same = query.IsNull{Of: r.raw}
	}
	if differ {
		same = not(same)
	}
	return guard(slices.Concat(l.ok, r.ok), same, exact), nil
}

func isNullLiteral(e query.Expr) bool {
	l, ok := e.(query.Literal)
	return ok && l.Value.IsNull()
}

func (b *builder) in(x, list ast.Expr, exact bool) (query.Expr, error) {
	l, err := b.value(x)
	if err != nil {
		return nil, err
	}
	if list.Kind() == ast.CallKind && list.AsCall().FunctionName() == idsOf {
		list = list.AsCall().Args()[0]
	}
	if list.Kind() == ast.ListKind {
		g := slices.Clone(l.ok)
		var of []query.Expr
		for _, item := range list.AsList().Elements() {
			t, err := b.value(item)
			if err != nil {
				return nil, err
			}
			g = append(g, t.ok...)
			of = append(of, t.raw)
		}
		if len(of) == 0 {
			return guard(g, literal(value.OfBool(false)), exact), nil
		}
		return guard(g, query.In{X: l.raw, Of: of}, exact), nil
	}
	t, err := b.value(list)
	if err != nil {
		return nil, err
	}
	g := slices.Concat(l.ok, t.ok)
	if t.null {
		g = append(g, notNull(t.raw))
	}
	var has query.Expr = query.Has{Of: t.raw, X: l.raw}
	if l.null {
		has = and(notNull(l.raw), has) // no list holds nothing
	}
	return guard(g, has, exact), nil
}

// has is true if the field is there. What is looked into may be empty itself.
func (b *builder) has(e ast.Expr, s ast.SelectExpr, exact bool) (query.Expr, error) {
	of, err := b.value(s.Operand())
	if err != nil {
		return nil, err
	}
	f, err := b.field(e, s, of)
	if err != nil {
		return nil, err
	}
	// An unreadable record has no fields; one that cannot be reached is an error.
	there := notNull(f.raw)
	there = and(append(slices.Clone(f.hard[len(of.hard):]), there)...)
	return guard(of.ok, there, exact), nil
}

// value returns a part as a value.
func (b *builder) value(e ast.Expr) (term, error) {
	if t, done, err := b.hoist(e); done || err != nil {
		return t, err
	}
	if q := b.u.quantifier(e); q != nil {
		if q.kind == "size" {
			return b.size(q)
		}
		return b.boolTerm(e)
	}
	switch e.Kind() {
	case ast.IdentKind:
		r, ok := b.rows[e.AsIdent()]
		if !ok {
			return term{}, b.refuse(e, "it is a whole collection", "")
		}
		return term{raw: query.Row{Scope: r.scope},
			t: value.Type{Kind: value.TypeRelation, Of: r.of.name}}, nil
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return b.boolTerm(e)
		}
		of, err := b.value(s.Operand())
		if err != nil {
			return term{}, err
		}
		return b.field(e, s, of)
	case ast.CallKind:
		return b.call(e)
	case ast.ComprehensionKind:
		return term{}, b.refuse(e, "it walks a list field", "ask with in or size()")
	}
	return term{}, b.refuse(e, "it makes a list", "")
}

// boolTerm is a condition where a value is wanted.
func (b *builder) boolTerm(e ast.Expr) (term, error) {
	c, err := b.cond(e, true)
	if err != nil {
		return term{}, err
	}
	t := term{raw: c, t: value.Type{Kind: value.TypeBool}}
	if mayUnknown(c) {
		t.ok = []query.Expr{query.Not{Of: query.Unknown{Of: c}}}
	}
	return t, nil
}

// field looks into a record of the query.
func (b *builder) field(e ast.Expr, s ast.SelectExpr, of term) (term, error) {
	o := b.u.objectOf(s.Operand())
	switch of.raw.(type) {
	case query.Row, query.Field:
	default:
		o = nil
	}
	if o == nil || !o.table() {
		return term{}, b.refuse(e, "a field is taken from something computed", "")
	}
	name := s.FieldName()
	t := *o.fieldType(name)
	out := term{t: t, null: t.Optional, ok: of.ok, hard: of.hard,
		raw: query.Field{Of: of.raw, Collection: o.name, Name: name, Type: t}}
	if _, ok := of.raw.(query.Row); ok {
		return out, nil
	}
	if name == spec.FieldID {
		out.raw = of.raw
	}
	if of.null {
		out.ok = append(out.ok[:len(out.ok):len(out.ok)], notNull(of.raw))
	}
	if b.visible != nil {
		seen, err := b.seen(e, o, of.raw)
		if err != nil {
			return term{}, err
		}
		if seen != nil {
			out.ok = append(out.ok[:len(out.ok):len(out.ok)], seen)
			out.hard = append(out.hard[:len(out.hard):len(out.hard)], seen)
		}
	}
	return out, nil
}

// seen returns the condition that the caller may read the record that a relation
// points to; nil if everybody may.
func (b *builder) seen(e ast.Expr, o *object, relation query.Expr) (query.Expr, error) {
	may := b.visible(o.name)
	if may == nil {
		return literal(value.OfBool(false)), nil
	}
	c, err := may.Condition()
	if err != nil {
		return nil, b.refuse(e, "the read rule of "+o.name+" has no form as a query", "")
	}
	if c.Always() {
		return nil, nil
	}
	first, ok := b.keys["?seen "+o.name]
	if !ok {
		// The arguments of a read rule are the same at each hop.
		first = len(b.args)
		b.keys["?seen "+o.name] = first
		b.args = append(b.args, c.args...)
	}
	scope := b.scopes
	b.scopes += 1 + scopesOf(c.Expr)
	where := rescope(query.Shift(c.Expr, first), scope)
	return query.Exists{From: o.name, Scope: scope, Where: and(
		query.Same{L: query.Row{Scope: scope}, R: relation}, where)}, nil
}

// refuse says why a part cannot become a query.
func (b *builder) refuse(e ast.Expr, why, help string) error {
	return &refusal{id: e.ID(), message: "cannot become a query: " + why, help: help}
}
