package cli

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/spf13/cobra"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/transport"
)

// repository is the root of the repository, seen from here.
const repository = "../.."

// documents returns the texts for people, by their paths in the repository.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "examples/*/*.md", "bench/*.md"} {
		names, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(repository, name)
			if err != nil {
				t.Fatal(err)
			}
			texts[filepath.ToSlash(rel)] = string(text)
		}
	}
	for _, name := range []string{"README.md", "docs/reference.md", "docs/guarantees.md", "docs/tour.md"} {
		if texts[name] == "" {
			t.Fatalf("there is no %s", name)
		}
	}
	return texts
}

var fenced = regexp.MustCompile("(?ms)^```([a-z]*)[^\n]*\n(.*?)^```")

// shopFiles are the files of the shop, with another app file.
func shopFiles(t *testing.T, edit func(string) string) fstest.MapFS {
	t.Helper()
	shop, ok := examples.Template("shop")
	if !ok {
		t.Fatal("there is no shop")
	}
	files := fstest.MapFS{}
	err := fs.WalkDir(shop, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := fs.ReadFile(shop, name)
		if name == "galley.yaml" {
			text = []byte(edit(string(text)))
		}
		files[name] = &fstest.MapFile{Data: text}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestExamplesOfDocumentsAreRight compiles every app file that a document shows. A
// block that is no whole app is a collection of the shop.
func TestExamplesOfDocumentsAreRight(t *testing.T) {
	shown := 0
	for name, text := range documents(t) {
		for _, m := range fenced.FindAllStringSubmatch(text, -1) {
			block := m[2]
			if m[1] != "yaml" {
				continue
			}
			shown++
			files := fstest.MapFS{"galley.yaml": {Data: []byte(block)}}
			if !strings.Contains(block, "app: ") {
				files = shopFiles(t, func(app string) string {
					return strings.Replace(app, "collections:\n", "collections:\n"+block, 1)
				})
			}
			compiled := serve.Compile(serve.Config{Files: files})
			if compiled.Failed() {
				var b strings.Builder
				if err := appfile.Render(&b, compiled.Findings, compiled.Files, false); err != nil {
					t.Fatal(err)
				}
				t.Errorf("%s shows an app that is wrong:\n%s", name, b.String())
			}
		}
	}
	if shown < 3 {
		t.Errorf("%d examples were found, want at least 3", shown)
	}
}

var (
	codeSpan = regexp.MustCompile("`[^`\n]+`")
	indented = regexp.MustCompile(`(?m)^    .*$`)
	called   = regexp.MustCompile(`(?:^|[\s/(=$])galley ([a-z][^\n|;&#]*)`)
	longFlag = regexp.MustCompile(`--([a-z][a-z-]*)`)
)

// mentions returns the commands that a document shows, without the name galley.
func mentions(text string) []string {
	var code []string
	for _, m := range fenced.FindAllStringSubmatch(text, -1) {
		code = append(code, m[2])
	}
	rest := fenced.ReplaceAllString(text, "")
	for _, span := range codeSpan.FindAllString(rest, -1) {
		code = append(code, strings.Trim(span, "`"))
	}
	code = append(code, indented.FindAllString(rest, -1)...)
	var found []string
	for _, c := range code {
		for line := range strings.Lines(c) {
			line, _, _ = strings.Cut(line, "# ") // a comment of the shell
			for part := range strings.SplitSeq(line, "&&") {
				if m := called.FindStringSubmatch(part); m != nil {
					found = append(found, strings.TrimSpace(m[1]))
				}
			}
		}
	}
	return found
}

// TestCommandsOfDocumentsExist asks for every command and flag that a document names.
func TestCommandsOfDocumentsExist(t *testing.T) {
	seen := 0
	for name, text := range documents(t) {
		for _, line := range mentions(text) {
			root := (&command{}).root()
			root.InitDefaultHelpCmd()
			root.InitDefaultCompletionCmd("bash")
			var words []string
			for word := range strings.FieldsSeq(line) {
				if strings.HasPrefix(word, "-") {
					break
				}
				words = append(words, word)
			}
			cmd, _, err := root.Find(words)
			if err != nil || cmd == root {
				t.Errorf("%s: there is no galley %s", name, line)
				continue
			}
			seen++
			for _, m := range longFlag.FindAllStringSubmatch(line, -1) {
				if cmd.Flag(m[1]) == nil && cmd.InheritedFlags().Lookup(m[1]) == nil {
					t.Errorf("%s: galley %s has no flag --%s", name, cmd.Name(), m[1])
				}
			}
		}
	}
	if seen < 30 {
		t.Errorf("%d commands were found, want at least 30", seen)
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	notInRef = regexp.MustCompile(`[^a-z0-9 _-]`)
)

// anchor is the name by which a heading can be linked to.
func anchor(head string) string {
	plain := notInRef.ReplaceAllString(strings.ToLower(head), "")
	return strings.ReplaceAll(plain, " ", "-")
}

func TestLinksOfDocumentsResolve(t *testing.T) {
	texts := documents(t)
	for name, text := range texts {
		prose := codeSpan.ReplaceAllString(fenced.ReplaceAllString(text, ""), "")
		for _, m := range link.FindAllStringSubmatch(prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, at, _ := strings.Cut(m[1], "#")
			target := name
			if file != "" {
				target = filepath.ToSlash(filepath.Join(filepath.Dir(name), file))
			}
			if _, err := os.Stat(filepath.Join(repository, target)); err != nil {
				t.Errorf("%s: %s leads nowhere", name, m[1])
				continue
			}
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(texts[target], -1) {
				anchors = append(anchors, anchor(h[1]))
			}
			if at != "" && !slices.Contains(anchors, at) {
				t.Errorf("%s: %s has no heading for #%s; it has %v", name, target, at, anchors)
			}
		}
	}
}

func TestReferenceHasEveryCode(t *testing.T) {
	reference := documents(t)["docs/reference.md"]
	codes := spec.Codes()
	for _, w := range transport.NewWords(nil).All() {
		codes = append(codes, w.Code)
	}
	for _, code := range codes {
		if !strings.Contains(reference, "\n| `"+code+"` |") {
			t.Errorf("the problem %s is not in the reference", code)
		}
	}
}

// TestReferenceHasEveryKey asks for each key that the editor's schema of an app knows.
func TestReferenceHasEveryKey(t *testing.T) {
	reference := documents(t)["docs/reference.md"]
	compiled := serve.Compile(serve.Config{Files: fstest.MapFS{"galley.yaml": {Data: []byte(
		"app: a\ncollections:\n  zzz:\n    fields: {zzz: string}\n")}}})
	if compiled.Failed() {
		t.Fatal(compiled.Findings)
	}
	var schema any
	if err := json.Unmarshal(codegen.EditorSchema(compiled.Spec), &schema); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	var walk func(x any)
	walk = func(x any) {
		switch x := x.(type) {
		case map[string]any:
			if properties, ok := x["properties"].(map[string]any); ok {
				for name := range properties {
					known[name] = true
				}
			}
			for _, v := range x {
				walk(v)
			}
		case []any:
			for _, v := range x {
				walk(v)
			}
		}
	}
	walk(schema)
	delete(known, "zzz")
	if len(known) < 40 {
		t.Errorf("the schema knows %d keys, want at least 40", len(known))
	}
	for name := range known {
		if !strings.Contains(reference, "`"+name+"`") && !strings.Contains(reference, "."+name+"`") {
			t.Errorf("the key %s is not in the reference", name)
		}
	}
}

func TestReferenceHasEveryCommand(t *testing.T) {
	reference := documents(t)["docs/reference.md"]
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		if !cmd.HasSubCommands() && !strings.Contains(reference, "`"+cmd.CommandPath()) {
			t.Errorf("%s is not in the reference", cmd.CommandPath())
		}
		for _, m := range longFlag.FindAllStringSubmatch(cmd.LocalFlags().FlagUsages(), -1) {
			if !strings.Contains(reference, "`--"+m[1]) && cmd.Flag(m[1]) != nil {
				t.Errorf("%s --%s is not in the reference", cmd.CommandPath(), m[1])
			}
		}
	}
	walk((&command{}).root())
}

var testNamed = regexp.MustCompile("`((?:Test|Fuzz)[A-Z][A-Za-z]*)`")

// TestGuaranteesNameTestsThatExist keeps what is promised from leaning on nothing.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	names := testNamed.FindAllStringSubmatch(documents(t)["docs/guarantees.md"], -1)
	if len(names) < 20 {
		t.Errorf("%d tests are named, want at least 20", len(names))
	}
	var all strings.Builder
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		all.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range names {
		if !strings.Contains(all.String(), "func "+m[1]+"(") {
			t.Errorf("there is no %s", m[1])
		}
	}
}
