package outbound_test

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
)

func client(t *testing.T, s *smtptest.Server, address string) *outbound.SMTP {
	t.Helper()
	c, err := outbound.ParseSMTP(strings.Replace(address, "ADDR", s.Addr, 1))
	if err != nil {
		t.Fatal(err)
	}
	if s.Roots != nil {
		c.Trust(&tls.Config{RootCAs: s.Roots})
	}
	t.Cleanup(c.Close)
	return c
}

func mailTo(to string) outbound.Mail {
	return outbound.Mail{From: "shop@example.com", To: to,
		Source: []byte("Subject: x\r\nMessage-ID: <" + to + ">\r\n\r\nHello\r\n.\r\n..\r\nBye\r\n")}
}

func always() error { return nil }

func TestSendOverEachKindOfConnection(t *testing.T) {
	for _, c := range []struct {
		name, address string
		o             smtptest.Options
		want          string
	}{
		{"plain on this machine", "smtp://ADDR", smtptest.Options{}, ""},
		{"STARTTLS", "smtp://ADDR", smtptest.Options{TLS: true}, ""},
		{"TLS", "smtps://ADDR", smtptest.Options{Implicit: true}, ""},
		{"with a password", "smtp://ana:p%40ss@ADDR", smtptest.Options{TLS: true, User: "ana", Password: "p@ss"}, ""},
		{"with a password over TLS", "smtps://ana:p%40ss@ADDR",
			smtptest.Options{Implicit: true, User: "ana", Password: "p@ss"}, ""},
		{"a wrong password", "smtp://ana:no@ADDR",
			smtptest.Options{TLS: true, User: "ana", Password: "p@ss"}, "connect: "},
		{"no password", "smtp://ADDR", smtptest.Options{TLS: true, User: "ana", Password: "p"}, "sender: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := smtptest.New(t, c.o)
			err := client(t, s, c.address).Send(t.Context(), mailTo("bo@example.com"), always)
			if c.want != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || len(s.Mails()) > 0 {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if strings.Contains(err.Error(), "p@ss") {
					t.Errorf("the error tells the password: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			m := s.Wait(1)[0]
			if m.From != "shop@example.com" || m.To != "bo@example.com" ||
				string(m.Source) != string(mailTo("bo@example.com").Source) {
				t.Errorf("the server got %+v", m)
			}
		})
	}
}

func TestACertificateThatNobodyTrustsEndsTheConnection(t *testing.T) {
	for _, address := range []string{"smtp://ADDR", "smtps://ADDR"} {
		s := smtptest.New(t, smtptest.Options{TLS: address[4] == ':', Implicit: address[4] == 's'})
		c, err := outbound.ParseSMTP(strings.Replace(address, "ADDR", s.Addr, 1))
		if err != nil {
			t.Fatal(err)
		}
		var failed *outbound.MailError
		err = c.Send(t.Context(), mailTo("bo@example.com"), always)
		if !errors.As(err, &failed) || failed.Stage != outbound.StageConnect || failed.Unknown() {
			t.Errorf("%s ended with %v", address, err)
		}
	}
}

func TestAFailureSaysWhatIsKnown(t *testing.T) {
	answer := func(code int, detail ...int) *smtptest.Fault {
		f := &smtptest.Fault{Code: code, Text: "no"}
		copy(f.Detail[:], detail)
		return f
	}
	drop := &smtptest.Fault{Drop: true}
	for _, c := range []struct {
		name                        string
		at                          smtptest.Stage
		fault                       *smtptest.Fault
		stage                       outbound.Stage
		final, unknown, noRecipient bool
	}{
		{"dropped at connect", smtptest.Connect, drop, outbound.StageConnect, false, false, false},
		{"busy at connect", smtptest.Connect, answer(421), outbound.StageConnect, false, false, false},
		{"dropped at the sender", smtptest.Mail, drop, outbound.StageSender, false, false, false},
		{"no such sender", smtptest.Mail, answer(550, 5, 7, 1), outbound.StageSender, true, false, false},
		{"dropped at the recipient", smtptest.Recipient, drop, outbound.StageRecipient, false, false, false},
		{"greylisted", smtptest.Recipient, answer(451, 4, 7, 1), outbound.StageRecipient, false, false, false},
		{"no such recipient", smtptest.Recipient, answer(550, 5, 1, 1), outbound.StageRecipient, true, false, true},
		{"no such recipient, in three digits", smtptest.Recipient, answer(550), outbound.StageRecipient, true, false, true},
		{"closed mailbox", smtptest.Recipient, answer(550, 5, 2, 1), outbound.StageRecipient, true, false, true},
		{"full mailbox", smtptest.Recipient, answer(552, 5, 2, 2), outbound.StageRecipient, true, false, false},
		{"a policy", smtptest.Recipient, answer(550, 5, 7, 1), outbound.StageRecipient, true, false, false},
		{"relay denied", smtptest.Recipient, answer(554, 5, 7, 1), outbound.StageRecipient, true, false, false},
		{"a mail that is refused", smtptest.Data, answer(554, 5, 6, 0), outbound.StageAnswer, true, false, false},
		{"a mail for later", smtptest.Data, answer(452, 4, 3, 1), outbound.StageAnswer, false, false, false},
		{"dropped after the mail", smtptest.Answer, drop, outbound.StageAnswer, false, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := smtptest.New(t, smtptest.Options{Fail: func(at smtptest.Stage, _ string) *smtptest.Fault {
				if at == c.at {
					return c.fault
				}
				return nil
			}})
			var failed *outbound.MailError
			err := client(t, s, "smtp://ADDR").Send(t.Context(), mailTo("bo@example.com"), always)
			if !errors.As(err, &failed) {
				t.Fatalf("got %v", err)
			}
			if failed.Stage != c.stage || failed.Final() != c.final || failed.Unknown() != c.unknown ||
				failed.NoRecipient() != c.noRecipient {
				t.Errorf("got %v: stage %v, final %t, unknown %t, no recipient %t", err, failed.Stage,
					failed.Final(), failed.Unknown(), failed.NoRecipient())
			}
			if c.unknown != (len(s.Mails()) == 1) {
				t.Errorf("the server took %d mails", len(s.Mails()))
			}
		})
	}
}

func TestReadyIsTheLastWord(t *testing.T) {
	s := smtptest.New(t, smtptest.Options{})
	c := client(t, s, "smtp://ADDR")
	no := errors.New("no")
	if err := c.Send(t.Context(), mailTo("a@example.com"), func() error { return no }); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if err := c.Send(t.Context(), mailTo("b@example.com"), always); err != nil {
		t.Fatal(err)
	}
	if m := s.Mails(); len(m) != 1 || m[0].To != "b@example.com" || s.Connections() != 1 {
		t.Errorf("the server took %v over %d connections", m, s.Connections())
	}
	asked := false
	s2 := smtptest.New(t, smtptest.Options{Fail: func(at smtptest.Stage, _ string) *smtptest.Fault {
		if at == smtptest.Recipient {
			return &smtptest.Fault{Code: 550}
		}
		return nil
	}})
	_ = client(t, s2, "smtp://ADDR").Send(t.Context(), mailTo("a@example.com"), func() error {
		asked = true
		return nil
	}) // that it fails is tested elsewhere
	if asked {
		t.Error("a recipient that is refused was made ready")
	}
}

func TestConnectionsServeManyMails(t *testing.T) {
	s := smtptest.New(t, smtptest.Options{TLS: true})
	c := client(t, s, "smtp://ADDR")
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 60 {
				if err := c.Send(t.Context(), mailTo("bo@example.com"), always); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if n := s.Connections(); len(s.Mails()) != 240 || n > 8 {
		t.Errorf("%d mails went over %d connections", len(s.Mails()), n)
	}
}

func TestAConnectionThatTheServerEndedIsMadeAnew(t *testing.T) {
	s := smtptest.New(t, smtptest.Options{})
	c := client(t, s, "smtp://ADDR")
	for range 3 {
		if err := c.Send(t.Context(), mailTo("bo@example.com"), always); err != nil {
			t.Fatal(err)
		}
		s.Drop()
	}
	if len(s.Mails()) != 3 {
		t.Errorf("the server took %d mails", len(s.Mails()))
	}
}

func TestAContextEndsASending(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	held := make(chan struct{})
	s := smtptest.New(t, smtptest.Options{Fail: func(at smtptest.Stage, _ string) *smtptest.Fault {
		if at == smtptest.Recipient {
			cancel()
			<-held
		}
		return nil
	}})
	var failed *outbound.MailError
	err := client(t, s, "smtp://ADDR").Send(ctx, mailTo("bo@example.com"), always)
	close(held)
	if !errors.As(err, &failed) || failed.Stage != outbound.StageRecipient || failed.Unknown() {
		t.Errorf("got %v", err)
	}
}

func TestAddressesOfMailServers(t *testing.T) {
	for address, want := range map[string]string{
		"smtp://mail.example.com":                    "mail.example.com:587",
		"smtps://ana:p@mail.example.com":             "mail.example.com:465",
		"smtp://ana:p@mail.example.com:2525":         "mail.example.com:2525",
		"smtp://mailpit:1025?tls=off":                "mailpit:1025",
		"smtp://ana:p@[::1]:25":                      "[::1]:25",
		"http://mail.example.com":                    "",
		"mail.example.com:25":                        "",
		"smtp://":                                    "",
		"smtp://ana:secret@mail.example.com?tls=off": "",
		"smtps://mail.example.com?tls=off":           "",
		"smtp://ana:secret@mail.example.com?tls=no":  "",
		"smtp://ana:secret%@mail.example.com":        "",
		"smtp://ana:secret@mail.example.com/path":    "",
	} {
		s, err := outbound.ParseSMTP(address)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s is taken", address)
		case want == "" && strings.Contains(err.Error(), "secret"):
			t.Errorf("the error of %s tells the password: %v", address, err)
		case want != "" && (err != nil || s.Host() != want):
			t.Errorf("%s is %v, %v", address, s, err)
		}
	}
}
