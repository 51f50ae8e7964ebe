package mail_test

import (
	"encoding/json"
	"fmt"
	"maps"
	netmail "net/mail"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/store/dbtest"
)

func TestAMailFollowsItsCommit(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		n := start(t, open(), shared, nil)
		ana := n.user("ana")
		order := n.order(ana, 1990)
		l := n.states(mail.Filter{Email: "receipt"}, 1, mail.Sent)[0]
		if l.To != "ana@example.com" || l.Subject != "Your order of 19.90 EUR" || l.User != ana {
			t.Errorf("the letter is %+v", l)
		}
		full, err := n.mails.Get(t.Context(), l.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(full.HTML, "Thank you, ana</h1><p>ana ") || !strings.Contains(full.Text, "Thank you, ana") {
			t.Errorf("the parts are %q and %q", full.HTML, full.Text)
		}
		for _, header := range []string{"From: \"shop\" <hello@shop.example>", "To: <ana@example.com>",
			"Message-ID: <" + string(l.ID) + "@shop.example>", "Auto-Submitted: auto-generated",
			"Subject: Your order of 19.90 EUR"} {
			if !strings.Contains(full.Source, header+"\r\n") {
				t.Errorf("the message has no %s:\n%s", header, full.Source)
			}
		}
		if strings.Contains(full.Source, "Unsubscribe") {
			t.Error("a receipt can be unsubscribed from")
		}

		bo := n.user("bo")
		n.call(engine.Update, "orders", order, `{"note":"On its way"}`)
		if l := n.states(mail.Filter{Email: "shipped"}, 1, mail.Sent)[0]; l.Subject != "On its way" || l.User != ana {
			t.Errorf("the letter is %+v", l)
		}
		n.call(engine.Update, "orders", order, `{"total":5}`)
		n.call(engine.Delete, "orders", order, "")
		if l := n.states(mail.Filter{Email: "friends"}, 1, mail.Sent)[0]; l.Subject != "bo, ana is back" || l.User != bo {
			t.Errorf("the letter is %+v", l)
		}
		n.states(mail.Filter{Email: "shipped"}, 1, mail.Sent)
	})
}

func TestALetterGoesWithItsAccount(t *testing.T) {
	n := start(t, dbtest.Memory(t), false, nil)
	ana := n.user("ana")
	order := n.order(ana, 1990)
	n.states(mail.Filter{}, 1, mail.Sent)
	n.call(engine.Delete, "orders", order, "")
	n.call(engine.Delete, "users", ana, "")
	n.until(mail.Filter{}, func(l []mail.Letter) bool { return len(l) == 0 })
}

func TestOneLetterIsFoundAmongMany(t *testing.T) {
	n := start(t, dbtest.Memory(t), false, nil)
	ana, bo := n.user("ana"), n.user("bo")
	n.order(ana, 1)
	n.order(bo, 2)
	n.order(bo, 3)
	n.states(mail.Filter{}, 3, mail.Sent)
	n.states(mail.Filter{To: "bo@example.com"}, 2, mail.Sent)
	n.states(mail.Filter{State: mail.Parked}, 0)
	n.states(mail.Filter{Email: "shipped"}, 0)
	if l, err := n.mails.List(t.Context(), mail.Filter{Limit: 1}); err != nil || len(l) != 1 {
		t.Errorf("one letter is %v, %v", l, err)
	}
	if _, err := n.mails.Get(t.Context(), ident.NewRecord()); err == nil {
		t.Error("there is a letter of any id")
	}
}

func TestANodeWithAnotherAppLeavesMailsAlone(t *testing.T) {
	var moved atomic.Bool
	n := start(t, dbtest.Memory(t), false, func(c *mail.Config) {
		c.InForce = func() error {
			if moved.Load() {
				return fault.New(fault.Unavailable, "The app is being changed.")
			}
			return nil
		}
	})
	ana := n.user("ana")
	moved.Store(true)
	n.order(ana, 1990)
	n.until(mail.Filter{}, func(l []mail.Letter) bool {
		all, err := n.runner.Status(t.Context())
		return err == nil && len(l) == 0 && len(all) == 1 && all[0].Lag > 0
	})
	moved.Store(false)
	n.states(mail.Filter{}, 1, mail.Sent)
	if parked, err := n.runner.Parked(t.Context()); err != nil || len(parked) != 0 {
		t.Errorf("set apart is %v, %v", parked, err)
	}
}

func TestAnEmailThatTheAppDoesNotHaveIsSetApart(t *testing.T) {
	n := start(t, dbtest.Memory(t), false, nil)
	n.send("gone", "ana@example.com")
	n.given("hello", `{"to":"bo@example.com","data":{"name":"Bo"}}`)
	n.states(mail.Filter{}, 1, mail.Sent)
	if parked, err := n.runner.Parked(t.Context()); err != nil || len(parked) != 1 ||
		!strings.Contains(parked[0].Problem, "the app has no email gone any more") {
		t.Errorf("set apart is %v, %v", parked, err)
	}
}

func TestNothingBecomesAnotherHeader(t *testing.T) {
	n := start(t, dbtest.Memory(t), false, func(c *mail.Config) {
		c.From = netmail.Address{Name: "Shop\r\nBcc: from@evil.example", Address: "hello@shop.example"}
	})
	for i, evil := range []string{"\r\nBcc: x@evil.example", "\nBcc: x@evil.example", "\rBcc: x@evil.example",
		"\r\n\r\n<b>body</b>", "\u2028Bcc: x@evil.example", "\u0085Bcc: x@evil.example", "=?utf-8?q?=0D=0ABcc:_x?=",
		strings.Repeat("x ", 400) + "\r\nBcc: x@evil.example", "ä\r\nBcc: x@evil.example", "\x00\r\n.\r\nQUIT\r\n"} {
		to := fmt.Sprintf("reader%d@example.com", i)
		given, err := json.Marshal(map[string]any{"to": to, "data": map[string]string{"name": evil}})
		if err != nil {
			t.Fatal(err)
		}
		n.given("hello", string(given))
		l, err := n.mails.Get(t.Context(), n.states(mail.Filter{To: to}, 1, mail.Sent)[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		m, err := netmail.ReadMessage(strings.NewReader(l.Source))
		if err != nil {
			t.Fatalf("%q makes a message that cannot be read: %v\n%s", evil, err, l.Source)
		}
		got := strings.Join(slices.Sorted(maps.Keys(m.Header)), " ")
		if want := "Auto-Submitted Content-Type Date From Message-Id Mime-Version Subject To"; got != want {
			t.Errorf("%q makes the headers %s", evil, got)
		}
		if to := m.Header["To"]; len(to) != 1 || to[0] != fmt.Sprintf("<reader%d@example.com>", i) {
			t.Errorf("%q makes the readers %v", evil, to)
		}
		for line := range strings.SplitSeq(l.Source, "\r\n") {
			if strings.ContainsAny(line, "\r\n") || len(line) > 998 {
				t.Errorf("%q makes the line %q", evil, line)
			}
		}
	}
}
