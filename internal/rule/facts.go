package rule

import (
	"slices"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/galleybackend/galley/internal/spec"
)

// facts are what can be said of a rule without deciding it.
type facts struct {
	reads      []string
	mentions   []Path
	equalities []Equality
	usesBefore bool
	needsAuth  bool
}

// Reads returns the collections that the rule looks into, sorted: those of its
// relations and those it looks up.
func (r *Rule) Reads() []string { return r.facts.reads }

// Mentions returns the chains of fields of the record that the rule uses, each once,
// in the order of the text. Those of a Bare expression include the chains that begin
// at auth, as fields of users.
func (r *Rule) Mentions() []Path { return r.facts.mentions }

// Equality is a term that every record must fulfil for the rule to hold: the field
// of the collection equals something known before the row is. The collection is
// that of the rule, or one it looks up: then the terms of one lookup share Lookup,
// counted from 1.
type Equality struct {
	Collection string
	Field      string
	Lookup     int
}

// Equalities returns the terms by which an index could find the rows.
func (r *Rule) Equalities() []Equality { return r.facts.equalities }

// UsesBefore reports whether the rule mentions before.
func (r *Rule) UsesBefore() bool { return r.facts.usesBefore }

// OnlyRecord reports whether the rule needs no View: it follows no relation and looks
// up no collection.
func (r *Rule) OnlyRecord() bool { return len(r.facts.reads) == 0 }

// AuthRequired reports whether the rule cannot be true for a caller who is not
// signed in.
func (r *Rule) AuthRequired() bool { return r.facts.needsAuth }

func (u *unit) gather() facts {
	f := facts{needsAuth: u.signedOut(u.root)&isTrue == 0}
	u.gatherPaths(u.root, &f)
	reads := map[string]bool{}
	walk(u.root, func(e ast.Expr) bool {
		if o := u.collection(e); o != nil {
			reads[o.name] = true
		}
		if e.Kind() == ast.IdentKind && e.AsIdent() == "before" {
			f.usesBefore = true
		}
		if o := u.hop(e); o != nil {
			reads[o.name] = true
		}
		return true
	})
	for name := range reads {
		f.reads = append(f.reads, name)
	}
	slices.Sort(f.reads)
	u.terms(u.root, "record", u.w.table(u.scope.Collection), 0, &f)
	n := 0
	u.lookupTerms(u.root, &n, &f)
	return f
}

// hop returns the collection that is looked into where e follows a relation.
func (u *unit) hop(e ast.Expr) *object {
	if e.Kind() != ast.SelectKind {
		return nil
	}
	s := e.AsSelect()
	o := u.objectOf(s.Operand())
	if o == nil || !o.table() || s.Operand().Kind() == ast.IdentKind &&
		u.isLoaded(s.Operand().AsIdent()) {
		return nil
	}
	if s.FieldName() == spec.FieldID && u.scope.Visible == nil && !s.IsTestOnly() {
		return nil
	}
	return o
}

// isLoaded reports whether the variable's record is at hand.
func (u *unit) isLoaded(name string) bool {
	return name == "record" || name == "before" || name == "auth"
}

// gatherPaths finds the chains of fields that begin at the record.
func (u *unit) gatherPaths(e ast.Expr, f *facts) {
	if steps := u.steps(e); steps != nil {
		pos, width := u.place(e.ID())
		known := slices.ContainsFunc(f.mentions, func(p Path) bool {
			return slices.Equal(p.Steps, steps)
		})
		if !known {
			f.mentions = append(f.mentions, Path{Steps: steps, Pos: pos, Width: width})
		}
		return
	}
	for _, c := range children(e) {
		u.gatherPaths(c, f)
	}
}

func (u *unit) steps(e ast.Expr) []Step {
	if e.Kind() != ast.SelectKind {
		return nil
	}
	s := e.AsSelect()
	o := u.objectOf(s.Operand())
	if o == nil || !o.table() {
		return nil
	}
	step := Step{Collection: o.name, Field: s.FieldName()}
	if of := s.Operand(); of.Kind() == ast.IdentKind {
		// Whoever asks must not learn his own hidden fields by a filter either.
		name := of.AsIdent()
		if name == "record" || name == "before" || name == "auth" && u.scope.Bare {
			return []Step{step}
		}
		return nil
	}
	before := u.steps(s.Operand())
	if before == nil {
		return nil
	}
	return append(before, step)
}

