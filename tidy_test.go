package galley_test

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/galleybackend/galley"

// house is the parsed source of the module, by package folder ("." is the root).
type house struct {
	fset  *token.FileSet
	files map[string][]*source
}

type source struct {
	path string
	test bool
	ast  *ast.File
	text []byte
}

// skipped holds folders whose Go files are no rooms of the house: other modules,
// generated apps, test data.
var skipped = regexp.MustCompile(`(^|/)(\.[^/]+|testdata|node_modules|bench/pocketbase|bench/jobs|bin)$`)

// read reads the house once for all tests, which leave it as it is.
var read = sync.OnceValues(func() (*house, error) {
	h := &house{fset: token.NewFileSet(), files: map[string][]*source{}}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name != "." && skipped.MatchString(filepath.ToSlash(name)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(h.fset, name, text, parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(name))
		h.files[dir] = append(h.files[dir], &source{
			path: filepath.ToSlash(name), test: strings.HasSuffix(name, "_test.go"),
			ast: file, text: text,
		})
		return nil
	})
	return h, err
})

func readHouse(t *testing.T) *house {
	t.Helper()
	h, err := read()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *house) at(n ast.Node) string { return h.fset.Position(n.Pos()).String() }

// room returns the name by which floors.txt knows a folder.
func room(dir string) string {
	if dir == "." {
		return "galley"
	}
	return strings.TrimPrefix(dir, "internal/")
}

func readFloors(t *testing.T) map[string]int {
	t.Helper()
	f, err := os.Open("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	floors := map[string]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line, _, _ := strings.Cut(s.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		n, err := strconv.Atoi(words[0])
		if err != nil || len(words) != 2 {
			t.Fatalf("floors.txt: %q is not a floor and a package", s.Text())
		}
		floors[words[1]] = n
	}
	return floors
}

// outside reports whether a folder holds chores, examples or benches, which are no
// rooms and may import what they like.
func outside(dir string) bool {
	return strings.HasPrefix(dir, "examples/") && dir != "examples" || strings.HasPrefix(dir, "bench") ||
		strings.HasPrefix(dir, "internal/do") || dir == "internal/blackbox"
}

func TestImportsPointDown(t *testing.T) {
	h, floors := readHouse(t), readFloors(t)
	for dir, files := range h.files {
		for _, f := range files {
			if f.test || outside(dir) {
				continue
			}
			own, ok := floors[room(dir)]
			if !ok {
				t.Errorf("%s: package %s has no floor in floors.txt", f.path, room(dir))
				break
			}
			for _, imp := range f.ast.Imports {
				name, _ := strconv.Unquote(imp.Path.Value)
				if name != module && !strings.HasPrefix(name, module+"/") {
					continue
				}
				to := room(strings.TrimPrefix(strings.TrimPrefix(name, module), "/"))
				if name == module {
					to = "galley"
				}
				if floor, ok := floors[to]; !ok || floor >= own {
					t.Errorf("%s: %s (floor %d) imports %s (floor %d)", h.at(imp), room(dir), own, to, floor)
				}
			}
		}
	}
}

func TestPackagesAndExportedNamesAreDocumented(t *testing.T) {
	h := readHouse(t)
	for dir, files := range h.files {
		commented := false
		for _, f := range files {
			if !f.test && f.ast.Doc != nil {
				commented = true
			}
		}
		real := false
		for _, f := range files {
			real = real || !f.test
		}
		if real && !commented {
			t.Errorf("%s: the package has no comment", dir)
		}
		for _, f := range files {
			if !f.test && f.ast.Name.Name != "main" && !generated(f) {
				documented(t, h, f)
			}
		}
	}
}

func generated(f *source) bool { return strings.HasPrefix(string(f.text), "// Code generated") }

