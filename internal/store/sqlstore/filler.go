package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Filler writes rows as they are, past the journal: it is how a database becomes the
// copy of another one. It is for a store that serves nobody; once it is full, the
// store is to be closed, and opened again to be used.
type Filler struct {
	store   *Store
	conn    Conn
	catalog *catalog
	insert  string
}

// Fill calls fn in one transaction, which is committed if fn returns nil, and lost
// otherwise. Relations are not enforced meanwhile; Dangling tells those that point at
// nothing.
func (s *Store) Fill(ctx context.Context, fn func(*Filler) error) error {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	return s.exclusive(ctx, func() (err error) {
		w := s.writer
		if err := w.References(false); err != nil {
			return s.gaveUp(err)
		}
		defer func() {
			if again := w.References(true); again != nil {
				err = errors.Join(err, s.gaveUp(again))
			}
		}()
		g := &group{}
		if err := s.open(g); err != nil {
			return errors.Join(s.gaveUp(err), w.Rollback())
		}
		f := &Filler{store: s, conn: w}
		if err = f.look(ctx); err == nil {
			err = fn(f)
		}
		if err != nil {
			var p *Problem
			if errors.As(err, &p) {
				err = s.migrating(ctx, err)
			}
			// The error that led here is the one to be told.
			_ = w.Rollback()
			return err
		}
		if err := s.commitFilled(ctx, g); err != nil {
			_ = w.Rollback() // as above
			return err
		}
		return s.dialect.Tidy(w)
	})
}

// commitFilled commits what was filled; the head is where the journal ends now.
func (s *Store) commitFilled(ctx context.Context, g *group) error {
	head, hash, err := s.lastEntry(ctx)
	if err != nil {
		return s.gaveUp(err)
	}
	before := s.head
	s.head = head
	if err := s.commit(g, hash); err != nil {
		s.head = before
		return err
	}
	return nil
}

// look reads which collections there are.
func (f *Filler) look(ctx context.Context) error {
	_, hash, err := f.store.lastEntry(ctx)
	if err != nil {
		return err
	}
	return f.use(ctx, hash)
}

// use takes the schema of a hash for the one in force.
func (f *Filler) use(ctx context.Context, hash string) error {
	schema, err := f.store.schemaOf(ctx, f.conn, hash)
	if err != nil {
		return err
	}
	f.catalog, err = newCatalog(f.store.dialect, schema)
	return err
}

// Marks returns what the database says of itself.
func (f *Filler) Marks(ctx context.Context) (map[string]string, error) {
	return f.store.marks(ctx, f.conn)
}

// Mark sets a mark; "" takes it away.
func (f *Filler) Mark(name, text string) error { return f.store.mark(f.conn, name, text) }

// Head returns the place of the last entry: the zero place if there is none, and
// then the database is empty.
func (f *Filler) Head(ctx context.Context) (journal.Seq, error) {
	head, _, err := f.store.lastEntry(ctx)
	return seqOf(head), err
}

// Clear takes everything away: the collections, the journal and its schemas.
func (f *Filler) Clear(ctx context.Context) error {
	q := f.store.dialect.Quote
	// Who points goes before that at which he points.
	for _, t := range slices.Backward(f.order()) {
		if err := f.conn.Exec("DROP TABLE "+q(t.Name), nil); err != nil {
			return fmt.Errorf("drop %s: %w", t.Name, err)
		}
	}
	for _, name := range []string{tableJournal, tableSchemas} {
		if err := f.conn.Exec("DELETE FROM "+q(name), nil); err != nil {
			return err
		}
	}
	if err := f.Mark(MarkFilling, ""); err != nil {
		return err
	}
	return f.look(ctx)
}

// order returns the tables so that each comes after those at which it points, as far
// as that can be.
func (f *Filler) order() []*table {
	var out []*table
	seen := map[string]bool{}
	var add func(t *table)
	add = func(t *table) {
		if t == nil || seen[t.Name] {
			return
		}
		seen[t.Name] = true
		for _, slot := range t.relations {
			add(f.catalog.tables[t.shape.Fields()[slot].Type.Of])
		}
		out = append(out, t)
	}
	for _, t := range f.catalog.schema.Collections {
		add(f.catalog.tables[t.Name])
	}
	return out
}

// Schema keeps the text of a schema under its hash.
func (f *Filler) Schema(hash, text string) error {
	p := f.store.dialect.Placeholder
	return f.conn.Exec("INSERT INTO "+f.store.dialect.Quote(tableSchemas)+
		" (hash, schema) VALUES ("+p(1)+", "+p(2)+") ON CONFLICT DO NOTHING",
		[]value.Value{value.OfText(hash), value.OfText(text)})
}

// Make makes the collections of a schema where there are none.
func (f *Filler) Make(ctx context.Context, schema *spec.Schema) error {
	none, err := newCatalog(f.store.dialect, nil)
	if err != nil {
		return err
	}
	f.catalog = none
	if len(schema.Collections) == 0 {
		return nil
	}
	var steps []spec.Step
	for _, t := range schema.Collections {
		steps = append(steps, spec.Step{Kind: spec.AddCollection, Collection: t.Name})
	}
	return f.Apply(ctx, append(steps, spec.Step{Kind: spec.Adopt, Schema: schema}))
}

