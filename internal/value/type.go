package value

import (
	"regexp"
	"strings"
)

// TypeKind names a declared type, as the app file writes it.
type TypeKind uint8

// The declared types.
const (
	TypeString TypeKind = iota + 1
	TypeText
	TypeInt
	TypeFloat
	TypeBool
	TypeMoney
	TypeTime
	TypeDate
	TypeDuration
	TypeEmail
	TypeURL
	TypeEnum
	TypeRelation
	TypeList
	TypeObject
	TypeJSON
	// TypeID is a record's own id.
	TypeID
)

// Type describes the values of a field. It is immutable once built.
type Type struct {
	Kind     TypeKind `json:"kind"`
	Optional bool     `json:"optional,omitempty"`
	// Of is the collection that a relation points to.
	Of string `json:"of,omitempty"`
	// Words are the words of an enum.
	Words []string `json:"words,omitempty"`
	// Elem is the type of a list's items.
	Elem *Type `json:"elem,omitempty"`
	// Fields are the fields of an object.
	Fields *Shape `json:"fields,omitempty"`
	// Min and Max bound a number's value, a text's length in characters, a list's
	// length or a time; nil means the type's own bound.
	Min *Bound `json:"min,omitempty"`
	Max *Bound `json:"max,omitempty"`
	// Pattern is an RE2 expression that a text must match.
	Pattern *Pattern `json:"pattern,omitempty"`
}

// Bound is a least or greatest value: Int for ints, money, lengths and the
// milliseconds of times, dates and durations; Float for floats.
type Bound struct {
	Int   int64   `json:"int,omitempty"`
	Float float64 `json:"float,omitempty"`
}

// Pattern is a compiled expression that keeps its text.
type Pattern struct {
	Text string
	re   *regexp.Regexp
}

// NewPattern compiles an RE2 expression.
func NewPattern(text string) (*Pattern, error) {
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &Pattern{Text: text, re: re}, nil
}

// Match reports whether the text matches.
func (p *Pattern) Match(text string) bool { return p.re.MatchString(text) }

// MarshalText writes the expression.
func (p *Pattern) MarshalText() ([]byte, error) { return []byte(p.Text), nil }

// UnmarshalText compiles the expression.
func (p *Pattern) UnmarshalText(text []byte) error {
	q, err := NewPattern(string(text))
	if err != nil {
		return err
	}
	*p = *q
	return nil
}

// Bounds that hold where the app file names none.
const (
	// StringMax is the greatest length of a string, in characters.
	StringMax = 255
	// TextMax is the greatest length of a text, in characters.
	TextMax = 64 << 10
	// ListMax is the greatest number of items in a list.
	ListMax = 100
	// JSONMax is the greatest size of a json value, in bytes.
	JSONMax = 64 << 10
	// IntMax is the greatest int and money; the least is its negative.
	IntMax = 1<<53 - 1
)

// ValueKind returns the kind of the values of this type.
func (t *Type) ValueKind() Kind {
	switch t.Kind {
	case TypeInt, TypeMoney:
		return Int
	case TypeFloat:
		return Float
	case TypeBool:
		return Bool
	case TypeTime:
		return Time
	case TypeDate:
		return Date
	case TypeDuration:
		return Duration
	case TypeList:
		return List
	case TypeObject:
		return Object
	case TypeJSON:
		return JSON
	default:
		return Text
	}
}

// typeNames holds the names of the types as the app file writes them.
var typeNames = [...]string{TypeString: "string", TypeText: "text", TypeInt: "int",
	TypeFloat: "float", TypeBool: "bool", TypeMoney: "money", TypeTime: "time",
	TypeDate: "date", TypeDuration: "duration", TypeEmail: "email", TypeURL: "url",
	TypeJSON: "json", TypeID: "id"}

// String returns the type as the app file writes it, without its bounds.
func (t *Type) String() string {
	text := ""
	switch t.Kind {
	case TypeRelation:
		text = t.Of
	case TypeEnum:
		text = "[" + strings.Join(t.Words, ", ") + "]"
	case TypeList:
		text = t.Elem.String() + "[]"
	case TypeObject:
		var parts []string
		for _, f := range t.Fields.Fields() {
			parts = append(parts, f.Name+": "+f.Type.String())
		}
		text = "{" + strings.Join(parts, ", ") + "}"
	default:
		text = typeNames[t.Kind]
	}
	if t.Optional {
		text += "?"
	}
	return text
}
