package letter

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Fields is a record as templates see it: its fields by their names. Written out it is
// its id.
type Fields map[string]any

// String returns the record's id.
func (f Fields) String() string {
	id, _ := f[spec.FieldID].(string)
	return id
}

// Day is a date, which no zone moves to another.
type Day struct{ time.Time }

// String returns the day as 2026-11-21.
func (d Day) String() string { return d.Format(time.DateOnly) }

// Nothing is the value of an optional field without one: false where a template asks, and
// written out as nothing.
type Nothing []struct{}

// String returns nothing.
func (Nothing) String() string { return "" }

// FieldsOf returns a record as templates see it; nil for no record. related returns the
// record that a relation of it points to, a zero one where it cannot be had: then the
// template sees the id.
func FieldsOf(r value.Record, related func(collection, id string) (value.Record, error)) (
	Fields, error) {
	if r.Zero() {
		return nil, nil
	}
	out := make(Fields, len(r.Slots))
	for i, f := range r.Shape.Fields() {
		v := r.Slots[i]
		if f.Type.Kind == value.TypeRelation && !v.IsNull() && related != nil {
			row, err := related(f.Type.Of, v.Text())
			if err != nil {
				return nil, err
			}
			if !row.Zero() {
				inner, err := FieldsOf(row, nil)
				if err != nil {
					return nil, err
				}
				out[f.Name] = inner
				continue
			}
		}
		out[f.Name] = plainValue(v)
	}
	return out, nil
}

func plainValue(v value.Value) any {
	switch v.Kind() {
	case value.Bool:
		return v.Bool()
	case value.Int:
		return v.Int()
	case value.Float:
		return v.Float()
	case value.Text:
		return v.Text()
	case value.Time:
		return v.Time()
	case value.Date:
		return Day{v.Time()}
	case value.Duration:
		return v.Duration()
	case value.List:
		items := make([]any, 0, len(v.List()))
		for _, item := range v.List() {
			items = append(items, plainValue(item))
		}
		return items
	case value.Object:
		out, _ := FieldsOf(v.Record(), nil) // without relations nothing can fail
		return out
	case value.JSON:
		return Decode([]byte(v.Text()))
	default:
		return Nothing(nil)
	}
}

// Decode returns JSON as templates see it; nil for what is none.
func Decode(text []byte) any {
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return named(v)
}

// named makes Fields of all objects.
func named(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(Fields, len(v))
		for name, x := range v {
			out[name] = named(x)
		}
		return out
	case []any:
		for i := range v {
			v[i] = named(v[i])
		}
	case nil:
		return Nothing(nil)
	}
	return v
}

// SampleOf returns a record as it might be. Full fills what is optional, and relations
// with records of the shapes that related returns.
func SampleOf(shape *value.Shape, full bool, related func(collection string) *value.Shape) Fields {
	out := make(Fields, shape.Len())
	for _, f := range shape.Fields() {
		out[f.Name] = sampleValue(&f.Type, full, related)
	}
	return out
}

// sampleID is the id of a record in a sample.
const sampleID = "01k9vq3k1c5f7r2m8xzd4hjnpq"

func sampleValue(t *value.Type, full bool, related func(collection string) *value.Shape) any {
	if t.Optional && !full {
		return Nothing(nil)
	}
	at := time.Date(2026, 11, 21, 8, 30, 0, 0, time.UTC)
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		return int64(1990)
	case value.TypeFloat:
		return 1.5
	case value.TypeBool:
		return full
	case value.TypeTime:
		return at
	case value.TypeDate:
		return Day{at}
	case value.TypeDuration:
		return 90 * time.Second
	case value.TypeEmail:
		return "ana@example.com"
	case value.TypeURL:
		return "https://example.com/"
	case value.TypeEnum:
		if len(t.Words) > 0 {
			return t.Words[0]
		}
	case value.TypeRelation:
		if related != nil {
			if shape := related(t.Of); shape != nil {
				return SampleOf(shape, full, nil)
			}
		}
		return sampleID
	case value.TypeID:
		return sampleID
	case value.TypeList:
		if full {
			return []any{sampleValue(t.Elem, full, nil)}
		}
		return []any{}
	case value.TypeObject:
		return SampleOf(t.Fields, full, nil)
	case value.TypeJSON:
		return Fields{}
	}
	return "Ana"
}

var (
	errorPlace = regexp.MustCompile(`^(?:html/)?template: ?([^:]+):(\d+)(?::(\d+))?: (.*)$`)
	errorAt    = regexp.MustCompile(`^executing "[^"]*" at <(.*?)>: (.*)$`)
	errorPart  = regexp.MustCompile(`at <([^>]*)>`)
	missingKey = regexp.MustCompile(`map has no entry for key "([^"]*)"`)
	looseError = regexp.MustCompile(`at <\.(record|data)\b`)
	nothingAt  = regexp.MustCompile(`nil (?:data|pointer evaluating)|can't evaluate field`)
)

// finding is an error of a template at its place.
func (t *Template) finding(of spec.Template, err error) spec.Finding {
	f := spec.Finding{Pos: spec.Pos{File: of.File, Line: 1, Column: 1}, Message: err.Error()}
	m := errorPlace.FindStringSubmatch(strings.ReplaceAll(err.Error(), "\n", " "))
	if m == nil {
		return f
	}
	column := 0
	if _, err := fmt.Sscan(m[2], &f.Pos.Line); err != nil {
		return f
	}
	if m[3] != "" {
		if _, err := fmt.Sscan(m[3], &column); err != nil {
			return f
		}
	}
	f.Pos.Column, f.Message = column+1, m[4]
	if at := errorAt.FindStringSubmatch(m[4]); at != nil {
		f.Message = at[2]
		f.Width = len([]rune(at[1]))
		lines := strings.Split(of.Source, "\n")
		if f.Pos.Line <= len(lines) {
			if i := strings.Index(lines[f.Pos.Line-1], at[1]); i >= 0 {
				f.Pos.Column = len([]rune(lines[f.Pos.Line-1][:i])) + 1
			}
		}
	}
	return f
}

// explain says what a template may ask for in the place of what is not there.
func (t *Template) explain(f spec.Finding, err error, names map[string][]string) spec.Finding {
	text := err.Error()
	switch m := missingKey.FindStringSubmatch(text); {
	case m != nil:
		var known []string
		whole := ""
		if at := errorPart.FindStringSubmatch(text); at != nil {
			whole = at[1]
		}
		for _, path := range slices.SortedFunc(maps.Keys(names), longest) {
			if strings.HasPrefix(whole, path+"."+m[1]) {
				known = names[path]
				break
			}
		}
		f.Message = fmt.Sprintf("there is no %s here", strings.TrimSpace(whole))
		if known == nil {
			known = []string{"record", "user", "app", "url", "data", "unsubscribe"}
		}
		if near := value.Nearest(m[1], known); near != "" {
			f.Help = "did you mean " + near + "?"
		} else {
			f.Help = "there are " + strings.Join(known, ", ")
		}
	case nothingAt.MatchString(text):
		f.Message = "what is looked into may be empty, or has no fields"
		f.Help = "ask first, such as {{with .record.discount}}{{.percent}}{{end}}"
	}
	return f
}

func longest(a, b string) int { return len(b) - len(a) }
