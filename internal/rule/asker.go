package rule

import (
	"slices"

	"cel.dev/cel-go/common/ast"

	"github.com/galleybackend/galley/internal/spec"
)

// Asker says what of the call itself a rule looks at, so that it is known for whom else
// its answer holds, and until when.
type Asker struct {
	// Auth, Request and Now report that the rule names the variable.
	Auth, Request, Now bool
	// Fields are the fields of auth that it looks at, each once.
	Fields []string
	// Beyond are the fields of records that it reaches from auth, each once.
	Beyond []Step
}

// Asker returns what of the call itself the rule looks at.
func (r *Rule) Asker() Asker {
	var a Asker
	u := r.unit
	walk(u.root, func(e ast.Expr) bool {
		switch e.Kind() {
		case ast.IdentKind:
			switch e.AsIdent() {
			case "auth":
				a.Auth = true
			case "request":
				a.Request = true
			case "now":
				a.Now = true
			}
		case ast.SelectKind:
			a.look(u, e)
		}
		return true
	})
	return a
}

// look notes a field that is reached from auth.
func (a *Asker) look(u *unit, e ast.Expr) {
	of := e.AsSelect().Operand()
	o := u.objectOf(of)
	if o == nil || !o.table() {
		return
	}
	if of.Kind() == ast.IdentKind {
		if name := e.AsSelect().FieldName(); of.AsIdent() == "auth" &&
			name != spec.FieldID && !slices.Contains(a.Fields, name) {
			a.Fields = append(a.Fields, name)
		}
		return
	}
	root := of
	for root.Kind() == ast.SelectKind {
		root = root.AsSelect().Operand()
	}
	step := Step{Collection: o.name, Field: e.AsSelect().FieldName()}
	if root.Kind() == ast.IdentKind && root.AsIdent() == "auth" &&
		!slices.Contains(a.Beyond, step) {
		a.Beyond = append(a.Beyond, step)
	}
}

// Asks reports whether an argument of the condition is itself found by a question to a
// collection, so that Expr does not show all that the condition depends on.
func (c *Condition) Asks() bool {
	return slices.ContainsFunc(c.args, func(op *operand) bool { return op.asks })
}
