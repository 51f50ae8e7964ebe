package engine

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// selection is what a list or an aggregate reads, compiled: it is immutable and kept
// for all calls that say the same.
type selection struct {
	coll         *app.Collection
	read, filter *rule.Condition
	// judge decides the filter in memory.
	judge *rule.Rule
	// where holds for the rows; nil for all.
	where query.Expr
	// size is the number of its arguments.
	size int
	// apart are the rules of fields that it uses: they must let the caller read
	// them.
	apart []apart
}

// apart is a field with a rule that is asked before records are read.
type apart struct {
	rule  *rule.Rule
	param string
	at    part
}

// listing is a compiled list.
type listing struct {
	selection
	sort   []sortKey
	limit  int
	keep   []bool
	tree   []*branch
	first  *query.Plan
	count  *query.Plan
	cursor *value.Shape
}

// sortKey is one field of an order.
type sortKey struct {
	slot int
	desc bool
}

// list reads a page of records.
func (r *run) list(ctx context.Context, v store.View, op *operation) (Answer, error) {
	p, err := readParams(op.coll, r.call.Params, listParams, true)
	if err != nil {
		return Answer{}, err
	}
	key, kept, err := r.compiled(op, &p, func() (any, error) { return r.listing(op.coll, p) })
	if err != nil {
		return Answer{}, err
	}
	l := kept.(*listing)
	args, none, err := r.arguments(ctx, &l.selection, p)
	if err != nil {
		return Answer{}, err
	}
	total, err := p.total()
	if err != nil {
		return Answer{}, err
	}
	plan := l.first
	if p.has(paramCursor) {
		if plan, args, err = r.after(l, key, p, args); err != nil {
			return Answer{}, err
		}
	}
	answer := Answer{HasTotal: total}
	if none {
		return answer, nil
	}
	rows, err := v.Find(ctx, query.Query{Plan: plan, Args: args})
	if err != nil {
		return Answer{}, err
	}
	if len(rows) > l.limit {
		rows = rows[:l.limit]
		answer.Next = r.cursorAt(l, p, rows[l.limit-1])
	}
	answer.Items = make([]Item, len(rows))
	for i, row := range rows {
		if err := r.show(ctx, l.coll, row); err != nil {
			return Answer{}, err
		}
		answer.Items[i].Record = row
	}
	if err := r.expand(ctx, v, answer.Items, l.tree); err != nil {
		return Answer{}, err
	}
	project(answer.Items, l.keep)
	if total {
		answer.Total, err = count(ctx, v, l.count, args[:l.size])
	}
	return answer, err
}

func count(ctx context.Context, v store.View, plan *query.Plan, args []value.Value) (int64, error) {
	rows, err := v.Find(ctx, query.Query{Plan: plan, Args: args})
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].Slots[0].Int(), nil
}

// compiled returns what is kept of a list or an aggregate, and its key, or compiles and
// keeps it: with the filter's literals as arguments, or, where one of them means more
// than its value, with the filter as it was written.
func (r *run) compiled(op *operation, p *params, compile func() (any, error)) (
	key string, kept any, err error) {
	text := p.get(paramFilter)
	p.filter = lift(text)
	as := "as written\x00" + op.coll.Name + "\x00" + p.filter.key()
	if !p.filter.args.Zero() && r.plans.has(as) {
		p.filter = lifted{text: text}
	}
	for {
		key = r.planKey(op, *p)
		if kept, ok := r.plans.get(key); ok {
			return key, kept, nil
		}
		kept, err = compile()
		if errors.Is(err, errLifted) {
			r.plans.put(as, true)
			p.filter = lifted{text: text}
			continue
		}
		if err == nil {
			r.plans.put(key, kept)
		}
		return key, kept, err
	}
}

// planKey names what a list or an aggregate says, without the values it is about.
func (r *run) planKey(op *operation, p params) string {
	var b strings.Builder
	b.WriteByte('0' + byte(op.verb))
	if r.free() {
		b.WriteByte('!')
	}
	b.WriteString(op.coll.Name)
	for _, name := range p.known {
		switch name {
		case paramCursor, paramTotal:
		case paramFilter:
			b.WriteByte(0)
			b.WriteString(p.filter.key())
		default:
			b.WriteByte(0)
			b.WriteString(p.get(name))
		}
	}
	for _, name := range p.equal {
		b.WriteByte(0)
		b.WriteString(name)
	}
	return b.String()
}

