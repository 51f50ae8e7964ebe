package value

import "github.com/go-json-experiment/json/jsontext"

// DecodeStored reads a record that AppendRecord wrote, perhaps by an older shape:
// members that the shape does not know are passed over, those that are missing stay
// Absent, and what is not of the field's type any more comes as a JSON value. Bounds
// are not asked. The error is a *SyntaxError.
func DecodeStored(shape *Shape, text []byte) (Record, error) {
	d := readerOf(text, "")
	defer d.release()
	raw, err := d.read()
	if err != nil {
		return Record{}, err
	}
	r, ok := storedRecord(shape, raw)
	if !ok {
		return Record{}, &SyntaxError{0, "it is no object"}
	}
	return r, d.end()
}

// DecodeStoredValue reads a value that AppendJSON wrote, as DecodeStored reads the
// members of a record.
func DecodeStoredValue(t *Type, text []byte) (Value, error) {
	d := readerOf(text, "")
	defer d.release()
	raw, err := d.read()
	if err != nil {
		return Value{}, err
	}
	return storedValue(t, raw), d.end()
}

func storedRecord(shape *Shape, raw jsontext.Value) (Record, bool) {
	if raw.Kind() != '{' {
		return Record{}, false
	}
	r := NewRecord(shape)
	d := readerOf(raw, "")
	defer d.release()
	if _, err := d.json.ReadToken(); err != nil {
		return r, false
	}
	for d.json.PeekKind() == '"' {
		name, err := d.read()
		if err != nil {
			return r, false
		}
		i, _, ok := shape.find(name)
		member, err := d.read()
		if err != nil {
			return r, false
		}
		if ok {
			r.Slots[i] = storedValue(&shape.fields[i].Type, member)
		}
	}
	return r, true
}

func storedValue(t *Type, raw jsontext.Value) Value {
	switch kind := raw.Kind(); {
	case kind == 'n' && t.Kind != TypeJSON:
		return OfNull()
	case kind == '[' && t.Kind == TypeList:
		return storedList(t, raw)
	case kind == '{' && t.Kind == TypeObject:
		if r, ok := storedRecord(t.Fields, raw); ok {
			return OfRecord(r)
		}
	case t.Kind == TypeJSON:
		return OfJSON(string(raw))
	default:
		if v, ok := scalar(t, raw); ok {
			return v
		}
	}
	return OfJSON(string(raw))
}

func storedList(t *Type, raw jsontext.Value) Value {
	items := []Value{}
	d := readerOf(raw, "")
	defer d.release()
	if _, err := d.json.ReadToken(); err != nil {
		return OfJSON(string(raw))
	}
	for d.json.PeekKind() != ']' {
		item, err := d.read()
		if err != nil {
			return OfJSON(string(raw))
		}
		items = append(items, storedValue(t.Elem, item))
	}
	return OfList(items)
}
