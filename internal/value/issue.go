package value

import (
	"fmt"
	"strconv"
	"strings"
)

// Issue is one way in which an input breaks its type.
type Issue struct {
	// Pointer is an RFC 6901 JSON Pointer in its URI fragment form, "#/items/0".
	Pointer string
	// Code is one of the Code constants.
	Code string
	// Detail is a sentence for the caller.
	Detail string
	// Params holds the bounds that were broken.
	Params []Param
}

// Param is a named figure of an Issue.
type Param struct {
	Name  string
	Value Value
}

// The codes of issues.
const (
	CodeRequired    = "required"
	CodeType        = "type"
	CodeMin         = "min"
	CodeMax         = "max"
	CodePattern     = "pattern"
	CodeEnum        = "enum"
	CodeFormat      = "format"
	CodeUnknown     = "unknown"
	CodeNotWritable = "not_writable"
)

// issuesMax bounds the issues that are told of one input.
const issuesMax = 100

// path is where in an input the reader stands: below a pointer in fragment form, by a
// text that is written only once there is something below it.
type path struct {
	base   string
	text   []byte
	issues []Issue
}

func newPath(pointer string) *path {
	if pointer == "" {
		pointer = "#"
	}
	return &path{base: pointer}
}

// pushName goes into a member and returns the length to pop to.
func (p *path) pushName(name string) int {
	n := len(p.text)
	p.text = append(append(p.text, '/'), PointerToken(name)...)
	return n
}

func (p *path) pushIndex(i int) int {
	n := len(p.text)
	p.text = strconv.AppendInt(append(p.text, '/'), int64(i), 10)
	return n
}

func (p *path) pop(n int) { p.text = p.text[:n] }

func (p *path) tell(code, format string, args ...any) {
	p.tellParams(nil, code, format, args...)
}

func (p *path) tellParams(params []Param, code, format string, args ...any) {
	if len(p.issues) < issuesMax {
		p.issues = append(p.issues, Issue{p.base + string(p.text), code, fmt.Sprintf(format, args...), params})
	}
}

// PointerToken writes a name as it stands in a JSON Pointer in fragment form.
func PointerToken(name string) string {
	const plain = "-._!$&'()*+,;=:@?"
	clean := true
	for i := range len(name) {
		if c := name[i]; !isAlnum(c) && strings.IndexByte(plain, c) < 0 {
			clean = false
			break
		}
	}
	if clean {
		return name
	}
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case c == '~':
			b.WriteString("~0")
		case c == '/':
			b.WriteString("~1")
		case isAlnum(c) || strings.IndexByte(plain, c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// Nearest returns the candidate that word was probably meant to be, or "". Equal
// but for case wins; else the least number of edits, at most one for each three
// characters.
func Nearest(word string, candidates []string) string {
	best, least := "", len(word)/3+1
	if len(word) > 64 {
		return ""
	}
	for _, c := range candidates {
		if strings.EqualFold(c, word) {
			return c
		}
		if d := edits(word, c, least+1); d < least || d == least && best == "" {
			best, least = c, d
		}
	}
	return best
}

// edits is the number of insertions, deletions, replacements and swaps of
// neighbours that make b of a; a number from bound up is only known to be that big.
func edits(a, b string, bound int) int {
	if len(a)-len(b) >= bound || len(b)-len(a) >= bound {
		return bound
	}
	two, one := make([]int, len(b)+1), make([]int, len(b)+1)
	row := make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one, row = one, row, two
	}
	return one[len(b)]
}

// meant ends a sentence with the nearest candidate, if there is one.
func meant(word string, candidates []string) string {
	if n := Nearest(word, candidates); n != "" {
		return ". Did you mean " + n + "?"
	}
	return ""
}

// quote shows a caller's text in a sentence, cut where it is long.
func quote(text string) string {
	const max = 48
	if r := []rune(text); len(r) > max {
		text = string(r[:max]) + "…"
	}
	return strconv.Quote(text)
}
