package engine

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/value"
)

// lifted is a filter whose literals stand apart as arguments, so that callers who ask
// the same of other values share a plan.
type lifted struct {
	// text has a name of the same width in each literal's place, so that columns
	// stay what they are.
	text string
	args value.Record
}

// liftMax is how many literals of a filter are lifted.
const liftMax = 10

// errLifted says that a filter must be compiled as it was written: one of its literals
// means more than its value.
var errLifted = errors.New("the filter's literals are part of it")

// lift takes numbers that are compared with, and texts that are looked for in others,
// out of a filter. What is not plainly one of these stays: a text that names a word of
// an enum, a pattern, a time. Names begin with a capital, which fields never do.
func lift(filter string) lifted {
	var b strings.Builder
	var fields []value.Field
	var slots []value.Value
	last := 0
	for i := 0; i < len(filter) && len(fields) < liftMax; {
		c := filter[i]
		end := i + 1
		var v value.Value
		var kind value.TypeKind
		switch {
		case isWord(c) && !isDigit(c):
			for end < len(filter) && isWord(filter[end]) {
				end++
			}
		case isDigit(c):
			for end < len(filter) && (isWord(filter[end]) || filter[end] == '.') {
				end++
			}
			if comparedBefore(filter[:i]) {
				v, kind = number(filter[i:end])
			}
		case c == '"' || c == '\'':
			if end = textEnd(filter, i); end < 0 {
				return lifted{text: filter}
			}
			if soughtBefore(filter[:i]) && strings.IndexByte(filter[i:end], '\\') < 0 {
				v, kind = value.OfText(filter[i+1:end-1]), value.TypeString
			}
		}
		width := utf8.RuneCountInString(filter[i:end])
		if kind != 0 && width >= 2 {
			name := "P" + strconv.Itoa(len(fields)) + strings.Repeat("_", width-2)
			b.WriteString(filter[last:i])
			b.WriteString(name)
			fields = append(fields, value.Field{Name: name, Type: value.Type{Kind: kind}})
			slots = append(slots, v)
			last = end
		}
		i = end
	}
	if len(fields) == 0 {
		return lifted{text: filter}
	}
	b.WriteString(filter[last:])
	return lifted{b.String(), value.Record{Shape: value.NewShape("literals", fields), Slots: slots}}
}

// key names the filter without its values.
func (l lifted) key() string {
	if l.args.Zero() {
		return l.text
	}
	kinds := []byte(l.text + "\x01")
	for _, f := range l.args.Shape.Fields() {
		kinds = append(kinds, byte(f.Type.Kind))
	}
	return string(kinds)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool {
	return isDigit(c) || c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// comparedBefore reports whether what stands before ends with a comparison.
func comparedBefore(text string) bool {
	text = strings.TrimRight(text, " ")
	for _, op := range []string{"<", "<=", ">", ">=", "==", "!="} {
		if strings.HasSuffix(text, op) {
			return true
		}
	}
	return false
}

// soughtBefore reports whether what stands before opens a function that looks for one
// text in another.
func soughtBefore(text string) bool {
	text = strings.TrimRight(text, " ")
	for _, f := range []string{".contains(", ".startsWith(", ".endsWith("} {
		if strings.HasSuffix(text, f) {
			return true
		}
	}
	return false
}

// number reads a plain decimal number; other forms are left where they are.
func number(text string) (value.Value, value.TypeKind) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n <= value.IntMax {
		return value.OfInt(n), value.TypeInt
	}
	whole, part, ok := strings.Cut(text, ".")
	if !ok || strings.Trim(whole+part, "0123456789") != "" || part == "" {
		return value.Value{}, 0
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return value.Value{}, 0
	}
	return value.OfFloat(f), value.TypeFloat
}

// textEnd returns where the literal that begins at i ends, or -1 if it is of a form
// that is not read here: three quotes, or no end.
func textEnd(text string, i int) int {
	quote := text[i]
	if strings.HasPrefix(text[i:], strings.Repeat(string(quote), 3)) {
		return -1
	}
	for j := i + 1; j < len(text); j++ {
		switch text[j] {
		case '\\':
			j++
		case quote:
			return j + 1
		}
	}
	return -1
}
