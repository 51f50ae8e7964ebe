package spec

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/galleybackend/galley/internal/value"
)

// Rename says that a collection, or a field of one, had another name before. Both
// names of a field's collection are the new one.
type Rename struct {
	Collection string
	// Field is "" where the collection itself is renamed.
	Field string
	From  string
}

// Renames returns what the app file says with `was:`.
func (s *Spec) Renames() []Rename {
	var was []Rename
	for _, c := range s.Collections {
		if c.Was != "" {
			was = append(was, Rename{Collection: c.Name, From: c.Was})
		}
		for _, f := range c.Fields {
			if f.Was != "" {
				was = append(was, Rename{Collection: c.Name, Field: f.Name, From: f.Was})
			}
		}
	}
	return was
}

// Same reports whether two schemas are the same, nil being the empty one.
func (s *Schema) Same(other *Schema) bool {
	return bytes.Equal(canonical(s), canonical(other))
}

func canonical(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // a schema holds nothing that JSON cannot
	}
	return text
}

// Diff returns the steps that lead from a stored schema, nil if there is none, to
// the next, in an order in which they can be applied; Adopt is the last. It returns
// nil if the schemas are the same. A rename counts only while the old name is stored
// and the new one is not, so that `was:` may stay in the file. A field whose new
// type keeps another kind of value is dropped and added anew. Order and defaults
// change nothing stored: they have no step but Adopt.
func Diff(old, next *Schema, was ...Rename) []Step {
	if old == nil {
		old = &Schema{}
	}
	if len(old.Collections) > 0 && old.Same(next) {
		return nil
	}
	d := differ{old: old, next: next, was: was, from: map[string]*Table{}}
	d.match()
	for _, t := range next.Collections {
		if before := d.from[t.Name]; before != nil {
			d.table(before, t)
		} else {
			d.add(Step{Kind: AddCollection, Collection: t.Name})
		}
	}
	d.drop()
	d.add(Step{Kind: Adopt, Schema: next})
	return d.steps
}

// differ collects steps. from holds the stored table of each next one.
type differ struct {
	old, next *Schema
	was       []Rename
	from      map[string]*Table
	steps     []Step
}

func (d *differ) add(s Step) { d.steps = append(d.steps, s) }

// match finds the stored table of each next one, by its name or the one before.
func (d *differ) match() {
	for _, t := range d.next.Collections {
		if before := d.old.Table(t.Name); before != nil {
			d.from[t.Name] = before
		}
	}
	for _, r := range d.was {
		before := d.old.Table(r.From)
		if r.Field != "" || before == nil || d.next.Table(r.From) != nil ||
			d.from[r.Collection] != nil || d.next.Table(r.Collection) == nil {
			continue
		}
		d.from[r.Collection] = before
		d.add(Step{Kind: RenameCollection, Collection: r.Collection, From: r.From})
	}
}

// drop adds the steps for stored tables that no next one came from.
func (d *differ) drop() {
	kept := map[*Table]bool{}
	for _, t := range d.from {
		kept[t] = true
	}
	for _, t := range d.old.Collections {
		if !kept[t] {
			d.add(Step{Kind: DropCollection, Collection: t.Name})
		}
	}
}

// table adds the steps from one table to its next form: renames, fields that go,
// fields that come or change, indexes.
func (d *differ) table(old, next *Table) {
	from := d.fields(old, next)
	kept := map[string]bool{}
	for name, before := range from {
		f, g := field(next, name), field(old, before)
		kept[before] = convertible(&g.Type, d.renamed(&g.Type), &f.Type)
	}
	for _, f := range old.Shape.Fields() {
		if !kept[f.Name] {
			d.add(Step{Kind: DropField, Collection: next.Name, Field: f.Name, Old: &f.Type})
		}
	}
	for _, f := range next.Shape.Fields() {
		step := Step{Collection: next.Name, Field: f.Name, Type: &f.Type,
			Fill: next.Default(f.Name)}
		before, known := from[f.Name]
		if !known || !kept[before] {
			step.Kind = AddField
			d.add(step)
			continue
		}
		g := field(old, before)
		step.Kind, step.Old = ChangeField, &g.Type
		if !sameType(d.renamed(&g.Type), &f.Type) ||
			old.OnDelete[before] != next.OnDelete[f.Name] {
			d.add(step)
		}
	}
	d.indexes(old, next, from)
	step := Step{Kind: ChangeChecks, Collection: next.Name}
	for name, source := range next.Checks {
		if old.Checks[name] != source {
			step.Checks = append(step.Checks, name)
		}
	}
	if slices.Sort(step.Checks); len(step.Checks) > 0 {
		d.add(step)
	}
}

