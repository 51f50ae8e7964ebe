package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// lineMax bounds a line of a file, in bytes: an entry with all its changes.
const lineMax = 1 << 30

// taker is given what a backup holds, in its order. Each of its functions may be nil.
type taker struct {
	head   func(Head) error
	schema func(hash, text string) error
	// applied and entry get rows of the journal, which they may keep.
	applied func(row []value.Value) error
	entry   func(row []value.Value) error
	// records comes between the journal and the first record.
	records func(*spec.Schema) error
	record  func(*spec.Table, value.Record) error
	// done is told how many rows were read, now and then.
	done func(rows int64)
}

// reader reads the lines of a backup.
type reader struct {
	ctx     context.Context
	from    *bufio.Reader
	hash    hash.Hash
	line    []byte
	number  int64
	head    Head
	schemas map[string]string
	schema  *spec.Schema
	columns []sqlstore.Column
	row     row
	counted End
}

// read reads a backup to its end, and asks that it is whole: that everything is
// there, in its order and in its number, and that no byte is another.
func read(ctx context.Context, from io.Reader, t taker) (Head, End, error) {
	r := &reader{ctx: ctx, from: bufio.NewReaderSize(from, 1<<16), hash: sha256.New(),
		schemas: map[string]string{}, columns: sqlstore.JournalColumns(),
		counted: End{Records: map[string]int64{}}}
	end, err := r.all(t)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("line %d of the backup: %w", r.number, err)
	}
	return r.head, end, err
}

func (r *reader) all(t taker) (End, error) {
	if err := r.first(t); err != nil {
		return End{}, err
	}
	if err := r.begin(sectionSchemas); err != nil {
		return End{}, err
	}
	for _, s := range []struct {
		next string
		row  func(taker) error
	}{{sectionApplied, r.takeSchema}, {sectionJournal, r.takeApplied}, {"", r.takeEntry}} {
		if err := r.rows(t, s.row); err != nil {
			return End{}, err
		}
		if s.next == "" {
			break
		}
		if err := r.isSection(s.next); err != nil {
			return End{}, err
		}
	}
	if err := r.force(); err != nil {
		return End{}, err
	}
	if t.records != nil {
		if err := t.records(r.schema); err != nil {
			return End{}, err
		}
	}
	for _, table := range r.schema.Collections {
		if err := r.isSection(table.Name); err != nil {
			return End{}, err
		}
		if err := r.rows(t, func(t taker) error { return r.takeRecord(t, table) }); err != nil {
			return End{}, err
		}
	}
	return r.last()
}

// next reads a line.
func (r *reader) next() error {
	r.number++
	r.line = r.line[:0]
	for {
		part, err := r.from.ReadSlice('\n')
		r.line = append(r.line, part...)
		switch {
		case len(r.line) > lineMax:
			return fmt.Errorf("it is longer than %d bytes", lineMax)
		case err == nil:
			if r.number%1024 == 0 {
				return r.ctx.Err()
			}
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("the file ends too early: it is not whole")
		case !errors.Is(err, bufio.ErrBufferFull):
			return fmt.Errorf("the file is damaged: %w", err)
		}
	}
}

// keep counts the line into the hash.
func (r *reader) keep() { _, _ = r.hash.Write(r.line) } // a hash takes everything

func (r *reader) first(t taker) error {
	if err := r.next(); err != nil {
		return err
	}
	if err := json.Unmarshal(r.line, &r.head); err != nil || r.head.Galley != "backup" {
		return errors.New("this is no backup of galley")
	}
	if r.head.Form != form {
		return fmt.Errorf("it is of form %d, and this galley reads form %d only: use the galley "+
			"that made it", r.head.Form, form)
	}
	r.keep()
	if t.head != nil {
		return t.head(r.head)
	}
	return nil
}

// begin reads the line that begins a section.
func (r *reader) begin(name string) error {
	if err := r.next(); err != nil {
		return err
	}
	return r.isSection(name)
}

// isSection asks that the line begins a section.
func (r *reader) isSection(name string) error {
	var s section
	if err := json.Unmarshal(r.line, &s); err != nil || s.Section != name {
		return fmt.Errorf("there is no section %s", name)
	}
	r.keep()
	return nil
}

// rows takes the rows up to the next line that is none.
func (r *reader) rows(t taker, take func(taker) error) error {
	for {
		if err := r.next(); err != nil {
			return err
		}
		if r.line[0] != '[' {
			return nil
		}
		r.keep()
		if err := r.row.read(r.line); err != nil {
			return err
		}
		if err := take(t); err != nil {
			return err
		}
		if t.done != nil && r.number%256 == 0 {
			t.done(r.counted.Entries + r.counted.All())
		}
	}
}

func (r *reader) takeSchema(t taker) error {
	text := sqlstore.Column{}
	cells, err := r.row.entry([]sqlstore.Column{text, text})
	if err != nil {
		return err
	}
	r.schemas[cells[0].Text()] = cells[1].Text()
	if t.schema != nil {
		return t.schema(cells[0].Text(), cells[1].Text())
	}
	return nil
}

func (r *reader) takeApplied(t taker) error {
	cells, err := r.row.entry(r.columns)
	if err == nil && t.applied != nil {
		err = t.applied(cells)
	}
	return err
}

func (r *reader) takeEntry(t taker) error {
	cells, err := r.row.entry(r.columns)
	if err != nil {
		return err
	}
	r.counted.Entries++
	if t.entry != nil {
		return t.entry(cells)
	}
	return nil
}

func (r *reader) takeRecord(t taker, table *spec.Table) error {
	rec, err := r.row.record(table.Shape)
	if err != nil {
		return err
	}
	r.counted.Records[table.Name]++
	if t.record != nil {
		return t.record(table, rec)
	}
	return nil
}

// force finds the schema in force.
func (r *reader) force() error {
	r.schema = &spec.Schema{}
	if r.head.Spec == "" {
		return nil
	}
	text, ok := r.schemas[r.head.Spec]
	if !ok {
		return fmt.Errorf("there is no schema %s", r.head.Spec)
	}
	return json.Unmarshal([]byte(text), r.schema)
}

// last reads the end, which must count what was read.
func (r *reader) last() (End, error) {
	var l last
	if err := json.Unmarshal(r.line, &l); err != nil || l.End == nil {
		return End{}, errors.New("there is no end")
	}
	// The line that holds the hash is not in it, and must be what was written.
	if text, err := json.Marshal(l); err != nil || string(text)+"\n" != string(r.line) {
		return End{}, errors.New("the file is damaged: its end is another")
	}
	if hex.EncodeToString(r.hash.Sum(nil)) != l.End.SHA256 {
		return End{}, errors.New("the file is damaged: its hash is another")
	}
	if l.End.Entries != r.counted.Entries {
		return End{}, fmt.Errorf("the number of entries is %d, and not %d", r.counted.Entries,
			l.End.Entries)
	}
	for _, t := range r.schema.Collections {
		if l.End.Records[t.Name] != r.counted.Records[t.Name] {
			return End{}, fmt.Errorf("the number of records in %s is %d, and not %d",
				t.Name, r.counted.Records[t.Name], l.End.Records[t.Name])
		}
	}
	if _, err := r.from.ReadByte(); !errors.Is(err, io.EOF) {
		return End{}, errors.Join(errors.New("something follows the end"), err)
	}
	return *l.End, nil
}

// quiet returns the names of the collections of which the journal says nothing.
func quiet(s *spec.Schema) []string {
	var out []string
	for _, t := range s.Collections {
		if t.Quiet {
			out = append(out, t.Name)
		}
	}
	slices.Sort(out)
	return out
}
