package sqlstore

import (
	"fmt"

	"github.com/galleybackend/galley/internal/value"
)

// reader makes records of rows whose columns are the slots of its shape.
type reader struct {
	shape *value.Shape
	cells []cell
}

type cell struct {
	kind     value.Kind
	optional bool
	typ      *value.Type
}

func newReader(shape *value.Shape) *reader {
	r := &reader{shape: shape, cells: make([]cell, shape.Len())}
	for i := range shape.Fields() {
		t := &shape.Fields()[i].Type
		r.cells[i] = cell{kind: t.ValueKind(), optional: t.Optional, typ: t}
	}
	return r
}

// textsMax is how many offsets stand on the stack, textRoom how much room a buffer of
// texts has at first.
const (
	textsMax = 64
	textRoom = 256
)

// rows collects records. Slots are made for several records at a time, and all the
// text of a record is one string, so that a row costs little more than one
// allocation.
type rows struct {
	reader  *reader
	records []value.Record
	slots   []value.Value
	chunk   int
	buffer  []byte
}

func (rs *rows) add(row Row) error {
	r, n := rs.reader, len(rs.reader.cells)
	if len(rs.slots) < n {
		rs.chunk = min(max(1, rs.chunk*2), 32)
		rs.slots = make([]value.Value, rs.chunk*n)
	}
	slots := rs.slots[:n:n]
	rs.slots = rs.slots[n:]
	if err := r.fill(row, slots, &rs.buffer); err != nil {
		return err
	}
	rs.records = append(rs.records, value.Record{Shape: r.shape, Slots: slots})
	return nil
}

// fill reads the row into slots.
func (r *reader) fill(row Row, slots []value.Value, buffer *[]byte) error {
	var ends [textsMax]int
	offsets := ends[:]
	if len(r.cells) > textsMax {
		offsets = make([]int, len(r.cells))
	}
	if *buffer == nil {
		*buffer = make([]byte, 0, textRoom)
	}
	buf := (*buffer)[:0]
	for i := range r.cells {
		c := &r.cells[i]
		switch c.kind {
		case value.Text, value.JSON, value.List, value.Object:
			text := row.Text(i)
			if text == nil {
				offsets[i] = -1
				continue
			}
			buf = append(buf, text...)
			offsets[i] = len(buf)
		case value.Float:
			if c.optional && row.Null(i) {
				slots[i] = value.OfNull()
				continue
			}
			slots[i] = value.OfFloat(row.Float(i))
		default:
			if c.optional && row.Null(i) {
				slots[i] = value.OfNull()
				continue
			}
			slots[i] = ofNumber(c.kind, row.Int(i))
		}
	}
	*buffer = buf
	return r.fillTexts(string(buf), slots, offsets)
}

// fillTexts cuts the one string of a row into its texts.
func (r *reader) fillTexts(all string, slots []value.Value, offsets []int) error {
	at := 0
	for i := range r.cells {
		c := &r.cells[i]
		switch c.kind {
		case value.Text, value.JSON, value.List, value.Object:
		default:
			continue
		}
		end := offsets[i]
		if end < 0 {
			slots[i] = value.OfNull()
			continue
		}
		text := all[at:end]
		at = end
		switch c.kind {
		case value.Text:
			slots[i] = value.OfText(text)
		case value.JSON:
			slots[i] = value.OfJSON(text)
		default:
			v, err := value.DecodeStoredValue(c.typ, []byte(text))
			if err != nil {
				return fmt.Errorf("field %s: %w", r.shape.Fields()[i].Name, err)
			}
			slots[i] = v
		}
	}
	return nil
}

func ofNumber(kind value.Kind, n int64) value.Value {
	switch kind {
	case value.Bool:
		return value.OfBool(n != 0)
	case value.Int:
		return value.OfInt(n)
	default:
		return value.OfMillis(kind, n)
	}
}
