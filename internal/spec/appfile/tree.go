package appfile

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/galleybackend/galley/internal/spec"
)

// kind says what a node is.
type kind uint8

const (
	// empty is a missing or null value.
	empty kind = iota
	scalar
	mapping
	sequence
	// mended is a value of which a mistake was told already.
	mended
)

// node is a value of the file with its place: what is left of YAML once it is
// strict. A missing value is a node of kind empty, never nil.
type node struct {
	kind  kind
	pos   spec.Pos
	width int
	// text is a scalar as its author meant it, whatever YAML would make of it.
	text string
	// rule is a scalar read as CEL, with the place of each line.
	rule spec.Text
	// quoted marks scalars in quotes, flow mappings and sequences in { } and [ ].
	quoted bool
	flow   bool
	// written marks an empty node for which null or ~ is written.
	written bool
	entries []entry
	items   []*node
}

// entry is a key of a mapping with its value.
type entry struct{ key, value *node }

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	for _, e := range n.entries {
		if e.key.text == key {
			return e.value
		}
	}
	return nil
}

// noun names the node's kind in a sentence.
func (n *node) noun() string {
	return [...]string{"nothing", "a text", "a mapping", "a list", "nothing"}[n.kind]
}

// file is a text with its lines, which places are counted in.
type file struct {
	name  string
	lines [][]rune
}

// newFile splits a text into lines. A byte order mark and the carriage returns of
// line ends are no part of them.
func newFile(name string, text []byte) *file {
	s := strings.TrimPrefix(string(text), "\ufeff")
	f := &file{name: name}
	for line := range strings.SplitSeq(s, "\n") {
		f.lines = append(f.lines, []rune(strings.TrimSuffix(line, "\r")))
	}
	return f
}

// text returns the lines as the YAML parser gets them.
func (f *file) text() string {
	var b strings.Builder
	for _, line := range f.lines {
		b.WriteString(string(line))
		b.WriteByte('\n')
	}
	return b.String()
}

// clamp returns the nearest place inside the file.
func (f *file) clamp(line, column int) spec.Pos {
	line = min(max(line, 1), len(f.lines))
	column = min(max(column, 1), len(f.lines[line-1])+1)
	return spec.Pos{File: f.name, Line: line, Column: column}
}

// tree turns the parser's nodes into ours.
type tree struct {
	*file
	findings []spec.Finding
}

func (t *tree) fail(pos spec.Pos, width int, message, help string) {
	t.findings = append(t.findings,
		spec.Finding{Pos: pos, Width: width, Message: message, Help: help})
}

// node converts one node that stands at the given depth.
func (t *tree) node(from ast.Node, depth int) *node {
	if from == nil || from.GetToken() == nil {
		return &node{pos: t.clamp(1, 1)}
	}
	tk := from.GetToken()
	n := &node{pos: t.clamp(tk.Position.Line, tk.Position.Column), width: 1}
	if depth > depthMax {
		t.fail(n.pos, 1, "this is nested deeper than 16 levels", "")
		return n
	}
	switch from := from.(type) {
	case *ast.MappingNode:
		n.kind, n.flow = mapping, from.IsFlowStyle
		t.entries(n, from.Values, depth)
	case *ast.MappingValueNode:
		n.kind = mapping
		t.entries(n, []*ast.MappingValueNode{from}, depth)
	case *ast.SequenceNode:
		n.kind, n.flow = sequence, from.IsFlowStyle
		for _, v := range from.Values {
			n.items = append(n.items, t.node(v, depth+1))
		}
	case *ast.NullNode:
		n.written = tk.Type != token.ImplicitNullType
		if n.written {
			n.width = len(tk.Value)
		}
	case *ast.LiteralNode:
		t.block(n, from)
	default:
		t.scalar(n, tk)
	}
	return n
}

// entries converts the entries of a mapping and refuses keys that come twice.
func (t *tree) entries(n *node, values []*ast.MappingValueNode, depth int) {
	seen := map[string]spec.Pos{}
	for _, v := range values {
		key := &node{kind: scalar, width: 1}
		tk := v.Key.GetToken()
		key.pos = t.clamp(tk.Position.Line, tk.Position.Column)
		t.scalar(key, tk)
		if len(seen) == 0 && !n.flow {
			n.pos, n.width = key.pos, key.width
		}
		if first, twice := seen[key.text]; twice {
			t.findings = append(t.findings, spec.Finding{Pos: key.pos, Width: key.width,
				Message: key.text + " is written twice", Help: "keep one of them", See: first})
			continue
		}
		seen[key.text] = key.pos
		value := t.node(v.Value, depth+1)
		if value.kind == empty && !value.written {
			value.pos, value.width = key.pos, key.width
		}
		n.entries = append(n.entries, entry{key, value})
	}
}

