package live_test

import (
	"maps"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/journal"
)

const board = `
app: board
define:
  member(board): members.exists(m, m.board == board && m.user == auth)
auth: {sign_in: [password]}
collections:
  users:
    fields: {name: string}
    allow: {read: "record == auth || members.exists(m, m.user == record && member(m.board))"}
  boards:
    fields: {name: string}
    allow: {read: member(record)}
  members:
    fields: {board: {type: boards, on_delete: cascade}, user: {type: users, on_delete: cascade}, role: {type: [viewer, owner], default: viewer}}
    unique: [[board, user]]
    allow: {read: member(record.board)}
  lists:
    fields: {board: {type: boards, on_delete: cascade}, name: string}
    allow: {read: member(record.board)}
  cards:
    fields:
      list: {type: lists, on_delete: cascade}
      title: string
      position: float
      assignee: users?
      cost: {type: int, default: 1, read: 'members.exists(m, m.board == record.list.board && m.user == auth && m.role == "owner")'}
      hint: {type: string, default: psst, read: record.assignee == auth}
    allow: {read: member(record.list.board)}
  notes:
    fields: {text: string, kind: {type: string, default: a}, size: {type: int, default: 0}}
    allow: {read: "true"}
`

func TestASubscriptionIsAQueryKeptTrue(t *testing.T) {
	onBoth(t, board, func(t *testing.T, n *node) {
		r := n.reader("")
		f := r.follow("notes", "filter", `kind == "a" && size < 10`)
		one := n.create("notes", `{"text":"one"}`)
		n.create("notes", `{"text":"two","kind":"b"}`)
		r.until("the first note", func() bool { return len(f.have) == 1 })
		if got := told(r.reached(n.update("notes", one, `{"text":"uno"}`))); got != "s1 put" {
			t.Errorf("a change that stays: got %q", got)
		}
		if got := told(r.reached(n.update("notes", one, `{"size":20}`))); got != "s1 del" {
			t.Errorf("a change that leaves: got %q", got)
		}
		if got := told(r.reached(n.update("notes", one, `{"size":30}`))); got != "" {
			t.Errorf("a change elsewhere: got %q", got)
		}
		if got := told(r.reached(n.update("notes", one, `{"size":3}`))); got != "s1 put" {
			t.Errorf("a change that comes back: got %q", got)
		}
		if err := n.same("", f); err != nil {
			t.Error(err)
		}
		if got := told(r.reached(n.delete("notes", one))); got != "s1 del" {
			t.Errorf("a deletion: got %q", got)
		}
	})
}

func TestAMembershipIsTakenAtOnce(t *testing.T) {
	onBoth(t, board, func(t *testing.T, n *node) {
		ana, bo := n.create("users", `{"name":"ana","email":"a@x.org"}`), n.create("users", `{"name":"bo","email":"b@x.org"}`)
		b := n.create("boards", `{"name":"b"}`)
		list := n.create("lists", `{"board":%q,"name":"l"}`, b)
		other := n.create("boards", `{"name":"c"}`)
		away := n.create("lists", `{"board":%q,"name":"m"}`, other)
		n.create("members", `{"board":%q,"user":%q}`, b, bo)
		member := n.create("members", `{"board":%q,"user":%q}`, b, ana)
		card := n.create("cards", `{"list":%q,"title":"t","position":1}`, list)
		r, s := n.reader(ana), n.reader(bo)
		f := r.follow("cards", "filter", `list.board == "`+string(b)+`"`, "sort", "position", "expand", "assignee")
		g := s.follow("cards", "list", string(list))
		if len(f.have) != 1 || len(g.have) != 1 {
			t.Fatalf("got %d and %d cards, want 1", len(f.have), len(g.have))
		}
		if got := told(r.reached(n.update("cards", card, `{"assignee":%q}`, bo))); got != "s1 put" {
			t.Errorf("got %q", got)
		}
		if got := told(r.reached(n.update("users", bo, `{"name":"Bo"}`))); got != "s1 put" {
			t.Errorf("a change of what is expanded: got %q", got)
		}
		if err := n.same(ana, f); err != nil {
			t.Error(err)
		}
		if got := told(r.reached(n.update("cards", card, `{"list":%q}`, away))); got != "s1 del" {
			t.Errorf("moved away: got %q", got)
		}
		if got := told(r.reached(n.update("cards", card, `{"list":%q}`, list))); got != "s1 put" {
			t.Errorf("moved back: got %q", got)
		}
		queries := n.hub.Stats().Queries
		gone := n.delete("members", member)
		if got := told(r.reached(gone)); got != "s1 del" {
			t.Errorf("a membership that ended: got %q", got)
		}
		if got := n.hub.Stats().Queries - queries; got != 1 {
			t.Errorf("%d subscriptions asked again, want that of the member", got)
		}
		s.reached(gone)
		if err := n.same(bo, g); err != nil {
			t.Error(err)
		}
		n.create("members", `{"board":%q,"user":%q}`, b, ana)
		r.until("the card again", func() bool { return len(f.have) == 1 })
	})
}

