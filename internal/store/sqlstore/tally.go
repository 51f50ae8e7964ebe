package sqlstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Sum tells sets of records apart: it is the sum of their hashes, whatever their
// order, so that records can be added to it and taken from it one by one. The zero
// Sum is that of no records.
type Sum struct {
	words [4]uint64
	buf   []byte
}

// Add adds a record.
func (s *Sum) Add(r value.Record) { s.change(r, bits.Add64) }

// Take takes a record away.
func (s *Sum) Take(r value.Record) { s.change(r, bits.Sub64) }

func (s *Sum) change(r value.Record, op func(x, y, carry uint64) (uint64, uint64)) {
	if r.Zero() {
		return
	}
	s.buf = value.AppendRecord(s.buf[:0], r)
	hash := sha256.Sum256(s.buf)
	var carry uint64
	for i := range s.words {
		s.words[i], carry = op(s.words[i], binary.LittleEndian.Uint64(hash[i*8:]), carry)
	}
}

// Equal reports whether two sums are the same.
func (s *Sum) Equal(other *Sum) bool { return s.words == other.words }

// String writes the sum in hexadecimal digits.
func (s *Sum) String() string {
	var b [32]byte
	for i, w := range s.words {
		binary.LittleEndian.PutUint64(b[i*8:], w)
	}
	return hex.EncodeToString(b[:])
}

// Rows reads the rows of entries, as Snapshot.Entries gives them, outside of a
// store. The schemas that they name must have been added.
type Rows struct {
	shapes map[string]map[string]*value.Shape
}

// Schema adds a schema.
func (d *Rows) Schema(hash, text string) error {
	var s spec.Schema
	if hashOf([]byte(text)) != hash {
		return fmt.Errorf("the schema %s is not what its name says", hash)
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return fmt.Errorf("read the schema %s: %w", hash, err)
	}
	if d.shapes == nil {
		d.shapes = map[string]map[string]*value.Shape{}
	}
	d.shapes[hash] = map[string]*value.Shape{}
	for _, t := range s.Collections {
		d.shapes[hash][t.Name] = t.Shape
	}
	return nil
}

// Entry reads a row: the entry has its place, instant, origin, schema and changes,
// and of the intents those by which the schema was changed.
func (d *Rows) Entry(row []value.Value) (journal.Entry, error) {
	w := readRaw(cells(row))
	e := w.entry
	if len(w.changes) > 0 {
		shapes := d.shapes[e.Spec]
		if shapes == nil {
			return e, fmt.Errorf("entry %v: there is no schema %q", e.Seq, e.Spec)
		}
		var err error
		if e.Changes, err = decodeChanges(shapes, w.changes); err != nil {
			return e, fmt.Errorf("read the changes of entry %v: %w", e.Seq, err)
		}
	}
	if !bytes.Contains(w.intents, []byte(`"kind":"`+store.IntentApply+`"`)) {
		return e, nil
	}
	var stored []storedIntent
	if err := json.Unmarshal(w.intents, &stored); err != nil {
		return e, fmt.Errorf("read the intents of entry %v: %w", e.Seq, err)
	}
	for _, n := range stored {
		if n.Kind == store.IntentApply {
			e.Intents = append(e.Intents, journal.Intent{Kind: n.Kind, Name: n.Name,
				Payload: value.OfJSON(string(n.Payload))})
		}
	}
	return e, nil
}

// Steps returns the steps of an entry by which the schema was changed, and none of any
// other. The schema to which they lead must be the one that the entry names.
func (d *Rows) Steps(e journal.Entry) ([]spec.Step, error) {
	steps, err := store.ParseSteps(e)
	if err != nil || steps == nil {
		return nil, err
	}
	text, err := json.Marshal(steps[len(steps)-1].Schema)
	if err != nil || hashOf(text) != e.Spec || d.shapes[e.Spec] == nil {
		return nil, fmt.Errorf("entry %v: its steps do not lead to the schema %s", e.Seq, e.Spec)
	}
	return steps, nil
}

// cells are values as a Row.
type cells []value.Value

