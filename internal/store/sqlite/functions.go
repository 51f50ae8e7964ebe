package sqlite

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

func itoa(n int) string { return strconv.Itoa(n) }

// functionPrefix begins the names of the functions that SQLite lacks, or has with
// another meaning than rules.
const functionPrefix = "galley_"

// native holds what SQLite itself says as rules mean it.
var native = map[string]string{
	"lowerAscii": "lower(%)",
	"upperAscii": "upper(%)",
}

// parts are the parts of a time, and those that a duration has, too.
var parts = map[string]bool{
	"getFullYear": false, "getMonth": false, "getDate": false, "getDayOfMonth": false,
	"getDayOfWeek": false, "getDayOfYear": false, "getHours": true, "getMinutes": true,
	"getSeconds": true, "getMilliseconds": true,
}

// Call writes a function with the meaning that rules give it.
func (*dialect) Call(name string, of []sqlstore.Arg) (string, bool) {
	args := make([]string, len(of))
	for i := range of {
		args[i] = of[i].SQL
	}
	list := strings.Join(args, ", ")
	first := value.Absent
	if len(of) > 0 {
		first = of[0].Kind
	}
	if text, ok := native[name]; ok && len(args) == 1 {
		return strings.ReplaceAll(text, "%", list), true
	}
	if _, ok := parts[name]; ok {
		return part(name, first, args)
	}
	switch name {
	case "sum", "avg", "min", "max":
		return name + "(" + list + ")", true
	case "contains", "startsWith", "endsWith", "matches":
		return functionPrefix + strings.ToLower(name) + "(" + list + ")", len(args) == 2
	case "has":
		return functionPrefix + "has(" + list + ", " + itoa(int(of[1].Kind)) + ")", true
	case sqlstore.CallAmong:
		return "(" + args[1] + " IN (SELECT value FROM json_each(" + args[0] + ")))", true
	case "trim":
		return functionPrefix + "trim(" + list + ")", len(args) == 1
	case "size":
		if first == value.List || first == value.JSON {
			return "json_array_length(" + list + ")", len(args) == 1
		}
		return functionPrefix + "size(" + list + ")", len(args) == 1
	case "int", "double", "string":
		return functionPrefix + name + "(" + list + ", " + itoa(int(first)) + ")", len(args) == 1
	}
	if verb, ok := calculation[name]; ok && len(args) == 2 {
		return functionPrefix + verb + "(" + list + ")", true
	}
	return plain(name, args)
}

// plain writes what SQLite itself says as rules mean it: whole numbers within 62
// bits, and floats, which become null where they are no number.
func plain(name string, args []string) (string, bool) {
	kind := strings.TrimRight(name, "+-*/%")
	op := name[len(kind):]
	if len(args) != 2 || kind != "plain" && (kind != "float" || !strings.Contains("+-*", op)) {
		return "", false
	}
	return "(" + args[0] + " " + op + " " + args[1] + ")", true
}

func part(name string, kind value.Kind, args []string) (string, bool) {
	zone := "'UTC'"
	if len(args) == 2 {
		zone = args[1]
	}
	if kind == value.Duration {
		return functionPrefix + "span('" + name + "', " + args[0] + ")",
			parts[name] && len(args) == 1
	}
	return functionPrefix + "part('" + name + "', " + args[0] + ", " + zone + ")",
		len(args) == 1 || len(args) == 2
}

// calculation names the functions behind an operator on a kind.
var calculation = map[string]string{
	"int+": "add", "int-": "sub", "int*": "mul", "int/": "div", "int%": "mod",
	"float/": "quotient", "time+": "time_add", "time-": "time_sub",
	"duration+": "span_add", "duration-": "span_sub",
}

