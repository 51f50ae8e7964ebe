package tsaction

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"unicode"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/spec"
)

// bundleMax bounds the code of one file with all it imports, in bytes.
const bundleMax = 8 << 20

// The entry of every bundle hands the default export to start, which is a parameter
// of the function that the bundle is wrapped in, as are the module "galley" and what
// measure needs.
var codeForm = form{
	head:  `(function(__galley, __start, __1, __2, __3, __4, __5) { "use strict";`,
	entry: "import main from %q;\n__start(main);\n",
	name:  "galley",
	module: "export const { action, job, hook, webhook, route, refuse, fail, cel, add, append, " +
		"remove, max, min } = __galley;\n",
}

// form is how a bundle is wrapped in a function, what its entry does with the file, and
// the module of ours that it may import.
type form struct{ head, entry, name, module string }

const bundleFoot = `})`

// native is what the engine has beyond its target and does faster than the code that
// stands in for it.
var native = map[string]bool{
	"object-rest-spread":        true,
	"optional-chain":            true,
	"nullish-coalescing":        true,
	"logical-assignment":        true,
	"class-field":               true,
	"class-static-field":        true,
	"class-private-field":       true,
	"class-private-method":      true,
	"class-private-brand-check": true,
	"optional-catch-binding":    true,
}

// stepwise is native but for the rest of an object, which takes many steps then: those
// that could be stopped.
func stepwise() map[string]bool {
	m := maps.Clone(native)
	m["object-rest-spread"] = false
	return m
}

// bundle makes one script of the file and all it imports. Imports stay within the
// app's folder: nothing outside fsys can be named.
func bundle(fsys fs.FS, file string, f form, supported map[string]bool) (
	string, []spec.Finding) {
	r := resolver{fsys: fsys, form: f}
	result := api.Build(api.BuildOptions{
		Stdin: &api.StdinOptions{
			Contents:   fmt.Sprintf(f.entry, "./"+file),
			Sourcefile: "galley:entry",
			ResolveDir: "/",
			Loader:     api.LoaderJS,
		},
		Bundle:         true,
		Write:          false,
		Format:         api.FormatIIFE,
		Platform:       api.PlatformNeutral,
		Target:         api.ES2017,
		Supported:      supported,
		Sourcemap:      api.SourceMapInline,
		SourcesContent: api.SourcesContentExclude,
		Charset:        api.CharsetUTF8,
		LogLevel:       api.LogLevelSilent,
		LogLimit:       0,
		TsconfigRaw:    `{"compilerOptions":{"verbatimModuleSyntax":false}}`,
		Banner:         map[string]string{"js": f.head},
		Footer:         map[string]string{"js": bundleFoot},
		Outfile:        "/" + file + ".js",
		AbsWorkingDir:  "/",
		Plugins:        []api.Plugin{{Name: "galley", Setup: r.setup}},
	})
	var found []spec.Finding
	for _, m := range result.Errors {
		found = append(found, messageFinding(file, m))
	}
	if len(found) > 0 {
		return "", found
	}
	text := string(result.OutputFiles[0].Contents)
	if len(text) > bundleMax {
		return "", []spec.Finding{{Pos: spec.Pos{File: file, Line: 1, Column: 1},
			Message: fmt.Sprintf("the code of this file with its imports has %d bytes; %d is the most",
				len(text), bundleMax)}}
	}
	return text, nil
}

// messageFinding tells a message of the bundler as a finding of ours.
func messageFinding(file string, m api.Message) spec.Finding {
	f := spec.Finding{Pos: spec.Pos{File: file, Line: 1, Column: 1}, Message: lower(m.Text)}
	if strings.HasPrefix(m.Text, "No matching export in") && strings.Contains(m.Text, `"default"`) {
		f.Message = "this file exports no " + action.Run{Name: file}.Kind()
		f.Help = exportHelp(unit(file))
		return f
	}
	if l := m.Location; l != nil && l.File != "galley:entry" {
		f.Pos = spec.Pos{File: strings.TrimPrefix(l.File, appSpace+":"), Line: l.Line,
			Column: len([]rune(l.LineText[:min(l.Column, len(l.LineText))])) + 1}
		f.Width = len([]rune(l.LineText[min(l.Column, len(l.LineText)):min(l.Column+l.Length, len(l.LineText))]))
		if strings.ContainsFunc(l.Suggestion, unicode.IsLetter) { // a lone ; helps nobody
			f.Help = l.Suggestion
		}
	}
	return f
}

func lower(text string) string {
	text = strings.TrimSuffix(text, ".")
	if len(text) > 1 && text[0] >= 'A' && text[0] <= 'Z' && text[1] >= 'a' && text[1] <= 'z' {
		return string(text[0]+'a'-'A') + text[1:]
	}
	return text
}

// appSpace marks the files of the app among what the bundler resolves.
const appSpace = "app"

// resolver finds what modules import, within the app's folder.
type resolver struct {
	fsys fs.FS
	form form
}

func (r resolver) setup(b api.PluginBuild) {
	b.OnResolve(api.OnResolveOptions{Filter: ".*"}, r.resolve)
	b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: "galley"},
		func(api.OnLoadArgs) (api.OnLoadResult, error) {
			text := r.form.module
			return api.OnLoadResult{Contents: &text, Loader: api.LoaderJS}, nil
		})
	b.OnLoad(api.OnLoadOptions{Filter: ".*", Namespace: appSpace}, r.load)
}

