package backup

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// Moment is a place in a history. The zero Moment is its end.
type Moment struct {
	// Seq is the place of the last entry that counts.
	Seq journal.Seq
	// At is an instant: what counts are the entries before the first that is later.
	At time.Time
}

// Zero reports whether this is the end.
func (m Moment) Zero() bool { return m.Seq == journal.Seq{} && m.At.IsZero() }

// past reports whether an entry lies after the moment.
func (m Moment) past(seq journal.Seq, at time.Time) bool {
	return m.Seq != journal.Seq{} && seq.Compare(m.Seq) > 0 ||
		!m.At.IsZero() && at.After(m.At)
}

// Source is a store that can be read whole.
type Source interface {
	Snapshot(ctx context.Context, fn func(*sqlstore.Snapshot) error) error
}

// Options say how to restore.
type Options struct {
	// To is the moment whose state is wanted.
	To Moment
	// Later, if it is set, is a database whose journal goes on after the backup.
	Later Source
	// Replace lets go of what the store holds.
	Replace bool
	// Done is told how many rows were read, now and then; nil means nobody is.
	Done func(rows int64)
}

// Restored is what a restore came to.
type Restored struct {
	// Seq and At are those of the last entry, Epoch is the new history's name.
	Seq   string    `json:"seq"`
	At    time.Time `json:"at"`
	Epoch string    `json:"epoch"`
	// Entries and Records count what is there now.
	Entries int64            `json:"entries"`
	Records map[string]int64 `json:"records"`
	// Left are collections without a journal that had another form at the moment, so
	// that their records were left out.
	Left []string `json:"left,omitempty"`
}

// Fillable is a store that can be filled.
type Fillable interface {
	Fill(ctx context.Context, fn func(*sqlstore.Filler) error) error
}

// Restore makes the store what it was at a moment, in one transaction: if anything
// stands against it, nothing has changed. The store gets a new epoch. It must be
// closed, and opened again to be used.
//
// The state of a moment before the end is made of the journal: each entry up to it is
// done again. Collections of which the journal says nothing, such as sessions, are as
// they were when the backup was made, without what points to records that are not
// there.
func Restore(
	ctx context.Context, from io.Reader, into Fillable, o Options,
) (Restored, error) {
	r := &restorer{ctx: ctx, o: o, folds: !o.To.Zero(),
		out: Restored{Epoch: string(ident.NewCall()), Records: map[string]int64{}}}
	err := into.Fill(ctx, func(f *sqlstore.Filler) error {
		r.into = f
		return r.run(from)
	})
	return r.out, err
}

// restorer fills a store from a backup.
type restorer struct {
	ctx  context.Context
	o    Options
	into *sqlstore.Filler
	rows sqlstore.Rows
	head Head
	// folds says that records come from the journal, and not from the backup.
	folds bool
	// over says that the moment has been reached.
	over bool
	last journal.Seq
	// began is when the first entry was made.
	began time.Time
	out   Restored
}

func (r *restorer) run(from io.Reader) error {
	head, err := r.into.Head(r.ctx)
	if err != nil {
		return err
	}
	marks, err := r.into.Marks(r.ctx)
	if err != nil {
		return err
	}
	if head != (journal.Seq{}) || marks[sqlstore.MarkFilling] != "" {
		if !r.o.Replace {
			return fault.WithCode(fault.Conflict, CodeNotEmpty,
				"The database is not empty: its journal ends at entry %v.", head)
		}
		if err := r.into.Clear(r.ctx); err != nil {
			return err
		}
	}
	if _, _, err := read(r.ctx, from, taker{
		head: r.first, schema: r.schema, entry: r.entry, records: r.tables, record: r.record,
		done: r.o.Done,
	}); err != nil {
		return err
	}
	return r.finish()
}

// CodeNotEmpty is the code of a restore into a database that is in use.
const CodeNotEmpty = "not_empty"

func (r *restorer) first(h Head) error {
	r.head = h
	last, err := journal.ParseSeq(h.Seq)
	if err != nil {
		return err
	}
	if r.o.Later == nil {
		if r.o.To.Seq.Compare(last) > 0 {
			return fault.New(fault.Invalid, "The backup ends at %v, before %v. "+
				"The journal of the database that it was made of may go on.", last, r.o.To.Seq)
		}
		return nil
	}
	return r.o.Later.Snapshot(r.ctx, func(p *sqlstore.Snapshot) error {
		if epoch := p.Marks[sqlstore.MarkEpoch]; epoch != h.Epoch {
			return fault.New(fault.Invalid, "The journal is of another history: its epoch is %s, "+
				"that of the backup %s.", epoch, h.Epoch)
		}
		return nil
	})
}

