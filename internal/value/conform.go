package value

import (
	"math"
	"strings"
	"unicode/utf8"
)

// Conform returns the value in the one form of its type, and what of it breaks the
// type. It is asked of everything that enters: of what clients send, and of what an
// app's own code writes. Texts become NFC, addresses lower case, ints floats where a
// float is wanted. Operators are for types of numbers and lists; Absent passes.
func Conform(t *Type, v Value, pointer string) (Value, []Issue) {
	p := newPath(pointer)
	v = p.conform(t, v)
	return v, p.issues
}

// ConformRecord is Conform of every slot of a record, whose pointers stand below
// pointer. The record's slots are replaced.
func ConformRecord(r Record, pointer string) []Issue {
	p := newPath(pointer)
	p.conformRecord(r)
	return p.issues
}

func (p *path) conformRecord(r Record) {
	for i := range r.Slots {
		if r.Slots[i].kind == Absent {
			continue
		}
		f := &r.Shape.fields[i]
		n := p.pushName(f.Name)
		r.Slots[i] = p.conform(&f.Type, r.Slots[i])
		p.pop(n)
	}
}

func (p *path) conform(t *Type, v Value) Value {
	switch v.kind {
	case Absent:
		return v
	case Null:
		if !t.Optional {
			p.tell(CodeRequired, "must not be null")
		}
		return v
	case Operator:
		return p.conformOp(t, v)
	}
	if want := t.ValueKind(); v.kind != want {
		switch {
		case want == Float && v.kind == Int:
			v = OfFloat(float64(v.num))
		case want == Int && v.kind == Float && v.Float() == math.Trunc(v.Float()):
			v = OfInt(toInt(v.Float()))
		default:
			p.tell(CodeType, "must be %s", t.Noun())
			return v
		}
	}
	switch v.kind {
	case Int, Duration, Time, Date:
		p.bounds(t, v)
	case Float:
		p.floatBounds(t, v.Float())
	case Text:
		return p.conformText(t, v)
	case List:
		return p.conformList(t, v)
	case Object:
		return p.conformObject(t, v)
	case JSON:
		if len(v.text) > JSONMax {
			p.tellMax(JSONMax, "must have at most %d bytes", JSONMax)
		}
	}
	return v
}

// conformOp asks that the operator fits the type. The bounds of the type are for the
// result, which only the store knows.
func (p *path) conformOp(t *Type, v Value) Value {
	op, operand := v.Op()
	number := t.Kind == TypeInt || t.Kind == TypeMoney || t.Kind == TypeFloat
	var of Type
	switch {
	case number && (op == OpAdd || op == OpMax || op == OpMin):
		of = Type{Kind: t.Kind}
	case t.Kind == TypeList && (op == OpAppend || op == OpRemove):
		of = *t.Elem
	default:
		p.tell(CodeType, "%s does not work on %s", op, t.Noun())
		return v
	}
	n := p.pushName(opNames[op])
	operand = p.conform(&of, operand)
	p.pop(n)
	return OfOp(op, operand)
}

func (p *path) bounds(t *Type, v Value) {
	switch v.kind {
	case Int:
		if v.num > IntMax {
			p.most(OfInt(IntMax))
			return
		}
		if v.num < -IntMax {
			p.least(OfInt(-IntMax))
			return
		}
	case Time, Date:
		if v.num < timeMin || v.num > timeMax {
			p.tell(CodeType, "must lie within the years 0 to 9999")
			return
		}
	}
	if t.Min != nil && v.num < t.Min.Int {
		p.least(OfBound(v.kind, t.Min.Int))
	}
	if t.Max != nil && v.num > t.Max.Int {
		p.most(OfBound(v.kind, t.Max.Int))
	}
}

// toInt returns a whole float as an int; what no int can hold stays out of range.
func toInt(f float64) int64 {
	return int64(min(max(f, -IntMax-1), IntMax+1))
}

// OfBound returns a bound of the kind as a value, so that it is written as values
// of that kind are.
func OfBound(kind Kind, n int64) Value { return Value{kind: kind, num: n} }

func (p *path) floatBounds(t *Type, f float64) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		p.tell(CodeType, "must be a finite number")
	case t.Min != nil && f < t.Min.Float:
		p.least(OfFloat(t.Min.Float))
	case t.Max != nil && f > t.Max.Float:
		p.most(OfFloat(t.Max.Float))
	}
}

func (p *path) least(v Value) {
	text := strings.Trim(string(AppendJSON(nil, v)), `"`)
	p.tellParams([]Param{{"min", v}}, CodeMin, "must be at least %s", text)
}

func (p *path) most(v Value) {
	text := strings.Trim(string(AppendJSON(nil, v)), `"`)
	p.tellParams([]Param{{"max", v}}, CodeMax, "must be at most %s", text)
}

func (p *path) tellMax(max int64, format string, args ...any) {
	p.tellParams([]Param{{"max", OfInt(max)}}, CodeMax, format, args...)
}

