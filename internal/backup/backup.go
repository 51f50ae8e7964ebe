// Package backup makes a copy of everything that a store keeps at one place of its
// journal, and makes a store of it again, as it was then or at any moment before. One
// form of file serves every database, so that what was taken from one can be restored
// into another. It promises that a file is read back whole before it is called a
// backup, and that a restore happens wholly or not at all. Where files are kept, and
// how long, it leaves to the operator.
//
// A file is JSON, a value a line, compressed with gzip:
//
//	{"galley":"backup","form":1,…}   the head: app, place, epoch, instant
//	{"section":".schemas"}           ["hash","schema"]
//	{"section":".applied"}           the entries by which the schema was changed
//	{"section":".journal"}           all entries, a list of cells each
//	{"section":"users"}              the records of a collection, a list of cells each
//	{"end":…}                        counts, and a hash of all lines before
package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// form is the number of the form of file that is written and read.
const form = 1

// Head is what a backup says first.
type Head struct {
	Galley string `json:"galley"`
	Form   int    `json:"form"`
	// App is the name of the app, Made when the copy was begun.
	App  string    `json:"app"`
	Made time.Time `json:"made"`
	// Seq is the place of the last entry, as journal.Seq.String writes it, and Epoch
	// the history that it is a place of.
	Seq   string `json:"seq"`
	Epoch string `json:"epoch"`
	// Spec names the schema in force; "" is the empty one.
	Spec string `json:"spec"`
}

// End is what a backup says last.
type End struct {
	Entries int64 `json:"entries"`
	// Records are counted for each collection.
	Records map[string]int64 `json:"records"`
	SHA256  string           `json:"sha256"`
}

// last is the last line.
type last struct {
	End *End `json:"end"`
}

// section begins the rows of one kind.
type section struct {
	Section string `json:"section"`
	// Columns are the names of the cells of a row.
	Columns []string `json:"columns,omitempty"`
}

// The sections besides those of collections, whose names cannot begin so.
const (
	sectionSchemas = ".schemas"
	sectionApplied = ".applied"
	sectionJournal = ".journal"
)

// writer writes the lines of a backup.
type writer struct {
	to   io.Writer
	hash hash.Hash
	buf  []byte
	end  End
}

// Write writes a copy of the snapshot. It holds one row at a time.
func Write(
	ctx context.Context, p *sqlstore.Snapshot, app string, made time.Time, to io.Writer,
) error {
	w := &writer{to: to, hash: sha256.New(), end: End{Records: map[string]int64{}}}
	err := w.object(Head{Galley: "backup", Form: form, App: app,
		Made: made.UTC().Truncate(time.Millisecond), Seq: p.Seq.String(),
		Epoch: p.Marks[sqlstore.MarkEpoch], Spec: p.Spec})
	if err != nil {
		return err
	}
	if err := w.journal(ctx, p); err != nil {
		return err
	}
	for _, t := range p.Schema().Collections {
		if err := w.object(section{t.Name, t.Shape.Names()}); err != nil {
			return err
		}
		n := int64(0)
		err := p.Records(ctx, t.Name, "", func(r value.Record) error {
			n++
			return w.row(r.Slots)
		})
		if err != nil {
			return fmt.Errorf("copy %s: %w", t.Name, err)
		}
		w.end.Records[t.Name] = n
	}
	w.end.SHA256 = hex.EncodeToString(w.hash.Sum(nil))
	return w.object(last{&w.end})
}

// journal writes the schemas and the entries.
func (w *writer) journal(ctx context.Context, p *sqlstore.Snapshot) error {
	if err := w.object(section{Section: sectionSchemas}); err != nil {
		return err
	}
	err := p.Schemas(ctx, func(hash, text string) error {
		return w.row([]value.Value{value.OfText(hash), value.OfText(text)})
	})
	if err != nil {
		return fmt.Errorf("copy the schemas: %w", err)
	}
	var columns []string
	for _, c := range sqlstore.JournalColumns() {
		columns = append(columns, c.Name)
	}
	if err := w.object(section{sectionApplied, columns}); err != nil {
		return err
	}
	if err := p.Applied(ctx, w.row); err != nil {
		return fmt.Errorf("copy the changes of the schema: %w", err)
	}
	if err := w.object(section{sectionJournal, columns}); err != nil {
		return err
	}
	err = p.Entries(ctx, journal.Seq{}, func(row []value.Value) error {
		w.end.Entries++
		return w.row(row)
	})
	if err != nil {
		return fmt.Errorf("copy the journal: %w", err)
	}
	return nil
}

// object writes a line that is no row.
func (w *writer) object(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.buf = append(w.buf[:0], text...)
	return w.line()
}

// row writes a line of cells.
func (w *writer) row(cells []value.Value) error {
	w.buf = append(w.buf[:0], '[')
	for i, v := range cells {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendCell(w.buf, v)
	}
	w.buf = append(w.buf, ']')
	return w.line()
}

func (w *writer) line() error {
	w.buf = append(w.buf, '\n')
	// A hash takes everything.
	_, _ = w.hash.Write(w.buf)
	_, err := w.to.Write(w.buf)
	return err
}

// Collections returns the names of the collections that have been counted, sorted.
func (e End) Collections() []string { return slices.Sorted(maps.Keys(e.Records)) }

// All returns how many records there are.
func (e End) All() (n int64) {
	for _, records := range e.Records {
		n += records
	}
	return n
}
