package sqlite

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

var _ sqlstore.Dialect = (*dialect)(nil)

// dialect is what SQLite says in its own way.
type dialect struct {
	path   string
	vfs    string
	unsafe bool
}

// logPages is the length of the log, in pages of 4 kB, from which on it is written
// into the file after each commit, as far as no reader needs it. When all of it was
// written, the next commit begins it anew.
const logPages = 1000

// Quote writes a name.
func (*dialect) Quote(name string) string {
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// numbers are the first placeholders, which are all that most statements need.
var numbers = [...]string{"?1", "?2", "?3", "?4", "?5", "?6", "?7", "?8", "?9"}

// Placeholder writes the n-th parameter.
func (*dialect) Placeholder(n int) string {
	if n <= len(numbers) {
		return numbers[n-1]
	}
	return "?" + itoa(n)
}

// Column is the type of a column.
func (*dialect) Column(t *value.Type) string {
	switch t.ValueKind() {
	case value.Float:
		return "REAL"
	case value.Text, value.JSON, value.List, value.Object:
		return "TEXT"
	default:
		return "INTEGER"
	}
}

// TableTail makes tables strict and keeps their rows in the order of their key. A
// table whose key is a number is in that order anyway.
func (*dialect) TableTail() string { return " STRICT, WITHOUT ROWID" }

// Typed writes a parameter as it is: values bring their types along.
func (*dialect) Typed(sql string, _ value.Kind) string { return sql }

// Key writes a column as it is: keys may have any length.
func (*dialect) Key(_ *value.Type, column string, _ int, _ bool) string { return column }

// Words are the words of SQLite, for which truths are numbers.
func (*dialect) Words() sqlstore.Words {
	return sqlstore.Words{True: "1", False: "0", IsTrue: " = 1", Same: " IS "}
}

// Watch has nothing to wait for: no other process writes.
func (*dialect) Watch(ctx context.Context, _ func()) error {
	<-ctx.Done()
	return nil
}

// Tidy writes a log that has grown long into the file.
func (*dialect) Tidy(sc sqlstore.Conn) error {
	c, ok := sc.(*conn)
	if !ok || c.pages < logPages {
		return nil
	}
	c.pages = 0
	_, _, err := c.db.WALCheckpoint("main", sqlite3.CHECKPOINT_PASSIVE)
	if errors.Is(err, sqlite3.BUSY) {
		return nil // a reader holds the log; the next commit tries again
	}
	return problem(err)
}

// problem says what an error of SQLite means.
func problem(err error) error {
	if err == nil {
		return nil
	}
	var code sqlite3.ErrorCode
	if !errors.As(err, &code) {
		return &sqlstore.Problem{Err: err}
	}
	p := &sqlstore.Problem{Err: coded(err)}
	switch code {
	case sqlite3.CONSTRAINT:
		p.Class, p.Columns = constraint(err)
	case sqlite3.FULL:
		p.Class = sqlstore.Full
	case sqlite3.IOERR, sqlite3.CORRUPT, sqlite3.NOTADB, sqlite3.PROTOCOL:
		p.Class = sqlstore.Broken
	case sqlite3.BUSY, sqlite3.LOCKED:
		p.Class = sqlstore.Busy
	case sqlite3.INTERRUPT:
		p.Class = sqlstore.Interrupted
	case sqlite3.ERROR:
		switch text := err.Error(); {
		case strings.Contains(text, "integer overflow"):
			p.Class = sqlstore.Overflow
		case strings.Contains(text, "there is already another table or index with this name"):
			p.Class = sqlstore.Occupied
		}
	}
	return p
}

// coded adds the number of the error, which says more of a disk's than its text.
func coded(err error) error {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return err
	}
	return fmt.Errorf("%w (SQLite error %d)", err, code)
}

// constraint says which promise of a table was broken, and in which columns.
func constraint(err error) (sqlstore.Class, []string) {
	var code sqlite3.ExtendedErrorCode
	if !errors.As(err, &code) {
		return sqlstore.Other, nil
	}
	switch code {
	case sqlite3.CONSTRAINT_UNIQUE, sqlite3.CONSTRAINT_PRIMARYKEY, sqlite3.CONSTRAINT_ROWID:
		return sqlstore.Taken, columnsOf(err)
	case sqlite3.CONSTRAINT_NOTNULL:
		return sqlstore.Missing, columnsOf(err)
	case sqlite3.CONSTRAINT_FOREIGNKEY:
		return sqlstore.Dangling, nil
	default:
		return sqlstore.Other, nil
	}
}

// columnsOf reads "… constraint failed: table.column, table.column".
func columnsOf(err error) []string {
	text := err.Error()
	_, list, ok := strings.Cut(text, "constraint failed: ")
	if !ok {
		return nil
	}
	var out []string
	for _, c := range strings.Split(list, ", ") {
		if i := strings.LastIndexByte(c, '.'); i >= 0 {
			out = append(out, c[i+1:])
		}
	}
	return out
}
