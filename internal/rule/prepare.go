package rule

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/common/ast"

	"github.com/galleybackend/galley/internal/spec"
)

// prepare makes of a parsed text the one that is checked: named rules are put in
// the place of their calls, bare names of fields become fields of the record, and
// the variables of comprehensions get names that occur once.
type prepare struct {
	u      *unit
	make   ast.ExprFactory
	next   int64
	nodes  int
	failed bool
	used   map[string]int
}

// place is the surrounding of a piece of text that is prepared.
type place struct {
	// names holds the new names of the variables that are bound here.
	names map[string]string
	// fresh asks for new ids, because the piece occurs more than once.
	fresh bool
	// body is the named rule whose body this is, at the range of its call, and
	// params what its parameters stand for.
	body   *define
	at     ast.OffsetRange
	params map[string]ast.Expr
}

func (u *unit) prepare() bool {
	p := &prepare{u: u, make: ast.NewExprFactory(), used: map[string]int{}}
	walk(u.root, func(e ast.Expr) bool {
		p.next = max(p.next, e.ID())
		return true
	})
	for id := range u.info.OffsetRanges() {
		p.next = max(p.next, id)
	}
	root := p.expr(u.root, &place{})
	if p.failed {
		return false
	}
	u.root.SetKindCase(root)
	if k, ok := u.kinds[root.ID()]; ok {
		u.kinds[u.root.ID()] = k
	}
	if o, ok := u.origin[root.ID()]; ok {
		u.origin[u.root.ID()] = o
	}
	return true
}

func (p *prepare) fail(id int64, message, help string) {
	if !p.failed {
		p.u.tell(id, message, help)
	}
	p.failed = true
}

// id returns the id of the copy of e.
func (p *prepare) id(e ast.Expr, in *place) int64 {
	if !in.fresh {
		return e.ID()
	}
	p.next++
	u, info := p.u, p.u.info
	kind := ""
	if b := in.body; b != nil {
		info.SetOffsetRange(p.next, in.at)
		loc := b.info.GetStartLocation(e.ID())
		u.origin[p.next] = position(b.decl.Body, loc.Line(), loc.Column())
		kind = b.kinds[e.ID()]
	} else {
		if r, ok := info.GetOffsetRange(e.ID()); ok {
			info.SetOffsetRange(p.next, r)
		}
		if o, ok := u.origin[e.ID()]; ok {
			u.origin[p.next] = o
		}
		kind = u.kinds[e.ID()]
	}
	if kind != "" {
		u.kinds[p.next] = kind
	}
	return p.next
}

func (p *prepare) expr(e ast.Expr, in *place) ast.Expr {
	if p.nodes++; p.nodes > nodesMax {
		p.fail(e.ID(), fmt.Sprintf("this is more than %d parts long", nodesMax),
			"say it with fewer named rules")
	}
	if p.failed {
		return e
	}
	id := p.id(e, in)
	switch e.Kind() {
	case ast.IdentKind:
		return p.ident(id, e, in)
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return p.make.NewPresenceTest(id, p.expr(s.Operand(), in), s.FieldName())
		}
		return p.make.NewSelect(id, p.expr(s.Operand(), in), s.FieldName())
	case ast.CallKind:
		return p.call(id, e, in)
	case ast.ListKind:
		return p.make.NewList(id, p.exprs(e.AsList().Elements(), in), nil)
	case ast.ComprehensionKind:
		return p.comprehension(id, e, in)
	case ast.LiteralKind:
		return p.make.NewLiteral(id, e.AsLiteral())
	default:
		p.fail(e.ID(), "maps and objects cannot be made in a rule", "")
		return e
	}
}

func (p *prepare) exprs(es []ast.Expr, in *place) []ast.Expr {
	out := make([]ast.Expr, len(es))
	for i, e := range es {
		out[i] = p.expr(e, in)
	}
	return out
}

