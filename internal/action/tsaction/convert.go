package tsaction

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// fromJS reads what the code gives as a value of the type. at names the place for
// the error. Bounds and patterns are the host's to ask.
func (m *machine) fromJS(v goja.Value, t *value.Type, at string) (value.Value, error) {
	if v == nil || goja.IsUndefined(v) {
		return value.Value{}, nil
	}
	if goja.IsNull(v) {
		switch {
		case t.Optional:
			return value.OfNull(), nil
		case t.Kind == value.TypeJSON:
			return value.OfJSON("null"), nil
		}
		return value.Value{}, fmt.Errorf("%s must not be null", at)
	}
	wrong := func() (value.Value, error) {
		return value.Value{}, fmt.Errorf("%s must be %s, got %s", at, typeName(t), m.show(v))
	}
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		n, ok := whole(v)
		if !ok {
			return wrong()
		}
		return value.OfInt(n), nil
	case value.TypeDuration:
		n, ok := whole(v)
		if !ok {
			return wrong()
		}
		return value.OfMillis(value.Duration, n), nil
	case value.TypeFloat:
		switch x := export(v).(type) {
		case int64:
			return value.OfFloat(float64(x)), nil
		case float64:
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				return value.OfFloat(x), nil
			}
		}
		return wrong()
	case value.TypeBool:
		if b, ok := export(v).(bool); ok {
			return value.OfBool(b), nil
		}
		return wrong()
	case value.TypeTime:
		if d, ok := export(v).(time.Time); ok {
			return value.OfTime(d), nil
		}
		return wrong()
	case value.TypeDate:
		if text, ok := export(v).(string); ok {
			if d, err := time.Parse(dateForm, text); err == nil {
				return value.OfMillis(value.Date, d.UnixMilli()), nil
			}
		}
		return wrong()
	case value.TypeList:
		return m.list(v, t, at)
	case value.TypeObject:
		r, err := m.record(v, t.Fields, at)
		if err != nil {
			return value.Value{}, err
		}
		return value.OfRecord(r), nil
	case value.TypeJSON:
		return m.json(v, at)
	case value.TypeEnum:
		text, ok := export(v).(string)
		if !ok || !contains(t.Words, text) {
			return wrong()
		}
		return value.OfText(text), nil
	default:
		return m.text(v, t, at)
	}
}

var (
	typeRecord  = reflect.TypeFor[*record]()
	typePromise = reflect.TypeFor[*goja.Promise]()
	typeInt     = reflect.TypeFor[int64]()
	typeFloat   = reflect.TypeFor[float64]()
)

// piecewise are the types as which the engine gives out objects and lists of the code, piece
// by piece. Nobody here wants them so.
var piecewise = map[reflect.Type]bool{
	reflect.TypeFor[map[string]any](): true,
	reflect.TypeFor[[]any]():          true,
}

// export returns what a value is in Go: a scalar, or what stands behind an object of
// ours; nil for other objects and lists.
func export(v goja.Value) any {
	if o, ok := v.(*goja.Object); ok && piecewise[o.ExportType()] {
		return nil
	}
	return v.Export()
}

func (m *machine) text(v goja.Value, t *value.Type, at string) (value.Value, error) {
	if text, ok := v.(goja.String); ok {
		x := text.String()
		if !utf8.ValidString(x) || strings.ContainsRune(x, utf8.RuneError) && !wellFormed(v) {
			return value.Value{}, fmt.Errorf("%s holds half of a character", at)
		}
		return value.OfText(x), nil
	}
	if x, ok := export(v).(*record); ok && x.collection != "" &&
		t.Kind == value.TypeRelation && t.Of == x.collection {
		return value.OfText(x.id()), nil
	}
	return value.Value{}, fmt.Errorf("%s must be %s, got %s", at, typeName(t), m.show(v))
}

// wellFormed reports whether a text has no lone surrogate.
func wellFormed(v goja.Value) bool {
	s, ok := v.(goja.String)
	if !ok {
		return false
	}
	for i := 0; i < s.Length(); i++ {
		c := s.CharAt(i)
		switch {
		case c >= 0xdc00 && c <= 0xdfff:
			return false
		case c >= 0xd800 && c <= 0xdbff:
			if i+1 >= s.Length() || s.CharAt(i+1) < 0xdc00 || s.CharAt(i+1) > 0xdfff {
				return false
			}
			i++
		}
	}
	return true
}

