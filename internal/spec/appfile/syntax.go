package appfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/galleybackend/galley/internal/spec"
)

// repairsMax bounds how often a file is parsed again after a mistake was mended.
const repairsMax = 20

// parse reads the file as strict YAML. After a mistake it mends the line, in memory,
// and goes on, so that all mistakes are told at once. It reports whether the tree is
// whole: one in which at most values are missing, each of which was told.
func (f *file) parse() (*node, []spec.Finding, bool) {
	p := &parsing{file: f, text: &file{name: f.name, lines: slices.Clone(f.lines)},
		mended: map[int]bool{}, whole: true}
	p.indents()
	for range repairsMax {
		tree, ok := p.try()
		if ok {
			return p.finish(tree)
		}
	}
	return p.finish(&node{pos: f.clamp(1, 1)})
}

// parsing is the work on one file: the text that is mended, the mistakes, and the
// lines they were on.
type parsing struct {
	file     *file
	text     *file
	findings []spec.Finding
	mended   map[int]bool
	whole    bool
}

// finish drops what is said of mended lines beside the mistake itself.
func (p *parsing) finish(root *node) (*node, []spec.Finding, bool) {
	if root.kind == empty && len(p.findings) == 0 {
		p.findings = append(p.findings, spec.Finding{Pos: p.file.clamp(1, 1),
			Message: p.file.name + " is empty", Help: "an app file begins with app: NAME"})
		p.whole = false
	}
	for line := range p.mended {
		forget(root, line)
	}
	return root, p.findings, p.whole
}

// forget marks the values on a line as mended, so that the reader passes over them.
func forget(n *node, line int) {
	for i, e := range n.entries {
		if e.key.pos.Line == line && e.value.kind == scalar && e.value.pos.Line == line {
			n.entries[i].value = &node{kind: mended, pos: e.value.pos, width: e.value.width}
		}
		forget(n.entries[i].value, line)
	}
	for i, item := range n.items {
		if item.kind == scalar && item.pos.Line == line {
			n.items[i] = &node{kind: mended, pos: item.pos, width: item.width}
		}
		forget(n.items[i], line)
	}
}

// mistake tells a finding at a place of the file and mends its line.
func (p *parsing) mistake(pos spec.Pos, width int, message, help string) {
	p.findings = append(p.findings,
		spec.Finding{Pos: pos, Width: width, Message: message, Help: help})
	p.mend(pos.Line)
}

// mend quotes the value on a line, or takes the line away if that was tried before
// or there is none. Only the second leaves a tree that is not whole.
func (p *parsing) mend(line int) {
	was := string(p.text.lines[line-1])
	key, value, found := strings.Cut(was, ": ")
	if found && !p.mended[line] && strings.TrimSpace(value) != "" && plainKey(key) {
		p.text.lines[line-1] = []rune(key + ": mended")
		p.mended[line] = true
		p.cover(line, value)
		return
	}
	p.whole = false
	p.text.lines[line-1] = nil
}

// cover takes away what follows a value that may go on over the lines below, as far
// as they stand deeper than its key.
func (p *parsing) cover(line int, value string) {
	if !strings.ContainsAny(strings.TrimSpace(value)[:1], "{[\"'") {
		return
	}
	depth := indentOf(p.text.lines[line-1])
	for at := line; at < len(p.text.lines); at++ {
		if below := p.text.lines[at]; indentOf(below) <= depth && len(below) > 0 {
			return
		}
		p.text.lines[at] = nil
	}
}

// plainKey reports whether the text before a colon is a key and nothing else.
func plainKey(s string) bool {
	s = strings.TrimPrefix(strings.TrimLeft(s, " "), "- ")
	return s != "" && !strings.ContainsAny(s, "{}[]\"'#&*!|>%@`")
}

