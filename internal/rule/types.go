package rule

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// unknownType stands for what has no declared type.
var unknownType = &value.Type{}

// typeOf returns the declared type of a part, which knows more than CEL's: the words
// of an enum, the collection of a relation, whether null may stand there. It is
// never nil.
func (u *unit) typeOf(e ast.Expr) *value.Type {
	switch e.Kind() {
	case ast.IdentKind:
		return u.typeOfName(e.AsIdent())
	case ast.SelectKind:
		s := e.AsSelect()
		if s.IsTestOnly() {
			return &value.Type{Kind: value.TypeBool}
		}
		if o := u.objectOf(s.Operand()); o != nil {
			if t := o.fieldType(s.FieldName()); t != nil {
				return t
			}
		}
	case ast.CallKind:
		c := e.AsCall()
		switch c.FunctionName() {
		case idOf:
			return &value.Type{Kind: value.TypeID, Optional: u.typeOf(c.Args()[0]).Optional}
		case idsOf:
			return u.typeOf(c.Args()[0])
		case operators.Conditional:
			l, r := u.typeOf(c.Args()[1]), u.typeOf(c.Args()[2])
			if l == unknownType {
				l, r = r, l
			}
			if r == unknownType || r.Optional {
				t := *l
				t.Optional = true
				return &t
			}
			return l
		}
	}
	return u.typeByCEL(e)
}

func (u *unit) typeOfName(name string) *value.Type {
	switch name {
	case "record", "before":
		return &value.Type{Kind: value.TypeRelation, Of: u.scope.Collection,
			Optional: name == "before"}
	case "auth":
		return &value.Type{Kind: value.TypeRelation, Of: "users", Optional: true}
	case "now":
		return &value.Type{Kind: value.TypeTime}
	case "input":
		if u.scope.Input != nil {
			return &value.Type{Kind: value.TypeObject, Fields: u.scope.Input}
		}
	}
	if t := u.vars[name]; t != nil {
		return t
	}
	if a := u.scope.Args; a != nil {
		if i, ok := a.Index(name); ok {
			return &a.Fields()[i].Type
		}
	}
	return unknownType
}

func (u *unit) typeByCEL(e ast.Expr) *value.Type {
	if u.checked == nil {
		return unknownType
	}
	switch u.checked.GetType(e.ID()).Kind() {
	case types.BoolKind:
		return &value.Type{Kind: value.TypeBool}
	case types.IntKind:
		return &value.Type{Kind: value.TypeInt}
	case types.DoubleKind:
		return &value.Type{Kind: value.TypeFloat}
	case types.StringKind:
		return &value.Type{Kind: value.TypeText}
	case types.TimestampKind:
		return &value.Type{Kind: value.TypeTime}
	case types.DurationKind:
		return &value.Type{Kind: value.TypeDuration}
	case types.ListKind:
		elem := unknownType
		if e.Kind() == ast.ListKind && len(e.AsList().Elements()) > 0 {
			elem = u.typeOf(e.AsList().Elements()[0])
		}
		return &value.Type{Kind: value.TypeList, Elem: elem}
	}
	return unknownType
}

// objectOf returns the object that a part is, nil if it is none.
func (u *unit) objectOf(e ast.Expr) *object {
	switch e.Kind() {
	case ast.IdentKind:
		switch name := e.AsIdent(); name {
		case "input":
			return u.input
		case "request":
			return u.w.objects[typePrefix+requestName]
		default:
			if t := u.typeOfName(name); t.Kind == value.TypeRelation {
				return u.w.table(t.Of)
			}
			return u.varObjects[name]
		}
	case ast.SelectKind:
		s := e.AsSelect()
		o := u.objectOf(s.Operand())
		if o == nil {
			return nil
		}
		i, ok := o.shape.Index(s.FieldName())
		if !ok || o.shape.Fields()[i].Type.Kind == value.TypeList {
			return nil
		}
		return o.of[i]
	}
	if t := u.typeOf(e); t.Kind == value.TypeRelation {
		return u.w.table(t.Of)
	}
	return nil
}

// bind notes what the variables of comprehensions are.
func (u *unit) bind(e ast.Expr) {
	walk(e, func(e ast.Expr) bool {
		if e.Kind() == ast.ComprehensionKind {
			c := e.AsComprehension()
			t, o := u.itemOf(c.IterRange())
			u.vars[c.IterVar()] = t
			if o != nil && !o.table() {
				u.varObjects[c.IterVar()] = o
			}
		}
		return true
	})
}

