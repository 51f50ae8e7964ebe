// Package flights_test uses the example flights as people do: two who want the same seat, each
// in a browser of his own, on the real server.
package flights_test

import (
	"fmt"
	"testing"

	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

func signIn(p browser.Page, email string) {
	p.Click("#sign-in")
	p.Type("#f-email", email)
	p.Type("#f-password", "password")
	p.Click("#dialog .button.wide")
	p.Until(`document.querySelector("#wallet")?.textContent === "€1,000.00"`)
}

// open opens the next departure of a flight's number.
func open(p browser.Page, number string, seats int) {
	p.Run(`location.hash = "#/"`)
	p.Type("#q", number)
	flight := fmt.Sprintf(`document.querySelector('.flight[data-number="%s"]')`, number)
	p.Until(flight)
	p.Run(flight + `.click()`)
	p.Until(fmt.Sprintf(`document.querySelectorAll(".seat").length === %d`, seats))
}

// kinds is the expression of what the seats are, from the front to the back: how a map looks to
// one who has no part in it.
const kinds = `[...document.querySelectorAll(".seat")].map((s) => s.dataset.kind
	.replace("mine", "held").replace("bought", "sold")).join(" ")`

func TestTheLastSeatInTwoBrowsers(t *testing.T) {
	app := server.StartApp(t, "../..", ".")
	ana := browser.Open(t, app.Address)
	bo := ana.Beside(t, app.Address)
	both := []browser.Page{ana, bo}
	for _, p := range both {
		p.Expect("galley: ") // a call that is told no is told in the console, too
	}
	agree := func(t *testing.T) {
		t.Helper()
		bo.In(t).Until(fmt.Sprintf("%s === %q", kinds, browser.Value[string](ana.In(t), kinds)))
	}

	t.Run("everybody sees what flies, and who takes a seat must sign in", func(t *testing.T) {
		p := ana.In(t)
		p.Until(`document.querySelectorAll(".flight").length > 60`)
		p.Look("departures")
		p.Type("#q", "westray united")
		p.Until(`document.querySelectorAll(".flight").length === 6`)
		p.Type("#q", "nowhere")
		p.Until(`document.querySelector("#flights").textContent === "No flight fits."`)
		p.Type("#q", "wry")
		p.Until(`document.querySelector(".flight[data-number='GA 101'] .left").textContent === "Last seat"`)
		open(p, "GA 101", 8)
		p.Until(`document.querySelectorAll('.seat[data-kind="free"]').length === 1`)
		p.Click(`.seat[data-kind="free"]`)
		p.Until(`document.querySelector("dialog[open] #f-email")`)
		p.Run(`document.querySelector("#dialog").close()`)
	})

	t.Run("two press the last seat at once: one has it, the other is told", func(t *testing.T) {
		for i, email := range []string{"ana@example.com", "bo@example.com"} {
			p := both[i].In(t)
			signIn(p, email)
			open(p, "GA 101", 8)
			p.Until(`document.querySelectorAll('.seat[data-kind="free"]').length === 1`)
		}
		at := browser.Value[float64](ana.In(t), `Date.now() + 500`)
		for _, p := range both {
			p.In(t).Run(fmt.Sprintf(`{
				const seat = document.querySelector('.seat[data-kind="free"]');
				setTimeout(() => seat.click(), %f - Date.now());
			}`, at))
		}
		for _, p := range both {
			p.In(t).Until(`document.querySelector("#pay") || document.querySelector("#problem .problem")`)
		}
		had := 0
		for i, p := range both {
			if browser.Value[bool](p.In(t), `Boolean(document.querySelector("#pay"))`) {
				had++
				both[0], both[1] = both[i], both[1-i]
			}
		}
		if had != 1 {
			t.Fatalf("%d of two have the last seat", had)
		}
		winner, loser := both[0].In(t), both[1].In(t)
		loser.Until(`document.querySelector("#problem").textContent.includes("somebody else")`)
		winner.Until(`document.querySelectorAll('.seat[data-kind="mine"]').length === 1`)
		loser.Until(`document.querySelectorAll('.seat[data-kind="held"]').length === 1`)
		for _, p := range both {
			p.In(t).Until(`document.querySelector("#left").textContent === "Sold out"`)
		}
		agree(t)
		loser.Look("too-late")
	})

	t.Run("what is paid for is sold, in the moment in which it is paid", func(t *testing.T) {
		winner, loser := both[0].In(t), both[1].In(t)
		winner.Click("#pay")
		winner.Until(`document.querySelector("#wallet").textContent === "€983.00"`)
		winner.Until(`document.querySelector(".bought").textContent.startsWith("Yours: ")`)
		loser.Until(`!document.querySelector('.seat[data-kind="held"]')`)
		agree(t)
		winner.Click(`#places a[href="#/bookings"]`)
		winner.Until(`document.querySelector(".ticket b").textContent === "Westray → Papa Westray"`)
		winner.Look("bookings")
		loser.Until(`document.querySelector("#wallet").textContent === "€1,000.00"`)
		email := map[browser.Page]string{ana: "ana@example.com", bo: "bo@example.com"}[both[0]]
		app.Arrived(t, email, "Have a good flight")
	})

	t.Run("what is given back is free for the other", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		for _, p := range []browser.Page{a, b} {
			open(p, "GA 102", 8)
		}
		before := browser.Value[string](b, kinds)
		a.Click(`.seat[data-kind="free"]`)
		b.Until(fmt.Sprintf("%s !== %q", kinds, before))
		agree(t)
		b.Click(`.seat[data-kind="held"]`)
		b.Until(`document.querySelector("#problem").textContent.includes("held by somebody else")`)
		a.Click(".chosen .link")
		b.Until(fmt.Sprintf("%s === %q", kinds, before))
		agree(t)
	})

	t.Run("who cannot pay is told, and keeps what he holds", func(t *testing.T) {
		p := ana.In(t)
		open(p, "GA 106", 315)
		for range 3 {
			p.Click(`.seat[data-kind="free"]`)
		}
		p.Until(`document.querySelector("#pay").textContent.startsWith("Pay €1,287.00")`)
		p.Click("#pay")
		p.Until(`document.querySelector("#problem").textContent === "Your wallet balance is too low."`)
		p.Until(`document.querySelectorAll('.seat[data-kind="mine"]').length === 3`)
		p.Look("wide-body")
	})
}
