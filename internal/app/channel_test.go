package app_test

import (
	"slices"
	"strings"
	"testing"
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
