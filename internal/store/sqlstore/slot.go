package sqlstore

import (
	"slices"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// slot returns what a slot holds after given was put over stored. Values come
// conformed to their type; what an operator makes of them is bound here, where alone
// it is known.
func (t *table) slot(i int, stored, given value.Value) (value.Value, error) {
	f := &t.shape.Fields()[i]
	if given.Kind() == value.Operator {
		return operate(f, stored, given)
	}
	if given.IsNull() {
		if !f.Type.Optional {
			return given, invalid([]string{f.Name}, value.CodeRequired, "must not be null")
		}
		return value.OfNull(), nil
	}
	return ofKind(f, given)
}

// ofKind returns the value if it is of the field's kind, or can stand for it.
func ofKind(f *value.Field, v value.Value) (value.Value, error) {
	want := f.Type.ValueKind()
	switch {
	case v.Kind() == want:
		return v, nil
	case want == value.Float && v.Kind() == value.Int:
		return value.OfFloat(v.Float()), nil
	default:
		return v, invalid([]string{f.Name}, value.CodeType, "is of another type")
	}
}

// operate applies an operator to what is stored; null stands for the operand's own
// beginning: nothing added, an empty list, no bound.
func operate(f *value.Field, stored, given value.Value) (value.Value, error) {
	op, operand := given.Op()
	if f.Type.Kind == value.TypeList {
		return operateList(f, op, stored, operand)
	}
	operand, err := ofKind(f, operand)
	if err != nil {
		return operand, err
	}
	if stored.IsNull() {
		return bounded(f, operand)
	}
	less := stored.Int() < operand.Int()
	if f.Type.ValueKind() == value.Float {
		less = stored.Float() < operand.Float()
	}
	switch {
	case op == value.OpMax && less, op == value.OpMin && !less:
		return bounded(f, operand)
	case op == value.OpMax, op == value.OpMin:
		return stored, nil
	case op != value.OpAdd:
		return given, wrongOperator(f, op)
	case f.Type.ValueKind() == value.Float:
		return bounded(f, value.OfFloat(stored.Float()+operand.Float()))
	case f.Type.ValueKind() == value.Int:
		// Both are within 53 bits, so that the sum is within 64.
		return bounded(f, value.OfInt(stored.Int()+operand.Int()))
	case f.Type.ValueKind() == value.Duration:
		return bounded(f, value.OfMillis(value.Duration, stored.Int()+operand.Int()))
	default:
		return given, wrongOperator(f, op)
	}
}

func wrongOperator(f *value.Field, op value.Op) error {
	return invalid([]string{f.Name}, value.CodeType, "does not know "+op.String())
}

// bounded asks the type's bounds of what an operator made.
func bounded(f *value.Field, v value.Value) (value.Value, error) {
	v, issues := value.Conform(&f.Type, v, "#/"+f.Name)
	if len(issues) == 0 {
		return v, nil
	}
	out := fault.New(fault.Invalid, "The input is not valid.")
	for _, i := range issues {
		item := fault.Item{Pointer: i.Pointer, Code: i.Code, Detail: i.Detail}
		for _, p := range i.Params {
			item.Params = append(item.Params, fault.Param{Name: p.Name, Value: plain(p.Value)})
		}
		out.Items = append(out.Items, item)
	}
	return v, out
}

// plain is a value as a figure of a fault.
func plain(v value.Value) any {
	switch v.Kind() {
	case value.Int:
		return v.Int()
	case value.Float:
		return v.Float()
	case value.Bool:
		return v.Bool()
	case value.Text:
		return v.Text()
	default:
		return string(value.AppendJSON(nil, v))
	}
}

// operateList appends an item to a list, or removes all that are equal to it.
func operateList(
	f *value.Field, op value.Op, stored, operand value.Value,
) (value.Value, error) {
	switch op {
	case value.OpAppend:
		return bounded(f, value.OfList(append(slices.Clone(stored.List()), operand)))
	case value.OpRemove:
		if stored.IsNull() {
			return value.OfNull(), nil
		}
		rest := slices.DeleteFunc(slices.Clone(stored.List()), operand.Equal)
		return bounded(f, value.OfList(rest))
	default:
		return operand, wrongOperator(f, op)
	}
}
