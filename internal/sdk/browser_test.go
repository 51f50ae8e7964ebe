package sdk_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
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
		// It is taken back as soon as the server has refused it: who looks late would miss it.
		p.Run(`window.shown = []; notes.subscribe(() => shown.push(texts()));
			settled = []; write(api.notes.update(notes.items[0].id, { text: "bad" }))`)
		p.Until(`shown.includes("bad,c,a")`)
		p.Until(`settled.join() === "bad_word" && texts() === "b,c,a"`)
	})

	t.Run("a view is kept true", func(t *testing.T) {
		p := a.In(t)
		p.Run(`window.groups = api.groups.live(); window.leave = groups.subscribe(() => {})`)
		p.Until(`groups.state === "live" && JSON.stringify(groups.items) === '[{"group":"a","n":3}]'`)
		p.Run(`window.first = groups.items[0];
			api.notes.create({ text: "d", group: "b", place: 10 }).then((d) => (window.made = d))`)
		p.Until(`window.made && JSON.stringify(groups.items[1]) === '{"group":"b","n":1}' && groups.items[0] === first`)
		p.Run(`api.notes.delete(made.id)`)
		p.Until(`groups.items.length === 1 && texts() === "b,c,a"`)
		p.Run(`leave()`)
	})

	t.Run("the order is the server's", func(t *testing.T) {
		p := a.In(t)
		p.Run(`const all = ["Z", "a", "é", "\u{10000}", "\ue000", "\u{1f600}", "~", "10s", "9s", "", "aa"].map((text, i) =>
				api.notes.create({ text, group: "order", place: i % 3 - 1.5, span: i % 4 ? i * 7 + "s" : null }));
			window.same = 0;
			Promise.all(all).then(async () => {
				for (const sort of ["text", "-text", "place,-text", "-span", "span,-id", "created", "-count,span"]) {
					const filter = cel` + "`group == ${'order'}`" + `;
					const { items } = await api.notes.list({ filter, sort });
					const live = api.notes.live({ filter, sort });
					await new Promise((go) => live.subscribe(() => live.state === "live" && go()));
					if (items.map((n) => n.text).join("|") === live.items.map((n) => n.text).join("|")) same++;
					else console.error(sort, items.map((n) => n.text).join("|"), live.items.map((n) => n.text).join("|"));
				}
				for await (const n of api.notes.all({ filter: cel` + "`group == 'order'`" + ` })) await api.notes.delete(n.id);
			});`)
		p.Until(`same === 7 && texts() === "b,c,a"`)
	})

	b := a.Tab(t, n.line.Address)
	b.Until(`window.ready && notes.state === "live" && texts() === "b,c,a" && api.auth.user.name === "ana"`)

	t.Run("who is signed in is as his record is, in every tab", func(t *testing.T) {
		p, q := a.In(t), b.In(t)
		p.Run(`window.channel = api.channel("room/one", { state: { at: 1 } })`)
		p.Until(`channel.present.length === 1 && channel.present[0].self && channel.present[0].user.name === "ana"`)
		q.Run(`window.channel = api.channel("room/one")`)
		q.Until(`channel.present.map((p) => [p.self, p.state?.at].join()).join(";") === ",1;true,"`)
		p.Run(`settled = []; write(api.users.update(api.auth.user.id, { name: "Anna" })); channel.state({ at: 2 })`)
		for _, tab := range []browser.Page{p, q} {
			tab.Until(`api.auth.user.name === "Anna" && users.at(-1) === "Anna"`)
			tab.Until(`channel.present.length === 2 && channel.present.every((p) => p.user.name === "Anna")`)
		}
		q.Until(`channel.present.map((p) => [p.self, p.state?.at].join()).join(";") === ",2;true,"`)
		p.Run(`write(api.users.update(api.auth.user.id, { name: "ana" })); channel.leave()`)
		q.Until(`api.auth.user.name === "ana" && channel.present.length === 1 && channel.present[0].user.name === "ana"`)
		p.Until(`settled.join() === "ok,ok"`)
		q.Run(`channel.leave()`)
	})

	t.Run("a page without network keeps what it had, and sends what was written in it", func(t *testing.T) {
		p, q := a.In(t), b.In(t)
		q.Go("about:blank") // or it would send what is written here
		p.Offline("")
		p.Until(`notes.state === "offline" && api.line.state === "offline"`)
		p.Run(`settled = []; lines = [];
			write(api.notes.update(notes.items[0].id, { text: "B" }));
			write(api.notes.create({ text: "bad", place: 5 }));
			write(api.notes.create({ text: "d", place: 10 }));
			window.last = notes.items.find((n) => n.text === "a");
			write(api.notes.update(last.id, { text: "stale" }, { version: last.version }));
			write(api.actions.count({ note: notes.items[0].id }));`)
		p.Until(`texts() === "B,c,bad,stale,d" && api.outbox.pending.length === 4`)
		n.elsewhere(t, "ana", "PATCH", "/api/notes/"+browser.Value[string](p, `last.id`), `{"group":"b"}`)
		p.Online()
		p.Until(`settled.length === 5 && notes.state === "live" && texts() === "B,c,a,d" && lines.join() === "live"`)
		if got := browser.Value[string](p, `refused.join()`); got != "bad_word create bad,stale update stale" {
			t.Errorf("refused was %s", got)
		}
		q.Go(n.line.Address)
		q.Until(`window.ready && notes.state === "live" && texts() === "B,c,a,d" && api.outbox.pending.length === 0`)
	})

	t.Run("what was written is sent after a reload, whoever sends it", func(t *testing.T) {
		p, q := a.In(t), b.In(t)
		q.Run(`refused = []`)
		n.line.Cut()
		p.Until(`notes.state === "offline"`)
		q.Until(`notes.state === "offline"`)
		p.Run(`write(api.notes.create({ text: "e", place: 11 }))`)
		q.Until(`texts() === "B,c,a,d,e" && api.outbox.pending.length === 1`)
		q.Run(`write(api.notes.update(notes.items[4].id, { text: "E" }))`)
		p.Until(`texts() === "B,c,a,d,E" && api.outbox.pending.length === 2`)
		p.Run(`write(api.notes.create({ text: "bad", place: 12 }))`)
		q.Until(`api.outbox.pending.length === 3`)
		p.Go("about:blank")
		n.line.Mend()
		q.Until(`api.outbox.pending.length === 0 && texts() === "B,c,a,d,E" && notes.items[4].version === 2`)
		if got := browser.Value[string](q, `refused.join()`); got != "bad_word create bad" {
			t.Errorf("refused was %s", got)
		}
		p.Go(n.line.Address)
		p.Until(`window.ready && notes.state === "live" && texts() === "B,c,a,d,E"`)
	})

	t.Run("a page that was opened without the server shows what it last had", func(t *testing.T) {
		p := a.In(t)
		p.Until(`texts() === "B,c,a,d,E"`)
		b.In(t).Go("about:blank") // or it would send what is written here, and keep what it saw
		n.elsewhere(t, "ana", "PATCH", "/api/notes/"+browser.Value[string](p, `notes.items[0].id`),
			`{"count":100}`)
		p.Until(`notes.items[0].count === 100`)
		p.Go("about:blank") // at once: what has come last is kept as the page is left
		n.lead(filesOnly(t, n.Address))
		arrive(p, n.line.Address+"/?again")
		p.Until(`window.ready && notes.state === "offline" && texts() === "B,c,a,d,E"`)
		if got := browser.Value[int](p, `notes.items[0].count`); got != 100 {
			t.Errorf("the count was 100 when the page was left, and is %d", got)
		}
		p.Run(`write(api.notes.delete(notes.items[4].id))`)
		p.Until(`texts() === "B,c,a,d" && api.outbox.pending.length === 1`)
		arrive(p, n.line.Address+"/?andagain")
		p.Until(`window.ready && texts() === "B,c,a,d" && api.outbox.pending.length === 1`)
		p.Run(`setTimeout(() => (window.later = true), 1500)`)
		p.Until(`window.later && notes.state === "offline"`)
		n.lead(n.Address)
		p.Until(`notes.state === "live" && api.outbox.pending.length === 0 && texts() === "B,c,a,d"`)
		b.In(t).Go(n.line.Address)
		b.In(t).Until(`window.ready && notes.state === "live" && texts() === "B,c,a,d"`)
	})

	t.Run("nothing is lost or done twice when the server is killed", func(t *testing.T) {
		p, q := a.In(t), b.In(t)
		before := browser.Value[int](p, `notes.items[0].count`)
		p.Run(`settled = []; refused = []; const note = notes.items[0].id;
			for (let i = 0; i < 30; i++) {
				write(api.notes.update(note, { count: { $add: 1 } }));
				write(api.notes.create({ text: "k" + i, place: 100 + i, group: "k" }));
			}`)
		q.Run(`settled = []; for (let i = 0; i < 30; i++) {
			write(api.notes.update(notes.items[0].id, { count: { $add: 1 } })); }`)
		for _, some := range []int{5, 20} {
			p.Until(`settled.length >= ` + strconv.Itoa(some))
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			n.line.To(n.Address)
		}
		p.Until(`settled.length === 60 && settled.every((s) => s === "ok") && notes.state === "live"`)
		q.Until(`settled.length === 30 && settled.every((s) => s === "ok") && notes.state === "live"`)
		for _, tab := range []browser.Page{p, q} {
			tab.Until(`api.outbox.pending.length === 0 && notes.items.every((n) => n.version > 0)`)
			if got := browser.Value[int](tab, `notes.items[0].count`); got != before+60 {
				t.Errorf("it was counted from %d to %d", before, got)
			}
			if got := browser.Value[string](tab, `notes.items.filter((n) => n.group === "k").map((n) => n.text).join()`); got !=
				browser.Value[string](tab, `Array.from({ length: 30 }, (_, i) => "k" + i).join()`) {
				t.Errorf("there are %s", got)
			}
		}
	})

	t.Run("who signs in next sees nothing of who was there", func(t *testing.T) {
		p, q := a.In(t), b.In(t)
		p.Run(`api.auth.signOut()`)
		p.Until(`api.auth.user === null && texts() === ""`)
		q.Until(`api.auth.user === null && texts() === ""`)
		p.Run(`api.auth.signUp({ email: "ben@example.com", password: "correct horse battery", name: "ben" })`)
		p.Until(`api.auth.user?.name === "ben" && notes.state === "live" && texts() === ""`)
		q.Until(`api.auth.user?.name === "ben" && notes.state === "live"`)
		p.Run(`api.notes.create({ text: "mine" })`)
		q.Until(`texts() === "mine"`)
		p.Run(`window.peek = () => {
				const r = indexedDB.open("galley");
				r.onsuccess = () => {
					const all = r.result.transaction("lists").objectStore("lists").getAllKeys();
					all.onsuccess = () => (window.kept = all.result);
				};
			}`)
		p.Until(`peek() || window.kept?.length === 1 && kept[0].startsWith(api.auth.user.id)`)
	})

	t.Run("the hooks of React", func(t *testing.T) { useHooks(t, n) })
}

