package postgres

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// definitions holds the functions that the schema gets.
//
//go:embed functions.sql
var definitions string

// functions makes the functions in the schema, unless they are there in this form. A
// function without a use, whose name holds the hash of all, says so.
func (d *dialect) functions(ctx context.Context, c *conn) error {
	sum := sha256.Sum256([]byte(definitions))
	mark := "galley_functions_" + hex.EncodeToString(sum[:8])
	found, err := c.one(ctx, "SELECT count(*) FROM pg_proc p JOIN pg_namespace n ON "+
		"n.oid = p.pronamespace WHERE n.nspname = "+quoteText(d.schema)+
		" AND p.proname = "+quoteText(mark))
	if err != nil || found != "0" {
		return err
	}
	if err := c.Begin(true); err != nil {
		return err
	}
	for _, text := range strings.SplitAfter(definitions, "END $$;\n") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if err := c.Exec(text, nil); err != nil {
			return errors.Join(err, c.Rollback())
		}
	}
	err = c.Exec("CREATE OR REPLACE FUNCTION "+mark+"() RETURNS boolean LANGUAGE sql "+
		"IMMUTABLE AS 'SELECT TRUE'", nil)
	if err != nil {
		return errors.Join(err, c.Rollback())
	}
	return c.Commit()
}

const (
	// timeMin and timeMax are the first and last millisecond of the years that rules
	// know, 1 to 9999; spanMax is the longest duration, which they count in
	// nanoseconds.
	timeMin = -62135596800000
	timeMax = 253402300799999
	spanMax = math.MaxInt64 / int64(time.Millisecond)
	// spaces are the characters that trim takes away.
	spaces = `E'\t\n\x0b\f\r \u0085\u00A0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006` +
		`\u2007\u2008\u2009\u200A\u2028\u2029\u202F\u205F\u3000'`
)

// Call writes a function with the meaning that rules give it.
func (d *dialect) Call(name string, of []sqlstore.Arg) (string, bool) {
	args := make([]string, len(of))
	for i := range of {
		args[i] = of[i].SQL
	}
	switch {
	case len(of) == 0:
		return "", false
	case strings.HasPrefix(name, "get"):
		return d.part(name, of)
	case len(of) == 1:
		return d.one(name, of[0])
	case len(of) == 2:
		if text, ok := d.text(name, of); ok {
			return text, true
		}
		return calculate(name, of)
	}
	return "", false
}

func call(name string, args ...string) string {
	return "galley_" + name + "(" + strings.Join(args, ", ") + ")"
}

// text writes a question about a text or a list.
func (d *dialect) text(name string, of []sqlstore.Arg) (string, bool) {
	x, y := of[0].SQL, of[1].SQL
	switch name {
	case "contains":
		return call("contains", x, y), true
	case "startsWith":
		return "starts_with(" + x + ", " + y + ")", true
	case "endsWith":
		return call("ends", x, y), true
	case "matches":
		if of[1].Value.Kind() != value.Text {
			return "", false
		}
		plain, exact, err := query.Pattern(of[1].Value.Text())
		if err != nil {
			return "NULL", true // what is no pattern matches nothing, and does not miss
		}
		return call("matches", x, quoteText(plain), quoteText(exact)), true
	case "has":
		return has(x, of[1])
	case sqlstore.CallAmong:
		// The name is qualified: alone it would be that of a field.
		return "(" + y + " = ANY (ARRAY(SELECT btrim(l.item::text, '\"') FROM json_array_elements((" +
			x + ")::json) AS l (item))))", true
	}
	return "", false
}

// has looks for an item in a list, by its text there.
func has(list string, item sqlstore.Arg) (string, bool) {
	x := item.SQL
	switch item.Kind {
	case value.Int, value.Float:
		return call("has_number", list, x), true
	case value.Bool:
		return call("has", list, "("+x+")::text"), true
	case value.Time:
		return call("has", list, `('"' || `+call("time", x, "TRUE")+` || '"')`), true
	case value.Date:
		return call("has", list, `('"' || `+call("day", x)+` || '"')`), true
	case value.Duration:
		return call("has", list, `('"' || `+call("span", x)+` || '"')`), true
	case value.Text:
		return call("has", list, call("quoted", x)), true
	}
	return "", false
}

// one writes a function of one argument, or an aggregate.
func (d *dialect) one(name string, a sqlstore.Arg) (string, bool) {
	x := a.SQL
	switch name {
	case "lowerAscii":
		return "translate(" + x + ", 'ABCDEFGHIJKLMNOPQRSTUVWXYZ', 'abcdefghijklmnopqrstuvwxyz')",
			true
	case "upperAscii":
		return "translate(" + x + ", 'abcdefghijklmnopqrstuvwxyz', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ')",
			true
	case "trim":
		return "btrim(" + x + ", " + spaces + ")", true
	case "size":
		if a.Kind == value.List || a.Kind == value.JSON {
			return call("items", x), true
		}
		return "char_length(replace(" + x + `, E'\x01', ''))::bigint`, true
	case "int":
		return toInt(a)
	case "double":
		switch a.Kind {
		case value.Text:
			return call("double_text", x), true
		default:
			return "(" + x + ")::float8", true
		}
	case "string":
		return toString(a)
	case "sum", "avg", "min", "max":
		return aggregate(name, a)
	}
	return "", false
}