// Apply takes the collections from one form to the next, with their records.
func (f *Filler) Apply(ctx context.Context, steps []spec.Step) error {
	m, err := newMigration(f.store.dialect, f.catalog, steps)
	if err != nil {
		return err
	}
	if err := m.run(ctx, f.conn); err != nil {
		return err
	}
	f.catalog = m.next
	return nil
}

// Entry writes an entry's row, with the values of JournalColumns.
func (f *Filler) Entry(row []value.Value) error {
	if f.insert == "" {
		p := make([]string, entryColumnCount+1)
		for i := range p {
			p[i] = f.store.dialect.Placeholder(i + 1)
		}
		f.insert = "INSERT INTO " + f.store.dialect.Quote(tableJournal) + " (" + entryColumns +
			", held) VALUES (" + strings.Join(p, ", ") + ")"
	}
	return f.conn.Queue(f.insert, row)
}

// Insert writes a record that is not there.
func (f *Filler) Insert(r value.Record) error {
	t, r, err := f.own(r)
	if err != nil {
		return err
	}
	slots := make([]int, len(r.Slots))
	for i := range slots {
		slots[i] = i
	}
	return f.conn.Queue(t.insert(slots), r.Slots)
}

// own returns the record in the form of its table.
func (f *Filler) own(r value.Record) (*table, value.Record, error) {
	t, err := f.catalog.table(r.Shape.Name())
	if err != nil {
		return nil, r, err
	}
	r, err = t.own(r)
	return t, r, err
}

// Get returns a record; it is zero if it is not there.
func (f *Filler) Get(
	ctx context.Context, collection string, id ident.Record,
) (value.Record, error) {
	t, err := f.catalog.table(collection)
	if err != nil {
		return value.Record{}, err
	}
	v := view{store: f.store, conn: f.conn, catalog: f.catalog}
	return v.one(ctx, t, id)
}

// Delete takes a record away.
func (f *Filler) Delete(collection string, id ident.Record) error {
	t, err := f.catalog.table(collection)
	if err != nil {
		return err
	}
	return f.conn.Queue(t.delete, []value.Value{value.OfText(string(id))})
}

// Detach takes away the records of quiet collections that point to a record, because
// no entry does when it goes.
func (f *Filler) Detach(ctx context.Context, collection string, id ident.Record) error {
	t, err := f.catalog.table(collection)
	if err != nil {
		return err
	}
	for _, p := range t.pointing {
		if !p.from.Quiet {
			continue
		}
		var ids []ident.Record
		err := f.conn.Query(ctx, p.find, []value.Value{value.OfText(string(id))}, func(r Row) error {
			ids = append(ids, ident.Record(r.Text(spec.SlotID)))
			return nil
		})
		if err != nil {
			return err
		}
		for _, one := range ids {
			if err := f.Detach(ctx, p.from.Name, one); err != nil {
				return err
			}
			if err := f.Delete(p.from.Name, one); err != nil {
				return err
			}
		}
	}
	return nil
}

// Records is as that of Snapshot.
func (f *Filler) Records(
	ctx context.Context, collection string, after ident.Record, each func(value.Record) error,
) error {
	p := Snapshot{store: f.store, conn: f.conn, catalog: f.catalog}
	return p.Records(ctx, collection, after, each)
}

// Change makes a change of an entry: what was before it is taken for granted.
func (f *Filler) Change(c journal.Change) error {
	switch {
	case c.After.Zero():
		return f.Delete(c.Collection, c.ID)
	case c.Before.Zero():
		return f.Insert(c.After)
	}
	t, r, err := f.own(c.After)
	if err != nil {
		return err
	}
	var slots []int
	var args []value.Value
	for i := spec.SlotCreated; i < len(r.Slots); i++ {
		slots, args = append(slots, i), append(args, r.Slots[i])
	}
	return f.conn.Queue(t.update(slots), append(args, value.OfText(string(c.ID))))
}

// InForce returns the schema in force, which the caller must not change.
func (f *Filler) InForce() *spec.Schema { return f.catalog.schema }

// Truncate takes all records of a collection away.
func (f *Filler) Truncate(collection string) error {
	return f.conn.Exec("DELETE FROM "+f.store.dialect.Quote(collection), nil)
}

// Prune takes away the records of a collection that point at nothing.
func (f *Filler) Prune(collection string) error {
	t, err := f.catalog.table(collection)
	if err != nil {
		return err
	}
	q := t.dialect.Quote
	for _, slot := range t.relations {
		field := t.shape.Fields()[slot]
		err := f.conn.Exec("DELETE FROM "+q(t.Name)+" WHERE "+q(field.Name)+
			" IS NOT NULL AND "+q(field.Name)+" NOT IN (SELECT "+q(spec.FieldID)+" FROM "+
			q(field.Type.Of)+")", nil)
		if err != nil {
			return err
		}
	}
	return nil
}

// Whole asks that every relation points at a record.
func (f *Filler) Whole(ctx context.Context) error {
	bad, err := f.conn.Dangling(ctx)
	if err != nil {
		return err
	}
	if len(bad) > 0 {
		return fault.New(fault.Invalid, "Records in %s point to records that are not there.",
			bad[0])
	}
	return nil
}

// Count returns how many records a collection has.
func (f *Filler) Count(ctx context.Context, collection string) (n int64, err error) {
	err = f.conn.Query(ctx, "SELECT count(*) FROM "+f.store.dialect.Quote(collection), nil,
		func(r Row) error {
			n = r.Int(0)
			return nil
		})
	return n, err
}
