// Package kanban_test uses the example kanban as people do: several of them at once, each in a
// browser of his own, on the real server.
package kanban_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

// signIn signs in by the dialog, and opens the board of the garden.
func signIn(p browser.Page, email string) {
	p.Click("#sign-in")
	p.Type("#f-email", email)
	p.Type("#f-password", "password")
	p.Click("#dialog .button.wide")
	p.Until(`document.querySelector("#me") && document.querySelector(".board[data-board]")`)
}

func openGarden(p browser.Page, cards int) {
	p.Until(`[...document.querySelectorAll(".board")].some((b) => b.textContent === "The shared garden")`)
	p.Run(`[...document.querySelectorAll(".board")].find((b) => b.textContent === "The shared garden").click()`)
	p.Until(fmt.Sprintf(`document.querySelectorAll(".card").length === %d`, cards))
}

// titles is the expression of all titles of a list, from top to bottom.
func titles(list string) string {
	return fmt.Sprintf(`[...[...document.querySelectorAll(".column[data-list]")]
		.find((c) => c.ariaLabel === %q).querySelectorAll(".card .title")]
		.map((t) => t.textContent).join(" / ")`, list)
}

// card marks the card with a title, and returns what selects it.
func card(p browser.Page, title string) string {
	p.Until(fmt.Sprintf(`[...document.querySelectorAll(".card .title")].some((t) => t.textContent === %q)`, title))
	id := browser.Value[string](p, fmt.Sprintf(`[...document.querySelectorAll(".card")]
		.find((c) => c.querySelector(".title").textContent === %q).dataset.card`, title))
	return fmt.Sprintf(".card[data-card=%q]", id)
}

// shows waits until a list shows exactly these titles.
func shows(p browser.Page, list, want string) {
	p.Until(fmt.Sprintf("%s === %q", titles(list), want))
}

func TestABoardInTwoBrowsers(t *testing.T) {
	app := server.StartApp(t, "../..", ".")
	meet(t, app, app.Address)
}

// meeting is of Ana, over a line that breaks, and Bo.
type meeting struct {
	app     *server.Server
	line    *browser.Line
	ana, bo browser.Page
}

// meet has Ana and Bo, who is at an address of the same app, share a board.
func meet(t *testing.T, app *server.Server, address string) {
	m := &meeting{app: app, line: browser.NewLine(t, app.Address)}
	m.ana = browser.Open(t, m.line.Address)
	m.bo = m.ana.Beside(t, address)
	for _, p := range []browser.Page{m.ana, m.bo} {
		p.Expect("galley: ") // a call that is told no is told in the console, too
	}
	for _, step := range []struct {
		what string
		do   func(*testing.T)
	}{
		{"who is there is seen, and where everybody points", m.see},
		{"a card that one drags moves for the other", m.drag},
		{"a card is moved with keys, and what it does is said", m.keys},
		{"a card is carried by a finger that rests on it", m.finger},
		{"what is written offline is seen at once, and arrives once", m.offline},
		{"what one writes in a card the other reads", m.write},
		{"who changes his name is called so everywhere", m.rename},
		{"both agree after a storm of moves in which the line breaks", m.storm},
		{"who is invited comes in, who is removed has the board closed", m.remove},
		{"who may look may not touch, and sees what others do", m.look},
	} {
		if !t.Run(step.what, step.do) {
			return // each goes on where the one before ended
		}
	}
}

func (m *meeting) see(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	a.Look("welcome")
	signIn(a, "ana@example.com")
	a.Look("boards")
	openGarden(a, 11)
	signIn(b, "bo@example.com")
	openGarden(b, 11)
	for _, p := range []browser.Page{a, b} {
		p.Until(`document.querySelectorAll("#here .face").length === 2`)
	}
	x, y := b.Center(card(b, "Mend the gate"))
	b.Move(x, y)
	a.Until(`document.querySelector(".cursor")?.textContent === "Bo"`)
	at := fmt.Sprintf(`(() => {
		const tip = document.querySelector(".cursor").getBoundingClientRect();
		return Math.abs(tip.x - %f) < 3 && Math.abs(tip.y - %f) < 3;
	})()`, x, y)
	a.Until(at)
	a.Look("board")
}

func (m *meeting) drag(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	x, y := a.Center(card(a, "Oil the tools"))
	a.Grasp(card(a, "Mend the gate"), x, y-30)
	a.Until(`document.querySelector(".ghost") && document.querySelector(".card.held")`)
	b.Until(`document.querySelector(".cursor.grips")?.textContent === "Ana"`)
	shows(b, "To do", "Order seed potatoes / Mend the gate / Label the herb bed / Ask about the compost")
	a.Release(x, y-30)
	for _, p := range []browser.Page{a, b} {
		shows(p, "This week", "Cover the beds with leaves / Mend the gate / Oil the tools")
		shows(p, "To do", "Order seed potatoes / Label the herb bed / Ask about the compost")
	}
	a.Until(`!document.querySelector("dialog[open]")`)
}

