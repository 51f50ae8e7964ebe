// Package chat_test uses the example chat as people do: two at once, each in a browser of his
// own, on the real server.
package chat_test

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp/kb"

	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

func signIn(p browser.Page, email string) {
	p.Click("#sign-in")
	p.Type("#f-email", email)
	p.Type("#f-password", "password")
	p.Click("#dialog .button.wide")
	p.Until(`document.querySelector("#me") && document.querySelectorAll(".room").length === 4`)
}

// enter opens a room by its entry at the side.
func enter(p browser.Page, room string) {
	p.Run(fmt.Sprintf(`[...document.querySelectorAll(".room")]
		.find((r) => r.textContent.startsWith(%q)).click()`, room))
	p.Until(fmt.Sprintf(`document.querySelector("main h1").textContent === %q`, room))
}

// unread is the expression of what a room's entry says is unread.
func unread(room string) string {
	return fmt.Sprintf(`([...document.querySelectorAll(".room")]
		.find((r) => r.textContent.startsWith(%q)).querySelector(".unread")?.textContent ?? "")`, room)
}

// last is the expression of the newest messages, the newest one last.
func last(n int) string {
	return fmt.Sprintf(`[...document.querySelectorAll(".message .text")].slice(-%d)
		.map((t) => t.textContent).join(" / ")`, n)
}

func write(p browser.Page, text string) {
	p.Type("#text", text)
	p.Keys(kb.Enter)
}

// meeting is of Ana, and Bo over a line that breaks.
type meeting struct {
	line    *browser.Line
	ana, bo browser.Page
}

func TestARoomInTwoBrowsers(t *testing.T) {
	app := server.StartApp(t, "../..", ".")
	m := &meeting{line: browser.NewLine(t, app.Address), ana: browser.Open(t, app.Address)}
	m.bo = m.ana.Beside(t, m.line.Address)
	for _, p := range []browser.Page{m.ana, m.bo} {
		p.Expect("galley: ") // a call that is told no is told in the console, too
	}
	for _, step := range []struct {
		what string
		do   func(*testing.T)
	}{
		{"what was not read is counted, until it is", m.unread},
		{"who is writing is seen, and then what he wrote", m.write},
		{"what is said in another room is counted there", m.elsewhere},
		{"history is read upward without a gap, and a reload keeps it", m.history},
		{"what is written offline is seen at once, and arrives once", m.offline},
		{"what is taken back is read by nobody, however long ago it was said", m.takeBack},
		{"who comes in reads what was said, and who leaves nothing more", m.comeIn},
		{"a room of one's own is made, and others find it", m.make},
	} {
		if !t.Run(step.what, step.do) {
			return // each goes on where the one before ended
		}
	}
}

func (m *meeting) unread(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	a.Look("welcome")
	signIn(a, "ana@example.com")
	a.Until(unread("Quay") + ` === "9 unread"`)
	a.Until(`document.title.startsWith("(9)")`)
	a.Look("rooms")
	enter(a, "Quay")
	a.Until(last(1) + ` === "Then I will stay for another coffee."`)
	a.Until(unread("Quay") + ` === ""`)
	a.Until(`document.querySelector(".day.fresh + .message").textContent.includes("The 17:30 is in.")`)
	a.Look("room")
	signIn(b, "bo@example.com")
	enter(b, "Quay")
	for _, p := range []browser.Page{a, b} {
		p.Until(`document.querySelector("#count").textContent === "5 people, 2 here"`)
	}
}

func (m *meeting) write(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	// It is gone again after a while: who looks late would miss it.
	b.Run(`window.wrote = [];
		new MutationObserver(() => wrote.push(document.querySelector("#typing")?.textContent))
			.observe(document.body, { childList: true, characterData: true, subtree: true })`)
	a.Type("#text", "Has anybody")
	b.Until(`wrote.includes("Ana is writing…")`)
	write(a, "Has anybody seen <i>my</i> umbrella?")
	for _, p := range []browser.Page{a, b} {
		p.Until(last(2) + ` === "Then I will stay for another coffee. / Has anybody seen <i>my</i> umbrella?"`)
	}
	b.Until(`document.querySelector("#typing").textContent === ""`)
	a.Until(`!document.querySelector(".message.coming")`)
	b.Until(unread("Quay") + ` === ""`)
}

