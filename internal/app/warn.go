package app

import (
	"fmt"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
)

// warn tells what compiles but may not be meant.
func (c *compiler) warn() {
	for _, x := range c.app.collections {
		for _, r := range []*rule.Rule{x.Read, x.Create, x.Update, x.Delete} {
			if r != nil {
				c.warnLookups(r)
			}
		}
		if x.Name == spec.Users && x.Read != nil {
			c.warnUsers(x)
		}
	}
	for _, x := range c.app.channels {
		for _, r := range []*rule.Rule{x.Join, x.Send} {
			if r != nil {
				c.warnLookups(r)
			}
		}
	}
}

// warnUsers speaks of a read rule of users that does not look at the record.
func (c *compiler) warnUsers(x *Collection) {
	text := x.Read.Text()
	apart, _ := c.world.Compile(text, rule.Scope{NoSQL: true})
	if apart == nil || c.said(text.Pos, "# ok: public") {
		return
	}
	var fields []string
	for _, f := range x.Fields[spec.SlotFirst:] {
		if !f.Hidden && f.Read == nil && !f.Spec.System {
			fields = append(fields, f.Spec.Name)
		}
	}
	if len(fields) == 0 {
		return
	}
	who := "everybody"
	if x.Read.AuthRequired() {
		who = "every signed-in user"
	}
	c.findings = append(c.findings, spec.Finding{Severity: spec.Warning, Pos: text.Pos,
		Width:   len([]rune(text.Source)),
		Message: fmt.Sprintf("users.read lets %s read every user's %s", who, strings.Join(fields, ", ")),
		Help:    "if that is meant, say so: # ok: public"})
}

// said reports whether the line of the place, or the one before it, holds the words.
func (c *compiler) said(pos spec.Pos, words string) bool {
	lines := strings.Split(string(c.app.Spec.Files[pos.File]), "\n")
	for n := pos.Line - 1; n <= pos.Line; n++ {
		if n >= 1 && n <= len(lines) && strings.Contains(lines[n-1], words) {
			return true
		}
	}
	return false
}

// warnLookups speaks of look-ups that no index serves.
func (c *compiler) warnLookups(r *rule.Rule) {
	byLookup := map[int][]rule.Equality{}
	most := 0
	for _, e := range r.Equalities() {
		byLookup[e.Lookup] = append(byLookup[e.Lookup], e)
		most = max(most, e.Lookup)
	}
	for n := 1; n <= most; n++ {
		terms := byLookup[n]
		if len(terms) == 0 {
			continue
		}
		table := c.app.Schema.Table(terms[0].Collection)
		var fields []string
		for _, t := range terms {
			if !slices.Contains(fields, t.Field) {
				fields = append(fields, t.Field)
			}
		}
		if table == nil || covered(table, fields) {
			continue
		}
		list := strings.Join(fields, ", ")
		c.findings = append(c.findings, spec.Finding{Severity: spec.Warning, Pos: r.Text().Pos,
			Message: fmt.Sprintf("%s looks up %s by %s; no index covers it", r.Name(), table.Name,
				strings.Join(fields, " and ")),
			Help: fmt.Sprintf("add  index: [[%s]]  to %s, or unique if each may occur once",
				list, table.Name)})
	}
}

// covered reports whether an index begins with one of the fields.
func covered(t *spec.Table, fields []string) bool {
	has := func(name string) bool { return slices.Contains(fields, name) }
	return has(spec.FieldID) ||
		slices.ContainsFunc(t.Unique, func(u []string) bool { return has(u[0]) }) ||
		slices.ContainsFunc(t.Index, func(i []spec.Key) bool { return has(i[0].Field) })
}
