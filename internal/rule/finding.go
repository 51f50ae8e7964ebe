package rule

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// tellAt adds a finding at a place of the file.
func (u *unit) tellAt(pos spec.Pos, width int, message, help string) {
	u.add(spec.Finding{Pos: pos, Width: width, Message: message, Help: help})
}

func (u *unit) add(f spec.Finding) {
	if u.scope.Name != "" {
		f.Message = u.scope.Name + ": " + f.Message
	}
	for _, g := range u.findings {
		if g.Pos == f.Pos && g.Message == f.Message {
			return
		}
	}
	u.findings = append(u.findings, f)
}

// tell adds a finding at the place of a part.
func (u *unit) tell(id int64, message, help string) {
	pos, width := u.place(id)
	u.add(spec.Finding{Pos: pos, Width: width, Message: message, Help: help,
		See: u.origin[id]})
}

// place returns where a part's own word stands.
func (u *unit) place(id int64) (spec.Pos, int) {
	r, ok := u.info.GetOffsetRange(id)
	if !ok {
		return u.text.Pos, 0
	}
	word := ""
	if e := u.find(id); e != nil && e.Kind() == ast.CallKind {
		word = e.AsCall().FunctionName()
	} else if e != nil && e.Kind() == ast.ComprehensionKind {
		word = u.kinds[id]
	}
	r = u.fromWord(r, word)
	loc := u.info.GetLocationByOffset(r.Start)
	return position(u.text, loc.Line(), loc.Column()), int(max(r.Stop-r.Start, 0))
}

// fromWord moves a range that begins at a call's bracket to the called name.
func (u *unit) fromWord(r ast.OffsetRange, word string) ast.OffsetRange {
	source := []rune(u.text.Source)
	n := int32(utf8.RuneCountInString(word))
	if from := r.Start - n; n > 0 && from >= 0 && int(r.Start) <= len(source) &&
		string(source[from:r.Start]) == word {
		return ast.OffsetRange{Start: from, Stop: r.Start}
	}
	return r
}

// tellWhole adds a finding about the whole expression.
func (u *unit) tellWhole(message, help string) {
	source := strings.TrimRight(u.text.Source, " \t\n")
	width := 0
	if !strings.Contains(source, "\n") {
		width = utf8.RuneCountInString(source)
	}
	u.tellAt(u.text.Pos, width, message, help)
}

func (u *unit) tellSyntax(e *cel.Error) {
	message := strings.TrimPrefix(e.Message, "Syntax error: ")
	if i := strings.Index(message, " expecting "); i > 0 {
		message = message[:i]
	}
	line, column := e.Location.Line(), e.Location.Column()
	if line < 1 {
		line, column = 1, 0
	}
	message, width, help := syntaxWords(message)
	u.tellAt(position(u.text, line, column), width, message, help)
}

var (
	strayText      = regexp.MustCompile(`^token recognition error at: '(.*)'$`)
	unexpectedText = regexp.MustCompile(`^(?:mismatched|extraneous) input '(.*?)'`)
	noneText       = regexp.MustCompile(`^no viable alternative at input '(.*)'$`)
	missingText    = regexp.MustCompile(`^missing '(.*)' at '(.*)'$`)
)

// otherWords are how other languages write what rules write otherwise.
var otherWords = map[string]string{"and": "&&", "or": "||", "not": "!", "is": "==",
	"=": "==", "&": "&&", "|": "||", "<>": "!="}

// syntaxWords says in our words what the parser has against a text, and how wide the
// word is that it is about.
func syntaxWords(message string) (said string, width int, help string) {
	const end = "<EOF>"
	word := ""
	if m := strayText.FindStringSubmatch(message); m != nil {
		word = strings.TrimSpace(m[1])
		if strings.HasPrefix(word, "'") || strings.HasPrefix(word, `"`) {
			return "a text begins here and does not end", 0, "close the quote"
		}
		said = fmt.Sprintf("%q means nothing here", word)
	} else if m := missingText.FindStringSubmatch(message); m != nil {
		if m[2] == end {
			return fmt.Sprintf("this ends without its %q", m[1]), 0, ""
		}
		return fmt.Sprintf("%q is missing before %q", m[1], m[2]), utf8.RuneCountInString(m[2]), ""
	} else if m := unexpectedText.FindStringSubmatch(message); m != nil {
		if word = m[1]; word == end {
			return "this ends too early", 0, "something is missing at its end"
		}
		said = fmt.Sprintf("%q cannot stand here", word)
	} else if m := noneText.FindStringSubmatch(message); m != nil {
		if strings.HasSuffix(m[1], ".") {
			return "a name is missing after the dot", 0, ""
		}
		return "this cannot be read", 0, ""
	} else if name, ok := strings.CutPrefix(message, "reserved identifier: "); ok {
		return name + " is a word of CEL and names nothing", utf8.RuneCountInString(name), ""
	} else {
		return "this cannot be read: " + strings.ReplaceAll(message, end, "the end"), 0, ""
	}
	if other := otherWords[strings.ToLower(word)]; other != "" {
		help = "write " + other
	}
	return said, utf8.RuneCountInString(word), help
}

