package mail_test

import (
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
)

func TestAMailFollowsItsCommit(t *testing.T) {
	each(t, func(t *testing.T, open func() database, shared bool) {
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
	n := start(t, mustOpen(t), false, nil)
	ana := n.user("ana")
	order := n.order(ana, 1990)
	n.states(mail.Filter{}, 1, mail.Sent)
	n.call(engine.Delete, "orders", order, "")
	n.call(engine.Delete, "users", ana, "")
	n.until(mail.Filter{}, func(l []mail.Letter) bool { return len(l) == 0 })
}

func TestOneLetterIsFoundAmongMany(t *testing.T) {
	n := start(t, mustOpen(t), false, nil)
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
