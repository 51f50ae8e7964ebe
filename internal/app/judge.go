package app

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// Judge returns what is wrong with the rules of an app file that has other errors, so
// that all of it is told at once. Rules that speak of what could not be read are left
// for later.
func Judge(s *spec.Spec, house []*spec.Collection) []spec.Finding {
	if s.Unread.All {
		return nil
	}
	_, findings := Compile(readable(s), house, nil)
	return slices.DeleteFunc(findings, func(f spec.Finding) bool {
		return f.Severity != spec.Error
	})
}

// readable returns a spec without the rules that cannot be judged. Whatever names a
// field may be sent, so that nothing but rules can be wrong with it.
func readable(s *spec.Spec) *spec.Spec {
	unread := map[string]bool{}
	for name := range s.Unread.Names {
		unread[name] = true
	}
	out := *s
	out.Define, out.Collections, out.Actions = nil, nil, nil
	for pass := 0; pass < len(s.Define); pass++ { // a named rule may call a later one
		for _, d := range s.Define {
			unread[d.Name] = unread[d.Name] || !judged(d.Body, unread)
		}
	}
	for _, d := range s.Define {
		if !unread[d.Name] {
			out.Define = append(out.Define, d)
		}
	}
	for _, c := range s.Collections {
		out.Collections = append(out.Collections, readableCollection(c, unread))
	}
	for _, a := range s.Actions {
		x := *a
		if !judged(a.Allow, unread) {
			x.Allow = spec.Text{}
		}
		out.Actions = append(out.Actions, &x)
	}
	out.Channels = nil
	for _, c := range s.Channels {
		x := *c
		for _, text := range []*spec.Text{&x.Join, &x.Send} {
			if !judged(*text, unread) {
				*text = spec.Text{}
			}
		}
		out.Channels = append(out.Channels, &x)
	}
	return &out
}

func readableCollection(c *spec.Collection, unread map[string]bool) *spec.Collection {
	out := *c
	out.Fields, out.Checks = nil, nil
	var names []spec.Name
	for _, f := range c.Fields {
		x := *f
		if !judged(f.Set, unread) {
			x.Set = spec.Text{}
		}
		if !judged(f.Read, unread) {
			x.Read = spec.Text{}
		}
		out.Fields = append(out.Fields, &x)
		names = append(names, spec.Name{Name: f.Name, Pos: f.Pos})
	}
	for _, check := range c.Checks {
		if judged(check.Rule, unread) {
			out.Checks = append(out.Checks, check)
		}
	}
	if c.Name == spec.Users {
		out.Allow.Create = nil // there is no such rule, which was told
	}
	for _, g := range []**spec.Grant{&out.Allow.Read, &out.Allow.Create, &out.Allow.Update,
		&out.Allow.Delete} {
		switch {
		case *g == nil:
		case !judged((*g).Rule, unread):
			*g = nil
		default:
			x := **g
			x.Fields = names
			*g = &x
		}
	}
	return &out
}

// judged reports whether a rule was read and speaks of nothing that was not.
func judged(text spec.Text, unread map[string]bool) bool {
	if text.Empty() {
		return false
	}
	words := strings.FieldsFunc(text.Source, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
	return !slices.ContainsFunc(words, func(word string) bool { return unread[word] })
}
