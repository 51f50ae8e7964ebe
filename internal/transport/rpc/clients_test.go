package rpc_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/serve"
)

// generated writes the .proto files of the app, has them judged, and generates code of
// them with a plugin of protoc, whose options come last.
func generated(t *testing.T, dir string, plugins string) {
	t.Helper()
	compiled := serve.CompileDeclared(serve.Config{Config: configOf("testdata/app")})
	p, err := compiled.Proto()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range p.Files() {
		write(t, filepath.Join(dir, "proto", name), string(text))
	}
	write(t, filepath.Join(dir, "buf.gen.yaml"), "version: v2\n"+plugins)
	run(t, filepath.Join(dir, "proto"), npm(t, "buf"), "lint")
	run(t, dir, npm(t, "buf"), "generate", "proto")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// copied copies a file of the tests.
func copied(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(text))
}

// npm is the path of a tool.
func npm(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../../tools/npm/node_modules/.bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BUF_CACHE_DIR="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestAClientGeneratedInGo(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	dir := t.TempDir()
	run(t, ".", "go", "build", "-o", dir, "google.golang.org/protobuf/cmd/protoc-gen-go",
		"connectrpc.com/connect/cmd/protoc-gen-connect-go")
	generated(t, dir, `managed:
  enabled: true
  override:
    - {file_option: go_package_prefix, value: try/gen}
    - {file_option: go_package, path: google/type, value: try/gen/google/type;date}
plugins:
  - {local: `+dir+`/protoc-gen-go, out: gen, opt: paths=source_relative}
  - {local: `+dir+`/protoc-gen-connect-go, out: gen, opt: paths=source_relative}
`)
	copied(t, "testdata/clients/main.go.txt", filepath.Join(dir, "main.go"))
	copied(t, "../../../go.sum", filepath.Join(dir, "go.sum"))
	write(t, filepath.Join(dir, "go.mod"), "module try\n\ngo 1.26\n\nrequire (\n"+
		"\tconnectrpc.com/connect v1.21.1\n\tgoogle.golang.org/protobuf v1.36.12\n)\n")
	run(t, dir, "go", "build", "-mod=mod", "-o", "try", ".")
	got := run(t, dir, "./try", w.base, ana.token)
	want := `pen 100 29 [a b] THING_STATE_IN_USE 1
followed true 1
writes 2
changed writes
1 1 ana
failed_precondition There is none left. google.rpc.ErrorInfo
100 100
ink more
gone 0
`
	if got != want {
		t.Errorf("the client says\n%s, want\n%s", got, want)
	}
}

func TestAClientGeneratedInTypeScript(t *testing.T) {
	w := open(t, nil)
	ana := w.signUp("ana")
	dir := t.TempDir()
	generated(t, dir, "plugins:\n  - {local: "+npm(t, "protoc-gen-es")+", out: gen, opt: [target=ts, import_extension=js]}\n")
	copied(t, "testdata/clients/main.ts", filepath.Join(dir, "main.ts"))
	if err := os.Symlink(filepath.Dir(filepath.Dir(npm(t, "tsc"))), filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "package.json"), `{"type":"module"}`)
	write(t, filepath.Join(dir, "tsconfig.json"), `{"compilerOptions":{"strict":true,"target":"es2022",
		"module":"nodenext","outDir":"out","noUncheckedIndexedAccess":true,"skipLibCheck":true,
		"types":[],"lib":["es2023","dom"]},"files":["main.ts","node.d.ts"]}`)
	write(t, filepath.Join(dir, "node.d.ts"), "declare const process: {argv: string[]};\n")
	run(t, dir, npm(t, "tsc"), "-p", ".")
	write(t, filepath.Join(dir, "out", "package.json"), `{"type":"module"}`)
	got := run(t, dir, "node", "out/main.js", w.base, ana.token)
	want := `pen 100n 29 [ 'a', 'b' ] IN_USE 1n {"a":[1,null]}
followed true 1
writes 2n
changed writes
1 1n ana
FailedPrecondition There is none left. 2
100n 100
ink more
gone
`
	if got != want {
		t.Errorf("the client says\n%s, want\n%s", got, want)
	}
}
