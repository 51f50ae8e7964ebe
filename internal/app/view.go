package app

import (
	"regexp"
	"strings"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// View is a compiled view.
type View struct {
	Name string
	Spec *spec.View
	// Allow is nil for a view that only code's authors and admins see.
	Allow *rule.Rule
	// Where yields the arguments of the plan; nil has none. Rule is the rule of which it
	// is the condition.
	Where *rule.Condition
	Rule  *rule.Rule
	Plan  *query.Plan
	// Sort orders the rows by slots of the plan's shape.
	Sort  []ViewSort
	Limit int
}

// ViewSort is one key of a view's order.
type ViewSort struct {
	Slot int
	Desc bool
}

const (
	// ViewGroupsMax is how many groups a view may have.
	ViewGroupsMax = 10_000
	// ViewLimit is how many of them it shows if it says nothing else.
	ViewLimit = 100
)

// Views returns the views in the order of the app file.
func (a *App) Views() []*View { return a.views }

// View returns the named view, or nil.
func (a *App) View(name string) *View {
	for _, v := range a.views {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// viewsOf compiles the views.
func (c *compiler) viewsOf(s *spec.Spec) {
	for _, x := range s.Views {
		if from := c.app.byName[x.From]; from != nil {
			c.app.views = append(c.app.views, c.view(x, from))
		}
	}
}

func (c *compiler) view(x *spec.View, from *Collection) *View {
	v := &View{Name: x.Name, Spec: x, Limit: x.Limit,
		Plan: &query.Plan{From: from.Name, Limit: ViewGroupsMax + 1}}
	if v.Limit == 0 {
		v.Limit = ViewLimit
	}
	name := "views." + x.Name
	if !x.Allow.Empty() {
		v.Allow = c.rule(x.Allow, rule.Scope{Name: name + ".allow", NoSQL: true})
	}
	if !x.Where.Empty() {
		if r := c.rule(x.Where, rule.Scope{Name: name + ".where", Collection: from.Name}); r != nil {
			if x.Cache > 0 && mentionsAuth(x.Where.Source) {
				c.fail(x.Where.Pos, "%s is kept for all who ask, so its where cannot depend on auth", x.Name)
			}
			if cond, err := r.Condition(); err == nil {
				v.Rule, v.Where, v.Plan.Where = r, cond, cond.Expr
			}
		}
	}
	var out []value.Field
	for _, g := range x.Group {
		if slot, ok := from.Shape.Index(g.Name); ok {
			f := from.Shape.Fields()[slot]
			out = append(out, f)
			v.Plan.Group = append(v.Plan.Group, query.Field{Of: query.Row{}, Collection: from.Name,
				Name: f.Name, Type: f.Type})
		}
	}
	for _, f := range x.Fields {
		if t, a, ok := c.viewField(f, from); ok {
			out = append(out, value.Field{Name: f.Name, Type: t})
			v.Plan.Aggregates = append(v.Plan.Aggregates, a)
		}
	}
	v.Plan.Out = value.NewShape(x.Name, out)
	for part := range strings.SplitSeq(x.Sort, ",") {
		bare, desc := strings.CutPrefix(strings.TrimSpace(part), "-")
		if slot, ok := v.Plan.Out.Index(bare); ok {
			v.Sort = append(v.Sort, ViewSort{slot, desc})
		}
	}
	for slot := range x.Group { // so that the order is total
		v.Sort = append(v.Sort, ViewSort{Slot: slot})
	}
	return v
}

var (
	aggregateForm = regexp.MustCompile(`^\s*([a-z]+)\(\s*(?:record\.([a-z][a-z0-9_.]*))?\s*\)\s*$`)
	authWord      = regexp.MustCompile(`\bauth\b`)
)

func mentionsAuth(source string) bool { return authWord.MatchString(source) }

// viewField compiles a computed field, such as sum(record.quantity).
func (c *compiler) viewField(f spec.ViewField, from *Collection) (value.Type, query.Aggregate, bool) {
	none := value.Type{}
	at := f.Rule.Pos
	m := aggregateForm.FindStringSubmatch(f.Rule.Source)
	if m == nil {
		c.fail(at, "%s is not of the form sum(record.FIELD); there are count, sum, avg, min and max",
			f.Name)
		return none, query.Aggregate{}, false
	}
	a := query.Aggregate{Func: m[1]}
	number := value.Type{Kind: value.TypeInt}
	if m[2] == "" {
		if a.Func != "count" {
			c.fail(at, "%s needs a field of the record, such as %s(record.id)", a.Func, a.Func)
		}
		return number, a, a.Func == "count"
	}
	t, ok := c.viewPath(f, from, m[2], &a)
	if !ok {
		return none, a, false
	}
	counts := t.ValueKind() == value.Int || t.ValueKind() == value.Float
	switch a.Func {
	case "count":
		return number, a, true
	case "sum", "avg":
		if !counts {
			c.fail(at, "%s needs a number, and %s is none", a.Func, m[2])
			return none, a, false
		}
	case "min", "max":
	default:
		c.fail(at, "there is no function %s; there are count, sum, avg, min and max", a.Func)
		return none, a, false
	}
	t = value.Type{Kind: t.Kind, Of: t.Of, Words: t.Words, Optional: true}
	if a.Func == "avg" {
		t.Kind = value.TypeFloat
	}
	return t, a, true
}

// viewPath finds the field that an aggregate is of, through relations.
func (c *compiler) viewPath(f spec.ViewField, from *Collection, path string, a *query.Aggregate) (
	value.Type, bool) {
	at := from
	of := query.Expr(query.Row{})
	parts := strings.Split(path, ".")
	for i, name := range parts {
		slot, ok := at.Shape.Index(name)
		if !ok {
			c.fail(f.Rule.Pos, "%s has no field %s", at.Name, name)
			return value.Type{}, false
		}
		t := at.Shape.Fields()[slot].Type
		of = query.Field{Of: of, Collection: at.Name, Name: name, Type: t}
		if i == len(parts)-1 {
			switch t.Kind {
			case value.TypeList, value.TypeObject, value.TypeJSON:
				c.fail(f.Rule.Pos, "%s is a list or json, of which nothing can be computed", name)
				return t, false
			}
			a.Of = of
			return t, true
		}
		if at = c.app.byName[t.Of]; at == nil {
			c.fail(f.Rule.Pos, "%s is no relation, so it has no field %s", name, parts[i+1])
			return t, false
		}
	}
	return value.Type{}, false
}
