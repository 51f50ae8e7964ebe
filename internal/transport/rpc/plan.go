package rpc

import (
	"slices"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/value"
)

// plan is how one message is read and written, made once for an app.
type plan struct {
	name string
	desc protoreflect.MessageDescriptor
	// fields are in the order of their numbers, which is how they are written.
	fields []field
	// shape has a slot for each field, in the same order.
	shape *value.Shape
	// choice reports that all fields are in one oneof.
	choice bool
	// expand is the place of the field of what was expanded, -1 if there is none.
	expand int
	// whole is the plan of the record of which this is a part, for messages in which
	// clients may send some of its fields; nil for others.
	whole *plan
	// layout is where the fields stand in the records that were written last.
	layout atomic.Pointer[layout]
}

// layout holds the slot of each field of a plan in the records of a shape, -1 for none.
type layout struct {
	shape *value.Shape
	slots []int
}

// field is a field of a message.
type field struct {
	*codegen.ProtoField
	// of is the type of the field's values, or of the items of its list.
	of *value.Type
	// sub is the plan of its message, nil for other kinds.
	sub *plan
	// tag is what stands before each of its values.
	tag []byte
	// numbers and words translate the words of an enum.
	numbers map[string]int32
	words   map[int32]string
	// given reports that a client must give it, so that what is not on the wire is the
	// zero of its type.
	given bool
}

// planner makes the plans of an app, each once.
type planner struct {
	file  protoreflect.FileDescriptor
	plans map[*codegen.ProtoMessage]*plan
}

func (p *planner) plan(m *codegen.ProtoMessage) *plan {
	if old := p.plans[m]; old != nil {
		return old
	}
	out := &plan{name: m.Name, choice: m.Choice != "", expand: -1,
		desc: p.file.Messages().ByName(protoreflect.Name(m.Name))}
	p.plans[m] = out // records point to each other
	sorted := slices.Clone(m.Fields)
	slices.SortFunc(sorted, func(a, b *codegen.ProtoField) int { return int(a.Number - b.Number) })
	slots := make([]value.Field, len(sorted))
	out.fields = make([]field, len(sorted))
	for i, f := range sorted {
		out.fields[i] = p.field(f)
		slots[i] = value.Field{Name: f.Name, Type: slotType(f)}
		if f.Type == nil && f.Name == "expand" && f.Kind == codegen.ProtoMessageOf {
			out.expand = i
		}
	}
	out.shape = value.NewShape(m.Name, slots)
	return out
}

func (p *planner) field(f *codegen.ProtoField) field {
	out := field{ProtoField: f, of: f.Type, given: f.Type != nil && !f.Optional}
	if f.Type != nil && f.Type.Kind == value.TypeList {
		out.of = f.Type.Elem
		out.given = !f.Type.Optional
	}
	wire := protowire.BytesType
	switch f.Kind {
	case codegen.ProtoInt32, codegen.ProtoInt64, codegen.ProtoBool, codegen.ProtoEnumOf:
		wire = protowire.VarintType
	case codegen.ProtoDouble:
		wire = protowire.Fixed64Type
	case codegen.ProtoMessageOf:
		out.sub = p.plan(f.Message)
	}
	if f.Repeated {
		wire = protowire.BytesType // packed, or one by one
	}
	out.tag = protowire.AppendTag(nil, protowire.Number(f.Number), wire)
	if f.Enum != nil {
		out.numbers, out.words = map[string]int32{}, map[int32]string{}
		for _, w := range f.Enum.Words[1:] {
			out.numbers[w.Word], out.words[w.Number] = w.Number, w.Word
		}
	}
	return out
}

// slotType is the type of a field that the app file does not have.
func slotType(f *codegen.ProtoField) value.Type {
	if f.Type != nil {
		return *f.Type
	}
	t := value.Type{Kind: value.TypeText}
	switch f.Kind {
	case codegen.ProtoInt32, codegen.ProtoInt64:
		t.Kind = value.TypeInt
	case codegen.ProtoBool:
		t.Kind = value.TypeBool
	case codegen.ProtoMessageOf:
		t.Kind = value.TypeObject
	}
	if f.Repeated || f.Known == codegen.ProtoMask {
		elem := t
		t = value.Type{Kind: value.TypeList, Elem: &elem}
	}
	return t
}

// number returns the place of a numbered field, -1 if there is none.
func (p *plan) number(n protowire.Number) int {
	i, ok := slices.BinarySearchFunc(p.fields, int32(n), func(f field, n int32) int {
		return int(f.Number - n)
	})
	if !ok {
		return -1
	}
	return i
}

// slots returns the slot of each field in records of a shape.
func (p *plan) slots(s *value.Shape) []int {
	if at := p.layout.Load(); at != nil && at.shape == s {
		return at.slots
	}
	at := &layout{shape: s, slots: make([]int, len(p.fields))}
	for i := range p.fields {
		at.slots[i] = -1
		if slot, ok := s.Index(p.fields[i].Name); ok && i != p.expand {
			at.slots[i] = slot
		}
	}
	p.layout.Store(at)
	return at.slots
}
