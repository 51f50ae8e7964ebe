package serve

import (
	"fmt"
	"strings"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/value"
)

// Rule is what there is to say of a rule itself.
type Rule struct {
	Name   string `json:"name"`
	Place  string `json:"place"`
	Source string `json:"source"`
	// Reads names the collections that it looks up.
	Reads []string `json:"reads,omitempty"`
	// Query is the condition that it becomes; if it becomes none, Why says why.
	Query string `json:"query,omitempty"`
	Why   string `json:"why,omitempty"`
}

// FindRule returns what there is to say of the named rule: orders.allow.read,
// users.check.insufficient_funds or actions.checkout.allow; allow may be left out, and
// a name that only one rule has, such as that of a check or an action, is enough.
func FindRule(c Compiled, name string) (Rule, error) {
	known := rules(c.App)
	var names, shorter []string
	var short []*rule.Rule
	for _, r := range known {
		names = append(names, r.Name())
		shorter = append(shorter, strings.Replace(r.Name(), ".allow.", ".", 1))
		if r.Name() == name || strings.Replace(r.Name(), ".allow.", ".", 1) == name {
			return said(r), nil
		}
		whole := strings.TrimSuffix(strings.TrimPrefix(r.Name(), "actions."), ".allow")
		if whole == name || strings.HasSuffix(r.Name(), ".check."+name) {
			short = append(short, r)
		}
	}
	if len(short) == 1 {
		return said(short[0]), nil
	}
	if near := value.Nearest(name, shorter); near != "" {
		return Rule{}, fmt.Errorf("there is no rule %s. Did you mean %s?", name, near)
	}
	return Rule{}, fmt.Errorf("there is no rule %s; there are:\n  %s", name,
		strings.Join(names, "\n  "))
}

// rules returns all rules of an app.
func rules(a *app.App) []*rule.Rule {
	var out []*rule.Rule
	add := func(r *rule.Rule) {
		if r != nil {
			out = append(out, r)
		}
	}
	for _, c := range a.Collections() {
		add(c.Read)
		add(c.Create)
		add(c.Update)
		add(c.Delete)
		for _, f := range c.Fields {
			add(f.Read)
			add(f.Set)
		}
		for _, check := range c.Checks {
			add(check.Rule)
		}
	}
	for _, x := range a.Actions() {
		add(x.Allow)
	}
	for _, x := range a.Channels() {
		add(x.Join)
		add(x.Send)
	}
	return out
}

func said(r *rule.Rule) Rule {
	out := Rule{Name: r.Name(), Place: app.Place(r.Text().Pos),
		Source: strings.TrimSpace(r.Text().Source), Reads: r.Reads()}
	cond, err := r.Condition()
	if err != nil {
		out.Why = err.Error()
		return out
	}
	out.Query = query.Format(cond.Expr)
	return out
}
