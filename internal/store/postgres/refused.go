package postgres

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// refusal is why a database could not be opened, in a sentence that says what to do. The
// error behind it is for who looks at codes.
type refusal struct {
	text string
	err  error
}

func (r refusal) Error() string { return r.text }
func (r refusal) Unwrap() error { return r.err }

// Reason makes a sentence of the error of a connection that could not be made, which says
// what to do; what it does not know it returns as it is.
func Reason(config *pgconn.Config, err error) error {
	return (&dialect{config: config}).refused(err)
}

// refused makes a sentence of an error at the opening, if it is one of those that people
// meet: a wrong password, port, name or right.
func (d *dialect) refused(err error) error {
	text := ""
	var e *pgconn.PgError
	var dns *net.DNSError
	var wire net.Error
	switch {
	case strings.Contains(err.Error(), "read only connection"), // what pgconn says of several tries
		errors.As(err, &e) && e.Code == codeReadOnly:
		text = fmt.Sprintf("it takes no writes: it is a standby, or default_transaction_read_only "+
			"is on. Name the server that takes them, or:  ALTER ROLE %s SET "+
			"default_transaction_read_only = off", d.Quote(d.config.User))
	case errors.As(err, &e):
		text = d.said(e)
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "nothing listens there: is the server running, and the port right?"
	case errors.As(err, &dns):
		text = fmt.Sprintf("the host %q is not known: %s", dns.Name, dns.Err)
	case errors.As(err, &wire) && wire.Timeout():
		text = "no answer comes from there: is a firewall between?"
	case strings.Contains(err.Error(), "server refused TLS"):
		text = "the server has no TLS, which the address asks for; to go without:  ?sslmode=disable"
	}
	if text == "" {
		return err
	}
	return refusal{text, err}
}

// said makes a sentence of a server's no, "" if it says enough itself.
func (d *dialect) said(e *pgconn.PgError) string {
	user, name := d.config.User, d.config.Database
	switch e.Code {
	case "28P01":
		return fmt.Sprintf("the password of the role %q is wrong, or there is no such role", user)
	case "28000":
		return "the server lets nobody in so: " + e.Message
	case "3D000":
		if name == "" {
			name = user
		}
		return fmt.Sprintf("there is no database %q. Make it:  CREATE DATABASE %s OWNER %s",
			name, d.Quote(name), d.Quote(user))
	case "42501", "3F000":
		if strings.Contains(e.Message, "galley.") {
			return fmt.Sprintf("what is there belongs to another role than %q: %s. Come as that "+
				"one, or let it:  GRANT that_role TO %s", user, e.Message, d.Quote(user))
		}
		// A schema that one has no right to use is not seen.
		what := "USAGE, CREATE ON SCHEMA " + d.Quote(d.schema)
		if strings.Contains(e.Message, "for database") {
			what = "CREATE ON DATABASE " + d.Quote(name)
		}
		return fmt.Sprintf("the role %q lacks a right: %s. Let it:  GRANT %s TO %s", user,
			e.Message, what, d.Quote(user))
	case "53300":
		return fmt.Sprintf("the server has no connection left for the role %q: %s. Raise "+
			"max_connections, or the limit of the role or the database", user, e.Message)
	case "55000", "57P03":
		return "the server lets nobody in now: " + e.Message
	case "42704":
		return "the address has a word that the server does not know: " + e.Message
	}
	return ""
}
