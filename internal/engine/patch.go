package engine

import (
	"math"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/value"
)

type appCollection = app.Collection

// patched returns the record as it would become, operators applied. It does in memory
// what the database does, so that rules can be asked before anything is written.
func patched(op *operation, old value.Record) (value.Record, error) {
	next := old.Clone()
	var issues []value.Issue
	for i, v := range op.input.Slots {
		slot := op.slots[i]
		switch v.Kind() {
		case value.Absent:
		case value.Operator:
			t := &op.coll.Shape.Fields()[slot].Type
			v, found := value.Conform(t, apply(v, old.Slots[slot]), op.coll.Shape.Pointer(slot))
			issues = append(issues, found...)
			next.Slots[slot] = v
		default:
			next.Slots[slot] = v
		}
	}
	return next, errInput(issues)
}

// apply returns what an operator makes of a stored value. Where nothing is stored,
// numbers start from the operand and lists from none.
func apply(v, stored value.Value) value.Value {
	op, x := v.Op()
	if stored.IsNull() {
		switch op {
		case value.OpAppend:
			return value.OfList([]value.Value{x})
		case value.OpRemove:
			return stored
		default:
			return x
		}
	}
	switch op {
	case value.OpAdd:
		return sum(stored, x)
	case value.OpMax:
		if x.Float() > stored.Float() {
			return x
		}
	case value.OpMin:
		if x.Float() < stored.Float() {
			return x
		}
	case value.OpAppend:
		items := stored.List()
		return value.OfList(append(items[:len(items):len(items)], x))
	case value.OpRemove:
		var kept []value.Value
		for _, item := range stored.List() {
			if !item.Equal(x) {
				kept = append(kept, item)
			}
		}
		return value.OfList(kept)
	}
	return stored
}

// sum adds two numbers of one kind. Both ints lie within ±2⁵³, so that their sum is
// exact; Conform then asks whether it does, too.
func sum(a, b value.Value) value.Value {
	if a.Kind() == value.Int && b.Kind() == value.Int {
		return value.OfInt(a.Int() + b.Int())
	}
	f := a.Float() + b.Float()
	if math.IsInf(f, 0) {
		f = math.NaN() // Conform refuses both; only one of them is a bound
	}
	return value.OfFloat(f)
}