// indents refuses tabs before the text of a line, which YAML cannot hold. A file
// that is JSON may have them.
func (p *parsing) indents() {
	json := strings.HasPrefix(strings.TrimSpace(p.text.text()), "{")
	for i, line := range p.text.lines {
		n := indentOf(line)
		if json {
			p.text.lines[i] = slices.Concat([]rune(strings.Repeat(" ", n)), line[n:])
			continue
		}
		if at := slices.Index(line[:n], '\t'); at >= 0 && n < len(line) && line[n] != '#' {
			p.findings = append(p.findings, spec.Finding{Pos: p.file.clamp(i+1, at+1),
				Message: "a tab in the indentation", Help: "indent with spaces"})
			p.whole = false
			p.text.lines[i] = []rune(strings.ReplaceAll(string(line[:n]), "\t", "  ") +
				string(line[n:]))
		}
	}
}

// try parses the text as it is now. It returns false if a mistake was mended.
func (p *parsing) try() (*node, bool) {
	tokens, err := p.tokens()
	if err == nil && p.foreign(tokens) {
		return nil, false
	}
	var parsed *ast.File
	if err == nil {
		parsed, err = p.document(tokens)
	}
	if err != nil {
		p.syntax(err)
		return nil, false
	}
	if len(parsed.Docs) > 1 {
		p.whole = false
		at := parsed.Docs[1].Start
		pos := p.file.clamp(1, 1)
		if at != nil {
			pos = p.file.clamp(at.Position.Line, at.Position.Column)
		}
		p.findings = append(p.findings, spec.Finding{Pos: pos, Width: 3,
			Message: "an app file is one document", Help: "remove the line ---"})
	}
	if len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil {
		return &node{pos: p.file.clamp(1, 1)}, true
	}
	t := &tree{file: p.text}
	root := t.node(parsed.Docs[0].Body, 0)
	p.findings = append(p.findings, t.findings...)
	return root, true
}

// errBroken stands for a parser that gave up without saying where.
var errBroken = errors.New("this cannot be read as YAML")

// tokens splits the text. A parser that breaks down is a mistake of the file's too.
func (p *parsing) tokens() (tokens token.Tokens, err error) {
	defer func() {
		if recover() != nil {
			err = errBroken
		}
	}()
	return lexer.Tokenize(p.text.text()), nil
}

func (p *parsing) document(tokens token.Tokens) (f *ast.File, err error) {
	defer func() {
		if recover() != nil {
			err = errBroken
		}
	}()
	return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
}

// foreign refuses the first token that the app file has no use for, and nesting
// that is too deep to be parsed.
func (p *parsing) foreign(tokens token.Tokens) bool {
	depth, entries, line := 0, 0, 0
	for _, tk := range tokens {
		pos := p.file.clamp(tk.Position.Line, tk.Position.Column)
		if pos.Line != line {
			entries, line = 0, pos.Line
		}
		switch tk.Type {
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		case token.SequenceEntryType:
			entries++
		}
		if depth > depthMax || entries > depthMax {
			p.mistake(pos, 1, fmt.Sprintf("this is nested deeper than %d levels", depthMax), "")
			return true
		}
		message, help := foreignToken(tk)
		if message != "" {
			p.mistake(pos, max(1, len([]rune(strings.TrimSpace(tk.Value)))), message, help)
			return true
		}
	}
	return false
}

// foreignToken returns what to say of a token that YAML knows and we do not.
func foreignToken(tk *token.Token) (message, help string) {
	switch tk.Type {
	case token.TagType:
		help = "quote the text"
		if rule := strings.TrimSpace(strings.TrimPrefix(tk.Value, "!")); isPath(rule) {
			help = "write " + rule + " == false, or quote the rule"
		}
		return "YAML reads ! at the start as a tag", help
	case token.AnchorType:
		return "YAML reads & at the start as an anchor, which an app file has not",
			"write the value out, or quote the text"
	case token.AliasType:
		return "YAML reads * at the start as an alias, which an app file has not",
			"write the value out, or quote the text"
	case token.MergeKeyType:
		return "an app file has no merge keys", "write the keys out"
	case token.MappingKeyType:
		return "YAML reads ? at the start as a key", "quote the text"
	case token.DirectiveType:
		return "an app file has no directives", "remove the line"
	}
	return "", ""
}

// isPath reports whether a text is names joined by dots.
func isPath(s string) bool {
	for part := range strings.SplitSeq(s, ".") {
		if !isWord(part) {
			return false
		}
	}
	return true
}

