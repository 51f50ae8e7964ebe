package sqlstore

import (
	"context"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

var _ store.Planner = (*Store)(nil)

// idsMax is how many ids a Count names.
const idsMax = 5

// counter counts in one view.
type counter struct {
	ctx  context.Context
	view *view
	out  []store.Count
}

// Counts returns what Apply of the steps would harm.
func (s *Store) Counts(ctx context.Context, steps []spec.Step) ([]store.Count, error) {
	var out []store.Count
	err := s.Read(ctx, func(v store.View) error {
		c := &counter{ctx: ctx, view: v.(*view)}
		m, err := newMigration(s.dialect, c.view.catalog, steps)
		if err != nil {
			return fault.From(err)
		}
		for _, t := range m.drops {
			if err := c.count(store.CountLost, t.Name, nil, t, ""); err != nil {
				return err
			}
		}
		for _, mv := range m.moves {
			if mv.from == nil {
				continue
			}
			if err := c.move(mv); err != nil {
				return s.reading(ctx, err)
			}
		}
		out = c.out
		return nil
	})
	return out, err
}

// count adds the records of a table for which the condition holds.
func (c *counter) count(code, name string, fields []string, t *table, where string) error {
	q := t.dialect.Quote
	from := " FROM " + q(t.Name)
	if where != "" {
		from += " WHERE " + where
	}
	n := store.Count{Code: code, Collection: name, Fields: fields}
	err := c.view.conn.Query(c.ctx, "SELECT count(*)"+from, nil, func(r Row) error {
		n.Records = r.Int(0)
		return nil
	})
	if err != nil || n.Records == 0 {
		return err
	}
	err = c.view.conn.Query(c.ctx, "SELECT "+q(spec.FieldID)+from+" ORDER BY "+
		q(spec.FieldID)+" LIMIT "+t.dialect.Placeholder(1),
		[]value.Value{value.OfInt(idsMax)}, func(r Row) error {
			n.IDs = append(n.IDs, ident.Record(r.Text(0)))
			return nil
		})
	c.out = append(c.out, n)
	return err
}

// move counts what happens to the records of one collection.
func (c *counter) move(mv *move) error {
	q := mv.from.dialect.Quote
	kept := map[string]bool{}
	for _, f := range mv.to.shape.Fields() {
		kept[mv.sources[f.Name].field] = true
	}
	for _, f := range mv.from.shape.Fields() {
		if kept[f.Name] {
			continue
		}
		if err := c.count(store.CountLost, mv.from.Name, []string{f.Name}, mv.from,
			q(f.Name)+" IS NOT NULL"); err != nil {
			return err
		}
	}
	for i := range mv.to.shape.Fields() {
		if err := c.field(mv, &mv.to.shape.Fields()[i]); err != nil {
			return err
		}
	}
	had := mv.from.indexes()
	for _, fields := range mv.to.Unique {
		if err := c.unique(mv, fields, had); err != nil {
			return err
		}
	}
	return nil
}

// field counts what happens to the values of one field.
func (c *counter) field(mv *move, f *value.Field) error {
	s := mv.sources[f.Name]
	q, name := mv.from.dialect.Quote, []string{f.Name}
	if s.field == "" {
		if f.Type.Optional || !s.fill.IsNull() {
			return nil
		}
		return c.count(store.CountEmpty, mv.to.Name, name, mv.from, "")
	}
	if s.from.Optional && !f.Type.Optional && s.fill.IsNull() {
		err := c.count(store.CountEmpty, mv.to.Name, name, mv.from, q(s.field)+" IS NULL")
		if err != nil {
			return err
		}
	}
	if f.Type.Kind == value.TypeRelation &&
		(s.from.Kind != value.TypeRelation || s.from.Of != f.Type.Of) {
		return c.dangling(mv, f, s)
	}
	if !narrower(s.from, &f.Type) {
		return nil
	}
	lost := store.Count{Code: store.CountLost, Collection: mv.to.Name, Fields: name}
	outside := store.Count{Code: store.CountOutside, Collection: mv.to.Name, Fields: name}
	err := mv.each(c.ctx, c.view.conn, func(r value.Record) error {
		id := ident.Record(r.Slots[spec.SlotID].Text())
		v, ok := Convert(r.Get(s.field), s.from, &f.Type)
		if !ok {
			tally(&lost, id)
			return nil
		}
		if _, issues := value.Conform(&f.Type, v, ""); !v.IsNull() && len(issues) > 0 {
			tally(&outside, id)
		}
		return nil
	})
	for _, n := range []store.Count{lost, outside} {
		if n.Records > 0 {
			c.out = append(c.out, n)
		}
	}
	return err
}

func tally(n *store.Count, id ident.Record) {
	if n.Records++; len(n.IDs) < idsMax {
		n.IDs = append(n.IDs, id)
	}
}

// narrower reports whether values of the one type may not be values of the other.
func narrower(from, to *value.Type) bool {
	a, b := *from, *to
	a.Optional, b.Optional = false, false
	return typeText(&a) != typeText(&b)
}

// dangling counts relations that would point at nothing.
func (c *counter) dangling(mv *move, f *value.Field, s source) error {
	q := mv.from.dialect.Quote
	where := q(s.field) + " IS NOT NULL"
	for _, t := range c.view.catalog.tables {
		if t.Name == f.Type.Of {
			where += " AND " + q(s.field) + " NOT IN (SELECT " + q(spec.FieldID) +
				" FROM " + q(t.Name) + ")"
		}
	}
	return c.count(store.CountDangling, mv.to.Name, []string{f.Name}, mv.from, where)
}

// unique counts the records whose values of a new unique set occur more than once.
func (c *counter) unique(mv *move, fields []string, had map[string]string) error {
	q := mv.from.dialect.Quote
	var names, known []string
	for _, name := range fields {
		if s := mv.sources[name]; s.field != "" {
			names = append(names, q(s.field))
			known = append(known, s.field)
		} else if s.fill.IsNull() {
			return nil // nulls bind nobody
		}
	}
	if _, there := had[reservedPrefix+"unique_"+mv.from.Name+"_"+
		strings.Join(known, "_")]; there && len(known) == len(fields) {
		return nil
	}
	if len(names) == 0 {
		names = []string{"1"}
	}
	list := strings.Join(names, ", ")
	return c.count(store.CountDouble, mv.to.Name, fields, mv.from, "("+list+") IN (SELECT "+
		list+" FROM "+q(mv.from.Name)+" WHERE "+strings.Join(names, " IS NOT NULL AND ")+
		" IS NOT NULL GROUP BY "+list+" HAVING count(*) > 1)")
}