func (r resolver) resolve(args api.OnResolveArgs) (api.OnResolveResult, error) {
	name := args.Path
	if name == r.form.name {
		return api.OnResolveResult{Path: name, Namespace: "galley"}, nil
	}
	from := "."
	if args.Namespace == appSpace {
		from = path.Dir(args.Importer)
	}
	var target string
	switch {
	case strings.HasPrefix(name, "./"), strings.HasPrefix(name, "../"), name == ".", name == "..":
		target = r.file(path.Join(from, name))
	case strings.HasPrefix(name, "/"), strings.Contains(name, ":"):
	default:
		target = r.module(from, name)
	}
	if target == "" {
		return api.OnResolveResult{Errors: []api.Message{{Text: r.missing(from, name)}}}, nil
	}
	return api.OnResolveResult{Path: target, Namespace: appSpace}, nil
}

// missing says why an import was not found.
func (r resolver) missing(from, name string) string {
	switch {
	case strings.HasPrefix(path.Join(from, name), "../"):
		return fmt.Sprintf("%q lies outside the app's folder", name)
	case strings.HasPrefix(name, "."):
		return fmt.Sprintf("there is no file %q", path.Join(from, name))
	case name == "galley", strings.HasPrefix(name, "galley/"):
		return fmt.Sprintf("there is no module %q here; write %q", name, r.form.name)
	case strings.HasPrefix(name, "/"), strings.Contains(name, ":"):
		return fmt.Sprintf("%q cannot be imported: code has no network, no files and no Node", name)
	}
	return fmt.Sprintf("there is no package %q in node_modules", name)
}

// suffixes are tried in order after a path that names no file.
var suffixes = []string{"", ".ts", ".js", ".mjs", ".json", "/index.ts", "/index.js", "/index.mjs"}

// file returns the file that a path stands for, or "".
func (r resolver) file(name string) string {
	for _, s := range suffixes {
		if r.has(name + s) {
			return name + s
		}
	}
	if base, ok := strings.CutSuffix(name, ".js"); ok && r.has(base+".ts") {
		return base + ".ts"
	}
	return ""
}

func (r resolver) has(name string) bool {
	if !fs.ValidPath(name) {
		return false
	}
	info, err := fs.Stat(r.fsys, name)
	return err == nil && info.Mode().IsRegular()
}

// module returns the file of a package, looked for in node_modules beside the
// importing file and above it, up to the app's folder.
func (r resolver) module(from, name string) string {
	parts := strings.SplitN(name, "/", 3)
	pkg, rest := parts[0], strings.Join(parts[1:], "/")
	if strings.HasPrefix(name, "@") && len(parts) > 1 {
		pkg, rest = parts[0]+"/"+parts[1], strings.Join(parts[2:], "/")
	}
	for dir := from; ; dir = path.Dir(dir) {
		root := path.Join(dir, "node_modules", pkg)
		if r.has(path.Join(root, "package.json")) {
			return r.inPackage(root, rest)
		}
		if dir == "." || dir == "/" {
			return ""
		}
	}
}

// manifest is what we read of a package.json.
type manifest struct {
	Main    string
	Module  string
	Exports json.RawMessage
}

func (r resolver) inPackage(root, rest string) string {
	var m manifest
	text, err := fs.ReadFile(r.fsys, path.Join(root, "package.json"))
	if err != nil || json.Unmarshal(text, &m) != nil {
		return ""
	}
	if len(m.Exports) > 0 {
		if target := exported(m.Exports, rest); target != "" {
			return r.file(path.Join(root, target))
		}
		return ""
	}
	if rest != "" {
		return r.file(path.Join(root, rest))
	}
	for _, name := range []string{m.Module, m.Main, "index.js"} {
		if name == "" {
			continue
		}
		if target := r.file(path.Join(root, name)); target != "" {
			return target
		}
	}
	return ""
}

// exported looks a subpath up in the field exports of a package.json.
func exported(exports json.RawMessage, rest string) string {
	key := "."
	if rest != "" {
		key = "./" + rest
	}
	var paths map[string]json.RawMessage
	if json.Unmarshal(exports, &paths) == nil {
		dotted := false
		for k := range paths {
			dotted = dotted || strings.HasPrefix(k, ".")
		}
		if dotted {
			return chosen(paths[key])
		}
	}
	if key == "." {
		return chosen(exports)
	}
	return ""
}

// chosen returns the target under the first condition that fits us.
func chosen(text json.RawMessage) string {
	var target string
	if json.Unmarshal(text, &target) == nil {
		return target
	}
	var choices map[string]json.RawMessage
	if json.Unmarshal(text, &choices) != nil {
		return ""
	}
	for _, name := range []string{"import", "module", "default", "require"} {
		if t := chosen(choices[name]); t != "" {
			return t
		}
	}
	return ""
}

func (r resolver) load(args api.OnLoadArgs) (api.OnLoadResult, error) {
	text, err := fs.ReadFile(r.fsys, args.Path)
	if err != nil {
		return api.OnLoadResult{}, err
	}
	loader := api.LoaderJS
	switch path.Ext(args.Path) {
	case ".ts", ".mts", ".cts":
		loader = api.LoaderTS
	case ".json":
		loader = api.LoaderJSON
	}
	contents := string(text)
	return api.OnLoadResult{Contents: &contents, Loader: loader}, nil
}

// exportHelp says how a file exports what its folder is for.
func exportHelp(unit string) string {
	folder, name, _ := strings.Cut(unit, "/")
	what := map[string]string{
		action.Actions:  "(tx, input) => …",
		action.Jobs:     "async (job, input) => …",
		action.Hooks:    "{ create(tx, record) { … } }",
		action.Webhooks: "(tx, event) => …",
		action.Routes:   "(tx, request) => …",
	}[folder]
	return fmt.Sprintf("write export default %s(%q, %s)", strings.TrimSuffix(folder, "s"), name, what)
}