// register gives a connection the functions. Those with a null argument are null.
func register(db *sqlite3.Conn) error {
	for _, f := range []struct {
		name string
		args int
		call func(ctx sqlite3.Context, a []sqlite3.Value)
	}{
		{"contains", 2, texts(strings.Contains)},
		{"startswith", 2, texts(strings.HasPrefix)},
		{"endswith", 2, texts(strings.HasSuffix)},
		{"matches", 2, matches},
		{"has", 3, has},
		{"trim", 1, func(c sqlite3.Context, a []sqlite3.Value) {
			c.ResultText(strings.TrimSpace(a[0].Text()))
		}},
		{"size", 1, func(c sqlite3.Context, a []sqlite3.Value) {
			c.ResultInt(utf8.RuneCount(a[0].RawText()))
		}},
		{"int", 2, toInt},
		{"double", 2, toDouble},
		{"string", 2, toString},
		{"part", 3, timePart},
		{"span", 2, spanPart},
		{"add", 2, whole(addInt)},
		{"sub", 2, whole(subInt)},
		{"mul", 2, whole(mulInt)},
		{"div", 2, whole(divInt)},
		{"mod", 2, whole(modInt)},
		{"quotient", 2, func(c sqlite3.Context, a []sqlite3.Value) {
			c.ResultFloat(a[0].Float() / a[1].Float())
		}},
		{"time_add", 2, whole(within(addInt, timeMin, timeMax))},
		{"time_sub", 2, whole(within(subInt, timeMin, timeMax))},
		{"span_add", 2, whole(within(addInt, -spanMax, spanMax))},
		{"span_sub", 2, whole(within(subInt, -spanMax, spanMax))},
	} {
		err := db.CreateFunction(functionPrefix+f.name, f.args,
			sqlite3.DETERMINISTIC|sqlite3.INNOCUOUS,
			func(ctx sqlite3.Context, args ...sqlite3.Value) {
				for _, a := range args {
					if a.Type() == sqlite3.NULL {
						return
					}
				}
				f.call(ctx, args)
			})
		if err != nil {
			return err
		}
	}
	return nil
}

func texts(ask func(text, of string) bool) func(sqlite3.Context, []sqlite3.Value) {
	return func(c sqlite3.Context, a []sqlite3.Value) {
		c.ResultBool(ask(a[0].Text(), a[1].Text()))
	}
}

// matches looks for an RE2 expression, which is compiled once for a statement where
// it is constant. One that is none yields null.
func matches(c sqlite3.Context, a []sqlite3.Value) {
	re, ok := c.GetAuxData(1).(*regexp.Regexp)
	if !ok {
		var err error
		if re, err = regexp.Compile(a[1].Text()); err != nil {
			return
		}
		c.SetAuxData(1, re)
	}
	c.ResultBool(re.Match(a[0].RawText()))
}

// has reports whether a stored list holds a value. Stored lists are written in one
// form, so that values are compared by their text.
func has(c sqlite3.Context, a []sqlite3.Value) {
	var x value.Value
	switch kind := value.Kind(a[2].Int64()); {
	case kind == value.Time || kind == value.Date || kind == value.Duration:
		x = value.OfMillis(kind, a[1].Int64())
	case kind == value.Bool:
		x = value.OfBool(a[1].Int64() != 0)
	case a[1].Type() == sqlite3.INTEGER:
		x = value.OfInt(a[1].Int64())
	case a[1].Type() == sqlite3.FLOAT:
		x = value.OfFloat(a[1].Float())
	default:
		x = value.OfText(a[1].Text())
	}
	c.ResultBool(holds(a[0].RawText(), value.AppendJSON(nil, x)))
}

// holds looks for an item in the text of a compact JSON list.
func holds(list, item []byte) bool {
	depth, quoted, begin := 0, false, 1
	for i := 0; i < len(list); i++ {
		switch ch := list[i]; {
		case quoted && ch == '\\':
			i++
		case ch == '"':
			quoted = !quoted
		case quoted:
		case ch == '[' || ch == '{':
			depth++
		case ch == ',' && depth == 1, ch == ']' && depth == 1:
			if string(list[begin:i]) == string(item) {
				return true
			}
			begin = i + 1
		case ch == ']' || ch == '}':
			depth--
		}
	}
	return false
}

const (
	// timeMin and timeMax are the first and last millisecond of the years that
	// rules know, 1 to 9999.
	timeMin = -62135596800000
	timeMax = 253402300799999
	// spanMax is the longest duration that rules know, which count nanoseconds.
	spanMax = math.MaxInt64 / int64(time.Millisecond)
)

// whole makes a function of whole numbers that is null where it has no result.
func whole(f func(x, y int64) (int64, bool)) func(sqlite3.Context, []sqlite3.Value) {
	return func(c sqlite3.Context, a []sqlite3.Value) {
		if n, ok := f(a[0].Int64(), a[1].Int64()); ok {
			c.ResultInt64(n)
		}
	}
}

func within(f func(x, y int64) (int64, bool), least, most int64) func(x, y int64) (int64, bool) {
	return func(x, y int64) (int64, bool) {
		n, ok := f(x, y)
		return n, ok && n >= least && n <= most
	}
}

func addInt(x, y int64) (int64, bool) {
	n := x + y
	return n, (n > x) == (y > 0)
}

func subInt(x, y int64) (int64, bool) {
	n := x - y
	return n, (n < x) == (y > 0)
}

func mulInt(x, y int64) (int64, bool) {
	if x == 0 || y == 0 {
		return 0, true
	}
	n := x * y
	return n, n/y == x && !(x == -1 && y == math.MinInt64) && !(y == -1 && x == math.MinInt64)
}

func divInt(x, y int64) (int64, bool) {
	if y == 0 || x == math.MinInt64 && y == -1 {
		return 0, false
	}
	return x / y, true
}