func (m *meeting) keys(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	b.Run(fmt.Sprintf(`document.querySelector('%s .front').focus()`, card(b, "Oil the tools")))
	b.Keys(" ")
	b.Until(`document.querySelector("#announce").textContent.startsWith("Lifted. This week, 3 of 3.")`)
	b.Keys(kb.ArrowRight)
	b.Until(`document.querySelector("#announce").textContent === "Done, 3 of 3"`)
	b.Keys(kb.ArrowUp, kb.ArrowUp)
	b.Until(`document.querySelector("#announce").textContent === "Done, 1 of 3"`)
	b.Keys(" ")
	b.Until(`document.querySelector("#announce").textContent === "Dropped. Done, 1 of 3."`)
	b.Until(`document.activeElement.textContent === "Oil the toolsBL"`)
	shows(a, "Done", "Oil the tools / Dig out the dahlias / Empty the water pipe")
	b.Keys(" ", kb.ArrowDown, kb.Escape)
	b.Until(`document.querySelector("#announce").textContent === "Put back."`)
	shows(b, "Done", "Oil the tools / Dig out the dahlias / Empty the water pipe")
}

func (m *meeting) finger(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	x, y := a.Center(card(a, "Order seed potatoes"))
	a.Touch(card(a, "Swap seeds with the harbour school"),
		`document.querySelector(".ghost")`, x, y-20)
	for _, p := range []browser.Page{a, b} {
		shows(p, "To do", "Swap seeds with the harbour school / Order seed potatoes / "+
			"Label the herb bed / Ask about the compost")
	}
}

func (m *meeting) offline(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	a.Expect("net::ERR_", "WebSocket connection to")
	a.Run(`(async function look() {
		const all = await Promise.all(["/", "/galley.js", "/js/main.js", "/js/board.js", "/style.css"]
			.map((name) => caches.match(name)));
		if (all.every(Boolean)) window.kept = true;
		else setTimeout(look, 15);
	})()`)
	a.Until(`window.kept && navigator.serviceWorker.controller`)
	m.line.Cut()
	a.Until(`!document.querySelector("#line").hidden`)
	a.Run(fmt.Sprintf(`document.querySelector('%s .front').focus()`, card(a, "Label the herb bed")))
	a.Keys(" ", kb.ArrowRight, " ")
	shows(a, "This week", "Cover the beds with leaves / Mend the gate / Label the herb bed")
	a.Run(`document.querySelector(".column[data-list] .more").click()`)
	a.Type(`.compose:not([hidden]) textarea`, "A <b>hose</b>")
	a.Keys(kb.Enter)
	shows(a, "Ideas", "A bench by the old pear tree / Water from the roof of number 12 / A <b>hose</b>")
	a.Until(`document.querySelector("#line").textContent.includes("2 changes wait")`)
	a.Look("offline")
	a.Reload()
	a.Until(`document.querySelectorAll(".card").length === 12`)
	shows(a, "This week", "Cover the beds with leaves / Mend the gate / Label the herb bed")
	shows(a, "Ideas", "A bench by the old pear tree / Water from the roof of number 12 / A <b>hose</b>")
	a.Until(`document.querySelector("#line").textContent.includes("2 changes wait")`)
	m.line.Mend()
	for _, p := range []browser.Page{b, a} {
		shows(p, "This week", "Cover the beds with leaves / Mend the gate / Label the herb bed")
		shows(p, "Ideas", "A bench by the old pear tree / Water from the roof of number 12 / A <b>hose</b>")
	}
	a.Until(`document.querySelector("#line").hidden`)
	a.Reload()
	a.Until(`document.querySelectorAll(".card").length === 12`)
	if got := rows(t, m.app, "cards", `title.contains("hose")`); len(got) != 1 {
		t.Errorf("the card that was written offline is there %d times", len(got))
	}
}

func (m *meeting) write(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	b.Click(card(b, "Mend the gate") + " .front")
	b.Until(`document.querySelector("dialog[open]")`)
	b.Look("card")
	b.Type("#f-title", "Mend the gate, and paint it")
	b.Click("#dialog .button.wide")
	shows(a, "This week", "Cover the beds with leaves / Mend the gate, and paint it / Label the herb bed")
}

func (m *meeting) rename(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	b.Click("#me")
	b.Type("#f-name", "Bodil Lindqvist")
	b.Click("#dialog .button.wide")
	b.Until(`document.querySelector("#me").ariaLabel === "You, Bodil Lindqvist"`)
	for _, where := range []string{"#here", ".card"} {
		a.Until(fmt.Sprintf(`document.querySelector('%s .face[title="Bodil Lindqvist"]')`, where))
	}
}

