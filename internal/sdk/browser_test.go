package sdk_test

import (
	"path/filepath"
	"testing"

	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

// notes is the app of testdata/notes, reached over a line that can be cut.
type notes struct {
	*server.Server
	line *browser.Line
}

func serveNotes(t *testing.T) *notes {
	t.Helper()
	s := server.StartApp(t, filepath.Join("..", ".."), filepath.Join("testdata", "notes"))
	return &notes{s, browser.NewLine(t, s.Address)}
}

// quiet are the complaints of a browser whose line is cut.
var quiet = []string{"net::ERR_", "WebSocket connection to", "status of 503", "status of 401"}

// open opens the page of the notes and signs up under a name.
func (n *notes) open(t *testing.T, name string) browser.Page {
	t.Helper()
	p := browser.Open(t, n.line.Address)
	p.Expect(quiet...)
	p.Until(`window.ready && users.length`)
	p.Run(`api.auth.signUp({ email: "` + name + `@example.com", password: "correct horse battery", name: "` +
		name + `" })`)
	p.Until(`users.at(-1) === "` + name + `" && notes.state === "live"`)
	return p
}

func TestInABrowser(t *testing.T) {
	n := serveNotes(t)
	a := n.open(t, "ana")

	t.Run("what is written is shown at once and stays", func(t *testing.T) {
		p := a.In(t)
		p.Run(`for (const [i, text] of ["c", "b", "a"].entries()) write(api.notes.create({ text, place: 3 - i }))`)
		if got := browser.Value[string](p, `texts()`); got != "a,b,c" {
			t.Errorf("at once there is %s", got)
		}
		p.Until(`settled.join() === "ok,ok,ok" && notes.items.every((n) => n.version === 1) && texts() === "a,b,c"`)
		p.Run(`settled = []; write(api.notes.update(notes.items[0].id, { place: 9 }))`)
		if got := browser.Value[string](p, `texts()`); got != "b,c,a" {
			t.Errorf("at once there is %s", got)
		}
		p.Until(`settled.length && notes.items[2].version === 2`)
		p.Run(`settled = []; write(api.notes.update(notes.items[0].id, { text: "bad" }))`)
		if got := browser.Value[string](p, `texts()`); got != "bad,c,a" {
			t.Errorf("at once there is %s", got)
		}
		p.Until(`settled.join() === "bad_word" && texts() === "b,c,a"`)
	})

	b := a.Tab(t, n.line.Address)
	b.Until(`window.ready && notes.state === "live" && texts() === "b,c,a" && api.auth.user.name === "ana"`)

	t.Run("a page without network keeps what it had, and sends what was written in it", func(t *testing.T) {
		p, q := a.In(t), b.In(t)
		p.Offline("")
		p.Until(`notes.state === "offline"`)
		p.Run(`settled = [];
			write(api.notes.update(notes.items[0].id, { text: "B" }));
			write(api.notes.create({ text: "bad", place: 5 }));
			write(api.notes.create({ text: "d", place: 10 }));
			write(api.actions.count({ note: notes.items[0].id }));`)
		p.Until(`texts() === "B,c,bad,a,d" && api.outbox.pending.length === 3`)
		q.Until(`texts().includes("d") || true`)
		p.Online()
		p.Until(`settled.length === 4 && notes.state === "live" && texts() === "B,c,a,d"`)
		q.Until(`texts() === "B,c,a,d" && api.outbox.pending.length === 0`)
		if got := browser.Value[string](p, `refused.join()`); got != "bad_word create bad" {
			t.Errorf("refused was %s", got)
		}
	})
}
