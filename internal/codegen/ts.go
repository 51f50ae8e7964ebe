package codegen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// TypeScript returns what editors and type checkers read of an app, by path below its
// folder: the types of the module "galley", those of the client that pages load, and how to
// check with them. signedIn tells
// of which functions, such as actions/checkout, the caller is known to be signed in; nil
// means of none. The tsconfig.json of the app's own folder is for an app that has none.
func TypeScript(s *spec.Spec, signedIn func(name string) bool) map[string][]byte {
	if signedIn == nil {
		signedIn = func(string) bool { return false }
	}
	t := &typescript{spec: s, signedIn: signedIn}
	taken := types(tsGlobals, tsModule, tsTx, tsAction, tsAfter, "DB Code Secret Channel Jobs Hooks",
		"Actions Emails Webhooks Routes")
	t.names = recordNames(s, taken, false, "New", "Change")
	return map[string][]byte{
		".galley/galley.d.ts":   t.declarations(),
		".galley/client.d.ts":   clientModule(s),
		".galley/tsconfig.json": []byte(tsconfigInner),
		"tsconfig.json":         []byte(tsconfigOuter),
	}
}

const tsconfigInner = `{
  "compilerOptions": {
    "strict": true,
    "noEmit": true,
    "target": "ES2017",
    "lib": ["ES2022"],
    "types": [],
    "module": "ESNext",
    "moduleResolution": "bundler",
    "allowJs": true,
    "allowImportingTsExtensions": true,
    "isolatedModules": true,
    "resolveJsonModule": true,
    "skipLibCheck": true
  },
  "include": ["../actions", "../hooks", "../jobs", "../webhooks", "../routes", "../tests", "./galley.d.ts"]
}
`

const tsconfigOuter = `{
  "extends": "./.galley/tsconfig.json",
  "include": ["actions", "hooks", "jobs", "webhooks", "routes", "tests", ".galley/galley.d.ts"]
}
`

// typescript writes the declarations of one app.
type typescript struct {
	spec     *spec.Spec
	signedIn func(string) bool
	names    map[string]string
	b        strings.Builder
}

func (t *typescript) line(format string, args ...any) { fmt.Fprintf(&t.b, format+"\n", args...) }

// doc writes a comment as documentation of what follows.
func (t *typescript) doc(indent, text string) {
	text = strings.TrimSpace(strings.ReplaceAll(text, "*/", "* /"))
	if text == "" {
		return
	}
	if !strings.Contains(text, "\n") {
		t.line("%s/** %s */", indent, text)
		return
	}
	t.line("%s/**", indent)
	for _, line := range strings.Split(text, "\n") {
		t.line("%s * %s", indent, strings.TrimSpace(line))
	}
	t.line("%s */", indent)
}

func (t *typescript) declarations() []byte {
	t.line("// Made by Galley from the app file. It is written anew at each change.\n")
	t.b.WriteString(tsGlobals)
	t.line("declare module \"galley\" {")
	t.b.WriteString(tsModule)
	t.codes()
	for _, c := range t.spec.Collections {
		t.collection(c)
	}
	t.line("\n  /** The collections of %s. */", t.spec.App)
	t.line("  export interface DB {")
	for _, c := range t.spec.Collections {
		n := t.names[c.Name]
		t.doc("    ", c.Doc)
		t.line("    readonly %s: Table<%q, %s, New%s, Change%s>;", key(c.Name), c.Name, n, n, n)
	}
	t.line("  }\n")
	user := "null"
	if n := t.names[spec.Users]; n != "" {
		user = n
	}
	t.line("%s", strings.ReplaceAll(tsTx, "USER", user))
	t.line("  /** The actions of %s. */", t.spec.App)
	t.line("  export interface Actions {")
	for _, a := range t.spec.Actions {
		t.action(a, user)
	}
	t.line("  }")
	t.b.WriteString(tsAction)
	t.after(user)
	t.line("}")
	t.testing()
	return []byte(t.b.String())
}

// codes writes the union of the codes with which code may refuse.
func (t *typescript) codes() {
	codes, say := refusals(t.spec)
	t.line("\n  /** Every code with which code may refuse. */")
	t.line("  export type Code =")
	for i, code := range codes {
		end := ""
		if i == len(codes)-1 {
			end = ";"
		}
		if say[code] != "" {
			end += " // " + strings.Join(strings.Fields(say[code]), " ")
		}
		t.line("    | %q%s", code, end)
	}
}

