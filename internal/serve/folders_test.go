package serve

import (
	"io/fs"
	"testing"

	"github.com/galleybackend/galley/internal/config"
)

// TestAnArchiveHoldsAllCode compiles an app out of its archive, as another node does: with
// the code of every folder, and what it imports.
func TestAnArchiveHoldsAllCode(t *testing.T) {
	c := Compile(Config{Config: config.Config{App: "../../examples/blog"}})
	if c.Failed() {
		t.Fatal(c.Findings)
	}
	files, err := unpack(c.source.zip)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"galley.yaml", "lib.ts", "routes/writing.ts", "routes/viewer.ts"} {
		if _, err := fs.Stat(files, name); err != nil {
			t.Error(err)
		}
	}
	again := Compile(Config{Files: files, deployed: true})
	if again.Failed() || len(again.missing) > 0 || again.source.hash != c.source.hash {
		t.Errorf("out of its archive the app has %v, missing %v", again.Findings, again.missing)
	}
}
