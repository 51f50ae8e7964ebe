package sdk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// project is a page in React as its developer has it: the packages installed, the app's types
// generated.
func project(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sp, findings := appfile.Load(filepath.Join("testdata", "notes"))
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "react"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"notes.ts": string(codegen.Client(sp)),
		"tsconfig.json": `{"compilerOptions": {"strict": true, "noEmit": true, "jsx": "react-jsx",
			"target": "ES2022", "module": "ESNext", "moduleResolution": "bundler", "types": []}}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	modules := filepath.Join(dir, "node_modules")
	if err := os.MkdirAll(filepath.Join(modules, "@types"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"client", "react"} {
		to := filepath.Join(modules, "@galley", name)
		if err := os.CopyFS(to, os.DirFS(name)); err != nil {
			t.Fatal(err)
		}
	}
	tools, err := filepath.Abs(filepath.Join("..", "..", "tools", "npm", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"react", "react-dom", "scheduler", "@types/react"} {
		from := filepath.Join(tools, name)
		if _, err := os.Stat(from); err != nil {
			t.Fatalf("%v: run `make setup`", err)
		}
		if err := os.CopyFS(filepath.Join(modules, name), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	// The types of React speak of the styles of CSS, and these of nothing.
	if err := os.CopyFS(filepath.Join(modules, "csstype"), os.DirFS(filepath.Join(tools, "csstype"))); err != nil {
		t.Fatal(err)
	}
	return dir
}

// useHooks tries a page in React.
func useHooks(t *testing.T, n *notes) {
	t.Helper()
	dir := project(t)
	tsc, err := filepath.Abs(filepath.Join("..", "..", "tools", "npm", "node_modules", ".bin", "tsc"))
	if err != nil {
		t.Fatal(err)
	}
	check := exec.CommandContext(t.Context(), tsc, "-p", ".", "--pretty", "false")
	check.Dir = dir
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	r := api.Build(api.BuildOptions{EntryPoints: []string{filepath.Join(dir, "page.tsx")}, Bundle: true,
		Format: api.FormatESModule, JSX: api.JSXAutomatic, Write: true,
		Define:  map[string]string{"process.env.NODE_ENV": `"development"`},
		Outfile: filepath.Join(n.App, "public", "react.js")})
	for _, e := range r.Errors {
		t.Fatalf("%v: %s", e.Location, e.Text)
	}
	html := "<!doctype html><html lang=en><title>Notes</title><link rel=icon href=data:,>" +
		"<body><script type=module src=/react.js></script>"
	if err := os.WriteFile(filepath.Join(n.App, "public", "react.html"), []byte(html), 0o600); err != nil {
		t.Fatal(err)
	}
	p := browser.Open(t, n.line.Address+"/problems")
	p.Expect("React DevTools")
	p.Go(n.line.Address + "/react.html")
	p.Until(`document.querySelector("#out")`)
	p.Run(`api.auth.signUp({ email: "cleo@example.com", password: "correct horse battery", name: "Cleo" })`)
	p.Until(`document.querySelector("h1").textContent === "Cleo"`)
	p.Run(`for (const [i, text] of ["x", "y"].entries()) api.notes.create({ text, place: i });
		api.notes.create({ text: "z", group: "b" })`)
	texts := `[...document.querySelectorAll("li > :first-child")].map((b) => b.textContent).join()`
	p.Until(texts + ` === "x of Cleo,y of Cleo"`)
	p.Until(`document.querySelector("#groups").textContent === "a2,b1"`)
	p.Click("li > button")
	p.Until(texts + ` === "y of Cleo,x of Cleo"`)
	p.Click("li .count")
	p.Until(`document.querySelector("[role=status]").textContent === "1" &&
		document.querySelector("li .count").textContent === "1"`)
	p.Click("#spoil")
	p.Until(`document.querySelector("[role=alert]").textContent === "Nobody writes this word." && ` +
		texts + ` === "y of Cleo,x of Cleo"`)
	p.Click("#other")
	p.Until(texts + ` === "z of Cleo"`)
	p.Until(`document.querySelector("#room").textContent === "CleoRaise"`)
	q := p.Tab(t, n.line.Address+"/react.html")
	q.Until(`document.querySelector("#room")?.textContent === "Cleo,CleoRaise"`)
	q.Click("#hand")
	p.Until(`document.querySelector("#room").textContent === "Cleo,Cleo!Raise"`)
	q.Go("about:blank")
	p.Until(`document.querySelector("#room").textContent === "CleoRaise"`)
}
