package rule

import (
	"context"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// World is what rules can speak of: the collections, the named rules and the
// functions of one spec. It is immutable and safe for concurrent use.
type World struct {
	schema *spec.Schema
}

// NewWorld returns the world of a spec whose records have the schema's shapes, with
// what is wrong in the named rules themselves.
func NewWorld(s *spec.Spec, schema *spec.Schema) (*World, []spec.Finding) {
	return &World{schema: schema}, nil
}

// Compile checks the text in its scope. The rule is nil if a finding is an error.
func (w *World) Compile(text spec.Text, scope Scope) (*Rule, []spec.Finding) {
	return nil, nil
}

// Decide evaluates a rule that yields a bool.
func (r *Rule) Decide(ctx context.Context, in *Input) Verdict { return Verdict{} }

// Eval evaluates an expression of any type, as `set` and aggregates need it.
func (r *Rule) Eval(ctx context.Context, in *Input) (value.Value, error) {
	return value.Value{}, nil
}

// Type returns the type of what the expression yields.
func (r *Rule) Type() value.Type { return value.Type{} }

// Condition returns the expression for a store. Its error, for rules of a scope
// marked NoSQL alone, says what cannot become a query.
func (r *Rule) Condition() (*Condition, error) { return r.cond, r.why }

// Args evaluates the values of the Param nodes for one caller. An error of the rule
// itself becomes null, which the tree takes as unknown; an error returned is one of
// the store.
func (c *Condition) Args(ctx context.Context, in *Input) ([]value.Value, error) {
	return nil, nil
}

// Always reports whether the condition is true for every record and caller.
func (c *Condition) Always() bool {
	l, ok := c.Expr.(query.Literal)
	return ok && l.Value.Bool()
}

// Never reports whether no record can fulfil the condition with these arguments, so
// that the store need not be asked.
func (c *Condition) Never(args []value.Value) bool { return false }

// Reads returns the collections that the rule looks into, sorted: those of its
// relations and those it looks up.
func (r *Rule) Reads() []string { return nil }

// Mentions returns the chains of fields of the record that the rule uses, each once,
// in the order of the text. A chain is there with all its prefixes included in it.
func (r *Rule) Mentions() []Path { return nil }

// Equality is a term that every record must fulfil for the rule to hold: the field
// of the collection equals something known before the row is. The collection is
// that of the rule, or one it looks up: then the terms of one lookup share Lookup,
// counted from 1.
type Equality struct {
	Collection string
	Field      string
	Lookup     int
}

// Equalities returns the terms by which an index could find the rows.
func (r *Rule) Equalities() []Equality { return nil }

// UsesBefore reports whether the rule mentions before.
func (r *Rule) UsesBefore() bool { return false }

// OnlyRecord reports whether the rule needs nothing but the record's own fields,
// before, input and constants: no relation is followed, nothing is looked up, and
// neither auth, now nor request matter.
func (r *Rule) OnlyRecord() bool { return false }

// AuthRequired reports whether the rule cannot be true for a caller who is not
// signed in.
func (r *Rule) AuthRequired() bool { return false }

// Tree is a rule taken apart: each part with its text and what it came to.
type Tree struct {
	Text string
	// Value is what the part came to, as text; "" for a part that was not reached.
	Value string
	// Mark is "✓" for true, "✗" for false or an error, "·" for other values.
	Mark  string
	Pos   spec.Pos
	Parts []Tree
}

// Explain decides as Decide does and keeps what each part came to. Fields that
// nobody may read are masked.
func (r *Rule) Explain(ctx context.Context, in *Input) Tree { return Tree{} }

// String draws the tree, a line for each part.
func (t Tree) String() string { return "" }

type (
	unit    struct{}
	operand struct{}
)
