package goaction

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/galleybackend/galley/internal/value"
)

// codec carries records of one shape to and from structs of one type. It is made
// once and safe for concurrent use.
type codec struct {
	shape  *value.Shape
	fields []slotField
}

// slotField ties a slot of the shape to a field of the struct.
type slotField struct {
	slot  int
	index int
	// fresh reports that a zero value leaves the slot to its default.
	fresh bool
	load  func(reflect.Value, value.Value)
	save  func(reflect.Value) (value.Value, error)
}

type codecKey struct {
	typ   reflect.Type
	shape *value.Shape
}

// codec returns the codec for a struct and a shape.
func (p *Program) codec(t reflect.Type, s *value.Shape) (*codec, error) {
	key := codecKey{t, s}
	if c, ok := p.codecs.Load(key); ok {
		return c.(*codec), nil
	}
	c, bad := newCodec(t, s)
	if len(bad) > 0 {
		return nil, fmt.Errorf("%s does not fit %s: %s", t, s.Name(), bad[0])
	}
	p.codecs.Store(key, c)
	return c, nil
}

// misfit is a field of a struct that does not fit the app file.
type misfit struct {
	// path leads to the field, as in items.quantity.
	path string
	// declared is its type in the app file, "" if it has none; got the struct's.
	declared, got string
}

// String tells the misfit without its places.
func (m misfit) String() string {
	switch {
	case m.got == "":
		return fmt.Sprintf("%s is %s; the struct does not have it", m.path, m.declared)
	case m.declared == "":
		return fmt.Sprintf("%s is not declared", m.path)
	}
	return fmt.Sprintf("%s is %s, not %s", m.path, m.declared, m.got)
}

