package spec

import "strings"

// At returns the place in the file of a place in the source: a line from 1 and a
// column from 1, in characters. A place outside the source gives the nearest one
// inside it.
func (t Text) At(line, column int) Pos {
	lines := strings.Split(t.Source, "\n")
	line = min(max(line, 1), len(lines))
	column = min(max(column, 1), len([]rune(lines[line-1]))+1)
	if len(t.Places) > 0 {
		n := column - 1
		for _, before := range lines[:line-1] {
			n += len([]rune(before)) + 1
		}
		if n < len(t.Places) {
			return t.Places[n]
		}
		last := t.Places[len(t.Places)-1]
		last.Column++
		return last
	}
	at := t.Pos
	if line <= len(t.Lines) {
		at = t.Lines[line-1]
	}
	at.Column += column - 1
	return at
}