func (m *meeting) storm(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	for i, p := range []browser.Page{a, b} {
		p.Run(fmt.Sprintf(storm, i+1))
	}
	m.line.Cut()
	a.Until(`window.moved > 10`)
	m.line.Mend()
	for _, p := range []browser.Page{a, b} {
		p.Until(`window.moved === 24`)
		p.Until(`window.waiting === 0`)
	}
	order := `[...document.querySelectorAll(".card")].map((c) => c.dataset.card).join(" ")`
	b.Until(fmt.Sprintf("%s === %q", order, stored(t, m.app)))
	a.Until(fmt.Sprintf("%s === %q", order, stored(t, m.app)))
	b.Reload()
	b.Until(fmt.Sprintf("%s === %q", order, stored(t, m.app)))
}

func (m *meeting) remove(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	a.Click("#people")
	a.Type("#f-email", "nobody@example.com")
	a.Click(".invite .button")
	a.Until(`document.querySelector("#dialog .problem").textContent === "Nobody has signed up with this address."`)
	a.Type("#f-email", "dora@example.com")
	a.Click(".invite .button")
	a.Until(`document.querySelector(".people").textContent.includes("Dora Halas")`)
	a.Look("people")
	a.Run(`[...document.querySelectorAll(".people .row")]
		.find((r) => r.textContent.includes("Bodil Lindqvist")).querySelector("[data-remove]").click()`)
	b.Until(`document.querySelector("#closed") && !document.querySelector(".card")`)
	a.Run(`document.querySelector("#dialog").close()`)
	a.Until(`document.querySelectorAll("#here .face").length === 1`)
	a.Until(`!document.querySelector(".cursor")`)
	b.Click(`#closed .button`)
	b.Until(`document.querySelectorAll(".board[data-board]").length === 1`)
}

func (m *meeting) look(t *testing.T) {
	a, c := m.ana.In(t), m.bo.In(t)
	c.Click("#me")
	c.Click("#sign-out")
	signIn(c, "cleo@example.com")
	c.Until(`document.querySelectorAll(".board[data-board]").length === 1`)
	openGarden(c, 12)
	c.Until(`!document.querySelector(".more").checkVisibility()`)
	mend := card(c, "Mend the gate, and paint it")
	x, y := c.Center(card(c, "Dig out the dahlias"))
	c.Grasp(mend, x, y)
	c.Frame()
	if browser.Value[bool](c, `Boolean(document.querySelector(".ghost"))`) {
		t.Error("a card comes along with who may only look")
	}
	c.Release(x, y)
	c.Run(fmt.Sprintf(`document.querySelector('%s .front').focus()`, mend))
	c.Keys(" ")
	c.Frame()
	if got := browser.Value[string](c, `document.querySelector("#announce").textContent`); got != "" {
		t.Errorf("who may only look is told %q", got)
	}
	a.Click(mend + " .front")
	a.Click("#dialog .button.danger")
	a.Click("#dialog .button.danger")
	c.Until(`document.querySelectorAll(".card").length === 11`)
}

// storm moves cards to places among the others, always the same ones for a seed: most of them
// between the first two of a list, so that the places there become narrow.
const storm = `(async () => {
	const { api } = await import("/js/api.js");
	const { place } = await import("/js/board.js");
	let seed = %d * 7919;
	const chance = (n) => (seed = seed * 48271 %% 2147483647) %% n;
	const cards = () => [...document.querySelectorAll(".card")].map((c) => c.dataset.card);
	const live = api.cards.live({ filter: 'position > -1e13', limit: 500 });
	live.subscribe(() => {});
	while (live.state === "loading") await new Promise((go) => setTimeout(go, 10));
	window.moved = 0;
	window.waiting = 0;
	for (let i = 0; i < 24; i++) {
		const lists = [...document.querySelectorAll(".column[data-list]")].map((c) => c.dataset.list);
		const id = cards()[chance(cards().length)], list = lists[chance(2)];
		const others = live.items.filter((c) => c.list === list && c.id !== id)
			.sort((a, b) => a.position - b.position || (a.id < b.id ? -1 : 1));
		window.waiting++;
		api.cards.update(id, { list, position: place(others, Math.min(1, others.length)) })
			.catch((e) => console.error(e.message)).finally(() => window.waiting--);
		window.moved++;
		await new Promise((go) => setTimeout(go, chance(40)));
	}
})()`

// stored is the order in which the server has the cards of the garden.
func stored(t *testing.T, app *server.Server) string {
	t.Helper()
	var all []string
	lists := rows(t, app, "lists", `board.name == "The shared garden"`)
	for _, list := range lists {
		all = append(all, rows(t, app, "cards", fmt.Sprintf("list == %q", list))...)
	}
	return strings.Join(all, " ")
}

// rows are the ids of what fits, by their places.
func rows(t *testing.T, app *server.Server, collection, filter string) (ids []string) {
	t.Helper()
	out, err := app.Run(t.Context(), "get", collection, "--filter", filter, "--sort", "position",
		"--limit", "500", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for line := range bytes.Lines(out) {
		var one struct{ ID string }
		if err := json.Unmarshal(line, &one); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, one.ID)
	}
	return ids
}
