package codegen_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// apps returns the example apps, each with its name.
func apps(t *testing.T) map[string]*spec.Spec {
	t.Helper()
	files, err := filepath.Glob("../../examples/*/galley.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}
	out := map[string]*spec.Spec{}
	for _, f := range files {
		dir := filepath.Dir(f)
		sp, findings := appfile.Load(dir)
		if sp == nil || spec.Failed(findings) {
			t.Fatalf("%s: %v", f, findings)
		}
		out[filepath.Base(dir)] = sp
	}
	return out
}

// docOf returns the document of an app file.
func docOf(t *testing.T, text string) (map[string]any, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "galley.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	sp, findings := appfile.Load(dir)
	if sp == nil || spec.Failed(findings) {
		t.Fatalf("%v", findings)
	}
	doc := codegen.OpenAPI(sp)
	var out map[string]any
	if err := json.Unmarshal(doc, &out); err != nil {
		t.Fatal(err)
	}
	return out, string(doc)
}

func TestOpenAPIHoldsWhatIsOpenAndNothingElse(t *testing.T) {
	doc, text := docOf(t, `app: shop
collections:
  products:
    fields:
      # What it is called.
      name: {type: string, max: 80}
      cost: {type: money?, read: false}
      stock: {type: int, default: 3}
    allow:
      read: record.stock > 0
      create: {if: "true", fields: [name]}
      update: {if: "true", fields: [name, stock]}
  vaults:
    fields:
      gold: int
`)
	paths := doc["paths"].(map[string]any)
	for _, p := range []string{"/api/products", "/api/products/{id}", "/api/products/aggregate",
		"/api/batch", "/api/health"} {
		if paths[p] == nil {
			t.Errorf("%s is missing", p)
		}
	}
	for _, word := range []string{"vaults", "gold", "cost", "auth/", "actions"} {
		if strings.Contains(text, word) {
			t.Errorf("the document speaks of %s", word)
		}
	}
	if _, ok := paths["/api/products/{id}"].(map[string]any)["delete"]; ok {
		t.Error("a delete is offered that no rule opens")
	}
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	create := schemas["products_create"].(map[string]any)["properties"].(map[string]any)
	if len(create) != 2 || create["id"] == nil || create["name"] == nil {
		t.Errorf("a create takes %v, want id and name", create)
	}
	if d := create["name"].(map[string]any)["description"]; d != "What it is called." {
		t.Errorf("the comment became %q", d)
	}
}

// tool runs an npm tool of tools/npm and returns what it said.
func tool(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	npm, err := filepath.Abs("../../tools/npm")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(npm, "node_modules", ".bin", args[0])
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%s is not there: run `make setup`", args[0])
	}
	cmd := exec.CommandContext(t.Context(), bin, args[1:]...)
	cmd.Dir = dir
	// The tools are asked about a file, and have nobody to tell.
	cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true",
		"NO_COLOR=1", "CI=1")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOpenAPIStandsBeforePublicTools(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		if out, err := tool(t, dir, args...); err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
	var docs, sources []string
	var last string
	for name, sp := range apps(t) {
		doc := codegen.OpenAPI(sp)
		if !bytes.Equal(doc, codegen.OpenAPI(sp)) {
			t.Error("the same spec gives another document")
		}
		last = string(doc)
		write(name+".json", last)
		docs = append(docs, name+".json")
		run("openapi-typescript", name+".json", "-o", name+".d.ts")
		write(name+"_use.ts", fmt.Sprintf(usage, name))
		sources = append(sources, name+".d.ts", name+"_use.ts")
	}
	write("rules.yaml", "extends: [\"spectral:oas\"]\n")
	// That two paths could be one is so in REST: an aggregate is no id.
	write("redocly.yaml", "extends: [recommended-strict]\nrules:\n"+
		"  no-ambiguous-paths: off\n  info-license: off\n")
	strict := []string{"--ruleset", "rules.yaml", "--fail-severity", "warn"}
	run(append(append([]string{"spectral", "lint"}, docs...), strict...)...)
	run(append([]string{"redocly", "lint"}, docs...)...)
	run(append([]string{"tsc", "--noEmit", "--strict", "--target", "es2022"}, sources...)...)
	// The control: a document that is wrong must not pass.
	write("broken.json", strings.Replace(last, `"responses"`, `"answers"`, 1))
	if out, err := tool(t, dir, append([]string{"spectral", "lint", "broken.json"},
		strict...)...); err == nil {
		t.Errorf("spectral passes a broken document:\n%s", out)
	}
}

// usage makes the compiler look at the types that were generated.
const usage = `import type { paths, components } from "./%s";
type Problem = components["schemas"]["problem"];
export function codeOf(p: Problem): string { return p.code; }
export type Paths = keyof paths;
`
