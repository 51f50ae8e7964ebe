package backup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// Summary is what a backup holds.
type Summary struct {
	Head
	End
}

// Verify reads a backup to its end: its hash and counts must be right, the entries
// without a gap, and the records exactly those that the entries have made. It holds
// one line at a time. done, if it is set, is told how many rows were read.
func Verify(ctx context.Context, from io.Reader, done func(rows int64)) (Summary, error) {
	v := &verifier{sums: map[string]*sqlstore.Sum{}}
	var out Summary
	var err error
	out.Head, out.End, err = read(ctx, from, taker{
		head: v.head, schema: v.rows.Schema, applied: v.apply, entry: v.entry,
		records: v.records, record: v.record, done: done,
	})
	if err != nil {
		return out, err
	}
	return out, v.compare()
}

// verifier compares the journal with the records.
type verifier struct {
	rows    sqlstore.Rows
	applied [][]spec.Step
	tally   *sqlstore.Tally
	last    journal.Seq
	want    journal.Seq
	schema  *spec.Schema
	sums    map[string]*sqlstore.Sum
}

func (v *verifier) head(h Head) (err error) {
	v.want, err = journal.ParseSeq(h.Seq)
	return err
}

func (v *verifier) apply(row []value.Value) error {
	e, err := v.rows.Entry(row)
	if err != nil {
		return err
	}
	steps, err := v.rows.Steps(e)
	if err == nil && steps != nil {
		v.applied = append(v.applied, steps)
	}
	return err
}

func (v *verifier) entry(row []value.Value) (err error) {
	if v.tally == nil {
		if v.tally, err = sqlstore.NewTally(v.applied); err != nil {
			return err
		}
	}
	e, err := v.rows.Entry(row)
	if err != nil {
		return err
	}
	if e.Seq.Lo != v.last.Lo+1 {
		return fmt.Errorf("entry %v comes after entry %v: there is a gap", e.Seq, v.last)
	}
	v.last = e.Seq
	return v.tally.Entry(e)
}

func (v *verifier) records(s *spec.Schema) error {
	v.schema = s
	if v.last != v.want {
		return fmt.Errorf("the journal ends at %v, and not at %v", v.last, v.want)
	}
	return nil
}

func (v *verifier) record(t *spec.Table, r value.Record) error {
	s := v.sums[t.Name]
	if s == nil {
		s = &sqlstore.Sum{}
		v.sums[t.Name] = s
	}
	s.Add(r)
	return nil
}

// compare asks that the records are those that the journal has made.
func (v *verifier) compare() error {
	if v.tally == nil {
		return nil // no entries, and so no collections
	}
	var errs []error
	for _, t := range v.schema.Collections {
		sum := v.sums[t.Name]
		if sum == nil {
			sum = &sqlstore.Sum{}
		}
		if !t.Quiet && !v.tally.Sum(t.Name).Equal(sum) {
			errs = append(errs, fmt.Errorf(
				"the records in %s are not those that the journal has made", t.Name))
		}
	}
	return errors.Join(errs...)
}
