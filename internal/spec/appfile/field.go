package appfile

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// The keys of a field's long form, by where it stands.
var (
	storedKeys = keys{
		now: []string{"type", "default", "set", "min", "max", "pattern", "unique", "on_delete",
			"read", "was"},
		later: []string{"accept", "personal"},
	}
	givenKeys = keys{
		now:   []string{"type", "default", "min", "max", "pattern"},
		later: []string{"accept"},
	}
)

// field reads one field of a collection.
func (r *reader) field(c *spec.Collection, e entry) {
	name := e.key.text
	known := len(c.Fields)
	defer func() {
		if len(c.Fields) == known {
			r.unread(name)
		}
	}()
	if !r.named(e.key, "a field") {
		return
	}
	system := func(f *spec.Field) bool { return f.Name == name }
	switch {
	case slices.ContainsFunc(spec.SystemFields(c.Name), system):
		r.fail(e.key, "remove it", "every record of %s has %s already", c.Name, name)
		return
	case name == "expand":
		r.fail(e.key, "", "expand cannot name a field: answers hold what was expanded there")
		return
	case slices.Contains([]string{"in", "true", "false", "null"}, name):
		r.fail(e.key, "", "%s cannot name a field: it is a word of the rule language", name)
		return
	}
	f := r.describe(e, stored, nil)
	if f == nil {
		return
	}
	f.Doc = r.doc(e.key)
	if f.Was != "" && c.Field(f.Was) != nil {
		r.fail(e.value.get("was"), "", "%s is still a field of its own", f.Was)
	}
	c.Fields = append(c.Fields, f)
}

// describe reads a field in its short or long form; nil if its type is not known.
func (r *reader) describe(e entry, where use, docs *notes) *spec.Field {
	f := &spec.Field{Name: e.key.text, Pos: e.key.pos, TypePos: e.value.pos}
	if e.value.kind != mapping {
		t, ok := r.typed(e.value, docs)
		f.Type = t
		return when(ok, f)
	}
	k := givenKeys
	if where == stored {
		k = storedKeys
	}
	m := r.read(e.value, f.Name, k)
	n := m["type"]
	if n == nil {
		if e.value.get("type") == nil {
			r.fail(e.key, "write {type: string, …}", "%s has no type", f.Name)
		}
		return nil
	}
	f.TypePos = n.pos
	t, ok := r.typed(n, docs)
	if !ok {
		return nil
	}
	f.Type = t
	r.bounds(&f.Type, m)
	if where == stored {
		r.storing(f, m)
	}
	if n := m["default"]; n != nil {
		r.fill(f, n)
	}
	return f
}

func when(ok bool, f *spec.Field) *spec.Field {
	if !ok {
		return nil
	}
	return f
}

// storing reads what only fields of collections have.
func (r *reader) storing(f *spec.Field, m map[string]*node) {
	if n := m["set"]; n != nil {
		f.Set = r.cel(n, "set")
		if m["default"] != nil {
			r.fail(n, "keep one of them", "set replaces what default fills in")
		}
	}
	if n := m["unique"]; n != nil {
		f.Unique = r.truth(n, "unique")
		switch f.Type.Kind {
		case value.TypeList, value.TypeObject, value.TypeJSON:
			r.fail(n, "", "a list or json cannot be unique")
		}
	}
	if n := m["on_delete"]; n != nil {
		r.onDelete(f, n)
	}
	if n := m["read"]; n != nil {
		if n.kind == scalar && !n.quoted && n.text == "false" {
			f.Hidden = true
		} else {
			f.Read = r.cel(n, "read")
		}
	}
	if n := m["was"]; n != nil {
		if text, ok := r.plain(n, "was"); ok && r.named(n, "a field") {
			f.Was = text
		}
	}
}

// onDelete reads what becomes of a record when the one it points to is deleted.
func (r *reader) onDelete(f *spec.Field, n *node) {
	text, ok := r.plain(n, "on_delete")
	if !ok {
		return
	}
	known := []string{spec.OnDeleteInUse, spec.OnDeleteCascade, spec.OnDeleteClear}
	switch {
	case f.Type.Kind != value.TypeRelation:
		r.fail(n, "", "on_delete is for relations, not for %s", r.typeName(&f.Type))
	case !slices.Contains(known, text):
		r.unknown(n, known, "known are "+strings.Join(known, ", "), "unknown on_delete %q", text)
	case text == spec.OnDeleteClear && !f.Type.Optional:
		r.fail(n, "write "+f.Type.Of+"?", "clear is for relations that are optional")
	default:
		f.OnDelete = text
	}
}

// typeName names a type as the app file writes it.
func (r *reader) typeName(t *value.Type) string {
	for _, s := range scalarTypes {
		if s.kind == t.Kind {
			return s.word
		}
	}
	switch t.Kind {
	case value.TypeRelation:
		return t.Of
	case value.TypeEnum:
		return "an enum"
	}
	return "a list"
}

