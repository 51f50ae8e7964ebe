package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

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
// otherwise. Relations are not enforced in tables that Filler made until Bind.
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
		if err := s.openFilling(ctx); err != nil {
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

// openFilling begins the transaction. What others have committed does not matter: all
// that counts is what is there.
func (s *Store) openFilling(ctx context.Context) error {
	err := s.writer.Begin(true)
	if err == nil && s.shared {
		_, err = s.readHead(ctx, s.writer, s.dialect.Words().Lock)
	}
	return err
}

// commitFilled commits what was filled; the head is where the journal ends now. While
// the database is not whole, no process has a turn at it.
func (s *Store) commitFilled(ctx context.Context, g *group) error {
	head, hash, err := s.lastEntry(ctx)
	if err != nil {
		return s.gaveUp(err)
	}
	marks, err := s.marks(ctx, s.writer)
	if err != nil {
		return s.gaveUp(err)
	}
	g.away = marks[MarkFilling] != "" || marks[MarkMoved] != ""
	if s.shared {
		if err := errors.Join(s.bar(), s.unbar(hash)); err != nil {
			return s.gaveUp(err)
		}
	}
	before, history := s.head, s.history.Swap(historyOf(marks[MarkEpoch]))
	s.head = head
	if err := s.commit(g, hash); err != nil {
		s.head = before
		s.history.Store(history)
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
	if err := f.Loosen(); err != nil {
		return err
	}
	// Who points goes before that at which he points.
	for _, t := range slices.Backward(f.order()) {
		if err := f.conn.Exec("DROP TABLE IF EXISTS "+q(t.Name), nil); err != nil {
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

// Apply takes the collections from one form to the next, with their records. There
// must be no constraints of Bind.
func (f *Filler) Apply(ctx context.Context, steps []spec.Step) error {
	m, err := newMigration(f.store.dialect, f.catalog, steps)
	if err != nil {
		return err
	}
	m.loose = true
	if err := m.run(ctx, f.conn); err != nil {
		return err
	}
	f.catalog = m.next
	return nil
}

// Bind makes the constraints that keep relations from pointing at nothing, where they
// are apart from the tables, and asks that they hold.
func (f *Filler) Bind(ctx context.Context) error {
	for _, t := range f.order() {
		constraints := t.constraints()
		for _, name := range slices.Sorted(maps.Keys(constraints)) {
			err := f.conn.Exec(constraints[name], nil)
			if classOf(err) == Dangling {
				return dangling(t.Name)
			}
			if err != nil {
				return err
			}
		}
	}
	bad, err := f.conn.Dangling(ctx)
	if err == nil && len(bad) > 0 {
		err = dangling(bad[0])
	}
	return err
}

// Loosen takes the constraints of Bind away, as far as there are any.
func (f *Filler) Loosen() error {
	q := f.store.dialect.Quote
	for _, t := range f.order() {
		for name := range t.constraints() {
			err := f.conn.Exec("ALTER TABLE IF EXISTS "+q(t.Name)+
				" DROP CONSTRAINT IF EXISTS "+q(name), nil)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Defer lets the constraints of Bind be asked in the end of the transaction only.
func (f *Filler) Defer() error { return f.conn.Defer(true) }

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

// idsAsked is how many records one statement names.
const idsAsked = 200

// Some returns those of the records that are there.
func (f *Filler) Some(
	ctx context.Context, collection string, ids []ident.Record,
) (map[ident.Record]value.Record, error) {
	t, err := f.catalog.table(collection)
	if err != nil {
		return nil, err
	}
	out := make(map[ident.Record]value.Record, len(ids))
	for part := range slices.Chunk(ids, idsAsked) {
		list, args := f.list(part)
		found := rows{reader: t.reader}
		err := f.conn.Query(ctx, "SELECT "+t.columns+" FROM "+t.dialect.Quote(t.Name)+" WHERE "+
			t.dialect.Quote(spec.FieldID)+" IN "+list, args, found.add)
		if err != nil {
			return nil, err
		}
		for _, r := range found.records {
			out[ident.Record(r.Slots[spec.SlotID].Text())] = r
		}
	}
	return out, nil
}

// list writes ids as parameters. Short lists are made longer, so that there are few
// texts.
func (f *Filler) list(ids []ident.Record) (string, []value.Value) {
	args := make([]value.Value, 0, len(ids))
	for _, id := range ids {
		args = append(args, value.OfText(string(id)))
	}
	for len(args)&(len(args)-1) != 0 && len(args) < idsAsked {
		args = append(args, args[0])
	}
	marks := make([]string, len(args))
	for i := range marks {
		marks[i] = f.store.dialect.Placeholder(i + 1)
	}
	return "(" + strings.Join(marks, ", ") + ")", args
}

// Delete takes a record away.
func (f *Filler) Delete(collection string, id ident.Record) error {
	t, err := f.catalog.table(collection)
	if err != nil {
		return err
	}
	return f.conn.Queue(t.delete, []value.Value{value.OfText(string(id))})
}

// Detach takes away the records of quiet collections that point to records, because
// no entry does when those go.
func (f *Filler) Detach(ctx context.Context, collection string, ids []ident.Record) error {
	t, err := f.catalog.table(collection)
	if err != nil {
		return err
	}
	q := t.dialect.Quote
	for _, p := range t.pointing {
		if !p.from.Quiet {
			continue
		}
		for part := range slices.Chunk(ids, idsAsked) {
			list, args := f.list(part)
			where := " FROM " + q(p.from.Name) + " WHERE " +
				q(p.from.shape.Fields()[p.slot].Name) + " IN " + list
			if len(p.from.pointing) > 0 {
				var more []ident.Record
				err := f.conn.Query(ctx, "SELECT "+q(spec.FieldID)+where, args, func(r Row) error {
					more = append(more, ident.Record(r.Text(0)))
					return nil
				})
				if err != nil {
					return err
				}
				if err := f.Detach(ctx, p.from.Name, more); err != nil {
					return err
				}
			}
			if err := f.conn.Queue("DELETE"+where, args); err != nil {
				return err
			}
		}
	}
	return nil
}

// Between returns the records whose ids come after one and not after another, "" being
// the end, in the order of their ids.
func (f *Filler) Between(
	ctx context.Context, collection string, after, upTo ident.Record,
) ([]value.Record, error) {
	t, err := f.catalog.table(collection)
	if err != nil {
		return nil, err
	}
	q, p := t.dialect.Quote(spec.FieldID), t.dialect.Placeholder
	where, args := q+" > "+p(1), []value.Value{value.OfText(string(after))}
	if upTo != "" {
		where, args = where+" AND "+q+" <= "+p(2), append(args, value.OfText(string(upTo)))
	}
	found := rows{reader: t.reader}
	err = f.conn.Query(ctx, "SELECT "+t.columns+" FROM "+t.dialect.Quote(t.Name)+" WHERE "+where+
		" ORDER BY "+q, args, found.add)
	return found.records, err
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

// Count returns how many records a collection has.
func (f *Filler) Count(ctx context.Context, collection string) (n int64, err error) {
	err = f.conn.Query(ctx, "SELECT count(*) FROM "+f.store.dialect.Quote(collection), nil,
		func(r Row) error {
			n = r.Int(0)
			return nil
		})
	return n, err
}
