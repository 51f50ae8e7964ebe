package letter

import (
	"html"
	"regexp"
	"strings"
)

// webAddress finds addresses on the web in a text.
var webAddress = regexp.MustCompile(`https?://[^\s<>"'\x60)\]]+`)

// token is a tag or the text between two.
type token struct {
	// name is that of the tag in small letters, "" for text.
	name string
	end  bool
	// raw is what was written.
	raw string
}

// tokens cuts HTML at its tags. What is no tag is text, so that nothing is lost.
func tokens(page string) []token {
	var out []token
	for len(page) > 0 {
		start := strings.IndexByte(page, '<')
		if start < 0 {
			return append(out, token{raw: page})
		}
		if strings.HasPrefix(page[start:], "<!--") {
			end := len(page) // where nothing ends it, all the rest is a comment
			if size := strings.Index(page[start:], "-->"); size >= 0 {
				end = start + size + len("-->")
			}
			out = append(out, token{raw: page[:start]}, token{name: "!", raw: page[start:end]})
			page = page[end:]
			continue
		}
		t := token{raw: page[start : start+tagSize(page[start:])]}
		inner := strings.Trim(t.raw, "<>")
		t.end = strings.HasPrefix(inner, "/")
		t.name = strings.ToLower(strings.TrimPrefix(inner, "/"))
		if i := strings.IndexAny(t.name, " \t\r\n/>"); i >= 0 {
			t.name = t.name[:i]
		}
		if t.name == "" || t.name[0] != '!' && (t.name[0] < 'a' || t.name[0] > 'z') {
			t.name = "" // a sign that stands for itself
		}
		if start > 0 {
			out = append(out, token{raw: page[:start]})
		}
		out = append(out, t)
		page = page[start+len(t.raw):]
	}
	return out
}

// tagSize returns how long the tag is that the text begins with; quoted signs do not
// end it.
func tagSize(s string) int {
	quote := byte(0)
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return i + 1
		}
	}
	return len(s)
}

// attribute finds an attribute of a tag by its name and returns where what stands behind
// the equals sign begins and ends, with its quotes; 0, 0 if there is none. Signs within the
// value of another attribute are none of its business.
func attribute(tag, name string) (start, end int) {
	blank := func(c byte) bool { return strings.IndexByte(" \t\r\n\f", c) >= 0 }
	skip := func(i int, while func(byte) bool) int {
		for i < len(tag) && while(tag[i]) {
			i++
		}
		return i
	}
	// The name of the tag itself comes first.
	i := skip(1, func(c byte) bool { return !blank(c) && c != '/' && c != '>' })
	for i < len(tag) {
		i = skip(i, func(c byte) bool { return blank(c) || c == '/' || c == '>' })
		from := i
		i = skip(i, func(c byte) bool { return !blank(c) && c != '/' && c != '>' && c != '=' })
		found := strings.EqualFold(tag[from:i], name)
		if i = skip(i, blank); i >= len(tag) || tag[i] != '=' {
			if i == from {
				i++ // an equals sign without a name before it
			}
			continue
		}
		i = skip(i+1, blank)
		start = i
		if quote := byte(0); i < len(tag) && (tag[i] == '"' || tag[i] == '\'') {
			quote = tag[i]
			i = min(skip(i+1, func(c byte) bool { return c != quote })+1, len(tag))
		} else {
			i = skip(i, func(c byte) bool { return !blank(c) && c != '>' })
		}
		if found {
			return start, i
		}
	}
	return 0, 0
}

// valueOf returns the value of an attribute of a tag.
func valueOf(tag, name string) string {
	start, end := attribute(tag, name)
	return html.UnescapeString(strings.Trim(tag[start:end], `"'`))
}

// relink replaces the addresses on the web to which a page links.
func relink(page string, track func(string) string) string {
	var b strings.Builder
	for _, t := range tokens(page) {
		if t.name == "a" && !t.end || t.name == "area" {
			start, end := attribute(t.raw, "href")
			if target := strings.TrimSpace(valueOf(t.raw, "href")); onTheWeb(target) {
				t.raw = t.raw[:start] + `"` + html.EscapeString(track(target)) + `"` + t.raw[end:]
			}
		}
		b.WriteString(t.raw)
	}
	return b.String()
}

func onTheWeb(target string) bool {
	lower := strings.ToLower(target)
	return strings.HasPrefix(lower, "https://") || strings.HasPrefix(lower, "http://")
}

// block are the tags around which a text has a line of its own; apart those with an
// empty line before.
var (
	block = words("address article aside blockquote body br center dd div dl dt fieldset footer " +
		"form header hr html li main nav section table tbody td tfoot th thead tr")
	apart  = words("h1 h2 h3 h4 h5 h6 ol p pre ul")
	silent = words("head script style title template svg")
)

func words(text string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(text) {
		out[w] = true
	}
	return out
}

// Plain returns the text of a page for readers who show none: its paragraphs, the items
// of its lists with a dash, and each link with its address.
func Plain(page string) string {
	var p plain
	for _, t := range tokens(page) {
		p.take(t)
	}
	return p.text()
}

// plain is a text that is being made.
type plain struct {
	b strings.Builder
	// blank and lines are the white space that is due before the next word.
	blank  bool
	lines  int
	hidden string
	href   string
	label  strings.Builder
}

func (p *plain) take(t token) {
	switch {
	case p.hidden != "":
		if t.name == p.hidden && t.end {
			p.hidden = ""
		}
	case t.name == "":
		p.say(html.UnescapeString(t.raw))
	case silent[t.name]:
		if !t.end && !strings.HasSuffix(t.raw, "/>") {
			p.hidden = t.name
		}
	case t.name == "a":
		p.link(t)
	case t.name == "img":
		p.say(valueOf(t.raw, "alt"))
	case t.name == "td" || t.name == "th":
		p.blank = true
	case t.name == "li" && !t.end:
		p.lines = max(p.lines, 1)
		p.say("- ")
	case t.name == "hr":
		p.lines = max(p.lines, 1)
		p.say("---")
		p.lines = 1
	case t.name == "br":
		p.lines = min(p.lines+1, 2)
	case block[t.name]:
		p.lines = max(p.lines, 1)
	case apart[t.name]:
		p.lines = 2
	}
}

// link notes where a link leads, and says so when it ends.
func (p *plain) link(t token) {
	if !t.end {
		p.href = valueOf(t.raw, "href")
		p.label.Reset()
		return
	}
	if label := strings.TrimSpace(p.label.String()); onTheWeb(p.href) && label != p.href {
		href := p.href
		p.href = ""
		if label != "" {
			href = " (" + href + ")"
		}
		p.say(href)
	}
	p.href = ""
}

func (p *plain) say(text string) {
	if p.href != "" {
		p.label.WriteString(text)
	}
	for i, word := range strings.FieldsFunc(text, blankSign) {
		if i > 0 || strings.IndexFunc(text, blankSign) == 0 {
			p.blank = true
		}
		p.word(word)
	}
	if text != "" && strings.TrimRightFunc(text, blankSign) != text {
		p.blank = true
	}
}

// blankSign reports whether HTML shows the sign as a mere blank; it shows other spaces as
// they are.
func blankSign(c rune) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' || c == '\f' }

func (p *plain) word(word string) {
	switch {
	case p.b.Len() == 0:
	case p.lines > 0:
		p.b.WriteString(strings.Repeat("\n", p.lines))
	case p.blank:
		p.b.WriteByte(' ')
	}
	p.lines, p.blank = 0, false
	p.b.WriteString(word)
}

func (p *plain) text() string { return p.b.String() + "\n" }
