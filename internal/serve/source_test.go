package serve

import (
	"net/http"
	"strings"
	"testing"
	"testing/fstest"
)

// TestAnAppIsBounded compiles an app whose code imports more than a database keeps.
func TestAnAppIsBounded(t *testing.T) {
	files := fstest.MapFS{"galley.yaml": {Data: []byte("app: big\nactions:\n  a: {allow: true}\n" +
		"  b: {allow: true}\n  c: {allow: true}\n")}}
	big := "export const text = \"" + strings.Repeat("x", sourceMax/3+1) + "\";\n"
	for _, name := range []string{"a", "b", "c"} {
		files["lib/"+name+".ts"] = &fstest.MapFile{Data: []byte(big)}
		files["actions/"+name+".ts"] = &fstest.MapFile{Data: []byte(`import { action } from "galley";
import { text } from "../lib/` + name + `.ts";
export default action("` + name + `", (tx, input) => { tx.log(text.length); });
`)}
	}
	c := Compile(Config{Files: files})
	if got := firstError(c.Findings); !strings.Contains(got, "more than 16 MB") {
		t.Errorf("the finding is %q, want one that names the bound", got)
	}
}

// TestWhatIsReadIsWhatIsKept compiles an app twice, from its files and from what was
// kept of them, and wants the same files and the same name for them.
func TestWhatIsReadIsWhatIsKept(t *testing.T) {
	files := fstest.MapFS{}
	for name, text := range map[string]string{
		"galley.yaml":     "app: two\ninclude: [more/*.yaml]\nsite: public\nactions:\n  a: {allow: true}\n",
		"more/notes.yaml": "collections:\n  notes:\n    fields: {text: string}\n",
		"actions/a.ts": `import { action } from "galley"; import { x } from "pkg";
export default action("a", (tx) => { tx.log(x); });`,
		"node_modules/pkg/package.json": `{"main": "index.js"}`,
		"node_modules/pkg/index.js":     "export const x = 1;",
		"public/index.html":             "a page",
		"seed/notes.jsonl":              "{}",
	} {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	one := Compile(Config{Files: files})
	if one.Failed() {
		t.Fatal(firstError(one.Findings))
	}
	kept, err := unpack(one.source.zip)
	if err != nil {
		t.Fatal(err)
	}
	two := Compile(Config{Files: kept})
	if two.Failed() {
		t.Fatal(firstError(two.Findings))
	}
	if one.source.hash != two.source.hash || string(one.source.zip) != string(two.source.zip) {
		t.Error("what was kept of an app is another app")
	}
	for name, there := range map[string]bool{"node_modules/pkg/index.js": true,
		"more/notes.yaml": true, "public/index.html": false, "seed/notes.jsonl": false} {
		if _, err := kept.Open(name); (err == nil) != there {
			t.Errorf("%s is kept: %v, want %v", name, err == nil, there)
		}
	}
}

func TestPagesAreEachNodesOwn(t *testing.T) { onEach(t, pagesAreEachNodesOwn) }

func pagesAreEachNodesOwn(t *testing.T, join joining) {
	x := openNodes(t, join, 2, diary)
	x.replace(0, later(t, diary, "auth:", "site: public\nauth:")+"-- public/index.html --\na page\n")
	for i, want := range []int{http.StatusOK, http.StatusNotFound} {
		at := x.all[i].url.String()
		x.want("list", x.ask(at, "GET", "/api/notes", "", "", ""), http.StatusOK)
		x.want("page", x.ask(at, "GET", "/", "", "", ""), want)
	}
	x.replace(1, diary) // starts with an app that was superseded, and has no pages either
	x.want("page", x.ask(x.all[1].url.String(), "GET", "/", "", "", ""), http.StatusNotFound)
	if !strings.Contains(x.log.String(), "folder of the site is not here") {
		t.Errorf("the log does not say so:\n%s", x.log)
	}
}
