package main

import (
	"cmp"
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// The lengths from which a person should look.
const (
	functionLines = 70
	fileLines     = 500
	packageLines  = 1500
	lineColumns   = 100
	methodsMost   = 10
	longestShown  = 10
)

// report collects what a person should look at, by heading.
type report struct {
	headings []string
	found    map[string][]string
	longest  []sized
	packages map[string]int
}

// sized is something with a number of lines.
type sized struct {
	name  string
	lines int
}

func (r *report) add(heading, format string, args ...any) {
	r.found[heading] = append(r.found[heading], fmt.Sprintf(format, args...))
}

// runReport prints what the style guide asks a person to look at. It fails for
// nothing that it finds.
func runReport(_ context.Context, _ []string) error {
	r := &report{found: map[string][]string{}, packages: map[string]int{}, headings: []string{
		"functions over 70 lines", "files over 500 lines", "packages over 1,500 lines",
		"lines over 100 columns", "interfaces over 10 methods", "package variables",
		"context.WithValue outside observe", "names of the past", "TODO and FIXME",
		"discarded errors without a reason", "skips and fixed ports in tests",
		"dead links in documents",
	}}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.ToSlash(path); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") ||
			d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		case strings.HasSuffix(name, ".go"):
			return r.code(name)
		case strings.HasSuffix(name, ".md"):
			return r.document(name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for dir, lines := range r.packages {
		if lines > packageLines {
			r.add("packages over 1,500 lines", "%s: %d", dir, lines)
		}
	}
	r.print()
	return nil
}

func (r *report) print() {
	slices.SortFunc(r.longest, func(a, b sized) int { return cmp.Compare(b.lines, a.lines) })
	fmt.Println("the longest functions")
	for _, f := range r.longest[:min(len(r.longest), longestShown)] {
		fmt.Printf("  %4d  %s\n", f.lines, f.name)
	}
	for _, heading := range r.headings {
		found := r.found[heading]
		slices.Sort(found)
		fmt.Printf("\n%s: %d\n", heading, len(found))
		for _, line := range found {
			fmt.Println("  " + line)
		}
	}
}

var (
	past      = regexp.MustCompile(`(?:V2|[Ll]egacy|^[Oo]ld[A-Z]|^New[A-Z]?$)`)
	later     = regexp.MustCompile(`\b(TODO|FIXME)\b`)
	discarded = regexp.MustCompile(`^\s*_(, _)? = .*\)$`)
	skip      = regexp.MustCompile(`\bt\.Skip|"(?:localhost|127\.0\.0\.1):[1-9][0-9]*"`)
)

// code looks at one file of code.
func (r *report) code(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	test := strings.HasSuffix(name, "_test.go")
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	if !test && !ast.IsGenerated(file) {
		r.packages[filepath.ToSlash(filepath.Dir(name))] += len(lines)
		if len(lines) > fileLines {
			r.add("files over 500 lines", "%s: %d", name, len(lines))
		}
	}
	r.lines(name, lines, test)
	at := func(n ast.Node) string {
		return fmt.Sprintf("%s:%d", name, files.Position(n.Pos()).Line)
	}
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			n := files.Position(d.End()).Line - files.Position(d.Pos()).Line + 1
			r.longest = append(r.longest, sized{at(d) + " " + d.Name.Name, n})
			if n > functionLines {
				r.add("functions over 70 lines", "%s %s: %d", at(d), d.Name.Name, n)
			}
			if past.MatchString(d.Name.Name) && d.Name.Name != "New" {
				r.add("names of the past", "%s %s", at(d), d.Name.Name)
			}
		case *ast.GenDecl:
			r.declared(d, at, test)
		}
	}
	return nil
}

// declared looks at types and variables of a package.
func (r *report) declared(d *ast.GenDecl, at func(ast.Node) string, test bool) {
	for _, s := range d.Specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if i, ok := s.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > methodsMost {
				r.add("interfaces over 10 methods", "%s %s: %d", at(s), s.Name.Name, i.Methods.NumFields())
			}
		case *ast.ValueSpec:
			if d.Tok == token.VAR && !test && !expected(d, s) {
				r.add("package variables", "%s %s", at(s), s.Names[0].Name)
			}
		}
	}
}

// expected reports whether a package variable is an error, a compiled pattern, an
// embedded file or a proof that a type keeps a contract.
func expected(d *ast.GenDecl, s *ast.ValueSpec) bool {
	if s.Names[0].Name == "_" || embedded(d.Doc) || embedded(s.Doc) {
		return true
	}
	if len(s.Values) != 1 {
		return false
	}
	call, ok := s.Values[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	of, ok := f.X.(*ast.Ident)
	return ok && slices.Contains([]string{"errors.New", "fmt.Errorf", "regexp.MustCompile",
		"fault.New", "template.Must"}, of.Name+"."+f.Sel.Name)
}

func embedded(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	for _, c := range doc.List {
		if strings.HasPrefix(c.Text, "//go:embed") {
			return true
		}
	}
	return false
}

// lines looks at the text of a file, line by line.
func (r *report) lines(name string, lines []string, test bool) {
	if name == "internal/do/report.go" {
		return // it has to name what it looks for
	}
	wide := 0
	for i, line := range lines {
		at := fmt.Sprintf("%s:%d", name, i+1)
		if utf8.RuneCountInString(line) > lineColumns {
			wide++
		}
		if later.MatchString(line) && !strings.Contains(line, "FIXME)") {
			r.add("TODO and FIXME", "%s", at)
		}
		if !test && discarded.MatchString(line) {
			r.add("discarded errors without a reason", "%s: %s", at, strings.TrimSpace(line))
		}
		if test && skip.MatchString(line) {
			r.add("skips and fixed ports in tests", "%s: %s", at, strings.TrimSpace(line))
		}
		if strings.Contains(line, "context.WithValue(") && !strings.HasPrefix(name, "internal/observe/") {
			r.add("context.WithValue outside observe", "%s", at)
		}
	}
	if wide > 0 {
		r.add("lines over 100 columns", "%s: %d", name, wide)
	}
}

var linked = regexp.MustCompile(`\]\(([^)\s#]+)(?:#[^)\s]*)?\)`)

// document looks at the links of a document.
func (r *report) document(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for _, m := range linked.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[1], "://") {
			continue
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(name), m[1])); err != nil {
			r.add("dead links in documents", "%s: %s", name, m[1])
		}
	}
	return nil
}