func (m *meeting) elsewhere(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	enter(b, "Kitchen")
	write(a, "The green one.")
	write(a, "With a duck's head.")
	b.Until(unread("Quay") + ` === "2 unread"`)
	b.Until(`document.title.startsWith("(2) Kitchen")`)
	enter(b, "Quay")
	b.Until(last(1) + ` === "With a duck's head."`)
	b.Until(unread("Quay") + ` === ""`)
	b.Until(`document.title.startsWith("Quay")`)
}

func (m *meeting) history(t *testing.T) {
	p := m.ana.In(t)
	p.Reload()
	p.Until(last(1) + ` === "With a duck's head."`)
	numbers := `[...document.querySelectorAll(".message")].map((m) => Number(m.dataset.number))`
	// The server says 40, and what the page had kept before its last messages came may reach
	// a little farther up.
	p.Until(numbers + `.length >= 40 && ` + numbers + `.every((n, i, all) => n === 47 - all.length + i)`)
	p.Run(`document.querySelector("#scroll").scrollTop = 0`)
	p.Until(numbers + `.length === 46 && ` + numbers + `.every((n, i) => n === i + 1)`)
	p.Until(`document.querySelector("#start").textContent === "This is where Quay begins."`)
}

func (m *meeting) offline(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	b.Expect("net::ERR_", "WebSocket connection to")
	m.line.Cut()
	b.Until(`!document.querySelector("#line").hidden`)
	write(b, "I am in the tunnel.")
	write(b, "Nobody hears me.")
	b.Until(last(2) + ` === "I am in the tunnel. / Nobody hears me."`)
	b.Until(`document.querySelectorAll(".message.coming").length === 2`)
	b.Until(`document.querySelector("#line").textContent === "Offline. 2 things wait to be sent"`)
	b.Look("offline")
	write(a, "Where is Bo?")
	a.Until(last(1) + ` === "Where is Bo?" && !document.querySelector(".message.coming")`)
	m.line.Mend()
	for _, p := range []browser.Page{a, b} {
		p.Until(last(3) + ` === "Where is Bo? / I am in the tunnel. / Nobody hears me."`)
	}
	b.Until(`!document.querySelector(".message.coming") && document.querySelector("#line").hidden`)
}

func (m *meeting) takeBack(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	for _, words := range []string{"Where is Bo?", "Thank you, Emil."} {
		a.Run(fmt.Sprintf(`[...document.querySelectorAll(".message")]
			.find((m) => m.textContent.includes(%q)).querySelector(".back-button").click()`, words))
		a.Click("#dialog .button.wide")
		a.Until(`!document.querySelector("dialog[open]")`)
	}
	for _, p := range []browser.Page{a, b} {
		p.Until(last(3) + ` === "This was taken back. / I am in the tunnel. / Nobody hears me."`)
	}
	a.Until(`document.querySelectorAll(".text.gone").length === 2`)
	numbers := `[...document.querySelectorAll(".message")].map((m) => Number(m.dataset.number))`
	a.Until(numbers + `.length === 49 && ` + numbers + `.every((n, i) => n === i + 1)`)
}

func (m *meeting) comeIn(t *testing.T) {
	p := m.ana.In(t)
	enter(p, "Choir")
	p.Look("door")
	p.Click("#enter")
	p.Until(last(1) + ` === "You? Low."`)
	if got := browser.Value[string](p, unread("Choir")); got != "" {
		t.Errorf("who just came in has %s", got)
	}
	p.Click("#room-menu")
	p.Click("#leave")
	p.Until(`document.querySelector("#enter") && !document.querySelector(".message")`)
}

func (m *meeting) make(t *testing.T) {
	a, b := m.ana.In(t), m.bo.In(t)
	a.Click("#new-room")
	a.Type("#f-name", "Quay")
	a.Click("#dialog .button.wide")
	a.Until(`document.querySelector("#dialog .problem")`)
	a.Type("#f-name", "Umbrellas")
	a.Click("#dialog .button.wide")
	a.Until(`document.querySelector("main h1").textContent === "Umbrellas"`)
	b.Until(`[...document.querySelectorAll(".room")].some((r) => r.textContent === "Umbrellas")`)
}
