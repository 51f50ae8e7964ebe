package rule

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// unit is one text on its way to a rule, and what is known of it afterwards.
type unit struct {
	w     *World
	scope *Scope
	text  spec.Text
	env   *cel.Env
	// input and args are the objects that only this scope has.
	input *object
	args  map[string]*object

	parsed  *cel.Ast
	root    ast.Expr
	info    *ast.SourceInfo
	checked *ast.AST
	// kinds names the macro behind each comprehension.
	kinds map[int64]string
	// origin is, for parts that came from a named rule, where they are written.
	origin map[int64]spec.Pos
	// vars holds what the variables of comprehensions are.
	vars map[string]*value.Type
	// varObjects holds the objects among them that are no collections.
	varObjects map[string]*object
	// auth says that the text names who asks.
	auth bool

	findings []spec.Finding
}

// Compile checks the text in its scope. The rule is nil if a finding is an error.
func (w *World) Compile(text spec.Text, scope Scope) (*Rule, []spec.Finding) {
	u := newUnit(w, text, &scope)
	if !u.compile() {
		return nil, u.findings
	}
	walk(u.root, func(e ast.Expr) bool {
		u.auth = u.auth || e.Kind() == ast.IdentKind && e.AsIdent() == "auth"
		return true
	})
	r := &Rule{world: w, scope: scope, text: text, unit: u, typ: u.typeOf(u.root)}
	u.scope = &r.scope
	prog, err := u.plan(u.root)
	if err != nil {
		u.tellError(err)
		return nil, u.findings
	}
	r.program = prog
	r.cond, r.why = u.condition()
	if r.why != nil && !scope.NoSQL {
		u.tellError(r.why)
	}
	r.facts = u.gather()
	r.tracked = sync.OnceValues(func() (cel.Program, error) { return u.track(u.root) })
	if spec.Failed(u.findings) {
		return nil, u.findings
	}
	u.parsed = nil
	return r, u.findings
}

func newUnit(w *World, text spec.Text, scope *Scope) *unit {
	return &unit{w: w, scope: scope, text: text, origin: map[int64]spec.Pos{},
		vars: map[string]*value.Type{}, varObjects: map[string]*object{}}
}

// compile parses, prepares and checks the text.
func (u *unit) compile() bool {
	s := u.scope
	if s.Collection != "" && u.w.table(s.Collection) == nil {
		u.tellAt(u.text.Pos, 0, "no collection "+s.Collection, "")
		return false
	}
	if s.Bare && len(u.text.Source) > FilterMax {
		u.tellAt(u.text.Pos, 0, fmt.Sprintf("this is longer than %d bytes", FilterMax), "")
		return false
	}
	env, err := u.w.env(s, u)
	if err != nil {
		u.tellAt(u.text.Pos, 0, "this scope cannot be built: "+err.Error(), "")
		return false
	}
	u.env = env
	if !u.parse(env) || !u.prepare() {
		return false
	}
	u.bind(u.root)
	return u.check() && u.validate()
}

func (u *unit) parse(env *cel.Env) bool {
	if u.text.Empty() {
		u.tellAt(u.text.Pos, 0, "there is no expression here", "")
		return false
	}
	parsed, issues := env.Parse(u.text.Source)
	if issues != nil && issues.Err() != nil {
		u.tellSyntax(issues.Errors()[0]) // the others may only follow from it
		return false
	}
	u.parsed = parsed
	u.root, u.info = parsed.NativeRep().Expr(), parsed.NativeRep().SourceInfo()
	u.kinds = map[int64]string{}
	for id, call := range u.info.MacroCalls() {
		if call.Kind() == ast.CallKind {
			u.kinds[id] = call.AsCall().FunctionName()
		}
	}
	return true
}

// check asks CEL whether the types fit. Where a record is compared with an id, and
// that alone is wrong, the record's id is compared.
func (u *unit) check() bool {
	for range repairsMax {
		checked, issues := u.env.Check(u.parsed)
		if issues == nil || issues.Err() == nil {
			u.checked = checked.NativeRep()
			u.root, u.info = u.checked.Expr(), u.checked.SourceInfo()
			return u.checkResult()
		}
		repaired := false
		for _, e := range issues.Errors() {
			repaired = u.repair(e) || repaired
		}
		if !repaired {
			for _, e := range issues.Errors() {
				u.tellType(e)
			}
			return false
		}
	}
	u.tell(u.root.ID(), "too many comparisons of records with ids", "")
	return false
}

