package backup

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// appendCell appends what a column holds: null, a number, or a text. Instants, days
// and spans are their milliseconds, truth is 1 or 0, and a JSON value is a text, so
// that no null is taken for another. Lists and objects are themselves.
func appendCell(dst []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.Absent, value.Null:
		return append(dst, "null"...)
	case value.Bool, value.Int, value.Time, value.Date, value.Duration:
		return strconv.AppendInt(dst, v.Int(), 10)
	case value.JSON:
		return value.AppendQuoted(dst, v.Text())
	default:
		return value.AppendJSON(dst, v)
	}
}

// row reads the cells of a line. They are parts of it.
type row struct{ cells []jsontext.Value }

func (r *row) read(line []byte) error {
	r.cells = r.cells[:0]
	d := jsontext.NewDecoder(bytes.NewReader(line))
	if _, err := d.ReadToken(); err != nil {
		return err
	}
	for d.PeekKind() != ']' {
		cell, err := d.ReadValue()
		if err != nil {
			return err
		}
		end := d.InputOffset()
		r.cells = append(r.cells, line[end-int64(len(cell)):end])
	}
	_, err := d.ReadToken()
	return err
}

// record reads the cells as a record.
func (r *row) record(shape *value.Shape) (value.Record, error) {
	out := value.NewRecord(shape)
	if len(r.cells) != shape.Len() {
		return out, fmt.Errorf("the number of a record's cells is %d, and not %d", len(r.cells), shape.Len())
	}
	for i := range shape.Fields() {
		f := &shape.Fields()[i]
		v, err := parseCell(&f.Type, r.cells[i])
		if err != nil {
			return out, fmt.Errorf("field %s: %w", f.Name, err)
		}
		out.Slots[i] = v
	}
	return out, nil
}

// entry reads the cells as an entry's row.
func (r *row) entry(columns []sqlstore.Column) ([]value.Value, error) {
	if len(r.cells) != len(columns) {
		return nil, fmt.Errorf("the number of an entry's cells is %d, and not %d", len(r.cells), len(columns))
	}
	out := make([]value.Value, len(columns))
	for i, c := range columns {
		t := value.Type{Kind: value.TypeText}
		if c.Number {
			t.Kind = value.TypeInt
		}
		v, err := parseCell(&t, r.cells[i])
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		out[i] = v
	}
	return out, nil
}

var errCell = errors.New("a cell is of another type")

// parseCell reads what appendCell wrote of a value of the type.
func parseCell(t *value.Type, cell jsontext.Value) (value.Value, error) {
	kind := t.ValueKind()
	switch {
	case cell.Kind() == 'n':
		return value.OfNull(), nil
	case kind == value.List, kind == value.Object:
		return value.DecodeStoredValue(t, cell)
	case kind == value.Text, kind == value.JSON:
		if cell.Kind() != '"' {
			return value.Value{}, errCell
		}
		text, err := jsontext.AppendUnquote(nil, cell)
		if kind == value.JSON {
			return value.OfJSON(string(text)), err
		}
		return value.OfText(string(text)), err
	case kind == value.Float:
		f, err := strconv.ParseFloat(string(cell), 64)
		return value.OfFloat(f), err
	}
	n, err := strconv.ParseInt(string(cell), 10, 64)
	switch {
	case err != nil:
		return value.Value{}, errCell
	case kind == value.Int:
		return value.OfInt(n), nil
	case kind == value.Bool:
		return value.OfBool(n != 0), nil
	default:
		return value.OfMillis(kind, n), nil
	}
}
