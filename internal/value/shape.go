package value

import "encoding/json"

// Field is a named slot of a Shape.
type Field struct {
	Name string `json:"name"`
	Type Type   `json:"type"`
	// Default fills the slot of an input that left it out; Absent means none.
	Default Value `json:"-"`
}

// Shape is an ordered list of typed fields: what the slots of a Record mean. It is
// immutable and safe for concurrent use.
type Shape struct {
	name   string
	fields []Field
	index  map[string]int
	// keys and pointers are the names as they stand in JSON and in a JSON Pointer.
	keys     []string
	pointers []string
}

// NewShape returns a shape of the fields in their order. Names must be distinct.
func NewShape(name string, fields []Field) *Shape {
	s := &Shape{name: name, fields: fields, index: make(map[string]int, len(fields))}
	s.keys, s.pointers = make([]string, len(fields)), make([]string, len(fields))
	for i, f := range fields {
		s.index[f.Name] = i
		s.keys[i] = `"` + f.Name + `":`
		s.pointers[i] = "#/" + PointerToken(f.Name)
	}
	return s
}

// Name returns the name of what has this shape: a collection, an action's input.
func (s *Shape) Name() string { return s.name }

// Fields returns the fields, which the caller must not change.
func (s *Shape) Fields() []Field { return s.fields }

// Index returns the slot of the named field.
func (s *Shape) Index(name string) (int, bool) {
	i, ok := s.index[name]
	return i, ok
}

// Pointer returns the JSON Pointer of the slot's field, in fragment form: "#/price".
func (s *Shape) Pointer(slot int) string { return s.pointers[slot] }

// Len returns the number of slots.
func (s *Shape) Len() int { return len(s.fields) }

// MarshalJSON writes name and fields.
func (s *Shape) MarshalJSON() ([]byte, error) {
	return json.Marshal(shapeJSON{s.name, s.fields})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Shape) UnmarshalJSON(text []byte) error {
	var j shapeJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*s = *NewShape(j.Name, j.Fields)
	return nil
}

type shapeJSON struct {
	Name   string  `json:"name"`
	Fields []Field `json:"fields"`
}

// Record is a row of values in the order of a shape. Slots has the shape's length.
// The zero Record is no record.
type Record struct {
	Shape *Shape
	Slots []Value
}

// NewRecord returns a record of the shape with all slots absent.
func NewRecord(s *Shape) Record { return Record{Shape: s, Slots: make([]Value, s.Len())} }

// Zero reports whether this is no record.
func (r Record) Zero() bool { return r.Shape == nil }

// Get returns the named slot; Absent if the shape has no such field.
func (r Record) Get(name string) Value {
	if i, ok := r.Shape.index[name]; ok {
		return r.Slots[i]
	}
	return Value{}
}

// Set fills the named slot and reports whether the shape has it.
func (r Record) Set(name string, v Value) bool {
	i, ok := r.Shape.index[name]
	if ok {
		r.Slots[i] = v
	}
	return ok
}

// Clone returns a copy whose slots may be changed.
func (r Record) Clone() Record {
	return Record{Shape: r.Shape, Slots: append([]Value(nil), r.Slots...)}
}