// bounds reads min, max and pattern into the type.
func (r *reader) bounds(t *value.Type, m map[string]*node) {
	low, high := m["min"], m["max"]
	if low != nil {
		t.Min = r.bound(t, low, "min")
	}
	if high != nil {
		t.Max = r.bound(t, high, "max")
	}
	if t.Min != nil && t.Max != nil &&
		(t.Min.Int > t.Max.Int || t.Min.Float > t.Max.Float) {
		r.fail(high, "", "max is less than min")
	}
	n := m["pattern"]
	if n == nil {
		return
	}
	text, ok := r.plain(n, "pattern")
	switch {
	case !ok:
	case t.Kind != value.TypeString && t.Kind != value.TypeText:
		r.fail(n, "", "pattern is for string and text, not for %s", r.typeName(t))
	case len(text) > patternMax:
		r.fail(n, "", "a pattern has at most %d bytes", patternMax)
	default:
		pattern, err := value.NewPattern(text)
		if err != nil {
			r.fail(n, "patterns are RE2 expressions", "%s",
				strings.TrimPrefix(err.Error(), "error parsing regexp: "))
			return
		}
		t.Pattern = pattern
	}
}

// bound reads one bound in the terms of its type.
func (r *reader) bound(t *value.Type, n *node, what string) *value.Bound {
	text, ok := r.plain(n, what)
	if !ok {
		return nil
	}
	most := int64(0)
	switch t.Kind {
	case value.TypeInt, value.TypeMoney, value.TypeFloat, value.TypeTime, value.TypeDate,
		value.TypeDuration:
		return r.valueBound(t, n, what)
	case value.TypeString, value.TypeText, value.TypeEmail, value.TypeURL:
		most = textMax
	case value.TypeList:
		most = listMax
	default:
		r.fail(n, "", "%s has no %s", r.typeName(t), what)
		return nil
	}
	count, ok := parseCount(text)
	if !ok || count > most {
		r.fail(n, "", "%s of %s is a whole number from 0 to %d", what, r.typeName(t), most)
		return nil
	}
	return &value.Bound{Int: count}
}

// valueBound reads a bound that is itself a value of the type.
func (r *reader) valueBound(t *value.Type, n *node, what string) *value.Bound {
	base := value.Type{Kind: t.Kind}
	v, issues := value.ParseText(&base, n.text, "")
	if len(issues) > 0 {
		r.fail(n, "", "%s of %s is %s", what, r.typeName(t), base.Noun())
		return nil
	}
	if t.Kind == value.TypeFloat {
		return &value.Bound{Float: v.Float()}
	}
	return &value.Bound{Int: v.Int()}
}

// parseCount reads a whole number without a sign.
func parseCount(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

// fill reads a default and checks it against the type and its bounds.
func (r *reader) fill(f *spec.Field, n *node) {
	switch {
	case n.kind == mended:
		return
	case f.Type.Kind == value.TypeRelation:
		r.fail(n, "set: auth fills in who creates the record", "a relation has no default")
		return
	}
	r.meant[f] = true
	t := f.Type
	text := n.text
	if n.kind != scalar || t.Kind == value.TypeJSON || t.Kind == value.TypeList {
		text = jsonOf(n, &t)
	}
	v, issues := value.ParseText(&t, text, "")
	if len(issues) == 0 {
		f.Default = v
		delete(r.meant, f)
		return
	}
	detail, _, _ := strings.Cut(issues[0].Detail, ". ")
	finding := spec.Finding{Message: "the default " + detail}
	if at := strings.TrimPrefix(issues[0].Pointer, "#"); at != "" {
		finding.Message = fmt.Sprintf("the default at %s %s", at, detail)
	}
	if near := value.Nearest(n.text, t.Words); t.Kind == value.TypeEnum && near != "" {
		finding.Help, finding.Fix = "did you mean "+near+"?", near
	}
	r.tell(n, finding)
}

// jsonOf writes a node as JSON. A scalar becomes a text where the type wants one, or
// where it was quoted; else what YAML makes of it.
func jsonOf(n *node, t *value.Type) string {
	switch n.kind {
	case sequence:
		elem := t.Elem
		if elem == nil {
			elem = &value.Type{Kind: value.TypeJSON}
		}
		var items []string
		for _, item := range n.items {
			items = append(items, jsonOf(item, elem))
		}
		return "[" + strings.Join(items, ",") + "]"
	case mapping:
		var members []string
		for _, e := range n.entries {
			part := &value.Type{Kind: value.TypeJSON}
			if t.Fields != nil {
				if slot, ok := t.Fields.Index(e.key.text); ok {
					part = &t.Fields.Fields()[slot].Type
				}
			}
			members = append(members, string(value.AppendQuoted(nil, e.key.text))+":"+
				jsonOf(e.value, part))
		}
		return "{" + strings.Join(members, ",") + "}"
	case scalar:
		if n.quoted || t.ValueKind() != value.JSON && !bare(t.ValueKind()) || !isLiteral(n.text) {
			return string(value.AppendQuoted(nil, n.text))
		}
		return n.text
	}
	return "null"
}

// bare reports whether values of the kind stand in JSON without quotes.
func bare(k value.Kind) bool { return k == value.Int || k == value.Float || k == value.Bool }

// isLiteral reports whether a text is a JSON number or truth.
func isLiteral(s string) bool {
	if s == "true" || s == "false" {
		return true
	}
	_, issues := value.ParseText(&value.Type{Kind: value.TypeFloat}, s, "")
	return len(issues) == 0
}
