package transfer

import (
	"context"
	"encoding/csv"
	"io"
	"strings"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// pageMax is how many records are read at a time.
const pageMax = 1000

// Export writes all records of a collection in the order of their ids, in one state
// of the store. Everything is in it, what is hidden from clients too.
func Export(ctx context.Context, s store.Store, shape *value.Shape, format Format,
	w io.Writer) error {
	write, end := jsonWriter(w)
	if format == CSV {
		write, end = csvWriter(w, shape)
	}
	id := func() query.Expr {
		return query.Field{Of: query.Row{}, Collection: shape.Name(), Name: spec.FieldID,
			Type: value.Type{Kind: value.TypeID}}
	}
	plan := &query.Plan{From: shape.Name(), Limit: pageMax, Sort: []query.Order{{By: id()}},
		Where: query.Compare{Op: ">", L: id(),
			R: query.Param{Type: value.Type{Kind: value.TypeID}}}}
	err := s.Read(ctx, func(v store.View) error {
		for last := value.OfText(""); ; {
			rows, err := v.Find(ctx, query.Query{Plan: plan, Args: []value.Value{last}})
			if err != nil {
				return err
			}
			for _, r := range rows {
				if err := write(r); err != nil {
					return err
				}
			}
			if len(rows) < pageMax {
				return nil
			}
			last = rows[len(rows)-1].Slots[spec.SlotID]
		}
	})
	if err != nil {
		return err
	}
	return end()
}

func jsonWriter(w io.Writer) (func(value.Record) error, func() error) {
	var buf []byte
	return func(r value.Record) error {
		buf = append(value.AppendRecord(buf[:0], r), '\n')
		_, err := w.Write(buf)
		return err
	}, func() error { return nil }
}

func csvWriter(w io.Writer, shape *value.Shape) (func(value.Record) error, func() error) {
	c := csv.NewWriter(w)
	head := c.Write(shape.Names())
	cells := make([]string, shape.Len())
	return func(r value.Record) error {
			if head != nil {
				return head
			}
			for i, v := range r.Slots {
				cells[i] = cell(v)
			}
			return c.Write(cells)
		}, func() error {
			c.Flush()
			return c.Error()
		}
}

// cell is a value as a table holds it: as JSON, but texts and times without quotes.
func cell(v value.Value) string {
	switch v.Kind() {
	case value.Absent, value.Null:
		return ""
	case value.Text:
		return v.Text()
	}
	return strings.Trim(string(value.AppendJSON(nil, v)), `"`)
}

// Journal writes all entries up to the present, one a line, oldest first.
func Journal(ctx context.Context, s Followed, w io.Writer) error {
	last, err := s.Entries(ctx, store.Filter{}, journal.Seq{}, 1)
	if err != nil || len(last) == 0 {
		return err
	}
	head := last[0].Seq
	var buf []byte
	for e, err := range s.Follow(ctx, journal.Seq{}) {
		if err != nil {
			return err
		}
		buf = append(AppendEntry(buf[:0], e), '\n')
		if _, err := w.Write(buf); err != nil {
			return err
		}
		if e.Seq.Compare(head) >= 0 {
			return nil
		}
	}
	return ctx.Err()
}

// Followed is a store that knows its past.
type Followed interface {
	store.Store
	store.History
}

// AppendEntry appends an entry as a JSON object.
func AppendEntry(dst []byte, e journal.Entry) []byte {
	text := func(name, s string) {
		dst = value.AppendQuoted(append(append(dst, ',', '"'), name+`":`...), s)
	}
	dst = value.AppendQuoted(append(dst, `{"seq":`...), e.Seq.String())
	text("at", string(value.AppendTime(nil, e.At)))
	text("call", string(e.Origin.Call))
	text("subject", e.Origin.Subject.String())
	text("operation", e.Origin.Operation)
	text("door", e.Origin.Door)
	if e.Origin.Key != "" {
		text("key", e.Origin.Key)
	}
	if e.Refusal != nil {
		text("refusal", e.Refusal.CodeOr())
	}
	dst = append(dst, `,"changes":[`...)
	for i, c := range e.Changes {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = value.AppendQuoted(append(dst, `{"collection":`...), c.Collection)
		dst = value.AppendQuoted(append(dst, `,"id":`...), string(c.ID))
		if !c.Before.Zero() {
			dst = value.AppendRecord(append(dst, `,"before":`...), c.Before)
		}
		if !c.After.Zero() {
			dst = value.AppendRecord(append(dst, `,"after":`...), c.After)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, `],"intents":[`...)
	for i, n := range e.Intents {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = value.AppendQuoted(append(dst, `{"kind":`...), n.Kind)
		dst = append(value.AppendQuoted(append(dst, `,"name":`...), n.Name), '}')
	}
	return append(dst, `]}`...)
}