// fields returns the stored name of each field that was stored, and adds the steps
// of those that were called otherwise.
func (d *differ) fields(old, next *Table) map[string]string {
	from, taken := map[string]string{}, map[string]bool{}
	for _, f := range next.Shape.Fields() {
		if _, ok := old.Shape.Index(f.Name); ok {
			from[f.Name], taken[f.Name] = f.Name, true
		}
	}
	for _, r := range d.was {
		if r.Field == "" || r.Collection != next.Name || from[r.Field] != "" || taken[r.From] {
			continue
		}
		_, stored := old.Shape.Index(r.From)
		_, wanted := next.Shape.Index(r.Field)
		if stored && wanted {
			from[r.Field], taken[r.From] = r.From, true
			d.add(Step{Kind: RenameField, Collection: next.Name, Field: r.Field, From: r.From})
		}
	}
	return from
}

// indexes adds the step for unique sets and indexes that differ, the stored ones
// read with the names that their fields have now.
func (d *differ) indexes(old, next *Table, from map[string]string) {
	now := map[string]string{}
	for name, before := range from {
		now[before] = name
	}
	var unique [][]string
	for _, set := range old.Unique {
		var renamed []string
		for _, name := range set {
			renamed = append(renamed, now[name])
		}
		unique = append(unique, renamed)
	}
	var index [][]Key
	for _, keys := range old.Index {
		var renamed []Key
		for _, k := range keys {
			renamed = append(renamed, Key{now[k.Field], k.Desc})
		}
		index = append(index, renamed)
	}
	step := Step{Kind: ChangeIndexes, Collection: next.Name}
	for _, set := range next.Unique {
		if !slices.ContainsFunc(unique, func(u []string) bool { return slices.Equal(u, set) }) {
			step.Unique = append(step.Unique, set)
		}
	}
	same := slices.EqualFunc(unique, next.Unique, slices.Equal[[]string]) &&
		slices.EqualFunc(index, next.Index, slices.Equal[[]Key])
	if !same {
		d.add(step)
	}
}

// renamed returns a stored type as it reads once the collections are renamed.
func (d *differ) renamed(t *value.Type) *value.Type {
	for _, r := range d.was {
		if r.Field == "" && t.Kind == value.TypeRelation && t.Of == r.From &&
			d.from[r.Collection] == d.old.Table(r.From) {
			c := *t
			c.Of = r.Collection
			return &c
		}
	}
	if t.Kind == value.TypeList && t.Elem != nil {
		c := *t
		c.Elem = d.renamed(t.Elem)
		return &c
	}
	return t
}

// convertible reports whether stored values of the old type stay as they are, or
// are whole numbers that become floats.
func convertible(stored, old, next *value.Type) bool {
	if stored.Kind == value.TypeRelation && next.Kind == value.TypeRelation {
		return old.Of == next.Of
	}
	a, b := old.ValueKind(), next.ValueKind()
	return a == b || a == value.Int && b == value.Float
}

func field(t *Table, name string) value.Field {
	slot, _ := t.Shape.Index(name)
	return t.Shape.Fields()[slot]
}

func sameType(a, b *value.Type) bool { return bytes.Equal(canonical(a), canonical(b)) }