func TestPushesOfACommitComeTogether(t *testing.T) {
	onBoth(t, board, func(t *testing.T, n *node) {
		r := n.reader("")
		r.follow("notes", "kind", "a")
		r.follow("notes", "kind", "b")
		e, err := n.engine.Execute(t.Context(), engine.Call{Verb: engine.Batch, Trusted: true, Subject: carla,
			Key: "k", Batch: []engine.Call{
				{Verb: engine.Create, Target: "notes", Body: []byte(`{"text":"x"}`)},
				{Verb: engine.Create, Target: "notes", Body: []byte(`{"text":"y"}`)},
				{Verb: engine.Create, Target: "notes", Body: []byte(`{"text":"z","kind":"b"}`)},
			}})
		if err != nil {
			t.Fatal(err)
		}
		if got := told(r.reached(e.Seq)); got != "s1 put put more; s2 put" && got != "s2 put more; s1 put put" {
			t.Errorf("got %q", got)
		}
	})
}

func TestWhoComesBackGetsWhatChanged(t *testing.T) {
	onBoth(t, board, func(t *testing.T, n *node) {
		ana := n.create("users", `{"name":"ana","email":"a@x.org"}`)
		b := n.create("boards", `{"name":"b"}`)
		list := n.create("lists", `{"board":%q,"name":"l"}`, b)
		n.create("members", `{"board":%q,"user":%q}`, b, ana)
		stay := n.create("cards", `{"list":%q,"title":"t","position":1}`, list)
		gone := n.create("cards", `{"list":%q,"title":"u","position":2}`, list)
		n.create("cards", `{"list":%q,"title":"v","position":3}`, list)
		r := n.reader(ana)
		f := r.follow("cards", "sort", "position", "limit", "10")
		r.conn.Close()
		n.update("cards", stay, `{"title":"T"}`)
		n.delete("cards", gone)
		n.create("cards", `{"list":%q,"title":"w","position":4}`, list)
		for _, limit := range []string{"10", "9"} { // the topic remembers, the journal tells
			s := n.reader(ana)
			start, err := s.conn.Follow(t.Context(), live.Query{Collection: "cards", Since: f.at,
				Params: params("sort", "position", "limit", limit)})
			if err != nil {
				t.Fatal(err)
			}
			if !start.Changed || start.Reset || len(start.Changes) != 3 {
				t.Errorf("limit %s: got %d changes, reset %v", limit, len(start.Changes), start.Reset)
			}
			g := &followed{query: f.query, have: maps.Clone(f.have)}
			g.start(&start)
			if err := n.same(ana, g); err != nil {
				t.Errorf("limit %s: %v", limit, err)
			}
		}
		for name, since := range map[string]string{"another history": "other:3", "no place": "x",
			"the future": n.hub.At(journal.Seq{Lo: 1 << 40}), "a smaller window": f.at} {
			start, err := n.reader(ana).conn.Follow(t.Context(), live.Query{Collection: "cards",
				Since: since, Params: params("sort", "position", "limit", "2")})
			if err != nil || !start.Reset || len(start.Items) != 2 {
				t.Errorf("%s: got %d items, reset %v, %v", name, len(start.Items), start.Reset, err)
			}
		}
		n.create("members", `{"board":%q,"user":%q}`, n.create("boards", `{"name":"c"}`), ana)
		start, err := n.reader(ana).conn.Follow(t.Context(), live.Query{Collection: "cards",
			Since: f.at, Params: params("sort", "position", "limit", "8")})
		if err != nil || !start.Reset {
			t.Errorf("a membership in between: reset %v, %v", start.Reset, err)
		}
	})
}