// scalar fills in a plain or quoted scalar.
func (t *tree) scalar(n *node, tk *token.Token) {
	n.kind, n.text = scalar, tk.Value
	if tk.Type == token.SingleQuoteType || tk.Type == token.DoubleQuoteType {
		n.quoted = true
		double := tk.Type == token.DoubleQuoteType
		quote := "'"
		if double {
			quote = `"`
		}
		n.pos = t.locate(n.pos, quote)
		t.unquote(n, double)
		return
	}
	lines := strings.Split(strings.TrimSpace(tk.Origin), "\n")
	n.pos = t.locate(n.pos, strings.TrimSpace(lines[0]))
	if len(lines) == 1 {
		n.width = max(1, len([]rune(n.text)))
		n.rule = spec.Text{Source: n.text, Pos: n.pos}
		return
	}
	t.fold(n, lines, n.pos.Line)
	n.width = max(1, len([]rune(strings.TrimSpace(lines[0]))))
	n.rule.Lines[0] = n.pos
}

// locate returns where a text stands on the line of a place, nearest to the place:
// the parser is sometimes off by a few columns where characters have several bytes.
func (t *tree) locate(pos spec.Pos, text string) spec.Pos {
	line, want := t.lines[pos.Line-1], []rune(text)
	for off := range len(line) + 1 {
		for _, at := range []int{pos.Column - 1 - off, pos.Column - 1 + off} {
			if at >= 0 && at+len(want) <= len(line) && slices.Equal(line[at:at+len(want)], want) {
				pos.Column = at + 1
				return pos
			}
		}
	}
	return pos
}

// block fills in a scalar that follows > or | on the lines below.
func (t *tree) block(n *node, from *ast.LiteralNode) {
	n.kind, n.quoted, n.text = scalar, true, strings.TrimRight(from.Value.Value, "\n")
	n.width = max(1, len(from.Start.Value))
	body := strings.TrimRight(from.Value.GetToken().Origin, " \n")
	t.fold(n, strings.Split(body, "\n"), n.pos.Line+1)
}

// fold makes the rule of a scalar over several lines: it keeps the ends of the
// lines, which mean nothing in CEL, so that places stay exact.
func (t *tree) fold(n *node, lines []string, first int) {
	var source strings.Builder
	for i, line := range lines {
		line = strings.TrimSpace(line)
		if i > 0 {
			source.WriteByte('\n')
		}
		source.WriteString(line)
		indent := 0
		if at := first + i; at <= len(t.lines) {
			indent = indentOf(t.lines[at-1])
		}
		n.rule.Lines = append(n.rule.Lines, t.clamp(first+i, indent+1))
	}
	n.rule.Source = source.String()
	n.rule.Pos = n.rule.Lines[0]
}

func indentOf(line []rune) int {
	n := 0
	for n < len(line) && (line[n] == ' ' || line[n] == '\t') {
		n++
	}
	return n
}

// unquote finds the place of each character of a quoted scalar. Where it differs
// from what the parser read, the place of the quote has to do for all.
func (t *tree) unquote(n *node, double bool) {
	u := unquoter{tree: t, line: n.pos.Line, column: n.pos.Column + 1}
	ok := u.read(double)
	n.width = 1
	if u.line == n.pos.Line {
		n.width = max(1, u.column-n.pos.Column)
	}
	n.rule = spec.Text{Source: n.text, Pos: t.clamp(n.pos.Line, n.pos.Column+1)}
	if ok && string(u.out) == n.text && !u.plain {
		n.rule.Places = u.places
	}
}

// unquoter walks over a quoted scalar in the lines of a file. plain says that no
// escape and no line end was met, so that counting columns is enough.
type unquoter struct {
	*tree
	line, column int
	out          []rune
	places       []spec.Pos
	plain        bool
}

func (u *unquoter) emit(c rune, column int) {
	u.out = append(u.out, c)
	u.places = append(u.places, u.clamp(u.line, column))
}

// read goes to the closing quote and reports whether it understood all before it.
func (u *unquoter) read(double bool) bool {
	u.plain = true
	for u.line <= len(u.lines) {
		line := u.lines[u.line-1]
		if u.column > len(line) {
			u.next()
			continue
		}
		c, at := line[u.column-1], u.column
		u.column++
		switch {
		case double && c == '"':
			return true
		case !double && c == '\'':
			if u.column > len(line) || line[u.column-1] != '\'' {
				return true
			}
			u.plain = false
			u.column++
			u.emit('\'', at)
		case double && c == '\\':
			u.plain = false
			if !u.escape(line, at) {
				return false
			}
		default:
			u.emit(c, at)
		}
	}
	return false
}

// next folds a line end into one blank.
func (u *unquoter) next() {
	u.plain = false
	for len(u.out) > 0 && u.out[len(u.out)-1] == ' ' {
		u.out, u.places = u.out[:len(u.out)-1], u.places[:len(u.places)-1]
	}
	u.emit(' ', u.column)
	u.line++
	if u.line <= len(u.lines) {
		u.column = indentOf(u.lines[u.line-1]) + 1
	}
}

// escape reads one of the escapes that rules need; of others it reports false.
func (u *unquoter) escape(line []rune, at int) bool {
	if u.column > len(line) {
		return false
	}
	c := line[u.column-1]
	u.column++
	plain, ok := map[rune]rune{'"': '"', '\\': '\\', '/': '/', 'n': '\n', 't': '\t'}[c]
	if ok {
		u.emit(plain, at)
	}
	return ok
}
