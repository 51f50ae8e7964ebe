package rule

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// draw makes random apps, records and rules from one seed. What it writes is of the
// right types in almost all cases, and covers everything that rules support.
type draw struct {
	*rand.Rand
	spec   *spec.Spec
	schema *spec.Schema
	ids    map[string][]string
	vars   int
}

// start is the instant at which all drawn times lie around.
var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

func newDraw(seed uint64) *draw {
	return &draw{Rand: rand.New(rand.NewPCG(seed, 1)), ids: map[string][]string{}}
}

func (d *draw) one(of ...string) string { return of[d.IntN(len(of))] }

func (d *draw) chance(percent int) bool { return d.IntN(100) < percent }

var words = []string{"", "a", "b", "A b", " x ", "é", "日本語", "a%_b", "aab", "B", "\U0001F600z"}

// app draws a schema: users and two to four other collections with fields of every
// kind and relations among them.
func (d *draw) app() {
	names := []string{"boards", "cards", "users", "links", "notes"}[:3+d.IntN(3)]
	var cs []*spec.Collection
	for _, name := range names {
		c := &spec.Collection{Name: name}
		for i, k := range []value.TypeKind{value.TypeString, value.TypeInt, value.TypeInt,
			value.TypeBool, value.TypeFloat, value.TypeTime, value.TypeDate,
			value.TypeDuration, value.TypeMoney, value.TypeEnum} {
			if k == value.TypeInt || d.chance(70) {
				t := kind(k)
				if k == value.TypeEnum {
					t = enum("red", "green", "blue")
				}
				t.Optional = d.chance(40)
				c.Fields = append(c.Fields, field(fmt.Sprintf("f%d", i), t))
			}
		}
		for i := range 1 + d.IntN(3) {
			t := relation(d.one(names...))
			// What is required points to an earlier collection, so that no circle is.
			t.Optional = t.Of >= name || d.chance(50)
			c.Fields = append(c.Fields, field(fmt.Sprintf("r%d", i), t))
		}
		elem := kind(value.TypeString)
		if d.chance(50) {
			elem = kind(value.TypeInt)
		}
		for i, e := range []value.Type{elem, relation(d.one(names...))} {
			if d.chance(60) {
				t := listOf(e)
				t.Optional = d.chance(30)
				c.Fields = append(c.Fields, field(fmt.Sprintf("l%d", i), t))
			}
		}
		cs = append(cs, c)
	}
	d.spec, d.schema = appOf(cs...)
	d.spec.Define = []*spec.Define{d.define()}
}

// define draws a named rule over a parameter of the collection boards.
func (d *draw) define() *spec.Define {
	body := "cards.exists(m, m == x && m.f1 > 0 || x == null)"
	for _, f := range d.spec.Collection("cards").Fields {
		if f.Type.Of == "users" {
			body = "cards.exists(m, m." + f.Name + " == auth && m != x)"
		}
	}
	return &spec.Define{Name: "mine", Params: []spec.Name{{Name: "x"}},
		Body: spec.Text{Source: body, Pos: spec.Pos{Line: 1, Column: 1}}}
}

// records draws n records for each collection. Relations point to records of the
// same round or are null.
func (d *draw) records(n int) map[string][]value.Record {
	at := start.UnixMilli()
	for _, t := range d.schema.Collections {
		for i := range n {
			id := ident.RecordAt(time.UnixMilli(at), d.Rand, i)
			d.ids[t.Name] = append(d.ids[t.Name], string(id))
		}
	}
	all := map[string][]value.Record{}
	for _, t := range d.schema.Collections {
		for i := range n {
			r := value.NewRecord(t.Shape)
			for s := spec.SlotFirst; s < t.Shape.Len(); s++ {
				r.Slots[s] = d.slot(&t.Shape.Fields()[s].Type)
			}
			r.Slots[spec.SlotID] = value.OfText(d.ids[t.Name][i])
			all[t.Name] = append(all[t.Name], r)
		}
	}
	return all
}