var (
	overloadText  = regexp.MustCompile(`^found no matching overload for '(.+?)' applied to '(.*)'$`)
	fieldText     = regexp.MustCompile(`^undefined field '(.*)'$`)
	nameText      = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	selectionText = regexp.MustCompile(`^type '(.*)' does not support field selection$`)
	rangeText     = regexp.MustCompile(`^expression of type '(.*)' cannot be range`)
	mismatchText  = regexp.MustCompile(`^expected type '(.*)' but found '(.*)'$`)
)

// overloadError takes apart CEL's sentence about arguments that fit no overload.
func overloadError(message string) (fn string, args []string, ok bool) {
	m := overloadText.FindStringSubmatch(message)
	if m == nil {
		return "", nil, false
	}
	text := m[2]
	if receiver, rest, ok := strings.Cut(text, ".("); ok {
		text = "(" + receiver + ", " + rest
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "("), ")")
	depth, start := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '(':
			depth++
		case ')':
			depth--
		case ',':
			if depth == 0 {
				args = append(args, strings.TrimSpace(text[start:i]))
				start = i + 1
			}
		}
	}
	if last := strings.TrimSpace(text[start:]); last != "" {
		args = append(args, last)
	}
	return m[1], args, true
}

// isRecord reports whether CEL's name of a type is that of a collection.
func (w *World) isRecord(t string) bool { return w.objects[t] != nil && w.objects[t].table() }

func isText(t string) bool { return t == "string" || t == "wrapper(string)" }

// listed returns the type of a list's items by CEL's names.
func listed(t string) string {
	if inner, ok := strings.CutPrefix(t, "list("); ok {
		return strings.TrimSuffix(inner, ")")
	}
	return ""
}

// plainName turns CEL's name of a type into ours.
func plainName(t string) string {
	t = strings.ReplaceAll(t, typePrefix, "")
	if inner, ok := strings.CutPrefix(t, "wrapper("); ok {
		t = strings.TrimSuffix(inner, ")")
	}
	switch t {
	case "google.protobuf.Timestamp", "timestamp":
		return "time"
	case "google.protobuf.Duration":
		return "duration"
	case "double":
		return "float"
	case "null_type":
		return "null"
	}
	if inner := listed(t); inner != "" {
		return "list of " + plainName(inner)
	}
	return t
}

func typeName(t *types.Type) string { return plainName(cel.FormatCELType(t)) }

func article(t *types.Type) string {
	if t == nil {
		return "something else"
	}
	return "a " + typeName(t)
}

// tellType says in our words what CEL has against a part.
func (u *unit) tellType(e *cel.Error) {
	id, text := e.ExprID, e.Message
	if m := fieldText.FindStringSubmatch(text); m != nil {
		u.tellField(id, m[1])
	} else if m := nameText.FindStringSubmatch(text); m != nil {
		u.tellName(id, m[1])
	} else if fn, args, ok := overloadError(text); ok {
		u.tellOverload(id, fn, args)
	} else if m := selectionText.FindStringSubmatch(text); m != nil {
		u.tell(id, "a "+plainName(m[1])+" has no fields", "")
	} else if m := rangeText.FindStringSubmatch(text); m != nil {
		u.tell(id, "this asks each item of a list or a collection, but here is a "+
			plainName(m[1]), "")
	} else if m := mismatchText.FindStringSubmatch(text); m != nil {
		u.tell(id, "this is a "+plainName(m[2])+", but a "+plainName(m[1])+" is needed here", "")
	} else {
		u.tell(id, text, "")
	}
}

func (u *unit) tellField(id int64, field string) {
	node := u.find(id)
	var o *object
	if node != nil && node.Kind() == ast.SelectKind {
		o = u.objectOf(node.AsSelect().Operand())
	}
	if o == nil {
		u.tell(id, fmt.Sprintf("no field %q", field), "")
		return
	}
	if t := o.fieldType(field); t != nil {
		u.tell(id, fmt.Sprintf("rules cannot look into %s, which is a %s", field, t.Noun()), "")
		return
	}
	where := ""
	if u.scope.Name != "" {
		where = " (in " + plainObject(o) + ")"
	}
	message := fmt.Sprintf("no field %q in %s", field, plainObject(o))
	if u.scope.Name != "" {
		message = fmt.Sprintf("no field %q", field)
	}
	help := didYouMean(field, fieldNames(o), where)
	if help == "" && u.scope.Name != "" {
		help = plainObject(o) + " has " + strings.Join(fieldNames(o), ", ")
	}
	u.tell(id, message, help)
}

