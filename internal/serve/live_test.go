package serve

import (
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/transport"
)

// TestNodesKeepSubscriptionsTrue follows at every node what happens at one: records, other
// apps, and the end of a session.
func TestNodesKeepSubscriptionsTrue(t *testing.T) { onEach(t, nodesKeepSubscriptionsTrue) }

func nodesKeepSubscriptionsTrue(t *testing.T, join joining) {
	x := openNodes(t, join, 2, diary)
	a := x.all[0].url.String()
	token := x.signUp(a, "ana@example.com")
	all := []*watcher{x.listen(0, token), x.listen(1, token)}
	each := func(what string, ok func(l *watcher) bool) {
		t.Helper()
		for _, l := range all {
			l.until(what, ok)
		}
	}
	holds := func(n int) func(*watcher) bool {
		return func(l *watcher) bool { return len(l.have) == n }
	}
	note := x.ask(a, "POST", "/api/notes", token, "", `{"text":"one"}`)
	x.want("create", note, 201)
	each("the note", holds(1))
	deploy := func(app string) {
		t.Helper()
		write(t, x.all[0].app, app)
		if findings, _, err := x.all[0].Reload(t.Context()); err != nil || Failed(findings) {
			t.Fatal(findings, err)
		}
	}
	// Another rule takes the note away; another shape gives it back.
	none := later(t, diary, "read:   true", "read:   record.by != null")
	deploy(none)
	each("nothing by the new rule", holds(0))
	open := later(t, diary, "by: users?", "by: users?\n      mood: {type: string, default: fine}")
	deploy(open)
	each("the note in its new shape", func(l *watcher) bool {
		return len(l.have) == 1 && l.last["mood"] == "fine"
	})
	x.want("create", x.ask(a, "POST", "/api/notes", token, "", `{"text":"two"}`), 201)
	each("the second note", holds(2))
	// Who signs out is cut off everywhere, and nobody else.
	other := x.signUp(a, "bo@example.com")
	bo := x.listen(1, other)
	x.want("sign out", x.ask(a, "POST", "/api/auth/sign-out", token, "", `{}`), 204)
	began := time.Now()
	each("the end", func(l *watcher) bool { return fault.Is(l.end, fault.Unauthenticated) })
	// Who is only looked at now and then would be cut off after half a minute.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v to end the connections of a session", took)
	}
	x.want("create", x.ask(a, "POST", "/api/notes", other, "", `{"text":"three"}`), 201)
	bo.until("the third note", holds(3))
	// A collection that is closed ends what follows it.
	shut := later(t, open, "      read:   true\n", "")
	deploy(shut)
	bo.until("the end of the subscription", func(l *watcher) bool { return l.over != nil })
	if bo.over.Kind != fault.NotFound {
		t.Errorf("a closed collection: got %v", bo.over)
	}
}

// watcher follows the notes of a diary.
type watcher struct {
	t    *testing.T
	conn *live.Conn
	have map[ident.Record]bool
	// last is the record put last.
	last map[string]string
	over *fault.Fault
	end  error
}

func (x *nodes) listen(n int, token string) *watcher {
	x.t.Helper()
	c, err := x.all[n].live.Connect(x.t.Context(), engine.Call{Credential: token, Door: "test"})
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(c.Close)
	start, err := c.Follow(x.t.Context(), live.Query{Collection: "notes"})
	if err != nil {
		x.t.Fatal(err)
	}
	l := &watcher{t: x.t, conn: c, have: map[ident.Record]bool{}, last: map[string]string{}}
	l.begin(&start)
	return l
}

func (l *watcher) begin(s *live.Start) {
	clear(l.have)
	for i := range s.Items {
		l.put(&s.Items[i])
	}
}

func (l *watcher) put(item *engine.Item) {
	l.have[transport.ID(item)] = true
	for i, f := range item.Record.Shape.Fields() {
		l.last[f.Name] = item.Record.Slots[i].Text()
	}
}

func (l *watcher) until(what string, ok func(*watcher) bool) {
	l.t.Helper()
	late := time.After(time.Minute)
	for !ok(l) {
		select {
		case <-l.conn.Ready():
		case <-late:
			l.t.Fatalf("waiting for %s: it has %d notes, %v", what, len(l.have), l.end)
		}
		var pushes []live.Push
		pushes, l.end = l.conn.Take()
		for _, p := range pushes {
			switch {
			case p.Frame != nil:
				for _, c := range p.Frame.Changes() {
					if c.Put != nil {
						l.put(c.Put)
					} else {
						delete(l.have, c.Del)
					}
				}
			case p.Reset != nil:
				l.begin(p.Reset)
			case p.Ended != nil:
				l.over = p.Ended
			}
		}
	}
}
