package engine

import (
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// names yields the records that the operation names: its own, and those that relations
// of its input point at.
func (op *operation) names(yield func(string, ident.Record) bool) {
	op.eachName(yield)
}

func (op *operation) eachName(yield func(string, ident.Record) bool) bool {
	for _, part := range op.batch {
		if !part.eachName(yield) {
			return false
		}
	}
	if op.coll != nil && op.id != "" && !yield(op.coll.Name, op.id) {
		return false
	}
	return namesIn(op.input, yield)
}

func namesIn(r value.Record, yield func(string, ident.Record) bool) bool {
	if r.Zero() {
		return true
	}
	fields := r.Shape.Fields()
	for i := range r.Slots {
		if !namesOf(&fields[i].Type, r.Slots[i], yield) {
			return false
		}
	}
	return true
}

func namesOf(t *value.Type, v value.Value, yield func(string, ident.Record) bool) bool {
	switch {
	case t.Kind == value.TypeRelation && v.Kind() == value.Text:
		return yield(t.Of, ident.Record(v.Text()))
	case v.Kind() == value.List:
		for _, item := range v.List() {
			if !namesOf(t.Elem, item, yield) {
				return false
			}
		}
	case v.Kind() == value.Object:
		return namesIn(v.Record(), yield)
	}
	return true
}
