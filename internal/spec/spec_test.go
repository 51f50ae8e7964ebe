package spec_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/value"
)

// app reads collections written as an app file writes them.
func app(t *testing.T, collections string) *spec.Spec {
	t.Helper()
	s, findings := appfile.Parse(map[string][]byte{
		appfile.Name: []byte("app: a\ncollections:\n" + collections)})
	if spec.Failed(findings) {
		var b strings.Builder
		_ = appfile.Render(&b, findings, s.Files, false) // a builder takes all
		t.Fatal(b.String())
	}
	return s
}

func TestSchemaHasTheFieldsOfTheHouseFirst(t *testing.T) {
	s := app(t, `
  users: {fields: {name: string}}
  orders:
    fields:
      of: users
      code: {type: string, unique: true, default: x}
      lost: {type: users?, on_delete: clear}
    unique: [[of, code]]
    index: [[of, -created]]
`)
	leases := &spec.Collection{Name: "leases", Quiet: true}
	schema := s.Schema(leases)
	var tables []string
	for _, table := range schema.Collections {
		tables = append(tables, fmt.Sprint(table.Name, " ", table.Shape.Names(), table.Unique,
			table.Index, table.OnDelete, table.Defaults, table.Quiet))
	}
	got := strings.Join(tables, "\n")
	want := `leases [id created updated version] [] [] map[] map[] true
users [id created updated version email verified name] [[email]] [] map[] map[verified:false] false
orders [id created updated version of code lost] [[code] [of code]] ` +
		`[[{of false} {created true}]] map[lost:clear of:in_use] map[code:"x"] false`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for slot, name := range []string{spec.FieldID, spec.FieldCreated, spec.FieldUpdated,
		spec.FieldVersion} {
		if at, ok := schema.Table("orders").Shape.Index(name); !ok || at != slot {
			t.Errorf("%s is in slot %d, want %d", name, at, slot)
		}
	}
	text, err := json.Marshal(schema)
	if err != nil {
		t.Fatal(err)
	}
	var back spec.Schema
	if err := json.Unmarshal(text, &back); err != nil || !back.Same(schema) {
		t.Errorf("a schema is another after JSON: %v", err)
	}
	if got := back.Table("orders").Default("code"); got.Text() != "x" {
		t.Errorf("default of code: got %q, want x", got.Text())
	}
}

// steps writes steps in short, each with its risk.
func steps(list []spec.Step) string {
	var lines []string
	for _, s := range list {
		line := string(s.Kind) + " " + s.Collection
		if s.Field != "" {
			line += "." + s.Field
		}
		if s.From != "" {
			line += " from " + s.From
		}
		if s.Fill.Kind() != value.Absent {
			line += " fill " + string(value.AppendJSON(nil, s.Fill))
		}
		if s.Unique != nil {
			line += fmt.Sprint(" unique ", s.Unique)
		}
		if s.Checks != nil {
			line += fmt.Sprint(" ", s.Checks)
		}
		lines = append(lines, strings.TrimSpace(line)+": "+s.Risk().String())
	}
	return strings.Join(lines, "\n")
}

func TestDiffLeadsFromOneSchemaToTheNext(t *testing.T) {
	for _, c := range []struct{ name, old, next, want string }{
		{"nothing", "  a: {fields: {x: int}}\n", "  a: {fields: {x: int}}\n", ""},
		{"rules alone", "  a: {fields: {x: int}}\n", "  a: {fields: {x: int}, allow: {read: x}}\n", ""},
		{"a collection comes and one goes", "  a: {}\n", "  b: {}\n",
			"add_collection b: safe\ndrop_collection a: loses data\nadopt: safe"},
		{"a collection is renamed, with those that point to it",
			"  a: {}\n  c: {fields: {x: a, y: 'a[]'}}\n",
			"  b: {was: a}\n  c: {fields: {x: b, y: 'b[]'}}\n",
			"rename_collection b from a: safe\nadopt: safe"},
		{"was may stay", "  b: {fields: {y: int}}\n",
			"  b: {was: a, fields: {y: {type: int, was: x}, z: int?}}\n",
			"add_field b.z: safe\nadopt: safe"},
		{"fields come, go and are renamed", "  a: {fields: {x: int, y: int}}\n",
			"  a: {fields: {z: {type: int, was: x}, o: int?, d: {type: int, default: 3}, r: int}}\n",
			"rename_field a.z from x: safe\ndrop_field a.y: loses data\nadd_field a.o: safe\n" +
				"add_field a.d fill 3: safe\nadd_field a.r: needs a check\nadopt: safe"},
		{"a field keeps another kind of value", "  a: {fields: {x: string}}\n",
			"  a: {fields: {x: int?}}\n",
			"drop_field a.x: loses data\nadd_field a.x: safe\nadopt: safe"},
		{"a relation points elsewhere", "  a: {}\n  b: {fields: {x: a?}}\n",
			"  a: {}\n  b: {fields: {x: b?}}\n",
			"drop_field b.x: loses data\nadd_field b.x: safe\nadopt: safe"},
		{"unique comes", "  a: {fields: {x: int}}\n", "  a: {fields: {x: {type: int, unique: true}}}\n",
			"change_indexes a unique [[x]]: needs a check\nadopt: safe"},
		{"unique goes", "  a: {fields: {x: {type: int, unique: true}}}\n", "  a: {fields: {x: int}}\n",
			"change_indexes a: safe\nadopt: safe"},
		{"an index follows its field's name", "  a: {fields: {x: int}, index: [[x]]}\n",
			"  a: {fields: {y: {type: int, was: x}}, index: [[y]]}\n",
			"rename_field a.y from x: safe\nadopt: safe"},
		{"an index loses its field", "  a: {fields: {x: int, y: int}, index: [[x, y]]}\n",
			"  a: {fields: {x: int}, index: [[x]]}\n",
			"drop_field a.y: loses data\nchange_indexes a: safe\nadopt: safe"},
		{"on_delete changes", "  a: {}\n  b: {fields: {x: a}}\n",
			"  a: {}\n  b: {fields: {x: {type: a, on_delete: cascade}}}\n",
			"change_field b.x: safe\nadopt: safe"},
		{"a default changes", "  a: {fields: {x: {type: int, default: 1}}}\n",
			"  a: {fields: {x: {type: int, default: 2}}}\n", "adopt: safe"},
		{"a check comes and one changes", "  a: {check: {p: x > 1, q: x > 2}}\n",
			"  a: {check: {p: x > 1, q: x > 3, r: x > 4}}\n",
			"change_checks a [q r]: needs a check\nadopt: safe"},
		{"a check goes", "  a: {check: {p: x > 1}}\n", "  a: {}\n", "adopt: safe"},
		{"a named rule changes below a check", "  a: {check: {p: one(x), q: x}}\ndefine:\n" +
			"  one(x): two(x)\n  two(x): x > 1\n",
			"  a: {check: {p: one(x), q: x}}\ndefine:\n  one(x): two(x)\n  two(x): x > 2\n",
			"change_checks a [p]: needs a check\nadopt: safe"},
		{"two fields change places by was", "  a: {fields: {x: int, y: int}}\n",
			"  a: {fields: {x: {type: int, was: z}, y: int}}\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, next := app(t, c.old), app(t, c.next)
			list := spec.Diff(old.Schema(), next.Schema(), next.Renames()...)
			if got := steps(list); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
			if n := len(list); n > 0 && !list[n-1].Schema.Same(next.Schema()) {
				t.Error("the last step does not hold the new schema")
			}
		})
	}
}

