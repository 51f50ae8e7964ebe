package app_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

const board = `app: kanban
auth: {sign_in: [password]}
define:
  member(board): members.exists(m, m.board == board && m.user == auth)
collections:
  users:
    fields: {name: string, avatar: string?, phone: {type: string?, read: record == auth}}
    allow: {read: record == auth}
  boards:
    fields: {name: string, owner: users?, open: {type: bool, default: false}}
    allow: {read: member(record)}
  members:
    fields: {board: boards, user: users}
    unique: [[board, user]]
`

const boardChannels = `channels:
  board/{board:boards}:
    join: member(board)
    send: member(board) && board.owner == auth
    presence: [name, avatar]
  board/{board:boards}/cursors: {join: board.open, presence: []}
  room/{room}: {join: 'auth != null && room != "secret"', send: auth != null}
  room/lobby: {join: true}
  day/{on:date}/{hour:int}: {join: on < now && hour < 24}
`

func TestChannelsHaveTheirParametersInTheirRules(t *testing.T) {
	a, findings := compile(t, board+boardChannels, nil)
	if len(findings) != 0 {
		t.Fatal(findings)
	}
	const id = "01k0000000e0080000000000zz"
	for name, want := range map[string]string{
		"board/" + id:              "board/{board:boards}",
		"board/" + id + "/cursors": "board/{board:boards}/cursors",
		"room/lobby":               "room/lobby",
		"room/Ünï":                 "room/{room}",
		"room/a%2Fb":               "room/{room}",
		"day/2026-11-21/9":         "day/{on:date}/{hour:int}",
	} {
		c, args := a.Channel(name)
		if c == nil || c.Name != want || args.Shape.Len() != len(args.Slots) {
			t.Errorf("%s is one of %+v, want %s", name, c, want)
		}
	}
	for _, name := range []string{"", "board", "board/", "/board/" + id, "board/" + id + "/", "board/../x",
		"board/" + strings.ToUpper(id), "board/" + id[1:], "BOARD/" + id, "board//" + id, "room/", "room/..",
		"room/.", "room/a/b", "room/ a", "room/a ", "room/a\x00b", "room/a\nb", "room/u\u0308",
		"room/\xff", "room/" + strings.Repeat("a", 200), "room%2Flobby", "day/2026-11-21/09",
		"day/2026-11-21/+9", "day/2026-11-21/-0", "day/2026-11-21/9.0", "day/2026-13-01/9", "day/26-1-1/9"} {
		if c, _ := a.Channel(name); c != nil {
			t.Errorf("%q is one of %s", name, c.Name)
		}
	}
	first := a.Channels()[0]
	if got := strings.Join(first.Reads, " "); got != "boards members users" {
		t.Errorf("joining depends on %s", got)
	}
	if len(first.Shown) != 2 || a.Channels()[1].Shown == nil || a.Channels()[2].Shown != nil {
		t.Errorf("shown are %v, %v and %v", first.Shown, a.Channels()[1].Shown, a.Channels()[2].Shown)
	}
	var rows []string
	for _, r := range a.Surface() {
		if r.Method == "JOIN" || r.Method == "SEND" {
			rows = append(rows, r.Method+" "+r.Path+": "+r.Who+" "+strings.Join(r.Out, ","))
		}
	}
	for _, want := range []string{
		"JOIN board/{board}: member(board) messages,who,user.id,user.name,user.avatar,state",
		"JOIN room/lobby: everybody messages", "SEND room/{room}: auth != null ",
	} {
		if !slices.Contains(rows, want) {
			t.Errorf("the surface has %q, not %q", rows, want)
		}
	}
}

