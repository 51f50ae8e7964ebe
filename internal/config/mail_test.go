package config_test

import (
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/config"
)

func TestMailSaysWhatIsMissing(t *testing.T) {
	for _, c := range []struct{ name, server, from, url, want string }{
		{"all there", "smtps://ana:secret@mail.example", "Shop <hello@shop.example>", "https://shop.example/", ""},
		{"a trial", "mailbox:", "hello@shop.example", "http://localhost:8080", ""},
		{"nothing", "", "", "", "GALLEY_SMTP_URL GALLEY_MAIL_FROM GALLEY_URL"},
		{"no address", "mailbox:", "", "https://shop.example", "no value: GALLEY_MAIL_FROM; for a trial without a mail server: GALLEY_MAIL_FROM=app@localhost"},
		{"a wrong server", "smtp://ana:secret@mail.example?tls=off", "a@b.example", "https://shop.example", "GALLEY_SMTP_URL: "},
		{"a wrong address", "mailbox:", "shop", "https://shop.example", "GALLEY_MAIL_FROM: "},
		{"two headers", "mailbox:", "a@b.example\r\nBcc: c@d.example", "https://shop.example", "GALLEY_MAIL_FROM: "},
		{"a wrong URL", "mailbox:", "a@b.example", "shop.example", "GALLEY_URL: "},
		{"a URL with a user", "mailbox:", "a@b.example", "https://ana:secret@shop.example", "GALLEY_URL: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(config.MailServerEnv, c.server)
			t.Setenv(config.MailFromEnv, c.from)
			t.Setenv(config.URLEnv, c.url)
			m, err := config.Config{}.Mail()
			switch {
			case c.want == "" && (err != nil || m.URL == "" || strings.HasSuffix(m.URL, "/")):
				t.Errorf("got %+v, %v", m, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			case err != nil && strings.Contains(err.Error(), "secret"):
				t.Errorf("the error tells the password: %v", err)
			}
		})
	}
	if m, err := (config.Config{Dev: true}).Mail(); err != nil || m.Server != nil {
		t.Errorf("in dev mails go to %v, %v", m.Server, err)
	}
}
