package rule

import (
	"fmt"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"

	"github.com/galleybackend/galley/internal/query"
)

// Bounds of what a checked expression may ask for.
const (
	// heightMax is how deep parts may stand in one another.
	heightMax = 32
	// hopsMax is how many relations a chain of fields may follow.
	hopsMax = 6
	// walksMax is how deep lists may be walked within one another.
	walksMax = 2
	// weightMax bounds the size of the query that an expression becomes.
	weightMax = 20_000
)

// bounded reports whether the expression keeps its bounds, and tells where not.
func (u *unit) bounded() bool {
	u.bound(u.root, 1, 0)
	if len(u.findings) == 0 && weight(u, u.root) > weightMax {
		u.tellWhole(fmt.Sprintf("this becomes a query of more than %d parts", weightMax),
			"say it in fewer words")
	}
	return len(u.findings) == 0
}

func (u *unit) bound(e ast.Expr, height, walks int) {
	switch {
	case len(u.findings) > 0:
		return
	case height > heightMax:
		u.tell(e.ID(), fmt.Sprintf("parts stand in one another more than %d deep", heightMax), "")
		return
	case u.hops(e) > hopsMax:
		u.tell(e.ID(), fmt.Sprintf("this follows more than %d relations", hopsMax), "")
		return
	}
	inner := walks
	if e.Kind() == ast.ComprehensionKind && u.quantifier(e) == nil {
		inner++
	}
	switch {
	case inner > walks && u.scope.Bare:
		u.tell(e.ID(), "a filter does not walk lists", "ask with in or size()")
		return
	case inner > walksMax:
		u.tell(e.ID(), fmt.Sprintf("lists are walked more than %d deep", walksMax), "")
		return
	}
	for _, c := range children(e) {
		u.bound(c, height+1, inner)
	}
}

// hops counts the relations that a chain of fields follows.
func (u *unit) hops(e ast.Expr) int {
	n := -1
	for e.Kind() == ast.SelectKind {
		e = e.AsSelect().Operand()
		n++
	}
	return n
}

// weight estimates from above how many parts the query of an expression has. Where
// a part is guarded it occurs twice.
func weight(u *unit, e ast.Expr) int {
	total := 1
	if q := u.quantifier(e); q != nil {
		if q.pred != nil {
			total += 4 * weight(u, q.pred)
		}
		for _, f := range q.filters {
			total += 4 * weight(u, f)
		}
		return min(total, weightMax+1)
	}
	times := 1
	if e.Kind() == ast.CallKind {
		switch e.AsCall().FunctionName() {
		case operators.Equals, operators.NotEquals, operators.In:
			times = 2
		case operators.Conditional:
			times = 3
		}
	}
	for _, c := range children(e) {
		w := weight(u, c)
		if k := c.Kind(); k == ast.CallKind || k == ast.ComprehensionKind {
			w *= times
		}
		total += w
	}
	return min(total, weightMax+1)
}

// tooLarge reports whether the tree has more parts than a query may have.
func tooLarge(e query.Expr) bool {
	n := 0
	query.Walk(e, func(query.Expr) bool {
		n++
		return n <= weightMax
	})
	return n > weightMax
}
