package tsaction

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

var (
	refuseCall  = regexp.MustCompile("\\b(?:refuse|fail)\\(\\s*[\"'`]([^\"'`$\\\\\n]*)[\"'`]")
	startOf     = regexp.MustCompile(`\b(action|job|hook|webhook|route)\s*(<[^>]*>)?\(`)
	classEscape = regexp.MustCompile(`\\[pP]\{[A-Za-z_=]+\}`)
)

// scan looks through a source text for what can be told before it runs.
func scan(file, text string, codes map[string]string) []spec.Finding {
	var found []spec.Finding
	plain := blank(text)
	for _, m := range refuseCall.FindAllStringSubmatchIndex(plain, -1) {
		code := plain[m[2]:m[3]]
		if _, ok := codes[code]; ok {
			continue
		}
		if _, ok := action.HouseKind(code); ok {
			continue
		}
		found = append(found, spec.Finding{
			Pos: position(file, text, m[2]), Width: utf8.RuneCountInString(code),
			Message: fmt.Sprintf("the app has no refusal %q", code),
			Help:    "add it under errors:" + near(code, codeNames(codes)),
			Fix:     value.Nearest(code, codeNames(codes)),
		})
	}
	for _, m := range classEscape.FindAllStringIndex(plain, -1) {
		found = append(found, spec.Finding{Severity: spec.Warning,
			Pos: position(file, text, m[0]), Width: m[1] - m[0],
			Message: plain[m[0]:m[1]] + " is not supported in regular expressions here",
			Help:    "name the characters, as in [a-zà-ÿ]"})
	}
	return found
}

// startCall returns where a file calls action, or what else its folder is for.
func startCall(file, text string) spec.Pos {
	kind := action.Run{Name: file}.Kind()
	for _, m := range startOf.FindAllStringSubmatchIndex(blank(text), -1) {
		if text[m[2]:m[3]] == kind {
			return position(file, text, m[0])
		}
	}
	return spec.Pos{File: file, Line: 1, Column: 1}
}

// blank returns the text with its comments turned into spaces, byte for byte.
func blank(text string) string {
	b := []byte(text)
	wipe := func(from, to int) {
		for i := from; i < to; i++ {
			if b[i] != '\n' {
				b[i] = ' '
			}
		}
	}
	for i := 0; i < len(b); i++ {
		switch rest := text[i:]; {
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexByte(rest, '\n')
			if n < 0 {
				n = len(rest)
			}
			wipe(i, i+n)
			i += n - 1
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest, "*/")
			if n < 0 {
				n = len(rest) - 2
			}
			wipe(i, i+n+2)
			i += n + 1
		case b[i] == '"' || b[i] == '\'' || b[i] == '`':
			i += quoted(rest)
		}
	}
	return string(b)
}

// quoted returns how far the end of the quoted text is at whose beginning text is.
func quoted(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '\n':
			if text[0] != '`' {
				return i
			}
		case text[0]:
			return i
		}
	}
	return len(text)
}

func position(file, text string, at int) spec.Pos {
	start := strings.LastIndexByte(text[:at], '\n') + 1
	return spec.Pos{File: file, Line: strings.Count(text[:at], "\n") + 1,
		Column: utf8.RuneCountInString(text[start:at]) + 1}
}

func codeNames(codes map[string]string) []string {
	var names []string
	for code := range codes {
		names = append(names, code)
	}
	names = append(names, action.HouseCodes()...)
	slices.Sort(names)
	return names
}

// near returns a question that names the nearest of the names, or "".
func near(name string, names []string) string {
	if n := value.Nearest(name, names); n != "" {
		return fmt.Sprintf("; did you mean %s?", n)
	}
	return ""
}
