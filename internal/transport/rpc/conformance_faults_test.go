//go:build faults

package rpc_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

const suite = "connectrpc.com/conformance@v1.0.7"

// The public suite of Connect asks our server, our door and our codecs.
func TestConformance(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GOBIN", dir)
	run(t, dir, "go", "install", "connectrpc.com/conformance/cmd/connectconformance@v1.0.7")
	run(t, ".", "go", "build", "-o", dir, "google.golang.org/protobuf/cmd/protoc-gen-go",
		"connectrpc.com/connect/cmd/protoc-gen-connect-go")
	var module struct{ Dir string }
	if err := json.Unmarshal([]byte(run(t, dir, "go", "mod", "download", "-json", suite)), &module); err != nil {
		t.Fatal(err)
	}
	house, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	const name = "github.com/galleybackend/galley/try"
	write(t, filepath.Join(dir, "buf.gen.yaml"), `version: v2
managed:
  enabled: true
  override: [{file_option: go_package_prefix, value: `+name+`/gen}]
plugins:
  - {local: `+dir+`/protoc-gen-go, out: gen, opt: paths=source_relative}
  - {local: `+dir+`/protoc-gen-connect-go, out: gen, opt: paths=source_relative}
`)
	if err := os.CopyFS(filepath.Join(dir, "proto"), os.DirFS(filepath.Join(module.Dir, "proto"))); err != nil {
		t.Fatal(err)
	}
	run(t, dir, npm(t, "buf"), "generate", "proto")
	copied(t, "testdata/conformance/main.go.txt", filepath.Join(dir, "main.go"))
	copied(t, "../../../go.sum", filepath.Join(dir, "go.sum"))
	copied(t, "../../../go.mod", filepath.Join(dir, "go.mod"))
	run(t, dir, "go", "mod", "edit", "-module="+name,
		"-require=github.com/galleybackend/galley@v0.0.0",
		"-replace=github.com/galleybackend/galley="+house)
	run(t, dir, "go", "build", "-mod=mod", "-o", "server", ".")
	copied(t, "testdata/conformance/config.yaml", filepath.Join(dir, "config.yaml"))
	t.Log(run(t, dir, "./connectconformance", "--mode", "server", "--conf", "config.yaml", "-p", "4",
		"--max-servers", "2", "--", "./server"))
}