// elsewhere asks as somebody who is signed in on another device.
func (n *notes) elsewhere(t *testing.T, name, method, path, body string) {
	t.Helper()
	ask := func(method, path, token, body string) []byte {
		r, err := http.NewRequestWithContext(t.Context(), method, n.Address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close() // it is read
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s %s: %d %s, %v", method, path, res.StatusCode, text, err)
		}
		return text
	}
	var opened struct{ Token string }
	if err := json.Unmarshal(ask("POST", "/api/auth/sign-in", "", `{"email":"`+name+
		`@example.com","password":"correct horse battery","token":true}`), &opened); err != nil {
		t.Fatal(err)
	}
	ask(method, path, opened.Token, body)
}

// lead breaks what is open and has the line lead to another address.
func (n *notes) lead(address string) {
	n.line.Cut()
	n.line.To(address)
	n.line.Mend()
}

// arrive opens a page, anew where a connection that was broken took one of its files along.
func arrive(p browser.Page, address string) {
	for range 5 {
		p.Go(address)
		if browser.Value[bool](p, `window.ready === true`) {
			return
		}
	}
}

// filesOnly is a server that hands out the files of another, and answers nothing below /api.
func filesOnly(t *testing.T, address string) string {
	t.Helper()
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	files := httputil.NewSingleHostReverseProxy(to)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Connection", "close") // what breaks off takes no file along
		files.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}
