package app

import (
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
)

// Route is a compiled route.
type Route struct {
	Name  string
	Spec  *spec.Route
	Allow *rule.Rule
}

// Routes returns the routes in the order of the app file.
func (a *App) Routes() []*Route { return a.routes }

// Route returns the named route, or nil.
func (a *App) Route(name string) *Route {
	for _, r := range a.routes {
		if r.Name == name {
			return r
		}
	}
	return nil
}

// routesOf compiles the routes, after the collections and views, whose addresses are
// taken.
func (c *compiler) routesOf(s *spec.Spec) {
	for _, x := range s.Routes {
		out := &Route{Name: x.Name, Spec: x}
		if !x.Allow.Empty() {
			out.Allow = c.rule(x.Allow, rule.Scope{Name: "routes." + x.Name + ".allow",
				Input: x.Input, NoSQL: true})
		}
		for _, p := range x.Paths {
			if why := c.takenPath(p.Path); why != "" {
				c.fail(p.Pos, "%s cannot be a route: %s", p.Path, why)
			}
		}
		c.app.routes = append(c.app.routes, out)
	}
}

// houseWords are the words below /api that are the house's.
var houseWords = []string{"actions", "auth", "batch", "channels", "events", "files", "health",
	"hooks", "jobs", "openapi", "openapi.json", "proxy", "ws"}

// takenPath says who else serves a path; "" if nobody does.
func (c *compiler) takenPath(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	switch first := parts[0]; {
	case slices.Contains([]string{"_", "hooks", "problems", "galley.js", "galley.d.ts"}, first):
		return "the house serves /" + first
	case first != "api":
		return ""
	case len(parts) == 1 || strings.HasPrefix(parts[1], "{"):
		return "the house serves /api"
	}
	word := parts[1]
	x := c.app.byName[word]
	switch {
	case slices.Contains(houseWords, word):
		return "the house serves /api/" + word
	case x != nil && x.Open():
		return "/api/" + word + " is the collection " + word +
			"; take its allow away, or choose another path"
	case c.app.Spec.View(word) != nil:
		return "/api/" + word + " is the view " + word
	}
	return ""
}
