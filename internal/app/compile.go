package app

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Compile compiles a spec, with the quiet collections of the house, and looks for
// who implements its actions. Nil code leaves the actions without programs, for
// those who do not run them. The App is nil if a finding is an error; all findings
// are returned at once.
func Compile(s *spec.Spec, house []*spec.Collection, code []Code) (*App, []spec.Finding) {
	schema := s.Schema(house...)
	world, findings := rule.NewWorld(s, schema)
	if spec.Failed(findings) {
		return nil, findings
	}
	c := &compiler{world: world, findings: findings, app: &App{
		Spec: s, Schema: schema, World: world,
		byName:      map[string]*Collection{},
		actionNames: map[string]*Action{},
		functions:   map[string]*Function{},
		refusals:    map[string]spec.Refusal{},
		places:      map[*rule.Rule]string{},
	}}
	c.refusals(s)
	for _, x := range slices.Concat(house, s.Collections) {
		c.collection(x, schema.Table(x.Name))
	}
	c.hooks()
	c.triggers(s)
	for _, x := range s.Actions {
		c.action(x)
	}
	for _, f := range action.Functions(s) {
		c.app.functions[f.Name] = &Function{Function: f}
	}
	c.proxies(s)
	c.jobsOf(s)
	c.emailsOf(s)
	c.viewsOf(s)
	c.routesOf(s)
	c.channelsOf(s)
	if code != nil {
		c.owners(code)
	}
	if spec.Failed(c.findings) {
		return nil, c.findings
	}
	c.outside()
	if spec.Failed(c.findings) {
		return nil, c.findings
	}
	c.warn()
	return c.app, c.findings
}

type compiler struct {
	app      *App
	world    *rule.World
	findings []spec.Finding
}

func (c *compiler) fail(pos spec.Pos, format string, args ...any) {
	c.findings = append(c.findings, spec.Finding{Pos: pos, Message: fmt.Sprintf(format, args...)})
}

// rule compiles a rule and keeps its findings.
func (c *compiler) rule(text spec.Text, scope rule.Scope) *rule.Rule {
	r, findings := c.world.Compile(text, scope)
	c.findings = append(c.findings, findings...)
	if r != nil {
		c.app.places[r] = Place(text.Pos)
	}
	return r
}

func (c *compiler) refusals(s *spec.Spec) {
	for _, x := range s.Collections {
		for _, check := range x.Checks {
			c.app.refusals[check.Name] = spec.Refusal{Code: check.Name, Doc: check.Doc, Pos: check.Pos}
		}
	}
	for _, r := range s.Errors {
		c.app.refusals[r.Code] = *r
	}
}

func (c *compiler) collection(x *spec.Collection, table *spec.Table) {
	out := &Collection{Name: x.Name, Spec: x, Shape: table.Shape, Quiet: x.Quiet, Plain: true}
	c.fields(x, out)
	out.Known = out.shapeOf(func(f *Field) bool { return !f.Hidden })
	out.Usable = out.shapeOf(func(f *Field) bool {
		return !f.Hidden && (f.Read == nil || f.Apart != nil)
	})
	c.allow(x, out)
	all := &spec.Grant{}
	for _, f := range x.All()[spec.SlotFirst:] {
		all.Fields = append(all.Fields, spec.Name{Name: f.Name})
	}
	out.AdminCreate, out.AdminCreateSlots = input(out, all, true)
	out.AdminUpdate, out.AdminUpdateSlots = input(out, all, false)
	for _, check := range x.Checks {
		r := c.rule(check.Rule, rule.Scope{Name: x.Name + ".check." + check.Name,
			Collection: x.Name, Before: true, NoSQL: true})
		if r != nil {
			out.Checks = append(out.Checks, &Check{Name: check.Name, Rule: r,
				Own: r.OnlyRecord() && !r.UsesBefore(), Place: Place(check.Rule.Pos)})
		}
	}
	out.place = len(c.app.collections)
	c.app.collections = append(c.app.collections, out)
	c.app.byName[x.Name] = out
}

// shapeOf returns the shape of some of the fields.
func (c *Collection) shapeOf(keep func(*Field) bool) *value.Shape {
	var fields []value.Field
	for i, f := range c.Shape.Fields() {
		if keep(&c.Fields[i]) {
			fields = append(fields, f)
		}
	}
	return value.NewShape(c.Name, fields)
}

// outside compiles the world of callers' filters.
func (c *compiler) outside() {
	s := *c.app.Spec
	s.Define, s.Collections = nil, nil
	schema := &spec.Schema{}
	for _, x := range c.app.collections {
		if x.Quiet {
			continue
		}
		part := *x.Spec
		part.Fields = nil
		for _, f := range x.Spec.Fields {
			if _, ok := x.Usable.Index(f.Name); ok {
				part.Fields = append(part.Fields, f)
			}
		}
		s.Collections = append(s.Collections, &part)
		table := *c.app.Schema.Table(x.Name)
		table.Shape = x.Usable
		schema.Collections = append(schema.Collections, &table)
	}
	world, findings := rule.NewWorld(&s, schema)
	c.app.Outside = world
	c.findings = append(c.findings, findings...)
}

