package examples_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/apptest"
	"github.com/galleybackend/galley/internal/serve"
)

func TestExamplesHaveNoFindingsAndPassTheirTests(t *testing.T) {
	for _, name := range examples.Templates() {
		t.Run(name, func(t *testing.T) {
			files, ok := examples.Template(name)
			if !ok {
				t.Fatal("it is listed, and not there")
			}
			app := serve.Config{Files: files}
			for _, f := range serve.Compile(app).Findings {
				t.Errorf("%v", f)
			}
			sum, err := apptest.Run(t.Context(), apptest.Config{Config: app, Done: func(r apptest.Result) {
				if !r.OK {
					t.Errorf("%s:%d: %s: %s", r.File, r.At.Line, r.Test, r.Why)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			if sum.Passed == 0 && name != "empty" {
				t.Error("it has no tests")
			}
		})
	}
}

// The compiler that editors use finds nothing in an app that was just made, in its code and in
// its tests.
func TestExamplesTypeCheck(t *testing.T) {
	tsc, err := filepath.Abs("../tools/npm/node_modules/.bin/tsc")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(tsc); err != nil {
		t.Fatal("tsc is not there: run `make setup`")
	}
	for _, name := range examples.Templates() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files, _ := examples.Template(name)
			dir := t.TempDir()
			if err := os.CopyFS(dir, files); err != nil {
				t.Fatal(err)
			}
			for path, text := range serve.Editor(serve.Compile(serve.Config{Files: files})) {
				path = filepath.Join(dir, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			for _, project := range []string{".", ".galley"} {
				cmd := exec.CommandContext(t.Context(), tsc, "-p", project)
				cmd.Dir = dir
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s", project, err, out)
				}
			}
		})
	}
}

var shown = regexp.MustCompile("(?ms)^```ts\n(.*?)^```")

func TestTestsThatTheDocumentsShowHold(t *testing.T) {
	text, err := os.ReadFile("../docs/tests.md")
	if err != nil {
		t.Fatal(err)
	}
	shop, _ := examples.Template("shop")
	dir := t.TempDir()
	if err := os.CopyFS(dir, shop); err != nil {
		t.Fatal(err)
	}
	blocks := shown.FindAllSubmatch(text, -1)
	if len(blocks) < 3 {
		t.Fatalf("%d are shown", len(blocks))
	}
	for i, block := range blocks {
		file := filepath.Join(dir, "tests", fmt.Sprintf("docs%d.test.ts", i))
		if err := os.WriteFile(file, block[1], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sum, err := apptest.Run(t.Context(), apptest.Config{Config: serve.Config{Files: os.DirFS(dir)},
		Files: []string{"docs"}, Done: func(r apptest.Result) {
			if !r.OK {
				t.Errorf("%s: %s", r.Test, r.Why)
			}
		}})
	if err != nil || sum.Passed != len(blocks) {
		t.Errorf("%d hold, want %d: %v", sum.Passed, len(blocks), err)
	}
}

// What galley init copies of the shop holds a provider that can be run as its README says.
func TestTheProviderOfACopyRuns(t *testing.T) {
	files, _ := examples.Template("shop")
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	programs, err := filepath.Glob(filepath.Join(dir, "provider", "*.go"))
	if err != nil || len(programs) == 0 {
		t.Fatal("there is no provider", err)
	}
	args := append([]string{"run"}, programs...)
	cmd := exec.CommandContext(t.Context(), "go", append(args, "-help")...)
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); !strings.Contains(string(text), "-app") {
		t.Errorf("%v: %s", err, text)
	}
}