func plainObject(o *object) string {
	name, _, _ := strings.Cut(o.name, "?")
	return name
}

func fieldNames(o *object) []string {
	names := make([]string, 0, o.shape.Len())
	for _, f := range o.shape.Fields() {
		if o.fields[f.Name] != nil {
			names = append(names, f.Name)
		}
	}
	return names
}

func (u *unit) tellName(id int64, name string) {
	node := u.find(id)
	isCall := node != nil && node.Kind() == ast.CallKind
	if node != nil && node.Kind() == ast.ComprehensionKind || isCall {
		u.tellFunction(id, name)
		return
	}
	if head, _, ok := strings.Cut(name, "."); ok {
		name = head
	}
	s := u.scope
	o := u.w.table(s.Collection)
	if s.Bare && o != nil {
		if u.w.table(name) != nil {
			u.tell(id, "a filter cannot look up collections, and there is no field "+
				name+" in "+o.name, "")
			return
		}
		u.tell(id, fmt.Sprintf("no field %q in %s", name, o.name),
			didYouMean(name, append(fieldNames(o), "now"), ""))
		return
	}
	if name == "auth" {
		u.tell(id, "there is no auth, because this app has no sign-in",
			"turn it on with  auth: {sign_in: [password]}")
		return
	}
	if u.w.taken(name) {
		u.tell(id, "there is no "+name+" here", "")
		return
	}
	words := append([]string{"auth", "now", "request"}, u.w.collections()...)
	for _, v := range u.env.Variables() {
		words = append(words, v.Name())
	}
	if o != nil && o.fieldType(name) != nil {
		u.tell(id, fmt.Sprintf("no name %q here", name), "did you mean record."+name+"?")
		return
	}
	u.tell(id, fmt.Sprintf("no name %q here", name), didYouMean(name, words, ""))
}

func (u *unit) tellFunction(id int64, name string) {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	if name == operators.Index {
		u.tell(id, "rules do not take an item by its place", "ask with in, exists() or size()")
		return
	}
	var words []string
	for n := range u.env.Functions() {
		if n[0] != '_' && n[0] != '@' && n[0] != '!' && n[0] != '-' {
			words = append(words, n)
		}
	}
	for n := range u.w.defines {
		words = append(words, n)
	}
	words = append(words, "has", "all", "exists", "exists_one", "filter")
	slices.Sort(words)
	help := didYouMean(name, words, "")
	if help == "" && !u.scope.Bare {
		help = "rules of your own get a name under define:"
	}
	u.tell(id, fmt.Sprintf("no function %q", name), help)
}

func (u *unit) tellOverload(id int64, fn string, args []string) {
	names := make([]string, len(args))
	for i, a := range args {
		names[i] = plainName(a)
	}
	switch fn {
	case operators.Equals, operators.NotEquals:
		u.tellCompare(id, args, names)
		return
	case operators.In:
		if inner := listed(args[1]); inner != "" {
			u.tell(id, "cannot look for "+names[0]+" among "+plainName(inner), "")
			return
		}
	}
	if op := strings.Trim(fn, "_"); len(op) > 0 && len(op) <= 2 && len(args) == 2 {
		u.tell(id, "cannot use "+op+" between "+names[0]+" and "+names[1], numberHelp(args))
		return
	}
	u.tell(id, strings.TrimLeft(fn, "@_!-")+"() cannot be asked of "+
		strings.Join(names, ", "), "")
}

func numberHelp(args []string) string {
	if slices.Contains(args, "int") && slices.Contains(args, "double") {
		return "write both as float, such as 1.0 or double(x)"
	}
	return ""
}

func (u *unit) tellCompare(id int64, args, names []string) {
	help := ""
	switch {
	case u.w.isRecord(args[0]):
		help = fmt.Sprintf("the left side points to %s. It can equal another %s record or an id",
			names[0], names[0])
	case u.w.isRecord(args[1]):
		help = fmt.Sprintf("the right side points to %s. It can equal another %s record or an id",
			names[1], names[1])
	case slices.Contains(args, "null") && (listed(args[0]) != "" || listed(args[1]) != ""):
		help = "ask with has()"
	case slices.Contains(args, "null"):
		help = "this is never null: drop the comparison, or mark the field optional with ?"
	default:
		help = numberHelp(args)
	}
	u.tell(id, "cannot compare "+names[0]+" with "+names[1], help)
}

// didYouMean returns the help that offers the nearest of the words, or "".
func didYouMean(wrong string, words []string, where string) string {
	if near := value.Nearest(wrong, words); near != "" {
		return "did you mean " + near + where + "?"
	}
	return ""
}
