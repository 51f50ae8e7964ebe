package codegen_test

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/codegen"
)

// The fields of a collection before and after a change, what is said of it, and whether
// the public judge of such changes finds it breaking.
var changes = []struct {
	name, before, after string
	said                []string
	breaks              string
}{
	{"added", "a: string\nb: int", "c: json?\na: string\nd: '[x, y]'\nb: int", nil, ""},
	{"moved", "a: string\nb: '[x, y]'", "b: '[y, x]'\na: string", nil, ""},
	{"removed", "a: string\nb: int", "a: string", []string{"items.b is gone"}, ""},
	{"renamed", "a: string\nb: int", "a: string\nc: {type: int, was: b}",
		[]string{"items.b is called c"}, "json_name"},
	{"retyped", "a: string\nb: int", "a: string\nb: string",
		[]string{"items.b was int64 and is string"}, `reserving the name "b"`},
	{"listed", "a: string\nb: int", "a: string\nb: 'int[]'",
		[]string{"items.b was int64 and is int64[]"}, `reserving the name "b"`},
	{"widened", "a: string\nb: int", "a: text\nb: money", nil, ""},
	{"opened", "a: string\nb: int", "a: string?\nb: int?", nil, ""},
	{"required", "a: string?\nb: int?", "a: string\nb: int", nil, ""},
	{"word_added", "a: '[x, y]'", "a: '[x, z, y]'", nil, ""},
	{"word_removed", "a: '[x, y]'", "a: '[y]'", []string{"items.a:x is gone"}, ""},
	{"enum_removed", "a: '[x, y]'\nb: int", "b: int", []string{"items.a is gone"}, ""},
	// Of what nobody may read not even the name is told.
	{"hidden", "a: string\nb: int", "a: string\nb: {type: int, read: false}", nil,
		`reserving the name "b"`},
}

func TestChangesOfTheAppBreakNoMoreThanTheyMust(t *testing.T) {
	before, after := t.TempDir(), t.TempDir()
	wrong := map[string]string{}
	for _, c := range changes {
		app := func(fields string) string {
			return "app: " + c.name + "\ncollections:\n  items:\n    fields:\n      " +
				strings.ReplaceAll(fields, "\n", "\n      ") + "\n    allow: {read: true, delete: true}\n"
		}
		old, _ := protoFrom(t, app(c.before), nil)
		now, _ := protoFrom(t, app(c.after), old.Lock())
		var said []string
		for _, b := range now.Breaks() {
			said = append(said, b.Text)
			if line := strings.Split(string(old.Lock()), "\n")[b.Line-1]; !strings.HasPrefix(b.Text,
				strings.Fields(line)[0]) {
				t.Errorf("%s: %q is said of the line %q", c.name, b.Text, line)
			}
		}
		if !slices.EqualFunc(said, c.said, strings.HasPrefix) {
			t.Errorf("%s: it is said %q, want %q", c.name, said, c.said)
		}
		again, _ := protoFrom(t, app(c.after), now.Lock())
		if got := again.Breaks(); len(got) > 0 || !bytes.Equal(again.Lock(), now.Lock()) {
			t.Errorf("%s: it is said again: %v", c.name, got)
		}
		files(t, before, old)
		files(t, after, now)
		wrong[now.Path()] = c.breaks
	}
	out := buf(t, after, "breaking", "--against", before)
	found := map[string]string{}
	for line := range strings.Lines(out) {
		path, text, _ := strings.Cut(line, ":")
		found[path] += text
	}
	for path, want := range wrong {
		if got := found[path]; want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: buf says %q, want %q", path, got, want)
		}
		delete(found, path)
	}
	if len(found) > 0 {
		t.Errorf("buf says %v", found)
	}
}

// What is gone as a whole is told of once.
func TestWhatIsGoneIsToldOfOnce(t *testing.T) {
	const rest = "  b:\n    fields: {x: int}\n    allow: {read: true}\n"
	before, _ := protoFrom(t, "app: s\ncollections:\n  a:\n    fields:\n      x: int\n"+
		"      lines: [{n: int, w: '[p, q]'}]\n    allow: {read: true}\n"+rest+
		"actions:\n  act: {allow: true, input: {n: int, m: int}}\n", nil)
	after, _ := protoFrom(t, "app: s\ncollections:\n"+rest, before.Lock())
	var got []string
	for _, b := range after.Breaks() {
		name, _, _ := strings.Cut(b.Text, " ")
		got = append(got, name)
	}
	if want := []string{"a", "actions.act"}; !slices.Equal(got, want) {
		t.Errorf("it is said of %v, want %v", got, want)
	}
}

// files writes .proto files below a folder.
func files(t *testing.T, dir string, all ...*codegen.Proto) {
	t.Helper()
	texts := map[string][]byte{}
	for _, p := range all {
		maps.Copy(texts, p.Files())
	}
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// buf runs the tool for .proto files, and returns what it finds.
func buf(t *testing.T, dir string, args ...string) string {
	t.Helper()
	tool, err := filepath.Abs("../../tools/npm/node_modules/.bin/buf")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(tool, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "BUF_CACHE_DIR="+filepath.Join(t.TempDir(), "cache"))
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != 100 { // 100 is that something was found
		t.Fatalf("buf %v: %v: %s", args, err, out)
	}
	return string(out)
}
