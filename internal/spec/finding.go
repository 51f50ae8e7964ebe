package spec

import (
	"cmp"
	"slices"
	"strings"
)

// Severity says whether a finding stops the app.
type Severity uint8

// The severities.
const (
	Error Severity = iota
	Warning
)

// Finding is something to say about a place in the app's files. Findings are
// collected, never thrown, so that all of a file's are told at once.
type Finding struct {
	Severity Severity
	Pos      Pos
	// Width is how many characters the caret underlines; 0 means one.
	Width int
	// Message says what is wrong; Help what to write instead, "" if nothing is
	// known. Neither ends with a full stop.
	Message string
	Help    string
	// See is another place that matters, such as where a named rule is defined.
	See Pos
	// Fix is a replacement for the underlined text, "" if none is known.
	Fix string
}

// Sort puts findings into the order of their places, those of the first file before
// those of others.
func Sort(findings []Finding, first string) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		if (a.Pos.File == first) != (b.Pos.File == first) {
			if a.Pos.File == first {
				return -1
			}
			return 1
		}
		return cmp.Or(strings.Compare(a.Pos.File, b.Pos.File),
			cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
}

// Failed reports whether one of the findings is an error.
func Failed(findings []Finding) bool {
	for _, f := range findings {
		if f.Severity == Error {
			return true
		}
	}
	return false
}
