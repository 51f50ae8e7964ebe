// Package kanban_test uses the example kanban as people do: several of them at once, each in a
// browser of his own, on the real server.
package kanban_test

import (
	"fmt"
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

func openGarden(p browser.Page) {
	p.Until(`[...document.querySelectorAll(".board")].some((b) => b.textContent === "The shared garden")`)
	p.Run(`[...document.querySelectorAll(".board")].find((b) => b.textContent === "The shared garden").click()`)
	p.Until(`document.querySelectorAll(".card").length === 11`)
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
	line := browser.NewLine(t, app.Address)
	ana := browser.Open(t, line.Address)
	bo := ana.Beside(t, app.Address)
	for _, p := range []browser.Page{ana, bo} {
		p.Expect("galley: ") // a call that is told no is told in the console, too
	}

	t.Run("who is there is seen, and where everybody points", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		a.Look("welcome")
		signIn(a, "ana@example.com")
		a.Look("boards")
		openGarden(a)
		signIn(b, "bo@example.com")
		openGarden(b)
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
	})

	t.Run("a card that one drags moves for the other", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
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
	})

	t.Run("a card is moved with keys, and what it does is said", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
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
	})

	t.Run("a card is carried by a finger that rests on it", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		x, y := a.Center(card(a, "Order seed potatoes"))
		a.Touch(card(a, "Swap seeds with the harbour school"),
			`document.querySelector(".ghost")`, x, y-20)
		for _, p := range []browser.Page{a, b} {
			shows(p, "To do", "Swap seeds with the harbour school / Order seed potatoes / "+
				"Label the herb bed / Ask about the compost")
		}
	})

	t.Run("what is written offline is seen at once, and arrives once", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		a.Expect("net::ERR_", "WebSocket connection to")
		line.Cut()
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
		line.Mend()
		for _, p := range []browser.Page{b, a} {
			shows(p, "This week", "Cover the beds with leaves / Mend the gate / Label the herb bed")
			shows(p, "Ideas", "A bench by the old pear tree / Water from the roof of number 12 / A <b>hose</b>")
		}
		a.Until(`document.querySelector("#line").hidden`)
		a.Reload()
		a.Until(`document.querySelectorAll(".card").length === 12`)
		out, err := app.Run(t.Context(), "get", "cards", "--filter", `title.contains("hose")`, "--json")
		if err != nil || countLines(out) != 1 {
			t.Errorf("the card that was written offline: %v\n%s", err, out)
		}
	})

	t.Run("what one writes in a card the other reads", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		b.Click(card(b, "Mend the gate") + " .front")
		b.Until(`document.querySelector("dialog[open]")`)
		b.Look("card")
		b.Type("#f-title", "Mend the gate, and paint it")
		b.Click("#dialog .button.wide")
		shows(a, "This week", "Cover the beds with leaves / Mend the gate, and paint it / Label the herb bed")
	})

	t.Run("who is invited comes in, who is removed has the board closed", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		a.Click("#people")
		a.Type("#f-email", "nobody@example.com")
		a.Click(".invite .button")
		a.Until(`document.querySelector("#dialog .problem").textContent === "Nobody has signed up with this address."`)
		a.Type("#f-email", "dora@example.com")
		a.Click(".invite .button")
		a.Until(`document.querySelector(".people").textContent.includes("Dora Halas")`)
		a.Look("people")
		a.Run(`[...document.querySelectorAll(".people .row")]
			.find((r) => r.textContent.includes("Bo Lindqvist")).querySelector("[data-remove]").click()`)
		b.Until(`document.querySelector("#closed") && !document.querySelector(".card")`)
		b.Look("closed")
		a.Run(`document.querySelector("#dialog").close()`)
		a.Until(`document.querySelectorAll("#here .face").length === 1`)
		a.Until(`!document.querySelector(".cursor")`)
		b.Click(`#closed .button`)
		b.Until(`document.querySelectorAll(".board[data-board]").length === 1`)
	})
}

func countLines(out []byte) (lines int) {
	for _, c := range out {
		if c == '\n' {
			lines++
		}
	}
	return lines
}
