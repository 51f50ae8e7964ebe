package engine

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// The parameters of reads.
const (
	paramFilter = "filter"
	paramSort   = "sort"
	paramLimit  = "limit"
	paramCursor = "cursor"
	paramFields = "fields"
	paramExpand = "expand"
	paramTotal  = "total"
	paramSelect = "select"
	paramGroup  = "group"
)

const (
	limitDefault = 50
	limitMax     = 500
	// namesMax bounds the names in one of sort, fields, expand, group and select.
	namesMax = 50
)

var (
	getParams       = []string{paramFields, paramExpand}
	listParams      = []string{paramFilter, paramSort, paramLimit, paramCursor, paramFields, paramExpand, paramTotal}
	aggregateParams = []string{paramFilter, paramSort, paramLimit, paramSelect, paramGroup}
)

// params are the parameters of a read, each given at most once.
type params struct {
	texts url.Values
	coll  *app.Collection
	known []string
	// equal are the names of the fields that are compared with, sorted.
	equal []string
	// filter is the filter with its literals apart.
	filter lifted
}

// readParams takes the parameters that are known, and the fields by which a list may
// be narrowed. All others are mistakes.
func readParams(c *app.Collection, texts url.Values, known []string, narrow bool) (params, error) {
	p := params{texts: texts, coll: c, known: known}
	if len(texts) == 0 {
		return p, nil
	}
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if len(texts[name]) != 1 {
			return p, errParam(name, 0, "The parameter %s is given %d times.", name, len(texts[name]))
		}
		if slices.Contains(known, name) {
			continue
		}
		if _, ok := c.Usable.Index(name); ok && narrow {
			p.equal = append(p.equal, name)
			continue
		}
		return p, p.unknown(name, narrow)
	}
	return p, nil
}

func (p params) unknown(name string, narrow bool) error {
	candidates := slices.Clone(p.known)
	what := "parameter"
	if narrow {
		what = "parameter or field"
		candidates = append(candidates, p.coll.Usable.Names()...)
	}
	return errParam(name, 0, "There is no %s %s%s.", what, shown(name), meant(name, candidates))
}

func (p params) get(name string) string {
	if v := p.texts[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

func (p params) has(name string) bool { return len(p.texts[name]) > 0 }

// list splits a parameter at its commas and tells the column of each part.
func (p params) list(name string) ([]part, error) {
	text := p.get(name)
	if text == "" {
		if p.has(name) {
			return nil, errParam(name, 1, "The parameter %s is empty.", name)
		}
		return nil, nil
	}
	var out []part
	column := 1
	for s := range strings.SplitSeq(text, ",") {
		if s == "" {
			return nil, errParam(name, column, "There is an empty name in %s.", name)
		}
		out = append(out, part{s, column})
		column += len([]rune(s)) + 1
	}
	if len(out) > namesMax {
		return nil, errParam(name, 1, "The parameter %s has more than %d names.", name, namesMax)
	}
	return out, nil
}

// part is one name in a list of names.
type part struct {
	text   string
	column int
}

// limit returns the page's size; a larger one is cut to the largest.
func (p params) limit() (int, error) {
	if !p.has(paramLimit) {
		return limitDefault, nil
	}
	text := p.get(paramLimit)
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || text[0] == '+' {
		return 0, errParam(paramLimit, 1, "limit must be a whole number from 1 to %d.", limitMax)
	}
	return min(n, limitMax), nil
}

func (p params) total() (bool, error) {
	switch text := p.get(paramTotal); {
	case !p.has(paramTotal), text == "false":
		return false, nil
	case text == "true":
		return true, nil
	default:
		return false, errParam(paramTotal, 1, "total must be true or false.")
	}
}

// equalValues reads what the fields are compared with.
func (p params) equalValues(args []value.Value) ([]value.Value, error) {
	for _, name := range p.equal {
		slot, _ := p.coll.Shape.Index(name)
		t := p.coll.Shape.Fields()[slot].Type
		// What cannot be there is simply not found; how long it is, the door bounds.
		t.Min, t.Max, t.Pattern = nil, nil, nil
		if t.ValueKind() == value.Text {
			t.Max = &value.Bound{Int: BodyMax}
		}
		v, issues := value.ParseText(&t, p.get(name), "#")
		if len(issues) > 0 {
			return nil, errParam(name, 1, "The parameter %s %s.", name, issues[0].Detail)
		}
		args = append(args, v)
	}
	return args, nil
}

// paramInput reads the input of an action from parameters.
func paramInput(texts url.Values, shape *value.Shape) (value.Record, error) {
	in := value.NewRecord(shape)
	var issues []value.Issue
	names := make([]string, 0, len(texts))
	for name := range texts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		slot, ok := shape.Index(name)
		if !ok {
			return in, errParam(name, 0, "There is no parameter %s%s.", shown(name),
				meant(name, shape.Names()))
		}
		if len(texts[name]) != 1 {
			return in, errParam(name, 0, "The parameter %s is given %d times.", name, len(texts[name]))
		}
		v, found := value.ParseText(&shape.Fields()[slot].Type, texts[name][0], shape.Pointer(slot))
		in.Slots[slot] = v
		issues = append(issues, found...)
	}
	for i, f := range shape.Fields() {
		if in.Slots[i].Kind() != value.Absent || told(issues, shape, i) {
			continue
		}
		switch {
		case f.Default.Kind() != value.Absent:
			in.Slots[i] = f.Default
		case f.Type.Optional:
			in.Slots[i] = value.OfNull()
		default:
			issues = append(issues, value.Issue{Pointer: shape.Pointer(i),
				Code: value.CodeRequired, Detail: "is required"})
		}
	}
	return in, errInput(issues)
}

func errParam(name string, column int, format string, args ...any) error {
	f := fault.New(fault.Malformed, format, args...)
	f.Message = strings.Replace(f.Message, "?.", "?", 1) // a question ends its sentence
	f.At = fault.Place{Parameter: name, Column: column}
	return f
}

// errField says of a hidden field what it says of one that does not exist.
func errField(of, param string, x part, candidates []string) error {
	return errParam(param, x.column, "no field %s in %s%s.", shown(x.text), of,
		meant(x.text, candidates))
}

func meant(word string, candidates []string) string {
	if n := value.Nearest(word, candidates); n != "" {
		return ". Did you mean " + n + "?"
	}
	return ""
}

// shown quotes a caller's text, cut where it is long.
func shown(text string) string {
	if r := []rune(text); len(r) > 48 {
		text = string(r[:48]) + "…"
	}
	return strconv.Quote(text)
}
