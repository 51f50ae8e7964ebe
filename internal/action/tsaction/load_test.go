package tsaction

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
)

const plain = `import { action } from "galley";
export default action("a", () => {});
`

// findings loads an app that declares a and buy.
func findings(sources map[string]string) []string {
	files := fstest.MapFS{}
	for name, text := range sources {
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	_, found := Load(files, actiontest.Shop("a", "buy"))
	var out []string
	for _, f := range found {
		kind := ""
		if f.Severity == spec.Warning {
			kind = "warning: "
		}
		text := fmt.Sprintf("%s%s:%d:%d %s", kind, f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message)
		if f.Help != "" {
			text += " | " + f.Help
		}
		out = append(out, text)
	}
	return out
}

func TestFindings(t *testing.T) {
	for name, c := range map[string]struct{ file, text, want string }{
		"not declared": {"actions/bye.ts", plain,
			"actions/bye.ts:1:1 the app file declares no action bye | declare it under actions:, or move the file out of actions/; did you mean buy?"},
		"no default": {"actions/a.ts", "export const x = 1;\n",
			`actions/a.ts:1:1 this file exports no action | write export default action("a", (tx, input) => …)`},
		"another default": {"actions/a.ts", "export default 5;\n",
			`actions/a.ts:1:1 the default export of this file is no action | write export default action("a", (tx, input) => …)`},
		"another name": {"actions/a.ts", "\nimport { action } from \"galley\";\n  export default action(\"b\", () => {});\n",
			`actions/a.ts:3:18 this file is called a but its action is called b | write export default action("a", (tx, input) => …)`},
		"syntax": {"actions/a.ts", "import { action } from \"galley\";\nexport default action(\"a\", (tx) => {\n  const ä = ;\n});\n",
			`actions/a.ts:3:13 unexpected ";"`},
		"unknown code": {"actions/a.ts", "import { action, refuse } from \"galley\";\nexport default action(\"a\", () => {\n  /* refuse(\"x\") */ throw refuse(\"out_of_stok\");\n});\n",
			`actions/a.ts:3:35 the app has no refusal "out_of_stok" | add it under errors:; did you mean out_of_stock?`},
		"unicode class": {"actions/a.ts", "import { action } from \"galley\";\nexport default action(\"a\", () => { /\\p{L}/u.test(\"x\"); });\n",
			`warning: actions/a.ts:2:37 \p{L} is not supported in regular expressions here | name the characters, as in [a-zà-ÿ]`},
		"thrown while loading": {"actions/a.ts", "import { action } from \"galley\";\nconst x: any = null;\nx.y();\nexport default action(\"a\", () => {});\n",
			`actions/a.ts:3:1 this file cannot be loaded: TypeError: Cannot read property 'y' of undefined or null`},
		"endless": {"actions/a.ts", "import { action } from \"galley\";\nwhile (true) {}\nexport default action(\"a\", () => {});\n",
			`actions/a.ts:3:16 this file cannot be loaded: it took longer than 2s`},
		"outside": {"actions/a.ts", "import \"../../secret\";\n" + plain,
			`actions/a.ts:1:8 "../../secret" lies outside the app's folder`},
		"absolute": {"actions/a.ts", "import \"/etc/passwd\";\n" + plain,
			`actions/a.ts:1:8 "/etc/passwd" cannot be imported: code has no network, no files and no Node`},
		"node": {"actions/a.ts", "import \"node:fs\";\n" + plain,
			`actions/a.ts:1:8 "node:fs" cannot be imported: code has no network, no files and no Node`},
		"bare": {"actions/a.ts", "import \"fs\";\n" + plain,
			`actions/a.ts:1:8 there is no package "fs" in node_modules`},
		"no file": {"actions/a.ts", "import \"./lib\";\n" + plain,
			`actions/a.ts:1:8 there is no file "actions/lib"`},
		"test module": {"actions/a.ts", "import \"galley/test\";\n" + plain,
			`actions/a.ts:1:8 there is no module "galley/test" here; write "galley"`},
		"no such export": {"actions/a.ts", "import { action, fetch } from \"galley\";\nfetch();\nexport default action(\"a\", () => {});\n",
			`actions/a.ts:1:18 no matching export in "galley:galley" for import "fetch"`},
	} {
		t.Run(name, func(t *testing.T) {
			got := strings.Join(findings(map[string]string{c.file: c.text}), "\n")
			if got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

func TestTwoFilesOfOneName(t *testing.T) {
	got := strings.Join(findings(map[string]string{"actions/a.ts": plain, "actions/a.js": plain}), "\n")
	want := "actions/a.ts:1:1 action a is in actions/a.js:2 already"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNamesHavePlaces(t *testing.T) {
	p := load(t, actiontest.Shop("a"), map[string]string{"actions/a.ts": plain, "actions/README.md": "x",
		"actions/types.d.ts": "x"})
	if got := p.Names(); len(got) != 1 || got["actions/a"] != "actions/a.ts:2" {
		t.Errorf("got %v", got)
	}
	if p := load(t, actiontest.Shop("a"), nil); len(p.Names()) != 0 {
		t.Errorf("an app without actions has %v", p.Names())
	}
}

func TestImports(t *testing.T) {
	s := actiontest.Shop("a")
	p := load(t, s, map[string]string{
		"actions/a.ts": `import { action } from "galley";
import { half } from "../lib/math";
import table from "../lib/table.json";
import { left } from "@shop/left";
import main from "plain";
import deep from "exact/deep";
import type { Nothing } from "./nothing";
export default action("a", () => ({ it: [half(10), table.rate, left("x"), main, deep] }));
`,
		"lib/math.ts":                          "export function half(n: number): number { return n / 2; }\n",
		"lib/table.json":                       `{"rate": 7}`,
		"node_modules/@shop/left/package.json": `{"main": "lib/index"}`,
		"node_modules/@shop/left/lib/index.js": `exports.left = function (s) { return "left " + s; };`,
		"node_modules/plain/package.json":      `{"exports": {".": {"node": "./no.js", "import": {"default": "./m.mjs"}}}}`,
		"node_modules/plain/m.mjs":             `import other from "other"; export default other + 1;`,
		"node_modules/other/package.json":      `{"module": "o.js", "main": "no.js"}`,
		"node_modules/other/o.js":              `export default 41;`,
		"node_modules/exact/package.json":      `{"exports": {"./deep": "./src/deep.js"}}`,
		"node_modules/exact/src/deep.js":       `export default "deep";`,
	})
	out, err := call(p, actiontest.NewMemory(s), bounds)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.Record().Get("it").Text(); got != `[5,7,"left x",42,"deep"]` {
		t.Errorf("got %s", got)
	}
}

// TestMistakesNameTheirLine makes a mistake in each way and wants the line that
// somebody wrote among the causes, and nothing of the bundle.
func TestMistakesNameTheirLine(t *testing.T) {
	s := actiontest.Shop("a")
	for name, c := range map[string]struct{ code, want string }{
		"thrown":   {`throw new RangeError("no")`, "RangeError: no\n\tat helper (lib/help.ts:4:"},
		"engine's": {`const o: any = null; o.x()`, "lib/help.ts:4:"},
		"async":    {`return Promise.resolve().then(() => { throw new Error("late") })`, "lib/help.ts:4:"},
		"no error": {`throw "just text"`, "threw just text"},
		"host":     {`tx.db.products.insert({nmae: 1})`, "lib/help.ts:4:"},
		"endless":  {`for (;;) {}`, "lib/help.ts:"},
		"deep":     {`const f = (): any => f(); f()`, "lib/help.ts:4:"},
		"class":    {`class Mine extends Error { constructor() { super("own"); this.name = "Mine" } }; throw new Mine()`, "own"},
		"getter":   {`throw { get stack() { throw 1 } }`, "an object that cannot be read"},
		"nothing":  {`throw undefined`, "threw undefined"},
	} {
		t.Run(name, func(t *testing.T) {
			p := load(t, s, map[string]string{
				"actions/a.ts": "import { action } from \"galley\";\nimport { helper } from \"../lib/help\";\n\n" +
					"export default action(\"a\", async (tx) => { await helper(tx); });\n",
				"lib/help.ts": "interface Wide { a: string }\n\nexport function helper(tx: any): any {\n  " + c.code + "\n}\n",
			})
			_, err := Runner{}.Run(context.Background(), p, action.Run{Name: "actions/a",
				Bounds: action.Bounds{Time: bounds.Time / 20}}, actiontest.NewMemory(s))
			f := fault.From(err)
			if f == nil || f.Cause == nil || !strings.Contains(f.Cause.Error(), c.want) {
				t.Fatalf("got %v\nwant %s", err, c.want)
			}
			for _, bad := range []string{"prelude", "galley:entry", ".ts.js", "native"} {
				if strings.Contains(f.Cause.Error(), bad) {
					t.Errorf("%s stands in %v", bad, f.Cause)
				}
			}
			if strings.Contains(f.Message, "help") {
				t.Errorf("the caller reads %q", f.Message)
			}
		})
	}
}
