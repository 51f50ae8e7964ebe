package appfile

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/galleybackend/galley/internal/spec"
)

// colours of a rendering, on or off.
type paint struct{ on bool }

func (p paint) dye(code, text string) string {
	if !p.on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p paint) red(s string) string    { return p.dye("1;31", s) }
func (p paint) yellow(s string) string { return p.dye("1;33", s) }
func (p paint) blue(s string) string   { return p.dye("1;34", s) }
func (p paint) bold(s string) string   { return p.dye("1", s) }

// Render writes findings for people: what is wrong, where, the line with carets
// under the words that are meant, and what to do. files holds the texts by their
// names, as spec.Spec.Files does; without one the excerpt is left out.
func Render(w io.Writer, findings []spec.Finding, files map[string][]byte, color bool) error {
	texts := map[string]*file{}
	for name, text := range files {
		texts[name] = newFile(name, text)
	}
	for i, f := range findings {
		var b strings.Builder
		if i > 0 {
			b.WriteByte('\n')
		}
		renderOne(&b, f, texts, paint{color})
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
	}
	return nil
}

func renderOne(b *strings.Builder, f spec.Finding, texts map[string]*file, p paint) {
	word := p.red("error")
	if f.Severity == spec.Warning {
		word = p.yellow("warning")
	}
	fmt.Fprintf(b, "%s%s\n", word, p.bold(": "+f.Message))
	gutter := ""
	if f.Pos.Line > 0 {
		gutter = strings.Repeat(" ", len(fmt.Sprint(f.Pos.Line)))
		fmt.Fprintf(b, "%s%s %s\n", gutter, p.blue("-->"), place(f.Pos))
		excerpt(b, f, texts[f.Pos.File], p)
	}
	if f.Help != "" {
		fmt.Fprintf(b, "%s %s help: %s\n", gutter, p.blue("="), f.Help)
	}
	if f.See.Line > 0 {
		fmt.Fprintf(b, "%s %s see: %s\n", gutter, p.blue("="), place(f.See))
	}
}

// place writes a place as editors and terminals know it.
func place(at spec.Pos) string { return fmt.Sprintf("%s:%d:%d", at.File, at.Line, at.Column) }

// excerpt writes the line of a finding and the carets below it.
func excerpt(b *strings.Builder, f spec.Finding, text *file, p paint) {
	if text == nil || f.Pos.Line > len(text.lines) {
		return
	}
	line := text.lines[f.Pos.Line-1]
	number := fmt.Sprint(f.Pos.Line)
	gutter := strings.Repeat(" ", len(number))
	start := min(max(f.Pos.Column-1, 0), len(line))
	end := min(start+max(f.Width, 1), len(line))
	carets := max(1, screenWidth(line[start:end]))
	color := p.red
	if f.Severity == spec.Warning {
		color = p.yellow
	}
	fmt.Fprintf(b, "%s %s\n", gutter, p.blue("|"))
	fmt.Fprintf(b, "%s %s %s\n", p.blue(number), p.blue("|"), shown(line))
	fmt.Fprintf(b, "%s %s %s%s\n", gutter, p.blue("|"), strings.Repeat(" ",
		screenWidth(line[:start])), color(strings.Repeat("^", carets)))
}

// tabWidth is how many blanks a tab is shown as, wherever it stands.
const tabWidth = 4

// shown writes a line for the terminal: tabs as blanks, and control characters, which
// could do something to it, as a mark.
func shown(line []rune) string {
	var b strings.Builder
	for _, c := range line {
		switch {
		case c == '\t':
			b.WriteString(strings.Repeat(" ", tabWidth))
		case unicode.IsControl(c) || isHidden(c) && !unicode.Is(unicode.M, c):
			b.WriteRune('�')
		default:
			b.WriteRune(c)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// screenWidth returns how many cells of a terminal the characters take.
func screenWidth(line []rune) int {
	width := 0
	for _, c := range line {
		switch {
		case c == '\t':
			width += tabWidth
		case unicode.Is(unicode.Mn, c) || unicode.Is(unicode.Me, c):
		case isWide(c):
			width += 2
		default:
			width++
		}
	}
	return width
}

// isHidden reports whether a character steers the text around it instead of being
// seen.
func isHidden(c rune) bool { return unicode.Is(unicode.Cf, c) }

// isWide reports whether a terminal gives a character two cells: the wide and full
// width ones of East Asian writing, and pictures.
func isWide(c rune) bool {
	switch {
	case c < 0x1100:
		return false
	case c <= 0x115f, c == 0x2329, c == 0x232a,
		c >= 0x2e80 && c <= 0x303e,
		c >= 0x3041 && c <= 0xa4cf,
		c >= 0xa960 && c <= 0xa97c,
		c >= 0xac00 && c <= 0xd7a3,
		c >= 0xf900 && c <= 0xfaff,
		c >= 0xfe30 && c <= 0xfe6f,
		c >= 0xff00 && c <= 0xff60,
		c >= 0xffe0 && c <= 0xffe6,
		c >= 0x1f300 && c <= 0x1f64f,
		c >= 0x1f680 && c <= 0x1f6ff,
		c >= 0x1f900 && c <= 0x1f9ff,
		c >= 0x1fa70 && c <= 0x1faff,
		c >= 0x20000 && c <= 0x3fffd:
		return true
	}
	return false
}

// line is a finding as programs read it.
type line struct {
	Severity string `json:"severity"`
	File     string `json:"file,omitempty"`
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Width    int    `json:"width,omitempty"`
	Message  string `json:"message"`
	Help     string `json:"help,omitempty"`
	Fix      string `json:"fix,omitempty"`
	See      string `json:"see,omitempty"`
}

// RenderJSON writes findings for programs: one JSON object a line. width counts the
// characters that fix replaces.
func RenderJSON(w io.Writer, findings []spec.Finding) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, f := range findings {
		l := line{Severity: "error", File: f.Pos.File, Line: f.Pos.Line, Column: f.Pos.Column,
			Width: max(f.Width, 1), Message: f.Message, Help: f.Help, Fix: f.Fix}
		if f.Severity == spec.Warning {
			l.Severity = "warning"
		}
		if f.See.Line > 0 {
			l.See = place(f.See)
		}
		if err := enc.Encode(l); err != nil {
			return err
		}
	}
	return nil
}
