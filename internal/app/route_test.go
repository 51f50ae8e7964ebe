package app_test

import (
	"strings"
	"testing"
)

const routesBase = `app: a
collections:
  users:
    fields: {name: string}
  open:
    fields: {n: int}
    allow: {read: true}
  closed:
    fields: {n: int}
views:
  total: {from: open, fields: {n: count()}, allow: true}
routes:
  r: {path: "PATH", allow: true}
`

func TestARouteTakesNothingThatIsServed(t *testing.T) {
	for path, want := range map[string]string{
		"GET /api/closed":       "",
		"GET /api/closed/{id}":  "",
		"GET /anything/{x}":     "",
		"GET /{x}":              "",
		"GET /api/open":         "/api/open is the collection open",
		"GET /api/open/{id}/x":  "/api/open is the collection open",
		"GET /api/total":        "/api/total is the view total",
		"POST /api/actions/x":   "the house serves /api/actions",
		"GET /api/openapi.json": "the house serves /api/openapi.json",
		"GET /api":              "the house serves /api",
		"GET /api/{x}/y":        "the house serves /api",
		"GET /_/x":              "the house serves /_",
		"POST /hooks/x":         "the house serves /hooks",
		"GET /problems/x":       "the house serves /problems",
		"GET /galley.js":        "the house serves /galley.js",
	} {
		a, got := compile(t, strings.Replace(routesBase, "PATH", path, 1), nil)
		said := strings.Join(got, "; ")
		if (want == "") != (a != nil) || !strings.Contains(said, want) {
			t.Errorf("%s: got %q, want %q", path, said, want)
		}
	}
}

func TestTheSurfaceShowsWhatIsNoRecord(t *testing.T) {
	a, got := compile(t, strings.Replace(strings.Replace(routesBase, "PATH", "GET /x/{y}", 1),
		"    allow: {read: true}", "    hooks: [create]\n    allow: {read: true}", 1), nil)
	if a == nil {
		t.Fatal(got)
	}
	var rows []string
	for _, r := range a.Surface() {
		rows = append(rows, r.Method+" "+r.Path+" "+r.Who)
	}
	for _, want := range []string{"GET /api/total everybody", "GET /x/{y} everybody",
		"HOOK hooks/open.create code, in the transaction of whoever writes"} {
		if !strings.Contains(strings.Join(rows, "\n"), want) {
			t.Errorf("there is no %q in %q", want, rows)
		}
	}
}
