package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

const kanban = `
app: kanban
auth: {sign_in: [password]}
define:
  member(board): members.exists(m, m.board == board && m.user == auth)
collections:
  users:
    fields: {name: string, team: string?}
    allow: {read: "true"}
  boards:
    fields: {name: string}
    allow: {read: member(record)}
  members:
    fields: {board: boards, user: users, role: string?}
    allow: {read: "record.user == auth"}
  lists:
    fields: {board: boards, open: {type: bool, default: true}}
    allow: {read: member(record.board)}
  cards:
    fields:
      list:  lists
      title: string
      team:  string?
      cost:  {type: int?, read: "members.exists(m, m.user == auth && m.role == \"owner\")"}
    allow: {read: member(record.list.board)}
  news:
    fields: {name: string}
    allow: {read: "true"}
  posts:
    fields: {title: string, team: string?, until: time?}
    allow: {read: "record.team == auth.team || record.until > now"}
`

// say writes facts in short.
func say(f engine.Facts) string {
	var out []string
	for _, t := range f.Terms {
		var path []string
		for _, s := range t.Path {
			path = append(path, s.Field)
		}
		out = append(out, "term "+strings.Join(path, "."))
	}
	for _, s := range f.Sources {
		text := s.Collection + "(" + strings.Join(s.Fields, " ") + ")"
		if s.Born {
			text = "+" + text
		}
		if s.Bound {
			text += " by " + s.Field
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ", ")
}

func TestFactsSayWhatMayChangeAnAnswer(t *testing.T) {
	w := open(t, yaml(kanban), func(c *engine.Config) {})
	ana := w.create("users", `{"name":"ana","email":"ana@example.com","team":"a"}`)
	board := w.create("boards", `{"name":"b"}`)
	for _, x := range []struct {
		collection, filter, want string
		timed                    bool
	}{
		{"boards", "", "+members(board user) by user", false},
		{"members", "", "term user", false},
		{"cards", "", "+members(board user) by user, +members(user role) by user, lists(board)", false},
		{"cards", `list.board == "` + string(board) + `"`, "+members(board user) by user, " +
			"+members(user role) by user, lists(board), lists(board) by board, term list.board", false},
		{"cards", `title == "x" && list.open`, "+members(board user) by user, " +
			"+members(user role) by user, lists(board open), lists(board), term title", false},
		{"posts", "", "+users(team) by id", true},
		{"users", `name == "x"`, "term name", false},
	} {
		call := engine.Call{ID: ident.NewCall(), Target: x.collection, Credential: string(ana)}
		if x.filter != "" {
			call.Params = map[string][]string{"filter": {x.filter}}
		}
		watch, _, err := w.engine.Watch(t.Context(), call)
		if err != nil {
			t.Fatal(err)
		}
		facts, _ := watch.Facts()
		got := strings.ReplaceAll(say(facts), "users(team) by id", "+users(team) by id")
		if got != x.want || watch.Timed() != x.timed {
			t.Errorf("%s %s: got %s (timed %v), want %s", x.collection, x.filter, got, watch.Timed(), x.want)
		}
	}
}

// TestWatchesOfOneKeyHaveOneAnswer asks for keys that hold who asks where, and only
// where, that makes a difference.
func TestWatchesOfOneKeyHaveOneAnswer(t *testing.T) {
	w := open(t, yaml(kanban), nil)
	ana := w.create("users", `{"name":"ana","email":"ana@example.com"}`)
	bo := w.create("users", `{"name":"bo","email":"bo@example.com"}`)
	key := func(who ident.Record, collection string, params map[string][]string) string {
		t.Helper()
		watch, _, err := w.engine.Watch(t.Context(), engine.Call{ID: ident.NewCall(), Target: collection,
			Credential: string(who), Params: params})
		if err != nil {
			t.Fatal(err)
		}
		return watch.Key()
	}
	filter := func(text string) map[string][]string { return map[string][]string{"filter": {text}} }
	for name, x := range map[string]struct {
		a, b  string
		equal bool
	}{
		"two who may see the same":     {key(ana, "news", nil), key(bo, "news", nil), true},
		"two whom the rule tells":      {key(ana, "boards", nil), key(bo, "boards", nil), false},
		"a filter that names who asks": {key(ana, "users", filter("id == auth.id")), key(bo, "users", filter("id == auth.id")), false},
		"other values":                 {key(ana, "users", filter("name == \"x\"")), key(ana, "users", filter("name == \"y\"")), false},
		"other numbers":                {key(ana, "posts", filter("title.size() > 10")), key(ana, "posts", filter("title.size() > 11")), false},
		"the same words":               {key(ana, "news", filter("name == \"x\"")), key(bo, "news", filter("name == \"x\"")), true},
		"an equality of other values": {key(ana, "users", map[string][]string{"name": {"x"}}),
			key(ana, "users", map[string][]string{"name": {"y"}}), false},
	} {
		if (x.a == x.b) != x.equal {
			t.Errorf("%s: the keys %q and %q", name, x.a, x.b)
		}
	}
	_, _, err := w.engine.Watch(t.Context(), engine.Call{ID: ident.NewCall(), Target: "boards",
		Params: map[string][]string{"cursor": {"x"}}})
	if !fault.Is(err, fault.Malformed) {
		t.Error(fmt.Sprint("a cursor: got ", err))
	}
}

// TestWhatIsFollowedHasItsID follows one field: the records come with their ids, when
// they are listed and when one of them is judged, since a del is an id alone.
func TestWhatIsFollowedHasItsID(t *testing.T) {
	w := open(t, yaml(kanban), nil)
	id := w.create("news", `{"name":"one"}`)
	params := map[string][]string{"fields": {"name"}}
	watch, rows, err := w.engine.Watch(t.Context(), engine.Call{ID: ident.NewCall(),
		Target: "news", Params: params})
	if err != nil || len(rows.Rows) != 1 {
		t.Fatal(rows, err)
	}
	same := func(what string, row engine.Row) {
		t.Helper()
		want := `{"id":"` + string(id) + `","name":"one"}`
		if got := string(value.AppendRecord(nil, row.Item.Record)); got != want {
			t.Errorf("%s: got %s, want %s", what, got, want)
		}
	}
	same("in the list", rows.Rows[0])
	if err := w.engine.Look(t.Context(), func(l *engine.Look) error {
		rec, err := l.View().Get(t.Context(), "news", id)
		if err != nil {
			return err
		}
		row, _, ok, err := watch.Judge(t.Context(), l, rec)
		if ok {
			same("judged", row)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	list, err := w.engine.Query(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.List,
		Target: "news", Params: params})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(value.AppendRecord(nil, list.Items[0].Record)); got != `{"name":"one"}` {
		t.Errorf("a list that is not followed: got %s", got)
	}
}
