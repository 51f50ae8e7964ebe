package appfile

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// reader means what the trees say. It collects findings and goes on.
type reader struct {
	src      source
	spec     *spec.Spec
	files    map[string]*file
	roots    []*node
	findings []spec.Finding
	// broken says that a file could not be read whole, so that what is missing may
	// only be missing for that reason.
	broken bool
	// collections holds the names of all that are declared, in their order.
	collections []string
	// written holds the fields that a collection names, known or told of.
	written map[string]bool
	// meant holds the fields with a default that is wrong.
	meant map[*spec.Field]bool
}

// unread notes that what a name stands for could not be read.
func (r *reader) unread(name string) { r.spec.Unread.Names[name] = true }

// fail tells an error at a node.
func (r *reader) fail(at *node, help, format string, args ...any) {
	r.tell(at, spec.Finding{Message: fmt.Sprintf(format, args...), Help: help})
}

// tell adds a finding at a node, unless a mistake was told there already.
func (r *reader) tell(at *node, f spec.Finding) {
	if at.kind == mended {
		return
	}
	f.Pos, f.Width = at.pos, at.width
	r.findings = append(r.findings, f)
}

// unknown tells of a word that is none of the known ones, with the nearest of them,
// which it returns, or else the help.
func (r *reader) unknown(at *node, known []string, help, format string, args ...any) string {
	f := spec.Finding{Message: fmt.Sprintf(format, args...), Help: help}
	near := value.Nearest(at.text, known)
	if near != "" {
		f.Help, f.Fix = "did you mean "+near+"?", near
	}
	r.tell(at, f)
	return near
}

// keys are the keys that a mapping knows: those that work, and those whose time has
// not come.
type keys struct {
	now, later []string
}

// read returns the entries of a mapping with known keys by their names. what names
// the mapping in messages. It tells of other kinds of values, of unknown keys and of
// missing values, which it leaves out. An unknown key is told and read as the one that
// was meant, so that nothing else seems to be missing.
func (r *reader) read(n *node, what string, k keys) map[string]*node {
	found := map[string]*node{}
	for i, e := range r.entries(n, what) {
		switch name := e.key.text; {
		case slices.Contains(k.later, name):
			r.fail(e.key, "", "%s is not supported yet", name)
		case !r.given(n, i):
		case slices.Contains(k.now, name):
			found[name] = e.value
		default:
			near := r.unknown(e.key, append(slices.Clone(k.now), k.later...),
				"known are "+strings.Join(k.now, ", "), "%s has no key %q", what, name)
			if slices.Contains(k.now, near) && n.get(near) == nil && found[near] == nil {
				found[near] = e.value
			}
		}
	}
	return found
}

// pairs returns the entries of a mapping, whatever its keys; those without a value
// are told and left out.
func (r *reader) pairs(n *node, what string) []entry {
	var found []entry
	for i, e := range r.entries(n, what) {
		if r.given(n, i) {
			found = append(found, e)
		}
	}
	return found
}

// entries returns the entries of a mapping, or tells that it is none.
func (r *reader) entries(n *node, what string) []entry {
	if n.kind != mapping && n.kind != mended {
		r.fail(n, "", "%s is a mapping, not %s", what, n.noun())
	}
	return n.entries
}

// given reports whether an entry has a value, and tells if not.
func (r *reader) given(n *node, i int) bool {
	e := n.entries[i]
	switch {
	case e.value.kind != empty:
		return true
	case r.cut(n, i):
	case e.value.written:
		r.fail(e.value, "give "+e.key.text+" a value, or remove it", "an app file has no null")
	default:
		r.fail(e.key, "give it a value, or remove it", "%s has no value", e.key.text)
	}
	return false
}

// cut reports whether an entry of a flow mapping is what a comma cut off the value
// before it, and tells so at the value that was cut.
func (r *reader) cut(n *node, i int) bool {
	for from := i - 1; n.flow && from >= 0; from-- {
		before := n.entries[from]
		if before.value.kind == empty {
			continue
		}
		if before.value.kind != scalar || before.value.quoted || closed(before.value.text) {
			return false
		}
		if from == i-1 {
			r.fail(before.value, fmt.Sprintf("put `%s:` on its own line, or quote the value",
				before.key.text), "inside { } a comma ends the value")
			before.value.kind = mended
		}
		return true
	}
	return false
}

// closed reports whether the brackets of a text are closed.
func closed(s string) bool {
	return strings.Count(s, "(") <= strings.Count(s, ")") &&
		strings.Count(s, "[") <= strings.Count(s, "]")
}

// plain returns the text of a scalar; "" and false after telling of another kind.
func (r *reader) plain(n *node, what string) (string, bool) {
	if n.kind != scalar {
		if n.kind != mended {
			r.fail(n, "", "%s is a text, not %s", what, n.noun())
		}
		return "", false
	}
	if strings.TrimSpace(n.text) == "" {
		r.fail(n, "", "%s is empty", what)
		return "", false
	}
	return n.text, true
}

