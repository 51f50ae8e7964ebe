package appfile

import (
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

var collectionKeys = keys{
	now:   []string{"fields", "check", "unique", "index", "hooks", "allow", "keep", "was"},
	later: []string{"search"},
}

// collection reads one collection.
func (r *reader) collection(e entry) {
	c := &spec.Collection{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
	r.spec.Collections = append(r.spec.Collections, c)
	m := r.read(e.value, c.Name, collectionKeys)
	if n := m["fields"]; n != nil {
		r.spec.Unread.All = r.spec.Unread.All || n.kind != mapping
		for _, f := range n.entries {
			r.written[c.Name+"."+f.key.text] = true
		}
		for _, f := range r.pairs(n, "fields") {
			if len(c.Fields) >= fieldMax {
				r.fail(f.key, "", "a collection has at most %d fields", fieldMax)
				break
			}
			r.field(c, f)
		}
	}
	if n := m["check"]; n != nil {
		r.checks(c, n)
	}
	if n := m["unique"]; n != nil {
		for _, set := range r.sets(n, "unique") {
			u := spec.Unique{Pos: set.pos}
			for _, item := range r.names(set, "a set of unique", setMax) {
				if r.sortable(c, item, item.text) {
					u.Fields = append(u.Fields, nameOf(item))
				}
			}
			c.Unique = append(c.Unique, u)
		}
	}
	if n := m["index"]; n != nil {
		for _, set := range r.sets(n, "index") {
			index := spec.Index{Pos: set.pos}
			for _, item := range r.names(set, "an index", setMax) {
				name, desc := strings.CutPrefix(item.text, "-")
				if r.sortable(c, item, name) {
					index.Fields = append(index.Fields,
						spec.IndexField{Name: name, Desc: desc, Pos: item.pos})
				}
			}
			c.Index = append(c.Index, index)
		}
	}
	if n := m["allow"]; n != nil {
		r.allow(c, n)
	}
	if n := m["hooks"]; n != nil {
		r.hooks(c, n)
	}
	if n := m["keep"]; n != nil {
		c.Keep = r.span(n, "keep", time.Hour, 100*365*24*time.Hour)
	}
	if n := m["was"]; n != nil {
		if text, ok := r.plain(n, "was"); ok && r.named(n, "a collection") {
			c.Was = text
			if slices.Contains(r.collections, text) {
				r.fail(n, "", "%s is still a collection of its own", text)
			}
		}
	}
}

// hookEvents are the words of hooks.
var hookEvents = []string{"create", "update", "delete"}

// hooks reads the events on which the app's code runs in the transaction.
func (r *reader) hooks(c *spec.Collection, n *node) {
	for _, item := range r.names(n, "hooks", len(hookEvents)) {
		if !slices.Contains(hookEvents, item.text) {
			r.unknown(item, hookEvents, "known are create, update, delete",
				"there is no hook %q", item.text)
			continue
		}
		c.Hooks = append(c.Hooks, nameOf(item))
	}
}

// sets returns the sets of fields of unique and index, each a list.
func (r *reader) sets(n *node, what string) []*node {
	var found []*node
	items := r.list(n, what, setMax)
	if flat := texts(items); len(flat) > 0 && len(flat) == len(items) {
		r.fail(items[0], "write "+what+": [["+strings.Join(flat, ", ")+"]]",
			"%s is a list of lists of fields", what)
		return nil
	}
	for _, item := range items {
		switch {
		case item.kind == scalar:
			r.fail(item, "write ["+item.text+"]", "%s is a list of lists of fields", what)
		case item.kind == sequence && len(item.items) == 0:
			r.fail(item, "", "%s names no field", what)
		default:
			found = append(found, item)
		}
	}
	return found
}

// sortable asks whether the collection has a field by that name that can be in an
// index.
func (r *reader) sortable(c *spec.Collection, at *node, name string) bool {
	f := r.known(c, at, name)
	if f == nil {
		return false
	}
	switch f.Type.Kind {
	case value.TypeList, value.TypeObject, value.TypeJSON:
		r.fail(at, "", "%s is a list or json, which no index can hold", name)
		return false
	}
	return true
}

// known returns the collection's field by that name, also one of the house, or tells
// that there is none. at may hold more than the name, such as -name.
func (r *reader) known(c *spec.Collection, at *node, name string) *spec.Field {
	var names []string
	for _, f := range c.All() {
		if f.Name == name {
			return f
		}
		names = append(names, f.Name)
	}
	if r.written[c.Name+"."+name] || r.spec.Unread.All {
		return nil // what is wrong with it was told where it is written
	}
	where := *at
	where.text = name
	r.unknown(&where, names, "it has "+strings.Join(names, ", "), "%s has no field %q", c.Name, name)
	return nil
}

// sendable asks whether clients can be let send a field. A rule that sets it does so
// at creation, so that it may be sent later.
func (r *reader) sendable(c *spec.Collection, at *node, creates bool) bool {
	f := r.known(c, at, at.text)
	switch {
	case f == nil:
		return false
	case f.System:
		r.fail(at, systemHelp(at.text), "%s is written by Galley itself", at.text)
		return false
	case creates && !f.Set.Empty():
		r.fail(at, "remove it here, or its set", "%s is set by a rule: what clients say is replaced",
			at.text)
		return false
	}
	return true
}

// systemHelp says what to do about a field that clients cannot be let send.
func systemHelp(name string) string {
	if name == spec.FieldID {
		return "remove it: who creates a record may always bring its id"
	}
	return "remove it"
}

// texts returns the texts of scalars.
func texts(items []*node) []string {
	var found []string
	for _, item := range items {
		if item.kind == scalar {
			found = append(found, item.text)
		}
	}
	return found
}

// needed reports whether a record cannot be made without a field being given.
func (r *reader) needed(f *spec.Field) bool {
	return !f.Type.Optional && f.Default.Kind() == value.Absent && f.Set.Empty() && !r.meant[f]
}

// checks reads the invariants.
func (r *reader) checks(c *spec.Collection, n *node) {
	for _, e := range r.pairs(n, "check") {
		if !r.named(e.key, "a check") {
			continue
		}
		if slices.Contains(spec.Codes(), e.key.text) {
			r.fail(e.key, "a check's name is the code that clients get: choose another",
				"%s is one of the house's codes", e.key.text)
			continue
		}
		if len(c.Checks) >= setMax {
			r.fail(e.key, "", "a collection has at most %d checks", setMax)
			return
		}
		c.Checks = append(c.Checks, &spec.Check{Name: e.key.text, Pos: e.key.pos,
			Doc: r.doc(e.key), Rule: r.cel(e.value, "the check "+e.key.text)})
	}
}

// allow reads who may ask for what.
func (r *reader) allow(c *spec.Collection, n *node) {
	c.Allow.Pos = n.pos
	m := r.read(n, "allow", keys{now: []string{"read", "create", "update", "delete"}})
	if rule := m["read"]; rule != nil {
		c.Allow.Read = r.grant(c, "read", rule)
	}
	if rule := m["create"]; rule != nil {
		told := len(r.findings)
		c.Allow.Create = r.grant(c, "create", rule)
		r.creatable(c, rule, len(r.findings) == told)
	}
	if rule := m["update"]; rule != nil {
		c.Allow.Update = r.grant(c, "update", rule)
	}
	if rule := m["delete"]; rule != nil {
		c.Allow.Delete = r.grant(c, "delete", rule)
	}
}

// grant reads one rule of allow: short for read and delete, with fields for create
// and update.
func (r *reader) grant(c *spec.Collection, name string, n *node) *spec.Grant {
	writes := name == "create" || name == "update"
	g := &spec.Grant{Pos: n.pos}
	if n.kind != mapping {
		g.Rule = r.cel(n, name)
		if writes && n.kind == scalar {
			r.fail(n, "write "+name+": {if: "+g.Rule.Source+", fields: [...]}",
				"%s names the fields that clients may send", name)
		}
		return g
	}
	m := r.read(n, name, keys{now: []string{"if", "fields"}})
	if m["if"] != nil {
		g.Rule = r.cel(m["if"], "if")
	} else if n.get("if") == nil {
		r.fail(n, "write {if: RULE, …}; if: true lets everybody", "%s has no rule", name)
	}
	fields := m["fields"]
	switch {
	case fields != nil && !writes:
		r.fail(fields, "who may see a field is said at the field: read: RULE",
			"%s has no fields", name)
	case fields == nil && writes && n.get("fields") == nil:
		r.fail(n, "add fields: [...]", "%s names the fields that clients may send", name)
	case fields != nil:
		for _, item := range r.names(fields, "fields", fieldMax) {
			if r.sendable(c, item, name == "create") {
				g.Fields = append(g.Fields, nameOf(item))
			}
		}
	}
	return g
}

// creatable asks whether what clients may send is enough to make a record, if nothing
// is wrong with what the grant says of it.
func (r *reader) creatable(c *spec.Collection, n *node, sound bool) {
	if c.Name == spec.Users {
		r.fail(n, "open auth.sign_up instead", "people are not created but sign up")
		return
	}
	if n.kind != mapping || !sound {
		return
	}
	fields := n.get("fields")
	if fields == nil || fields.kind != sequence {
		return
	}
	for _, f := range c.Fields {
		named := func(item *node) bool { return item.text == f.Name }
		if r.needed(f) && !slices.ContainsFunc(fields.items, named) {
			r.tell(fields, spec.Finding{Severity: spec.Warning,
				Message: "no client can create " + c.Name + ": they need " + f.Name +
					", which fields does not name",
				Help: "add it, or give it a default", See: f.Pos})
		}
	}
}
