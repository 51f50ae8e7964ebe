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
)

// judge is what asks the public parser about documents: it says what is wrong with each.
const judge = `import {createRequire} from "module"; import fs from "fs";
const {Parser} = createRequire(process.argv[2])("@asyncapi/parser");
let bad = 0;
for (const file of process.argv.slice(3)) {
  const {document, diagnostics} = await new Parser().parse(fs.readFileSync(file, "utf8"));
  for (const d of diagnostics.filter(d => d.severity < 2)) {
    bad++; console.log(file, d.severity, d.code, d.message, (d.path || []).join("."));
  }
  if (!document) { bad++; console.log(file, "is no document"); }
}
process.exit(bad ? 1 : 0);
`

func TestAsyncAPIStandsBeforeThePublicParser(t *testing.T) {
	npm, err := filepath.Abs("../../tools/npm/package.json")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	program := write("judge.mjs", judge)
	ask := func(files ...string) ([]byte, error) {
		return exec.CommandContext(t.Context(), "node",
			append([]string{program, npm}, files...)...).CombinedOutput()
	}
	var docs []string
	var last string
	all := apps(t)
	for _, name := range []string{"shop", "kanban", "empty"} {
		sp := all[name]
		doc := codegen.AsyncAPI(sp)
		if !bytes.Equal(doc, codegen.AsyncAPI(sp)) {
			t.Error("the same spec gives another document")
		}
		last = string(doc)
		docs = append(docs, write(name+".json", last))
	}
	if out, err := ask(docs...); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// The control: a document that is wrong must not pass.
	broken := write("broken.json", strings.Replace(last, `"action": "receive"`, `"action": "take"`, 1))
	if out, err := ask(broken); err == nil {
		t.Errorf("the parser passes a broken document:\n%s", out)
	}
}

func TestAsyncAPIHoldsWhatIsOpenAndNothingElse(t *testing.T) {
	sp := apps(t)["shop"]
	if sp == nil {
		t.Fatal("there is no shop")
	}
	text := codegen.AsyncAPI(sp)
	var doc struct {
		Operations map[string]any
		Components struct{ Messages, Schemas map[string]any }
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range sp.Collections {
		open := c.Allow.Read != nil && !c.Quiet
		for _, name := range []string{"follow_" + c.Name, "tell_" + c.Name} {
			if _, there := doc.Operations[name]; there != open {
				t.Errorf("%s is there: %v, want %v", name, there, open)
			}
		}
		for _, f := range c.Fields {
			schema, _ := doc.Components.Schemas[c.Name].(map[string]any)
			props, _ := schema["properties"].(map[string]any)
			if f.Hidden && props[f.Name] != nil {
				t.Errorf("the document tells of %s.%s", c.Name, f.Name)
			}
		}
	}
	if len(doc.Operations) < 8 {
		t.Errorf("the document has %s", fmt.Sprint(doc.Operations))
	}
}
