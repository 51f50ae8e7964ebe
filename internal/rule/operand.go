package rule

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/interpreter"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// operand is a part of an expression that is evaluated before a query, whose
// argument it becomes.
type operand struct {
	u *unit
	// direct reads what needs no program: a record's id or one of its fields.
	direct func(in *Input) (value.Value, bool)
	prog   cel.Program
	// sound makes of the operand before this one whether it did not fail.
	sound bool
	// asks reports that it asks a collection.
	asks bool
}

// evalAll evaluates operands in order. An error of the rule is null; one of the store
// is returned.
func evalAll(ops []*operand, d *decision, a interpreter.Activation) ([]value.Value, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	out := make([]value.Value, len(ops))
	ok := true
	for i, op := range ops {
		if op.sound {
			out[i] = value.OfBool(ok)
			continue
		}
		if out[i], ok = op.eval(d, a); !ok {
			out[i] = value.OfNull()
		}
		if d.broken != nil {
			return nil, d.broken
		}
	}
	return out, nil
}

func (op *operand) eval(d *decision, a interpreter.Activation) (value.Value, bool) {
	if op.direct != nil {
		return op.direct(d.in)
	}
	v, _, err := op.prog.Eval(a)
	if err != nil {
		return value.OfNull(), false
	}
	return fromCEL(v)
}

// param makes the part an argument of the query.
func (b *builder) param(e ast.Expr) (term, error) {
	t := *b.u.typeOf(e)
	fails, null := b.u.fails(e), t.Optional
	text := b.u.show(e)
	at, known := b.keys[text]
	if !known {
		op := &operand{u: b.u, direct: b.u.direct(e), asks: b.u.asks(e)}
		if op.direct == nil {
			var err error
			if op.prog, err = b.u.plan(e); err != nil {
				return term{}, err
			}
		}
		at = len(b.args)
		b.keys[text] = at
		b.args = append(b.args, op)
		if fails && null {
			b.args = append(b.args, &operand{u: b.u, sound: true})
		}
	}
	t.Optional = fails || null
	out := term{raw: query.Param{Index: at, Type: t}, t: t, null: null}
	switch {
	case fails && null:
		out.ok = []query.Expr{query.Param{Index: at + 1, Type: value.Type{Kind: value.TypeBool}}}
	case fails:
		out.ok = []query.Expr{notNull(out.raw)}
	}
	return out, nil
}

// direct returns how to read a part that is a variable or a field of one, nil for
// all others.
func (u *unit) direct(e ast.Expr) func(*Input) (value.Value, bool) {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == idOf {
		e = e.AsCall().Args()[0]
	}
	switch e.Kind() {
	case ast.IdentKind:
		if e.AsIdent() == "now" {
			return func(in *Input) (value.Value, bool) { return value.OfTime(in.Now), true }
		}
		pick := u.recordOf(e)
		if pick == nil {
			return nil
		}
		return func(in *Input) (value.Value, bool) {
			if r := pick(in); !r.Zero() {
				return r.Slots[spec.SlotID], true
			}
			return value.OfNull(), true
		}
	case ast.SelectKind:
		s := e.AsSelect()
		pick, o := u.recordOf(s.Operand()), u.objectOf(s.Operand())
		if pick == nil || o == nil || s.IsTestOnly() {
			return nil
		}
		slot, ok := o.shape.Index(s.FieldName())
		if !ok || o.shape.Fields()[slot].Type.Kind == value.TypeDuration {
			return nil
		}
		return func(in *Input) (value.Value, bool) {
			if r := pick(in); !r.Zero() {
				return r.Slots[slot], true
			}
			return value.OfNull(), false
		}
	}
	return nil
}

func (u *unit) recordOf(e ast.Expr) func(*Input) value.Record {
	if e.Kind() != ast.IdentKind || u.vars[e.AsIdent()] != nil {
		return nil
	}
	switch e.AsIdent() {
	case "auth":
		return func(in *Input) value.Record { return in.Auth }
	case "record":
		return func(in *Input) value.Record { return in.Record }
	case "before":
		return func(in *Input) value.Record { return in.Before }
	}
	return nil
}

// fails reports whether the evaluation of a part in memory can end in an error.
func (u *unit) fails(e ast.Expr) bool {
	switch e.Kind() {
	case ast.LiteralKind, ast.IdentKind:
		return false
	case ast.SelectKind:
		s := e.AsSelect()
		of := s.Operand()
		if s.IsTestOnly() {
			return u.fails(of)
		}
		if of.Kind() == ast.IdentKind {
			return of.AsIdent() != "record" && of.AsIdent() != "request"
		}
		return true
	case ast.ListKind:
		return u.anyFails(e.AsList().Elements(), false)
	case ast.CallKind:
		return u.callFails(e)
	default:
		return true
	}
}

func (u *unit) callFails(e ast.Expr) bool {
	c := e.AsCall()
	args := c.Args()
	if c.IsMemberFunction() {
		args = append([]ast.Expr{c.Target()}, args...)
	}
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals, idOf:
		return u.anyFails(args, false)
	case operators.In:
		return u.anyFails(args, false) || u.typeOf(args[1]).Optional
	case "days", "hours", "minutes", "seconds":
		return args[0].Kind() != ast.LiteralKind || !smallSpan(args[0])
	case "timestamp", "duration":
		return false
	case operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot,
		operators.Conditional, operators.Less, operators.LessEquals, operators.Greater,
		operators.GreaterEquals, "contains", "startsWith", "endsWith", "matches", "size",
		"lowerAscii", "upperAscii", "trim":
		return u.anyFails(args, true)
	default:
		return true
	}
}

// anyFails reports whether one of the parts can fail, or be a null that fails here.
func (u *unit) anyFails(es []ast.Expr, null bool) bool {
	for _, e := range es {
		if u.fails(e) || null && (u.typeOf(e).Optional || u.typeOf(e) == unknownType) {
			return true
		}
	}
	return false
}

// smallSpan reports whether the literal is a number of days that no duration is
// too short for.
func smallSpan(e ast.Expr) bool {
	v, ok := fromCEL(e.AsLiteral())
	return ok && v.Int() < 100_000 && v.Int() > -100_000
}