func (m *machine) list(v goja.Value, t *value.Type, at string) (value.Value, error) {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Array" {
		return value.Value{}, fmt.Errorf("%s must be a list, got %s", at, m.show(v))
	}
	n := o.Get("length").ToInteger()
	most := int64(value.ListMax)
	if t.Max != nil {
		most = t.Max.Int
	}
	if n > most {
		return value.Value{}, fmt.Errorf("%s has %d items; %d is the most", at, n, most)
	}
	items := make([]value.Value, n)
	for i := range items {
		place := fmt.Sprintf("%s[%d]", at, i)
		x, err := m.fromJS(o.Get(fmt.Sprint(i)), t.Elem, place)
		if err != nil {
			return value.Value{}, err
		}
		if x.Kind() == value.Absent {
			return value.Value{}, fmt.Errorf("%s is undefined", place)
		}
		items[i] = x
	}
	return value.OfList(items), nil
}

// record reads an object of the shape. Every field that is neither optional nor has
// a default must be there.
func (m *machine) record(v goja.Value, s *value.Shape, at string) (value.Record, error) {
	o, ok := v.(*goja.Object)
	if !ok || o.ClassName() != "Object" {
		return value.Record{}, fmt.Errorf("%s must be an object, got %s", at, m.show(v))
	}
	r := value.NewRecord(s)
	fields := s.Fields()
	for _, key := range o.GetOwnPropertyNames() {
		i, ok := s.Index(key)
		if !ok {
			return r, fmt.Errorf("%s.%s is not declared%s", at, key, near(key, fieldNames(s)))
		}
		x, err := m.fromJS(o.Get(key), &fields[i].Type, at+"."+key)
		if err != nil {
			return r, err
		}
		r.Slots[i] = x
	}
	for i := range fields {
		if r.Slots[i].Kind() != value.Absent {
			continue
		}
		switch f := &fields[i]; {
		case f.Default.Kind() != value.Absent:
			r.Slots[i] = f.Default
		case f.Type.Optional:
			r.Slots[i] = value.OfNull()
		default:
			return r, fmt.Errorf("%s.%s is missing", at, f.Name)
		}
	}
	return r, nil
}

func (m *machine) json(v goja.Value, at string) (value.Value, error) {
	text, err := m.stringify(goja.Undefined(), v)
	if err != nil || goja.IsUndefined(text) {
		return value.Value{}, fmt.Errorf("%s cannot be written as JSON", at)
	}
	if n := len(text.String()); n > value.JSONMax {
		return value.Value{}, fmt.Errorf("%s has %d bytes as JSON; %d is the most", at, n, value.JSONMax)
	}
	return value.OfJSON(text.String()), nil
}

// whole reads a whole number that loses no digit.
func whole(v goja.Value) (int64, bool) {
	switch v.ExportType() {
	case typeInt:
		n := v.ToInteger()
		return n, n <= value.IntMax && n >= -value.IntMax
	case typeFloat:
		x := v.ToFloat()
		return int64(x), x == math.Trunc(x) && math.Abs(x) <= value.IntMax
	}
	return 0, false
}

// show tells what a value is, shortly, for an error.
func (m *machine) show(v goja.Value) string {
	switch x := export(v).(type) {
	case string:
		if len(x) > 40 {
			x = x[:40] + "…"
		}
		return fmt.Sprintf("%q", x)
	case int64, float64, bool:
		return v.String()
	case time.Time:
		return "a Date"
	case *record:
		return "a record"
	case *goja.Promise:
		return "a promise (await is missing)"
	}
	if o, ok := v.(*goja.Object); ok {
		return "a value of class " + o.ClassName()
	}
	return v.String()
}

// typeName says in words what a type takes.
func typeName(t *value.Type) string {
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		return "a whole number"
	case value.TypeFloat:
		return "a finite number"
	case value.TypeBool:
		return "true or false"
	case value.TypeTime:
		return "a Date"
	case value.TypeDate:
		return "a day as text, such as 2026-11-21"
	case value.TypeDuration:
		return "a whole number of milliseconds"
	case value.TypeEnum:
		return "one of " + strings.Join(t.Words, ", ")
	case value.TypeRelation:
		return "an id of " + t.Of
	case value.TypeID:
		return "an id"
	}
	return "text"
}

func fieldNames(s *value.Shape) []string {
	names := make([]string, 0, s.Len())
	for _, f := range s.Fields() {
		names = append(names, f.Name)
	}
	return names
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}

// systemSlot reports whether a slot of a collection's shape is the house's to write.
func systemSlot(i int) bool { return i < spec.SlotFirst }
