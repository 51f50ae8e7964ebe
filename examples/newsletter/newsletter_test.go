// Package newsletter_test uses the example newsletter as people do: in a browser and a mailbox,
// on the real server.
package newsletter_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/do/browser"
	"github.com/galleybackend/galley/internal/do/server"
)

// address finds the links of a mail's text.
var address = regexp.MustCompile(`http://[^\s)]+`)

func TestReadersAndEditorInABrowser(t *testing.T) {
	app := server.StartApp(t, "../..", ".", "LINK_KEY=a secret of thirty characters.")
	p := browser.Open(t, app.Address)

	t.Run("who subscribes is asked by mail, and then is on the list", func(t *testing.T) {
		p := p.In(t)
		p.Until(`document.querySelectorAll(".letters li").length === 3`)
		p.Look("front")
		p.Type("#email", "bo@example.com")
		p.Click("#subscribe .button")
		p.Until(`document.querySelector("#asked").textContent.includes("Look into your mail")`)
		p.Look("asked")
		link := address.FindString(app.Mail(t, "bo@example.com"))
		_, path, found := strings.Cut(link, "/#/confirm/")
		if !found {
			t.Fatalf("the mail leads to %q", link)
		}
		p.Go(app.Address + "/#/confirm/" + path[:len(path)-2] + "AA")
		p.Click("#yes")
		p.Until(`document.querySelector("#confirmed .problem").textContent.includes("not valid any more")`)
		p.Go(app.Address + "/#/confirm/" + path)
		p.Until(`document.querySelector("main h2").textContent === "Shall we write to you?" &&
			!document.querySelector("#confirmed .problem")`)
		p.Look("confirm")
		p.Click("#yes")
		p.Until(`document.querySelector("main .note").textContent.includes("bo@example.com")`)
	})

	t.Run("letters can be read", func(t *testing.T) {
		p := p.In(t)
		p.Click(`.bar a[href="#/archive"]`)
		p.Until(`document.querySelectorAll(".letters li").length === 4`)
		p.Click(".letters a")
		p.Until(`document.querySelector(".letter .body").textContent.includes("something warm")`)
		p.Look("letter")
	})

	t.Run("what the editor publishes goes to all readers", func(t *testing.T) {
		p := p.In(t)
		p.Click("#desk")
		p.Type("#f-email", "editor@example.com")
		p.Type("#f-password", "password")
		p.Look("sign-in")
		p.Click("main .button")
		p.Click("#new")
		p.Type("#f-title", "A <b>comet</b>, perhaps")
		p.Type("#f-body", "Low in the west, after sunset.")
		p.Look("desk")
		p.Click("#save")
		p.Click("#publish")
		p.Until(`document.querySelector("main .note").textContent.includes("Published on")`)
		p.Click(`.bar a[href="#/archive"]`)
		p.Until(`document.querySelector(".letters b").textContent === "A <b>comet</b>, perhaps"`)
		for _, reader := range []string{"ana@example.com", "bo@example.com"} {
			app.Arrived(t, reader, "Low in the west")
		}
	})
}
