package rule

import (
	"context"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Tree is a rule taken apart: each part with its text and what it came to.
type Tree struct {
	Text string `json:"text"`
	// Value is what the part came to, as text; "" for a part that was not reached.
	Value string `json:"value,omitempty"`
	// Mark is "✓" for true, "✗" for false or an error, "·" for other values and for
	// parts that were not reached.
	Mark string `json:"mark"`
	// Pos is where the part is written; for a part of a named rule, where that is
	// called.
	Pos   spec.Pos `json:"-"`
	Parts []Tree   `json:"parts,omitempty"`
}

// The marks of a Tree.
const (
	markYes   = "✓"
	markNo    = "✗"
	markOther = "·"
)

// Explain decides as Decide does and tells what each part came to, as far as it
// matters for the outcome. Values of fields that not everybody may read, and of
// inputs that are secrets, are masked. Where a question to a collection is answered
// with no, the record that comes nearest shows why.
func (r *Rule) Explain(ctx context.Context, in *Input) Tree {
	d := &decision{ctx: ctx, in: in, u: r.unit, visible: r.scope.Visible}
	x := &explainer{u: r.unit, d: d, act: d}
	prog, err := r.tracked()
	var t Tree
	ok := err == nil
	if ok {
		t, ok = x.evaluate(prog, r.unit.root, true)
	}
	if !ok {
		v := r.Decide(ctx, in)
		t = Tree{Text: r.unit.show(r.unit.root), Pos: r.text.Pos, Mark: markNo}
		if v.Allowed() {
			t.Mark = markYes
		}
	}
	return t
}

// String draws the tree, a line for each part.
func (t Tree) String() string {
	var b strings.Builder
	t.draw(&b, 0)
	return b.String()
}

func (t Tree) draw(b *strings.Builder, depth int) {
	b.WriteString(strings.Repeat("  ", depth) + t.Mark + " " + t.Text)
	if t.Value != "" {
		b.WriteString("   " + t.Value)
	}
	b.WriteByte('\n')
	for _, p := range t.Parts {
		p.draw(b, depth+1)
	}
}

// explainer takes one evaluation apart.
type explainer struct {
	u     *unit
	d     *decision
	act   interpreter.Activation
	state interpreter.EvalState
}

// track returns the program of a part that remembers what each part of it came to.
func (u *unit) track(e ast.Expr) (cel.Program, error) {
	return u.planWith(e, cel.EvalOptions(cel.OptTrackState))
}

// evaluate evaluates the program of a part and draws the part.
func (x *explainer) evaluate(prog cel.Program, e ast.Expr, open bool) (Tree, bool) {
	// What it came to is in the state, errors included.
	_, details, _ := prog.Eval(x.act)
	if details == nil || details.State() == nil {
		return Tree{}, false
	}
	x.state = details.State()
	return x.tree(e, open), true
}

// tree draws a part. What is true is opened only where open asks for it: there is
// nothing to look for in it.
func (x *explainer) tree(e ast.Expr, open bool) Tree {
	pos, _ := x.u.place(e.ID())
	t := Tree{Text: x.u.show(e), Pos: pos, Mark: markOther}
	v, reached := x.state.Value(e.ID())
	if !reached {
		return t
	}
	switch v := v.(type) {
	case types.Bool:
		t.Value, t.Mark = showValue(v), markNo
		if v {
			t.Mark = markYes
		}
	case *types.Err:
		t.Value, t.Mark = "error: "+v.String(), markNo
	default:
		t.Value = x.shown(e, v)
	}
	if open || t.Mark == markNo {
		t.Parts = x.parts(e, v)
	}
	return t
}

func (x *explainer) parts(e ast.Expr, v ref.Val) []Tree {
	if q := x.u.quantifier(e); q != nil {
		return x.nearest(q, v)
	}
	if e.Kind() != ast.CallKind {
		if e.Kind() == ast.SelectKind && e.AsSelect().Operand().Kind() == ast.SelectKind {
			return x.leaves(e.AsSelect().Operand(), nil)
		}
		return nil
	}
	c := e.AsCall()
	switch c.FunctionName() {
	case operators.LogicalAnd, operators.LogicalOr:
		return []Tree{x.tree(c.Args()[0], false), x.tree(c.Args()[1], false)}
	case operators.LogicalNot:
		return []Tree{x.tree(c.Args()[0], true)}
	case operators.Conditional:
		out := []Tree{x.tree(c.Args()[0], true)}
		for _, branch := range c.Args()[1:] {
			if _, reached := x.state.Value(branch.ID()); reached {
				out = append(out, x.tree(branch, false))
			}
		}
		return out
	}
	var out []Tree
	for _, a := range children(e) {
		out = x.leaves(a, out)
	}
	return out
}

// leaves adds the variables and fields of a part with their values.
func (x *explainer) leaves(e ast.Expr, out []Tree) []Tree {
	switch e.Kind() {
	case ast.SelectKind, ast.IdentKind:
		text := x.u.show(e)
		for _, t := range out {
			if t.Text == text {
				return out
			}
		}
		v, reached := x.state.Value(e.ID())
		if !reached {
			return out
		}
		pos, _ := x.u.place(e.ID())
		return append(out, Tree{Text: text, Value: x.shown(e, v), Mark: markOther, Pos: pos})
	case ast.ComprehensionKind:
		return out
	}
	for _, c := range children(e) {
		out = x.leaves(c, out)
	}
	return out
}

// shown writes a value, or that it is hidden.
func (x *explainer) shown(e ast.Expr, v ref.Val) string {
	hidden := false
	walk(e, func(e ast.Expr) bool {
		if e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() {
			name := e.AsSelect().FieldName()
			o := x.u.objectOf(e.AsSelect().Operand())
			hidden = hidden || o != nil && (o.masked(name) || !o.table() && isSecret(name))
		}
		return !hidden
	})
	if s, ok := v.(types.String); ok && !hidden {
		return string(s)
	}
	if hidden && v != types.NullValue {
		return "(hidden)"
	}
	return showValue(v)
}

// isSecret reports whether an input of this name is a secret.
func isSecret(name string) bool {
	name = strings.ToLower(name)
	for _, word := range [...]string{"password", "secret", "token"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

// nearest shows, for a question to a collection that was not answered with yes, the
// condition on the record that decides it or comes nearest to fulfilling it.
func (x *explainer) nearest(q *quantifier, answer ref.Val) []Tree {
	if q.pred == nil || answer == types.True || q.kind == "exists_one" {
		return nil
	}
	var conds []ast.Expr
	for _, f := range q.filters {
		conds = conjuncts(f, conds)
	}
	if q.kind == "all" {
		row, ok := x.search(q, conds, true)
		if !ok {
			return nil
		}
		return x.onRow(q, row, []ast.Expr{q.pred})
	}
	conds = conjuncts(q.pred, conds)
	for n := len(conds); n > 0; n-- {
		if row, ok := x.search(q, conds[:n-1], false); ok {
			return x.onRow(q, row, append(append([]ast.Expr(nil), q.filters...), q.pred))
		}
	}
	return []Tree{{Text: q.of.name + " has no records", Mark: markOther}}
}

// search finds a record that fulfils the conditions, and if broken is set one for
// which the question's own condition does not hold.
func (x *explainer) search(q *quantifier, conds []ast.Expr, broken bool) (value.Record, bool) {
	b := newBuilder(x.u, 1)
	for _, v := range q.vars {
		b.rows[v] = row{0, q.of}
	}
	var where []query.Expr
	for _, c := range conds {
		w, err := b.cond(c, false)
		if err != nil {
			return value.Record{}, false
		}
		where = append(where, w)
	}
	if broken {
		w, err := b.cond(q.pred, true)
		if err != nil {
			return value.Record{}, false
		}
		where = append(where, not(query.IsTrue{Of: w}))
	}
	args, err := evalAll(b.args, x.d, x.act)
	if err != nil {
		return value.Record{}, false
	}
	rows, err := x.d.find(query.Query{Args: args,
		Plan: &query.Plan{From: q.of.name, Where: and(where...), Limit: 1}})
	if err != nil || len(rows) == 0 {
		return value.Record{}, false
	}
	return rows[0], true
}

// onRow evaluates conditions on one record of a collection.
func (x *explainer) onRow(q *quantifier, rec value.Record, conds []ast.Expr) []Tree {
	val := &recordVal{d: x.d, o: q.of, id: rec.Slots[spec.SlotID].Text(), rec: rec}
	inner := &explainer{u: x.u, d: x.d, act: &rowScope{x.act, q.vars, val}}
	var out []Tree
	for _, c := range conds {
		prog, err := x.u.track(c)
		if err != nil {
			continue
		}
		if t, ok := inner.evaluate(prog, c, false); ok {
			out = append(out, t)
		}
	}
	return out
}

// rowScope binds the variables of a question to one record.
type rowScope struct {
	interpreter.Activation
	names []string
	row   *recordVal
}

// ResolveName returns the record for its names, and else what is known outside.
func (s *rowScope) ResolveName(name string) (any, bool) {
	for _, n := range s.names {
		if n == name {
			return s.row, true
		}
	}
	return s.Activation.ResolveName(name)
}

// Parent returns the scope around.
func (s *rowScope) Parent() interpreter.Activation { return s.Activation }

// conjuncts appends the conditions that && joins.
func conjuncts(e ast.Expr, out []ast.Expr) []ast.Expr {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.LogicalAnd {
		for _, a := range e.AsCall().Args() {
			out = conjuncts(a, out)
		}
		return out
	}
	return append(out, e)
}
