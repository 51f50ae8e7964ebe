package app

import (
	"fmt"

	"github.com/galleybackend/galley/internal/letter"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Email is a compiled email.
type Email struct {
	Name string
	Spec *spec.Email
	// To yields the one to whom it goes: a user, or with Address an address. Set is the
	// set of users instead. Both are nil for an email that code alone sends.
	To      *rule.Rule
	Address bool
	Set     *rule.Set
	// Template is what is filled.
	Template *letter.Template
}

// Marketing reports whether people can unsubscribe: mail that nobody asked for by what
// he did.
func (e *Email) Marketing() bool { return e.Spec.Marketing() || e.Set != nil }

// Emails returns the emails in the order of the app file.
func (a *App) Emails() []*Email { return a.emails }

// Email returns the named email, or nil.
func (a *App) Email(name string) *Email {
	for _, e := range a.emails {
		if e.Name == name {
			return e
		}
	}
	return nil
}

// emailsOf compiles the emails.
func (c *compiler) emailsOf(s *spec.Spec) {
	for _, x := range s.Emails {
		e := &Email{Name: x.Name, Spec: x}
		c.recipients(e)
		if x.HTML.File == "" {
			continue // the reader of the app file told of it
		}
		var findings []spec.Finding
		e.Template, findings = letter.Parse(x, letter.PlaceOf(s))
		if e.Template != nil {
			findings = e.Template.Check(c.samples(e)...)
		}
		c.findings = append(c.findings, findings...)
		c.app.emails = append(c.app.emails, e)
	}
}

// recipients compiles to whom an email goes.
func (c *compiler) recipients(e *Email) {
	text := e.Spec.To
	if text.Empty() {
		return
	}
	scope := rule.Scope{Name: "emails." + e.Name + ".to", AnyResult: true, NoSQL: true}
	if on := e.Spec.On; on != nil {
		scope.Collection, scope.Before = on.Collection, true
	}
	wrong := func(what string) {
		c.findings = append(c.findings, spec.Finding{Pos: text.Pos, Message: fmt.Sprintf(
			"%s: this is %s, but a user, an address or a set of users is needed here", scope.Name, what),
			Help: "such as record.customer, record.email or users.filter(u, u.verified)"})
	}
	if c.world.IsSet(text) {
		var findings []spec.Finding
		e.Set, findings = c.world.CompileSet(text, scope)
		c.findings = append(c.findings, findings...)
		if e.Set != nil && e.Set.Collection() != spec.Users {
			wrong("a set of " + e.Set.Collection())
		}
		return
	}
	if e.To = c.rule(text, scope); e.To == nil {
		return
	}
	switch t := e.To.Type(); {
	case t.Kind == value.TypeRelation && t.Of == spec.Users:
	case t.Kind == value.TypeEmail || t.Kind == value.TypeString || t.Kind == value.TypeText:
		e.Address = true
	default:
		t.Optional = false
		wrong("a " + t.String())
	}
}

// samples returns what a template is tried with: everything there, and nothing there
// that may be missing.
func (c *compiler) samples(e *Email) []letter.Sample {
	shapeOf := func(name string) *value.Shape {
		if t := c.app.Schema.Table(name); t != nil {
			return t.Shape
		}
		return nil
	}
	var out []letter.Sample
	for _, full := range []bool{true, false} {
		s := letter.Sample{Names: map[string][]string{}, Loose: e.Spec.On == nil && e.Spec.Cron == nil}
		s.App, s.URL = c.app.Spec.App, "https://example.com"
		s.Unsubscribe = s.URL + "/mail/unsubscribe"
		s.Record, s.User, s.Data.Data = letter.Nothing(nil), letter.Nothing(nil), letter.Fields{}
		sure := e.To != nil && !e.Address || e.Set != nil
		if users := shapeOf(spec.Users); users != nil && (full || sure) {
			s.User = letter.SampleOf(users, full, nil)
			s.Names[".user"] = users.Names()
		}
		if on := e.Spec.On; on != nil {
			if shape := shapeOf(on.Collection); shape != nil {
				s.Record = letter.SampleOf(shape, full, shapeOf)
				s.Names[".record"] = shape.Names()
				for _, f := range shape.Fields() {
					if of := shapeOf(f.Type.Of); of != nil {
						s.Names[".record."+f.Name] = of.Names()
					}
				}
			}
		}
		out = append(out, s)
	}
	return out
}
