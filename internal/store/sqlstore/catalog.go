package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// catalog is the schema in force with what was made of it. It is immutable but for
// its caches; a new schema is a new catalog.
type catalog struct {
	dialect Dialect
	schema  *spec.Schema
	// hash names the schema in entries; "" is the empty schema.
	hash   string
	tables map[string]*table

	plans sync.Map // *query.Plan → *statement
	count atomic.Int64
}

// plansMax bounds the rendered plans that are kept.
const plansMax = 4096

// table is a collection with its statements.
type table struct {
	*spec.Table
	dialect Dialect
	shape   *value.Shape
	reader  *reader
	// columns are the quoted names in the order of slots, joined by commas.
	columns string
	get     string
	delete  string
	// relations are the slots that hold relations.
	relations []int
	// pointing lists who points here.
	pointing []pointer
	// uniques are the slots of each unique set.
	uniques [][]int

	writes sync.Map // key of slots → SQL text
}

// pointer is a relation field of another table, or the same, that points here.
type pointer struct {
	from     *table
	slot     int
	onDelete string
	find     string
}

func newCatalog(d Dialect, s *spec.Schema) (*catalog, error) {
	c := &catalog{dialect: d, schema: s, tables: map[string]*table{}}
	if s == nil {
		c.schema = &spec.Schema{}
		return c, nil
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write the schema: %w", err)
	}
	c.hash = hashOf(text)
	for _, t := range s.Collections {
		if strings.HasPrefix(t.Name, reservedPrefix) {
			return nil, fmt.Errorf("collection %q: names of the house", t.Name)
		}
		c.tables[t.Name] = newTable(d, t)
	}
	for _, t := range s.Collections {
		for _, slot := range c.tables[t.Name].relations {
			c.link(c.tables[t.Name], slot)
		}
	}
	return c, nil
}

func hashOf(schema []byte) string {
	sum := sha256.Sum256(schema)
	return hex.EncodeToString(sum[:8])
}

func (c *catalog) link(from *table, slot int) {
	f := from.shape.Fields()[slot]
	to := c.tables[f.Type.Of]
	if to == nil {
		return
	}
	rule := from.OnDelete[f.Name]
	if rule == "" {
		rule = spec.OnDeleteInUse
	}
	q := c.dialect.Quote
	to.pointing = append(to.pointing, pointer{from: from, slot: slot, onDelete: rule,
		find: "SELECT " + from.columns + " FROM " + q(from.Name) + " WHERE " + q(f.Name) +
			" = " + c.dialect.Placeholder(1) + " ORDER BY " + q(spec.FieldID)})
}

func newTable(d Dialect, s *spec.Table) *table {
	t := &table{Table: s, dialect: d, shape: s.Shape, reader: newReader(s.Shape)}
	names := make([]string, s.Shape.Len())
	for i, f := range s.Shape.Fields() {
		names[i] = d.Quote(f.Name)
		if f.Type.Kind == value.TypeRelation {
			t.relations = append(t.relations, i)
		}
	}
	t.columns = strings.Join(names, ", ")
	where := " WHERE " + d.Quote(spec.FieldID) + " = " + d.Placeholder(1)
	t.get = "SELECT " + t.columns + " FROM " + d.Quote(s.Name) + where
	t.delete = "DELETE FROM " + d.Quote(s.Name) + where
	for _, u := range s.Unique {
		slots := make([]int, 0, len(u))
		for _, name := range u {
			if i, ok := s.Shape.Index(name); ok {
				slots = append(slots, i)
			}
		}
		t.uniques = append(t.uniques, slots)
	}
	return t
}

// table returns the named collection, or an internal fault: names are checked long
// before they come here.
func (c *catalog) table(name string) (*table, error) {
	if t := c.tables[name]; t != nil {
		return t, nil
	}
	return nil, fault.Wrap(fault.Internal, fmt.Errorf("no collection %q in the store", name),
		"Something went wrong on our side.")
}

// statement returns the rendered plan.
func (c *catalog) statement(p *query.Plan) (*statement, error) {
	if s, ok := c.plans.Load(p); ok {
		return s.(*statement), nil
	}
	s, err := render(c, p)
	if err != nil {
		return nil, err
	}
	s.reads, s.narrow = c.reads(p), c.narrow(p)
	if c.count.Add(1) > plansMax {
		c.plans.Clear()
		c.count.Store(1)
	}
	c.plans.Store(p, s)
	return s, nil
}

// reads returns the tables that a plan looks into.
func (c *catalog) reads(p *query.Plan) []*table {
	var out []*table
	for _, name := range query.Collections(p) {
		if t := c.tables[name]; t != nil {
			out = append(out, t)
		}
	}
	return out
}

// unique returns the statement that finds the record with the values of a unique set,
// which are its arguments in the order of slots.
func (t *table) unique(set int) string {
	return t.cached('q', t.uniques[set], func(b *strings.Builder) {
		b.WriteString("SELECT " + t.columns + " FROM " + t.dialect.Quote(t.Name) + " WHERE ")
		for n, slot := range slices.Sorted(slices.Values(t.uniques[set])) {
			if n > 0 {
				b.WriteString(" AND ")
			}
			b.WriteString(t.dialect.Quote(t.shape.Fields()[slot].Name) + " = " +
				t.dialect.Placeholder(n+1))
		}
	})
}

