package sqlstore

import (
	"context"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// building begins the name of a table that is being made.
const building = reservedPrefix + "new."

// run takes the collections to their new form. Relations are not enforced
// meanwhile, so that no drop of a table takes records with it. All new tables are
// made before any old one goes, so that names may change places.
func (m *migration) run(ctx context.Context, w Conn) error {
	var renames []*table
	exec := func(sql string) error {
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return w.Exec(sql, nil)
	}
	if m.bar != nil { // what takes long is done before anybody waits for it
		for _, mv := range m.moves {
			if err := mv.build(ctx, w, exec); err != nil {
				return err
			}
		}
		if err := m.bar(); err != nil {
			return err
		}
	}
	drop, add := m.constraints()
	for _, sql := range drop {
		if err := exec(sql); err != nil {
			return err
		}
	}
	for _, mv := range m.moves {
		if m.bar == nil {
			if err := mv.build(ctx, w, exec); err != nil {
				return err
			}
		}
		if err := mv.begin(exec); err != nil {
			return err
		}
		if !mv.inPlace() {
			renames = append(renames, mv.to)
		}
	}
	for _, t := range m.drops {
		if err := exec("DROP TABLE " + m.dialect.Quote(t.Name)); err != nil {
			return err
		}
	}
	for _, t := range renames {
		if err := exec("ALTER TABLE " + m.dialect.Quote(building+t.Name) + " RENAME TO " +
			m.dialect.Quote(t.Name)); err != nil {
			if classOf(err) == Occupied {
				return occupied(t.Name)
			}
			return err
		}
	}
	for _, mv := range m.moves {
		for _, sql := range mv.indexes() {
			if err := exec(sql); err != nil {
				return err
			}
		}
	}
	for _, c := range add {
		if err := exec(c.sql); err != nil {
			if classOf(err) == Dangling {
				return dangling(c.table)
			}
			return err
		}
	}
	return nil
}

// constraint is a relation that is made when all tables stand.
type constraint struct{ table, sql string }

// constraints returns what takes away the relations that do not stay, and those that
// come. One stays if nothing changes at either end.
func (m *migration) constraints() (drop []string, add []constraint) {
	stays := map[string]bool{}
	for _, mv := range m.moves {
		stays[mv.to.Name] = mv.inPlace()
	}
	kept := func(t *table, definition string) bool {
		for _, slot := range t.relations {
			f := t.shape.Fields()[slot]
			if strings.Contains(definition, "("+m.dialect.Quote(f.Name)+")"+t.reference(f)) {
				return stays[t.Name] && stays[f.Type.Of]
			}
		}
		return false
	}
	if m.loose {
		return nil, nil
	}
	had := map[string]string{}
	for _, t := range m.before.tables {
		for name, sql := range t.constraints() {
			had[name] = sql
			next := m.next.tables[t.Name]
			if next == nil || next.constraints()[name] != sql || !kept(t, sql) {
				drop = append(drop, "ALTER TABLE "+m.dialect.Quote(t.Name)+" DROP CONSTRAINT "+
					m.dialect.Quote(name))
			}
		}
	}
	for _, t := range m.next.tables {
		for name, sql := range t.constraints() {
			if had[name] != sql || !kept(t, sql) {
				add = append(add, constraint{t.Name, sql})
			}
		}
	}
	slices.Sort(drop)
	slices.SortFunc(add, func(a, b constraint) int { return strings.Compare(a.sql, b.sql) })
	return drop, add
}

// dangling is the fault of a migration after which relations point at nothing.
func dangling(table string) error {
	return fault.New(fault.Invalid, "Records in %s point to records that are not there.", table)
}

// CodeOccupied is the code of a schema for which there is no room beside what others have
// in the database.
const CodeOccupied = "name_occupied"

// occupied is the fault of a collection whose name something else has.
func occupied(table string) error {
	return fault.WithCode(fault.Conflict, CodeOccupied, "The database has a table %q that is not "+
		"Galley's. Rename that one, or let Galley have another database, or on a server a "+
		"schema of its own:  ?schema=NAME after the address.", table)
}

// build makes the new table under its name of building and fills it, if there is to be
// one.
func (mv *move) build(ctx context.Context, w Conn, exec func(string) error) error {
	if mv.inPlace() || mv.from != nil && mv.same() {
		return nil
	}
	err := exec(mv.to.definition(building + mv.to.Name))
	if err == nil && mv.from != nil {
		err = mv.copy(ctx, w)
	}
	return err
}

// begin takes the old table away, or changes it where it stands.
func (mv *move) begin(exec func(string) error) error {
	q := mv.to.dialect.Quote
	switch {
	case mv.inPlace():
		for _, f := range mv.added() {
			if err := exec("ALTER TABLE " + q(mv.to.Name) + " ADD COLUMN " +
				mv.to.column(f)); err != nil {
				return err
			}
		}
		return nil
	case mv.from == nil:
		return nil
	case mv.same():
		for name := range mv.from.indexes() {
			if err := exec("DROP INDEX " + q(name)); err != nil {
				return err
			}
		}
		return exec("ALTER TABLE " + q(mv.from.Name) + " RENAME TO " +
			q(building+mv.to.Name))
	}
	return exec("DROP TABLE " + q(mv.from.Name))
}

// same reports whether the table's columns stay as they are.
func (mv *move) same() bool {
	for name, s := range mv.sources {
		if s.field != name || !alike(s.from, s.to) {
			return false
		}
	}
	return mv.from != nil && mv.from.definition("") == mv.to.definition("")
}

// inPlace reports whether the table keeps its name and rows, and at most gains
// columns that are empty.
func (mv *move) inPlace() bool {
	if mv.from == nil || mv.from.Name != mv.to.Name {
		return false
	}
	kept := 0
	for i, f := range mv.to.shape.Fields() {
		s := mv.sources[f.Name]
		if s.field == "" {
			if !f.Type.Optional || !s.fill.IsNull() {
				return false
			}
			continue
		}
		kept++
		was, ok := mv.from.shape.Index(f.Name)
		if !ok || s.field != f.Name ||
			mv.from.column(mv.from.shape.Fields()[was]) != mv.to.column(mv.to.shape.Fields()[i]) ||
			!alike(s.from, s.to) {
			return false
		}
	}
	return kept == mv.from.shape.Len()
}

// alike reports whether values of the one type are stored as those of the other.
func alike(from, to *value.Type) bool {
	if from.ValueKind() != to.ValueKind() {
		return false
	}
	deep := to.Kind == value.TypeList || to.Kind == value.TypeObject
	return !deep || !narrower(from, to)
}

// added returns the fields that the table gains.
func (mv *move) added() []value.Field {
	var out []value.Field
	for _, f := range mv.to.shape.Fields() {
		if mv.sources[f.Name].field == "" {
			out = append(out, f)
		}
	}
	return out
}

// indexes returns the statements that give the table the indexes it should have.
func (mv *move) indexes() []string {
	var drop, make []string
	had := map[string]string{}
	if mv.inPlace() {
		had = mv.from.indexes()
	}
	want := mv.to.indexes()
	for name, sql := range had {
		if want[name] != sql {
			drop = append(drop, "DROP INDEX "+mv.to.dialect.Quote(name))
		}
	}
	for name, sql := range want {
		if had[name] != sql {
			make = append(make, sql)
		}
	}
	slices.Sort(drop)
	slices.Sort(make)
	return append(drop, make...)
}

// copy fills the new table with the records of the old one.
func (mv *move) copy(ctx context.Context, w Conn) error {
	for _, f := range mv.to.shape.Fields() {
		if s := mv.sources[f.Name]; s.field != "" && !alike(s.from, s.to) {
			return mv.convert(ctx, w)
		}
	}
	q := mv.to.dialect.Quote
	var args []value.Value
	columns := make([]string, mv.to.shape.Len())
	for i, f := range mv.to.shape.Fields() {
		s := mv.sources[f.Name]
		fill := "NULL"
		if !s.fill.IsNull() {
			args = append(args, s.fill)
			fill = mv.to.dialect.Placeholder(len(args))
		}
		switch {
		case s.field == "":
			columns[i] = fill
		case s.fill.IsNull():
			columns[i] = q(s.field)
		default:
			columns[i] = "coalesce(" + q(s.field) + ", " + fill + ")"
		}
	}
	return w.Exec("INSERT INTO "+q(building+mv.to.Name)+" ("+mv.to.columns+") SELECT "+
		strings.Join(columns, ", ")+" FROM "+q(mv.from.Name), args)
}

// convert fills the new table record by record, through Convert.
func (mv *move) convert(ctx context.Context, w Conn) error {
	insert := "INSERT INTO " + mv.to.dialect.Quote(building+mv.to.Name) + " (" +
		mv.to.columns + ") VALUES ("
	for i := range mv.to.shape.Fields() {
		if i > 0 {
			insert += ", "
		}
		insert += mv.to.dialect.Placeholder(i + 1)
	}
	insert += ")"
	return mv.each(ctx, w, func(old value.Record) error {
		r, err := mv.record(old)
		if err != nil {
			return err
		}
		return w.Exec(insert, r.Slots)
	})
}

// pageRows is how many rows of an old table are read at a time.
const pageRows = 500

// each calls fn for every record of the old table, in the order of ids.
func (mv *move) each(ctx context.Context, c Conn, fn func(value.Record) error) error {
	q, t := mv.from.dialect.Quote, mv.from
	page := "SELECT " + t.columns + " FROM " + q(t.Name) + " WHERE " + q(spec.FieldID) +
		" > " + t.dialect.Placeholder(1) + " ORDER BY " + q(spec.FieldID) + " LIMIT " +
		t.dialect.Placeholder(2)
	after := value.OfText("")
	for {
		found := rows{reader: t.reader}
		err := c.Query(ctx, page, []value.Value{after, value.OfInt(pageRows)}, found.add)
		if err != nil {
			return err
		}
		for _, r := range found.records {
			if err := fn(r); err != nil {
				return err
			}
			after = r.Slots[spec.SlotID]
		}
		if len(found.records) < pageRows {
			return nil
		}
	}
}

// record returns the old record in its new form.
func (mv *move) record(old value.Record) (value.Record, error) {
	r := value.NewRecord(mv.to.shape)
	for i, f := range mv.to.shape.Fields() {
		s := mv.sources[f.Name]
		v := value.OfNull()
		if s.field != "" {
			v, _ = Convert(old.Get(s.field), s.from, s.to)
		}
		if v.IsNull() && !s.fill.IsNull() {
			v = s.fill
		}
		if v.IsNull() && !f.Type.Optional {
			return r, fault.New(fault.Invalid, "The record %s in %s has no value for the required %s.",
				old.Slots[spec.SlotID].Text(), mv.to.Name, f.Name)
		}
		r.Slots[i] = v
	}
	return r, nil
}

// Reshape returns records by collection in the form that steps give them, as Apply
// does to those that are stored. It is for those who fold the journal.
func Reshape(
	before *spec.Schema, steps []spec.Step, records map[string]map[string]value.Record,
) (map[string]map[string]value.Record, error) {
	cat, err := newCatalog(plainDialect{}, before)
	if err != nil {
		return nil, err
	}
	m, err := newMigration(plainDialect{}, cat, steps)
	if err != nil {
		return nil, err
	}
	out := map[string]map[string]value.Record{}
	for _, mv := range m.moves {
		out[mv.to.Name] = map[string]value.Record{}
		if mv.from == nil {
			continue
		}
		for id, r := range records[mv.from.Name] {
			if out[mv.to.Name][id], err = mv.record(r); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// plainDialect names things for those who have no database.
type plainDialect struct{ Dialect }

func (plainDialect) Quote(name string) string  { return name }
func (plainDialect) Placeholder(int) string    { return "?" }
func (plainDialect) Column(*value.Type) string { return "" }
func (plainDialect) TableTail() string         { return "" }
func (plainDialect) Words() Words              { return Words{} }
