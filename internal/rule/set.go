package rule

import (
	"fmt"

	"github.com/galleybackend/galley/internal/spec"
)

// Set is a compiled set of records: a whole collection, or what filters leave of one.
// It is never loaded by a rule; who wants the records asks a store for as many as he
// can hold. It is immutable and safe for concurrent use.
type Set struct {
	text       spec.Text
	collection string
	cond       *Condition
}

// Text returns what was compiled.
func (s *Set) Text() spec.Text { return s.text }

// Collection returns the name of the collection whose records these are.
func (s *Set) Collection() string { return s.collection }

// Condition returns what the records of the set fulfil. One for which the filter ends
// in an error is not of the set.
func (s *Set) Condition() *Condition { return s.cond }

// IsSet reports whether a text reads as a set: the name of a collection, or a filter
// upon one.
func (w *World) IsSet(text spec.Text) bool {
	u := &unit{w: w, scope: &Scope{}, text: text}
	env, err := w.env(u.scope, u)
	return err == nil && u.parse(env) && u.filtered(u.root, &quantifier{})
}

// CompileSet checks a text that IsSet. The conditions of its filters see what the scope
// offers beside the record of the set. The set is nil if a finding is an error.
func (w *World) CompileSet(text spec.Text, scope Scope) (*Set, []spec.Finding) {
	scope.set = true
	u := newUnit(w, text, &scope)
	if !u.compile() {
		return nil, u.findings
	}
	q := &quantifier{}
	u.filtered(u.root, q)
	b := newBuilder(u, 1)
	t, err := b.tests(q, 0)
	switch {
	case err != nil:
		u.tellError(err)
		return nil, u.findings
	case tooLarge(t.hit):
		u.tellWhole(fmt.Sprintf("this becomes a query of more than %d parts", weightMax),
			"say it in fewer words")
		return nil, u.findings
	}
	return &Set{text, q.of.name, &Condition{Expr: t.hit, args: b.args}}, u.findings
}

// checkSet asks whether the expression is a set.
func (u *unit) checkSet() bool {
	if u.filtered(u.root, &quantifier{}) {
		return true
	}
	u.tellWhole("this is no set of records", "write a filter, such as users.filter(u, u.verified)")
	return false
}

// setUsed tells of collections within the filters of a set that are not asked with a
// quantifier.
func (u *unit) setUsed() {
	q := &quantifier{}
	u.filtered(u.root, q)
	for _, f := range q.filters {
		u.collectionsUsed(f)
	}
}
