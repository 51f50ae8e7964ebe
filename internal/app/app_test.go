package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

// program implements the actions that it names.
type program map[string]string

func (p program) Names() map[string]string { return p }

const base = `app: notes
auth:
  sign_in: [password]
collections:
  users:
    fields:
      name: string
    allow:
      read: record == auth
  notes:
    fields:
      title: string
      owner: {type: users, set: auth}
      secret: {type: string?, read: false}
      mark: {type: string?, read: record.owner == auth}
      tag: {type: string?, read: auth != null}
    check:
      named: record.title != ""
    allow:
      read: record.owner == auth
      create: {if: auth != null, fields: [title]}
      update: {if: record.owner == auth, fields: [title, mark]}
  closed:
    fields:
      x: int
actions:
  shout:
    allow: auth != null
    input: {text: string}
    output: {text: string}
  inner:
    input: {text: string}
errors:
  named: A note needs a name.
`

func compile(t *testing.T, text string, code []app.Code) (*app.App, []string) {
	t.Helper()
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(text)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	a, findings := app.Compile(s, nil, code)
	var got []string
	for _, f := range findings {
		word := map[spec.Severity]string{spec.Error: "error", spec.Warning: "warning"}[f.Severity]
		got = append(got, fmt.Sprintf("%s %s: %s", word, app.Place(f.Pos), f.Message))
	}
	if (a == nil) != spec.Failed(findings) {
		t.Errorf("the app is %v with %v", a, got)
	}
	return a, got
}

func TestCompiledAppHasWhatTheFileOpens(t *testing.T) {
	a, findings := compile(t, base, []app.Code{{Language: "ts", Program: program{
		"actions/shout": "actions/shout.ts:1", "actions/inner": "actions/inner.ts:1"}}})
	if len(findings) != 0 {
		t.Fatal(findings)
	}
	notes := a.Collection("notes")
	for name, got := range map[string][]string{
		"create": notes.CreateInput.Names(), "update": notes.UpdateInput.Names(),
		"known": notes.Known.Names(), "usable": notes.Usable.Names(),
	} {
		want := map[string]string{"create": "id title", "update": "title mark",
			"known":  "id created updated version title owner mark tag",
			"usable": "id created updated version title owner tag"}[name]
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%s: got %s, want %s", name, s, want)
		}
	}
	if notes.Plain || !a.Collection("closed").Plain || a.Collection("closed").Open() {
		t.Error("plain or open is wrong")
	}
	if c := notes.Checks[0]; !c.Own || c.Place != "galley.yaml:18" {
		t.Errorf("got %+v", c)
	}
	if email := a.Collection("users").Usable; strings.Contains(strings.Join(email.Names(), " "), "email") {
		t.Error("addresses can be filtered by")
	}
}

func TestSurfaceShowsWhatIsOpenAndNothingElse(t *testing.T) {
	a, _ := compile(t, base, nil)
	var got []string
	for _, r := range a.Surface() {
		got = append(got, fmt.Sprintf("%s %s | %s | %s | %s", r.Method, r.Path, r.Who,
			strings.Join(r.In, " "), strings.Join(r.Out, " ")))
	}
	out := "id created updated version title owner mark (record.owner == auth) tag (auth != null)"
	user := "id created updated version email (record == auth) verified name"
	want := []string{
		"POST /api/auth/sign-in | everybody | email password token | " + user,
		"GET /api/users | record == auth |  | " + user,
		"GET /api/users/{id} | record == auth |  | " + user,
		"GET /api/users/aggregate | record == auth |  | " + user,
		"GET /api/notes | record.owner == auth |  | " + out,
		"GET /api/notes/{id} | record.owner == auth |  | " + out,
		"GET /api/notes/aggregate | record.owner == auth |  | " + out,
		"POST /api/notes | auth != null | id title | " + out,
		"PATCH /api/notes/{id} | record.owner == auth | title mark | " + out,
		"POST /api/actions/shout | auth != null | text | text",
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("got\n%s\nwant\n%s", g, w)
	}
}

func TestEachActionHasOneImplementation(t *testing.T) {
	ts := app.Code{Language: "ts", Program: program{"actions/shout": "actions/shout.ts:3", "actions/gone": "actions/gone.ts:1"}}
	golang := app.Code{Language: "go", Program: program{"actions/shout": "main.go:9"}}
	a, got := compile(t, base, []app.Code{ts, golang})
	if a != nil {
		t.Error("it compiled")
	}
	want := "error actions/gone.ts:1: there is code for the action gone, but the app file has no such action; " +
		"error galley.yaml:27: the action shout is written twice, in actions/shout.ts:3 and in main.go:9; " +
		"error galley.yaml:31: no code for the action inner"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestFindingsOfMeaning(t *testing.T) {
	cases := []struct{ name, old, new, want string }{
		{"a rule that does not compile", "read: record.owner == auth\n      create",
			"read: record.ownr == auth\n      create", "error galley.yaml:20:"},
		{"a create that nobody can do", "owner: {type: users, set: auth}", "owner: users",
			"error galley.yaml:21: notes.allow.create does not list owner"},
		{"users for everybody", "read: record == auth\n  notes", "read: auth != null\n  notes",
			"warning galley.yaml:9: users.read lets every signed-in user read every user's name"},
		{"a look-up without an index", "read: record.owner == auth\n      create",
			"read: closed.exists(c, c.x == 1)\n      create",
			"warning galley.yaml:20: notes.allow.read looks up closed by x; no index covers it"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(base, c.old, c.new, 1)
			if text == base {
				t.Fatal("nothing was replaced")
			}
			_, got := compile(t, text, nil)
			if len(got) == 0 || !strings.HasPrefix(got[0], c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestWarningIsSilencedByWords(t *testing.T) {
	text := strings.Replace(base, "read: record == auth\n  notes", "read: auth != null # ok: public\n  notes", 1)
	if _, got := compile(t, text, nil); len(got) != 0 {
		t.Error(got)
	}
}

func TestRefusalsHaveTheKindOfTheirCode(t *testing.T) {
	a, _ := compile(t, base, nil)
	for code, want := range map[string]fault.Kind{"named": fault.Refused, "not_found": fault.NotFound,
		"already_exists": fault.Exists, "forbidden": fault.Denied, "in_use": fault.Refused} {
		f, ok := a.Refuse(code)
		if !ok || f.Kind != want || f.CodeOr() != code {
			t.Errorf("%s: got %+v %v", code, f, ok)
		}
	}
	for _, code := range []string{"nope", "", "internal"} {
		if f, ok := a.Refuse(code); ok {
			t.Errorf("%q is known as %+v", code, f)
		}
	}
	if f, _ := a.Refuse("named"); f.Message != "A note needs a name." {
		t.Error(f.Message)
	}
}
