package value

import (
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// opNames holds the wire name of each operator.
var opNames = [...]string{
	OpAdd: "$add", OpAppend: "$append", OpRemove: "$remove", OpMax: "$max", OpMin: "$min",
}

// String returns the operator as the wire writes it, such as $add.
func (o Op) String() string { return opNames[o] }

// AppendJSON appends the value as JSON. Absent appends nothing, so that the caller
// leaves its key out. Times are RFC 3339 in UTC with three digits of milliseconds,
// dates 2006-01-02, durations as FormatDuration writes them, floats as JavaScript
// writes them.
func AppendJSON(dst []byte, v Value) []byte {
	switch v.kind {
	case Absent:
		return dst
	case Null:
		return append(dst, "null"...)
	case Bool:
		if v.num != 0 {
			return append(dst, "true"...)
		}
		return append(dst, "false"...)
	case Int:
		return strconv.AppendInt(dst, v.num, 10)
	case Float:
		return appendFloat(dst, v.Float())
	case Text:
		return AppendQuoted(dst, v.text)
	case JSON:
		return append(dst, v.text...)
	case Time:
		dst = appendTime(append(dst, '"'), v.num)
		return append(dst, '"')
	case Date:
		dst = appendDate(append(dst, '"'), v.num)
		return append(dst, '"')
	case Duration:
		dst = append(dst, '"')
		dst = append(dst, FormatDuration(v.num)...)
		return append(dst, '"')
	case List:
		return appendList(dst, v.box.items)
	case Object:
		return AppendRecord(dst, v.box.record)
	default: // Operator
		dst = append(dst, '{', '"')
		dst = append(dst, opNames[v.op]...)
		dst = AppendJSON(append(dst, '"', ':'), v.box.items[0])
		return append(dst, '}')
	}
}

func appendList(dst []byte, items []Value) []byte {
	dst = append(dst, '[')
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		if items[i].kind == Absent {
			dst = append(dst, "null"...)
			continue
		}
		dst = AppendJSON(dst, items[i])
	}
	return append(dst, ']')
}

// AppendRecord appends the record as a JSON object, in the order of its shape and
// without the slots that are Absent.
func AppendRecord(dst []byte, r Record) []byte {
	if r.Shape == nil {
		return append(dst, "null"...)
	}
	dst = append(dst, '{')
	dst, _ = AppendMembers(dst, r)
	return append(dst, '}')
}

// AppendMembers appends what stands between the braces of the record's object, for
// callers who have more to say in it, and reports whether that was anything.
func AppendMembers(dst []byte, r Record) ([]byte, bool) {
	some := false
	for i := range r.Slots {
		if r.Slots[i].kind == Absent {
			continue
		}
		dst = appendMember(dst, r, i, some)
		some = true
	}
	return dst, some
}

// AppendDiffering appends the record as AppendRecord does, without the slots that are the
// same in another record of its shape.
func AppendDiffering(dst []byte, r, other Record) []byte {
	dst, some := append(dst, '{'), false
	for i := range r.Slots {
		if r.Slots[i].kind == Absent || r.Slots[i].Equal(other.Slots[i]) {
			continue
		}
		dst = appendMember(dst, r, i, some)
		some = true
	}
	return append(dst, '}')
}

// appendMember appends a slot with its name, behind others if there are some.
func appendMember(dst []byte, r Record, slot int, some bool) []byte {
	if some {
		dst = append(dst, ',')
	}
	dst = append(dst, r.Shape.keys[slot]...)
	return AppendJSON(dst, r.Slots[slot])
}

// AppendQuoted appends text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func AppendQuoted(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return appendQuotedSlow(dst, text)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, text...)
	return append(dst, '"')
}

// appendQuotedSlow looks at every character; the error of AppendQuote tells of
// invalid UTF-8 only, which it has replaced.
func appendQuotedSlow(dst []byte, text string) []byte {
	dst, _ = jsontext.AppendQuote(dst, text)
	return dst
}

// appendFloat writes the shortest text that reads back as f, as ECMAScript does.
func appendFloat(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // JavaScript writes the negative zero so, too
	}
	abs, format := math.Abs(f), byte('f')
	if abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if format == 'e' {
		// Go pads the exponent to two digits: e-09 becomes e-9.
		if n := len(dst); n-start >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
	}
	return dst
}

const dayMillis = 24 * 60 * 60 * 1000

// AppendTime appends the instant as AppendJSON writes it, without quotes.
func AppendTime(dst []byte, t time.Time) []byte { return appendTime(dst, t.UnixMilli()) }

func appendTime(dst []byte, ms int64) []byte {
	day := ms / dayMillis
	rest := ms % dayMillis
	if rest < 0 {
		day, rest = day-1, rest+dayMillis
	}
	dst = appendDay(dst, day)
	sec := rest / 1000
	dst = append(dst, 'T')
	dst = append2(dst, sec/3600)
	dst = append2(append(dst, ':'), sec/60%60)
	dst = append2(append(dst, ':'), sec%60)
	dst = append(dst, '.', byte('0'+rest/100%10))
	dst = append2(dst, rest%100)
	return append(dst, 'Z')
}

func appendDate(dst []byte, ms int64) []byte {
	day := ms / dayMillis
	if ms%dayMillis < 0 {
		day--
	}
	return appendDay(dst, day)
}

// appendDay writes the day after 1970-01-01 by the number, of the years 0 to 9999.
// It counts in years that begin in March, so that the leap day comes last.
func appendDay(dst []byte, day int64) []byte {
	n := day + 719468 // days since 0000-03-01
	era := n / 146097
	if n < 0 {
		era = (n - 146096) / 146097
	}
	inEra := n - era*146097
	year := (inEra - inEra/1460 + inEra/36524 - inEra/146096) / 365
	inYear := inEra - (365*year + year/4 - year/100)
	m := (5*inYear + 2) / 153
	date := inYear - (153*m+2)/5 + 1
	month := m + 3
	year += era * 400
	if month > 12 {
		month -= 12
		year++
	}
	dst = append2(dst, year/100)
	dst = append2(dst, year%100)
	dst = append2(append(dst, '-'), month)
	return append2(append(dst, '-'), date)
}

func append2(dst []byte, n int64) []byte { return append(dst, byte('0'+n/10), byte('0'+n%10)) }

// FormatDuration writes milliseconds as hours, minutes, seconds and milliseconds
// without the parts that are zero: 1h30m, 90s is 1m30s, 0s.
func FormatDuration(ms int64) string {
	if ms == 0 {
		return "0s"
	}
	var b []byte
	n := uint64(ms)
	if ms < 0 {
		b, n = append(b, '-'), -n
	}
	for _, u := range [...]struct {
		size uint64
		name string
	}{{3600_000, "h"}, {60_000, "m"}, {1000, "s"}, {1, "ms"}} {
		if n >= u.size {
			b = append(strconv.AppendUint(b, n/u.size, 10), u.name...)
			n %= u.size
		}
	}
	return string(b)
}
