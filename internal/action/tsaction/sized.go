package tsaction

import (
	"errors"
	"reflect"
	"strconv"

	"github.com/dop251/goja"
	"github.com/dop251/goja/ast"
	"github.com/dop251/goja/token"
	"github.com/dop251/goja/unistring"
)

const (
	// textMax is the greatest length of a text that an operator makes, spreadMax the
	// greatest number of items that one step spreads into an object.
	textMax   = 1 << 20
	spreadMax = 100_000
	// littleText is how long a literal may be that is added without a look: a text
	// that grows by such steps takes longer than any call may to reach a bound.
	littleText = 64
)

// The parameters of a bundle by which it looks at what its operators make, and at what it
// awaits. Code can neither write names of this form nor hide them.
const (
	sizedName  = "%sized"
	spreadName = "%spread"
	holdName   = "%hold"
	settleName = "%settle"
	pickName   = "%pick"
)

// lookNames are these names in the order of the bundle's parameters.
var lookNames = [...]string{sizedName, spreadName, holdName, settleName, pickName}

// errForm says that a bundle is not of the form that bundleHead says, errRest that it
// takes the rest of an object in one step, at which nobody can look.
var (
	errForm = errors.New("the bundle has another form than it was given")
	errRest = errors.New("the bundle takes the rest of an object")
)

// measure makes a bundle look at each text that its operators make, and at each text
// and list that it spreads into an object. The engine does these in one step, however
// large, in which nothing can stop it. The last parameters of the bundle become the
// functions that look.
func measure(tree *ast.Program) error {
	if len(tree.Body) == 0 {
		return errForm
	}
	statement, _ := tree.Body[0].(*ast.ExpressionStatement)
	if statement == nil {
		return errForm
	}
	f, _ := statement.Expression.(*ast.FunctionLiteral)
	if f == nil || len(f.ParameterList.List) != 2+len(lookNames) {
		return errForm
	}
	for i, name := range lookNames {
		id, _ := f.ParameterList.List[2+i].Target.(*ast.Identifier)
		if id == nil {
			return errForm
		}
		id.Name = unistring.String(name)
	}
	m := measurer{seen: map[any]bool{}}
	m.walk(reflect.ValueOf(f.Body))
	if m.rest {
		return errRest
	}
	return nil
}

// measurer goes through a tree.
type measurer struct {
	seen map[any]bool
	// rest reports that there is a rest of an object in a pattern.
	rest bool
}

// expression is the type of the places in a tree where a look can be put.
var expression = reflect.TypeFor[ast.Expression]()

// walk goes through all parts of a tree, the inner ones first.
func (m *measurer) walk(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		m.walk(v.Elem())
		if v.Type() != expression || !v.CanSet() {
			return
		}
		if e, ok := v.Interface().(*ast.AwaitExpression); ok {
			v.Set(reflect.ValueOf(awaited(e)))
		} else if grows(v.Interface()) {
			v.Set(reflect.ValueOf(looked(sizedName, v.Interface().(ast.Expression))))
		}
	case reflect.Pointer:
		if v.IsNil() || m.seen[v.Interface()] {
			return
		}
		m.seen[v.Interface()] = true
		m.walk(v.Elem())
		m.spreads(v.Interface())
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				m.walk(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			m.walk(v.Index(i))
		}
	}
}

// spreads looks at what an object literal spreads.
func (m *measurer) spreads(node any) {
	switch n := node.(type) {
	case *ast.ObjectLiteral:
		for _, p := range n.Value {
			if s, ok := p.(*ast.SpreadElement); ok {
				s.Expression = looked(spreadName, s.Expression)
			}
		}
	case *ast.ObjectPattern:
		m.rest = m.rest || n.Rest != nil
	}
}

// looked returns a call of one of the functions that look.
func looked(name string, args ...ast.Expression) ast.Expression {
	e := args[0]
	return &ast.CallExpression{Callee: &ast.Identifier{Name: unistring.String(name), Idx: e.Idx0()},
		LeftParenthesis: e.Idx0(), ArgumentList: args, RightParenthesis: e.Idx1()}
}