func documented(t *testing.T, h *house, f *source) {
	missing := func(n ast.Node, name string) {
		t.Errorf("%s: exported %s has no comment that begins with its name", h.at(n), name)
	}
	for _, d := range f.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.IsExported() && receiverExported(d) && !begins(d.Doc, d.Name.Name) {
				missing(d, d.Name.Name)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					if s.Name.IsExported() && !begins(s.Doc, s.Name.Name) && !begins(d.Doc, s.Name.Name) {
						missing(s, s.Name.Name)
					}
				case *ast.ValueSpec:
					// A group of constants may share one comment.
					if s.Names[0].IsExported() && s.Doc == nil && d.Doc == nil && s.Comment == nil {
						missing(s, s.Names[0].Name)
					}
				}
			}
		}
	}
}

func receiverExported(d *ast.FuncDecl) bool {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		return true
	}
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

func begins(doc *ast.CommentGroup, name string) bool {
	if doc == nil {
		return false
	}
	text := doc.Text()
	for _, article := range []string{"", "A ", "An ", "The "} {
		if strings.HasPrefix(text, article+name) {
			return true
		}
	}
	return false
}

var banned = regexp.MustCompile(
	`^(utils?|common|base|core|helpers?|managers?|types|models?|misc)$|.util$`)

func TestPackageNames(t *testing.T) {
	for dir, files := range readHouse(t).files {
		if name := files[0].ast.Name.Name; banned.MatchString(name) || banned.MatchString(path.Base(dir)) {
			t.Errorf("%s: %s is no name for a package", dir, name)
		}
	}
}

// blanks lists where blank imports may stand, besides embed.
var blanks = map[string]string{
	"internal/store/sqlite":   "github.com/ncruces/go-sqlite3/",
	"internal/store/postgres": "github.com/jackc/pgx/",
	"cmd/galley":              "time/tzdata",
}

func TestNothingHappensByImport(t *testing.T) {
	h := readHouse(t)
	for dir, files := range h.files {
		for _, f := range files {
			for _, d := range f.ast.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
					t.Errorf("%s: init()", h.at(fn))
				}
			}
			for _, imp := range f.ast.Imports {
				name, _ := strconv.Unquote(imp.Path.Value)
				allowed := blanks[dir] != "" && strings.HasPrefix(name, blanks[dir])
				if imp.Name != nil && imp.Name.Name == "_" && name != "embed" && !allowed {
					t.Errorf("%s: blank import of %s", h.at(imp), name)
				}
			}
		}
	}
}

func TestTestsDoNotSleep(t *testing.T) {
	h := readHouse(t)
	for _, files := range h.files {
		for _, f := range files {
			if !f.test || strings.Contains(string(f.text), `"testing/synctest"`) {
				continue
			}
			ast.Inspect(f.ast, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok || sel.Sel.Name != "Sleep" {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s: a test sleeps; wait for an event", h.at(n))
				}
				return true
			})
		}
	}
}

var engineWord = regexp.MustCompile(`(?i)sqlite|postgres`)

func TestEngineWordsStayInTheStore(t *testing.T) {
	for dir, files := range readHouse(t).files {
		inside := strings.HasPrefix(dir, "internal/store") || dir == "internal/config" ||
			dir == "internal/serve" || outside(dir)
		for _, f := range files {
			if f.test || inside {
				continue
			}
			for i, line := range strings.Split(string(f.text), "\n") {
				if engineWord.MatchString(line) {
					t.Errorf("%s:%d: %s", f.path, i+1, strings.TrimSpace(line))
				}
			}
		}
	}
}

func TestEveryDependencyHasAReason(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	direct := regexp.MustCompile(`^\s*(?:require\s+)?([a-z0-9.\-]+\.[a-z]+/\S+|[a-z.]+\.dev/\S+) v\S+$`)
	found := 0
	for _, line := range strings.Split(string(mod), "\n") {
		m := direct.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		found++
		if !strings.Contains(string(text), fmt.Sprintf("`%s`", m[1])) {
			t.Errorf("DEPENDENCIES.md gives no reason for %s", m[1])
		}
	}
	if found == 0 {
		t.Error("no direct dependency was found in go.mod: this test reads it wrong")
	}
}
