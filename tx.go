package galley

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/galleybackend/galley/internal/action/goaction"
	"github.com/galleybackend/galley/internal/value"
)

// Tx is the transaction of one call: all that an action may read and write. It ends
// with the call, and is used by one goroutine at a time.
type Tx struct{ call *goaction.Call }

// Context ends when the time of the call is over.
func (tx *Tx) Context() context.Context { return tx.call.Context() }

// Now is the instant of the call, the same however long it runs.
func (tx *Tx) Now() time.Time { return tx.call.Now() }

// Random is the chance of the call, the same if it is run again.
func (tx *Tx) Random() *rand.Rand { return tx.call.Random() }

// Log writes a line for the developer, with pairs of name and value.
func (tx *Tx) Log(message string, pairs ...any) { tx.call.Log(message, pairs...) }

// SignedIn reports whether a user calls.
func (tx *Tx) SignedIn() bool { return tx.call.SignedIn() }

// Me returns the caller's record as it was when the call began, and a zero T if no
// user calls. Generated code has a Me for the app's own type.
func Me[T any](tx *Tx) T {
	var me T
	tx.call.Me(&me)
	return me
}

// Start has a job begin when, and only if, the transaction commits, and returns its id.
// The input is the struct of the job's input, nil where it has none. Generated code has
// a function for each job of the app.
func (tx *Tx) Start(job string, input any) (id string, err error) {
	return tx.call.Start(job, input)
}

// Letter is what a mail is given.
type Letter struct {
	// To holds addresses and ids of users; empty means whom the app file names.
	To []string
	// Record is what the mail is about: a record's id, or a struct that becomes JSON.
	Record any
	// Data is whatever else its template shows.
	Data any
}

// Email has a mail sent when, and only if, the transaction commits.
func (tx *Tx) Email(name string, letter Letter) error {
	return tx.call.Write(name, letter.To, letter.Record, letter.Data)
}

// Publish tells a message to the members of a channel when, and only if, the transaction
// commits. The message becomes JSON. It is not stored: who is not there does not hear it.
func (tx *Tx) Publish(channel string, message any) error {
	return tx.call.Publish(channel, message)
}

// ID is the id of a record of the type T, so that the id of one kind cannot be given
// where another's is wanted.
type ID[T any] string

// Table reads and writes the records of one collection as structs of the type T. The
// tables of an app are made by its generated function DB.
type Table[T any] struct {
	call *goaction.Call
	name string
}

// Collection returns the table of a collection. T has a field for each of the
// record's, id, created, updated and version among them.
func Collection[T any](tx *Tx, name string) Table[T] { return Table[T]{tx.call, name} }

// Get returns the record, or the refusal not_found.
func (t Table[T]) Get(id ID[T]) (r T, err error) {
	err = t.call.Get(t.name, string(id), &r)
	return r, err
}

// Insert writes a new record and returns it as stored. A field that is zero and has a
// default in the app file gets the default; without an id it gets a fresh one.
func (t Table[T]) Insert(r T) (T, error) {
	err := t.call.Insert(t.name, &r)
	return r, err
}

// Update writes a record that was read, changed, over the version that was read, and
// returns it as stored. If another write came between, it returns the refusal stale.
func (t Table[T]) Update(r T) (T, error) {
	err := t.call.Update(t.name, &r)
	return r, err
}

// Patch changes some fields of a record, whatever its version, and returns it as
// stored. A value may be an operator such as Add, which the database applies.
func (t Table[T]) Patch(id ID[T], fields Fields) (r T, err error) {
	err = t.call.Patch(t.name, string(id), fields, &r)
	return r, err
}

// Delete removes a record, or returns the refusal not_found.
func (t Table[T]) Delete(id ID[T]) error { return t.call.Delete(t.name, string(id)) }

// First returns the first record that fulfils the condition, or nil if none does.
func (t Table[T]) First(where Where) (*T, error) {
	var first *T
	err := t.call.Find(t.name, condition(where), "", 1, func() any {
		first = new(T)
		return first
	})
	return first, err
}

// List returns the records that the ask describes. Without a limit there must not be
// more than 1,000 of them.
func (t Table[T]) List(ask List) ([]T, error) {
	var all []*T
	err := t.call.Find(t.name, condition(ask.Where), ask.Sort, ask.Limit, func() any {
		r := new(T)
		all = append(all, r)
		return r
	})
	list := make([]T, len(all))
	for i, r := range all {
		list[i] = *r
	}
	return list, err
}

// Count returns the number of records that fulfil the condition; nil counts all.
func (t Table[T]) Count(where Where) (int64, error) {
	return t.call.Count(t.name, condition(where))
}

// List says which records to return, and in which order.
type List struct {
	// Where is the condition; nil means all records.
	Where Where
	// Sort names fields, with a minus for falling order: "-created,name".
	Sort string
	// Limit is at most 1,000; 0 means that all are wanted.
	Limit int
}

// Where is a condition on records: Fields for equalities, or what CEL returns.
type Where interface{ where() goaction.Where }

// Fields holds values by the names of fields in the app file: as a condition, what
// they must equal; in a Patch, what they become. A nil value is null.
type Fields map[string]any

func (f Fields) where() goaction.Where { return goaction.Where{Equal: f} }

type cel goaction.Where

func (c cel) where() goaction.Where { return goaction.Where(c) }

// CEL returns a condition in CEL. The pairs of name and value are bound: in the text
// the names stand for the values, as in CEL("stock < n && listed", "n", 5).
func CEL(text string, pairs ...any) Where { return cel{CEL: text, Bound: pairs} }

func condition(w Where) goaction.Where {
	if w == nil {
		return goaction.Where{}
	}
	return w.where()
}

// Operator is a change of a field that the database applies to what is stored, so
// that nothing has to be read before.
type Operator = goaction.Operator

// Add adds to a number.
func Add(n any) Operator { return Operator{Op: value.OpAdd, Operand: n} }

// Append puts an item at the end of a list.
func Append(item any) Operator { return Operator{Op: value.OpAppend, Operand: item} }

// Remove takes every such item out of a list.
func Remove(item any) Operator { return Operator{Op: value.OpRemove, Operand: item} }

// Max makes a number at least n.
func Max(n any) Operator { return Operator{Op: value.OpMax, Operand: n} }

// Min makes a number at most n.
func Min(n any) Operator { return Operator{Op: value.OpMin, Operand: n} }
