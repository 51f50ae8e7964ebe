package query

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/value"
)

// Format writes a tree for people to read, in the words of SQL. No store speaks it:
// parameters are written as $1, records by a letter of their scope.
func Format(e Expr) string {
	switch e := e.(type) {
	case nil:
		return "true"
	case Param:
		return fmt.Sprintf("$%d", e.Index+1)
	case Literal:
		if e.Value.IsNull() {
			return "null"
		}
		return string(value.AppendJSON(nil, e.Value))
	case Row:
		return scope(e.Scope) + ".id"
	case Field:
		if row, ok := e.Of.(Row); ok {
			return scope(row.Scope) + "." + e.Name
		}
		return Format(e.Of) + " → " + e.Collection + "." + e.Name
	case Compare:
		return Format(e.L) + " " + e.Op + " " + Format(e.R)
	case Same:
		return Format(e.L) + " = " + Format(e.R)
	case And:
		return joined(e.Of, " and ")
	case Or:
		return joined(e.Of, " or ")
	case Not:
		return "not (" + Format(e.Of) + ")"
	case IsNull:
		return Format(e.Of) + " is null"
	case IsTrue:
		return "(" + Format(e.Of) + ") is true"
	case Unknown:
		return "(" + Format(e.Of) + ") is unknown"
	case When:
		return "case when " + Format(e.If) + " then " + Format(e.Then) + " end"
	case Cond:
		return "case when " + Format(e.If) + " then " + Format(e.Then) + " else " +
			Format(e.Else) + " end"
	case In:
		return Format(e.X) + " in " + joined(e.Of, ", ")
	case Has:
		return Format(e.Of) + " contains " + Format(e.X)
	case Arith:
		return "(" + Format(e.L) + " " + e.Op + " " + Format(e.R) + ")"
	case Func:
		return e.Name + joined(e.Args, ", ")
	case Exists:
		return fmt.Sprintf("exists (%s %s where %s)", e.From, scope(e.Scope), Format(e.Where))
	case Count:
		return fmt.Sprintf("count (%s %s where %s)", e.From, scope(e.Scope), Format(e.Where))
	}
	return fmt.Sprintf("%T", e)
}

func scope(n int) string { return string(rune('r' + n%8)) }

func joined(of []Expr, by string) string {
	parts := make([]string, len(of))
	for i, e := range of {
		parts[i] = Format(e)
	}
	return "(" + strings.Join(parts, by) + ")"
}