func (p *prepare) ident(id int64, e ast.Expr, in *place) ast.Expr {
	name := e.AsIdent()
	if name == bareRecord {
		if !p.u.scope.Bare || in.body != nil {
			p.fail(id, "has() asks for a field, such as has(record.code)", "")
		}
		return p.make.NewIdent(id, "record")
	}
	if renamed, ok := in.names[name]; ok {
		return p.make.NewIdent(id, renamed)
	}
	if arg, ok := in.params[name]; ok {
		return p.expr(arg, &place{fresh: true})
	}
	if !in.fresh && p.u.scope.Bare {
		if a := p.u.scope.Args; a != nil {
			if _, ok := a.Index(name); ok {
				return p.make.NewIdent(id, name)
			}
		}
		if o := p.u.w.table(p.u.scope.Collection); o != nil && o.fieldType(name) != nil {
			p.next++
			if r, ok := p.u.info.GetOffsetRange(id); ok {
				p.u.info.SetOffsetRange(p.next, r)
			}
			return p.make.NewSelect(id, p.make.NewIdent(p.next, "record"), name)
		}
	}
	return p.make.NewIdent(id, name)
}

func (p *prepare) call(id int64, e ast.Expr, in *place) ast.Expr {
	c := e.AsCall()
	if c.IsMemberFunction() {
		return p.make.NewMemberCall(id, c.FunctionName(), p.expr(c.Target(), in),
			p.exprs(c.Args(), in)...)
	}
	args := p.exprs(c.Args(), in)
	d := p.u.w.defines[c.FunctionName()]
	if d == nil || p.failed {
		return p.make.NewCall(id, c.FunctionName(), args...)
	}
	if len(args) != len(d.decl.Params) {
		p.fail(id, fmt.Sprintf("%s takes %s, not %d", d.decl.Name,
			count(len(d.decl.Params), "argument"), len(args)), "")
		return e
	}
	at, _ := p.u.info.GetOffsetRange(id)
	at = p.u.fromWord(at, d.decl.Name)
	body := &place{fresh: true, body: d, at: at, params: map[string]ast.Expr{}}
	for i, name := range d.decl.Params {
		body.params[name.Name] = args[i]
	}
	return p.expr(d.body, body)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (p *prepare) comprehension(id int64, e ast.Expr, in *place) ast.Expr {
	c := e.AsComprehension()
	name := c.IterVar()
	if !in.fresh {
		o := p.u.w.table(p.u.scope.Collection)
		bare := p.u.scope.Bare && o != nil && o.fieldType(name) != nil
		if p.u.w.taken(name) || p.u.w.defines[name] != nil || bare {
			p.fail(e.ID(), "the name "+name+" has a meaning already",
				"call the variable something else")
			return e
		}
	}
	inner := *in
	inner.names = map[string]string{c.AccuVar(): c.AccuVar(), name: p.unique(name)}
	for from, to := range in.names {
		if _, hidden := inner.names[from]; !hidden {
			inner.names[from] = to
		}
	}
	return p.make.NewComprehension(id, p.expr(c.IterRange(), in), inner.names[name],
		c.AccuVar(), p.expr(c.AccuInit(), in), p.expr(c.LoopCondition(), &inner),
		p.expr(c.LoopStep(), &inner), p.expr(c.Result(), &inner))
}

// unique returns the name, or one made of it that no other variable has.
func (p *prepare) unique(name string) string {
	name, _, _ = strings.Cut(name, primed)
	p.used[name]++
	if n := p.used[name]; n > 1 {
		return fmt.Sprintf("%s%s%d", name, primed, n)
	}
	return name
}

// primed separates a variable's name from its number; no written name has it.
const primed = "#"

// position returns where in the file a place of the text is; line counts from 1,
// column from 0.
func position(t spec.Text, line, column int) spec.Pos {
	pos := t.Pos
	if line >= 1 && line <= len(t.Lines) {
		pos = t.Lines[line-1]
	} else if line > 1 {
		pos.Line += line - 1
		pos.Column = 1
	}
	pos.Column += column
	return pos
}
