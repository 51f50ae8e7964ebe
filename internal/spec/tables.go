package spec

import (
	"strings"

	"github.com/galleybackend/galley/internal/value"
)

// SystemFields returns the fields of the house that records of the collection have
// before their declared ones, in the order of their slots. Users have two more than
// the others.
func SystemFields(collection string) []*Field {
	system := func(name string, kind value.TypeKind) *Field {
		return &Field{Name: name, Type: value.Type{Kind: kind}, System: true}
	}
	fields := []*Field{
		SlotID:      system(FieldID, value.TypeID),
		SlotCreated: system(FieldCreated, value.TypeTime),
		SlotUpdated: system(FieldUpdated, value.TypeTime),
		SlotVersion: system(FieldVersion, value.TypeInt),
	}
	if collection != Users {
		return fields
	}
	email := system(FieldEmail, value.TypeEmail)
	email.Unique = true
	email.Read = Text{Source: "record == auth"}
	verified := system(FieldVerified, value.TypeBool)
	verified.Default = value.OfBool(false)
	return append(fields, email, verified)
}

// All returns the fields of the collection's records in the order of their slots:
// those of the house, then the declared ones.
func (c *Collection) All() []*Field {
	return append(SystemFields(c.Name), c.Fields...)
}

// Schema returns what a store keeps for the app, after the given collections of the
// house. Shapes are made anew by each call, so call it once and share the result.
func (s *Spec) Schema(house ...*Collection) *Schema {
	schema := &Schema{}
	for _, c := range house {
		schema.Collections = append(schema.Collections, c.table())
	}
	for _, c := range s.Collections {
		t := c.table()
		for name, source := range t.Checks {
			t.Checks[name] = s.spelled(source)
		}
		schema.Collections = append(schema.Collections, t)
	}
	return schema
}

// spelled returns the source of a rule followed by the named rules that it uses, so
// that it differs when one of them does.
func (s *Spec) spelled(source string) string {
	used := map[string]bool{}
	for range s.Define {
		before := len(used)
		for _, d := range s.Define {
			if !used[d.Name] && strings.Contains(source, d.Name+"(") {
				used[d.Name] = true
				source += "\n" + d.Name + ": " + d.Body.Source
			}
		}
		if len(used) == before {
			break
		}
	}
	return source
}

// table returns the collection as the store sees it.
func (c *Collection) table() *Table {
	all := c.All()
	t := &Table{Name: c.Name, Quiet: c.Quiet}
	fields := make([]value.Field, len(all))
	for i, f := range all {
		fields[i] = value.Field{Name: f.Name, Type: f.Type, Default: f.Default}
		if f.Default.Kind() != value.Absent {
			if t.Defaults == nil {
				t.Defaults = map[string]string{}
			}
			t.Defaults[f.Name] = string(value.AppendJSON(nil, f.Default))
		}
		if f.Unique {
			t.Unique = append(t.Unique, []string{f.Name})
		}
		if f.Type.Kind == value.TypeRelation {
			if t.OnDelete == nil {
				t.OnDelete = map[string]string{}
			}
			t.OnDelete[f.Name] = f.OnDelete
			if f.OnDelete == "" {
				t.OnDelete[f.Name] = OnDeleteInUse
			}
		}
	}
	t.Shape = value.NewShape(c.Name, fields)
	for _, check := range c.Checks {
		if t.Checks == nil {
			t.Checks = map[string]string{}
		}
		t.Checks[check.Name] = check.Rule.Source
	}
	for _, u := range c.Unique {
		set := make([]string, len(u.Fields))
		for i, f := range u.Fields {
			set[i] = f.Name
		}
		t.Unique = append(t.Unique, set)
	}
	for _, index := range c.Index {
		keys := make([]Key, len(index.Fields))
		for i, f := range index.Fields {
			keys[i] = Key{Field: f.Name, Desc: f.Desc}
		}
		t.Index = append(t.Index, keys)
	}
	return t
}

// Default returns what fills the named field where it was left out; Absent if
// nothing does.
func (t *Table) Default(field string) value.Value {
	text, ok := t.Defaults[field]
	if !ok {
		return value.Value{}
	}
	slot, ok := t.Shape.Index(field)
	if !ok {
		return value.Value{}
	}
	v, err := value.DecodeStoredValue(&t.Shape.Fields()[slot].Type, []byte(text))
	if err != nil {
		return value.Value{}
	}
	return v
}
