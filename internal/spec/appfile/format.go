package appfile

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// Format returns the text of an app file in its usual form: the keys at the top in
// the order of the manual, each with the comments above it; the values of neighbours
// under fields, check, allow and define in one column; no blanks at the ends of lines
// and no blank lines in a row. It changes nothing that the file says, and gives a
// text that is in this form back as it is. A text with mistakes comes back unchanged
// with its findings.
func Format(text []byte) ([]byte, []spec.Finding) {
	f := newFile(Name, text)
	if bad, ok := f.refuse(text); ok {
		return text, []spec.Finding{bad}
	}
	tree, findings, whole := f.parse()
	if !whole || len(findings) > 0 {
		return text, findings
	}
	formatted := arrange(f, tree)
	f = newFile(Name, formatted)
	if tree, findings, _ = f.parse(); len(findings) == 0 {
		formatted = align(f, tree)
	}
	after, _, ok := newFile(Name, formatted).parse()
	if before, _, _ := newFile(Name, text).parse(); !ok || !equal(before, after, true) {
		// Better no form than another meaning.
		return text, nil
	}
	return formatted, nil
}

// arrange orders the blocks at the top and tidies blanks. A block is a key with the
// lines below it and the comments above it.
func arrange(f *file, tree *node) []byte {
	if tree.kind != mapping || tree.flow {
		return join(tidy(f.lines))
	}
	type block struct {
		rank  int
		lines [][]rune
	}
	start := func(e entry) int {
		at := e.key.pos.Line - 1
		for at > 0 && len(f.lines[at-1]) > 0 && f.lines[at-1][0] == '#' && !modeline(f.lines[at-1]) {
			at--
		}
		return at
	}
	last := len(f.lines)
	for last > 0 && (len(f.lines[last-1]) == 0 || f.lines[last-1][0] == '#') {
		last--
	}
	blocks := []block{{-1, f.lines[:start(tree.entries[0])]}, {len(order) + 1, f.lines[last:]}}
	for i, e := range tree.entries {
		end := last
		if i+1 < len(tree.entries) {
			end = start(tree.entries[i+1])
		}
		rank := slices.Index(order, e.key.text)
		if rank < 0 {
			rank = len(order)
		}
		blocks = append(blocks, block{rank, f.lines[start(e):end]})
	}
	slices.SortStableFunc(blocks, func(a, b block) int { return a.rank - b.rank })
	var lines [][]rune
	height := 0 // of the block before
	for _, b := range blocks {
		b.lines = tidy(b.lines)
		if len(b.lines) == 0 {
			continue
		}
		if (height > 1 || len(b.lines) > 1) && len(lines) > 0 && !modeline(lines[len(lines)-1]) {
			lines = append(lines, nil)
		}
		height = len(b.lines)
		lines = append(lines, b.lines...)
	}
	return join(lines)
}

// order is that of the keys at the top.
var order = append(slices.Clone(rootKeys.now[:8]), "views", "actions", "jobs", "emails",
	"webhooks", "deliveries", "proxies", "routes", "channels", "errors", "site", "edge")

// modeline reports whether a line is a word to the editor, which stays at the top.
func modeline(line []rune) bool {
	return strings.HasPrefix(string(line), "# yaml-language-server:")
}

// tidy takes away blanks at the ends of lines, blank lines at both ends, and all but
// one of several blank lines.
func tidy(lines [][]rune) [][]rune {
	var out [][]rune
	for _, line := range lines {
		line = []rune(strings.TrimRight(string(line), " \t"))
		if len(line) == 0 && (len(out) == 0 || len(out[len(out)-1]) == 0) {
			continue
		}
		out = append(out, line)
	}
	if len(out) > 0 && len(out[len(out)-1]) == 0 {
		out = out[:len(out)-1]
	}
	return out
}

// join writes the lines with one line end at the end.
func join(lines [][]rune) []byte {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(string(line))
		b.WriteByte('\n')
	}
	return []byte(strings.TrimRight(b.String(), "\n") + "\n")
}

// align puts the values of neighbours into one column.
func align(f *file, root *node) []byte {
	a := aligner{f}
	a.mapping(root.get("define"))
	if collections := root.get("collections"); collections != nil {
		for _, e := range collections.entries {
			for _, key := range []string{"fields", "check", "allow"} {
				a.mapping(e.value.get(key))
			}
		}
	}
	return join(f.lines)
}

// aligner changes the lines of a file.
type aligner struct{ *file }

// alignMax is how much longer than the shortest a key may be to count as a neighbour.
const alignMax = 24

// mapping aligns the runs of entries that stand on lines one below the other.
func (a aligner) mapping(n *node) {
	if n == nil || n.kind != mapping || n.flow {
		return
	}
	var run []entry
	for i, e := range n.entries {
		if e.value.pos.Line != e.key.pos.Line || e.value.kind == empty || !a.single(n, i) {
			a.run(run)
			run = nil
			continue
		}
		if len(run) > 0 && run[len(run)-1].key.pos.Line+1 != e.key.pos.Line {
			a.run(run)
			run = nil
		}
		run = append(run, e)
	}
	a.run(run)
}

// single reports whether an entry ends on the line on which it begins: nothing
// deeper stands on the next one.
func (a aligner) single(n *node, i int) bool {
	e := n.entries[i]
	if e.key.pos.Line >= len(a.lines) {
		return true
	}
	next := a.lines[e.key.pos.Line]
	return len(next) == 0 || indentOf(next) < e.key.pos.Column ||
		next[indentOf(next)] == '#'
}

// run aligns the values of entries.
func (a aligner) run(entries []entry) {
	if len(entries) == 0 {
		return
	}
	// colon is the column behind the colon of an entry, from 0.
	colon := func(e entry) int {
		line := a.lines[e.key.pos.Line-1]
		at := e.value.pos.Column - 1
		for at > 0 && (line[at-1] == ' ' || line[at-1] == '\t') {
			at--
		}
		return at
	}
	least, most := colon(entries[0]), 0
	for _, e := range entries {
		least, most = min(least, colon(e)), max(most, colon(e))
	}
	if most-least > alignMax {
		most = 0
	}
	for _, e := range entries {
		line, at := a.lines[e.key.pos.Line-1], colon(e)
		blanks := max(most-at, 0) + 1
		value := line[e.value.pos.Column-1:]
		a.lines[e.key.pos.Line-1] = slices.Concat(line[:at],
			[]rune(strings.Repeat(" ", blanks)), value)
	}
}

// equal reports whether two trees say the same; the order of the keys at the top
// says nothing.
func equal(a, b *node, top bool) bool {
	if a.kind != b.kind || a.text != b.text || a.quoted != b.quoted ||
		len(a.entries) != len(b.entries) || len(a.items) != len(b.items) ||
		a.rule.Source != b.rule.Source {
		return false
	}
	for i, e := range a.entries {
		other := b.entries[i]
		if top {
			at := slices.IndexFunc(b.entries, func(o entry) bool { return o.key.text == e.key.text })
			if at < 0 {
				return false
			}
			other = b.entries[at]
		}
		if e.key.text != other.key.text || !equal(e.value, other.value, false) {
			return false
		}
	}
	for i, item := range a.items {
		if !equal(item, b.items[i], false) {
			return false
		}
	}
	return true
}
