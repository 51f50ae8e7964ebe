package app_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

const mailBase = `app: shop
currency: EUR
auth: {sign_in: [password]}
define:
  keen(u): u.deals && u.verified
collections:
  users: {fields: {name: string, deals: {type: bool, default: true}}}
  discounts: {fields: {percent: int}}
  orders:
    fields: {customer: users, total: money, discount: discounts?, to: email}
emails:
`

func compileMail(t *testing.T, emails, page string) (*app.App, string) {
	t.Helper()
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(mailBase + emails + "\n"),
		"emails/receipt.html": []byte(page)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	a, findings := app.Compile(s, nil, nil)
	said := ""
	for _, f := range findings {
		if f.Severity == spec.Error {
			said += fmt.Sprintf("%s:%d:%d %s; %s\n", f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message, f.Help)
		}
	}
	return a, said
}

func TestEmailsGoToAUserAnAddressOrASet(t *testing.T) {
	const page = "Subject: Order of {{.record.total}}\n{{.record.customer.name}} {{money .record.total}}"
	for _, c := range []struct {
		name, to                string
		one, address, set, many bool
	}{
		{"a user", "on: orders.created, to: record.customer", true, false, false, false},
		{"an address", "on: orders.created, to: record.to", true, true, false, false},
		{"an address of a user", "on: orders.created, to: record.customer.email", true, true, false, false},
		{"a written address", `on: orders.created, to: "'boss@example.com'"`, true, true, false, false},
		{"a set", "on: orders.created, to: 'users.filter(u, u.deals && u != record.customer)'", false, false, true, true},
		{"a set by a named rule", "on: orders.created, to: 'users.filter(u, keen(u))'", false, false, true, true},
		{"with a rhythm", "on: orders.created, to: record.customer, every: 1d", true, false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, said := compileMail(t, "  receipt: {"+c.to+"}", page)
			if said != "" {
				t.Fatal(said)
			}
			e := a.Email("receipt")
			if (e.To != nil) != c.one || e.Address != c.address || (e.Set != nil) != c.set ||
				e.Marketing() != c.many || e.Template == nil {
				t.Errorf("the email is %+v", e)
			}
		})
	}
}

func TestWrongEmailsAreFoundByCheck(t *testing.T) {
	const right = "Subject: x\n"
	for _, c := range []struct{ name, email, page, want string }{
		{"to a number", "on: orders.created, to: record.total", right,
			"galley.yaml:12:37 emails.receipt.to: this is a money, but a user, an address or a set"},
		{"to a discount", "on: orders.created, to: record.discount", right, "but a user, an address"},
		{"to a set of orders", "on: orders.created, to: orders", right, "this is a set of orders"},
		{"to an unknown field", "on: orders.created, to: record.custmer", right, "did you mean customer"},
		{"in a set", "cron: 0 9 * * *, to: 'users.filter(u, u.deal)'", right, "did you mean deals"},
		{"a record of the clock", "cron: 0 9 * * *, to: 'users.filter(u, record.total > 1)'", right, "record"},
		{"if is no bool", "on: orders.created, to: record.customer, if: record.total", right, "bool"},
		{"a wrong field", "on: orders.created, to: record.customer", "Subject: x\n{{.record.customer.nam}}",
			"emails/receipt.html:2:3 there is no .record.customer.nam here; did you mean name?"},
		{"what may be empty", "on: orders.created, to: record.customer",
			"Subject: x\n{{.record.discount.percent}}", "emails/receipt.html:2:3 what is looked into may be empty"},
		{"a user who may be none", "on: orders.created, to: record.to", "Subject: x\n{{.user.name}}",
			"emails/receipt.html:2:3 what is looked into may be empty"},
		{"a record that none is", "cron: 0 9 * * *, to: users", "Subject: x\n{{.record.total}}",
			"emails/receipt.html:2:3"},
		{"a record that code gives", "", "Subject: x\n{{.record.total}} {{.data.x}}", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, said := compileMail(t, "  receipt: {"+c.email+"}", c.page)
			if !strings.Contains(said, c.want) || c.want == "" && said != "" {
				t.Errorf("got %s\nwant %s", said, c.want)
			}
		})
	}
}
