// Package query is the tree in which every read is written: rules, filters and code
// all become one Plan, which each store renders in its own way. A tree has a meaning
// (three-valued, as said at each node) and no text. Which reads are allowed is not
// decided here.
package query

import "github.com/galleybackend/galley/internal/value"

// Plan is a read without its arguments. It is immutable once built, so that a store
// may keep what it rendered under the plan's address; build it once and use it often.
type Plan struct {
	// From is the collection that is read. Its row is scope 0.
	From string
	// Where keeps the rows for which it is true; nil keeps all.
	Where Expr
	// Sort orders the rows. A caller who needs a total order ends it with the id.
	Sort []Order
	// Limit bounds the rows; 0 means no bound.
	Limit int
	// Group and Aggregates make an aggregate: one row for each group. Rows then
	// have the shape Out, groups first.
	Group      []Expr
	Aggregates []Aggregate
	// Out is the shape of an aggregate's rows; nil for reads of records, which have
	// the collection's shape.
	Out *value.Shape
}

// Query is a plan with the arguments of its Param nodes.
type Query struct {
	Plan *Plan
	Args []value.Value
}

// Order is one key of an order. Nulls come first, and last when descending.
type Order struct {
	By   Expr
	Desc bool
}

// Aggregate is one computed column of a group.
type Aggregate struct {
	// Func is count, sum, avg, min or max. count without Of counts rows.
	Func string
	Of   Expr
}

// Expr is a node of the tree. Conditions are three-valued: true, false, or unknown,
// which stands for an evaluation that would fail (a comparison with nothing, a look
// through an empty relation). And, Or and Not combine the three as SQL and CEL both
// do; a Plan keeps a row only where its condition is true.
type Expr interface{ node() }

// Param is the value of Query.Args at Index.
type Param struct {
	Index int
	Type  value.Type
}

// Literal is a constant. A Null literal of a condition is unknown.
type Literal struct{ Value value.Value }

// Row is the record of a scope: 0 is the row of the plan itself, each Exists or
// Count adds one. As a value it stands for the record's id.
type Row struct{ Scope int }

// Field is a stored field of the record that Of yields: a Row or a relation Field.
// Through an empty relation it is null. Name may be id, created, updated, version.
type Field struct {
	Of Expr
	// Collection is the one that Of's record belongs to.
	Collection string
	Name       string
	Type       value.Type
}

// Compare is a comparison that is unknown if either side is null: Op is one of
// "<", "<=", ">", ">=".
type Compare struct {
	Op   string
	L, R Expr
}

// Same is equality that is never unknown: two nulls are the same, null and anything
// else are not. Text compares by code point, case counts.
type Same struct{ L, R Expr }

// And is true if all are, false if one is false.
type And struct{ Of []Expr }

// Or is true if one is, false if all are false.
type Or struct{ Of []Expr }

// Not turns true and false around and leaves unknown.
type Not struct{ Of Expr }

// IsNull reports whether the value is null; never unknown.
type IsNull struct{ Of Expr }

// IsTrue turns unknown into false.
type IsTrue struct{ Of Expr }

// When is Then where If is true, and null (unknown) elsewhere: it guards an
// expression that would fail otherwise.
type When struct{ If, Then Expr }

// Cond is Then where If is true, Else where it is false, null where it is unknown.
type Cond struct{ If, Then, Else Expr }

// In reports whether X is among the items, compared as Same does.
type In struct {
	X  Expr
	Of []Expr
}

// Has reports whether the stored list Of (a list field) contains X.
type Has struct{ Of, X Expr }

// Arith is X op Y on numbers of one kind: + - * / %. Int division cuts toward zero.
// It is null where CEL has an error: overflow beyond 64 bits, division by zero.
// Op "+" on texts joins them.
type Arith struct {
	Op   string
	L, R Expr
	// Kind is the kind of the result: Int, Float, Text, Time or Duration.
	Kind value.Kind
}

// Func is a function of values; null if an argument is null. The names are those
// of CEL: contains, startsWith, endsWith, matches, size, lowerAscii, upperAscii,
// trim, int, double, string and the parts of a time such as getFullYear.
type Func struct {
	Name string
	Args []Expr
}

// Exists reports whether a record of From fulfils Where, in whose tree Row{Scope}
// with the number of this node's Scope is that record. Never unknown: a record for
// which Where is unknown does not fulfil it.
type Exists struct {
	From  string
	Scope int
	Where Expr
}

// Count is the number of records of From that fulfil Where.
type Count struct {
	From  string
	Scope int
	Where Expr
}

// Unknown reports whether the condition is unknown; never unknown itself. The
// quantifiers of rules need it: all() over a set holds an error unless another
// item is false.
type Unknown struct{ Of Expr }

func (Param) node()   {}
func (Literal) node() {}
func (Row) node()     {}
func (Field) node()   {}
func (Compare) node() {}
func (Same) node()    {}
func (And) node()     {}
func (Or) node()      {}
func (Not) node()     {}
func (IsNull) node()  {}
func (IsTrue) node()  {}
func (When) node()    {}
func (Cond) node()    {}
func (In) node()      {}
func (Has) node()     {}
func (Arith) node()   {}
func (Func) node()    {}
func (Exists) node()  {}
func (Count) node()   {}
func (Unknown) node() {}
