package serve

import (
	"bytes"
	"html"
	"io"
	"mime/quotedprintable"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
)

// mailed is an app that sends a receipt, and an offer until somebody follows it.
const mailed = `app: mailed
currency: EUR
auth: {sign_in: [password], sign_up: {fields: []}}
collections:
  users: {allow: {read: record == auth}}
  orders:
    fields: {customer: {type: users, set: auth}, total: money}
    allow: {create: {if: auth != null, fields: [total]}}
emails:
  receipt: {on: orders.created, to: record.customer}
  offer: {on: orders.created, if: record.total > 100, to: record.customer, every: 1h, until: click}
-- emails/receipt.html --
Subject: Your order of {{money .record.total}}
<p>Thank you, {{.user.email}}. <a href="{{link "/orders"}}">Orders</a></p>
-- emails/offer.html --
Subject: An offer
<p><a href="{{link "/offer?a=1&b=2"}}">See</a></p>
`

var (
	listUnsubscribe = regexp.MustCompile(`(?s)List-Unsubscribe:\s*<([^>]*)>`)
	linkOf          = regexp.MustCompile(`href="([^"]*)"`)
)

// decoded returns the decoded body of a message.
func decoded(t *testing.T, m smtptest.Message) string {
	t.Helper()
	text, err := io.ReadAll(quotedprintable.NewReader(bytes.NewReader(m.Source)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAMailGoesOutAndItsLinksComeBack(t *testing.T) { onEach(t, aMailGoesOutAndItsLinksComeBack) }

func aMailGoesOutAndItsLinksComeBack(t *testing.T, join joining) {
	s := smtptest.New(t, smtptest.Options{User: "ana", Password: "marked-password"})
	t.Setenv(config.MailServerEnv, "smtp://ana:marked-password@"+s.Addr)
	t.Setenv(config.MailFromEnv, "The shop <hello@shop.example>")
	t.Setenv(config.URLEnv, "https://shop.example/")
	x := openNodes(t, join, 2, mailed)
	token := x.signUp(x.proxy.URL, "bo@example.com")
	x.want("an order", x.ask(x.proxy.URL, http.MethodPost, "/api/orders", token, "k1", `{"total":1990}`), 201)

	var receipt, offer smtptest.Message
	for _, m := range s.Wait(2) {
		if bytes.Contains(m.Source, []byte("Subject: Your order of 19.90 EUR\r\n")) {
			receipt = m
		} else {
			offer = m
		}
	}
	if receipt.To != "bo@example.com" || receipt.From != "hello@shop.example" ||
		!strings.Contains(decoded(t, receipt), `<a href="https://shop.example/orders">`) ||
		!bytes.Contains(receipt.Source, []byte("From: \"The shop\" <hello@shop.example>\r\n")) {
		t.Errorf("the receipt is %s", receipt.Source)
	}
	m := linkOf.FindStringSubmatch(decoded(t, offer))
	if m == nil {
		t.Fatalf("the offer is %s", offer.Source)
	}
	path, ok := strings.CutPrefix(html.UnescapeString(m[1]), "https://shop.example")
	if !ok {
		t.Fatalf("the offer links to %s", m[1])
	}
	http.DefaultClient.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	t.Cleanup(func() { http.DefaultClient.CheckRedirect = nil })
	r := x.ask(x.proxy.URL, http.MethodGet, path, "", "", "")
	x.want("a click", r, http.StatusFound)
	if to := r.header.Get("Location"); to != "https://shop.example/offer?a=1&b=2" {
		t.Errorf("the click leads to %s", to)
	}
	x.want("a forged click", x.ask(x.proxy.URL, http.MethodGet, strings.Replace(path, "offer", "other", 1), "", "", ""), 404)
	x.want("the pages", x.ask(x.proxy.URL, http.MethodGet, "/_/emails", "", "", ""), 404)

	way := listUnsubscribe.FindStringSubmatch(string(offer.Source))
	if way == nil {
		t.Fatalf("the offer has no way out: %s", offer.Source)
	}
	path = strings.TrimPrefix(way[1], "https://shop.example")
	x.want("a look", x.ask(x.proxy.URL, http.MethodGet, path, "", "", ""), 200)
	x.want("one click", x.ask(x.proxy.URL, http.MethodPost, path, "", "", "List-Unsubscribe=One-Click"), 200)

	x.want("an order", x.ask(x.proxy.URL, http.MethodPost, "/api/orders", token, "k2", `{"total":1990}`), 201)
	s.Wait(3)
	n := x.all[0]
	letters := []mail.Letter{}
	for len(letters) == 0 {
		var err error
		if letters, err = n.mails.List(t.Context(), mail.Filter{State: mail.Held}); err != nil {
			t.Fatal(err)
		}
	}
	if letters[0].Email != "offer" || letters[0].Why != "unsubscribed" {
		t.Errorf("what is held is %+v", letters)
	}
	if len(s.Mails()) != 3 || strings.Contains(x.log.String(), "marked-password") {
		t.Errorf("the server took %d mails", len(s.Mails()))
	}
}

func TestAServerSaysHowMailsAreSentOrDoesNotStart(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, mailed)
	cfg := Config{Config: config.Config{App: dir, Data: dir + "/data", Limits: "off"}}
	_, err := Open(t.Context(), cfg)
	if f := fault.From(err); err == nil || f.Code != config.CodeMissingMail ||
		!strings.Contains(f.Message, config.MailServerEnv) {
		t.Fatalf("it opens with %v", err)
	}
	t.Setenv(config.MailServerEnv, config.MailServerMailbox)
	t.Setenv(config.MailFromEnv, "hello@shop.example")
	t.Setenv(config.URLEnv, "https://shop.example")
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
