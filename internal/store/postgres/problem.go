package postgres

import (
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/store/sqlstore"
)

// gone is the problem of a connection that was lost, or could not be made. Who may not come
// in now, because his password is being changed or the place is full, may do so later.
func gone(err error) error { return &sqlstore.Problem{Class: sqlstore.Gone, Err: err} }

// classes are the meanings of the codes that PostgreSQL gives its errors.
var classes = map[string]sqlstore.Class{
	"23505": sqlstore.Taken, "42P07": sqlstore.Occupied, "23503": sqlstore.Dangling, "23001": sqlstore.Dangling,
	"23502": sqlstore.Missing, "22003": sqlstore.Overflow, codeCancelled: sqlstore.Interrupted,
	"53100": sqlstore.Full, "42703": sqlstore.Reshaped, "42P01": sqlstore.Reshaped,
	"22012": sqlstore.Moved,
	"40001": sqlstore.Busy, "40P01": sqlstore.Busy, "55P03": sqlstore.Busy,
	"53000": sqlstore.Busy, "53200": sqlstore.Busy, "53300": sqlstore.Busy,
	"55006": sqlstore.Busy, codeReadOnly: sqlstore.Gone, "25P03": sqlstore.Gone,
	"40003": sqlstore.Gone, "58030": sqlstore.Gone,
}

// families are the meanings of the codes that begin so.
var families = map[string]sqlstore.Class{"08": sqlstore.Gone, "57": sqlstore.Gone}

// problem says what an error means.
func problem(err error) error {
	if err == nil {
		return nil
	}
	p := &sqlstore.Problem{Err: err}
	var e *pgconn.PgError
	var n net.Error
	switch {
	case errors.As(err, &e):
		class, ok := classes[e.Code]
		if !ok && len(e.Code) == 5 {
			class = families[e.Code[:2]]
		}
		p.Class, p.Err = class, explained(e)
		switch class {
		case sqlstore.Taken:
			p.Columns = columnsOf(e.Detail)
		case sqlstore.Missing:
			p.Columns = []string{e.ColumnName}
		}
	case errors.As(err, &n):
		p.Class = sqlstore.Gone
	}
	return p
}

// explained is the error with the detail of it, for the log.
func explained(e *pgconn.PgError) error {
	if e.Detail == "" || e.Code == "23505" || e.Code == "23503" {
		return e // the detail of these holds what people have written
	}
	return errors.Join(e, errors.New(e.Detail))
}

// columnsOf reads "Key (a, b)=(…) already exists.", in whatever language the words are.
func columnsOf(detail string) []string {
	end := strings.Index(detail, ")=(")
	start := strings.IndexByte(detail, '(')
	if start < 0 || end < start {
		return nil
	}
	var out []string
	for _, c := range strings.Split(detail[start+1:end], ", ") {
		// A long text is held to be unique by its hash.
		c = strings.TrimSuffix(strings.TrimPrefix(c, "md5("), ")")
		c = strings.TrimSuffix(c, "::text")
		out = append(out, strings.ReplaceAll(strings.Trim(c, `"`), `""`, `"`))
	}
	return out
}

// raced reports whether an error may be that of one who makes what another process
// makes at the same moment.
func raced(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "23505", "42P07", "42710", "42723", "42P06", "40001", "40P01", "55P03", "XX000":
		return true
	}
	return false
}
