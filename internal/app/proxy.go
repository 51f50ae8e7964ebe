package app

import (
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
)

// Proxy is a compiled proxy.
type Proxy struct {
	Name string
	Spec *spec.Proxy
	// Allow says who may ask.
	Allow *rule.Rule
}

// Proxies returns the proxies in the order of the app file.
func (a *App) Proxies() []*Proxy { return a.proxies }

// Proxy returns the named proxy, or nil.
func (a *App) Proxy(name string) *Proxy {
	for _, p := range a.proxies {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// proxies compiles who may ask what of other servers.
func (c *compiler) proxies(s *spec.Spec) {
	for _, x := range s.Proxies {
		out := &Proxy{Name: x.Name, Spec: x}
		if !x.Allow.Empty() {
			out.Allow = c.rule(x.Allow, rule.Scope{Name: "proxies." + x.Name + ".allow", NoSQL: true})
		}
		c.app.proxies = append(c.app.proxies, out)
	}
}