func (p *path) conformText(t *Type, v Value) Value {
	s := v.text
	switch t.Kind {
	case TypeEnum:
		for _, w := range t.Words {
			if w == s {
				return v
			}
		}
		p.tell(CodeEnum, "must be one of %s%s", strings.Join(t.Words, ", "), meant(s, t.Words))
		return v
	case TypeRelation, TypeID:
		if !isID(s) {
			p.tell(CodeFormat, "must be %s", t.Noun())
		}
		return v
	}
	if !plainText(s, t.Kind) {
		if !utf8.ValidString(s) {
			p.tell(CodeFormat, "must be valid UTF-8")
			return v
		}
		if c := control(s, t.Kind); c >= 0 {
			p.tell(CodeFormat, "must not hold the control character U+%04X", c)
			return v
		}
		s = nfc(s)
	}
	switch t.Kind {
	case TypeEmail:
		email, ok := normalEmail(s)
		if !ok {
			p.tell(CodeFormat, "must be an e-mail address such as ana@example.com")
			return v
		}
		s = email
	case TypeURL:
		u, ok := normalURL(s)
		if !ok {
			p.tell(CodeFormat, "must be a web address that begins with https:// or http://")
			return v
		}
		s = u
	}
	p.length(t, s)
	if s == v.text {
		return v
	}
	return OfText(s)
}

func (p *path) length(t *Type, s string) {
	least, most := int64(0), int64(StringMax)
	switch t.Kind {
	case TypeText:
		most = TextMax
	case TypeURL:
		most = urlMax
	}
	if t.Min != nil {
		least = t.Min.Int
	}
	if t.Max != nil {
		most = t.Max.Int
	}
	if n := int64(len(s)); n > most || least > 0 && n < 4*least {
		n = int64(utf8.RuneCountInString(s))
		if n > most {
			p.tellMax(most, "must have at most %d characters", most)
		} else if n < least {
			p.tellParams([]Param{{"min", OfInt(least)}}, CodeMin,
				"must have at least %d characters", least)
		}
	}
	if t.Pattern != nil && !t.Pattern.Match(s) {
		p.tellParams([]Param{{"pattern", OfText(t.Pattern.Text)}}, CodePattern,
			"must match %s", t.Pattern.Text)
	}
}

func (p *path) conformList(t *Type, v Value) Value {
	items := v.box.items
	if !p.listLength(t, len(items)) {
		return v
	}
	var copied []Value
	for i := range items {
		n := p.pushIndex(i)
		if items[i].IsNull() {
			p.tell(CodeRequired, "must not be null")
			p.pop(n)
			continue
		}
		item := p.conform(t.Elem, items[i])
		p.pop(n)
		if copied == nil && item != items[i] {
			copied = append([]Value(nil), items...)
		}
		if copied != nil {
			copied[i] = item
		}
	}
	if copied != nil {
		return OfList(copied)
	}
	return v
}

func (p *path) listLength(t *Type, n int) bool {
	most := int64(ListMax)
	if t.Max != nil {
		most = t.Max.Int
	}
	if int64(n) > most {
		p.tellMax(most, "must have at most %d items", most)
		return false
	}
	if t.Min != nil && int64(n) < t.Min.Int {
		p.tellParams([]Param{{"min", OfInt(t.Min.Int)}}, CodeMin,
			"must have at least %d items", t.Min.Int)
	}
	return true
}

// conformObject takes a record of the type's own shape or of one with the same names
// in the same order.
func (p *path) conformObject(t *Type, v Value) Value {
	r := v.box.record
	if !sameNames(r.Shape, t.Fields) {
		p.tell(CodeType, "must be %s", t.Noun())
		return v
	}
	out := Record{Shape: t.Fields, Slots: append([]Value(nil), r.Slots...)}
	for i := range out.Slots {
		f := &t.Fields.fields[i]
		n := p.pushName(f.Name)
		if out.Slots[i].kind == Absent {
			p.fill(f, &out.Slots[i])
		} else {
			out.Slots[i] = p.conform(&f.Type, out.Slots[i])
		}
		p.pop(n)
	}
	return OfRecord(out)
}

// fill puts into a slot that was left out what its field says.
func (p *path) fill(f *Field, slot *Value) {
	switch {
	case f.Default.kind != Absent:
		*slot = f.Default
	case f.Type.Optional:
		*slot = OfNull()
	default:
		p.tell(CodeRequired, "is required")
	}
}

func sameNames(a, b *Shape) bool {
	if a == b {
		return true
	}
	if a == nil || b == nil || len(a.fields) != len(b.fields) {
		return false
	}
	for i := range a.fields {
		if a.fields[i].Name != b.fields[i].Name {
			return false
		}
	}
	return true
}

// Noun names the type in a sentence: "a whole number".
func (t *Type) Noun() string {
	switch t.Kind {
	case TypeInt:
		return "a whole number"
	case TypeMoney:
		return "a whole number of the smallest unit of money"
	case TypeFloat:
		return "a number"
	case TypeBool:
		return "true or false"
	case TypeTime:
		return "a time such as 2026-11-21T08:30:00Z"
	case TypeDate:
		return "a date such as 2026-11-21"
	case TypeDuration:
		return "a duration such as 90s or 1h30m"
	case TypeEmail:
		return "an e-mail address"
	case TypeURL:
		return "a web address"
	case TypeEnum:
		return "one of " + strings.Join(t.Words, ", ")
	case TypeRelation:
		return "the id of one of " + t.Of + ": 26 characters of 0-9 and a-z"
	case TypeID:
		return "an id: 26 characters of 0-9 and a-z without i, l, o and u, 0 to 7 first"
	case TypeList:
		return "a list"
	case TypeObject:
		return "an object"
	case TypeJSON:
		return "JSON"
	default:
		return "a text"
	}
}
