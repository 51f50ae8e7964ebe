// Package rule gives the expressions of an app file their meaning. A rule is CEL,
// checked once against the collections; it is then decided in memory on one record,
// becomes a condition with which a store keeps only the rows that fulfil it, or is
// explained with the value of each of its parts. The ways agree: what memory says of
// a record is what the condition says of its row. Who asks, and what follows from a
// no, is left to the engine.
package rule

import (
	"context"
	"time"

	"cel.dev/cel-go/cel"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Scope says where an expression stands: what it sees and what it must yield.
type Scope struct {
	// Name is what findings call the rule, such as orders.allow.read; "" leaves
	// their sentences without a name, as for a caller's filter.
	Name string
	// Collection is whose record the expression sees; "" means none.
	Collection string
	// Before lets the rule see the variable before.
	Before bool
	// Input is the shape of the variable input; nil means there is none.
	Input *value.Shape
	// Bare makes the record's fields variables of their own, as in a filter: such
	// an expression is at most FilterMax bytes and looks up no collections.
	Bare bool
	// Args are values bound by name, which a Bare expression of code sees before
	// the fields of the same name.
	Args *value.Shape
	// Result is the type that the expression must yield; nil means bool.
	Result *value.Type
	// AnyResult lets the expression yield any scalar or relation, for sorting and
	// grouping; Rule.Type tells which.
	AnyResult bool
	// NoSQL marks a rule that is only decided in memory, so that parts of it may
	// have no form as a query. What it looks up in collections must have one.
	NoSQL bool
	// Visible, where set, returns the read rule of a collection; relations are
	// followed only into records for which it says yes, and into none where it is
	// nil. An unreadable record is as an empty relation.
	Visible func(collection string) *Rule
	// set marks a text that must be a set of records.
	set bool
}

// FilterMax is the greatest length of a Bare expression, in bytes.
const FilterMax = 2 << 10

// Reader is what a decision reads from: a view of one state, in which relations and
// collections are looked up.
type Reader interface {
	// Get returns the record, or a fault of kind NotFound.
	Get(ctx context.Context, collection string, id ident.Record) (value.Record, error)
	// Find returns the rows of the query in its order.
	Find(ctx context.Context, q query.Query) ([]value.Record, error)
}

// Request is the variable request.
type Request struct {
	ID, IP, Country, Method, Origin, UserAgent string
}

// Input is what one decision is about. A zero record is null. It must not change
// while it is used, and serves one decision at a time.
type Input struct {
	// Auth is the users record of who asks; zero for a caller who is not signed in.
	Auth value.Record
	// Who is, where Auth is to be read from the View by the first rule that names it,
	// the id of who asks.
	Who    ident.Record
	Record value.Record
	Before value.Record
	Input  value.Record
	Args   value.Record
	// Now is the call's instant, in whole milliseconds.
	Now     time.Time
	Request Request
	// View is needed by rules that follow relations or look up collections.
	View Reader
}

// Answer is what a decision came to.
type Answer uint8

// The answers. Only Yes allows.
const (
	No Answer = iota
	Yes
	// Failed is a rule whose evaluation ended in an error.
	Failed
)

// Verdict is an answer; Err says why the answer is Failed and is nil otherwise.
// An error of the Reader other than NotFound is in Err as it came, so that the
// caller can tell a rule that does not hold from a store that does not answer: see
// Broken.
type Verdict struct {
	Answer Answer
	Err    error
	broken bool
}

// Allowed reports whether the answer is Yes.
func (v Verdict) Allowed() bool { return v.Answer == Yes }

// Broken returns the error with which the store, the context or the house itself
// ended the decision, and nil if the rule alone decided.
func (v Verdict) Broken() error {
	if v.broken {
		return v.Err
	}
	return nil
}

// Rule is a compiled expression. It is immutable and safe for concurrent use.
type Rule struct {
	world *World
	scope Scope
	text  spec.Text
	unit  *unit
	typ   *value.Type

	program cel.Program
	cond    *Condition
	why     error
	facts   facts

	// tracked is the program that remembers each part, made when it is first needed.
	tracked func() (cel.Program, error)
}

// Text returns what was compiled.
func (r *Rule) Text() spec.Text { return r.text }

// Name returns the name in the rule's scope.
func (r *Rule) Name() string { return r.scope.Name }

// Path is a chain of fields that an expression uses: each step is a field of a
// collection, and all but the last are relations.
type Path struct {
	Steps []Step
	Pos   spec.Pos
	Width int
}

// Step is one field of a collection.
type Step struct {
	Collection string
	Field      string
}

// Condition is an expression as a store understands it. It is immutable and safe
// for concurrent use, so that a plan that holds Expr can be built once.
type Condition struct {
	// Expr is about Row{Scope: 0}, a record of the scope's collection. Its Param
	// nodes are numbered from 0 in the order of Args; query.Shift moves them where
	// conditions are put together.
	Expr query.Expr
	args []*operand
}

// Len returns the number of Param values.
func (c *Condition) Len() int { return len(c.args) }
