package rule

import (
	"fmt"
	"math"
	"sync"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/decls"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// World is what rules can speak of: the collections, the named rules and the
// functions of one spec. It is safe for concurrent use.
type World struct {
	spec    *spec.Spec
	objects objects
	defines map[string]*define
	base    *cel.Env

	mu sync.Mutex
	// envs keeps the environments of scopes that many rules share.
	envs map[envKey]*cel.Env
}

type envKey struct {
	collection   string
	before, bare bool
}

// requestName names the type of the variable request, which no collection can have.
const requestName = "request?"

// NewWorld returns the world of a spec whose records have the schema's shapes, with
// what is wrong in the named rules themselves.
func NewWorld(s *spec.Spec, schema *spec.Schema) (*World, []spec.Finding) {
	w := &World{spec: s, objects: objects{}, envs: map[envKey]*cel.Env{}}
	var added []*object
	for _, t := range schema.Collections {
		c := s.Collection(t.Name)
		if c == nil {
			c = &spec.Collection{Name: t.Name, Quiet: t.Quiet}
		}
		if !c.Quiet {
			added = append(added, w.objects.add(t.Name, t.Shape, c))
		}
	}
	added = append(added, w.objects.add(requestName, requestShape(), nil))
	for _, o := range added {
		w.objects.link(o)
	}
	base, err := cel.NewCustomEnv(w.baseOptions()...)
	if err != nil {
		panic(fmt.Errorf("rule: the environment of an app does not build: %w", err))
	}
	w.base = base
	return w, w.readDefines()
}

func requestShape() *value.Shape {
	text := value.Type{Kind: value.TypeString}
	var fs []value.Field
	for _, n := range []string{"id", "ip", "country", "method", "origin", "user_agent"} {
		fs = append(fs, value.Field{Name: n, Type: text})
	}
	return value.NewShape(requestName, fs)
}

// table returns the object of a collection, nil if there is none.
func (w *World) table(name string) *object {
	if o := w.objects[typePrefix+name]; o != nil && o.table() {
		return o
	}
	return nil
}

func (w *World) baseOptions() []cel.EnvOption {
	opts := []cel.EnvOption{
		cel.FunctionDecls(standard()...),
		cel.Macros(cel.GlobalMacro("has", 1, expandHas), cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro,
			cel.FilterMacro),
		cel.CrossTypeNumericComparisons(true),
		cel.EnableMacroCallTracking(),
		cel.ParserRecursionLimit(depthMax),
		cel.ParserExpressionSizeLimit(textMax),
		cel.CustomTypeAdapter(adapter{types.DefaultTypeAdapter}),
		cel.CustomTypeProvider(newProvider(w.objects)),
		cel.Variable("now", cel.TimestampType),
		cel.Variable("request", w.objects[typePrefix+requestName].cel),
	}
	if u := w.table(spec.Users); u != nil {
		opts = append(opts, cel.Variable("auth", u.cel))
	}
	return append(opts, functions()...)
}

// bareRecord stands for the record in has(field), where only the field is written.
const bareRecord = "@record"

// expandHas makes a test of has(x.f), and of has(f) for the expressions in which
// fields stand alone.
func expandHas(make cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	switch arg := args[0]; arg.Kind() {
	case ast.SelectKind:
		s := arg.AsSelect()
		return make.NewPresenceTest(s.Operand(), s.FieldName()), nil
	case ast.IdentKind:
		return make.NewPresenceTest(make.NewIdent(bareRecord), arg.AsIdent()), nil
	default:
		return nil, make.NewError(arg.ID(), "has() asks for a field, such as has(record.code)")
	}
}

// env returns the environment of a scope; own holds the objects that only this scope
// has.
func (w *World) env(s *Scope, u *unit) (*cel.Env, error) {
	k := envKey{s.Collection, s.Before, s.Bare}
	shared := s.Input == nil && s.Args == nil
	if shared {
		w.mu.Lock()
		defer w.mu.Unlock()
		if e := w.envs[k]; e != nil {
			return e, nil
		}
	}
	e, err := w.base.Extend(w.scopeOptions(s, u)...)
	if err == nil && shared {
		w.envs[k] = e
	}
	return e, err
}

func (w *World) scopeOptions(s *Scope, u *unit) []cel.EnvOption {
	var opts []cel.EnvOption
	if o := w.table(s.Collection); o != nil {
		opts = append(opts, cel.Variable("record", o.cel))
		if s.Before {
			opts = append(opts, cel.Variable("before", o.cel))
		}
	}
	if !s.Bare {
		for _, o := range w.objects {
			if o.table() {
				opts = append(opts, cel.Variable(o.name, cel.ListType(o.cel)))
			}
		}
	}
	if s.Input == nil && s.Args == nil {
		return opts
	}
	own := make(objects, len(w.objects)+4)
	for n, o := range w.objects {
		own[n] = o
	}
	if s.Input != nil {
		u.input = own.add("input?", s.Input, nil)
		own.link(u.input)
		opts = append(opts, cel.Variable("input", u.input.cel))
	}
	if s.Args != nil {
		u.args = map[string]*object{}
		for _, f := range s.Args.Fields() {
			of := own.inner("args?."+f.Name, &f.Type)
			u.args[f.Name] = of
			if ct := celType(&f.Type, of); ct != nil {
				opts = append(opts, cel.Variable(f.Name, ct))
			}
		}
	}
	return append(opts, cel.CustomTypeProvider(newProvider(own)))
}

// Bounds of an expression.
const (
	depthMax = 200
	textMax  = 16 << 10
	nodesMax = 4000
)

// adapter leaves values of CEL as they are.
type adapter struct{ types.Adapter }

// NativeToValue returns v as a value of CEL.
func (a adapter) NativeToValue(v any) ref.Val {
	if r, ok := v.(ref.Val); ok {
		return r
	}
	return a.Adapter.NativeToValue(v)
}

// provider tells CEL the types of the app.
type provider struct {
	types.Provider
	objects objects
}

func newProvider(os objects) provider {
	r := types.NewEmptyRegistry()
	for _, t := range []*types.Type{types.BoolType, types.DoubleType, types.IntType,
		types.StringType, types.TimestampType, types.DurationType, types.ListType,
		types.NullType} {
		if err := r.RegisterType(t); err != nil {
			panic(err) // the names are CEL's own
		}
	}
	return provider{r, os}
}

// FindStructType returns the type of the name.
func (p provider) FindStructType(name string) (*types.Type, bool) {
	if o := p.objects[name]; o != nil {
		return types.NewTypeTypeWithParam(o.cel), true
	}
	return p.Provider.FindStructType(name)
}

// FindStructFieldNames returns the names of a type's fields.
func (p provider) FindStructFieldNames(name string) ([]string, bool) {
	o := p.objects[name]
	if o == nil {
		return nil, false
	}
	names := make([]string, 0, len(o.fields))
	for _, f := range o.shape.Fields() {
		if o.fields[f.Name] != nil {
			names = append(names, f.Name)
		}
	}
	return names, true
}

// FindStructFieldType returns what CEL asks of a field.
func (p provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	o := p.objects[name]
	if o == nil {
		return nil, false
	}
	f := o.fields[field]
	return f, f != nil
}

// overloads are the functions of CEL that rules may use: those that every store can
// do in the same way.
var overloads = map[string]bool{
	"conditional": true, "logical_and": true, "logical_or": true, "logical_not": true,
	"not_strictly_false": true, "equals": true, "not_equals": true, "in_list": true,
	"add_int64": true, "add_double": true, "add_string": true, "add_list": true,
	"add_timestamp_duration": true, "add_duration_timestamp": true,
	"add_duration_duration": true, "subtract_int64": true, "subtract_double": true,
	"subtract_timestamp_timestamp": true, "subtract_timestamp_duration": true,
	"subtract_duration_duration": true, "multiply_int64": true, "multiply_double": true,
	"divide_int64": true, "divide_double": true, "modulo_int64": true,
	"negate_int64": true, "negate_double": true,
	"size_string": true, "size_list": true, "string_size": true, "list_size": true,
	"contains_string": true, "ends_with_string": true, "starts_with_string": true,
	"matches_string": true, "matches": true,
	"string_to_timestamp": true, "string_to_duration": true,
	"int64_to_double": true, "double_to_int64": true, "int64_to_string": true,
	"timestamp_to_year": true, "timestamp_to_month": true,
	"timestamp_to_day_of_year": true, "timestamp_to_day_of_month": true,
	"timestamp_to_day_of_month_1_based": true, "timestamp_to_day_of_week": true,
	"timestamp_to_hours": true, "timestamp_to_minutes": true,
	"timestamp_to_seconds": true, "timestamp_to_milliseconds": true,
}

// standard returns the part of CEL's own functions that rules may use.
func standard() []*decls.FunctionDecl {
	compared := [...]string{"int64", "int64_double", "double", "double_int64", "string",
		"timestamp", "duration"}
	allowed := make(map[string]bool, len(overloads)+4*len(compared))
	for id := range overloads {
		allowed[id] = true
	}
	for _, op := range [...]string{"less", "less_equals", "greater", "greater_equals"} {
		for _, t := range compared {
			allowed[op+"_"+t] = true
		}
	}
	var out []*decls.FunctionDecl
	for _, fn := range stdlib.Functions() {
		var ids []string
		for _, o := range fn.OverloadDecls() {
			if allowed[o.ID()] {
				ids = append(ids, o.ID())
			}
		}
		if len(ids) > 0 {
			out = append(out, fn.Subset(decls.IncludeOverloads(ids...)))
		}
	}
	return out
}

// The functions with which the checker repairs a comparison of a record with an id.
const (
	idOf  = "@id"
	idsOf = "@ids"
)

// functions returns what Galley adds to CEL.
func functions() []cel.EnvOption {
	record := cel.TypeParamType("R")
	opts := []cel.EnvOption{
		cel.Function(idOf, cel.Overload("galley_id", []*cel.Type{record},
			cel.NullableType(cel.StringType), cel.UnaryBinding(toID))),
		cel.Function(idsOf, cel.Overload("galley_ids",
			[]*cel.Type{cel.ListType(record)}, cel.ListType(cel.StringType),
			cel.UnaryBinding(toIDs))),
	}
	for _, s := range spans {
		opts = append(opts, cel.Function(s.name, cel.Overload("galley_"+s.name,
			[]*cel.Type{cel.IntType}, cel.DurationType,
			cel.UnaryBinding(func(n ref.Val) ref.Val { return span(n, s.unit) }))))
	}
	for _, f := range texts {
		opts = append(opts, cel.Function(f.name, cel.MemberOverload("galley_"+f.name,
			[]*cel.Type{cel.StringType}, cel.StringType,
			cel.UnaryBinding(func(s ref.Val) ref.Val {
				t, ok := s.(types.String)
				if !ok {
					return types.MaybeNoSuchOverloadErr(s)
				}
				return types.String(f.do(string(t)))
			}))))
	}
	return opts
}

// spans are the functions that make durations.
var spans = [...]struct {
	name string
	unit time.Duration
}{{"days", 24 * time.Hour}, {"hours", time.Hour}, {"minutes", time.Minute},
	{"seconds", time.Second}}

func span(n ref.Val, unit time.Duration) ref.Val {
	i, ok := n.(types.Int)
	if !ok {
		return types.MaybeNoSuchOverloadErr(n)
	}
	if most := types.Int(math.MaxInt64 / int64(unit)); i > most || i < -most {
		return types.NewErr("duration out of range")
	}
	return types.Duration{Duration: time.Duration(i) * unit}
}

func toID(v ref.Val) ref.Val {
	if r, ok := v.(*recordVal); ok && r.o.table() {
		return types.String(r.id)
	}
	if v == types.NullValue {
		return v
	}
	return types.MaybeNoSuchOverloadErr(v)
}

func toIDs(v ref.Val) ref.Val {
	l, ok := v.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(v)
	}
	var ids []ref.Val
	for it := l.Iterator(); it.HasNext() == types.True; {
		ids = append(ids, toID(it.Next()))
	}
	return types.NewRefValList(types.DefaultTypeAdapter, ids)
}
