package query

import (
	"fmt"
	"regexp/syntax"
	"strings"
	"unicode"
)

// repeatMax is the greatest number that a store's own patterns can count to.
const repeatMax = 255

// Pattern writes an RE2 expression in the words of POSIX's extended expressions with
// look-around, for a store that has no RE2, so that both match the same texts. It uses
// nothing that depends on a language: letters are listed by their numbers. exact is for
// texts in which U+0000 and U+0001 stand as the pairs U+0001 U+FFFE and U+0001 U+FFFF,
// plain for those in which neither is. The error says what has no such form.
func Pattern(re2 string) (plain, exact string, err error) {
	tree, err := syntax.Parse(re2, syntax.Perl)
	if err != nil {
		return "", "", err
	}
	var p, e patternWriter
	e.exact = true
	p.write(tree)
	e.write(tree)
	if p.err != nil {
		return "", "", p.err
	}
	// "***:" says that the words are those of extended expressions whatever a server
	// is set to.
	return "***:" + p.String(), "***:" + e.String(), nil
}

type patternWriter struct {
	strings.Builder
	exact bool
	err   error
}

func (w *patternWriter) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf(format, args...)
	}
}

// wordClass holds the letters of which words are made, for \b.
const wordClass = "[0-9A-Z_a-z]"

func (w *patternWriter) write(re *syntax.Regexp) {
	switch re.Op {
	case syntax.OpNoMatch:
		w.WriteString("(?:(?!))")
	case syntax.OpEmptyMatch:
		w.WriteString("(?:)")
	case syntax.OpLiteral:
		for _, r := range re.Rune {
			w.literal(r, re.Flags&syntax.FoldCase != 0)
		}
	case syntax.OpCharClass:
		w.class(re.Rune)
	case syntax.OpAnyCharNotNL:
		w.class([]rune{0, '\n' - 1, '\n' + 1, unicode.MaxRune})
	case syntax.OpAnyChar:
		w.class([]rune{0, unicode.MaxRune})
	case syntax.OpBeginText:
		w.WriteString(`(?:\A)`)
	case syntax.OpEndText:
		w.WriteString(`(?:\Z)`)
	case syntax.OpBeginLine:
		w.WriteString(`(?:\A|(?<=\n))`)
	case syntax.OpEndLine:
		w.WriteString(`(?:\Z|(?=\n))`)
	case syntax.OpWordBoundary:
		w.WriteString("(?:(?<=" + wordClass + ")(?!" + wordClass + ")|(?<!" + wordClass + ")(?=" +
			wordClass + "))")
	case syntax.OpNoWordBoundary:
		w.WriteString("(?:(?<=" + wordClass + ")(?=" + wordClass + ")|(?<!" + wordClass + ")(?!" +
			wordClass + "))")
	case syntax.OpCapture:
		w.group(re.Sub[0])
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		w.repeat(re)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			w.write(sub)
		}
	case syntax.OpAlternate:
		w.WriteString("(?:")
		for i, sub := range re.Sub {
			if i > 0 {
				w.WriteByte('|')
			}
			w.write(sub)
		}
		w.WriteByte(')')
	default:
		w.fail("%s cannot be asked of every database", re)
	}
}

func (w *patternWriter) group(re *syntax.Regexp) {
	w.WriteString("(?:")
	w.write(re)
	w.WriteByte(')')
}

// repeat writes a repetition. That of what matches nothing but a place is refused,
// because not every engine ends it.
func (w *patternWriter) repeat(re *syntax.Regexp) {
	if onlyPlaces(re.Sub[0]) {
		w.fail("%s repeats a place in the text, which cannot be asked of every database", re)
		return
	}
	w.group(re.Sub[0])
	switch re.Op {
	case syntax.OpStar:
		w.WriteByte('*')
	case syntax.OpPlus:
		w.WriteByte('+')
	case syntax.OpQuest:
		w.WriteByte('?')
	default:
		switch {
		case re.Min > repeatMax || re.Max > repeatMax:
			w.fail("%s repeats more than %d times, which cannot be asked of every database",
				re, repeatMax)
		case re.Max < 0:
			fmt.Fprintf(w, "{%d,}", re.Min)
		default:
			fmt.Fprintf(w, "{%d,%d}", re.Min, re.Max)
		}
	}
}

// onlyPlaces reports whether nothing in the tree takes a character.
func onlyPlaces(re *syntax.Regexp) bool {
	switch re.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return false
	}
	for _, sub := range re.Sub {
		if !onlyPlaces(sub) {
			return false
		}
	}
	return true
}

func (w *patternWriter) literal(r rune, fold bool) {
	set := []rune{r, r}
	if fold {
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			set = append(set, f, f)
		}
	}
	w.class(set)
}

// The characters with which pairs begin and end.
const (
	pairBegin = '\x01'
	pairNul   = '\uFFFE'
	pairOne   = '\uFFFF'
)

// class writes a set of characters, given as ranges. What ends a pair is such a
// character by itself only where no pair begins before it.
func (w *patternWriter) class(ranges []rune) {
	var set strings.Builder
	var more []string
	for i := 0; i < len(ranges); i += 2 {
		w.ranges(&set, ranges[i], ranges[i+1])
		for _, r := range []rune{0, pairBegin, pairNul, pairOne} {
			if !w.exact || r < ranges[i] || r > ranges[i+1] {
				continue
			}
			switch r {
			case 0:
				more = append(more, `\u0001\uFFFE`)
			case pairBegin:
				more = append(more, `\u0001\uFFFF`)
			default:
				more = append(more, fmt.Sprintf(`(?<!\u0001)\u%04X`, r))
			}
		}
	}
	text := "[" + set.String() + "]"
	switch {
	case set.Len() == 0 && len(more) == 0:
		text = "(?:(?!))"
	case set.Len() == 0:
		text = "(?:" + strings.Join(more, "|") + ")"
	case len(more) > 0:
		text = "(?:" + text + "|" + strings.Join(more, "|") + ")"
	}
	w.WriteString(text)
}

// ranges writes the range without U+0000, which no text there holds, and without
// what pairs are made of where there are pairs.
func (w *patternWriter) ranges(b *strings.Builder, low, high rune) {
	cut := []rune{0}
	if w.exact {
		cut = []rune{0, pairBegin, pairNul, pairOne}
	}
	// Halves of surrogate pairs are no characters.
	type hole struct{ low, high rune }
	holes := []hole{{0xD800, 0xDFFF}}
	for _, r := range cut {
		holes = append(holes, hole{r, r})
	}
	for low <= high {
		end, next := high, high+1
		for _, h := range holes {
			if low >= h.low && low <= h.high {
				end, next = low-1, h.high+1
				break
			}
			if h.low > low && h.low <= end {
				end, next = h.low-1, h.low
			}
		}
		if end >= low {
			writeRune(b, low)
			if end > low {
				b.WriteByte('-')
				writeRune(b, end)
			}
		}
		low = next
	}
}

func writeRune(b *strings.Builder, r rune) {
	switch {
	case r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == ' ':
		b.WriteRune(r)
	case r <= 0xFFFF:
		fmt.Fprintf(b, `\u%04X`, r)
	default:
		fmt.Fprintf(b, `\U%08X`, r)
	}
}