func TestDiffOfNothingAddsAll(t *testing.T) {
	next := app(t, "  a: {fields: {x: int}}\n  b: {}\n").Schema()
	want := "add_collection a: safe\nadd_collection b: safe\nadopt: safe"
	if got := steps(spec.Diff(nil, next)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRiskOfAChangedType(t *testing.T) {
	const safe, check = spec.Safe, spec.NeedsCheck
	for _, c := range []struct {
		old, next string
		want      spec.Risk
	}{
		{"int", "int?", safe},
		{"int?", "int", check},
		{"int?", "{type: int, default: 1}", safe},
		{"int", "float", safe},
		{"int", "money", safe},
		{"int", "{type: int, min: 0}", check},
		{"{type: int, min: 1}", "{type: int, min: 0}", safe},
		{"{type: int, max: 5}", "{type: int, max: 4}", check},
		{"{type: int, max: 5}", "int", safe},
		{"{type: float, max: 5}", "{type: float, max: 4.5}", check},
		{"string", "text", safe},
		{"text", "string", check},
		{"string", "{type: string, max: 80}", check},
		{"{type: string, max: 80}", "string", safe},
		{"string", "{type: string, pattern: x}", check},
		{"{type: string, pattern: x}", "string", safe},
		{"email", "string", safe},
		{"string", "email", check},
		{"url", "string", check},
		{"[p, q]", "[q, p, r]", safe},
		{"[p, q]", "[p]", check},
		{"[p, q]", "string", safe},
		{"string", "[p, q]", check},
		{"string[]", "text[]", safe},
		{"text[]", "string[]", check},
		{"{type: 'int[]', max: 200}", "int[]", check},
		{"[{n: int}]", "[{n: int, m: int?}]", safe},
		{"[{n: int}]", "[{n: int, m: int}]", check},
		{"[{n: int, m: int}]", "[{n: int}]", check},
		{"c", "c?", safe},
	} {
		t.Run(c.old+" to "+c.next, func(t *testing.T) {
			field := func(f string) string { return "  c: {}\n  a:\n    fields:\n      x: " + f + "\n" }
			list := spec.Diff(app(t, field(c.old)).Schema(), app(t, field(c.next)).Schema())
			got := spec.Safe
			for _, s := range list {
				got = max(got, s.Risk())
			}
			if len(list) < 2 || got != c.want {
				t.Errorf("got %v of %s, want %v", got, steps(list), c.want)
			}
		})
	}
}

func TestTextKnowsPlacesOutsideItself(t *testing.T) {
	text := spec.Text{Source: "ab\ncd", Pos: spec.Pos{File: "f", Line: 3, Column: 5},
		Lines: []spec.Pos{{File: "f", Line: 3, Column: 5}, {File: "f", Line: 4, Column: 2}}}
	for _, c := range []struct{ line, column, wantLine, wantColumn int }{
		{1, 1, 3, 5}, {2, 2, 4, 3}, {2, 9, 4, 4}, {0, 0, 3, 5}, {7, 1, 4, 2},
	} {
		got := text.At(c.line, c.column)
		if got.Line != c.wantLine || got.Column != c.wantColumn {
			t.Errorf("At(%d, %d) is %+v, want %d:%d", c.line, c.column, got, c.wantLine, c.wantColumn)
		}
	}
}
