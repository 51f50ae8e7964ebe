package rule

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// quantifier is a question to a whole collection.
type quantifier struct {
	// kind is exists, all, exists_one or size.
	kind string
	of   *object
	// vars are the variables that all stand for the same record; the last one is
	// that of pred, if pred is there.
	vars []string
	// filters are the conditions of the filters before the question.
	filters []ast.Expr
	pred    ast.Expr
}

// quantifier returns the question to a collection that e asks, nil if it asks none.
func (u *unit) quantifier(e ast.Expr) *quantifier {
	switch e.Kind() {
	case ast.CallKind:
		c := e.AsCall()
		if c.FunctionName() != "size" {
			return nil
		}
		arg := c.Target()
		if !c.IsMemberFunction() {
			arg = c.Args()[0]
		}
		q := &quantifier{kind: "size"}
		if !u.filtered(arg, q) {
			return nil
		}
		return q
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		q := &quantifier{kind: u.kinds[e.ID()]}
		if q.kind == "existsOne" {
			q.kind = "exists_one"
		}
		if q.kind == "filter" || !u.filtered(c.IterRange(), q) {
			return nil
		}
		q.vars = append(q.vars, c.IterVar())
		q.pred = predicate(q.kind, c)
		return q
	}
	return nil
}

// filtered reads a collection, or filters upon one, into q.
func (u *unit) filtered(e ast.Expr, q *quantifier) bool {
	if o := u.collection(e); o != nil {
		q.of = o
		return true
	}
	if e.Kind() != ast.ComprehensionKind || u.kinds[e.ID()] != "filter" {
		return false
	}
	c := e.AsComprehension()
	if !u.filtered(c.IterRange(), q) {
		return false
	}
	q.vars = append(q.vars, c.IterVar())
	q.filters = append(q.filters, predicate("filter", c))
	return true
}

// predicate takes the condition out of what a macro made of it.
func predicate(kind string, c ast.ComprehensionExpr) ast.Expr {
	args := c.LoopStep().AsCall().Args()
	if kind == "exists" || kind == "all" {
		return args[1]
	}
	return args[0]
}

// lookupFn is the function that stands in a program for a question to a collection.
const lookupFn = "@lookup"

// plan returns the program of a part, in which questions to collections are queries.
func (u *unit) plan(e ast.Expr) (cel.Program, error) {
	return u.planWith(e, cel.EvalOptions(cel.OptOptimize))
}

func (u *unit) planWith(e ast.Expr, options cel.ProgramOption) (cel.Program, error) {
	var lookups []*lookup
	replaced, err := u.replace(e, &lookups)
	if err != nil {
		return nil, err
	}
	swap := func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		return decorate(i, lookups)
	}
	a := ast.NewCheckedAST(ast.NewAST(replaced, u.info), u.checked.TypeMap(),
		u.checked.ReferenceMap())
	return u.env.PlanProgram(a, options, cel.CustomDecoratorV2(swap))
}

// replace copies e with its questions to collections replaced by calls.
func (u *unit) replace(e ast.Expr, lookups *[]*lookup) (ast.Expr, error) {
	fac := ast.NewExprFactory()
	if q := u.quantifier(e); q != nil {
		l, err := u.lookup(e, q)
		if err != nil {
			return nil, err
		}
		*lookups = append(*lookups, l)
		n := fac.NewLiteral(0, types.Int(len(*lookups)-1))
		return fac.NewCall(e.ID(), lookupFn, n), nil
	}
	parts := children(e)
	for i, c := range parts {
		r, err := u.replace(c, lookups)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			parts = append([]ast.Expr(nil), parts...)
		}
		parts[i] = r
	}
	return rebuild(fac, e, parts), nil
}

// rebuild returns e with other parts, in the order of children.
func rebuild(fac ast.ExprFactory, e ast.Expr, parts []ast.Expr) ast.Expr {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return fac.NewPresenceTest(e.ID(), parts[0], s.FieldName())
		}
		return fac.NewSelect(e.ID(), parts[0], s.FieldName())
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() {
			return fac.NewMemberCall(e.ID(), c.FunctionName(), parts[0], parts[1:]...)
		}
		return fac.NewCall(e.ID(), c.FunctionName(), parts...)
	case ast.ListKind:
		return fac.NewList(e.ID(), parts, nil)
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		return fac.NewComprehension(e.ID(), parts[0], c.IterVar(), c.AccuVar(), parts[1],
			parts[2], parts[3], parts[4])
	default:
		return fac.CopyExpr(e)
	}
}

// lookup is a question to a collection, asked while a rule is decided in memory.
type lookup struct {
	id    int64
	kind  string
	plans lookupPlans
	args  []*operand
}