func TestRulesOfChannelsAreJudged(t *testing.T) {
	for text, want := range map[string]string{
		"c/{board:boards}: {join: board.nme == 'x'}":        "no field",
		"c/{board:boards}: {join: record == board}":         "record",
		"c/{room}: {join: room.name == 'x'}":                "room",
		"c/{room}: {join: room}":                            "a bool is needed",
		"c/{board:boards}: {join: true, send: members(b)}":  "members",
		"c/{board:boards}: {join: board == 1}":              "",
		"c: {join: board.open}":                             "board",
		"c/{n:int}: {join: 'n == \"x\"'}":                   "",
		"c/{user:users}: {join: user == auth, send: usr}":   "usr",
		"c/{a:boards}/{b:boards}: {join: a.owner == b.own}": "no field",
	} {
		_, findings := compile(t, board+"channels:\n  "+text+"\n", nil)
		said := strings.Join(findings, "\n")
		if !strings.Contains(said, "error") || !strings.Contains(said, want) {
			t.Errorf("%s: got %q, want %q", text, said, want)
		}
	}
}

func TestAChangeConcernsThoseWhomTheRuleLooksFor(t *testing.T) {
	a, _ := compile(t, board+`channels:
  one/{board:boards}: {join: member(board)}
  open/{board:boards}: {join: board.open || member(board)}
  lead/{board:boards}: {join: 'auth != null && members.exists(m, m.board == board && m.board.open)'}
  any/{board:boards}: {join: 'members.all(m, m.user == auth)'}
  size/{board:boards}: {join: 'members.filter(m, m.board == board.id).size() > 1'}
  kin/{board:boards}: {join: 'members.exists(m, m.user == auth && members.exists(o, o.board == m.board))'}
  self/{user:users}: {join: user == auth}
`, nil)
	id := func(n int) ident.Record { return ident.Record(strings.Repeat("0", 25) + strconv.Itoa(n)) }
	mine, other, ana, ben := id(1), id(2), id(3), id(4)
	change := func(collection string, of ident.Record, fields map[string]ident.Record) *journal.Change {
		r := value.NewRecord(a.Schema.Table(collection).Shape)
		r.Slots[spec.SlotID] = value.OfText(string(of))
		for i := range r.Slots {
			if r.Slots[i].Kind() == value.Absent {
				r.Slots[i] = value.OfNull()
			}
		}
		for name, v := range fields {
			r.Set(name, value.OfText(string(v)))
		}
		return &journal.Change{Collection: collection, ID: of, Before: r}
	}
	member := func(board, user ident.Record) *journal.Change {
		return change("members", id(9), map[string]ident.Record{"board": board, "user": user})
	}
	for _, c := range []struct {
		channel string
		change  *journal.Change
		want    bool
	}{
		{"one", member(mine, ana), true},
		{"one", member(mine, ben), false},
		{"one", member(other, ana), false},
		{"one", change("boards", mine, nil), true},
		{"one", change("boards", other, nil), false},
		{"one", change("users", ana, nil), true},
		{"one", change("users", ben, nil), false},
		{"open", change("boards", mine, nil), true},
		{"open", change("boards", other, nil), false},
		{"open", member(mine, ben), false},
		{"lead", member(mine, ben), true},
		{"lead", member(other, ana), false},
		{"lead", change("boards", other, nil), true},
		{"any", member(other, ben), true},
		{"size", member(mine, ben), true},
		{"size", member(other, ana), false},
		{"kin", member(other, ben), true},
		{"self", change("users", mine, nil), true},
		{"self", change("users", ben, nil), false},
	} {
		x, params := a.Channel(c.channel + "/" + string(mine))
		if got := x.Concerns(c.change, params, ana); got != c.want {
			t.Errorf("%s: a change of %s %s concerns ana: %v", c.channel, c.change.Collection,
				value.AppendRecord(nil, c.change.Before), got)
		}
		// What a record becomes matters as what it was.
		after := *c.change
		after.Before, after.After = value.Record{}, after.Before
		if got := x.Concerns(&after, params, ana); got != c.want {
			t.Errorf("%s: a new record of %s concerns ana: %v", c.channel, c.change.Collection, got)
		}
	}
	x, params := a.Channel("one/" + string(mine))
	if x.Concerns(member(mine, ana), params, "") {
		t.Error("a member concerns who is not signed in")
	}
}
