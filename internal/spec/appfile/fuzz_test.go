package appfile

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
)

// FuzzParse promises of any text: no panic, findings whose places lie in the file,
// and rules whose characters are found again at their places.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	names = append(names, "testdata/whole/galley.yaml", "testdata/whole/parts/actions.yaml")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, c := range mistakes {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, findings := Parse(map[string][]byte{Name: text})
		lines := newFile(Name, text).lines
		for _, finding := range findings {
			at := finding.Pos
			if at.File != Name || at.Line < 1 || at.Line > len(lines) || at.Column < 1 ||
				at.Column > len(lines[at.Line-1])+1 {
				t.Fatalf("%+v is outside the file", finding)
			}
			if finding.Message == "" {
				t.Fatalf("%+v says nothing", finding)
			}
		}
		var b bytes.Buffer
		if err := Render(&b, findings, s.Files, true); err != nil {
			t.Fatal(err)
		}
		if spec.Failed(findings) {
			return
		}
		checkPlaces(t, s)
		s.Schema()
	})
}
