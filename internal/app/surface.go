package app

import (
	"strings"

	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Row is one thing that the outside can do. What has no row is not there.
type Row struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	// Who is the rule, or "everybody".
	Who string `json:"who"`
	// Place is where the rule is written.
	Place string `json:"place,omitempty"`
	// In names the fields that a client may send, Out those that come back; one
	// with a rule of its own is followed by that rule in parentheses.
	In  []string `json:"in,omitempty"`
	Out []string `json:"out,omitempty"`
}

// Surface returns everything that the app file opens to the outside, in the order of
// the app file.
func (a *App) Surface() []Row {
	var rows []Row
	add := func(method, path string, r *rule.Rule, in, out []string) {
		rows = append(rows, Row{Method: method, Path: path, Who: Who(r),
			Place: Place(r.Text().Pos), In: in, Out: out})
	}
	rows = append(rows, a.signing()...)
	for _, c := range a.collections {
		if !c.Open() {
			continue
		}
		path, out := "/api/"+c.Name, c.out()
		one := path + "/{id}"
		if c.Read != nil {
			add("GET", path, c.Read, nil, out)
			add("GET", one, c.Read, nil, out)
			add("GET", path+"/aggregate", c.Read, nil, out)
		}
		if c.Create != nil {
			add("POST", path, c.Create, c.CreateInput.Names(), out)
		}
		if c.Update != nil {
			add("PATCH", one, c.Update, c.UpdateInput.Names(), out)
		}
		if c.Delete != nil {
			add("DELETE", one, c.Delete, nil, nil)
		}
	}
	for _, x := range a.actions {
		if x.Allow == nil {
			continue
		}
		method := "POST"
		if x.Spec.ReadOnly {
			method = "GET"
		}
		add(method, "/api/actions/"+x.Name, x.Allow, names(x.Spec.Input), names(x.Spec.Output))
	}
	for _, x := range a.proxies {
		for _, r := range x.Spec.Routes {
			add(r.Method, "/api/proxy/"+x.Name+strings.TrimSuffix(r.Path, "/"), x.Allow, nil,
				[]string{"what " + x.Spec.URL + r.Path + " answers"})
		}
	}
	if len(a.emails) > 0 {
		who := "who got the mail with the link"
		rows = append(rows, Row{Method: "GET", Path: "/mail/click/…", Who: who},
			Row{Method: "GET, POST", Path: "/mail/unsubscribe/…", Who: who})
	}
	for _, v := range a.views {
		if v.Allow != nil {
			add("GET", "/api/"+v.Name, v.Allow, nil, v.Plan.Out.Names())
		}
	}
	for _, x := range a.routes {
		for _, p := range x.Spec.Paths {
			if x.Allow != nil {
				add(p.Method, p.Path, x.Allow, names(x.Spec.Input), []string{"what routes/" + x.Name + " answers"})
			}
		}
	}
	for _, x := range a.channels {
		rows = append(rows, x.surface()...)
	}
	for _, w := range a.Spec.Webhooks {
		rows = append(rows, Row{Method: "POST", Path: "/hooks/" + w.Name, Place: Place(w.Pos),
			Who: "who signs with " + w.Secret.Name})
	}
	for _, c := range a.collections {
		for _, h := range c.Spec.Hooks {
			rows = append(rows, Row{Method: "HOOK", Path: "hooks/" + c.Name + "." + h.Name, Place: Place(h.Pos),
				Who: "code, in the transaction of whoever writes"})
		}
	}
	return rows
}

// out names the fields that can come back.
func (c *Collection) out() []string {
	var out []string
	for i, f := range c.Fields {
		switch {
		case f.Hidden:
		case f.Read != nil:
			out = append(out, c.Shape.Fields()[i].Name+" ("+Who(f.Read)+")")
		default:
			out = append(out, c.Shape.Fields()[i].Name)
		}
	}
	return out
}

func names(s *value.Shape) []string {
	if s == nil {
		return nil
	}
	return s.Names()
}

// Needs reports whether a client must send the named field to create a record.
func (c *Collection) Needs(slot int) bool {
	f := &c.Fields[slot]
	return slot >= spec.SlotFirst && !f.Spec.Type.Optional &&
		f.Spec.Default.Kind() == value.Absent && f.Set == nil
}
