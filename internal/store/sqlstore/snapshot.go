package sqlstore

import (
	"context"
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Column is a column of the journal's table.
type Column struct {
	Name string
	// Number says that it holds whole numbers; others hold text. Each may be null.
	Number bool
}

// JournalColumns returns the columns of an entry's row, in their order. The first is
// the place, the second the instant in milliseconds.
func JournalColumns() []Column {
	var out []Column
	for name := range strings.SplitSeq(entryColumns+", held", ", ") {
		number := name == "seq" || name == "at" || name == "secret" || name == "held"
		out = append(out, Column{name, number})
	}
	return out
}

// readMax is how many rows one statement reads, so that none of them takes long.
const readMax = 5000

// Snapshot is one committed state of everything that a store keeps, for those who
// copy it: it does not change while the function that was given it runs. It must not
// be used by two goroutines at once.
type Snapshot struct {
	store   *Store
	conn    Conn
	catalog *catalog
	// Seq is the place of the last entry.
	Seq journal.Seq
	// Spec names the schema in force.
	Spec string
	// Marks are what the database says of itself.
	Marks map[string]string
}

// Snapshot calls fn with the present state. It has a connection of its own and stands
// in nobody's way, however long it takes.
func (s *Store) Snapshot(ctx context.Context, fn func(*Snapshot) error) (err error) {
	if err := s.begin(); err != nil {
		return err
	}
	defer s.calls.Done()
	c, err := s.dialect.Connect(ctx, false)
	if err != nil {
		return s.reading(ctx, err)
	}
	defer func() { _ = c.Close() }() // it only read
	if err := c.Begin(false); err != nil {
		return s.reading(ctx, err)
	}
	defer func() { _ = c.Rollback() }() // as above
	p := &Snapshot{store: s, conn: c}
	if err := p.open(ctx); err != nil {
		return s.reading(ctx, err)
	}
	return fn(p)
}

// open looks once at all that is to be read: from then on the state stands, and
// nobody takes a table away.
func (p *Snapshot) open(ctx context.Context) (err error) {
	s := p.store
	shape := ""
	if s.shared {
		err := p.conn.Query(ctx, s.sqlShape(), nil, func(r Row) error {
			shape = string(r.Text(0))
			return nil
		})
		if err != nil {
			return err
		}
	}
	if p.Marks, err = s.marks(ctx, p.conn); err != nil {
		return err
	}
	delete(p.Marks, markBus)
	err = p.conn.Query(ctx, "SELECT seq, spec FROM "+s.dialect.Quote(tableJournal)+
		" ORDER BY seq DESC LIMIT 1", nil, func(r Row) error {
		p.Seq, p.Spec = seqOf(uint64(r.Int(0))), string(r.Text(1))
		return nil
	})
	if err != nil {
		return err
	}
	if s.shared && shape != p.Spec {
		return &Problem{Class: Reshaped, Err: errReshaped}
	}
	schema, err := s.schemaOf(ctx, p.conn, p.Spec)
	if err != nil {
		return err
	}
	if p.catalog, err = newCatalog(s.dialect, schema); err != nil {
		return err
	}
	for _, t := range p.catalog.tables {
		err := p.conn.Query(ctx, "SELECT 1 FROM "+s.dialect.Quote(t.Name)+" LIMIT 1", nil,
			func(Row) error { return nil })
		if err != nil {
			return fmt.Errorf("look at %s: %w", t.Name, err)
		}
	}
	return nil
}

// Schema returns the schema in force, which the caller must not change.
func (p *Snapshot) Schema() *spec.Schema { return p.catalog.schema }

// Schemas calls each for every schema that entries name, with its text.
func (p *Snapshot) Schemas(ctx context.Context, each func(hash, text string) error) error {
	q := p.store.dialect.Quote
	return p.read(ctx, "SELECT hash, schema FROM "+q(tableSchemas)+" ORDER BY hash", nil,
		func(r Row) error { return each(string(r.Text(0)), string(r.Text(1))) })
}

// Entries calls each for the rows of the entries after a place, in their order, with
// the values of JournalColumns. A row is good until each returns.
func (p *Snapshot) Entries(
	ctx context.Context, after journal.Seq, each func(row []value.Value) error,
) error {
	d := p.store.dialect
	page := " WHERE seq > " + d.Placeholder(1) + " ORDER BY seq LIMIT " + d.Placeholder(2)
	for last, n := value.OfInt(int64(after.Lo)), readMax; n == readMax; {
		n = 0
		err := p.entries(ctx, page, []value.Value{last, value.OfInt(readMax)},
			func(row []value.Value) error {
				last, n = row[0], n+1
				return each(row)
			})
		if err != nil {
			return err
		}
	}
	return nil
}

// Applied calls each for the rows of the entries by which the schema was changed.
func (p *Snapshot) Applied(ctx context.Context, each func(row []value.Value) error) error {
	return p.entries(ctx, " WHERE intents LIKE "+p.store.dialect.Placeholder(1)+" ORDER BY seq",
		[]value.Value{value.OfText(`%"kind":"` + store.IntentApply + `"%`)}, each)
}

func (p *Snapshot) entries(
	ctx context.Context, rest string, args []value.Value, each func([]value.Value) error,
) error {
	columns := JournalColumns()
	row := make([]value.Value, len(columns))
	return p.read(ctx, "SELECT "+entryColumns+", held FROM "+
		p.store.dialect.Quote(tableJournal)+rest, args, func(r Row) error {
		for i, c := range columns {
			switch {
			case r.Null(i):
				row[i] = value.OfNull()
			case c.Number:
				row[i] = value.OfInt(r.Int(i))
			default:
				row[i] = value.OfText(string(r.Text(i)))
			}
		}
		return each(row)
	})
}

// Records calls each for the records of a collection whose ids come after one, in
// the order of their ids. A record is good until each returns.
func (p *Snapshot) Records(
	ctx context.Context, collection string, after ident.Record, each func(value.Record) error,
) error {
	t, err := p.catalog.table(collection)
	if err != nil {
		return err
	}
	q, slots := t.dialect.Quote, make([]value.Value, t.shape.Len())
	page := "SELECT " + t.columns + " FROM " + q(t.Name) + " WHERE " + q(spec.FieldID) + " > " +
		t.dialect.Placeholder(1) + " ORDER BY " + q(spec.FieldID) + " LIMIT " +
		t.dialect.Placeholder(2)
	var buffer []byte
	for last, n := value.OfText(string(after)), readMax; n == readMax; {
		n = 0
		err := p.read(ctx, page, []value.Value{last, value.OfInt(readMax)}, func(r Row) error {
			if err := t.reader.fill(r, slots, &buffer); err != nil {
				return err
			}
			last, n = slots[spec.SlotID], n+1
			return each(value.Record{Shape: t.shape, Slots: slots})
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *Snapshot) read(
	ctx context.Context, sql string, args []value.Value, each func(Row) error,
) error {
	if err := p.conn.Query(ctx, sql, args, each); err != nil {
		return p.store.reading(ctx, err)
	}
	return nil
}
