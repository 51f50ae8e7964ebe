package serve

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store"
)

// talking is an app whose code publishes.
const talking = `app: talking
auth: {sign_in: [password], sign_up: {fields: []}}
collections:
  notes:
    fields: {text: string}
    hooks: [create]
    allow: {create: {if: auth != null, fields: [text]}}
channels:
  notes/{topic}: {join: auth != null, send: auth != null, presence: []}
actions:
  tell:
    allow: auth != null
    input: {text: string, fail: bool?}
errors:
  declined: No.
-- actions/tell.ts --
import { action, refuse } from "galley";
export default action("tell", async (tx, { text, fail }) => {
  tx.publish("notes/all", { text, at: 1 });
  if (fail) throw refuse("declined");
});
-- hooks/notes.ts --
import { hook } from "galley";
export default hook("notes", {
  create: (tx, note) => { tx.publish(` + "`notes/${note.text}`" + `, note.text); },
});
`

// listener is a member with all that he heard.
type listener struct {
	*channel.Member
	got string
}

// hears waits until the member has heard something.
func (x *nodes) hears(m *listener, part string) {
	x.t.Helper()
	if !m.hears(part, time.Minute) {
		x.t.Fatalf("got %s, want %s\n%s", m.got, part, x.log)
	}
	if strings.Contains(m.got, "never") {
		x.t.Fatalf("what was not committed was told: %s", m.got)
	}
}

// hears reports whether the member hears something in so much time.
func (m *listener) hears(part string, within time.Duration) bool {
	late := time.NewTimer(within)
	defer late.Stop()
	for !strings.Contains(m.got, part) {
		select {
		case <-m.Ready():
			for _, e := range m.Take() {
				m.got += string(e.AppendJSON(nil)) + "\n"
			}
		case <-late.C:
			return false
		}
	}
	return true
}

func TestCodePublishesAtEveryNode(t *testing.T) { onEach(t, publishes) }

func publishes(t *testing.T, join joining) {
	x := openNodes(t, join, 2, talking)
	ana := x.signUp(x.proxy.URL, "ana@example.com")
	var members []*listener
	for i, n := range x.all {
		m := n.channels.Connect(string(rune('a' + i)))
		call := engine.Call{ID: ident.NewCall(), Credential: ana, Door: "test"}
		for _, name := range []string{"notes/all", "notes/one"} {
			if _, err := m.Join(t.Context(), call, name, nil); err != nil {
				t.Fatal(err)
			}
		}
		members = append(members, &listener{Member: m})
	}
	post := func(path, body string, want int) {
		t.Helper()
		x.want(path, x.ask(x.proxy.URL, http.MethodPost, path, ana, string(ident.NewCall()), body), want)
	}
	post("/api/actions/tell", `{"text":"never","fail":true}`, http.StatusConflict)
	post("/api/notes", `{"text":"never a topic / that there can be"}`, http.StatusInternalServerError)
	post("/api/actions/tell", `{"text":"<now>"}`, http.StatusNoContent)
	post("/api/notes", `{"text":"one"}`, http.StatusCreated)
	for _, m := range members {
		x.hears(m, `{"channel":"notes/all","message":{"text":"<now>","at":1}}`)
		x.hears(m, `{"channel":"notes/one","message":"one"}`)
	}
	if _, ok := x.all[0].store.(store.Bus); ok {
		x.hears(members[0], `"joined":{"who":"b"`) // the nodes know one another
		call := engine.Call{ID: ident.NewCall(), Credential: ana, Door: "test"}
		// What is sent before the other node listens is lost for it.
		for late := time.Now().Add(time.Minute); ; {
			if err := members[0].Send(t.Context(), call, "notes/all", []byte("7")); err != nil {
				t.Fatal(err)
			}
			if members[1].hears(`"message":7}`, 200*time.Millisecond) {
				break
			}
			if time.Now().After(late) {
				t.Fatalf("the other node heard %s\n%s", members[1].got, x.log)
			}
		}
	}
	// Who signs out is in no channel any more, whatever his connections do.
	r := x.ask(x.proxy.URL, http.MethodPost, "/api/auth/sign-out", ana, "", "")
	x.want("the end of the session", r, http.StatusNoContent)
	for _, m := range members {
		x.hears(m, `{"channel":"notes/all","ended":{"code":"unauthenticated"}}`)
		m.Close()
	}
}
