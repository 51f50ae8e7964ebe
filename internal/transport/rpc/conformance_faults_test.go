//go:build faults

package rpc_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/serve"
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

// A tool that knows nothing of the app asks what there is, and then for that.
func TestGrpcurl(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("GOBIN", dir)
	run(t, dir, "go", "install", "github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4")
	w := open(t, func(c *serve.Config) { c.Dev = true })
	ana := w.signUp("ana")
	host := strings.TrimPrefix(w.base, "http://")
	ask := func(args ...string) string {
		t.Helper()
		return run(t, dir, "./grpcurl", append([]string{"-plaintext", "-max-time", "2", "-H",
			"authorization: Bearer " + ana.token, "-H", "idempotency-key: 1"}, args...)...)
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{host, "list"}, []string{"grpc.health.v1.Health", "things.v1.Actions", "things.v1.Things"}},
		{[]string{host, "list", "things.v1.Things"}, []string{"things.v1.Things.Follow"}},
		{[]string{host, "describe", "things.v1.Thing"}, []string{".google.type.Date day = 18;", "reserved 28;"}},
		{[]string{"-d", `{"name":"pen","price":100,"day":{"year":2024,"month":2,"day":29}}`, host,
			"things.v1.Things/Create"}, []string{`"price": "100"`, `"day": 29`}},
		{[]string{"-d", `{"filter":"price == 100"}`, host, "things.v1.Things/List"}, []string{`"name": "pen"`}},
		{[]string{host, "grpc.health.v1.Health/Check"}, []string{"SERVING"}},
	} {
		got := ask(c.args...)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%v says %s, which has no %s", c.args, got, want)
			}
		}
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"-d", `{"price":0}`, host, "things.v1.Things/Create"}, []string{"Code: InvalidArgument",
			`"reason": "INVALID_INPUT"`, `"field": "price"`}},
		{[]string{"-d", `{}`, host, "things.v1.Things/Follow"}, []string{`"name": "pen"`, `"reset": true`,
			"DeadlineExceeded"}},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "grpcurl"), append([]string{"-plaintext",
			"-max-time", "2", "-H", "authorization: Bearer " + ana.token, "-H", "idempotency-key: x"}, c.args...)...)
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Errorf("%v is answered with %s", c.args, out)
		}
		for _, want := range c.want {
			if !strings.Contains(string(out), want) {
				t.Errorf("%v says %s, which has no %s", c.args, out, want)
			}
		}
	}
}