// itemOf returns what the items of a list or a collection are.
func (u *unit) itemOf(e ast.Expr) (*value.Type, *object) {
	if o := u.collection(e); o != nil {
		return &value.Type{Kind: value.TypeRelation, Of: o.name}, o
	}
	switch e.Kind() {
	case ast.ComprehensionKind:
		return u.itemOf(e.AsComprehension().IterRange())
	case ast.SelectKind:
		if o := u.objectOf(e.AsSelect().Operand()); o != nil {
			if i, ok := o.shape.Index(e.AsSelect().FieldName()); ok {
				if t := &o.shape.Fields()[i].Type; t.Kind == value.TypeList {
					return t.Elem, o.of[i]
				}
			}
		}
	}
	if t := u.typeOf(e); t.Kind == value.TypeList {
		return t.Elem, nil
	}
	return unknownType, nil
}

// collection returns the collection whose name the part is.
func (u *unit) collection(e ast.Expr) *object {
	if e.Kind() != ast.IdentKind || u.scope.Bare || u.vars[e.AsIdent()] != nil {
		return nil
	}
	return u.w.table(e.AsIdent())
}

// validate asks what CEL's types do not know.
func (u *unit) validate() bool {
	if !u.bounded() {
		return false
	}
	if u.scope.set {
		u.setUsed()
	} else {
		u.collectionsUsed(u.root)
	}
	walk(u.root, func(e ast.Expr) bool {
		if e.Kind() == ast.CallKind {
			u.validateCall(e)
		}
		return true
	})
	return len(u.findings) == 0
}

// collectionsUsed tells of collections that are not asked with a quantifier.
func (u *unit) collectionsUsed(e ast.Expr) {
	if q := u.quantifier(e); q != nil {
		for _, p := range q.filters {
			u.collectionsUsed(p)
		}
		if q.pred != nil {
			u.collectionsUsed(q.pred)
		}
		return
	}
	if o := u.collection(e); o != nil {
		u.tell(e.ID(), o.name+" is a whole collection, which no rule loads",
			"ask it with exists, exists_one, all, size() or filter(…).size()")
		return
	}
	for _, c := range children(e) {
		u.collectionsUsed(c)
	}
}

func (u *unit) validateCall(e ast.Expr) {
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals:
		u.validateWord(args[0], args[1])
		u.validateWord(args[1], args[0])
	case operators.Add:
		// A filter gathers its items so; nothing else joins lists.
		gathers := args[0].Kind() == ast.IdentKind && args[0].AsIdent() == accumulator
		if u.checked.GetType(e.ID()).Kind() == types.ListKind && !gathers {
			u.tell(e.ID(), "lists cannot be joined", "")
		}
	case operators.In:
		if args[1].Kind() == ast.ListKind {
			if args[1].AsList().Size() == 0 {
				u.tell(args[1].ID(), "nothing is in an empty list", "")
			}
			for _, item := range args[1].AsList().Elements() {
				u.validateWord(args[0], item)
			}
		} else if t := u.typeOf(args[1]); t.Kind == value.TypeList {
			u.validateEnum(t.Elem, args[0])
		}
	case "matches":
		pattern := args[len(args)-1]
		text, ok := literalText(pattern)
		if !ok {
			u.tell(pattern.ID(), "a pattern must be written out as a text", "")
		} else if _, err := regexp.Compile(text); err != nil {
			u.tell(pattern.ID(), "this pattern cannot be read: "+err.Error(), "")
		} else if _, _, err := query.Pattern(text); err != nil {
			u.tell(pattern.ID(), "in this pattern, "+err.Error(), "")
		}
	case "timestamp":
		text, ok := literalText(args[0])
		t, err := time.Parse(time.RFC3339Nano, text)
		if !ok || err != nil || t.Nanosecond()%1e6 != 0 {
			u.tell(args[0].ID(), "a time must be written out, to the millisecond at most",
				`such as timestamp("2026-11-21T08:00:00Z")`)
		}
	case "duration":
		text, ok := literalText(args[0])
		d, err := time.ParseDuration(text)
		if !ok || err != nil || d%time.Millisecond != 0 {
			u.tell(args[0].ID(), "a duration must be written out, to the millisecond at most",
				`such as duration("90s")`)
		}
	}
}

// validateWord tells of a word that the enum of x does not have.
func (u *unit) validateWord(x, word ast.Expr) { u.validateEnum(u.typeOf(x), word) }

func (u *unit) validateEnum(t *value.Type, word ast.Expr) {
	text, ok := literalText(word)
	if !ok || t.Kind != value.TypeEnum || slices.Contains(t.Words, text) {
		return
	}
	help := didYouMean(text, t.Words, "")
	if help == "" {
		help = "the words are " + join(t.Words)
	}
	u.tell(word.ID(), fmt.Sprintf("%q is none of the words that this can be", text), help)
}

// accumulator is the variable in which CEL's macros gather their result.
const accumulator = "@result"

func literalText(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	s, ok := e.AsLiteral().(types.String)
	return string(s), ok
}
