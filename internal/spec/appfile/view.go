package appfile

import (
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// The bounds of views.
const (
	viewMax      = 100
	viewFieldMax = 20
	viewLimitMax = 1000
	viewCacheMax = 30 * 24 * time.Hour
)

var viewKeys = keys{now: []string{"from", "where", "group", "fields", "sort", "limit", "cache",
	"allow"}}

// views reads the computed lists.
func (r *reader) views(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "views") {
		if !r.named(e.key, "a view") {
			continue
		}
		name := e.key.text
		if why := reserved(name); why != "" {
			r.fail(e.key, "", "%s cannot name a view: %s", name, why)
			continue
		}
		if slices.Contains(r.collections, name) {
			r.fail(e.key, "", "%s is a collection already", name)
			continue
		}
		if first := r.spec.View(name); first != nil {
			r.tell(e.key, spec.Finding{Message: name + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Views) >= viewMax {
			r.fail(e.key, "", "an app has at most %d views", viewMax)
			return
		}
		r.view(e)
	}
}

// view reads one of them.
func (r *reader) view(e entry) {
	v := &spec.View{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
	r.spec.Views = append(r.spec.Views, v)
	m := r.read(e.value, v.Name, viewKeys)
	missing := func(key, help, format string) {
		if m[key] == nil && e.value.kind == mapping && e.value.get(key) == nil {
			r.fail(e.key, help, format, v.Name)
		}
	}
	missing("from", "write from: COLLECTION", "%s does not say of which collection it is")
	missing("fields", "write fields: {sold: sum(record.quantity)}", "%s has no fields")
	if n := m["from"]; n != nil {
		if text, ok := r.plain(n, "from"); ok {
			v.From = text
			if !slices.Contains(r.collections, text) {
				r.unknown(n, r.collections, "write the name of a collection",
					"from names no collection %q", text)
			}
		}
	}
	c := r.spec.Collection(v.From)
	if n := m["where"]; n != nil {
		v.Where = r.cel(n, "where")
	}
	if n := m["group"]; n != nil && c != nil {
		items := []*node{n}
		if n.kind == sequence {
			items = r.names(n, "group", setMax)
		} else if _, ok := r.plain(n, "group"); !ok {
			items = nil
		}
		for _, item := range items {
			if r.sortable(c, item, item.text) {
				v.Group = append(v.Group, nameOf(item))
			}
		}
	}
	if n := m["fields"]; n != nil {
		r.viewFields(v, n)
	}
	if n := m["sort"]; n != nil {
		r.viewSort(v, n)
	}
	if n := m["limit"]; n != nil {
		if text, ok := r.plain(n, "limit"); ok {
			count, ok := parseCount(text)
			if !ok || count < 1 || count > viewLimitMax {
				r.fail(n, "", "limit is a number from 1 to %d", viewLimitMax)
			}
			v.Limit = int(count)
		}
	}
	if n := m["cache"]; n != nil {
		v.Cache = r.span(n, "cache", time.Second, viewCacheMax)
	}
	if n := m["allow"]; n != nil {
		v.Allow = r.cel(n, "allow")
	}
}

// viewFields reads the computed fields.
func (r *reader) viewFields(v *spec.View, n *node) {
	for _, e := range r.pairs(n, "fields") {
		if !r.named(e.key, "a field") {
			continue
		}
		if slices.ContainsFunc(v.Group, func(g spec.Name) bool { return g.Name == e.key.text }) {
			r.fail(e.key, "give it another name", "%s is what the view is grouped by", e.key.text)
			continue
		}
		if len(v.Fields) >= viewFieldMax {
			r.fail(e.key, "", "a view has at most %d fields", viewFieldMax)
			return
		}
		v.Fields = append(v.Fields, spec.ViewField{Name: e.key.text, Pos: e.key.pos,
			Rule: r.cel(e.value, "the field "+e.key.text)})
	}
}

// viewSort reads by what the view is sorted, such as -sold.
func (r *reader) viewSort(v *spec.View, n *node) {
	text, ok := r.plain(n, "sort")
	if !ok {
		return
	}
	v.Sort = text
	var names []string
	for _, g := range v.Group {
		names = append(names, g.Name)
	}
	for _, f := range v.Fields {
		names = append(names, f.Name)
	}
	for part := range strings.SplitSeq(text, ",") {
		name := strings.TrimPrefix(strings.TrimSpace(part), "-")
		if !slices.Contains(names, name) {
			at := *n
			at.text = name
			r.unknown(&at, names, "it has "+strings.Join(names, ", "),
				"%s has no field %q to sort by", v.Name, name)
		}
	}
}