// collection writes the record, what a new one has, and what of it can be changed.
func (t *typescript) collection(c *spec.Collection) {
	n := t.names[c.Name]
	t.line("")
	t.doc("  ", c.Doc)
	t.line("  export interface %s {", n)
	for _, f := range c.All() {
		t.doc("    ", f.Doc)
		typ := f.Type
		if f.Name == spec.FieldID {
			typ = value.Type{Kind: value.TypeRelation, Of: c.Name}
		}
		t.line("    readonly %s: %s;", key(f.Name), t.typ(&typ, true))
	}
	t.line("  }\n")
	t.line("  /** What insert takes for %s. */", c.Name)
	t.line("  export interface New%s {", n)
	t.line("    id?: Id<%q>;", c.Name)
	for _, f := range c.All()[spec.SlotFirst:] {
		mark := ""
		if f.Type.Optional || f.Default.Kind() != value.Absent || !f.Set.Empty() {
			mark = "?"
		}
		t.line("    %s%s: %s;", key(f.Name), mark, t.typ(&f.Type, true))
	}
	t.line("  }\n")
	t.line("  /** What update takes for %s. */", c.Name)
	t.line("  export interface Change%s {", n)
	for _, f := range c.All()[spec.SlotFirst:] {
		typ := t.typ(&f.Type, true)
		switch f.Type.Kind {
		case value.TypeInt, value.TypeMoney, value.TypeFloat, value.TypeDuration:
			typ += " | NumberOperator"
		case value.TypeList:
			typ += " | ListOperator<" + t.typ(f.Type.Elem, true) + ">"
		}
		t.line("    %s?: %s;", key(f.Name), typ)
	}
	t.line("  }")
}

func (t *typescript) action(a *spec.Action, user string) {
	auth := user
	if user != "null" && !t.signedIn("actions/"+a.Name) {
		auth += " | null"
	}
	t.doc("    ", a.Doc)
	t.line("    %s: {", key(a.Name))
	t.line("      tx: Tx<%s>;", auth)
	t.line("      input: %s;", t.part("input", a.Input, a.Docs, "      "))
	t.line("      output: %s;", t.part("output", a.Output, a.Docs, "      "))
	t.line("    };")
}

// part writes an input or an output.
func (t *typescript) part(at string, s *value.Shape, docs map[string]string, indent string) string {
	if s == nil && at == "input" {
		return "undefined"
	}
	if s == nil {
		return "void"
	}
	return t.object(s, at == "input", indent, docs, at)
}

// object writes a shape. What comes in is read-only and has its defaults; what goes
// out may leave out what is optional.
func (t *typescript) object(s *value.Shape, in bool, indent string, docs map[string]string, at string) string {
	var b strings.Builder
	b.WriteString("{\n")
	for _, f := range s.Fields() {
		inner := &typescript{}
		inner.doc(indent+"  ", docs[at+"."+f.Name])
		b.WriteString(inner.b.String())
		read, mark := "", ""
		if in {
			read = "readonly "
		}
		if f.Type.Optional && f.Default.Kind() == value.Absent || !in && f.Default.Kind() != value.Absent {
			mark = "?"
		}
		fmt.Fprintf(&b, "%s  %s%s%s: %s;\n", indent, read, key(f.Name), mark,
			t.nested(&f.Type, in, indent+"  ", docs, at+"."+f.Name))
	}
	b.WriteString(indent + "}")
	return b.String()
}

// nested writes a type that may hold objects.
func (t *typescript) nested(typ *value.Type, in bool, indent string, docs map[string]string, at string) string {
	var text string
	switch {
	case typ.Kind == value.TypeObject:
		text = t.object(typ.Fields, in, indent, docs, at)
	case typ.Kind == value.TypeList:
		text = "ReadonlyArray<" + t.nested(typ.Elem, in, indent, docs, at) + ">"
	default:
		return t.typ(typ, in)
	}
	if typ.Optional {
		text += " | null"
	}
	return text
}

// typ writes a type.
func (t *typescript) typ(typ *value.Type, in bool) string {
	var text string
	switch typ.Kind {
	case value.TypeInt, value.TypeMoney, value.TypeFloat, value.TypeDuration:
		text = "number"
	case value.TypeBool:
		text = "boolean"
	case value.TypeTime:
		text = "Date"
	case value.TypeEnum:
		words := make([]string, len(typ.Words))
		for i, w := range typ.Words {
			words[i] = quoted(w)
		}
		text = strings.Join(words, " | ")
	case value.TypeRelation:
		text = fmt.Sprintf("Id<%q>", typ.Of)
	case value.TypeList, value.TypeObject:
		return t.nested(typ, in, "    ", nil, "")
	case value.TypeJSON:
		text = "Json"
	default:
		text = "string"
	}
	if typ.Optional {
		text += " | null"
	}
	return text
}

// quoted writes a text as a literal of TypeScript.
func quoted(text string) string { return string(value.AppendQuoted(nil, text)) }

// key writes a name as a property.
func key(name string) string {
	for i, r := range name {
		if notWord(r) && r != '_' || i == 0 && r >= '0' && r <= '9' {
			return strconv.Quote(name)
		}
	}
	return name
}