// misplaced is said of a line that stands too far left or right.
const misplaced = "this does not fit here"

// whole reports whether a value is a list or mapping that ends on its line.
func whole(value string) bool {
	return (strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") ||
		strings.HasPrefix(value, "{") && strings.HasSuffix(value, "}")) && closed(value)
}

// unclosed is the help for lists and mappings that do not end.
const unclosed = "close every [ and {, or quote the whole value"

// syntax tells a mistake that the parser found, in our words where we know the
// cause.
func (p *parsing) syntax(err error) {
	var told yaml.Error
	if !errors.As(err, &told) || told.GetToken() == nil {
		p.whole = false
		p.findings = append(p.findings, spec.Finding{Pos: p.file.clamp(1, 1),
			Message: errBroken.Error()})
		p.text.lines = [][]rune{nil}
		return
	}
	at := told.GetToken().Position
	pos := p.file.clamp(at.Line, at.Column)
	width := 1
	message, help := told.GetMessage(), ""
	line := string(p.text.lines[pos.Line-1])
	key, value, _ := strings.Cut(line, ": ")
	value = strings.TrimSpace(value)
	switch {
	case strings.Contains(message, "mapping value is not allowed"):
		message, help = `a colon with a space ends a key in YAML`, "quote rules that contain `: `"
		if start := len([]rune(key)) + 3; strings.Contains(value, ": ") && plainKey(key) {
			pos, width = p.file.clamp(pos.Line, start), len([]rune(value))
		} else if !strings.Contains(value, ": ") {
			message, help = "the next line reads as part of this value", "check its indentation"
		}
	case strings.HasPrefix(value, "\"") || strings.HasPrefix(value, "'"):
		message, help = "a value that begins with a quote ends with it", "quote the whole value"
		if strings.Count(value, value[:1]) == 1 {
			message = "the closing quote is missing"
		}
	case strings.Contains(message, "must be specified") && p.brackets(pos):
		message, help = "inside { } a [ begins a list", `quote the type, such as "string[]"`
	case strings.Contains(message, "not allowed in this context") && whole(value):
		message, help = misplaced, "check the indentation of this line"
		p.mended[pos.Line] = true // another value would be as wrong there
	case strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{"):
		help = unclosed
		if strings.HasSuffix(value, "]?") {
			message, help = "YAML ends a list with ]", `write the type as a text: "`+value+`"`
		}
	case strings.Contains(message, "must be specified"):
		help = unclosed
	case strings.Contains(message, "reserved character"):
		help = "quote the text"
	case strings.Contains(message, "unexpected key name"),
		strings.Contains(message, "non-map value"), message == "":
		message = "this line is no key with a value"
		help = "write KEY: VALUE, with a space after the colon"
	case strings.Contains(message, "not allowed in this context"):
		message, help = misplaced, "check the indentation of this line"
	}
	p.findings = append(p.findings,
		spec.Finding{Pos: pos, Width: width, Message: message, Help: help})
	if strings.Contains(message, "must be specified") {
		p.mend(p.opener(pos.Line))
		return
	}
	p.mend(pos.Line)
}

// openerMax is how many lines above a mistake its bracket is looked for.
const openerMax = 50

// opener returns the line on which the list or mapping around a line was opened, or
// the line itself.
func (p *parsing) opener(line int) int {
	for at := line; at > 0 && at > line-openerMax; at-- {
		text := string(p.text.lines[at-1])
		key, value, _ := strings.Cut(text, ": ")
		opened := strings.Count(text, "{") + strings.Count(text, "[") -
			strings.Count(text, "}") - strings.Count(text, "]")
		if opened > 0 && plainKey(key) && strings.ContainsAny(value[:min(1, len(value))], "{[") {
			return at
		}
	}
	return line
}

// brackets reports whether an empty list stands right behind a word at a place, as in
// string[].
func (p *parsing) brackets(pos spec.Pos) bool {
	line := p.text.lines[pos.Line-1]
	at := pos.Column - 1
	return at > 0 && at+1 < len(line) && line[at] == '[' && line[at+1] == ']' &&
		isWord(string(line[at-1]))
}
