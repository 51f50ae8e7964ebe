package rule

import (
	"context"
	"fmt"
	"math"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// Decide evaluates a rule that yields a bool.
func (r *Rule) Decide(ctx context.Context, in *Input) Verdict {
	d := r.unit.begin(ctx, in)
	defer d.end()
	out, err := r.run(d)
	switch {
	case d.broken != nil:
		return Verdict{Answer: Failed, Err: d.broken, broken: true}
	case err != nil:
		return Verdict{Answer: Failed, Err: err}
	case out == types.True:
		return Verdict{Answer: Yes}
	case out == types.False:
		return Verdict{Answer: No}
	}
	return Verdict{Answer: Failed, Err: fmt.Errorf("the rule came to %v, not to a bool", out)}
}

// Eval evaluates an expression of any type, as `set` and aggregates need it.
func (r *Rule) Eval(ctx context.Context, in *Input) (value.Value, error) {
	d := r.unit.begin(ctx, in)
	defer d.end()
	out, err := r.run(d)
	if d.broken != nil {
		return value.OfNull(), d.broken
	}
	if err != nil {
		return value.OfNull(), err
	}
	v, ok := fromCEL(out)
	if !ok || v.Kind() == value.Float && math.IsInf(v.Float(), 0) {
		return value.OfNull(), fmt.Errorf("the expression came to %v, which is no value", out)
	}
	return r.conform(v), nil
}

// conform gives a value the kind of the type that it is declared to have.
func (r *Rule) conform(v value.Value) value.Value {
	want := r.scope.Result
	if want == nil {
		want = r.typ
	}
	if v.IsNull() {
		return v
	}
	switch want.ValueKind() {
	case value.Date:
		const day = 24 * 60 * 60 * 1000
		ms := v.Int()
		return value.OfMillis(value.Date, ms-((ms%day)+day)%day)
	case value.Float:
		return value.OfFloat(v.Float())
	}
	return v
}

func (r *Rule) run(d *decision) (ref.Val, error) {
	out, _, err := r.program.Eval(d)
	return out, err
}

// Expanded returns the rule with its named rules written out.
func (r *Rule) Expanded() string { return r.unit.show(r.unit.root) }

// Type returns the type of what the expression yields.
func (r *Rule) Type() value.Type { return *r.typ }

// Condition returns the expression for a store. Its error, for rules of a scope
// marked NoSQL alone, says what cannot become a query.
func (r *Rule) Condition() (*Condition, error) { return r.cond, r.why }

// Args evaluates the values of the Param nodes for one caller. An error of the rule
// itself becomes null, which the tree takes as unknown; an error returned is one of
// the store.
func (c *Condition) Args(ctx context.Context, in *Input) ([]value.Value, error) {
	if len(c.args) == 0 {
		return nil, nil
	}
	out := make([]value.Value, 0, len(c.args))
	for start := 0; start < len(c.args); {
		// Operands of read rules on the way are evaluated as their own rule's.
		u, end := c.args[start].u, start+1
		for end < len(c.args) && c.args[end].u == u {
			end++
		}
		d := u.begin(ctx, in)
		vs, err := evalAll(c.args[start:end], d, d)
		if d.broken != nil {
			err = d.broken
		}
		d.end()
		if err != nil {
			return nil, err
		}
		out = append(out, vs...)
		start = end
	}
	return out, nil
}

// Always reports whether the condition is true for every record and caller.
func (c *Condition) Always() bool {
	l, ok := c.Expr.(query.Literal)
	return ok && l.Value.Bool()
}

// Never reports whether no record can fulfil the condition with these arguments, so
// that the store need not be asked.
func (c *Condition) Never(args []value.Value) bool {
	return possible(c.Expr, args)&isTrue == 0
}

// truths is a set of the three truths.
type truths uint8

const (
	isTrue truths = 1 << iota
	isFalse
	isUnknown
	isAny = isTrue | isFalse | isUnknown
)

// possible returns which truths a condition can have, whatever the row.
func possible(e query.Expr, args []value.Value) truths {
	switch e := e.(type) {
	case query.And:
		return both(e.Of, args, isFalse, isTrue)
	case query.Or:
		return both(e.Of, args, isTrue, isFalse)
	case query.Not:
		return turned(possible(e.Of, args))
	case query.IsTrue:
		p := possible(e.Of, args)
		if p&isUnknown != 0 {
			p = p&^isUnknown | isFalse
		}
		return p
	case query.Unknown:
		p := possible(e.Of, args)
		return pick(p&isUnknown != 0, isTrue) | pick(p&^isUnknown != 0, isFalse)
	case query.When:
		return chosen(possible(e.If, args), possible(e.Then, args), isUnknown)
	case query.Cond:
		return chosen(possible(e.If, args), possible(e.Then, args), possible(e.Else, args))
	case query.IsNull:
		return same(e.Of, literal(value.OfNull()), args)
	case query.Same:
		return same(e.L, e.R, args)
	case query.Exists:
		return isFalse | possible(e.Where, args)&isTrue
	case query.In, query.Has:
		return isTrue | isFalse
	case query.Compare:
		if knownNull(e.L, args) || knownNull(e.R, args) {
			return isUnknown
		}
		return isTrue | isFalse | pick(mayNull(e.L) || mayNull(e.R), isUnknown)
	}
	if v, ok := known(e, args); ok {
		if v.IsNull() {
			return isUnknown
		}
		return pick(v.Bool(), isTrue) | pick(!v.Bool(), isFalse)
	}
	return isTrue | isFalse | pick(mayNull(e), isUnknown)
}

func pick(yes bool, t truths) truths {
	if yes {
		return t
	}
	return 0
}

// both joins parts of which one with the truth wins decides.
func both(of []query.Expr, args []value.Value, wins, loses truths) truths {
	out := loses
	for _, e := range of {
		out = combine(out, possible(e, args), wins, loses)
	}
	return out
}

func combine(p, q, wins, loses truths) truths {
	out := (p | q) & wins
	if p&loses != 0 && q&loses != 0 {
		out |= loses
	}
	if (p|q)&isUnknown != 0 && p&^wins != 0 && q&^wins != 0 {
		out |= isUnknown
	}
	return out
}

func turned(p truths) truths {
	return p&isUnknown | pick(p&isTrue != 0, isFalse) | pick(p&isFalse != 0, isTrue)
}

func chosen(c, then, otherwise truths) truths {
	var out truths
	if c&isTrue != 0 {
		out |= then
	}
	if c&isFalse != 0 {
		out |= otherwise
	}
	return out | c&isUnknown
}

// known returns the value of an argument or a constant.
func known(e query.Expr, args []value.Value) (value.Value, bool) {
	switch e := e.(type) {
	case query.Literal:
		return e.Value, true
	case query.Param:
		if e.Index < len(args) {
			return args[e.Index], true
		}
	}
	return value.Value{}, false
}

func knownNull(e query.Expr, args []value.Value) bool {
	v, ok := known(e, args)
	return ok && v.IsNull()
}

func same(l, r query.Expr, args []value.Value) truths {
	v, okL := known(l, args)
	w, okR := known(r, args)
	switch {
	case okL && okR:
		return pick(v.Equal(w), isTrue) | pick(!v.Equal(w), isFalse)
	case okL && v.IsNull() && !mayNull(r), okR && w.IsNull() && !mayNull(l):
		return isFalse
	}
	return isTrue | isFalse
}