// cel returns a scalar as a rule.
func (r *reader) cel(n *node, what string) spec.Text {
	if n.kind == sequence || n.kind == mapping {
		r.fail(n, "quote rules that begin with [ or {", "%s is a rule, not %s", what, n.noun())
		return spec.Text{}
	}
	if _, ok := r.plain(n, what); !ok {
		return spec.Text{}
	}
	if len(n.rule.Source) > ruleMax {
		r.fail(n, "give parts of it a name with define:",
			"a rule has at most %d bytes, this one %d", ruleMax, len(n.rule.Source))
		return spec.Text{}
	}
	return n.rule
}

// truth reads true or false.
func (r *reader) truth(n *node, what string) bool {
	text, ok := r.plain(n, what)
	if ok && text != "true" && text != "false" {
		r.fail(n, "", "%s is true or false", what)
	}
	return text == "true"
}

// list returns the items of a list, at most max of them.
func (r *reader) list(n *node, what string, limit int) []*node {
	switch {
	case n.kind == mended:
		return nil
	case n.kind != sequence:
		r.fail(n, "", "%s is a list, not %s", what, n.noun())
		return nil
	case len(n.items) > limit:
		r.fail(n.items[limit], "", "%s has at most %d items", what, limit)
		return n.items[:limit]
	}
	return n.items
}

// names returns the items of a list of names, each once.
func (r *reader) names(n *node, what string, limit int) []*node {
	var found []*node
	for _, item := range r.list(n, what, limit) {
		if _, ok := r.plain(item, "an item of "+what); !ok {
			continue
		}
		same := func(other *node) bool { return other.text == item.text }
		if slices.ContainsFunc(found, same) {
			r.fail(item, "", "%s is named twice", item.text)
			continue
		}
		found = append(found, item)
	}
	return found
}

// isWord reports whether a text is lower_snake_case.
func isWord(s string) bool {
	for i, c := range s {
		if c >= 'a' && c <= 'z' || i > 0 && (c == '_' || c >= '0' && c <= '9') {
			continue
		}
		return false
	}
	return s != ""
}

// named checks the form of a name.
func (r *reader) named(key *node, what string) bool {
	switch {
	case !isWord(key.text):
		f := spec.Finding{Message: fmt.Sprintf("%q cannot name %s", key.text, what),
			Help: "a name has small letters, digits and _, and begins with a letter"}
		if fix := snake(key.text); isWord(fix) {
			f.Help, f.Fix = f.Help+": "+fix, fix
		}
		r.tell(key, f)
		return false
	case len(key.text) > nameMax:
		r.fail(key, "", "a name has at most %d characters, this one %d", nameMax, len(key.text))
		return false
	}
	return true
}

// snake writes a name in lower_snake_case.
func snake(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case c >= 'A' && c <= 'Z':
			if i > 0 && !strings.HasSuffix(b.String(), "_") {
				b.WriteByte('_')
			}
			b.WriteRune(c + 'a' - 'A')
		case c == '-' || c == ' ':
			b.WriteByte('_')
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}

// span reads a length of time such as 90s, 5m, 2h or 90d.
func (r *reader) span(n *node, what string, least, most time.Duration) time.Duration {
	text, ok := r.plain(n, what)
	if !ok {
		return 0
	}
	d, ok := parseSpan(text)
	switch {
	case !ok:
		r.fail(n, "write a number with ms, s, m, h or d, such as 90s or 30d",
			"%q is no length of time", text)
	case d < least || d > most:
		r.fail(n, "", "%s lies between %s and %s", what, spanText(least), spanText(most))
	default:
		return d
	}
	return 0
}

func parseSpan(text string) (time.Duration, bool) {
	days, isDays := strings.CutSuffix(text, "d")
	if isDays {
		text = days + "h"
	}
	d, err := time.ParseDuration(text)
	if isDays {
		if d > time.Duration(1<<62)/24 {
			return 0, false
		}
		d *= 24
	}
	return d, err == nil
}

func spanText(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("%dd", days)
	}
	return value.FormatDuration(d.Milliseconds())
}

// doc returns the comment that stands above a key: lines of nothing else, without a
// gap, at the key's own indentation.
func (r *reader) doc(key *node) string {
	f := r.files[key.pos.File]
	if f == nil {
		return ""
	}
	column := key.pos.Column - 1
	if indentOf(f.lines[key.pos.Line-1]) != column {
		return ""
	}
	var lines []string
	for at := key.pos.Line - 2; at >= 0; at-- {
		line := f.lines[at]
		if len(line) <= column || indentOf(line) != column || line[column] != '#' {
			break
		}
		text := strings.TrimPrefix(strings.TrimLeft(string(line[column:]), "#"), " ")
		if strings.HasPrefix(text, "yaml-language-server:") {
			break
		}
		lines = append(lines, strings.TrimRight(text, " \t"))
	}
	slices.Reverse(lines)
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// nameOf returns a node as a name with its place.
func nameOf(n *node) spec.Name { return spec.Name{Name: n.text, Pos: n.pos} }
