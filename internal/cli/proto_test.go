package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/codegen"
)

// The numbers of protobuf's fields are written where an app is made, and told of where it
// is checked.
func TestNumbersAreWrittenByDevAndGenProto(t *testing.T) {
	const app = "app: tiny\ncollections:\n  things:\n    fields:\n      name: string\n      size: int\n" +
		"    allow: {read: true}\n"
	p := newPlace(t, app)
	lock := filepath.Join(p.dir, codegen.LockFile)
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	p.want(exitDone, "no errors", "check")
	if _, err := os.Stat(lock); err == nil {
		t.Error("check writes")
	}
	p.want(exitDone, "opens", "dev", "--once")
	if got := read(lock); !strings.Contains(got, "things.size 11 int64\n") {
		t.Errorf("dev writes %s", got)
	}
	// A field comes first, another goes.
	p.write("galley.yaml", strings.Replace(app, "      name: string\n", "      note: text?\n", 1))
	p.want(exitDone, "galley gen proto", "check")
	p.want(exitDone, "things.name is gone", "check")
	p.want(exitDone, "things.name is gone", "gen", "proto")
	p.want(exitDone, "tiny.proto", "gen", "proto")
	proto := read(filepath.Join(p.dir, "proto", "tiny", "v1", "tiny.proto"))
	for _, want := range []string{"int64 size = 11;", "optional string note = 12;", "reserved 10;",
		`reserved "name";`} {
		if !strings.Contains(proto, want) {
			t.Errorf("there is no %s in %s", want, proto)
		}
	}
	if got := p.want(exitDone, "no errors", "check"); strings.Contains(got.out+got.err, "gen proto") {
		t.Errorf("the file is behind after it was written: %s%s", got.out, got.err)
	}
	// Two branches met.
	p.write(codegen.LockFile, read(lock)+"things.other 11 string\n")
	p.want(exitApp, "have the same number", "check")
}