func toInt(a sqlstore.Arg) (string, bool) {
	switch x := a.SQL; a.Kind {
	case value.Time, value.Date:
		return "floor(" + x + "::numeric / 1000)::bigint", true
	case value.Duration:
		return call("within", x+"::numeric * 1000000", least, most), true
	case value.Float:
		return call("int", x), true
	case value.Text:
		return call("int_text", x), true
	case value.Bool:
		return "(" + x + ")::int::bigint", true
	default:
		return x, true
	}
}

func toString(a sqlstore.Arg) (string, bool) {
	x := a.SQL
	switch a.Kind {
	case value.Text, value.JSON, value.List, value.Object:
		return x, true
	case value.Time, value.Date:
		x = call("time", x, "FALSE")
	case value.Duration:
		x = call("string_span", x)
	case value.Float:
		x = call("string_float", x)
	default: // true and false are written so, too
		x = "(" + x + ")::text"
	}
	return "(" + x + ` COLLATE "C")`, true
}

// aggregate writes an aggregate. The sum of whole numbers is exact before it is
// bounded, and the average is that sum, as a float, by their number.
func aggregate(name string, a sqlstore.Arg) (string, bool) {
	x := a.SQL
	whole := a.Kind != value.Float
	switch {
	case a.Kind == value.Bool && name == "min":
		return "bool_and(" + x + ")", true
	case a.Kind == value.Bool && name == "max":
		return "bool_or(" + x + ")", true
	case name == "min" || name == "max":
		return name + "(" + x + ")", true
	case a.Kind == value.Bool:
		return aggregate(name, sqlstore.Arg{SQL: "(" + x + ")::int", Kind: value.Int})
	case name == "sum" && whole:
		return "sum(" + x + ")::bigint", true
	case name == "avg" && whole:
		return "(sum(" + x + ")::float8 / count(" + x + "))", true
	default:
		return name + "(" + x + ")", true
	}
}

// part writes a part of a time or a duration.
func (d *dialect) part(name string, of []sqlstore.Arg) (string, bool) {
	x := of[0].SQL
	size := map[string]string{"getHours": "3600000", "getMinutes": "60000",
		"getSeconds": "1000", "getMilliseconds": "1"}[name]
	if of[0].Kind == value.Duration {
		return "(" + x + " / " + size + ")", size != "" && len(of) == 1
	}
	if len(of) == 2 {
		zone := of[1].Value
		if zone.Kind() == value.Text && !strings.Contains(zone.Text(), ":") {
			if _, err := time.LoadLocation(zone.Text()); err != nil {
				return "NULL::bigint", true
			}
		}
		if text := zone.Text(); zone.Kind() != value.Text || text != "UTC" && text != "" {
			x = call("local", x, of[1].SQL)
		}
	}
	next := map[string]string{"getHours": "86400000", "getMinutes": "3600000",
		"getSeconds": "60000", "getMilliseconds": "1000"}[name]
	if size != "" {
		return "((" + x + " % " + next + " + " + next + ") % " + next + " / " + size + ")",
			len(of) <= 2
	}
	return call("part", quoteText(name), x), len(of) <= 2
}

const (
	least = "-9223372036854775808"
	most  = "9223372036854775807"
)

// calculate writes a calculation whose name is a kind and an operator.
func calculate(name string, of []sqlstore.Arg) (string, bool) {
	kind := strings.TrimRight(name, "+-*/%<=>")
	op := name[len(kind):]
	x, y := of[0].SQL, of[1].SQL
	plain := "(" + x + " " + op + " " + y + ")"
	exact := x + "::numeric " + op + " " + y
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	switch kind {
	case "plain":
		if op == "/" || op == "%" {
			return "(" + x + " " + op + " nullif(" + y + ", 0))", true
		}
		return plain, true
	case "int":
		switch op {
		case "+", "-", "*":
			return call("within", exact, least, most), true
		case "/":
			return call("within", "div("+x+"::numeric, nullif("+y+", 0))", least, most), true
		case "%":
			return call("mod", x, y), true
		}
	case "float":
		switch op {
		case "+":
			return call("add", x, y), true
		case "-":
			return call("add", x, "-"+y), true
		case "*":
			return call("mul", x, y), true
		case "/":
			return call("div", x, y), true
		}
	case "time":
		return call("within", exact, number(timeMin), number(timeMax)), op == "+" || op == "-"
	case "duration":
		return call("within", exact, number(-spanMax), number(spanMax)), op == "+" || op == "-"
	case "order":
		return ordered(op, of), true
	}
	return "", false
}

// ordered compares a whole number with a float, in this order or the other.
func ordered(op string, of []sqlstore.Arg) string {
	if of[0].Kind == value.Int {
		return "(" + call("order", of[0].SQL, of[1].SQL) + " " + op + " 0)"
	}
	return "(0 " + op + " " + call("order", of[1].SQL, of[0].SQL) + ")"
}
