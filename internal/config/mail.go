package config

import (
	netmail "net/mail"
	"net/url"
	"os"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/outbound"
)

// The variables of the environment that mail needs.
const (
	// MailServerEnv has the address of the mail server,
	// smtp://USER:PASSWORD@HOST:587 or smtps://…, or MailServerMailbox.
	MailServerEnv = "GALLEY_SMTP_URL"
	// MailFromEnv has who writes: hello@shop.example or Shop <hello@shop.example>.
	MailFromEnv = "GALLEY_MAIL_FROM"
	// URLEnv has the public address of the app, https://shop.example, which links in
	// mails begin with. The name by which a request came is never believed.
	URLEnv = "GALLEY_URL"
)

// MailServerMailbox keeps mails in the mailbox, where nobody gets them: for trials of a
// server before it is in use.
const MailServerMailbox = "mailbox:"

// CodeMissingMail is the code of an app that sends emails at a server that is not told
// how.
const CodeMissingMail = "missing_mail"

// Mail is how mails are sent.
type Mail struct {
	// Server is nil where mails stay in the mailbox.
	Server *outbound.SMTP
	From   netmail.Address
	// URL has no slash at its end.
	URL string
}

// Mail returns how mails are sent. While developing they stay in the mailbox. A fault
// lists what is missing, and tells nothing of a password.
func (c Config) Mail() (Mail, error) {
	m := Mail{From: netmail.Address{Address: "galley@localhost"}}
	if c.Dev {
		return m, nil
	}
	missing, trial := "", ""
	for _, v := range []struct{ name, trial string }{{MailServerEnv, MailServerMailbox},
		{MailFromEnv, "app@localhost"}, {URLEnv, "http://localhost:8080"}} {
		if os.Getenv(v.name) == "" {
			missing, trial = missing+" "+v.name, trial+" "+v.name+"="+v.trial
		}
	}
	if missing != "" {
		return m, fault.WithCode(fault.Invalid, CodeMissingMail,
			"the app sends emails, and these variables of the environment have no value:%s; "+
				"for a trial without a mail server:%s", missing, trial)
	}
	wrong := func(name, why string) error {
		return fault.WithCode(fault.Invalid, CodeMissingMail, "%s: %s", name, why)
	}
	if address := os.Getenv(MailServerEnv); address != MailServerMailbox {
		server, err := outbound.ParseSMTP(address)
		if err != nil {
			return m, wrong(MailServerEnv, err.Error())
		}
		m.Server = server
	}
	from, err := netmail.ParseAddress(os.Getenv(MailFromEnv))
	if err != nil {
		return m, wrong(MailFromEnv, "write an address, such as hello@shop.example")
	}
	m.From = *from
	u, err := url.Parse(os.Getenv(URLEnv))
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil ||
		u.RawQuery != "" || u.Fragment != "" {
		return m, wrong(URLEnv, "write the address by which people reach the app, "+
			"such as https://shop.example")
	}
	m.URL = strings.TrimSuffix(u.String(), "/")
	return m, nil
}