func (d *draw) slot(t *value.Type) value.Value {
	if t.Optional && d.chance(40) {
		return value.OfNull()
	}
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		return value.OfInt([]int64{-2, -1, 0, 1, 2, 3, 7, value.IntMax, -value.IntMax}[d.IntN(9)])
	case value.TypeFloat:
		return value.OfFloat([]float64{0, 1, 1.5, -2.25, 1e308, 3, 0.1}[d.IntN(7)])
	case value.TypeBool:
		return value.OfBool(d.chance(50))
	case value.TypeTime:
		return value.OfTime(start.Add(time.Duration(d.IntN(7)-3) * 12 * time.Hour))
	case value.TypeDate:
		day := start.Truncate(24 * time.Hour).Add(time.Duration(d.IntN(5)-2) * 24 * time.Hour)
		return value.OfMillis(value.Date, day.UnixMilli())
	case value.TypeDuration:
		return value.OfDuration(time.Duration(d.IntN(5)-2) * 12 * time.Hour)
	case value.TypeEnum:
		return value.OfText(d.one(t.Words...))
	case value.TypeRelation:
		return value.OfText(d.one(d.ids[t.Of]...))
	case value.TypeList:
		var items []value.Value
		for range d.IntN(4) {
			items = append(items, d.slot(t.Elem))
		}
		return value.OfList(items)
	default:
		return value.OfText(d.one(words...))
	}
}

// scoped is a variable with the collection that its record is of.
type scoped struct{ name, of string }

// writer writes rules.
type writer struct {
	*draw
	vars []scoped
	// bare leaves out the first variable's name, and lookups.
	bare bool
}

// fields returns the paths to fields that fit, through at most two relations.
func (w *writer) fields(v scoped, hops int, fits func(*value.Type) bool) []string {
	var out []string
	prefix := v.name + "."
	if v.name == "" {
		prefix = ""
	}
	for _, f := range w.schema.Table(v.of).Shape.Fields() {
		if fits(&f.Type) {
			out = append(out, prefix+f.Name)
		}
		if f.Type.Kind == value.TypeRelation && hops > 0 && w.chance(60) {
			out = append(out, w.fields(scoped{prefix + f.Name, f.Type.Of}, hops-1, fits)...)
		}
	}
	return out
}

// path returns a field that fits, of the record more often than of others.
func (w *writer) path(fits func(*value.Type) bool) string {
	for range 8 {
		v := w.vars[w.IntN(len(w.vars))]
		if w.chance(30) {
			v = w.vars[0]
		}
		if of := w.fields(v, 2, fits); len(of) > 0 {
			return w.one(of...)
		}
	}
	return ""
}

func ofKind(ks ...value.Kind) func(*value.Type) bool {
	return func(t *value.Type) bool {
		for _, k := range ks {
			if t.ValueKind() == k && t.Kind != value.TypeEnum && t.Kind != value.TypeRelation {
				return true
			}
		}
		return false
	}
}

func pointsTo(of string) func(*value.Type) bool {
	return func(t *value.Type) bool { return t.Kind == value.TypeRelation && t.Of == of }
}

func (w *writer) or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

func (w *writer) int(depth int) string {
	if depth > 0 && w.chance(45) {
		switch w.IntN(8) {
		case 0, 1:
			return "(" + w.int(depth-1) + w.one(" + ", " - ", " * ", " / ", " % ") + w.int(depth-1) + ")"
		case 2:
			return "size(" + w.text(depth-1) + ")"
		case 3:
			return w.or(w.prefixed("size(", w.list(), ")"), "1")
		case 4:
			return "(" + w.bool(depth-1) + " ? " + w.int(depth-1) + " : " + w.int(depth-1) + ")"
		case 5:
			return w.time(depth-1) + "." + w.one("getFullYear", "getMonth", "getDate", "getDayOfMonth",
				"getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds",
				"getMilliseconds") + "()"
		case 6:
			return "int(" + w.float(depth-1) + ")"
		default:
			if w.bare {
				return "-" + w.int(0)
			}
			return w.size(depth - 1)
		}
	}
	if w.chance(30) {
		return w.one("0", "1", "2", "-1", "7", "9007199254740991")
	}
	return w.or(w.path(ofKind(value.Int)), "3")
}