func (c *compiler) fields(x *spec.Collection, out *Collection) {
	all := x.All()
	out.Fields = make([]Field, len(all))
	for i, f := range all {
		to := &out.Fields[i]
		to.Spec, to.Hidden = f, f.Hidden
		if f.Hidden {
			out.Plain = false
		}
		name := x.Name + "." + f.Name
		if !f.Read.Empty() && !f.Hidden {
			out.Plain = false
			to.Read = c.rule(f.Read, rule.Scope{Name: name + ".read", Collection: x.Name, NoSQL: true})
			if to.Read != nil {
				// What compiles where there is no record does not need one.
				to.Apart, _ = c.world.Compile(f.Read, rule.Scope{Name: name + ".read", NoSQL: true})
			}
		}
		if !f.Set.Empty() {
			to.Set = c.rule(f.Set, rule.Scope{Name: name + ".set", Collection: x.Name,
				Result: &f.Type, NoSQL: true})
		}
	}
}

func (c *compiler) allow(x *spec.Collection, out *Collection) {
	name := x.Name + ".allow."
	if g := x.Allow.Read; g != nil {
		out.Read = c.rule(g.Rule, rule.Scope{Name: name + "read", Collection: x.Name})
	}
	if g := x.Allow.Delete; g != nil {
		out.Delete = c.rule(g.Rule, rule.Scope{Name: name + "delete", Collection: x.Name, NoSQL: true})
	}
	if g := x.Allow.Create; g != nil {
		out.CreateInput, out.CreateSlots = input(out, g, true)
		out.Create = c.rule(g.Rule, rule.Scope{Name: name + "create", Collection: x.Name,
			Input: out.CreateInput, NoSQL: true})
		c.creatable(x, out, g)
	}
	if g := x.Allow.Update; g != nil {
		out.UpdateInput, out.UpdateSlots = input(out, g, false)
		out.Update = c.rule(g.Rule, rule.Scope{Name: name + "update", Collection: x.Name,
			Before: true, Input: out.UpdateInput, NoSQL: true})
	}
}

// input returns the shape of what a client may send by the grant. What has a
// default, or is set by the house, may be left out.
func input(c *Collection, g *spec.Grant, create bool) (*value.Shape, []int) {
	var fields []value.Field
	var slots []int
	add := func(slot int, optional bool) {
		f := c.Shape.Fields()[slot]
		f.Type.Optional = f.Type.Optional || optional
		fields, slots = append(fields, f), append(slots, slot)
	}
	if create {
		add(spec.SlotID, true)
	}
	for _, name := range g.Fields {
		if slot, ok := c.Shape.Index(name.Name); ok {
			add(slot, create && c.Fields[slot].Set != nil)
		}
	}
	return value.NewShape(c.Name, fields), slots
}

// creatable finds the fields without which no record can be, and that nobody fills.
func (c *compiler) creatable(x *spec.Collection, out *Collection, g *spec.Grant) {
	for slot := spec.SlotFirst; slot < len(out.Fields); slot++ {
		f := out.Fields[slot].Spec
		if f.Type.Optional || f.Default.Kind() != value.Absent || out.Fields[slot].Set != nil ||
			slices.ContainsFunc(g.Fields, func(n spec.Name) bool { return n.Name == f.Name }) {
			continue
		}
		c.findings = append(c.findings, spec.Finding{Pos: g.Pos,
			Message: fmt.Sprintf("%s.allow.create does not list %s, which every record needs, "+
				"so no client can create one", x.Name, f.Name),
			Help: fmt.Sprintf("list %s in fields, or give it a default, a set or a ?", f.Name),
			See:  f.Pos})
	}
}

func (c *compiler) action(x *spec.Action) {
	out := &Action{Name: x.Name, Spec: x}
	if !x.Allow.Empty() {
		out.Allow = c.rule(x.Allow, rule.Scope{Name: "actions." + x.Name + ".allow",
			Input: x.Input, NoSQL: true})
	}
	c.app.actions = append(c.app.actions, out)
	c.app.actionNames[x.Name] = out
}

// owners finds the one program that holds each function.
func (c *compiler) owners(code []Code) {
	for _, x := range code {
		names := x.Program.Names()
		for _, name := range sortedKeys(names) {
			f := c.app.functions[name]
			kind := action.Run{Name: name}.Kind()
			if f == nil {
				c.fail(posOf(names[name]), "there is code for the %s, "+
					"but the app file has no such %s", action.Title(name), kind)
				continue
			}
			if f.Program != nil {
				other := f.Program.Names()[name]
				c.findings = append(c.findings, spec.Finding{Pos: f.Pos,
					Message: fmt.Sprintf("the %s is written twice, in %s and in %s",
						action.Title(name), other, names[name]), See: posOf(names[name])})
				continue
			}
			f.Language, f.Program = x.Language, x.Program
		}
	}
	for _, f := range action.Functions(c.app.Spec) {
		if c.app.functions[f.Name].Program != nil {
			continue
		}
		where := f.Name + ".ts"
		if file, event, found := strings.Cut(f.Name, "."); found {
			where = event + " in " + file + ".ts"
		}
		c.findings = append(c.findings, spec.Finding{Pos: f.Pos,
			Message: "no code for the " + action.Title(f.Name),
			Help:    fmt.Sprintf("write %s, or register a Go handler", where)})
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// posOf reads a place that is written as file:line.
func posOf(place string) spec.Pos {
	file, line := place, ""
	if i := strings.LastIndexByte(place, ':'); i >= 0 {
		file, line = place[:i], place[i+1:]
	}
	n, err := strconv.Atoi(line)
	if err != nil {
		return spec.Pos{File: place}
	}
	return spec.Pos{File: file, Line: n, Column: 1}
}
