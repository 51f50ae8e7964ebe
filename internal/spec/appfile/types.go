package appfile

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// scalarTypes are the words for types that need nothing else.
var scalarTypes = []struct {
	word string
	kind value.TypeKind
}{
	{"string", value.TypeString},
	{"text", value.TypeText},
	{"int", value.TypeInt},
	{"money", value.TypeMoney},
	{"float", value.TypeFloat},
	{"bool", value.TypeBool},
	{"time", value.TypeTime},
	{"date", value.TypeDate},
	{"duration", value.TypeDuration},
	{"email", value.TypeEmail},
	{"url", value.TypeURL},
	{"json", value.TypeJSON},
}

func typeWords() []string {
	var words []string
	for _, t := range scalarTypes {
		words = append(words, t.word)
	}
	return words
}

// use is where a type stands.
type use uint8

const (
	// stored is a field of a collection.
	stored use = iota
	// given is a part of an action's input or output.
	given
	// inner is a part of an item of a list.
	inner
)

// typed reads a type in one of its three forms: a word, a list of words, a list of
// one mapping.
func (r *reader) typed(n *node, docs *notes) (value.Type, bool) {
	switch n.kind {
	case scalar:
		if strings.HasPrefix(n.text, "[") {
			return r.quotedEnum(n)
		}
		return r.word(n)
	case sequence:
		return r.listed(n, docs)
	case mapping:
		r.fail(n, "a list of objects is written [{…}]", "this is no type")
	}
	return value.Type{}, false
}

// word reads a type written as one word, with ? for optional and [] for a list.
func (r *reader) word(n *node) (value.Type, bool) {
	text, optional := strings.CutSuffix(strings.TrimSpace(n.text), "?")
	name, list := strings.CutSuffix(text, "[]")
	at := *n
	at.text = name
	if name != "" {
		at.width = len([]rune(name))
		if n.quoted {
			at.pos.Column++
		}
	}
	t := value.Type{}
	i := slices.Index(typeWords(), name)
	if i < 0 && r.spec.Unread.Names[name] {
		return t, false // what is wrong with the collection was told where it is written
	}
	if i < 0 && name != "file" && !slices.Contains(r.collections, name) &&
		!(list && strings.HasSuffix(name, "?")) {
		name = r.unknownType(&at)
		i = slices.Index(typeWords(), name)
	}
	switch {
	case i >= 0:
		t.Kind = scalarTypes[i].kind
	case slices.Contains(r.collections, name):
		t.Kind, t.Of = value.TypeRelation, name
	case name == "":
		return t, false
	case name == "file":
		r.fail(&at, "", "the type file is not supported yet")
		return t, false
	default:
		r.fail(n, "write "+strings.TrimSuffix(name, "?")+"[]",
			"the items of a list cannot be optional")
		return t, false
	}
	if list {
		elem := t
		t = value.Type{Kind: value.TypeList, Elem: &elem}
	}
	t.Optional = optional
	return t, true
}

// unknownType tells of a type that is none, and returns the one that was meant; "" if
// that is not known.
func (r *reader) unknownType(at *node) string {
	words := typeWords()
	help := "types are " + strings.Join(words, " ")
	if len(r.collections) > 0 {
		help += ", or the name of a collection: " + strings.Join(r.collections, ", ")
	}
	f := spec.Finding{Message: "unknown type \"" + at.text + "\"", Help: help}
	near := value.Nearest(at.text, append(words, r.collections...))
	if near == "" && slices.Contains(r.collections, at.text+"s") {
		near = at.text + "s"
	}
	if near != "" {
		f.Help, f.Fix = "did you mean "+near+"? "+help, near
	}
	r.tell(at, f)
	return near
}

// listed reads a list of words, which is an enum, or a list of one mapping, which is
// a list of objects.
func (r *reader) listed(n *node, docs *notes) (value.Type, bool) {
	if len(n.items) == 0 {
		r.fail(n, "write the words of an enum, [a, b], or the fields of a list's items, [{…}]",
			"this list says no type")
		return value.Type{}, false
	}
	if n.items[0].kind == mapping {
		if len(n.items) > 1 {
			r.fail(n.items[1], "put all fields into one { }", "a list has items of one kind")
		}
		shape := r.shape(n.items[0], "item", inner, docs)
		return value.Type{Kind: value.TypeList,
			Elem: &value.Type{Kind: value.TypeObject, Fields: shape}}, true
	}
	t := value.Type{Kind: value.TypeEnum}
	for _, item := range r.names(n, "an enum", wordsMax) {
		t.Words = append(t.Words, item.text)
		r.enumWord(item, item.text)
	}
	if len(n.items) == 1 && len(t.Words) == 1 {
		name := t.Words[0]
		if slices.Contains(r.collections, name) || slices.Contains(typeWords(), name) {
			r.tell(n.items[0], spec.Finding{
				Message: "this is an enum of the one word " + name,
				Help:    "a list of it is written " + name + "[]"})
		}
	}
	return t, len(t.Words) > 0
}

// quotedEnum reads "[a, b]?", the one way to write an enum that may be left out.
func (r *reader) quotedEnum(n *node) (value.Type, bool) {
	text, optional := strings.CutSuffix(strings.TrimSpace(n.text), "?")
	inner, ok := strings.CutSuffix(strings.TrimPrefix(text, "["), "]")
	if !ok {
		r.fail(n, `an enum that may be left out is written "[a, b]?"`, "this is no type")
		return value.Type{}, false
	}
	t := value.Type{Kind: value.TypeEnum, Optional: optional}
	for part := range strings.SplitSeq(inner, ",") {
		word := strings.TrimSpace(part)
		if !r.enumWord(n, word) {
			return t, false
		}
		if slices.Contains(t.Words, word) {
			r.fail(n, "", "%s is named twice", word)
			return t, false
		}
		t.Words = append(t.Words, word)
	}
	return t, true
}

// enumWord checks the form of a word of an enum.
func (r *reader) enumWord(at *node, word string) bool {
	ok := word != "" && len(word) <= nameMax
	for _, c := range word {
		ok = ok && (c == '_' || c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' ||
			c >= 'A' && c <= 'Z')
	}
	if !ok {
		r.fail(at, "a word has letters, digits, _ and -, at most 60 of them",
			"%q cannot be a word of an enum", word)
	}
	return ok
}

// notes collects the comments above the parts of an input or output by their paths.
type notes struct {
	path string
	docs map[string]string
}

func (n *notes) at(name string) *notes {
	if n == nil {
		return nil
	}
	return &notes{n.path + "." + name, n.docs}
}

// shape reads a mapping of names to types.
func (r *reader) shape(n *node, name string, where use, docs *notes) *value.Shape {
	var fields []value.Field
	r.spec.Unread.All = r.spec.Unread.All || n.kind != mapping
	for _, e := range r.pairs(n, name) {
		if !r.named(e.key, "a field") {
			r.unread(e.key.text)
			continue
		}
		if len(fields) >= fieldMax {
			r.fail(e.key, "", "%s has at most %d fields", name, fieldMax)
			break
		}
		part := docs.at(e.key.text)
		f := r.describe(e, where, part)
		if f == nil {
			r.unread(e.key.text)
			continue
		}
		if text := r.doc(e.key); part != nil && text != "" {
			part.docs[part.path] = text
		}
		fields = append(fields, value.Field{Name: f.Name, Type: f.Type, Default: f.Default})
	}
	return value.NewShape(name, fields)
}
