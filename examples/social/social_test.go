// Package social_test uses the example social as people do: in a browser, on the real server.
package social_test

import (
	"testing"

	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

// signIn signs in by the dialog.
func signIn(p browser.Page, email string) {
	p.Click("#sign-in")
	p.Type("#f-email", email)
	p.Type("#f-password", "password")
	p.Click("#account .button.wide")
	p.Until(`!document.querySelector("#account").open && document.querySelector("#me")`)
}

func TestNeighboursInABrowser(t *testing.T) {
	app := server.StartApp(t, "../..", ".")
	bo, ana := browser.Open(t, app.Address), browser.Open(t, app.Address)

	t.Run("everybody can read, and who likes must sign in", func(t *testing.T) {
		p := bo.In(t)
		p.Until(`document.querySelectorAll(".post").length === 12`)
		p.Until(`document.querySelectorAll("#aside section").length === 2`)
		p.Look("harbour")
		p.Click(".post .like")
		p.Until(`document.querySelector("#account").open`)
		p.Look("sign-in")
		p.Type("#f-email", "bo@example.com")
		p.Type("#f-password", "no password of bo")
		p.Click("#account .button.wide")
		p.Until(`document.querySelector("#account .problem[role=alert]")`)
		p.Click("#account .button.quiet")
		signIn(p, "bo@example.com")
	})

	t.Run("a like is told to the author, while she looks", func(t *testing.T) {
		a, b := ana.In(t), bo.In(t)
		signIn(a, "ana@example.com")
		a.Until(`!document.querySelector("#unseen").hidden`)
		a.Click(`#places a[href="#/you"]`)
		a.Until(`document.querySelectorAll(".told").length > 3`)
		a.Look("news")
		a.Until(`document.querySelector("#unseen").hidden`)
		a.Click(`#places a[href="#/"]`)
		a.Type("#text", "<b>The ice holds.</b>")
		a.Click("#write .button")
		a.Until(`document.querySelector(".post.new .text").textContent === "<b>The ice holds.</b>"`)

		b.Until(`document.querySelector("#fresh")`)
		b.Click("#fresh")
		b.Until(`document.querySelector(".post .text").textContent === "<b>The ice holds.</b>"`)
		b.Click(".post .like")
		b.Until(`document.querySelector(".post .like[aria-pressed=true]").textContent === "1"`)
		a.Until(`document.querySelector("#unseen").textContent === "1 new"`)
		a.Click(`#places a[href="#/you"]`)
		a.Until(`document.querySelector(".told.unseen a").textContent === "Bo Lindqvist"`)

		b.Click(".post .like")
		b.Until(`document.querySelector(".post .like[aria-pressed=false]").textContent === ""`)
	})

	t.Run("an answer stands below its post", func(t *testing.T) {
		p := bo.In(t)
		p.Click(`.post a.at[href^="#/p/"]`)
		p.Until(`document.querySelector(".post.whole")`)
		p.Type("#text", "I would not bet on it.")
		p.Click("#write .button")
		p.Until(`document.querySelectorAll(".post").length === 2`)
		p.Look("post")
		p.Click(".post.new .deed.away")
		p.Click(".post.new .deed.away")
		p.Until(`document.querySelectorAll(".post").length === 1`)
	})

	t.Run("who follows somebody reads him", func(t *testing.T) {
		p := bo.In(t)
		p.Click(`#places a[href="#/feed"]`)
		p.Until(`document.querySelectorAll(".post").length > 0 && document.querySelector("main h1")`)
		if browser.Value[bool](p, `document.querySelector("main").textContent.includes("@cleo")`) {
			t.Error("bo reads cleo, whom he does not follow")
		}
		p.Run(`location.hash = "#/u/cleo"`)
		p.Click("#follow")
		p.Until(`document.querySelector("#follow[aria-pressed=true]")`)
		p.Look("person")
		p.Click(`#places a[href="#/feed"]`)
		p.Until(`document.querySelector("main").textContent.includes("@cleo")`)
	})

	t.Run("people change what they say of themselves, and sign out", func(t *testing.T) {
		p := bo.In(t)
		p.Click("#me")
		p.Click("details summary")
		p.Type("#f-about", "Buns at six.")
		p.Look("about")
		p.Click("details .button")
		p.Until(`document.querySelector(".who").textContent.includes("Buns at six.")`)
		p.Click("#sign-out")
		p.Until(`document.querySelector("#sign-in")`)
		p.Click(`#places a[href="#/feed"]`)
		p.Until(`document.querySelector("main .empty h2").textContent === "Sign in first"`)
	})

	t.Run("who is new comes aboard", func(t *testing.T) {
		p := bo.In(t)
		p.Click("#sign-in")
		p.Click("#account .link")
		p.Type("#f-name", "Gus")
		p.Type("#f-handle", "ana")
		p.Type("#f-email", "gus@example.com")
		p.Type("#f-password", "a long secret")
		p.Click("#account .button.wide")
		p.Until(`document.querySelector("#account .problem")`)
		p.Type("#f-handle", "gus")
		p.Click("#account .button.wide")
		p.Until(`document.querySelector("#me .name").textContent === "Gus"`)
	})
}
