package rule

import (
	"strconv"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// show writes a part as text, with named rules written out.
func (u *unit) show(e ast.Expr) string {
	var b strings.Builder
	u.write(&b, e, 0)
	return b.String()
}

// binary holds how tightly operators bind.
var binary = map[string]int{
	operators.LogicalOr: 2, operators.LogicalAnd: 3,
	operators.Equals: 4, operators.NotEquals: 4, operators.Less: 4,
	operators.LessEquals: 4, operators.Greater: 4, operators.GreaterEquals: 4,
	operators.In: 4, operators.Add: 5, operators.Subtract: 5,
	operators.Multiply: 6, operators.Divide: 6, operators.Modulo: 6,
}

// The bindings of what is no binary operator.
const (
	bindsChoice = 1
	bindsUnary  = 7
	bindsName   = 8
)

func (u *unit) write(b *strings.Builder, e ast.Expr, outer int) {
	switch e.Kind() {
	case ast.IdentKind:
		name, number, _ := strings.Cut(e.AsIdent(), primed)
		b.WriteString(name + number)
	case ast.LiteralKind:
		b.WriteString(showValue(e.AsLiteral()))
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			b.WriteString("has(")
			defer b.WriteString(")")
		}
		bare := u.scope.Bare && s.Operand().Kind() == ast.IdentKind &&
			s.Operand().AsIdent() == "record"
		if !bare {
			u.write(b, s.Operand(), bindsName)
			b.WriteByte('.')
		}
		b.WriteString(s.FieldName())
	case ast.ListKind:
		b.WriteByte('[')
		u.writeAll(b, e.AsList().Elements())
		b.WriteByte(']')
	case ast.CallKind:
		u.writeCall(b, e.AsCall(), outer)
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		u.write(b, c.IterRange(), bindsName)
		name, number, _ := strings.Cut(c.IterVar(), primed)
		kind := u.kinds[e.ID()]
		b.WriteString("." + kind + "(" + name + number + ", ")
		u.write(b, predicate(kind, c), 0)
		b.WriteByte(')')
	}
}

func (u *unit) writeAll(b *strings.Builder, es []ast.Expr) {
	for i, e := range es {
		if i > 0 {
			b.WriteString(", ")
		}
		u.write(b, e, 0)
	}
}

func (u *unit) writeCall(b *strings.Builder, c ast.CallExpr, outer int) {
	fn, args := c.FunctionName(), c.Args()
	own, isBinary := binary[fn]
	switch {
	case fn == operators.Conditional:
		own = bindsChoice
	case fn == operators.LogicalNot, fn == operators.Negate:
		own = bindsUnary
	case !isBinary:
		own = bindsName
	}
	if own < outer {
		b.WriteByte('(')
		defer b.WriteByte(')')
	}
	switch {
	case fn == idOf, fn == idsOf:
		u.write(b, args[0], outer)
	case isBinary:
		u.write(b, args[0], own)
		op := "in"
		if fn != operators.In {
			op = strings.Trim(fn, "_")
		}
		b.WriteString(" " + op + " ")
		u.write(b, args[1], own+1)
	case own == bindsChoice:
		u.write(b, args[0], own+1)
		b.WriteString(" ? ")
		u.write(b, args[1], own+1)
		b.WriteString(" : ")
		u.write(b, args[2], own)
	case own == bindsUnary:
		b.WriteByte(fn[0])
		u.write(b, args[0], own)
	default:
		if c.IsMemberFunction() {
			u.write(b, c.Target(), bindsName)
			b.WriteByte('.')
		}
		b.WriteString(fn + "(")
		u.writeAll(b, args)
		b.WriteByte(')')
	}
}

// showValue writes a value for people.
func showValue(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return strconv.Quote(string(v))
	case types.Null:
		return "null"
	case types.Int:
		return strconv.FormatInt(int64(v), 10)
	case types.Double:
		s := strconv.FormatFloat(float64(v), 'g', -1, 64)
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		return s
	case types.Bool:
		return strconv.FormatBool(bool(v))
	case types.Timestamp:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case types.Duration:
		return v.String()
	case *recordVal:
		if v.o.table() {
			return v.o.name + "/" + v.id
		}
		return "{…}"
	case *types.Err:
		return "error: " + v.String()
	case nil:
		return ""
	}
	if l, ok := fromList(v); ok {
		return "a list of " + count(len(l.List()), "item")
	}
	return "…"
}

func join(words []string) string { return strings.Join(words, ", ") }