// insert returns the statement that inserts these slots.
func (t *table) insert(slots []int) string {
	return t.cached('i', slots, func(b *strings.Builder) {
		b.WriteString("INSERT INTO " + t.dialect.Quote(t.Name) + " (")
		t.list(b, slots, func(_ int, name string) string { return name })
		b.WriteString(") VALUES (")
		t.list(b, slots, func(n int, _ string) string { return t.dialect.Placeholder(n) })
		b.WriteString(")")
	})
}

// update returns the statement that sets these slots where the id is the parameter
// after them.
func (t *table) update(slots []int) string {
	return t.cached('u', slots, func(b *strings.Builder) {
		b.WriteString("UPDATE " + t.dialect.Quote(t.Name) + " SET ")
		t.list(b, slots, func(n int, name string) string {
			return name + " = " + t.dialect.Placeholder(n)
		})
		b.WriteString(" WHERE " + t.dialect.Quote(spec.FieldID) + " = " +
			t.dialect.Placeholder(len(slots)+1))
	})
}

func (t *table) list(b *strings.Builder, slots []int, part func(n int, name string) string) {
	for n, slot := range slots {
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(part(n+1, t.dialect.Quote(t.shape.Fields()[slot].Name)))
	}
}

// setKey names a set of slots: a set of the first 64 slots needs no allocation.
type setKey struct {
	verb byte
	bits uint64
	rest string
}

func (t *table) cached(verb byte, slots []int, write func(*strings.Builder)) string {
	key := setKey{verb: verb}
	for _, s := range slots {
		if s < 64 {
			key.bits |= 1 << s
		} else {
			key.rest += fmt.Sprint(s, ",")
		}
	}
	if text, ok := t.writes.Load(key); ok {
		return text.(string)
	}
	var b strings.Builder
	write(&b)
	t.writes.Store(key, b.String())
	return b.String()
}

// definition writes the table's definition under a name.
func (t *table) definition(name string) string {
	var b strings.Builder
	d := t.dialect
	b.WriteString("CREATE TABLE " + d.Quote(name) + " (")
	for i, f := range t.shape.Fields() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(t.column(f))
		if f.Name == spec.FieldID {
			b.WriteString(" PRIMARY KEY")
		}
	}
	b.WriteString(")" + d.TableTail())
	return b.String()
}

// column writes a column's definition.
func (t *table) column(f value.Field) string {
	d := t.dialect
	text := d.Quote(f.Name) + " " + d.Column(&f.Type)
	if !f.Type.Optional {
		text += " NOT NULL"
	}
	if f.Type.Kind == value.TypeRelation && !d.Words().Apart {
		text += t.reference(f)
	}
	return text
}

// reference writes what a relation points at.
func (t *table) reference(f value.Field) string {
	q := t.dialect.Quote
	return " REFERENCES " + q(f.Type.Of) + " (" + q(spec.FieldID) + ")"
}

// constraints returns the definitions of the table's relations by name, where they
// are constraints of their own. They can be looked at later than at once.
func (t *table) constraints() map[string]string {
	out := map[string]string{}
	if !t.dialect.Words().Apart {
		return out
	}
	for _, slot := range t.relations {
		f := t.shape.Fields()[slot]
		name := reservedPrefix + "relation_" + t.Name + "_" + f.Name
		q := t.dialect.Quote
		out[name] = "ALTER TABLE " + q(t.Name) + " ADD CONSTRAINT " + q(name) +
			" FOREIGN KEY (" + q(f.Name) + ")" + t.reference(f) + " DEFERRABLE"
	}
	return out
}

// indexes returns the definitions of the table's indexes by name. A relation that no
// other index begins with has one of its own, because the store looks from the other
// side when a record is deleted.
func (t *table) indexes() map[string]string {
	out := map[string]string{}
	first := map[string]bool{}
	add := func(kind string, keys []spec.Key) {
		names := make([]string, len(keys))
		columns := make([]string, len(keys))
		words := t.dialect.Words()
		for i, k := range keys {
			names[i], columns[i] = k.Field, t.dialect.Quote(k.Field)
			if k.Desc {
				names[i] += "-"
			}
			if slot, ok := t.shape.Index(k.Field); ok {
				f := &t.shape.Fields()[slot].Type
				columns[i] = t.dialect.Key(f, columns[i], len(keys), kind == "unique") +
					words.order(k.Desc, f.Optional)
			}
		}
		first[keys[0].Field] = true
		name := reservedPrefix + kind + "_" + t.Name + "_" + strings.Join(names, "_")
		verb := "CREATE INDEX "
		if kind == "unique" {
			verb = "CREATE UNIQUE INDEX "
		}
		out[name] = verb + t.dialect.Quote(name) + " ON " + t.dialect.Quote(t.Name) +
			" (" + strings.Join(columns, ", ") + ")"
	}
	for _, fields := range t.Unique {
		keys := make([]spec.Key, len(fields))
		for i, f := range fields {
			keys[i].Field = f
		}
		add("unique", keys)
	}
	for _, keys := range t.Index {
		add("index", slices.Clone(keys))
	}
	for _, slot := range t.relations {
		if name := t.shape.Fields()[slot].Name; !first[name] {
			add("index", []spec.Key{{Field: name}})
		}
	}
	return out
}
