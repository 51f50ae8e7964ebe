package app

import (
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
)

// Trigger is something that a change of a record starts after the commit.
type Trigger struct {
	// Kind is that of the intent, Name what is started.
	Kind string
	Name string
	// If narrows it; nil always starts it.
	If *rule.Rule
}

// Triggered reports whether any change starts anything.
func (a *App) Triggered() bool { return a.triggered }

// Triggers returns what the event starts: created, updated or deleted.
func (c *Collection) Triggers(event string) []*Trigger { return c.triggers[event] }

// triggers notes what changes start, in the order of the app file.
func (c *compiler) triggers(s *spec.Spec) {
	for _, j := range s.Jobs {
		c.trigger(journal.IntentJob, "jobs."+j.Name, j.Name, j.On, j.If)
	}
	for _, e := range s.Emails {
		c.trigger(journal.IntentEmail, "emails."+e.Name, e.Name, e.On, e.If)
	}
	for _, d := range s.Deliveries {
		c.trigger(journal.IntentDelivery, "deliveries."+d.Name, d.Name, d.On, d.If)
	}
}

func (c *compiler) trigger(kind, title, name string, on *spec.Trigger, narrow spec.Text) {
	if on == nil {
		return
	}
	x := c.app.byName[on.Collection]
	if x == nil || x.Quiet {
		c.fail(on.Pos, "on names no collection %q", on.Collection)
		return
	}
	t := &Trigger{Kind: kind, Name: name}
	if !narrow.Empty() {
		t.If = c.rule(narrow, rule.Scope{Name: title + ".if", Collection: x.Name, Before: true,
			NoSQL: true})
	}
	if x.triggers == nil {
		x.triggers = map[string][]*Trigger{}
	}
	x.triggers[on.Event] = append(x.triggers[on.Event], t)
	c.app.triggered = true
}