// awaited returns an await that costs little where there is nothing to wait for, as with
// all that tx gives: instead of a promise made for the value, one that is settled already
// is awaited, and the value is held meanwhile. What runs before what stays the same.
func awaited(e *ast.AwaitExpression) ast.Expression {
	held := looked(holdName, e.Argument)
	settled := looked(settleName, held).(*ast.CallExpression)
	settled.ArgumentList = nil
	return looked(pickName, held, &ast.AwaitExpression{Await: e.Await, Argument: settled})
}

// grows reports whether an expression can make a text that is much longer than each of
// its parts.
func grows(node any) bool {
	switch e := node.(type) {
	case *ast.BinaryExpression:
		return e.Operator == token.PLUS && !little(e.Left) && !little(e.Right)
	case *ast.AssignExpression:
		return e.Operator == token.PLUS && !little(e.Right)
	case *ast.TemplateLiteral:
		length := 0
		for _, t := range e.Elements {
			length += len(t.Literal)
		}
		return e.Tag == nil && (len(e.Expressions) > 1 || length > littleText)
	}
	return false
}

// little reports whether an expression is sure to be a number or a short text.
func little(node ast.Expression) bool {
	switch e := node.(type) {
	case *ast.NumberLiteral, *ast.BooleanLiteral, *ast.NullLiteral:
		return true
	case *ast.StringLiteral:
		return len(e.Value) <= littleText
	case *ast.UnaryExpression:
		return e.Operator != token.VOID
	case *ast.BinaryExpression:
		switch e.Operator {
		case token.MINUS, token.MULTIPLY, token.SLASH, token.REMAINDER, token.EXPONENT,
			token.AND, token.OR, token.EXCLUSIVE_OR, token.SHIFT_LEFT, token.SHIFT_RIGHT,
			token.UNSIGNED_SHIFT_RIGHT:
			return true
		}
	}
	return false
}

// sized looks at what an operator made.
func (m *machine) sized(c goja.FunctionCall) goja.Value {
	v := c.Argument(0)
	if s, ok := v.(goja.String); ok && s.Length() > textMax {
		m.tooLong("the text", textMax)
	}
	return v
}

// spread looks at what is spread into an object.
func (m *machine) spread(c goja.FunctionCall) goja.Value {
	v := c.Argument(0)
	switch x := v.(type) {
	case goja.String:
		if x.Length() > spreadMax {
			m.tooLong("the text to spread", spreadMax)
		}
	case *goja.Object:
		if class := x.ClassName(); class != "Array" && class != "String" {
			break
		}
		if n := x.Get("length"); n != nil && n.ToInteger() > spreadMax {
			m.tooLong("the list to spread", spreadMax)
		}
	}
	return v
}

// hold keeps what is to be awaited for settle, which is the next that runs.
func (m *machine) hold(c goja.FunctionCall) goja.Value {
	m.held = c.Argument(0)
	return m.held
}

// settle returns what must be awaited: what is held, or, if that is only a value, the
// promise that is settled already.
func (m *machine) settle(goja.FunctionCall) goja.Value {
	v := m.held
	m.held = nil
	o, ok := v.(*goja.Object)
	if !ok {
		return m.settled
	}
	switch o.ExportType() {
	case typeRecord:
		return m.settled
	case typePromise:
		return v
	}
	if _, ok := goja.AssertFunction(o.Get("then")); ok {
		return v
	}
	return m.settled
}

// pick returns what an await comes to: what was held, if it was only a value.
func (m *machine) pick(c goja.FunctionCall) goja.Value {
	if v := c.Argument(1); v != m.nothing {
		return v
	}
	return c.Argument(0)
}

// tooLong throws a RangeError.
func (m *machine) tooLong(what string, most int) {
	text := m.vm.ToValue(what + " is longer than " + strconv.Itoa(most))
	o, err := m.vm.New(m.rangeError, text)
	if err != nil {
		panic(err)
	}
	panic(o)
}
