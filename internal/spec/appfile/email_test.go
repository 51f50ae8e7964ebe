package appfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/spec/appfile"
)

const mailApp = `app: shop
auth: {sign_in: [password]}
collections:
  orders: {fields: {customer: users}}
emails:
`

func TestEmailsAreRead(t *testing.T) {
	s, findings := appfile.Parse(map[string][]byte{
		"galley.yaml": []byte(mailApp + `
  # Thanks.
  receipt: {on: orders.created, if: record.customer != null, to: record.customer}
  deals:
    cron: 0 9 * * MON
    to: users.filter(u, u.verified)
    every: 14d
    until: click
`),
		"emails/receipt.html": []byte("Subject: Thanks\n<p>Hello</p>"),
		"emails/deals.html":   []byte("Subject: Deals\n<p>Hello</p>"),
		"emails/deals.txt":    []byte("Hello"),
	})
	if len(findings) > 0 {
		t.Fatal(findings)
	}
	receipt, deals := s.Email("receipt"), s.Email("deals")
	if receipt.On == nil || receipt.On.Collection != "orders" || receipt.On.Event != "created" ||
		receipt.To.Source != "record.customer" || receipt.Doc != "Thanks." || receipt.Marketing() {
		t.Errorf("receipt is %+v", receipt)
	}
	if deals.Cron == nil || deals.Every != 14*24*time.Hour || !deals.UntilClick ||
		!deals.Marketing() || deals.Plain.Source != "Hello" {
		t.Errorf("deals is %+v", deals)
	}
}

func TestWrongEmailsAreToldAtTheirPlaces(t *testing.T) {
	for _, c := range []struct{ name, yaml, want string }{
		{"no template", "  gone: {on: orders.created, to: record.customer}",
			"6:3 there is no template emails/gone.html"},
		{"unknown collection", "  receipt: {on: order.created, to: record.customer}",
			`6:17 on names no collection "order"; did you mean orders?`},
		{"unknown event", "  receipt: {on: orders.create, to: record.customer}",
			`6:24 on names no event "create" of orders; did you mean created?`},
		{"no recipient", "  receipt: {on: orders.created}", "6:3 receipt says not to whom"},
		{"two causes", "  receipt: {on: orders.created, cron: 0 9 * * *, to: record.customer}",
			"6:39 an email has on or cron, not both"},
		{"if without on", "  receipt: {cron: 0 9 * * *, to: users, if: true}",
			"6:45 if narrows on, and there is no on"},
		{"wrong schedule", "  receipt: {cron: 0 25 * * *, to: users}",
			`6:19 "25" is no hour, which lies between 0 and 23`},
		{"wrong end", "  receipt: {on: orders.created, to: record.customer, until: clik}",
			`6:61 unknown end "clik" of an email; did you mean click?`},
		{"wrong span", "  receipt: {on: orders.created, to: record.customer, every: 1s}",
			"6:61 every lies between 1m and 1825d"},
		{"unknown key", "  receipt: {on: orders.created, too: record.customer, to: record.customer}",
			`6:33 receipt has no key "too"`},
		{"a stray template", "  receip: {on: orders.created, to: record.customer}",
			"there is a template for the email receipt, but the app file has no such email"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, findings := appfile.Parse(map[string][]byte{
				"galley.yaml":         []byte(mailApp + c.yaml + "\n"),
				"emails/receipt.html": []byte("Subject: Thanks\n"),
			})
			var said []string
			for _, f := range findings {
				text := fmt.Sprintf("%d:%d %s", f.Pos.Line, f.Pos.Column, f.Message)
				if f.Help != "" {
					text += "; " + f.Help
				}
				said = append(said, text)
			}
			if !strings.Contains(strings.Join(said, "\n"), c.want) {
				t.Errorf("got %s\nwant %s", strings.Join(said, "\n"), c.want)
			}
		})
	}
}
