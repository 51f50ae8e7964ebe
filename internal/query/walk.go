package query

import "slices"

// Walk calls visit for e and everything below it, parents first, and leaves out what
// is below a node for which visit returns false. A nil e is no node.
func Walk(e Expr, visit func(Expr) bool) {
	if e == nil || !visit(e) {
		return
	}
	for _, c := range children(e) {
		Walk(c, visit)
	}
}

// Collections returns the collections whose records a plan looks at, From first, each
// once.
func Collections(p *Plan) []string {
	out := []string{p.From}
	visit := func(e Expr) bool {
		name := ""
		switch e := e.(type) {
		case Field:
			name = e.Collection
		case Exists:
			name = e.From
		case Count:
			name = e.From
		default:
			return true
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
		return true
	}
	Walk(p.Where, visit)
	for _, o := range p.Sort {
		Walk(o.By, visit)
	}
	for _, g := range p.Group {
		Walk(g, visit)
	}
	for _, a := range p.Aggregates {
		Walk(a.Of, visit)
	}
	return out
}

func children(e Expr) []Expr {
	switch e := e.(type) {
	case Field:
		return []Expr{e.Of}
	case Compare:
		return []Expr{e.L, e.R}
	case Same:
		return []Expr{e.L, e.R}
	case And:
		return e.Of
	case Or:
		return e.Of
	case Not:
		return []Expr{e.Of}
	case IsNull:
		return []Expr{e.Of}
	case IsTrue:
		return []Expr{e.Of}
	case Unknown:
		return []Expr{e.Of}
	case When:
		return []Expr{e.If, e.Then}
	case Cond:
		return []Expr{e.If, e.Then, e.Else}
	case In:
		return append([]Expr{e.X}, e.Of...)
	case Has:
		return []Expr{e.Of, e.X}
	case Arith:
		return []Expr{e.L, e.R}
	case Func:
		return e.Args
	case Exists:
		return []Expr{e.Where}
	case Count:
		return []Expr{e.Where}
	default:
		return nil
	}
}

// Map rebuilds e from below: each node is what change makes of it once its parts are
// changed. e itself stays as it is. A nil e is nil.
func Map(e Expr, change func(Expr) Expr) Expr {
	if e == nil {
		return nil
	}
	at := func(x Expr) Expr { return Map(x, change) }
	switch n := e.(type) {
	case Field:
		n.Of = at(n.Of)
		e = n
	case Compare:
		n.L, n.R = at(n.L), at(n.R)
		e = n
	case Same:
		n.L, n.R = at(n.L), at(n.R)
		e = n
	case And:
		e = And{mapAll(n.Of, change)}
	case Or:
		e = Or{mapAll(n.Of, change)}
	case Not:
		e = Not{at(n.Of)}
	case IsNull:
		e = IsNull{at(n.Of)}
	case IsTrue:
		e = IsTrue{at(n.Of)}
	case Unknown:
		e = Unknown{at(n.Of)}
	case When:
		e = When{at(n.If), at(n.Then)}
	case Cond:
		e = Cond{at(n.If), at(n.Then), at(n.Else)}
	case In:
		e = In{at(n.X), mapAll(n.Of, change)}
	case Has:
		e = Has{at(n.Of), at(n.X)}
	case Arith:
		n.L, n.R = at(n.L), at(n.R)
		e = n
	case Func:
		e = Func{n.Name, mapAll(n.Args, change)}
	case Exists:
		n.Where = at(n.Where)
		e = n
	case Count:
		n.Where = at(n.Where)
		e = n
	}
	return change(e)
}

func mapAll(of []Expr, change func(Expr) Expr) []Expr {
	out := make([]Expr, len(of))
	for i, e := range of {
		out[i] = Map(e, change)
	}
	return out
}

// Shift returns e with the Index of each Param raised by n, for a tree whose
// arguments stand behind n others.
func Shift(e Expr, n int) Expr {
	if n == 0 {
		return e
	}
	return Map(e, func(e Expr) Expr {
		if p, ok := e.(Param); ok {
			p.Index += n
			return p
		}
		return e
	})
}
