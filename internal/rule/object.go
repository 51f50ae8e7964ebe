package rule

import (
	"errors"
	"math"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// typePrefix stands before the names of our types in CEL, so that a collection's
// type and the collection itself are two names.
const typePrefix = "galley."

// object is a record type as CEL knows it: a collection, an input, or an object in
// an input.
type object struct {
	name  string
	shape *value.Shape
	// coll is the collection's declaration; nil for objects that are none.
	coll *spec.Collection
	cel  *types.Type
	// fields holds what CEL asks of each field.
	fields map[string]*types.FieldType
	// of holds, by slot, the object of a relation, an object, or a list of them.
	of []*object
}

// table reports whether the object is a collection, so that its records have ids.
func (o *object) table() bool { return o.coll != nil }

func (o *object) fieldType(name string) *value.Type {
	if i, ok := o.shape.Index(name); ok {
		return &o.shape.Fields()[i].Type
	}
	return nil
}

// masked reports whether explanations must not show the field.
func (o *object) masked(name string) bool {
	if o.coll == nil {
		return false
	}
	f := o.coll.Field(name)
	return f != nil && (f.Hidden || !f.Read.Empty()) || name == spec.FieldEmail &&
		o.name == spec.Users
}

// objects finds the object of each name; it grows while a world is built and is not
// changed afterwards.
type objects map[string]*object

// add returns the object of a shape, with those of the objects in it.
func (os objects) add(name string, shape *value.Shape, coll *spec.Collection) *object {
	o := &object{name: name, shape: shape, coll: coll, cel: types.NewObjectType(typePrefix + name)}
	os[typePrefix+name] = o
	return o
}

// link fills in what the fields of o refer to, once all collections are there.
func (os objects) link(o *object) {
	fs := o.shape.Fields()
	o.of = make([]*object, len(fs))
	o.fields = make(map[string]*types.FieldType, len(fs))
	for i := range fs {
		t := &fs[i].Type
		of := os.inner(o.name+"."+fs[i].Name, t)
		o.of[i] = of
		ct := celType(t, of)
		if ct == nil {
			continue
		}
		o.fields[fs[i].Name] = &types.FieldType{Type: ct, IsSet: isSet(o, i), GetFrom: get(o, i)}
	}
}

// inner returns the object that a type is about, nil for plain types.
func (os objects) inner(name string, t *value.Type) *object {
	switch t.Kind {
	case value.TypeRelation:
		return os[typePrefix+t.Of]
	case value.TypeList:
		return os.inner(name, t.Elem)
	case value.TypeObject:
		o := os.add(name, t.Fields, nil)
		os.link(o)
		return o
	default:
		return nil
	}
}

// celType returns the type in CEL, nil for what rules cannot look into.
func celType(t *value.Type, of *object) *types.Type {
	var plain *types.Type
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		plain = types.IntType
	case value.TypeFloat:
		plain = types.DoubleType
	case value.TypeBool:
		plain = types.BoolType
	case value.TypeTime, value.TypeDate:
		return types.TimestampType
	case value.TypeDuration:
		return types.DurationType
	case value.TypeRelation, value.TypeObject:
		if of == nil {
			return nil
		}
		return of.cel
	case value.TypeList:
		elem := *t.Elem
		elem.Optional = false
		e := celType(&elem, of)
		if e == nil {
			return nil
		}
		return types.NewListType(e)
	case value.TypeJSON:
		return nil
	default:
		plain = types.StringType
	}
	if t.Optional {
		return types.NewNullableType(plain)
	}
	return plain
}

var (
	errNoRecord = errors.New("nothing is there to look into")
	errAbsent   = errors.New("the field was not sent")
)

func isSet(o *object, slot int) ref.FieldTester {
	return func(target any) bool {
		r, ok := target.(*recordVal)
		if !ok || r.o != o {
			return false
		}
		if err := r.load(); err != nil {
			return false
		}
		v := r.rec.Slots[slot]
		if o.table() {
			return !v.IsNull()
		}
		return v.Kind() != value.Absent
	}
}

func get(o *object, slot int) ref.FieldGetter {
	t, of := &o.shape.Fields()[slot].Type, o.of
	if o.table() && slot == spec.SlotID {
		return func(target any) (any, error) {
			r, ok := target.(*recordVal)
			if !ok || r.o != o {
				return nil, errNoRecord
			}
			if r.rec.Zero() && r.d.visible != nil {
				if err := r.load(); err != nil {
					return nil, err
				}
			}
			return types.String(r.id), nil
		}
	}
	return func(target any) (any, error) {
		r, ok := target.(*recordVal)
		if !ok || r.o != o {
			return nil, errNoRecord
		}
		if r.rec.Zero() {
			if err := r.load(); err != nil {
				return nil, err
			}
		}
		v := r.rec.Slots[slot]
		if v.Kind() == value.Absent && !o.table() {
			return nil, errAbsent
		}
		return r.d.toCEL(t, of[slot], v), nil
	}
}

// toCEL returns a stored value as CEL has it.
func (d *decision) toCEL(t *value.Type, of *object, v value.Value) ref.Val {
	switch v.Kind() {
	case value.Absent, value.Null:
		return types.NullValue
	case value.Bool:
		return types.Bool(v.Bool())
	case value.Int:
		if t.Kind == value.TypeFloat {
			return types.Double(v.Int())
		}
		return types.Int(v.Int())
	case value.Float:
		return types.Double(v.Float())
	case value.Time, value.Date:
		return types.Timestamp{Time: v.Time()}
	case value.Duration:
		if ms := v.Int(); ms > durationMax || ms < -durationMax {
			return types.NewErr("duration out of range")
		}
		return types.Duration{Duration: v.Duration()}
	case value.List:
		items := v.List()
		vals := make([]ref.Val, len(items))
		for i, item := range items {
			vals[i] = d.toCEL(t.Elem, of, item)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, vals)
	case value.Object:
		return &recordVal{d: d, o: of, rec: v.Record()}
	default:
		if t.Kind == value.TypeRelation && of != nil {
			return &recordVal{d: d, o: of, id: v.Text()}
		}
		return types.String(v.Text())
	}
}

// fromCEL returns what an expression yielded as a value; ok is false for an error.
func fromCEL(v ref.Val) (value.Value, bool) {
	switch v := v.(type) {
	case types.Null:
		return value.OfNull(), true
	case types.Bool:
		return value.OfBool(bool(v)), true
	case types.Int:
		return value.OfInt(int64(v)), true
	case types.Double:
		if math.IsNaN(float64(v)) {
			return value.OfNull(), false
		}
		return value.OfFloat(float64(v)), true
	case types.String:
		return value.OfText(string(v)), true
	case types.Timestamp:
		return value.OfTime(v.Time), true
	case types.Duration:
		return value.OfDuration(v.Duration), true
	case *recordVal:
		if v.o.table() {
			return value.OfText(v.id), true
		}
		return value.OfRecord(v.rec), true
	default:
		return fromList(v)
	}
}

// durationMax is the longest span that CEL computes with, in milliseconds.
const durationMax = math.MaxInt64 / int64(time.Millisecond)
