package rule

import (
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/galleybackend/galley/internal/spec"
)

// Tie is a condition that a record must fulfil to matter: its field is the id of auth, or
// of the record that an argument is, or has an argument's value.
type Tie struct {
	Field string
	// Name is auth, or that of an argument.
	Name string
}

// Ties returns, for each place at which the rule looks into a collection, the ties of the
// records that it can find there: one that has not all of them, before it changed and
// after it, is the same to the rule as before. It reports false where the rule may look
// at any record.
func (r *Rule) Ties(collection string) (places [][]Tie, ok bool) {
	u := r.unit
	asked, ok := 0, true
	found := map[string]bool{} // the variables of records that a question found
	walk(u.root, func(e ast.Expr) bool {
		if o := u.collection(e); o != nil && o.name == collection {
			asked++
		}
		if o := u.hop(e); o != nil && o.name == collection && !found[nameOf(e.AsSelect().Operand())] {
			tie := u.tied(e.AsSelect().Operand())
			if ok = ok && tie != "" && tie != "auth"; ok {
				places = append(places, []Tie{{spec.FieldID, tie}})
			}
		}
		if q := u.quantifier(e); q != nil && q.of.name == collection {
			asked--
			for _, name := range q.vars {
				found[name] = true
			}
			ties := u.ties(q)
			ok = ok && len(ties) > 0
			places = append(places, ties)
		}
		return ok
	})
	return places, ok && asked == 0
}

// ties finds those of a question to a collection.
func (u *unit) ties(q *quantifier) []Tie {
	var out []Tie
	for i, f := range q.filters {
		out = u.conjuncts(f, q.vars[i], out)
	}
	if q.pred != nil && q.kind != "all" {
		out = u.conjuncts(q.pred, q.vars[len(q.vars)-1], out)
	}
	return out
}

func (u *unit) conjuncts(e ast.Expr, name string, to []Tie) []Tie {
	if e.Kind() != ast.CallKind {
		return to
	}
	c := e.AsCall()
	switch c.FunctionName() {
	case operators.LogicalAnd:
		for _, a := range c.Args() {
			to = u.conjuncts(a, name, to)
		}
	case operators.Equals:
		for i, a := range c.Args() {
			field, with := fieldOf(a, name), u.tied(c.Args()[1-i])
			if field != "" && with != "" {
				return append(to, Tie{field, with})
			}
		}
	}
	return to
}

// fieldOf returns the field of the named variable that e is, id for itself, "" for
// anything else.
func fieldOf(e ast.Expr, name string) string {
	e = bare(e)
	if e.Kind() == ast.IdentKind && e.AsIdent() == name {
		return spec.FieldID
	}
	if e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() {
		if of := e.AsSelect().Operand(); of.Kind() == ast.IdentKind && of.AsIdent() == name {
			return e.AsSelect().FieldName()
		}
	}
	return ""
}

// tied returns the name of auth, or of the argument, that e or whose id e is.
func (u *unit) tied(e ast.Expr) string {
	e = bare(e)
	if e.Kind() == ast.SelectKind && e.AsSelect().FieldName() == spec.FieldID &&
		!e.AsSelect().IsTestOnly() {
		e = e.AsSelect().Operand()
	}
	if e.Kind() != ast.IdentKind {
		return ""
	}
	name := e.AsIdent()
	if u.vars[name] != nil {
		return ""
	}
	if u.scope.Args != nil {
		if _, ok := u.scope.Args.Index(name); ok {
			return name
		}
	}
	if name == "auth" {
		return name
	}
	return ""
}

// nameOf returns the name of a variable, "" of anything else.
func nameOf(e ast.Expr) string {
	if e.Kind() == ast.IdentKind {
		return e.AsIdent()
	}
	return ""
}

// bare takes away what the checker put around a record that is compared with an id.
func bare(e ast.Expr) ast.Expr {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == idOf {
		return e.AsCall().Args()[0]
	}
	return e
}
