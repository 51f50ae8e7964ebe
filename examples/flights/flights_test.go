// Package flights_test uses the example flights as people do: two who want the same seat, each
// in a browser of his own, on the real server.
package flights_test

import (
	"fmt"
	"testing"
	"time"

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

// meeting is of two who want the same seat. Once it is decided, who has it comes first in both.
type meeting struct {
	app     *server.Server
	ana, bo browser.Page
	both    []browser.Page
}

// agree waits until both maps look the same. Either may be the one that is late.
func (m *meeting) agree(t *testing.T) {
	t.Helper()
	for late := time.Now().Add(time.Minute); ; {
		ana, bo := browser.Value[string](m.ana.In(t), kinds), browser.Value[string](m.bo.In(t), kinds)
		if ana == bo {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("Ana sees %s, and Bo %s", ana, bo)
		}
	}
}

func TestTheLastSeatInTwoBrowsers(t *testing.T) {
	app := server.StartApp(t, "../..", ".")
	ana := browser.Open(t, app.Address)
	m := &meeting{app: app, ana: ana, bo: ana.Beside(t, app.Address)}
	m.both = []browser.Page{m.ana, m.bo}
	for _, p := range m.both {
		p.Expect("galley: ") // a call that is told no is told in the console, too
	}
	for _, step := range []struct {
		what string
		do   func(*testing.T)
	}{
		{"everybody sees what flies, and who takes a seat must sign in", m.arrive},
		{"two press the last seat at once: one has it, the other is told", m.race},
		{"what is paid for is sold, in the moment in which it is paid", m.pay},
		{"what is given back is free for the other", m.giveBack},
		{"who cannot pay is told, and keeps what he holds", m.tooDear},
	} {
		if !t.Run(step.what, step.do) {
			return // each goes on where the one before ended
		}
	}
}

func (m *meeting) arrive(t *testing.T) {
	p := m.ana.In(t)
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
}

func (m *meeting) race(t *testing.T) {
	for i, email := range []string{"ana@example.com", "bo@example.com"} {
		p := m.both[i].In(t)
		signIn(p, email)
		open(p, "GA 101", 8)
		p.Until(`document.querySelectorAll('.seat[data-kind="free"]').length === 1`)
	}
	at := browser.Value[float64](m.ana.In(t), `Date.now() + 500`)
	for _, p := range m.both {
		p.In(t).Run(fmt.Sprintf(`{
			const seat = document.querySelector('.seat[data-kind="free"]');
			setTimeout(() => seat.click(), %f - Date.now());
		}`, at))
	}
	for _, p := range m.both {
		p.In(t).Until(`document.querySelector("#pay") || document.querySelector("#problem .problem")`)
	}
	had := 0
	for i, p := range m.both {
		if browser.Value[bool](p.In(t), `Boolean(document.querySelector("#pay"))`) {
			had++
			m.both[0], m.both[1] = m.both[i], m.both[1-i]
		}
	}
	if had != 1 {
		t.Fatalf("%d of two have the last seat", had)
	}
	winner, loser := m.both[0].In(t), m.both[1].In(t)
	loser.Until(`document.querySelector("#problem").textContent.includes("somebody else")`)
	winner.Until(`document.querySelectorAll('.seat[data-kind="mine"]').length === 1`)
	loser.Until(`document.querySelectorAll('.seat[data-kind="held"]').length === 1`)
	for _, p := range m.both {
		p.In(t).Until(`document.querySelector("#left").textContent === "Sold out"`)
	}
	m.agree(t)
	loser.Look("too-late")
}

func (m *meeting) pay(t *testing.T) {
	winner, loser := m.both[0].In(t), m.both[1].In(t)
	winner.Click("#pay")
	winner.Until(`document.querySelector("#wallet").textContent === "€983.00"`)
	winner.Until(`document.querySelector(".bought").textContent.startsWith("Yours: ")`)
	loser.Until(`!document.querySelector('.seat[data-kind="held"]')`)
	m.agree(t)
	winner.Click(`#places a[href="#/bookings"]`)
	winner.Until(`document.querySelector(".ticket b").textContent === "Westray → Papa Westray"`)
	winner.Look("bookings")
	loser.Until(`document.querySelector("#wallet").textContent === "€1,000.00"`)
	email := map[browser.Page]string{m.ana: "ana@example.com", m.bo: "bo@example.com"}[m.both[0]]
	m.app.Arrived(t, email, "Have a good flight")
}

func (m *meeting) giveBack(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	for _, p := range []browser.Page{a, b} {
		open(p, "GA 102", 8)
	}
	before := browser.Value[string](b, kinds)
	a.Click(`.seat[data-kind="free"]`)
	b.Until(fmt.Sprintf("%s !== %q", kinds, before))
	m.agree(t)
	b.Click(`.seat[data-kind="held"]`)
	b.Until(`document.querySelector("#problem").textContent.includes("held by somebody else")`)
	a.Click(".chosen .link")
	b.Until(fmt.Sprintf("%s === %q", kinds, before))
	m.agree(t)
}

func (m *meeting) tooDear(t *testing.T) {
	p := m.ana.In(t)
	open(p, "GA 106", 315)
	for range 3 {
		p.Click(`.seat[data-kind="free"]`)
	}
	p.Until(`document.querySelector("#pay").textContent.startsWith("Pay €1,287.00")`)
	p.Click("#pay")
	p.Until(`document.querySelector("#problem").textContent === "Your wallet balance is too low."`)
	p.Until(`document.querySelectorAll('.seat[data-kind="mine"]').length === 3`)
	p.Look("wide-body")
}