func modInt(x, y int64) (int64, bool) {
	if y == 0 || x == math.MinInt64 && y == -1 {
		return 0, false
	}
	return x % y, true
}

// toInt cuts a float toward zero, counts the seconds of a time, and reads a text.
func toInt(c sqlite3.Context, a []sqlite3.Value) {
	switch kind := value.Kind(a[1].Int64()); {
	case kind == value.Time || kind == value.Date:
		ms := a[0].Int64()
		sec := ms / 1000
		if ms%1000 < 0 {
			sec--
		}
		c.ResultInt64(sec)
	case kind == value.Duration:
		c.ResultInt64(a[0].Int64() * int64(time.Millisecond))
	case a[0].Type() == sqlite3.INTEGER:
		c.ResultInt64(a[0].Int64())
	case a[0].Type() == sqlite3.FLOAT:
		f := a[0].Float()
		if f > math.MinInt64 && f < math.MaxInt64 {
			c.ResultInt64(int64(f))
		}
	default:
		if n, err := strconv.ParseInt(a[0].Text(), 10, 64); err == nil {
			c.ResultInt64(n)
		}
	}
}

func toDouble(c sqlite3.Context, a []sqlite3.Value) {
	switch a[0].Type() {
	case sqlite3.INTEGER, sqlite3.FLOAT:
		c.ResultFloat(a[0].Float())
	default:
		if f, err := strconv.ParseFloat(a[0].Text(), 64); err == nil {
			c.ResultFloat(f)
		}
	}
}

func toString(c sqlite3.Context, a []sqlite3.Value) {
	n := a[0].Int64()
	switch value.Kind(a[1].Int64()) {
	case value.Bool:
		c.ResultText(strconv.FormatBool(n != 0))
	case value.Time, value.Date:
		c.ResultText(time.UnixMilli(n).UTC().Format(time.RFC3339Nano))
	case value.Duration:
		sec := (time.Duration(n) * time.Millisecond).Seconds()
		c.ResultText(strconv.FormatFloat(sec, 'f', -1, 64) + "s")
	default:
		switch a[0].Type() {
		case sqlite3.INTEGER:
			c.ResultText(strconv.FormatInt(n, 10))
		case sqlite3.FLOAT:
			c.ResultText(strconv.FormatFloat(a[0].Float(), 'g', -1, 64))
		default:
			c.ResultText(a[0].Text())
		}
	}
}

// timePart is a part of a time in a zone, counted as rules do: months and days of
// the month and of the year from 0, getDate from 1, Sunday is 0.
func timePart(c sqlite3.Context, a []sqlite3.Value) {
	zone, ok := zoneOf(a[2].Text())
	if !ok {
		return
	}
	t := time.UnixMilli(a[1].Int64()).In(zone)
	switch a[0].Text() {
	case "getFullYear":
		c.ResultInt(t.Year())
	case "getMonth":
		c.ResultInt(int(t.Month()) - 1)
	case "getDate":
		c.ResultInt(t.Day())
	case "getDayOfMonth":
		c.ResultInt(t.Day() - 1)
	case "getDayOfWeek":
		c.ResultInt(int(t.Weekday()))
	case "getDayOfYear":
		c.ResultInt(t.YearDay() - 1)
	case "getHours":
		c.ResultInt(t.Hour())
	case "getMinutes":
		c.ResultInt(t.Minute())
	case "getSeconds":
		c.ResultInt(t.Second())
	case "getMilliseconds":
		c.ResultInt(t.Nanosecond() / int(time.Millisecond))
	}
}

// zoneOf reads a zone's name or an offset such as +02:00 or 02:00.
func zoneOf(name string) (*time.Location, bool) {
	hours, minutes, offset := strings.Cut(name, ":")
	if !offset {
		zone, err := time.LoadLocation(name)
		return zone, err == nil
	}
	h, err := strconv.Atoi(hours)
	if err != nil {
		return nil, false
	}
	m, err := strconv.Atoi(minutes)
	if err != nil {
		return nil, false
	}
	if h < 0 {
		m = -m
	}
	return time.FixedZone("", (h*60+m)*60), true
}

// spanPart is a duration counted whole in a unit.
func spanPart(c sqlite3.Context, a []sqlite3.Value) {
	d := time.Duration(a[1].Int64()) * time.Millisecond
	switch a[0].Text() {
	case "getHours":
		c.ResultInt64(int64(d / time.Hour))
	case "getMinutes":
		c.ResultInt64(int64(d / time.Minute))
	case "getSeconds":
		c.ResultInt64(int64(d / time.Second))
	case "getMilliseconds":
		c.ResultInt64(int64(d / time.Millisecond))
	}
}