func (w *writer) prefixed(before, text, after string) string {
	if text == "" {
		return ""
	}
	return before + text + after
}

func (w *writer) float(depth int) string {
	if depth > 0 && w.chance(30) {
		if w.chance(30) {
			return "double(" + w.int(depth-1) + ")"
		}
		return "(" + w.float(depth-1) + w.one(" + ", " - ", " * ", " / ") + w.float(depth-1) + ")"
	}
	if w.chance(30) {
		return w.one("0.0", "1.5", "-2.25", "1e308")
	}
	return w.or(w.path(ofKind(value.Float)), "3.0")
}

func (w *writer) text(depth int) string {
	if depth > 0 && w.chance(30) {
		switch w.IntN(4) {
		case 0:
			return "(" + w.text(depth-1) + " + " + w.text(depth-1) + ")"
		case 1:
			return "string(" + w.int(depth-1) + ")"
		default:
			return w.text(0) + w.one(".lowerAscii()", ".upperAscii()", ".trim()")
		}
	}
	if w.chance(25) {
		return strconv.Quote(w.one(words...))
	}
	return w.or(w.path(func(t *value.Type) bool { return t.Kind == value.TypeString }), `"a"`)
}

func (w *writer) time(depth int) string {
	if depth > 0 && w.chance(25) {
		return "(" + w.time(depth-1) + w.one(" + ", " - ") + w.span(depth-1) + ")"
	}
	if w.chance(25) {
		return w.one("now", `timestamp("2026-11-21T00:00:00Z")`)
	}
	return w.or(w.path(ofKind(value.Time, value.Date)), "now")
}

func (w *writer) span(depth int) string {
	if depth > 0 && w.chance(30) {
		if w.chance(50) {
			return "(" + w.time(depth-1) + " - " + w.time(depth-1) + ")"
		}
		return "(" + w.span(depth-1) + w.one(" + ", " - ") + w.span(depth-1) + ")"
	}
	if w.chance(50) {
		return w.one("days(1)", "hours(12)", `duration("90s")`, "minutes(0)", "seconds(-5)")
	}
	return w.or(w.path(ofKind(value.Duration)), "hours(1)")
}

// record returns something that is a record of the collection, or null.
func (w *writer) record(of string) string {
	var out []string
	for _, v := range w.vars {
		if v.of == of && v.name != "" {
			out = append(out, v.name)
		}
	}
	for range 2 {
		if p := w.path(pointsTo(of)); p != "" {
			out = append(out, p)
		}
	}
	if of == "users" && w.chance(60) {
		out = append(out, "auth")
	}
	if len(out) == 0 {
		return "null"
	}
	return w.one(out...)
}

// id returns a text that is the id of a record of the collection, or might be.
func (w *writer) id(of string) string {
	if w.chance(40) {
		return strconv.Quote(w.one(w.ids[of]...))
	}
	if r := w.record(of); r != "null" {
		return r + ".id"
	}
	return `"x"`
}

func (w *writer) list() string {
	return w.path(func(t *value.Type) bool { return t.Kind == value.TypeList })
}

func (w *writer) collection() string {
	return w.schema.Collections[w.IntN(len(w.schema.Collections))].Name
}

// with writes a condition in which one more variable is bound.
func (w *writer) with(of string, depth int) (name, cond string) {
	w.draw.vars++
	name = fmt.Sprintf("v%d", w.draw.vars)
	if w.chance(30) {
		name = "v"
	}
	inner := *w
	inner.vars = []scoped{{name, of}}
	for _, v := range w.vars {
		if v.name != name {
			inner.vars = append(inner.vars, v)
		}
	}
	if len(inner.vars) > 4 {
		depth = 0 // three loops in one another cost more than they tell
	}
	return name, inner.bool(depth)
}

// filters writes a collection and perhaps a filter on it.
func (w *writer) filters(depth int) (text, of string) {
	of = w.collection()
	text = of
	if w.chance(35) {
		name, cond := w.with(of, depth)
		text += ".filter(" + name + ", " + cond + ")"
	}
	return text, of
}

func (w *writer) size(depth int) string {
	text, _ := w.filters(depth)
	if w.chance(50) {
		return text + ".size()"
	}
	return "size(" + text + ")"
}