func (r *run) listing(c *app.Collection, p params) (*listing, error) {
	l := &listing{}
	if err := r.selection(&l.selection, c, p); err != nil {
		return nil, err
	}
	var err error
	if l.limit, err = p.limit(); err != nil {
		return nil, err
	}
	if l.sort, err = r.order(&l.selection, p); err != nil {
		return nil, err
	}
	if l.keep, l.tree, err = r.view(c, p); err != nil {
		return nil, err
	}
	l.first = l.page(l.where)
	l.count = &query.Plan{From: c.Name, Where: l.where,
		Aggregates: []query.Aggregate{{Func: "count"}}, Out: countShape}
	fields := make([]value.Field, len(l.sort))
	for i, k := range l.sort {
		t := c.Shape.Fields()[k.slot].Type
		fields[i] = value.Field{Name: strconv.Itoa(i), Type: t}
	}
	l.cursor = value.NewShape("cursor", fields)
	return l, nil
}

var countShape = value.NewShape("", []value.Field{{Name: "n", Type: value.Type{Kind: value.TypeInt}}})

// page is the plan of one page: it reads one row more than the page has, which tells
// whether there is a next one.
func (l *listing) page(where query.Expr) *query.Plan {
	plan := &query.Plan{From: l.coll.Name, Where: where, Limit: l.limit + 1}
	for _, k := range l.sort {
		plan.Sort = append(plan.Sort, query.Order{By: field(l.coll, k.slot), Desc: k.desc})
	}
	return plan
}

func field(c *app.Collection, slot int) query.Expr {
	f := &c.Shape.Fields()[slot]
	return query.Field{Of: query.Row{}, Collection: c.Name, Name: f.Name, Type: f.Type}
}

// selection compiles the read rule, the filter and the fields compared with.
func (r *run) selection(s *selection, c *app.Collection, p params) error {
	s.coll = c
	var all []query.Expr
	if !r.free() {
		cond, err := c.Read.Condition()
		if err != nil {
			return internal("%s as a query: %w", c.Read.Name(), err)
		}
		s.read = cond
		if !cond.Always() {
			all = append(all, cond.Expr)
		}
		s.size = cond.Len()
	}
	if p.filter.text != "" {
		var cond *rule.Condition
		var err error
		s.judge, cond, err = r.filter(s, c, p.filter)
		if err != nil && !p.filter.args.Zero() {
			return errLifted // what is wrong is told of the filter as it was written
		}
		if err != nil {
			return err
		}
		s.filter = cond
		all = append(all, query.Shift(cond.Expr, s.size))
		s.size += cond.Len()
	}
	for _, name := range p.equal {
		slot, _ := c.Shape.Index(name)
		if !scalar(c, slot) {
			return errParam(name, 0, "The field %s cannot be compared with; use filter.", name)
		}
		s.ruled(c, slot, name, part{name, 0})
		t := c.Shape.Fields()[slot].Type
		all = append(all, query.Same{L: field(c, slot), R: query.Param{Index: s.size, Type: t}})
		s.size++
	}
	switch len(all) {
	case 0:
	case 1:
		s.where = all[0]
	default:
		s.where = query.And{Of: all}
	}
	return nil
}

// ruled notes that the selection uses a field that has a rule.
func (s *selection) ruled(c *app.Collection, slot int, param string, at part) {
	if x := c.Fields[slot].Apart; x != nil {
		s.apart = append(s.apart, apart{x, param, at})
	}
}

// scalar reports whether values of the field have an order.
func scalar(c *app.Collection, slot int) bool {
	switch c.Shape.Fields()[slot].Type.ValueKind() {
	case value.List, value.Object, value.JSON:
		return false
	}
	return true
}

