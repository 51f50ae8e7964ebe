package postgres

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/value"
)

// Messages are written by hand: what is bound must outlive the caller's arguments,
// and goes again if the connection turns out to be dead.

// begin appends the head of a message and returns where its length stands.
func begin(b []byte, kind byte) ([]byte, int) {
	b = append(b, kind, 0, 0, 0, 0)
	return b, len(b) - 4
}

// end writes the length of the message that began at.
func end(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

func appendName(b []byte, name string) []byte { return append(append(b, name...), 0) }

// appendParse appends Parse. Parameters that the statement does not use are declared
// as texts, because the server cannot find out what they are.
func appendParse(b []byte, name, sql string, used []bool) []byte {
	b, at := begin(b, 'P')
	b = appendName(appendName(b, name), sql)
	b = binary.BigEndian.AppendUint16(b, uint16(len(used)))
	for _, u := range used {
		oid := uint32(0)
		if !u {
			oid = oidText
		}
		b = binary.BigEndian.AppendUint32(b, oid)
	}
	return end(b, at)
}

const oidText = 25

// appendBind appends Bind with arguments that appendArgs wrote.
func appendBind(b []byte, name string, args []byte) []byte {
	b, at := begin(b, 'B')
	b = appendName(append(b, 0), name)
	b = append(b, args...)
	return end(b, at)
}

// appendExecute appends Execute of all rows.
func appendExecute(b []byte) []byte { return append(b, 'E', 0, 0, 0, 9, 0, 0, 0, 0, 0) }

func appendSync(b []byte) []byte { return append(b, 'S', 0, 0, 0, 4) }

// appendArgs appends the part of Bind that holds the values: all of them, and all of
// the result, as texts. Numbers and truths have one text that every type of column
// takes that they are kept in.
func appendArgs(b []byte, args []value.Value) []byte {
	b = append(b, 0, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(len(args)))
	for i := range args {
		v := &args[i]
		if k := v.Kind(); k == value.Absent || k == value.Null {
			b = append(b, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		b = append(b, 0, 0, 0, 0)
		at := len(b)
		b = appendArg(b, v)
		binary.BigEndian.PutUint32(b[at-4:], uint32(len(b)-at))
	}
	return append(b, 0, 0)
}

func appendArg(b []byte, v *value.Value) []byte {
	switch v.Kind() {
	case value.Bool, value.Int, value.Time, value.Date, value.Duration:
		return strconv.AppendInt(b, v.Int(), 10)
	case value.Float:
		switch f := v.Float(); {
		case math.IsInf(f, 1):
			return append(b, "Infinity"...)
		case math.IsInf(f, -1):
			return append(b, "-Infinity"...)
		default:
			return strconv.AppendFloat(b, f, 'g', -1, 64)
		}
	case value.Text:
		return appendText(b, v.Text())
	case value.JSON:
		return append(b, v.Text()...)
	default:
		return value.AppendJSON(b, *v)
	}
}

// PostgreSQL keeps no U+0000 in a text. It is written as two characters, and the
// character that begins them as two others, so that every text has one form, the
// order stays, and nothing else is touched:
//
//	U+0000 → U+0001 U+FFFE
//	U+0001 → U+0001 U+FFFF
const (
	escape    = "\x01"
	escapeNul = "\x01\uFFFE"
	escapeOne = "\x01\uFFFF"
)

func appendText(b []byte, text string) []byte {
	if strings.IndexByte(text, 0) < 0 && strings.IndexByte(text, 1) < 0 {
		return append(b, text...)
	}
	for i := range len(text) {
		switch text[i] {
		case 0:
			b = append(b, escapeNul...)
		case 1:
			b = append(b, escapeOne...)
		default:
			b = append(b, text[i])
		}
	}
	return b
}

// unescape returns a text as it was before appendText.
func unescape(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		if text[i] == 1 && i+len(escapeNul) <= len(text) {
			switch string(text[i : i+len(escapeNul)]) {
			case escapeNul:
				out = append(out, 0)
				i += len(escapeNul) - 1
				continue
			case escapeOne:
				out = append(out, 1)
				i += len(escapeOne) - 1
				continue
			}
		}
		out = append(out, text[i])
	}
	return out
}

// row is a row of the answer.
type row struct{ values [][]byte }

// Null reports whether a column is null.
func (r *row) Null(i int) bool { return r.values[i] == nil }

// Int returns a whole number or a truth.
func (r *row) Int(i int) int64 {
	b := r.values[i]
	if len(b) == 0 {
		return 0
	}
	neg, n := false, uint64(0)
	switch b[0] {
	case 't':
		return 1
	case 'f':
		return 0
	case '-':
		neg, b = true, b[1:]
	}
	for _, ch := range b {
		if ch < '0' || ch > '9' {
			return int64(r.Float(i))
		}
		n = n*10 + uint64(ch-'0')
	}
	if neg {
		return -int64(n)
	}
	return int64(n)
}

// Float returns a number.
func (r *row) Float(i int) float64 {
	b := r.values[i]
	if len(b) == 0 {
		return 0
	}
	// What the server writes as a number is one; a text yields 0 as elsewhere.
	f, _ := strconv.ParseFloat(string(b), 64)
	return f
}

// Text returns a text, nil where there is none.
func (r *row) Text(i int) []byte {
	b := r.values[i]
	if bytes.IndexByte(b, escape[0]) >= 0 {
		return unescape(b)
	}
	return b
}