func (c cells) Null(i int) bool     { return c[i].IsNull() }
func (c cells) Int(i int) int64     { return c[i].Int() }
func (c cells) Float(i int) float64 { return c[i].Float() }
func (c cells) Text(i int) []byte {
	if c[i].IsNull() {
		return nil
	}
	return []byte(c[i].Text())
}

// Tally folds a journal into sums, one for each collection, and keeps no records: it
// adds what is after each change and takes what was before it, both in the form that
// the later changes of the schema give them. If each Before is what the entries until
// then have made, what remains is the sum of the records as they are in the end.
type Tally struct {
	moves []map[string]*move
	// done counts the changes of the schema that were met.
	done int
	sums map[string]*Sum
}

// NewTally returns the tally of a journal, in which these are the changes of the
// schema, in their order.
func NewTally(applied [][]spec.Step) (*Tally, error) {
	t := &Tally{sums: map[string]*Sum{}}
	cat, err := newCatalog(plainDialect{}, nil)
	if err != nil {
		return nil, err
	}
	for _, steps := range applied {
		m, err := newMigration(plainDialect{}, cat, steps)
		if err != nil {
			return nil, err
		}
		moves := map[string]*move{}
		for _, mv := range m.moves {
			if mv.from != nil {
				moves[mv.from.Name] = mv
			}
		}
		t.moves = append(t.moves, moves)
		cat = m.next
	}
	return t, nil
}

// Entry adds an entry, as Rows reads it. They come in their order.
func (t *Tally) Entry(e journal.Entry) error {
	steps, err := store.ParseSteps(e)
	if err != nil {
		return err
	}
	if steps != nil {
		if t.done++; t.done > len(t.moves) {
			return fmt.Errorf("entry %v changes the schema, which nobody announced", e.Seq)
		}
	}
	for _, c := range e.Changes {
		t.add(c.Collection, c.After, (*Sum).Add)
		t.add(c.Collection, c.Before, (*Sum).Take)
	}
	return nil
}

// add takes a record to its last form and into the sum of its collection.
func (t *Tally) add(collection string, r value.Record, into func(*Sum, value.Record)) {
	if r.Zero() {
		return
	}
	for _, moves := range t.moves[t.done:] {
		mv := moves[collection]
		if mv == nil {
			return // the collection goes, and its records with it
		}
		collection = mv.to.Name
		if mv.plain() {
			continue
		}
		next, err := mv.record(r)
		if err != nil {
			break // no record of this form was left when the schema changed
		}
		r = next
	}
	s := t.sums[collection]
	if s == nil {
		s = &Sum{}
		t.sums[collection] = s
	}
	into(s, r)
}

// plain reports whether a record is the same before the move and after it.
func (mv *move) plain() bool {
	if mv.from.shape.Len() != mv.to.shape.Len() {
		return false
	}
	for i, f := range mv.to.shape.Fields() {
		s := mv.sources[f.Name]
		if s.field != f.Name || mv.from.shape.Fields()[i].Name != f.Name ||
			!s.fill.IsNull() || !alike(s.from, s.to) {
			return false
		}
	}
	return true
}

// Sum returns the sum of a collection.
func (t *Tally) Sum(collection string) *Sum {
	if s := t.sums[collection]; s != nil {
		return s
	}
	return &Sum{}
}

// Sum returns the sum of a collection's records, and how many there are.
func (p *Snapshot) Sum(ctx context.Context, collection string) (*Sum, int64, error) {
	s, n := &Sum{}, int64(0)
	err := p.Records(ctx, collection, "", func(r value.Record) error {
		s.Add(r)
		n++
		return nil
	})
	return s, n, err
}

// Hash returns the hash of all entries, and how many there are.
func (p *Snapshot) Hash(ctx context.Context) (string, int64, error) {
	h, n := sha256.New(), int64(0)
	var buf []byte
	err := p.Entries(ctx, journal.Seq{}, func(row []value.Value) error {
		buf = buf[:0]
		for _, v := range row {
			buf = append(value.AppendJSON(buf, v), '\n')
		}
		n++
		_, err := h.Write(buf)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)), n, err
}
