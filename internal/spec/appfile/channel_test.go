package appfile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

const channelBase = `app: a
auth: {sign_in: [password]}
collections:
  users: {fields: {name: string, pin: {type: string, read: false}, own: {type: string, read: record == auth}}}
  boards: {fields: {name: string}}
channels:
`

func parseChannels(text string) (*spec.Spec, []spec.Finding) {
	return appfile.Parse(map[string][]byte{"galley.yaml": []byte(channelBase + text + "\n")})
}

func TestChannelsAreRead(t *testing.T) {
	s, findings := parseChannels(`
  # What a board is about.
  board/{board:boards}:
    join: auth != null
    send: auth.verified
    presence: [name]
  "room/{room}/{n:int}": {join: true}
  lobby: {join: true, presence: []}`)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	board, room, lobby := s.Channels[0], s.Channels[1], s.Channels[2]
	if board.Doc != "What a board is about." || len(board.Parts) != 2 || board.Parts[0].Word != "board" ||
		board.Parts[1].Type.Of != "boards" || board.Send.Empty() || len(board.Presence) != 1 {
		t.Errorf("board is %+v", board)
	}
	if room.Shown || room.Plain() != "room/{room}/{n}" || room.Params().Len() != 2 {
		t.Errorf("room is %+v", room)
	}
	if !lobby.Shown || lobby.Presence != nil {
		t.Errorf("lobby is %+v", lobby)
	}
}

func TestChannelsThatCannotBe(t *testing.T) {
	for text, want := range map[string]string{
		"  board/{board:boards}: {send: true}":                "7 3 board/{board:boards} does not say who may join",
		"  b/{board:board}: {join: true}":                     "7 12 \"board\" cannot be the type of a parameter did you mean boards?",
		"  b/{board:money}: {join: true}":                     `"money" cannot be the type of a parameter`,
		"  b/{board:boards?}: {join: true}":                   "did you mean boards?",
		"  b/{Board}: {join: true}":                           `"Board" cannot name a parameter`,
		"  b/{boards}: {join: true}":                          "boards cannot name a parameter: it is a collection",
		"  b/{auth}: {join: true}":                            "auth cannot name a parameter: rules have a variable",
		"  b/{in}: {join: true}":                              "in cannot name a parameter: it is a word of the rule language",
		"  b/{x}/{x}: {join: true}":                           "the parameter x is named twice",
		"  b/x{y}: {join: true}":                              "a {parameter} is one whole part",
		"  b//{y}: {join: true}":                              "a part of the channel's name is empty",
		"  /b: {join: true}":                                  "a part of the channel's name is empty",
		"  b/../c: {join: true}":                              `".." cannot be a part`,
		"  'b c': {join: true}":                               `"b c" cannot be a part`,
		"  b: {join: true, sned: true}":                       "did you mean send?",
		"  b: {join: true, presence: [nam]}":                  "did you mean name?",
		"  b: {join: true, presence: [pin]}":                  "not everybody who sees a user may read it",
		"  b: {join: true, presence: [own]}":                  "not everybody who sees a user may read it",
		"  b: {join: true, presence: [email]}":                "not everybody who sees a user may read it",
		"  b: {join: true, presence: [id]}":                   "the id is always shown",
		"  b: {join: true, presence: name}":                   "presence is a list",
		"  b: {join: true}\n  b: {join: true}":                "b is",
		"  b/{x}: {join: true}\n  b/{y:boards}: {join: true}": "b/{y:boards} and b/{x} would have the same names",
		"  " + strings.Repeat("a/", 10) + "a: {join: true}":   "at most 10 parts",
		"  " + strings.Repeat("a", 201) + ": {join: true}":    "at most 200 characters",
		"  b: true":     "b is a mapping",
		"  b: {join: }": "join has no value",
	} {
		_, findings := parseChannels(text)
		said := ""
		for _, f := range findings {
			said += fmt.Sprintln(f.Pos.Line, f.Pos.Column, f.Message, f.Help)
		}
		if !strings.Contains(said, want) {
			t.Errorf("%s: got %s, want %s", text, said, want)
		}
	}
}
