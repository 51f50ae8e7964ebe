package sqlstore

import (
	"context"
	"errors"

	"github.com/galleybackend/galley/internal/value"
)

// Dialect is what one database says in its own way. It is safe for concurrent use.
type Dialect interface {
	// Connect opens a connection; write asks for the one that may write.
	Connect(ctx context.Context, write bool) (Conn, error)
	// Quote writes a name.
	Quote(name string) string
	// Placeholder writes the n-th parameter, counted from 1.
	Placeholder(n int) string
	// Column is the type of the column that keeps values of the type.
	Column(t *value.Type) string
	// TableTail stands behind the bracket that closes a table's definition.
	TableTail() string
	// Typed writes a parameter of a plan, or another term of which the database
	// could not tell by itself of what kind it is.
	Typed(sql string, kind value.Kind) string
	// Key writes a column, quoted already, as one of the keys of an index.
	Key(t *value.Type, column string, keys int, unique bool) string
	// Call writes a function of query.Func or query.Arith, or an aggregate other than
	// count, so that it has the meaning that package query documents. A list stands
	// for its JSON. It reports false for a function that it does not have.
	Call(name string, args []Arg) (string, bool)
	// Words returns the words in which databases differ.
	Words() Words
	// Watch calls tell whenever another process may have committed, until ctx ends or
	// the watching fails. Nothing depends on it but how soon others are heard of.
	Watch(ctx context.Context, tell func()) error
	// Tidy gives the database the chance to look after its files. It is called by
	// the holder of the write line between two transactions.
	Tidy(c Conn) error
}

// Arg is an argument of a function.
type Arg struct {
	SQL  string
	Kind value.Kind
	// Value is the argument itself if it is a constant, and Absent if it is not.
	Value value.Value
}

// CallAmong is the function of a list and an id that asks whether the id is in the list,
// written so that an index of the id helps. Unknown may stand for false. An id holds
// nothing that JSON escapes.
const CallAmong = "among"

// Words are the words in which databases differ.
type Words struct {
	// True and False are the two truths, IsTrue what stands behind a stored one to
	// make it a condition for which an index is used.
	True, False, IsTrue string
	// Same is the equality for which two nulls are the same. Plain says that an index
	// is used for it only as a plain one, where neither side is null.
	Same  string
	Plain bool
	// Number stands behind a whole number that is written out.
	Number string
	// NullsFirst and NullsLast stand behind a key that may be null, in a rising and
	// in a falling order.
	NullsFirst, NullsLast string
	// Lock stands behind a query whose rows nobody else is to lock until the end of
	// the transaction. It is "" where no other process writes to the database.
	Lock string
	// Notify is the statement by which a commit is heard of by those who Watch.
	Notify string
	// Hurry is the statement after which the transaction waits but briefly for what
	// others hold: behind it wait all who read.
	Hurry string
	// Apart says that relations are constraints with names, which are made once all
	// tables stand, and not part of a column.
	Apart bool
}

// Conn is one connection. One goroutine at a time uses it. Its errors are Problems.
type Conn interface {
	// Query runs a statement and calls each for every row; an error of each ends
	// it and is returned as it is. The end of ctx stops the statement.
	Query(ctx context.Context, sql string, args []value.Value, each func(Row) error) error
	// Expect asks a query whose rows come with the answer to whatever is asked next,
	// if not at once. An error of each ends that, and is returned there.
	Expect(ctx context.Context, sql string, args []value.Value, each func(Row) error) error
	// Exec runs a statement without rows. The end of ctx does not stop it, because
	// a write that is broken off may take its whole transaction with it.
	Exec(sql string, args []value.Value) error
	// Queue runs a statement without rows before whatever is asked of the connection
	// next. Its error may show only there; the transaction is then lost.
	Queue(sql string, args []value.Value) error
	// Begin opens a transaction.
	Begin(write bool) error
	// Commit ends the transaction. If it fails with a class other than Broken, the
	// transaction was not committed.
	Commit() error
	// Rollback ends the transaction, if one is open.
	Rollback() error
	// Save, Revert and Release set, go back to, and drop the one savepoint.
	Save() error
	Revert() error
	Release() error
	// Open reports whether a transaction is open: some errors end it.
	Open() bool
	// References says whether relations are enforced; it must be called outside
	// a transaction.
	References(enforced bool) error
	// Defer says whether relations are looked at in the end of the transaction
	// only, for the time in which several records that point at each other go.
	Defer(deferred bool) error
	// Dangling returns the tables in which a relation points at nothing.
	Dangling(ctx context.Context) ([]string, error)
	// Close ends the connection.
	Close() error
}

// Row is the row that a statement stands on. Columns count from 0. What Text returns
// is good until the next row.
type Row interface {
	Null(i int) bool
	Int(i int) int64
	Float(i int) float64
	// Text is nil where the column is null.
	Text(i int) []byte
}

// Class says what a database's error means.
type Class uint8

// The classes of problems.
const (
	// Other is a mistake of ours in most cases.
	Other Class = iota
	// Taken is an id or unique value that is there already.
	Taken
	// Occupied is the name of a table under which there is something already.
	Occupied
	// Dangling is a relation to a record that is not there.
	Dangling
	// Missing is null in a column that is required.
	Missing
	// Overflow is a sum beyond the range of its type.
	Overflow
	// Reshaped is a statement that does not fit the tables, which have another shape by
	// now.
	Reshaped
	// Moved is a division by zero, which is asked for where another process had a turn.
	Moved
	// Interrupted is a statement that its context ended.
	Interrupted
	// Busy is a database that somebody else holds.
	Busy
	// Full is a disk without room; nothing was written.
	Full
	// Broken is a disk or a file that failed: what was just written may be there
	// or not.
	Broken
	// Gone is a connection that was lost, and its transaction with it. If it went
	// while Commit ran, that may have taken place or not.
	Gone
)

// Problem is an error of a Conn.
type Problem struct {
	Class Class
	// Columns are those of a Taken or Missing problem, where they are known.
	Columns []string
	Err     error
}

// Error is the text of the database.
func (p *Problem) Error() string { return p.Err.Error() }

// Unwrap returns the database's own error.
func (p *Problem) Unwrap() error { return p.Err }

// IsFull reports whether an error is that of a disk without room.
func IsFull(err error) bool { return classOf(err) == Full }

// classOf returns the class of an error, Other if it is no Problem.
func classOf(err error) Class {
	var p *Problem
	if errors.As(err, &p) {
		return p.Class
	}
	return Other
}