// repairsMax bounds how often a text is checked again after a repair. One round
// repairs all comparisons that do not stand in one another.
const repairsMax = 20

// repair wraps the record of a comparison of record and id, and reports whether e
// was about one.
func (u *unit) repair(e *cel.Error) bool {
	fn, args, ok := overloadError(e.Message)
	if !ok || len(args) != 2 {
		return false
	}
	node := u.find(e.ExprID)
	if node == nil || node.Kind() != ast.CallKind {
		return false
	}
	l, r := args[0], args[1]
	parts := slices.Clone(node.AsCall().Args())
	switch fn {
	case operators.Equals, operators.NotEquals:
		switch {
		case u.w.isRecord(l) && isText(r) && u.mayBeID(parts[1]):
			parts[0] = u.wrap(idOf, parts[0])
		case isText(l) && u.w.isRecord(r) && u.mayBeID(parts[0]):
			parts[1] = u.wrap(idOf, parts[1])
		default:
			return false
		}
	case operators.In:
		switch {
		case u.w.isRecord(l) && isText(listed(r)):
			parts[0] = u.wrap(idOf, parts[0])
		case isText(l) && u.w.isRecord(listed(r)) && u.mayBeID(parts[0]):
			parts[1] = u.wrap(idsOf, parts[1])
		default:
			return false
		}
	default:
		return false
	}
	node.SetKindCase(ast.NewExprFactory().NewCall(node.ID(), fn, parts...))
	return true
}

// mayBeID reports whether a text can be meant as an id. A field that is declared as
// text is not: comparing a name with a record is a mistake.
func (u *unit) mayBeID(e ast.Expr) bool {
	if e.Kind() != ast.SelectKind {
		return true
	}
	o := u.objectOf(e.AsSelect().Operand())
	return o == nil || !o.table() || e.AsSelect().FieldName() == spec.FieldID
}

func (u *unit) wrap(fn string, e ast.Expr) ast.Expr {
	id := int64(0)
	for used := range u.info.OffsetRanges() {
		id = max(id, used)
	}
	id++
	if r, ok := u.info.GetOffsetRange(e.ID()); ok {
		u.info.SetOffsetRange(id, r)
	}
	return ast.NewExprFactory().NewCall(id, fn, e)
}

func (u *unit) find(id int64) ast.Expr {
	var found ast.Expr
	walk(u.root, func(e ast.Expr) bool {
		if e.ID() == id {
			found = e
		}
		return found == nil
	})
	return found
}

// checkResult asks whether the expression yields what its scope needs.
func (u *unit) checkResult() bool {
	got := u.checked.GetType(u.root.ID())
	t := u.typeOf(u.root)
	want := u.scope.Result
	switch {
	case u.scope.set:
		return u.checkSet()
	case u.scope.AnyResult:
		switch t.Kind {
		case value.TypeList, value.TypeObject, value.TypeJSON:
		default:
			if got.Kind() != types.NullTypeKind {
				return true
			}
		}
		u.tellWhole("this is "+article(got)+", but a single value is needed here", "")
		return false
	case want == nil:
		if got.Kind() == types.BoolKind {
			return true
		}
		u.tellWhole("this is a "+typeName(got)+", but a bool is needed here", "")
		return false
	}
	of := want.Of
	if want.Kind == value.TypeList {
		of = want.Elem.Of
	}
	ct := celType(want, u.w.table(of))
	if ct != nil && (ct.IsAssignableType(got) || got.IsAssignableType(ct) ||
		got.Kind() == types.NullTypeKind && want.Optional || u.idResult(want, got)) {
		return true
	}
	u.tellWhole("this is a "+typeName(got)+", but "+article(ct)+" is needed here", "")
	return false
}

// idResult reports whether an id stands where a record is wanted.
func (u *unit) idResult(want *value.Type, got *types.Type) bool {
	return want.Kind == value.TypeRelation && got.Kind() == types.StringKind
}

// tellError adds a finding for an error of the steps behind the check.
func (u *unit) tellError(err error) {
	var r *refusal
	if errors.As(err, &r) {
		u.tell(r.id, r.message, r.help)
		return
	}
	u.tellAt(u.text.Pos, 0, err.Error(), "")
}

// refusal is a part that cannot be done, with its place.
type refusal struct {
	id            int64
	message, help string
}

// Error returns the message.
func (r *refusal) Error() string { return r.message }
