package engine

import (
	"context"
	"slices"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Facts are what can be said of a watch without judging: where its rows are found, and
// which changes of other records may change them. They hold until the watch answers
// again.
type Facts struct {
	// Terms are equalities that each row fulfils, the most telling first.
	Terms []Term
	// Sources are changes after which the rows may be others, beside those of the
	// collection's own records.
	Sources []Source
}

// Term says that what a path of fields leads to has a value. All but the last field are
// relations.
type Term struct {
	Path []Step
	// Value is never null.
	Value value.Value
}

// Step is one field of a collection.
type Step = rule.Step

// Source is a kind of change.
type Source struct {
	Collection string
	// Fields are those that matter; nil means all.
	Fields []string
	// Born reports that a record that is made or deleted matters, too, and not only one
	// that changes.
	Born bool
	// Bound reports that only records matter whose field Field has the Value, before the
	// change or after it.
	Bound bool
	Field string
	Value value.Value
}

// Facts returns what is known of the watch since its last answer, and whether that is
// other than before. Nobody may change it.
func (w *Watch) Facts() (f Facts, version int) { return w.facts, w.version }

// bind takes the arguments of the list as they are now.
func (w *Watch) bind(ctx context.Context, r *run, args []value.Value) error {
	all := slices.Clone(args)
	r.about(value.Record{}, value.Record{}, value.Record{})
	for i := range w.rules {
		x := &w.rules[i]
		if x.cond == nil || x.shown {
			continue
		}
		more, err := x.cond.Args(ctx, &r.in)
		if err != nil {
			return err
		}
		x.args = more
		all = append(all, more...)
	}
	if w.version > 0 && slices.EqualFunc(all, w.all, value.Value.Equal) {
		return nil
	}
	w.args, w.all = slices.Clone(args), all
	g := gatherer{args: w.args, scopes: map[int]*Source{0: nil}}
	switch {
	case w.Whole():
		g.whole(w.plan())
	case w.list.where != nil:
		g.conditions(w.list.where, nil)
	}
	slices.SortStableFunc(g.terms, func(a, b weighed) int { return b.weight - a.weight })
	facts := Facts{}
	for _, t := range g.terms {
		facts.Terms = append(facts.Terms, t.Term)
	}
	facts.Sources = g.done()
	for i := range w.rules {
		facts.Sources = append(facts.Sources, w.sources(&w.rules[i])...)
	}
	if w.version == 0 || !w.Whole() || !slices.EqualFunc(facts.Sources, w.facts.Sources, sameSource) {
		w.facts = facts
		w.version++
	}
	return nil
}

// equal reports whether the i-th of the fields compared with has the value.
func (w *Watch) equal(i int, v value.Value) bool {
	want := w.args[w.list.size-len(w.params.equal)+i]
	return v.Equal(want) || v.IsNull() && want.IsNull()
}

// involved is a rule on which a watch depends.
type involved struct {
	*rule.Rule
	asker rule.Asker
	// cond is the rule as a condition, nil where it has no such form or hides something,
	// args are its arguments. shown reports that the list's own conditions hold it.
	cond  *rule.Condition
	args  []value.Value
	shown bool
}

func newInvolved(x *rule.Rule, shown bool) involved {
	out := involved{Rule: x, asker: x.Asker()}
	if cond, err := x.Condition(); err == nil && cond != nil && !cond.Asks() {
		out.cond, out.shown = cond, shown
	}
	return out
}

// sources are those of a rule that the list's conditions do not show: who asks, what is
// reached from there, and, of rules of fields and of what stands beside, all.
func (w *Watch) sources(x *involved) []Source {
	var out []Source
	if len(x.asker.Fields) > 0 && w.subject.ID != "" {
		out = append(out, Source{Collection: spec.Users, Fields: x.asker.Fields, Bound: true,
			Field: spec.FieldID, Value: value.OfText(string(w.subject.ID))})
	}
	for _, step := range x.asker.Beyond {
		out = append(out, Source{Collection: step.Collection, Fields: []string{step.Field}})
	}
	switch {
	case x.shown:
	case x.cond != nil:
		g := gatherer{args: x.args, scopes: map[int]*Source{0: nil}, beside: true}
		g.conditions(x.cond.Expr, nil)
		out = append(out, g.done()...)
	default:
		for _, name := range x.Reads() {
			out = append(out, Source{Collection: name, Born: true})
		}
	}
	return out
}

// gatherer finds terms and sources in a tree of conditions.
type gatherer struct {
	args  []value.Value
	terms []weighed
	// scopes has the source of each collection that is asked, nil for the list's own row.
	scopes map[int]*Source
	asked  []*Source
	walked []Source
	// beside reports that the row is that of a record beside the list's, of which no
	// terms are known.
	beside bool
}

type weighed struct {
	Term
	weight int
}

// known returns the value of what does not depend on a row, unless it is nothing.
func (g *gatherer) known(e query.Expr) (value.Value, bool) {
	var v value.Value
	switch e := e.(type) {
	case query.Literal:
		v = e.Value
	case query.Param:
		if e.Index < len(g.args) {
			v = g.args[e.Index]
		}
	}
	return v, !v.IsNull()
}

// conditions goes through what must all hold, for the list's own row where in is nil, or
// for the record of a question to a collection.
func (g *gatherer) conditions(e query.Expr, in *Source) {
	if all, ok := e.(query.And); ok {
		for _, x := range all.Of {
			g.conditions(x, in)
		}
		return
	}
	same, ok := e.(query.Same)
	if !ok {
		g.visit(e)
		return
	}
	of, with := same.L, same.R
	v, known := g.known(with)
	if !known {
		of, with = same.R, same.L
		v, known = g.known(with)
	}
	if !known || !g.equality(of, v, in) {
		g.visit(same.L)
		g.visit(same.R)
	}
}

// equality notes that a part has a value, and reports whether that says all of it.
func (g *gatherer) equality(of query.Expr, v value.Value, in *Source) bool {
	path, scope, ok := pathOf(of)
	if !ok {
		return false
	}
	source := g.scopes[scope]
	if source == nil && in == nil && !g.beside {
		g.terms = append(g.terms, weighed{Term{path, v}, weightOf(path, of)})
	}
	if source == nil && len(path) == 1 {
		return true
	}
	if source != nil && source == in && len(path) == 1 && !source.Bound {
		source.Bound, source.Field, source.Value = true, path[0].Field, v
		source.use(path[0].Field)
		return true
	}
	field, isField := of.(query.Field)
	if !isField || len(path) < 2 {
		return false
	}
	g.walked = append(g.walked, Source{Collection: field.Collection, Fields: []string{field.Name},
		Bound: true, Field: field.Name, Value: v})
	g.visit(field.Of)
	return true
}

// pathOf returns the chain of fields from a row.
func pathOf(e query.Expr) (path []Step, scope int, ok bool) {
	switch e := e.(type) {
	case query.Row:
		return []Step{{Field: spec.FieldID}}, e.Scope, true
	case query.Field:
		if r, ok := e.Of.(query.Row); ok {
			return []Step{{Collection: e.Collection, Field: e.Name}}, r.Scope, true
		}
		path, scope, ok := pathOf(e.Of)
		return append(path, Step{Collection: e.Collection, Field: e.Name}), scope, ok
	}
	return nil, 0, false
}

// weightOf says how well a term tells records apart: ids and relations do better than
// texts, these better than words, and the record's own fields better than those behind.
func weightOf(path []Step, e query.Expr) int {
	weight := 30
	if f, ok := e.(query.Field); ok {
		switch f.Type.Kind {
		case value.TypeRelation, value.TypeID:
			weight = 20
		case value.TypeBool, value.TypeEnum:
			weight = 1
		default:
			weight = 10
		}
	}
	return weight - len(path)
}

// visit notes which records a part looks at.
func (g *gatherer) visit(e query.Expr) {
	query.Walk(e, func(e query.Expr) bool {
		switch e := e.(type) {
		case query.Exists:
			g.ask(e.From, e.Scope, e.Where)
			return false
		case query.Count:
			g.ask(e.From, e.Scope, e.Where)
			return false
		case query.Field:
			g.look(e)
		}
		return true
	})
}

func (g *gatherer) look(f query.Field) {
	if r, ok := f.Of.(query.Row); ok {
		if s := g.scopes[r.Scope]; s != nil {
			s.use(f.Name)
		}
		return
	}
	for i := range g.walked {
		s := &g.walked[i]
		if s.Collection == f.Collection && !s.Bound {
			s.use(f.Name)
			return
		}
	}
	g.walked = append(g.walked, Source{Collection: f.Collection, Fields: []string{f.Name}})
}

// ask notes a question to a collection. One about the record that a relation points to is
// as a look at it: that record is there as long as the relation is.
func (g *gatherer) ask(from string, scope int, where query.Expr) {
	s := &Source{Collection: from, Fields: []string{}, Born: true}
	g.scopes[scope] = s
	g.asked = append(g.asked, s)
	if where == nil {
		return
	}
	g.conditions(where, s)
	all, ok := where.(query.And)
	if !ok {
		all = query.And{Of: []query.Expr{where}}
	}
	for _, x := range all.Of {
		same, ok := x.(query.Same)
		if !ok {
			continue
		}
		row, other := same.L, same.R
		if r, ok := row.(query.Row); !ok || r.Scope != scope {
			row, other = other, row
		}
		if r, ok := row.(query.Row); ok && r.Scope == scope {
			if _, known := g.known(other); !known {
				s.Born = false
			}
		}
	}
}

func (s *Source) use(field string) {
	if field != spec.FieldID && !slices.Contains(s.Fields, field) {
		s.Fields = append(s.Fields, field)
	}
}

// done returns the sources, each once.
func (g *gatherer) done() []Source {
	out := make([]Source, 0, len(g.asked)+len(g.walked))
	for _, s := range g.asked {
		out = append(out, *s)
	}
	for _, s := range g.walked {
		if !(len(s.Fields) == 1 && s.Fields[0] == spec.FieldID) {
			out = append(out, s)
		}
	}
	return out
}

// Matters reports whether a change is of this kind.
func (s *Source) Matters(id ident.Record, before, after value.Record) bool {
	born := before.Zero() || after.Zero()
	if born && !s.Born {
		return false
	}
	if s.Bound && !has(before, s.Field, s.Value) && !has(after, s.Field, s.Value) {
		return false
	}
	if born || s.Fields == nil {
		return true
	}
	return slices.ContainsFunc(s.Fields, func(name string) bool {
		return !before.Get(name).Equal(after.Get(name))
	})
}

func has(r value.Record, field string, v value.Value) bool {
	return !r.Zero() && r.Get(field).Equal(v)
}
