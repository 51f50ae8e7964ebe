// Package value holds typed values, the only dynamic type of the house, with the
// types, shapes and records that describe them, and their JSON encodings. A value
// never crosses a wall without a type or a shape that says what it is.
package value

import (
	"math"
	"time"
)

// Kind says what a Value holds.
type Kind uint8

// The kinds of values.
const (
	// Absent is a slot that was not given, or that the caller may not see. It is
	// the zero value and is left out of JSON.
	Absent Kind = iota
	// Null is an optional field without a value.
	Null
	Bool
	// Int is a whole number within ±(2⁵³−1): int and money fields.
	Int
	Float
	// Text is valid UTF-8: string, text, email, url, enum, relation and id.
	Text
	// Time is an instant in milliseconds since 1970, UTC.
	Time
	// Date is a day, kept as the instant of its midnight UTC in milliseconds.
	Date
	// Duration is a span in milliseconds.
	Duration
	List
	// Object is a record in a value: an item of a list of objects, an input.
	Object
	// JSON is any JSON text, valid and compact.
	JSON
	// Operator is a change that the database applies to what is stored: see Op.
	Operator
)

// Value is one value. Values are immutable: who builds one gives its parts away.
type Value struct {
	kind Kind
	op   Op
	num  int64
	text string
	box  *box
}

// box holds what is rare, so that a Value stays small.
type box struct {
	items  []Value
	record Record
}

// Op is what an Operator value does to the stored value.
type Op uint8

// The operators of a field given to Put: numbers know add, max and min, lists know
// append and remove.
const (
	OpAdd Op = iota + 1
	OpAppend
	OpRemove
	OpMax
	OpMin
)

// Of… make values.

// OfNull returns the null value.
func OfNull() Value { return Value{kind: Null} }

// OfBool returns a Bool.
func OfBool(b bool) Value {
	if b {
		return Value{kind: Bool, num: 1}
	}
	return Value{kind: Bool}
}

// OfInt returns an Int.
func OfInt(n int64) Value { return Value{kind: Int, num: n} }

// OfFloat returns a Float. It must be finite.
func OfFloat(f float64) Value { return Value{kind: Float, num: int64(math.Float64bits(f))} }

// OfText returns a Text.
func OfText(s string) Value { return Value{kind: Text, text: s} }

// OfTime returns a Time, cut to the millisecond.
func OfTime(t time.Time) Value { return Value{kind: Time, num: t.UnixMilli()} }

// OfMillis returns a value of kind Time, Date or Duration from milliseconds.
func OfMillis(kind Kind, ms int64) Value { return Value{kind: kind, num: ms} }

// OfDuration returns a Duration, cut to the millisecond.
func OfDuration(d time.Duration) Value { return Value{kind: Duration, num: d.Milliseconds()} }

// OfList returns a List.
func OfList(items []Value) Value { return Value{kind: List, box: &box{items: items}} }

// OfRecord returns an Object.
func OfRecord(r Record) Value { return Value{kind: Object, box: &box{record: r}} }

// OfJSON returns a JSON value from valid, compact JSON text.
func OfJSON(text string) Value { return Value{kind: JSON, text: text} }

// OfOp returns an Operator with its operand.
func OfOp(op Op, operand Value) Value {
	return Value{kind: Operator, op: op, box: &box{items: []Value{operand}}}
}

// Kind returns what the value holds.
func (v Value) Kind() Kind { return v.kind }

// IsNull reports whether the value is Null or Absent.
func (v Value) IsNull() bool { return v.kind <= Null }

// Bool returns a Bool's truth; false for other kinds.
func (v Value) Bool() bool { return v.kind == Bool && v.num != 0 }

// Int returns an Int, or the milliseconds of a Time, Date or Duration.
func (v Value) Int() int64 { return v.num }

// Float returns a Float, or an Int as a float.
func (v Value) Float() float64 {
	if v.kind == Float {
		return math.Float64frombits(uint64(v.num))
	}
	return float64(v.num)
}

// Text returns the text of a Text or JSON value; "" for other kinds.
func (v Value) Text() string { return v.text }

// Time returns a Time or Date as an instant in UTC.
func (v Value) Time() time.Time { return time.UnixMilli(v.num).UTC() }

// Duration returns a Duration.
func (v Value) Duration() time.Duration { return time.Duration(v.num) * time.Millisecond }

// List returns the items of a List, which the caller must not change.
func (v Value) List() []Value {
	if v.kind != List {
		return nil
	}
	return v.box.items
}

// Record returns the record of an Object.
func (v Value) Record() Record {
	if v.kind != Object {
		return Record{}
	}
	return v.box.record
}

// Op returns an Operator's verb and operand.
func (v Value) Op() (Op, Value) {
	if v.kind != Operator {
		return 0, Value{}
	}
	return v.op, v.box.items[0]
}

// Equal reports whether two values are the same: kinds equal but for Absent and
// Null, which are one, and Int and Float, which compare as numbers.
func (v Value) Equal(w Value) bool {
	switch {
	case v.IsNull() || w.IsNull():
		return v.IsNull() && w.IsNull()
	case v.kind != w.kind:
		return isNumber(v) && isNumber(w) && v.Float() == w.Float()
	case v.kind == Float:
		return v.Float() == w.Float()
	case v.kind == List:
		return equalAll(v.box.items, w.box.items)
	case v.kind == Object:
		a, b := v.box.record, w.box.record
		return equalAll(a.Slots, b.Slots)
	case v.kind == Operator:
		return v.op == w.op && equalAll(v.box.items, w.box.items)
	default:
		return v.num == w.num && v.text == w.text
	}
}

func isNumber(v Value) bool { return v.kind == Int || v.kind == Float }

func equalAll(a, b []Value) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}