// lookupPlans are the queries of a lookup; nil where there is nothing to ask. They
// all have the same arguments.
type lookupPlans struct {
	// fails finds a record for which the question itself is an error, hit one that
	// decides it, doubt one for which the condition is an error.
	fails, hit, doubt *query.Plan
	// count counts those that fulfil the condition.
	count *query.Plan
}

// lookup compiles a question to a collection. What does not depend on its records is
// evaluated first and given as an argument.
func (u *unit) lookup(e ast.Expr, q *quantifier) (*lookup, error) {
	b := newBuilder(u, 1)
	t, err := b.tests(q, 0)
	if err != nil {
		return nil, err
	}
	l := &lookup{id: e.ID(), kind: q.kind, args: b.args}
	find := func(where query.Expr, limit int) *query.Plan {
		if where == nil {
			return nil
		}
		return &query.Plan{From: q.of.name, Where: where, Limit: limit}
	}
	l.plans.fails = find(t.fails, 1)
	l.plans.doubt = find(t.doubt, 1)
	switch q.kind {
	case "size":
		l.plans.count = &query.Plan{From: q.of.name, Where: t.hit, Out: countShape(),
			Aggregates: []query.Aggregate{{Func: "count"}}}
	case "exists_one":
		l.plans.hit = find(t.hit, 2)
	default:
		l.plans.hit = find(t.hit, 1)
	}
	return l, nil
}

func countShape() *value.Shape {
	return value.NewShape("count", []value.Field{
		{Name: "n", Type: value.Type{Kind: value.TypeInt}}})
}

// decorate puts lookups in the place of their calls, and makes what is not a number
// an error, as it is unknown in a store.
func decorate(i interpreter.InterpretableV2, lookups []*lookup) (interpreter.InterpretableV2,
	error) {
	call, ok := i.(interpreter.InterpretableCall)
	if !ok {
		return i, nil
	}
	switch call.Function() {
	case lookupFn:
		n := call.Args()[0].(interpreter.InterpretableConst).Value().(types.Int)
		return &lookupStep{lookups[n]}, nil
	case operators.Add, operators.Subtract, operators.Multiply, operators.Divide:
		return &numberStep{i}, nil
	}
	return i, nil
}

// numberStep is an operation whose result must be a number.
type numberStep struct{ interpreter.InterpretableV2 }

// Exec evaluates the operation.
func (s *numberStep) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return number(s.InterpretableV2.Exec(f))
}

// Eval evaluates the operation.
func (s *numberStep) Eval(a interpreter.Activation) ref.Val {
	return number(s.InterpretableV2.Eval(a))
}

func number(v ref.Val) ref.Val {
	if d, ok := v.(types.Double); ok && d != d {
		return types.NewErr("this is not a number")
	}
	return v
}

// lookupStep runs a lookup within a program.
type lookupStep struct{ l *lookup }

// ID returns the id of the part.
func (s *lookupStep) ID() int64 { return s.l.id }

// Exec asks the view.
func (s *lookupStep) Exec(f *interpreter.ExecutionFrame) ref.Val { return s.Eval(f) }

// Eval asks the view.
func (s *lookupStep) Eval(a interpreter.Activation) ref.Val {
	v, _ := a.ResolveName(decisionName)
	return s.l.run(v.(*decision), a)
}

// decisionName is the variable by which a lookup finds the decision it is part of.
const decisionName = "@decision"

var (
	errDoubt = types.NewErr("the condition cannot be decided for one of the records")
)

func (l *lookup) run(d *decision, a interpreter.Activation) ref.Val {
	args, err := evalAll(l.args, d, a)
	if err != nil {
		return types.WrapErr(d.fail(err))
	}
	found := func(p *query.Plan) int {
		if p == nil || err != nil {
			return 0
		}
		var rows []value.Record
		if rows, err = d.find(query.Query{Plan: p, Args: args}); err != nil {
			return 0
		}
		if p.Out != nil && len(rows) == 1 {
			return int(rows[0].Slots[0].Int())
		}
		return len(rows)
	}
	out := l.answer(found)
	if err != nil {
		return types.WrapErr(d.fail(err))
	}
	return out
}

// answer puts together what the queries found.
func (l *lookup) answer(found func(*query.Plan) int) ref.Val {
	p := &l.plans
	if found(p.fails) > 0 {
		return errDoubt
	}
	switch l.kind {
	case "exists", "all":
		if found(p.hit) > 0 {
			return types.Bool(l.kind == "exists")
		}
		if found(p.doubt) > 0 {
			return errDoubt
		}
		return types.Bool(l.kind == "all")
	case "exists_one":
		if found(p.doubt) > 0 {
			return errDoubt
		}
		return types.Bool(found(p.hit) == 1)
	default:
		return types.Int(found(p.count))
	}
}

// find asks the view.
func (d *decision) find(q query.Query) ([]value.Record, error) {
	if d.in.View == nil {
		return nil, errNoView
	}
	return d.in.View.Find(d.ctx, q)
}