func (w *writer) lookup(depth int) string {
	text, of := w.filters(min(depth, 1))
	name, cond := w.with(of, depth)
	return text + "." + w.one("exists", "exists", "all", "exists_one") + "(" + name + ", " + cond + ")"
}

func (w *writer) bool(depth int) string {
	if depth <= 0 {
		return w.leaf(0)
	}
	switch n := w.IntN(14); {
	case n < 3:
		return w.bool(depth-1) + " && " + w.bool(depth-1)
	case n < 5:
		return "(" + w.bool(depth-1) + " || " + w.bool(depth-1) + ")"
	case n < 6:
		return "!(" + w.bool(depth-1) + ")"
	case n < 7:
		return "(" + w.bool(depth-1) + " ? " + w.bool(depth-1) + " : " + w.bool(depth-1) + ")"
	case n < 8:
		return "((" + w.bool(depth-1) + ")" + w.one(" == ", " != ") + "(" + w.bool(depth-1) + "))"
	case n < 10 && !w.bare:
		if w.chance(15) {
			return "mine(" + w.record("cards") + ")"
		}
		return w.lookup(depth - 1)
	}
	return w.leaf(depth)
}

func (w *writer) leaf(depth int) string {
	equals := w.one(" == ", " != ")
	less := w.one(" < ", " <= ", " > ", " >= ")
	switch w.IntN(17) {
	case 0:
		return w.or(w.path(ofKind(value.Bool)), w.one("true", "false"))
	case 1:
		return w.int(depth) + less + w.int(depth)
	case 2:
		return w.int(depth) + equals + w.int(depth)
	case 3:
		if w.chance(50) {
			return w.int(depth) + less + w.float(depth)
		}
		return w.float(depth) + w.one(less, equals) + w.float(depth)
	case 4:
		return w.text(depth) + w.one(less, equals) + w.text(depth)
	case 5:
		return w.text(depth) + w.one(".contains(", ".startsWith(", ".endsWith(") + w.text(depth) + ")"
	case 6:
		return w.text(depth) + ".matches(" + w.one(`"^a"`, `"[ab]+$"`, `"."`) + ")"
	case 7:
		return w.time(depth) + w.one(less, equals) + w.time(depth)
	case 8:
		return w.span(depth) + w.one(less, equals) + w.span(depth)
	case 9:
		return w.or(w.prefixed("", w.path(func(t *value.Type) bool {
			return t.Kind == value.TypeEnum
		}), w.one(equals+`"red"`, ` in ["red", "blue"]`, equals+`"green"`)), "true")
	case 10:
		return w.or(w.prefixed("has(", w.path(func(*value.Type) bool { return true }), ")"), "true")
	case 11:
		p := w.path(func(t *value.Type) bool { return t.Optional && t.Kind != value.TypeList })
		return w.or(w.prefixed("", p, equals+"null"), "auth"+equals+"null")
	case 12:
		return w.int(depth) + " in [" + w.int(depth) + ", " + w.int(depth) + "]"
	case 13:
		return w.member()
	case 14:
		of := w.collection()
		if r := w.record(of); r != "null" {
			return r + equals + w.id(of)
		}
		return "auth" + equals + "null"
	default:
		of := w.collection()
		return w.record(of) + equals + w.record(of)
	}
}

// member asks whether something is in a list field.
func (w *writer) member() string {
	if p := w.path(listsOf(ofKind(value.Int))); p != "" && w.chance(40) {
		return w.int(0) + " in " + p
	}
	if p := w.path(listsOf(ofKind(value.Text))); p != "" && w.chance(50) {
		return w.text(0) + " in " + p
	}
	of := w.collection()
	p, r := w.path(listsOf(pointsTo(of))), w.record(of)
	switch {
	case p == "" || r == "null":
		return "auth != null"
	case w.chance(40):
		return w.id(of) + " in " + p
	}
	return r + " in " + p
}

func listsOf(fits func(*value.Type) bool) func(*value.Type) bool {
	return func(t *value.Type) bool { return t.Kind == value.TypeList && fits(t.Elem) }
}
