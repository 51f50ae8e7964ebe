package appfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

func TestRoutesAreRead(t *testing.T) {
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(`app: a
collections:
  users: {fields: {name: string}, hooks: [create, delete]}
routes:
  # Who asks.
  who: {}
  one: {path: GET /one, allow: true}
  two:
    path: [GET /two, "POST /two/{id}"]
    allow: auth != null
    user: who
    input: {n: int?}
    rate: 5/min
    timeout: 2s
    read_only: false
`)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	two := s.Route("two")
	if len(two.Paths) != 2 || two.Paths[1].Method != "POST" || two.Paths[1].Path != "/two/{id}" ||
		two.User.Name != "who" || two.Input.Len() != 1 || two.Rate.Count != 5 || two.Reads("GET") {
		t.Errorf("two is %+v", two)
	}
	if one := s.Route("one"); !one.Reads("GET") || one.Reads("POST") {
		t.Errorf("one is %+v", one)
	}
	if user, problem := s.Helps("who"); !user || problem || s.Route("who").Doc != "Who asks." {
		t.Errorf("who is %+v", s.Route("who"))
	}
	if h := s.Collection("users").Hooks; len(h) != 2 || h[1].Name != "delete" {
		t.Errorf("the hooks are %+v", h)
	}
}

func TestRoutesThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"r: {path: GET /a}":                                            "r does not say who may ask",
		"r: {path: GETT /a, allow: true}":                              `"GETT" is no method`,
		"r: {path: GET a, allow: true}":                                "the path of a route begins with /",
		"r: {path: [], allow: true}":                                   "r lists no path",
		"r: {}":                                                        "r has no path, and no route names it",
		"r: {allow: true}":                                             "r has no path, so it only helps others and has no allow",
		"r: {path: GET /a, allow: true, user: x}":                      "there is no route x",
		"r: {path: GET /a, allow: true, user: r}":                      "r has a path of its own",
		"r: {path: [GET /a, GET /a], allow: true}":                     "GET /a is served twice",
		`r: {path: ["GET /{a}", "GET /{b}"], allow: true}`:             "GET /{b} is served twice",
		"w: {}\n  r: {path: GET /a, allow: true, user: w, problem: w}": "w cannot both tell who asks and shape problems",
	} {
		_, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(
			"app: a\ncollections:\n  users: {fields: {name: string}}\nroutes:\n  " + text + "\n")})
		if said := fmt.Sprint(findings); !strings.Contains(said, want) {
			t.Errorf("%s: got %s, want %s", text, said, want)
		}
	}
	_, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(
		"app: a\ncollections:\n  users: {fields: {name: string}, hooks: [creat]}\n")})
	if said := fmt.Sprint(findings); !strings.Contains(said, `there is no hook "creat"`) ||
		!strings.Contains(said, "did you mean create?") {
		t.Errorf("got %s", said)
	}
}
