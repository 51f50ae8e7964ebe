package codegen

import (
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// refusable are the codes of the house with which code may refuse; action decides
// their kinds.
var refusable = []string{"already_exists", "forbidden", "in_use", "invalid_input", "not_found",
	"rate_limited", "stale", "too_large", "unauthenticated", "unavailable"}

// refusals returns every code with which an app's code may refuse, sorted, with its
// sentence.
func refusals(s *spec.Spec) ([]string, map[string]string) {
	say := map[string]string{}
	for _, code := range refusable {
		say[code] = ""
	}
	for _, c := range s.Collections {
		for _, k := range c.Checks {
			say[k.Name] = k.Doc
		}
	}
	for _, e := range s.Errors {
		say[e.Code] = e.Say
	}
	codes := make([]string, 0, len(say))
	for code := range say {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes, say
}

// names gives out names of which none is given twice.
type names map[string]bool

// take returns the name, or the name with a number if it is taken, alone or behind one of
// the prefixes.
func (n names) take(name string, prefixes ...string) string {
	for i, free := 2, name; ; i++ {
		if !n[free] && !slices.ContainsFunc(prefixes, func(p string) bool { return n[p+free] }) {
			n[free] = true
			for _, p := range prefixes {
				n[p+free] = true
			}
			return free
		}
		free = name + strconv.Itoa(i)
	}
}

var (
	comment = regexp.MustCompile(`(?s)/\*.*?\*/|//[^\n]*`)
	capital = regexp.MustCompile(`\b[A-Z]\w*`)
)

// types returns the names in texts of TypeScript that begin with a capital, as those of types
// do: no record can have such a name beside them.
func types(texts ...string) names {
	taken := names{}
	for _, text := range texts {
		for _, name := range capital.FindAllString(comment.ReplaceAllString(text, ""), -1) {
			taken[name] = true
		}
	}
	return taken
}

// initials are the words that are written in capitals.
var initials = map[string]string{"id": "ID", "url": "URL", "http": "HTTP", "json": "JSON", "api": "API"}

// pascal writes order_items as OrderItems; capital writes initials as people of Go do.
func pascal(name string, capital bool) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(name, notWord) {
		if all := initials[part]; capital && all != "" {
			b.WriteString(all)
			continue
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	out := b.String()
	if out == "" || out[0] >= '0' && out[0] <= '9' {
		out = "X" + out
	}
	return out
}

func notWord(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
}

// singular returns what one record of a collection is called.
func singular(name string) string {
	switch {
	case strings.HasSuffix(name, "ies") && len(name) > 4:
		return strings.TrimSuffix(name, "ies") + "y"
	case hasAny(name, "sses", "xes", "ches", "shes", "zzes"):
		return strings.TrimSuffix(name, "es")
	case strings.HasSuffix(name, "s") && !hasAny(name, "ss", "us", "is"):
		return strings.TrimSuffix(name, "s")
	}
	return name
}

func hasAny(name string, endings ...string) bool {
	for _, e := range endings {
		if strings.HasSuffix(name, e) {
			return true
		}
	}
	return false
}

// recordNames returns the name of each collection's record type, all distinct, also behind
// the prefixes.
func recordNames(s *spec.Spec, taken names, capital bool, prefixes ...string) map[string]string {
	out := map[string]string{}
	for _, c := range s.Collections {
		out[c.Name] = taken.take(pascal(singular(c.Name), capital), prefixes...)
	}
	return out
}