// terms adds the equalities that must hold for e to be true.
func (u *unit) terms(e ast.Expr, name string, o *object, lookup int, f *facts) {
	if e.Kind() != ast.CallKind || o == nil {
		return
	}
	c := e.AsCall()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		for _, a := range c.Args() {
			u.terms(a, name, o, lookup, f)
		}
	case operators.Equals:
		for i, a := range c.Args() {
			if a.Kind() == ast.CallKind && a.AsCall().FunctionName() == idOf {
				a = a.AsCall().Args()[0]
			}
			field := ""
			if a.Kind() == ast.IdentKind && a.AsIdent() == name {
				field = spec.FieldID
			}
			if a.Kind() == ast.SelectKind && !a.AsSelect().IsTestOnly() {
				of := a.AsSelect().Operand()
				if of.Kind() == ast.IdentKind && of.AsIdent() == name {
					field = a.AsSelect().FieldName()
				}
			}
			if field != "" && !mentionsName(c.Args()[1-i], name) {
				f.equalities = append(f.equalities, Equality{o.name, field, lookup})
				return
			}
		}
	}
}

func mentionsName(e ast.Expr, name string) bool {
	found := false
	walk(e, func(e ast.Expr) bool {
		found = found || e.Kind() == ast.IdentKind && e.AsIdent() == name
		return !found
	})
	return found
}

// lookupTerms adds the equalities of each question to a collection.
func (u *unit) lookupTerms(e ast.Expr, n *int, f *facts) {
	if q := u.quantifier(e); q != nil {
		*n++
		number := *n
		for i, p := range q.filters {
			u.terms(p, q.vars[i], q.of, number, f)
			u.lookupTerms(p, n, f)
		}
		if q.pred != nil {
			if q.kind != "all" {
				u.terms(q.pred, q.vars[len(q.vars)-1], q.of, number, f)
			}
			u.lookupTerms(q.pred, n, f)
		}
		return
	}
	for _, c := range children(e) {
		u.lookupTerms(c, n, f)
	}
}

// signedOut returns which truths a part can have for a caller who is not signed in.
func (u *unit) signedOut(e ast.Expr) truths {
	if u.failsSignedOut(e) {
		return isUnknown
	}
	if q := u.quantifier(e); q != nil && q.kind != "size" {
		if q.kind == "exists" || q.kind == "exists_one" {
			t := isTrue
			for _, p := range append(slices.Clone(q.filters), q.pred) {
				t &= u.signedOut(p)
			}
			return isFalse | isUnknown | t
		}
		return isAny
	}
	switch e.Kind() {
	case ast.LiteralKind:
		if b, ok := e.AsLiteral().(types.Bool); ok {
			return pick(bool(b), isTrue) | pick(!bool(b), isFalse)
		}
	case ast.CallKind:
		return u.callSignedOut(e.AsCall())
	}
	return isAny
}

func (u *unit) callSignedOut(c ast.CallExpr) truths {
	args := c.Args()
	switch c.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		wins, loses := isFalse, isTrue
		if c.FunctionName() == operators.LogicalOr {
			wins, loses = isTrue, isFalse
		}
		return combine(u.signedOut(args[0]), u.signedOut(args[1]), wins, loses)
	case operators.LogicalNot:
		return turned(u.signedOut(args[0]))
	case operators.Conditional:
		return chosen(u.signedOut(args[0]), u.signedOut(args[1]), u.signedOut(args[2]))
	case operators.Equals:
		return u.equalSignedOut(args[0], args[1])
	case operators.NotEquals:
		return turned(u.equalSignedOut(args[0], args[1]))
	}
	return isAny
}

func (u *unit) equalSignedOut(l, r ast.Expr) truths {
	lNull, rNull := u.isNothing(l), u.isNothing(r)
	switch {
	case lNull && rNull:
		return isTrue
	case lNull && u.neverNull(r), rNull && u.neverNull(l):
		return isFalse | isUnknown
	}
	return isAny
}

// isNothing reports whether the part is null for a caller who is not signed in.
func (u *unit) isNothing(e ast.Expr) bool {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent() == "auth"
	case ast.LiteralKind:
		return e.AsLiteral() == types.NullValue
	case ast.CallKind:
		return e.AsCall().FunctionName() == idOf && u.isNothing(e.AsCall().Args()[0])
	}
	return false
}

func (u *unit) neverNull(e ast.Expr) bool {
	t := u.typeOf(e)
	return t != unknownType && !t.Optional
}

// failsSignedOut reports whether the part looks into auth in every case.
func (u *unit) failsSignedOut(e ast.Expr) bool {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		if of := s.Operand(); of.Kind() == ast.IdentKind && of.AsIdent() == "auth" {
			return !s.IsTestOnly()
		}
		return u.failsSignedOut(s.Operand())
	case ast.CallKind:
		switch e.AsCall().FunctionName() {
		case operators.LogicalAnd, operators.LogicalOr:
			return false
		case operators.Conditional:
			return u.failsSignedOut(e.AsCall().Args()[0])
		}
		if u.quantifier(e) != nil {
			return false
		}
		return slices.ContainsFunc(children(e), u.failsSignedOut)
	case ast.ListKind:
		return slices.ContainsFunc(children(e), u.failsSignedOut)
	}
	return false
}