// fieldName is the name by which the app file knows a field of a struct.
func fieldName(f reflect.StructField) string {
	if tag, _, _ := strings.Cut(f.Tag.Get("json"), ","); tag != "" {
		return tag
	}
	var b strings.Builder
	for i, r := range f.Name {
		if unicode.IsUpper(r) {
			if i > 0 && !unicode.IsUpper(rune(f.Name[i-1])) {
				b.WriteByte('_')
			}
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func newCodec(t reflect.Type, s *value.Shape) (*codec, []misfit) {
	c := &codec{shape: s}
	if t.Kind() != reflect.Struct {
		return c, []misfit{{path: s.Name(), declared: "an object", got: t.String()}}
	}
	var bad []misfit
	seen := make([]bool, s.Len())
	for i := range t.NumField() {
		f := t.Field(i)
		name := fieldName(f)
		if !f.IsExported() || name == "-" {
			continue
		}
		slot, ok := s.Index(name)
		if !ok {
			bad = append(bad, misfit{path: name, got: f.Type.String()})
			continue
		}
		seen[slot] = true
		declared := &s.Fields()[slot]
		load, save, wrong := accessor(f.Type, &declared.Type, name)
		bad = append(bad, wrong...)
		c.fields = append(c.fields, slotField{slot: slot, index: i, load: load, save: save,
			fresh: declared.Default.Kind() != value.Absent || !hasZero(declared.Type.Kind)})
	}
	for i, ok := range seen {
		if f := s.Fields()[i]; !ok {
			bad = append(bad, misfit{path: f.Name, declared: typeName(&f.Type)})
		}
	}
	return c, bad
}

// hasZero reports whether the zero value of a type's Go form is a value of the type.
func hasZero(k value.TypeKind) bool {
	switch k {
	case value.TypeRelation, value.TypeEnum, value.TypeTime, value.TypeDate, value.TypeEmail,
		value.TypeURL, value.TypeID:
		return false
	}
	return true
}

// load fills a struct from a record.
func (c *codec) load(to reflect.Value, r value.Record) {
	for i := range c.fields {
		f := &c.fields[i]
		if v := r.Slots[f.slot]; !v.IsNull() {
			f.load(to.Field(f.index), v)
		}
	}
}

// save makes a record of a struct.
func (c *codec) save(from reflect.Value) (value.Record, error) {
	r := value.NewRecord(c.shape)
	for i := range c.fields {
		f := &c.fields[i]
		v, err := f.save(from.Field(f.index))
		if err != nil {
			return r, fmt.Errorf("%s: %w", c.shape.Fields()[f.slot].Name, err)
		}
		r.Slots[f.slot] = v
	}
	return r, nil
}

type (
	loader = func(reflect.Value, value.Value)
	saver  = func(reflect.Value) (value.Value, error)
)

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

// accessor returns how a Go type holds values of a declared type.
func accessor(t reflect.Type, d *value.Type, at string) (loader, saver, []misfit) {
	if t.Kind() == reflect.Pointer && d.Optional {
		inner := *d
		inner.Optional = false
		load, save, bad := accessor(t.Elem(), &inner, at)
		return func(to reflect.Value, v value.Value) {
				p := reflect.New(t.Elem())
				load(p.Elem(), v)
				to.Set(p)
			}, func(from reflect.Value) (value.Value, error) {
				if from.IsNil() {
					return value.OfNull(), nil
				}
				return save(from.Elem())
			}, bad
	}
	wrong := []misfit{{path: at, declared: typeName(d), got: t.String()}}
	if d.Optional && d.Kind != value.TypeJSON {
		return nil, nil, wrong
	}
	switch d.Kind {
	case value.TypeInt, value.TypeMoney:
		if t.Kind() == reflect.Int64 && t != durationType || t.Kind() == reflect.Int {
			return loadInt, saveInt, nil
		}
	case value.TypeFloat:
		if t.Kind() == reflect.Float64 {
			return loadFloat, saveFloat, nil
		}
	case value.TypeBool:
		if t.Kind() == reflect.Bool {
			return func(to reflect.Value, v value.Value) { to.SetBool(v.Bool()) },
				func(from reflect.Value) (value.Value, error) { return value.OfBool(from.Bool()), nil }, nil
		}
	case value.TypeTime, value.TypeDate:
		if t == timeType {
			return loadTime, saveTime(d.ValueKind()), nil
		}
	case value.TypeDuration:
		if t == durationType {
			return func(to reflect.Value, v value.Value) { to.SetInt(int64(v.Duration())) },
				func(from reflect.Value) (value.Value, error) {
					return value.OfDuration(time.Duration(from.Int())), nil
				}, nil
		}
	case value.TypeJSON:
		if t == rawType {
			return func(to reflect.Value, v value.Value) { to.SetBytes([]byte(v.Text())) },
				saveJSON(d.Optional), nil
		}
	case value.TypeList:
		if t.Kind() == reflect.Slice {
			return listAccessor(t, d, at)
		}
	case value.TypeObject:
		if t.Kind() == reflect.Struct {
			return objectAccessor(t, d, at)
		}
	default:
		if t.Kind() == reflect.String {
			return func(to reflect.Value, v value.Value) { to.SetString(v.Text()) },
				func(from reflect.Value) (value.Value, error) { return value.OfText(from.String()), nil }, nil
		}
	}
	return nil, nil, wrong
}

func loadInt(to reflect.Value, v value.Value) { to.SetInt(v.Int()) }

func saveInt(from reflect.Value) (value.Value, error) {
	n := from.Int()
	if n > value.IntMax || n < -value.IntMax {
		return value.Value{}, fmt.Errorf("%d lies beyond ±%d", n, int64(value.IntMax))
	}
	return value.OfInt(n), nil
}

func loadFloat(to reflect.Value, v value.Value) { to.SetFloat(v.Float()) }

func saveFloat(from reflect.Value) (value.Value, error) {
	f := from.Float()
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return value.Value{}, fmt.Errorf("%v is no finite number", f)
	}
	return value.OfFloat(f), nil
}

func loadTime(to reflect.Value, v value.Value) { *to.Addr().Interface().(*time.Time) = v.Time() }

func saveTime(kind value.Kind) saver {
	return func(from reflect.Value) (value.Value, error) {
		t := *from.Addr().Interface().(*time.Time)
		if kind == value.Date {
			year, month, day := t.UTC().Date()
			t = time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
		}
		return value.OfMillis(kind, t.UnixMilli()), nil
	}
}

// saveJSON reads JSON; what is optional has no value where it is null or empty.
func saveJSON(optional bool) saver {
	return func(from reflect.Value) (value.Value, error) {
		raw := from.Bytes()
		if len(raw) > value.JSONMax {
			return value.Value{}, fmt.Errorf("it has %d bytes; %d is the most", len(raw), value.JSONMax)
		}
		if len(raw) == 0 {
			raw = []byte("null")
		}
		text, err := compact(raw)
		switch {
		case err != nil:
			return value.Value{}, fmt.Errorf("it is no JSON: %w", err)
		case text == "null" && optional:
			return value.OfNull(), nil
		}
		return value.OfJSON(text), nil
	}
}

func listAccessor(t reflect.Type, d *value.Type, at string) (loader, saver, []misfit) {
	load, save, bad := accessor(t.Elem(), d.Elem, at)
	return func(to reflect.Value, v value.Value) {
			items := v.List()
			s := reflect.MakeSlice(t, len(items), len(items))
			for i, x := range items {
				if !x.IsNull() {
					load(s.Index(i), x)
				}
			}
			to.Set(s)
		}, func(from reflect.Value) (value.Value, error) {
			items := make([]value.Value, from.Len())
			for i := range items {
				x, err := save(from.Index(i))
				if err != nil {
					return value.Value{}, fmt.Errorf("item %d: %w", i, err)
				}
				items[i] = x
			}
			return value.OfList(items), nil
		}, bad
}

func objectAccessor(t reflect.Type, d *value.Type, at string) (loader, saver, []misfit) {
	c, bad := newCodec(t, d.Fields)
	for i := range bad {
		bad[i].path = at + "." + bad[i].path
	}
	return func(to reflect.Value, v value.Value) { c.load(to, v.Record()) },
		func(from reflect.Value) (value.Value, error) {
			r, err := c.save(from)
			return value.OfRecord(r), err
		}, bad
}

// typeName is a declared type as the app file writes it.
func typeName(t *value.Type) string {
	name := map[value.TypeKind]string{
		value.TypeString: "string", value.TypeText: "text", value.TypeInt: "int",
		value.TypeFloat: "float", value.TypeBool: "bool", value.TypeMoney: "money",
		value.TypeTime: "time", value.TypeDate: "date", value.TypeDuration: "duration",
		value.TypeEmail: "email", value.TypeURL: "url", value.TypeRelation: t.Of,
		value.TypeObject: "an object", value.TypeJSON: "json", value.TypeID: "id",
		value.TypeEnum: "[" + strings.Join(t.Words, ", ") + "]",
	}[t.Kind]
	if t.Kind == value.TypeList {
		name = typeName(t.Elem) + "[]"
	}
	if t.Optional {
		name += "?"
	}
	return name
}
