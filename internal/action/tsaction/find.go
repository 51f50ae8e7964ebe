package tsaction

import (
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dop251/goja"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// planCount is how many plans a program keeps.
const planCount = 4096

// plans keeps the plans that code asks for again and again, so that stores can keep
// what they made of them.
type plans struct {
	mu   sync.Mutex
	made map[planKey]*query.Plan
}

// planKey names a read without its arguments.
type planKey struct {
	collection, where, sort string
	limit                   int
	count                   bool
}

func (p *plans) get(key planKey) *query.Plan {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.made[key]
}

func (p *plans) put(key planKey, plan *query.Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.made == nil || len(p.made) >= planCount {
		p.made = map[planKey]*query.Plan{}
	}
	p.made[key] = plan
}

// condition is a parsed where: its text as a part of a planKey, its arguments, and
// the tree, which is nil where the caller may find the plan by its key.
type condition struct {
	key  string
	args []value.Value
	tree func() query.Expr
}

func (t table) first(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	rows, ok := t.find(c.Argument(0), t.option(c.Argument(1), "sort"), 1)
	if !ok {
		return goja.Undefined()
	}
	if len(rows) == 0 {
		return goja.Null()
	}
	return m.newRecord(t.name, rows[0])
}

func (t table) list(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	ask := c.Argument(0)
	var where goja.Value
	sort, limit, named := "", action.RowsMax+1, false
	if o, ok := ask.(*goja.Object); ok {
		for _, key := range o.Keys() {
			switch key {
			case "where":
				where = o.Get(key)
			case "sort":
				sort = t.option(ask, "sort")
			case "limit":
				if v := o.Get(key); !goja.IsUndefined(v) {
					n, ok := whole(v)
					if !ok || n < 0 || n > action.RowsMax {
						m.typeError("%s.list: limit must be a whole number from 0 to %d, got %s", t.name,
							action.RowsMax, m.show(v))
					}
					limit, named = int(n), true
				}
			default:
				m.typeError("%s.list takes where, sort and limit; %s is none of them", t.name, key)
			}
		}
	} else if !goja.IsUndefined(ask) {
		m.typeError("%s.list wants {where, sort, limit}, got %s", t.name, m.show(ask))
	}
	if named && limit == 0 {
		return m.vm.NewArray()
	}
	rows, ok := t.find(where, sort, limit)
	if !ok {
		return goja.Undefined()
	}
	if len(rows) > action.RowsMax {
		m.fatal(internal("%s.list found more than %d records; give a limit or ask for fewer", t.name,
			action.RowsMax))
		return goja.Undefined()
	}
	items := make([]any, len(rows))
	for i, r := range rows {
		items[i] = m.newRecord(t.name, r)
	}
	return m.vm.NewArray(items...)
}

// option reads a text among the options of a read.
func (t table) option(v goja.Value, name string) string {
	o, ok := v.(*goja.Object)
	if !ok {
		return ""
	}
	x := o.Get(name)
	if x == nil || goja.IsUndefined(x) {
		return ""
	}
	text, ok := export(x).(string)
	if !ok {
		t.m.typeError("%s: %s must be text, got %s", t.name, name, t.m.show(x))
	}
	return text
}

func (t table) count(c goja.FunctionCall) goja.Value {
	m := t.m
	if !m.enter() {
		return goja.Undefined()
	}
	w, ok := t.where(c.Argument(0))
	if !ok {
		return goja.Undefined()
	}
	key := planKey{collection: t.name, where: w.key, count: true}
	plan := m.program.plans.get(key)
	if plan == nil {
		plan = &query.Plan{From: t.name, Where: w.tree(),
			Aggregates: []query.Aggregate{{Func: "count"}},
			Out: value.NewShape("count", []value.Field{
				{Name: "count", Type: value.Type{Kind: value.TypeInt}}})}
		m.program.plans.put(key, plan)
	}
	rows, err := m.run.host.Find(m.run.ctx, query.Query{Plan: plan, Args: w.args})
	if err != nil {
		return m.fail(err)
	}
	if len(rows) == 0 {
		return m.vm.ToValue(0)
	}
	return m.vm.ToValue(rows[0].Slots[0].Int())
}

// find reads records. It reports false if the run ends.
func (t table) find(where goja.Value, sort string, limit int) ([]value.Record, bool) {
	m := t.m
	w, ok := t.where(where)
	if !ok {
		return nil, false
	}
	key := planKey{collection: t.name, where: w.key, sort: sort, limit: limit}
	plan := m.program.plans.get(key)
	if plan == nil {
		plan = &query.Plan{From: t.name, Where: w.tree(), Sort: t.order(sort), Limit: limit}
		m.program.plans.put(key, plan)
	}
	rows, err := m.run.host.Find(m.run.ctx, query.Query{Plan: plan, Args: w.args})
	if err != nil {
		m.fail(err)
		return nil, false
	}
	return rows, true
}

// order reads a sort such as "-created,name". The id comes last, so that the order
// is total.
func (t table) order(sort string) []query.Order {
	shape := t.m.run.host.Shape(t.name)
	var keys []query.Order
	for _, name := range strings.Split(sort, ",") {
		name = strings.TrimSpace(name)
		if name == "" {
			continue
		}
		bare, desc := strings.CutPrefix(name, "-")
		i, ok := shape.Index(bare)
		if !ok {
			t.m.typeError("%s has no field %s to sort by%s", t.name, bare, near(bare, fieldNames(shape)))
		}
		keys = append(keys, query.Order{By: t.field(shape, i), Desc: desc})
	}
	return append(keys, query.Order{By: t.field(shape, spec.SlotID)})
}

func (t table) field(s *value.Shape, i int) query.Expr {
	f := &s.Fields()[i]
	return query.Field{Of: query.Row{}, Collection: t.name, Name: f.Name, Type: f.Type}
}

// where reads an object of equalities, or a cel template. It reports false if the run
// ends.
func (t table) where(v goja.Value) (condition, bool) {
	m := t.m
	none := condition{tree: func() query.Expr { return nil }}
	if v == nil || goja.IsUndefined(v) {
		return none, true
	}
	o, ok := v.(*goja.Object)
	if !ok {
		m.typeError("%s: where must be an object or cel`…`, got %s", t.name, m.show(v))
	}
	if f, ok := export(o).(*filter); ok {
		return t.filter(f)
	}
	shape := m.run.host.Shape(t.name)
	keys := o.Keys()
	slots := make([]int, len(keys))
	args := make([]value.Value, len(keys))
	for i, key := range keys {
		slot, ok := shape.Index(key)
		if !ok {
			m.typeError("%s has no field %s%s", t.name, key, near(key, fieldNames(shape)))
		}
		typ := shape.Fields()[slot].Type
		typ.Optional = true
		x, err := m.fromJS(o.Get(key), &typ, t.name+"."+key)
		if err != nil {
			m.typeError("%s", err)
		}
		if x.Kind() == value.Absent {
			m.typeError("%s.%s is undefined; write null to look for records without it", t.name, key)
		}
		slots[i], args[i] = slot, x
	}
	if len(keys) == 0 {
		return none, true
	}
	return condition{key: strings.Join(keys, ","), args: args, tree: func() query.Expr {
		all := make([]query.Expr, len(slots))
		for i, s := range slots {
			all[i] = query.Same{L: t.field(shape, s),
				R: query.Param{Index: i, Type: shape.Fields()[s].Type}}
		}
		if len(all) == 1 {
			return all[0]
		}
		return query.And{Of: all}
	}}, true
}

// filter is what the tag cel makes: a text in which the values have names.
type filter struct {
	text string
	args value.Record
}

// celMax bounds the values of one cel template.
const celMax = 100

// cel is the template tag.
func (m *machine) cel(c goja.FunctionCall) goja.Value {
	parts, ok := c.Argument(0).(*goja.Object)
	if !ok || parts.ClassName() != "Array" {
		m.typeError("cel is a tag: write cel`stock < ${n}`")
	}
	n := int(parts.Get("length").ToInteger())
	if n > celMax {
		m.typeError("cel takes at most %d values", celMax)
	}
	var text strings.Builder
	var fields []value.Field
	var slots []value.Value
	for i := range n {
		if i > 0 {
			v := c.Argument(i)
			if goja.IsNull(v) {
				text.WriteString("null")
			} else {
				typ, x := m.bind(v, "cel value "+strconv.Itoa(i))
				name := "arg_" + strconv.Itoa(i)
				text.WriteString(name)
				fields = append(fields, value.Field{Name: name, Type: typ})
				slots = append(slots, x)
			}
		}
		text.WriteString(parts.Get(strconv.Itoa(i)).String())
	}
	return m.vm.ToValue(&filter{text.String(), value.Record{
		Shape: value.NewShape("cel", fields), Slots: slots}})
}

// bind reads a value that is put into a cel template; its class is its type.
func (m *machine) bind(v goja.Value, at string) (value.Type, value.Value) {
	switch x := export(v).(type) {
	case string:
		return value.Type{Kind: value.TypeString}, value.OfText(x)
	case bool:
		return value.Type{Kind: value.TypeBool}, value.OfBool(x)
	case int64, float64:
		if n, ok := whole(v); ok {
			return value.Type{Kind: value.TypeInt}, value.OfInt(n)
		}
		typ := value.Type{Kind: value.TypeFloat}
		f, err := m.fromJS(v, &typ, at)
		if err != nil {
			m.typeError("%s", err)
		}
		return typ, f
	case time.Time:
		return value.Type{Kind: value.TypeTime}, value.OfTime(x)
	case *record:
		if x.collection != "" {
			return value.Type{Kind: value.TypeRelation, Of: x.collection}, value.OfText(x.id())
		}
	}
	if o, ok := v.(*goja.Object); ok && o.ClassName() == "Array" {
		n := o.Get("length").ToInteger()
		if n > value.ListMax {
			m.typeError("%s: a list has at most %d items", at, value.ListMax)
		}
		elem := value.Type{Kind: value.TypeString}
		items := make([]value.Value, n)
		for i := range items {
			elem, items[i] = m.bind(o.Get(strconv.Itoa(i)), at)
		}
		return value.Type{Kind: value.TypeList, Elem: &elem}, value.OfList(items)
	}
	m.typeError("%s must be text, a number, true or false, a Date, a record or a list of these, got %s",
		at, m.show(v))
	return value.Type{}, value.Value{}
}

// filter asks the host what a cel template means over the collection.
func (t table) filter(f *filter) (condition, bool) {
	tree, args, err := t.m.run.host.Filter(t.name, f.text, f.args)
	if err != nil {
		t.m.fatal(internal("%s: %s: %w", t.name, f.text, err))
		return condition{}, false
	}
	var key strings.Builder
	key.WriteString("cel:" + f.text)
	for _, field := range f.args.Shape.Fields() {
		key.WriteString(":" + strconv.Itoa(int(field.Type.Kind)))
		if field.Type.Elem != nil {
			key.WriteString("." + strconv.Itoa(int(field.Type.Elem.Kind)))
		}
	}
	// A list becomes as many parameters as it has items.
	key.WriteString("#" + strconv.Itoa(len(args)))
	return condition{key: key.String(), args: args, tree: func() query.Expr { return tree }}, true
}
