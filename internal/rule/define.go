package rule

import (
	"slices"

	"cel.dev/cel-go/common/ast"

	"github.com/galleybackend/galley/internal/spec"
)

// define is a named rule: a macro whose body is put in the place of each call, with
// the arguments in the place of its parameters.
type define struct {
	decl *spec.Define
	body ast.Expr
	info *ast.SourceInfo
	// kinds names the macro behind each comprehension of the body.
	kinds map[int64]string
}

// readDefines parses the named rules and says what is wrong in them before they are
// used anywhere. One that is wrong is not there.
func (w *World) readDefines() []spec.Finding {
	var all []spec.Finding
	parsed := map[string]*define{}
	for _, decl := range w.spec.Define {
		u := &unit{w: w, scope: &Scope{Name: "define." + decl.Name}, text: decl.Body}
		d := u.readDefine(decl, parsed)
		all = append(all, u.findings...)
		if d != nil {
			parsed[decl.Name] = d
		}
	}
	w.defines = parsed
	for _, decl := range w.spec.Define {
		if d := parsed[decl.Name]; d != nil && w.callsItself(d, decl.Name, map[string]bool{}) {
			all = append(all, spec.Finding{Pos: decl.Pos, Width: len(decl.Name),
				Message: "define." + decl.Name + ": this named rule calls itself",
				Help:    "named rules are put in the place where they are called; say it without recursion"})
			delete(w.defines, decl.Name)
		}
	}
	return all
}

func (u *unit) readDefine(decl *spec.Define, known map[string]*define) *define {
	w := u.w
	switch {
	case known[decl.Name] != nil:
		u.tellAt(decl.Pos, len(decl.Name), "there are two named rules of this name", "")
		return nil
	case w.taken(decl.Name) || w.base.HasFunction(decl.Name) || macros[decl.Name]:
		u.tellAt(decl.Pos, len(decl.Name), "the name "+decl.Name+" has a meaning already", "")
		return nil
	}
	for i, p := range decl.Params {
		again := slices.ContainsFunc(decl.Params[:i], func(q spec.Name) bool {
			return q.Name == p.Name
		})
		if again || w.taken(p.Name) {
			u.tellAt(p.Pos, len(p.Name), "the name "+p.Name+" has a meaning already",
				"name the parameter after the thing it stands for")
			return nil
		}
	}
	if !u.parse(w.base) {
		return nil
	}
	u.freeNames(u.root, decl, map[string]bool{})
	if len(u.findings) > 0 {
		return nil
	}
	return &define{decl: decl, body: u.root, info: u.info, kinds: u.kinds}
}

// macros are the words that CEL itself expands.
var macros = map[string]bool{"has": true, "all": true, "exists": true,
	"exists_one": true, "filter": true, "map": true}

// taken reports whether the name is that of a variable or of a collection.
func (w *World) taken(name string) bool {
	switch name {
	case "auth", "record", "before", "input", "now", "request":
		return true
	}
	return w.table(name) != nil
}

// freeNames tells of names in the body that are neither parameters nor the same
// wherever the rule is used.
func (u *unit) freeNames(e ast.Expr, decl *spec.Define, bound map[string]bool) {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		if name == bareRecord {
			u.tell(e.ID(), "has() asks for a field, such as has(record.code)", "")
			return
		}
		isParam := slices.ContainsFunc(decl.Params, func(p spec.Name) bool {
			return p.Name == name
		})
		everywhere := name == "auth" || name == "now" || name == "request" ||
			u.w.table(name) != nil
		if bound[name] || isParam || everywhere {
			return
		}
		if u.w.taken(name) {
			u.tell(e.ID(), "a named rule does not see "+name,
				"give it as a parameter")
			return
		}
		words := []string{"auth", "now", "request"}
		for _, p := range decl.Params {
			words = append(words, p.Name)
		}
		u.tell(e.ID(), `no name "`+name+`" here`,
			didYouMean(name, append(words, u.w.collections()...), ""))
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		u.freeNames(c.IterRange(), decl, bound)
		inner := map[string]bool{c.IterVar(): true, c.AccuVar(): true}
		for n := range bound {
			inner[n] = true
		}
		for _, p := range []ast.Expr{c.AccuInit(), c.LoopCondition(), c.LoopStep(), c.Result()} {
			u.freeNames(p, decl, inner)
		}
	default:
		for _, c := range children(e) {
			u.freeNames(c, decl, bound)
		}
	}
}

func (w *World) callsItself(d *define, name string, seen map[string]bool) bool {
	found := false
	walk(d.body, func(e ast.Expr) bool {
		if e.Kind() == ast.CallKind && !found {
			called := e.AsCall().FunctionName()
			if next := w.defines[called]; next != nil && !e.AsCall().IsMemberFunction() {
				if called == name {
					found = true
				} else if !seen[called] {
					seen[called] = true
					found = w.callsItself(next, name, seen)
				}
			}
		}
		return !found
	})
	return found
}

// collections returns the names of all collections that rules can see, sorted.
func (w *World) collections() []string {
	var names []string
	for _, o := range w.objects {
		if o.table() {
			names = append(names, o.name)
		}
	}
	slices.Sort(names)
	return names
}

// children returns the parts of an expression.
func children(e ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.SelectKind:
		return []ast.Expr{e.AsSelect().Operand()}
	case ast.CallKind:
		c := e.AsCall()
		if c.IsMemberFunction() {
			return append([]ast.Expr{c.Target()}, c.Args()...)
		}
		return c.Args()
	case ast.ListKind:
		return e.AsList().Elements()
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		return []ast.Expr{c.IterRange(), c.AccuInit(), c.LoopCondition(), c.LoopStep(),
			c.Result()}
	default:
		return nil
	}
}

// walk calls visit for e and all below it, and leaves out what is below an
// expression for which visit returns false.
func walk(e ast.Expr, visit func(ast.Expr) bool) {
	if !visit(e) {
		return
	}
	for _, c := range children(e) {
		walk(c, visit)
	}
}