// filter compiles a caller's filter. It is read first in the world in which hidden
// fields do not exist, so that whatever is wrong with it says nothing of them.
func (r *run) filter(s *selection, c *app.Collection, f lifted) (
	*rule.Rule, *rule.Condition, error) {
	source := spec.Text{Source: f.text, Pos: spec.Pos{Line: 1, Column: 1}}
	scope := rule.Scope{Collection: c.Name, Bare: true, Args: f.args.Shape}
	world := r.World
	if !r.free() {
		if _, findings := r.Outside.Compile(source, scope); spec.Failed(findings) {
			return nil, nil, errFilter(findings)
		}
		scope.Visible = r.loaded.visible // the call itself must not be kept
	}
	x, findings := world.Compile(source, scope)
	if spec.Failed(findings) || x == nil {
		return nil, nil, errFilter(findings)
	}
	if !r.free() {
		for _, path := range x.Mentions() {
			for _, step := range path.Steps {
				of := r.Collection(step.Collection)
				slot, ok := of.Shape.Index(step.Field)
				if ok {
					s.ruled(of, slot, paramFilter, part{step.Field, path.Pos.Column})
				}
			}
		}
	}
	cond, err := x.Condition()
	if err != nil {
		f := fault.WithCode(fault.Malformed, "invalid_filter", "%v.", err)
		f.At = fault.Place{Parameter: paramFilter, Column: 1}
		return nil, nil, f
	}
	return x, cond, nil
}

// visible returns the read rule of a collection, nil if it is closed.
func (l *loaded) visible(name string) *rule.Rule {
	if c := l.Collection(name); c != nil && !c.Quiet {
		return c.Read
	}
	return nil
}

func errFilter(findings []spec.Finding) error {
	for _, f := range findings {
		if f.Severity != spec.Error {
			continue
		}
		text := f.Message
		if f.Help != "" {
			text += ". " + strings.ToUpper(f.Help[:1]) + f.Help[1:]
		}
		if !strings.HasSuffix(text, "?") {
			text += "."
		}
		out := fault.WithCode(fault.Malformed, "invalid_filter", "%s", text)
		out.At = fault.Place{Parameter: paramFilter, Column: f.Pos.Column}
		return out
	}
	return fault.WithCode(fault.Malformed, "invalid_filter", "The filter is not valid.")
}

// order reads sort and completes it with the id.
func (r *run) order(s *selection, p params) ([]sortKey, error) {
	names, err := p.list(paramSort)
	if err != nil {
		return nil, err
	}
	var keys []sortKey
	for _, x := range names {
		name, desc := strings.CutPrefix(x.text, "-")
		slot, err := r.usable(s, paramSort, part{name, x.column})
		if err != nil {
			return nil, err
		}
		for _, k := range keys {
			if k.slot == slot {
				return nil, errParam(paramSort, x.column, "The field %s is there twice.", name)
			}
		}
		keys = append(keys, sortKey{slot, desc})
		if slot == spec.SlotID {
			return keys, nil
		}
	}
	return append(keys, sortKey{slot: spec.SlotID}), nil
}

// usable finds a field by which the caller may sort or group.
func (r *run) usable(s *selection, param string, x part) (int, error) {
	shape := s.coll.Usable
	if r.free() {
		shape = s.coll.Shape
	}
	if _, ok := shape.Index(x.text); !ok {
		return 0, errField(s.coll.Name, param, x, shape.Names())
	}
	slot, _ := s.coll.Shape.Index(x.text)
	if !scalar(s.coll, slot) {
		return 0, errParam(param, x.column, "The field %s has no order.", x.text)
	}
	if !r.free() {
		s.ruled(s.coll, slot, param, x)
	}
	return slot, nil
}

// arguments binds the caller and the values. None reports that nothing can be found.
func (r *run) arguments(ctx context.Context, s *selection, p params) (
	args []value.Value, none bool, err error) {
	r.about(value.Record{}, value.Record{}, value.Record{})
	for _, x := range s.apart {
		v := x.rule.Decide(ctx, &r.in)
		if err := v.Broken(); err != nil {
			return nil, false, err
		}
		if !v.Allowed() {
			return nil, false, errField(s.coll.Name, x.param, x.at, nil)
		}
	}
	if s.read != nil {
		if args, err = s.read.Args(ctx, &r.in); err != nil {
			return nil, false, err
		}
		none = s.read.Never(args)
		r.part(s.coll.Read, !none)
		args = args[:len(args):len(args)]
	}
	if s.filter != nil {
		r.in.Args = p.filter.args
		more, err := s.filter.Args(ctx, &r.in)
		r.in.Args = value.Record{}
		if err != nil {
			return nil, false, err
		}
		args = append(args, more...)
	}
	args, err = p.equalValues(args)
	return args, none, err
}
