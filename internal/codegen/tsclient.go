package codegen

import (
	"fmt"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/sdk"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// tsModuleName is the client's package.
const tsModuleName = "@galley/client"

// Client returns the types of an app for the package @galley/client, as a module to import
// beside it: what the app file opens and nothing else. The same spec gives the same bytes.
func Client(s *spec.Spec) []byte {
	c := newTSClient(s)
	c.records()
	c.line("declare module %q {", tsModuleName)
	c.app("  ")
	c.line("}")
	body := c.b.String()
	// The module may be compiled with noUnusedLocals, so it imports what it names.
	used := types(body)
	imports := slices.DeleteFunc([]string{"Id", "Json", "ListOperator", "NumberOperator"},
		func(name string) bool { return !used[name] })
	c.b.Reset()
	c.line("// Made by Galley from the app file. It is written anew at each change.\n")
	c.line("import type { %s } from %q;\n", strings.Join(imports, ", "), tsModuleName)
	c.b.WriteString(body)
	return []byte(c.b.String())
}

// clientModule returns the client's own types with those of an app in them, for pages that
// load /galley.js.
func clientModule(s *spec.Spec) []byte {
	c := newTSClient(s)
	before, after, _ := strings.Cut(string(sdk.Types()), "export interface App {}\n")
	c.line("// Made by Galley from the app file. It is written anew at each change.\n")
	c.b.WriteString(before)
	c.app("export ")
	c.b.WriteString(after)
	c.line("")
	c.records()
	return []byte(c.b.String())
}

// tsClient writes what the client knows of one app.
type tsClient struct {
	typescript
}

func newTSClient(s *spec.Spec) *tsClient {
	c := &tsClient{typescript{spec: s}}
	c.names = recordNames(s, types(string(sdk.Types())), false, "New", "Change")
	return c
}

// reachable reports whether clients can do anything with the collection.
func reachable(c *spec.Collection) bool {
	a := c.Allow
	return !c.Quiet && (a.Read != nil || a.Create != nil || a.Update != nil || a.Delete != nil)
}

// records writes the types of what is read and sent.
func (c *tsClient) records() {
	for _, x := range c.spec.Collections {
		if !reachable(x) {
			continue
		}
		n := c.names[x.Name]
		if x.Allow.Read != nil {
			c.doc("", x.Doc)
			c.line("export interface %s {", c.names[x.Name])
			for _, f := range x.All() {
				c.field(x, f)
			}
			c.line("}\n")
		}
		if x.Allow.Create != nil {
			c.line("/** What a new record of %s is made of. */", x.Name)
			c.line("export interface New%s {", n)
			for _, f := range sent(x, x.Allow.Create) {
				mark := ""
				if f.Type.Optional || f.Default.Kind() != value.Absent || !f.Set.Empty() {
					mark = "?"
				}
				c.doc("  ", f.Doc)
				c.line("  %s%s: %s;", key(f.Name), mark, c.wire(&f.Type, true))
			}
			c.line("}\n")
		}
		if x.Allow.Update != nil {
			c.line("/** What can be changed in a record of %s. */", x.Name)
			c.line("export interface Change%s {", n)
			for _, f := range sent(x, x.Allow.Update) {
				c.doc("  ", f.Doc)
				c.line("  %s?: %s;", key(f.Name), c.wire(&f.Type, true)+c.operator(&f.Type))
			}
			c.line("}\n")
		}
	}
}

// sent returns the fields that a client may send.
func sent(x *spec.Collection, g *spec.Grant) []*spec.Field {
	var out []*spec.Field
	for _, n := range g.Fields {
		if f := x.Field(n.Name); f != nil {
			out = append(out, f)
		}
	}
	return out
}

// field writes a field of a record as it is read.
func (c *tsClient) field(x *spec.Collection, f *spec.Field) {
	if f.Hidden {
		return
	}
	typ, mark := f.Type, ""
	if f.Name == spec.FieldID {
		typ = value.Type{Kind: value.TypeRelation, Of: x.Name}
	}
	if !f.Read.Empty() {
		mark = "?" // not everybody sees it
	}
	c.doc("  ", f.Doc)
	c.line("  readonly %s%s: %s;", key(f.Name), mark, c.wire(&typ, false))
}

// operator writes the operators that an update takes beside a value.
func (c *tsClient) operator(t *value.Type) string {
	switch t.Kind {
	case value.TypeInt, value.TypeMoney, value.TypeFloat:
		return " | NumberOperator"
	case value.TypeList:
		return " | ListOperator<" + c.wire(t.Elem, true) + ">"
	}
	return ""
}

// wire writes a type as JSON has it. What comes in may be a Date, which is sent as its text.
func (c *tsClient) wire(t *value.Type, in bool) string {
	text := "string"
	switch t.Kind {
	case value.TypeInt, value.TypeMoney, value.TypeFloat:
		text = "number"
	case value.TypeBool:
		text = "boolean"
	case value.TypeTime:
		if in {
			text = "string | Date"
		}
	case value.TypeEnum:
		words := make([]string, len(t.Words))
		for i, w := range t.Words {
			words[i] = quoted(w)
		}
		text = strings.Join(words, " | ")
	case value.TypeRelation:
		text = fmt.Sprintf("Id<%q>", t.Of)
	case value.TypeList:
		text = "ReadonlyArray<" + c.wire(t.Elem, in) + ">"
	case value.TypeObject:
		text = c.shape(t.Fields, in)
	case value.TypeJSON:
		text = "Json"
	}
	if t.Optional {
		text += " | null"
	}
	return text
}

// shape writes an object. What goes in may leave out what has a default.
func (c *tsClient) shape(s *value.Shape, in bool) string {
	if s == nil {
		return "undefined"
	}
	parts := make([]string, 0, len(s.Fields()))
	for _, f := range s.Fields() {
		read, mark := "readonly ", ""
		if in {
			read = ""
		}
		if f.Type.Optional || in && f.Default.Kind() != value.Absent {
			mark = "?"
		}
		parts = append(parts, read+key(f.Name)+mark+": "+c.wire(&f.Type, in))
	}
	return "{ " + strings.Join(parts, "; ") + " }"
}

// app writes the interface that says what is open.
func (c *tsClient) app(export string) {
	in := "  "
	if export == "  " {
		in = "    "
	}
	c.doc(strings.TrimSuffix(in, "  "), "What "+c.spec.App+" opens.")
	c.line("%sinterface App {", export)
	c.line("%scollections: {", in)
	for _, x := range c.spec.Collections {
		if reachable(x) {
			c.opened(in+"  ", x)
		}
	}
	c.line("%s};", in)
	c.viewTypes(in)
	c.line("%sactions: {", in)
	for _, a := range c.spec.Actions {
		if !a.Allow.Empty() {
			c.doc(in+"  ", a.Doc)
			output := "void"
			if a.Output != nil {
				output = c.shape(a.Output, false)
			}
			c.line("%s  %s: { input: %s; output: %s };", in, key(a.Name), c.shape(a.Input, true), output)
		}
	}
	c.line("%s};", in)
	c.line("%scodes: %s;", in, c.ownCodes())
	c.line("%sproxies: %s;", in, c.proxyNames())
	c.authTypes(in)
	c.line("%s}", strings.TrimSuffix(in, "  "))
}

// opened writes what can be done with a collection.
func (c *tsClient) opened(in string, x *spec.Collection) {
	n := c.names[x.Name]
	var parts []string
	if x.Allow.Read != nil {
		parts = append(parts, "record: "+c.names[x.Name], "expand: "+c.relations(x.Fields))
	}
	if x.Allow.Create != nil {
		parts = append(parts, "create: New"+n)
	}
	if x.Allow.Update != nil {
		parts = append(parts, "update: Change"+n)
	}
	if x.Allow.Delete != nil {
		parts = append(parts, "delete: true")
	}
	c.doc(in, x.Doc)
	c.line("%s%s: { %s };", in, key(x.Name), strings.Join(parts, "; "))
}

// relations writes where the relations among fields lead.
func (c *tsClient) relations(fields []*spec.Field) string {
	var parts []string
	for _, f := range fields {
		if text := c.leads(&f.Type); text != "" && !f.Hidden {
			parts = append(parts, key(f.Name)+": "+text)
		}
	}
	if len(parts) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(parts, "; ") + " }"
}

// leads writes where a relation leads, or a list of objects that hold some, else "".
func (c *tsClient) leads(t *value.Type) string {
	mark := ""
	if t.Optional {
		mark = "; optional: true"
	}
	if t.Kind == value.TypeList {
		t, mark = t.Elem, "; many: true"
	}
	switch t.Kind {
	case value.TypeRelation:
		if to := c.spec.Collection(t.Of); to != nil && to.Allow.Read != nil {
			return fmt.Sprintf("{ to: %q%s }", t.Of, mark)
		}
	case value.TypeObject:
		var parts []string
		for _, f := range t.Fields.Fields() {
			if text := c.leads(&f.Type); text != "" {
				parts = append(parts, key(f.Name)+": "+text)
			}
		}
		if len(parts) > 0 {
			return "{ in: { " + strings.Join(parts, "; ") + " }" + mark + " }"
		}
	}
	return ""
}

// viewTypes writes the items of each view that is open.
func (c *tsClient) viewTypes(in string) {
	c.line("%sviews: {", in)
	for _, v := range c.spec.Views {
		if v.Allow.Empty() {
			continue
		}
		c.doc(in+"  ", v.Doc)
		c.line("%s  %s: %s;", in, key(v.Name), c.view(v))
	}
	c.line("%s};", in)
}

// view writes a row of a view. What its rules compute is not known here.
func (c *tsClient) view(v *spec.View) string {
	var parts []string
	for _, g := range v.Group {
		typ := "any"
		if from := c.spec.Collection(v.From); from != nil {
			for _, f := range from.All() {
				if f.Name == g.Name {
					typ = c.wire(&f.Type, false)
				}
			}
		}
		parts = append(parts, "readonly "+key(g.Name)+": "+typ)
	}
	for _, f := range v.Fields {
		parts = append(parts, "readonly "+key(f.Name)+": any")
	}
	return "{ " + strings.Join(parts, "; ") + " }"
}

// ownCodes is the union of the codes that are the app's own.
func (c *tsClient) ownCodes() string {
	var codes []string
	for _, x := range c.spec.Collections {
		for _, k := range x.Checks {
			codes = append(codes, quoted(k.Name))
		}
	}
	for _, e := range c.spec.Errors {
		codes = append(codes, quoted(e.Code))
	}
	return union(codes)
}

func (c *tsClient) proxyNames() string {
	var all []string
	for _, p := range c.spec.Proxies {
		if !p.Allow.Empty() {
			all = append(all, quoted(p.Name))
		}
	}
	return union(all)
}

// union writes a union in order, each member once.
func union(words []string) string {
	if len(words) == 0 {
		return "never"
	}
	slices.Sort(words)
	return strings.Join(slices.Compact(words), " | ")
}

// authTypes writes who signs in, and with what people sign up.
func (c *tsClient) authTypes(in string) {
	users := c.spec.Collection(spec.Users)
	if users != nil && users.Allow.Read != nil {
		c.line("%suser: %s;", in, c.names[spec.Users])
	}
	if c.spec.Auth == nil || c.spec.Auth.SignUp == nil || users == nil {
		return
	}
	parts := []string{"email: string", "password: string"}
	for _, n := range c.spec.Auth.SignUp.Fields {
		f := users.Field(n.Name)
		if f == nil {
			continue
		}
		mark := ""
		if f.Type.Optional || f.Default.Kind() != value.Absent {
			mark = "?"
		}
		parts = append(parts, key(f.Name)+mark+": "+c.wire(&f.Type, true))
	}
	c.line("%ssignUp: { %s };", in, strings.Join(parts, "; "))
}