func (r *restorer) schema(hash, text string) error {
	if err := r.into.Schema(hash, text); err != nil {
		return err
	}
	return r.rows.Schema(hash, text)
}

// entry keeps an entry up to the moment, and does it again if records are folded.
func (r *restorer) entry(row []value.Value) error {
	seq := journal.Seq{Lo: uint64(row[0].Int())}
	at := time.UnixMilli(row[1].Int()).UTC()
	if r.began.IsZero() {
		r.began = at
	}
	if r.over = r.over || r.o.To.past(seq, at); r.over {
		return nil
	}
	r.last, r.out.At = seq, at
	r.out.Entries++
	if err := r.into.Entry(row); err != nil {
		return err
	}
	if !r.folds {
		return nil
	}
	return r.again(row)
}

// again does what an entry did.
func (r *restorer) again(row []value.Value) error {
	e, err := r.rows.Entry(row)
	if err != nil {
		return err
	}
	steps, err := r.rows.Steps(e)
	if err != nil {
		return err
	}
	if steps != nil {
		if err := r.into.Apply(r.ctx, steps); err != nil {
			return fmt.Errorf("entry %v: %w", e.Seq, err)
		}
	}
	for _, c := range e.Changes {
		if err := r.into.Change(c); err != nil {
			return fmt.Errorf("entry %v, %s of %s: %w", e.Seq, c.ID, c.Collection, err)
		}
	}
	return nil
}

// tables makes the collections, unless the journal has made them.
func (r *restorer) tables(s *spec.Schema) error {
	if r.folds {
		return nil
	}
	return r.into.Make(r.ctx, s)
}

// record keeps a record that the journal has not made.
func (r *restorer) record(t *spec.Table, rec value.Record) error {
	if !r.folds {
		return r.into.Insert(rec)
	}
	if !t.Quiet {
		return nil
	}
	if now := r.into.InForce().Table(t.Name); now == nil || !alike(now, t) {
		if n := len(r.out.Left); n == 0 || r.out.Left[n-1] != t.Name {
			r.out.Left = append(r.out.Left, t.Name)
		}
		return nil
	}
	return r.into.Insert(rec)
}

// alike reports whether records of the one table fit into the other.
func alike(a, b *spec.Table) bool {
	if a.Shape.Len() != b.Shape.Len() {
		return false
	}
	for i, f := range a.Shape.Fields() {
		g := b.Shape.Fields()[i]
		if f.Name != g.Name || f.Type.Kind != g.Type.Kind || f.Type.Of != g.Type.Of ||
			f.Type.Optional != g.Type.Optional {
			return false
		}
	}
	return true
}

// finish looks whether everything is there, and names the new history.
func (r *restorer) finish() error {
	if r.o.Later != nil {
		if err := r.later(); err != nil {
			return err
		}
	}
	if want := r.o.To.Seq; want.Compare(r.last) > 0 {
		return fault.New(fault.Invalid, "The journal ends at %v, before %v.", r.last, want)
	}
	r.out.Seq = r.last.String()
	if !r.o.To.At.IsZero() && r.out.Entries == 0 {
		return fault.New(fault.Invalid, "The journal begins after that moment: "+
			"its first entry is of %s.", r.began.Format(time.RFC3339))
	}
	if err := r.prune(); err != nil {
		return err
	}
	if err := r.into.Bind(r.ctx); err != nil {
		return err
	}
	for _, t := range r.into.InForce().Collections {
		n, err := r.into.Count(r.ctx, t.Name)
		if err != nil {
			return err
		}
		r.out.Records[t.Name] = n
	}
	if err := r.into.Mark(sqlstore.MarkMoved, ""); err != nil {
		return err
	}
	return r.into.Mark(sqlstore.MarkEpoch, r.out.Epoch)
}

// prune takes away what the journal says nothing of and what points at records that
// the journal has not made.
func (r *restorer) prune() error {
	if !r.folds {
		return nil
	}
	names := quiet(r.into.InForce())
	for range names { // what points at what goes may itself be pointed at
		for _, name := range names {
			if err := r.into.Prune(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// later does again what came after the backup.
func (r *restorer) later() error {
	after, err := journal.ParseSeq(r.head.Seq)
	if err != nil {
		return err
	}
	r.folds = true
	return r.o.Later.Snapshot(r.ctx, func(p *sqlstore.Snapshot) error {
		if err := p.Schemas(r.ctx, r.schema); err != nil {
			return err
		}
		return p.Entries(r.ctx, after, r.entry)
	})
}
