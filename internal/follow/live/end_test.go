package live_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
)

// ends waits for the end of a connection and returns how it came.
func (r *reader) ends() *fault.Fault {
	r.t.Helper()
	late := time.After(patience)
	for {
		select {
		case <-r.conn.Ready():
			if _, err := r.conn.Take(); err != nil {
				return fault.From(err)
			}
		case <-late:
			r.t.Fatal("the connection does not end")
		}
	}
}

func TestWhoIsSignedOutIsCutOff(t *testing.T) {
	n := onSQLite(t, board)
	ana, bo := n.create("users", `{"name":"ana","email":"a@x.org"}`), n.create("users", `{"name":"bo","email":"b@x.org"}`)
	r, other := n.reader(ana), n.reader(bo)
	r.follow("notes")
	other.follow("notes")
	_, err := n.store.Write(t.Context(), journal.Origin{Call: ident.NewCall(), Operation: "sign-out"},
		func(tx store.Tx) error {
			return tx.Intend(t.Context(), journal.Intent{Kind: "revoke", Name: string(ana)})
		})
	if err != nil {
		t.Fatal(err)
	}
	if f := r.ends(); f.Kind != fault.Unauthenticated {
		t.Errorf("a session that ended: got %v", f)
	}
	if _, err := r.conn.Follow(t.Context(), live.Query{Collection: "notes"}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a follow afterwards: got %v", err)
	}
	n.delete("users", bo)
	if f := other.ends(); f.Kind != fault.Unauthenticated {
		t.Errorf("an account that is gone: got %v", f)
	}
	cy := n.create("users", `{"name":"cy","email":"c@x.org"}`)
	var over atomic.Bool
	n.expires.Store(cy, func() time.Time {
		if over.Load() {
			return time.Now()
		}
		return time.Now().Add(time.Second) // and then it is asked again
	})
	last := n.reader(cy)
	last.follow("notes")
	over.Store(true)
	if f := last.ends(); f.Kind != fault.Unauthenticated {
		t.Errorf("a session over its time: got %v", f)
	}
	if _, err := n.hub.Connect(t.Context(), engine.Call{Credential: string(bo)}); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a credential of nobody: got %v", err)
	}
}

func TestACloseTellsEveryone(t *testing.T) {
	n := onSQLite(t, board)
	r := n.reader("")
	r.follow("notes")
	n.hub.Close()
	if f := r.ends(); f.Kind != fault.Unavailable || f.RetryAfter == 0 {
		t.Errorf("got %v, want unavailable and when to come back", f)
	}
	if _, err := n.hub.Connect(t.Context(), engine.Call{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a connection afterwards: got %v", err)
	}
}

func TestAnotherAppMovesSubscriptions(t *testing.T) {
	onBoth(t, board, func(t *testing.T, n *node) {
		n.create("notes", `{"text":"one"}`)
		ana := n.create("users", `{"name":"ana","email":"a@x.org"}`)
		b := n.create("boards", `{"name":"b"}`)
		n.create("members", `{"board":%q,"user":%q}`, b, ana)
		r := n.reader(ana)
		notes := r.follow("notes", "kind", "a")
		same := r.follow("members")
		boards := r.follow("boards")
		text := strings.Replace(board, `allow: {read: "true"}`, `allow: {read: "record.size > 5"}`, 1)
		text = strings.Replace(text, "kind: {type: string, default: a}", "kind: {type: string, default: a}, more: {type: int, default: 1}", 1)
		text = strings.Replace(text, "    fields: {name: string}\n    allow: {read: member(record)}", "    fields: {name: string}", 1)
		before, next := n.engine.App(), compile(t, text)
		err := n.engine.Swap(next, nil, func() error { migrate(t, n.store, before, next); return nil })
		if err != nil {
			t.Fatal(err)
		}
		r.until("the end of boards", func() bool { return boards.ended != nil })
		if boards.ended.Kind != fault.NotFound {
			t.Errorf("a collection that was closed: got %v", boards.ended)
		}
		r.until("what is forbidden is gone", func() bool { return len(notes.have) == 0 })
		id := n.create("notes", `{"text":"two","size":6,"more":3}`)
		r.until("a record by the new rule", func() bool { return strings.Contains(notes.have[id], `"more":3`) })
		if err := n.same(ana, same); err != nil || same.resets > 0 {
			t.Errorf("what did not change was reset %d times, %v", same.resets, err)
		}
	})
}

func TestTimeAloneChangesAnAnswer(t *testing.T) {
	n := onSQLite(t, `
app: timed
collections:
  posts:
    fields: {text: string, until: time}
    allow: {read: "record.until > now"}
`)
	after := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339Nano) }
	id := n.create("posts", `{"text":"x","until":%q}`, after(time.Hour))
	r := n.reader("")
	f := r.follow("posts")
	if len(f.have) != 1 {
		t.Fatalf("got %d posts, want 1", len(f.have))
	}
	n.update("posts", id, `{"until":%q}`, after(400*time.Millisecond))
	r.until("the post is over", func() bool { return len(f.have) == 0 })
	n.update("posts", id, `{"until":%q}`, after(time.Hour))
	r.until("the post is back", func() bool { return len(f.have) == 1 })
}

func TestWhatCannotBeFollowedIsRefused(t *testing.T) {
	n := onSQLite(t, board+`
views:
  sizes:
    from: notes
    group: [kind]
    fields: {sum: "sum(record.size)"}
    allow: "true"
`)
	r := n.reader("")
	for name, q := range map[string]live.Query{
		"not_found: no such thing":    {Collection: "nothing"},
		"not_found: sign-in's own":    {Collection: "_sessions"},
		"invalid_request: of a view":  {Collection: "sizes", Params: params("limit", "3")},
		"invalid_filter: bad filter":  {Collection: "notes", Params: params("filter", "sise > 3")},
		"invalid_request: a cursor":   {Collection: "notes", Params: params("cursor", "x")},
		"invalid_request: a total":    {Collection: "notes", Params: params("total", "true")},
		"invalid_request: wrong sort": {Collection: "notes", Params: params("sort", "nothing")},
	} {
		_, err := r.conn.Follow(t.Context(), q)
		if want, _, _ := strings.Cut(name, ":"); fault.From(err).CodeOr() != want {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for i := range live.SubsMax {
		if _, err := r.conn.Follow(t.Context(), live.Query{Collection: "notes",
			Params: params("kind", fmt.Sprint(i%3))}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.conn.Follow(t.Context(), live.Query{Collection: "notes"})
	if f := fault.From(err); f.Kind != fault.Exhausted || !strings.Contains(f.Message, fmt.Sprint(live.SubsMax)) {
		t.Errorf("one too many: got %v", err)
	}
	if err := r.conn.Unfollow("s1"); err != nil {
		t.Error(err)
	}
	if err := r.conn.Unfollow("s1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("unfollow again: got %v", err)
	}
	if _, err := r.conn.Follow(t.Context(), live.Query{Collection: "notes"}); err != nil {
		t.Errorf("in the place of one that ended: got %v", err)
	}
}
