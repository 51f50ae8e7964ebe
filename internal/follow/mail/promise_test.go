package mail_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/value"
)

const day = 24 * time.Hour

// counted returns how many letters are in each state.
func counted(letters []mail.Letter) map[string]int {
	out := map[string]int{}
	for _, l := range letters {
		out[l.State]++
	}
	return out
}

func TestEveryHoldsOverAllEmailsThatDeclareIt(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		n := start(t, open(), shared, nil)
		ana, bo := n.user("ana"), n.user("bo")
		n.order(ana, 6000)
		n.states(mail.Filter{Email: "news"}, 1, mail.Sent)

		// The offer may come each week, but the news promised a fortnight.
		n.advance(8 * day)
		n.order(ana, 9500)
		n.states(mail.Filter{Email: "news"}, 2, mail.Sent, mail.Held)
		if l := n.states(mail.Filter{Email: "offer"}, 1, mail.Held)[0]; l.Why != "14d are not over" {
			t.Errorf("the offer is held because %q", l.Why)
		}
		// Another person, and mails that promise nothing, are not held.
		n.order(bo, 6000)
		n.until(mail.Filter{Email: "news", To: "bo@example.com"}, func(l []mail.Letter) bool {
			return len(l) == 1 && l[0].State == mail.Sent
		})
		n.states(mail.Filter{Email: "receipt"}, 3, mail.Sent)

		n.advance(6*day - time.Minute)
		n.order(ana, 6000)
		n.until(mail.Filter{Email: "news", To: "ana@example.com"}, func(l []mail.Letter) bool {
			return counted(l)[mail.Held] == 2
		})
		n.advance(time.Minute)
		n.order(ana, 9500)
		both := n.until(mail.Filter{To: "ana@example.com"}, func(l []mail.Letter) bool {
			return len(l) == 10 && !slices.ContainsFunc(l, func(l mail.Letter) bool {
				return l.State != mail.Sent && l.State != mail.Held
			})
		})
		sent := 0
		for _, l := range both {
			if l.State == mail.Sent && (l.Email == "news" || l.Email == "offer") {
				sent++
			}
		}
		if sent != 2 {
			t.Errorf("in a fortnight and a moment %d mails were sent, want 2: %+v", sent, both)
		}
	})
}

func TestCampaignsAtOnceSendOneMailToAPerson(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		s := smtptest.New(t, smtptest.Options{})
		nodes := []*node{start(t, open(), shared, to(t, s))}
		if shared {
			nodes = append(nodes, start(t, open(), shared, to(t, s)), start(t, open(), shared, to(t, s)))
		}
		ana := nodes[0].user("ana")
		var wait sync.WaitGroup
		for i := range 12 {
			n := nodes[i%len(nodes)]
			wait.Go(func() {
				_, err := n.db.Write(t.Context(), journal.Origin{Call: ident.NewCall(), Operation: "test",
					Now: n.now(), Subject: ident.Subject{Who: ident.Admin, Name: "test"}}, func(tx store.Tx) error {
					return tx.Intend(t.Context(), journal.CodeIntent(journal.IntentEmail,
						[]string{"news", "offer"}[i%2], value.OfJSON(fmt.Sprintf(`{"to":%q}`, ana))))
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		letters := nodes[0].states(mail.Filter{}, 12, mail.Sent, mail.Held)
		if c := counted(letters); c[mail.Sent] != 1 || len(s.Mails()) != 1 {
			t.Errorf("%d letters are sent, and the server took %d", c[mail.Sent], len(s.Mails()))
		}
	})
}

var (
	hrefs       = regexp.MustCompile(`href="([^"]*)"`)
	unsubscribe = regexp.MustCompile(`(?s)List-Unsubscribe: (.*?)\r\n[A-Z]`)
)

// links returns where the page of a letter leads.
func (n *node) links(id ident.Record) (out []*url.URL) {
	n.t.Helper()
	l, err := n.mails.Get(n.t.Context(), id)
	if err != nil {
		n.t.Fatal(err)
	}
	for _, m := range hrefs.FindAllStringSubmatch(l.HTML, -1) {
		u, err := url.Parse(strings.ReplaceAll(m[1], "&amp;", "&"))
		if err != nil {
			n.t.Fatal(err)
		}
		out = append(out, u)
	}
	return out
}

func TestAfterAClickNothingMoreComes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		n := start(t, open(), shared, nil)
		ana := n.user("ana")
		n.send("offer", ana)
		offer := n.states(mail.Filter{Email: "offer"}, 1, mail.Sent)[0]
		links := n.links(offer.ID)
		if len(links) != 1 || links[0].Host != "shop.example" || !strings.HasPrefix(links[0].Path, mail.PathClick) {
			t.Fatalf("the letter links to %v", links)
		}
		rest, target := strings.TrimPrefix(links[0].Path, mail.PathClick), links[0].Query().Get("to")
		if target != "https://shop.example/offer" {
			t.Errorf("the link leads to %s", target)
		}
		for _, wrong := range [][2]string{{rest, "https://evil.example/"}, {rest, target + "x"}, {rest, ""},
			{rest + "x", target}, {strings.ToUpper(rest), target}, {"", target}, {"a/b/c", target}} {
			if to, err := n.mails.Click(t.Context(), wrong[0], wrong[1]); err == nil {
				t.Errorf("a link that nobody signed leads to %s", to)
			}
		}
		for range 2 {
			if to, err := n.mails.Click(t.Context(), rest, target); err != nil || to != target {
				t.Fatalf("the click leads to %s, %v", to, err)
			}
		}
		if l, err := n.mails.Get(t.Context(), offer.ID); err != nil || l.Clicked == nil {
			t.Errorf("the click is not noted: %+v, %v", l, err)
		}
		// Neither this email nor another that ends with a click, however long it is.
		n.advance(100 * day)
		n.send("offer", ana)
		n.send("deals", ana)
		for _, l := range n.states(mail.Filter{State: mail.Held}, 2, mail.Held) {
			if l.Why != "a link was clicked" {
				t.Errorf("%s is held because %q", l.Email, l.Why)
			}
		}
		n.send("news", ana)
		n.states(mail.Filter{Email: "news"}, 1, mail.Sent)
	})
}

func TestUnsubscribingEndsMarketing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		n := start(t, open(), shared, nil)
		ana := n.user("ana")
		n.send("deals", ana)
		l, err := n.mails.Get(t.Context(), n.states(mail.Filter{Email: "deals"}, 1, mail.Sent)[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		m := unsubscribe.FindStringSubmatch(l.Source)
		if m == nil || !strings.Contains(l.Source, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n") {
			t.Fatalf("the message has no way out:\n%s", l.Source)
		}
		way := strings.Join(strings.Fields(m[1]), "")
		if !strings.HasPrefix(way, "<https://shop.example"+mail.PathUnsubscribe) || !strings.HasSuffix(way, ">") {
			t.Fatalf("the way out is %s", way)
		}
		rest := strings.TrimSuffix(strings.TrimPrefix(way, "<https://shop.example"+mail.PathUnsubscribe), ">")
		if links := n.links(l.ID); len(links) != 2 || links[1].Path != mail.PathUnsubscribe+rest {
			t.Errorf("the page links to %v", links)
		}
		for _, wrong := range []string{"", "x/y", rest + "x", rest[1:]} {
			if err := n.mails.Unsubscribe(t.Context(), wrong, false); err == nil {
				t.Errorf("%q unsubscribes somebody", wrong)
			}
		}
		for range 2 {
			if err := n.mails.Unsubscribe(t.Context(), rest, false); err != nil {
				t.Fatal(err)
			}
		}
		if done, err := n.mails.Known(t.Context(), rest); err != nil || !done {
			t.Errorf("it is unsubscribed: %t, %v", done, err)
		}
		n.advance(100 * day)
		n.send("news", ana)
		n.send("news", "ana@example.com")
		n.order(ana, 1990)
		for _, l := range n.states(mail.Filter{Email: "news"}, 2, mail.Held) {
			if l.Why != "unsubscribed" {
				t.Errorf("the news are held because %q", l.Why)
			}
		}
		n.states(mail.Filter{Email: "receipt"}, 1, mail.Sent)
		if people, err := n.mails.Suppressed(t.Context()); err != nil || len(people) != 2 {
			t.Errorf("the suppressed are %+v, %v", people, err)
		}
		if err := n.mails.Unsubscribe(t.Context(), rest, true); err != nil {
			t.Fatal(err)
		}
		n.send("news", ana)
		n.states(mail.Filter{Email: "news", State: mail.Sent}, 1, mail.Sent)

		// A mail that is no marketing can lead there, too.
		n.send("way", "bo@example.com")
		links := n.links(n.states(mail.Filter{Email: "way"}, 1, mail.Sent)[0].ID)
		if err := n.mails.Unsubscribe(t.Context(), strings.TrimPrefix(links[0].Path, mail.PathUnsubscribe),
			false); err != nil {
			t.Fatal(err)
		}
		n.send("news", "bo@example.com")
		n.states(mail.Filter{Email: "news", To: "bo@example.com"}, 1, mail.Held)
	})
}

func TestAnAddressThatDoesNotExistGetsNoMoreMails(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		s := smtptest.New(t, smtptest.Options{Fail: func(at smtptest.Stage, to string) *smtptest.Fault {
			switch {
			case at != smtptest.Recipient:
			case to == "gone@example.com":
				return &smtptest.Fault{Code: 550, Detail: [3]int{5, 1, 1}, Text: "No such user here"}
			case to == "spam@example.com":
				return &smtptest.Fault{Code: 550, Detail: [3]int{5, 7, 1}, Text: "You look like spam"}
			}
			return nil
		}})
		n := start(t, open(), shared, to(t, s))
		gone, spam := n.user("gone"), n.user("spam")
		n.order(gone, 1)
		n.states(mail.Filter{To: "gone@example.com"}, 1, mail.Bounced)
		n.order(gone, 2)
		held := n.states(mail.Filter{To: "gone@example.com", State: mail.Held}, 1, mail.Held)[0]
		if !strings.Contains(held.Why, "No such user here") {
			t.Errorf("it is held because %q", held.Why)
		}
		// Who dislikes the sender says nothing of the address.
		n.order(spam, 3)
		parked := n.states(mail.Filter{To: "spam@example.com"}, 1, mail.Parked)[0]
		people, err := n.mails.Suppressed(t.Context())
		if err != nil || len(people) != 1 || people[0].Who != "gone@example.com" || people[0].Bounced == nil {
			t.Errorf("the suppressed are %+v, %v", people, err)
		}
		if err := n.mails.Retry(t.Context(), parked.ID); err != nil {
			t.Fatal(err)
		}
		n.states(mail.Filter{To: "spam@example.com"}, 1, mail.Parked)

		if err := n.mails.Bounce(t.Context(), "told@example.com", "the service says so"); err != nil {
			t.Fatal(err)
		}
		n.given("hello", `{"to":"told@example.com","data":{"name":"you"}}`)
		n.states(mail.Filter{To: "told@example.com"}, 1, mail.Held)
		if err := n.mails.Lift(t.Context(), "told@example.com"); err != nil {
			t.Fatal(err)
		}
		if err := n.mails.Retry(t.Context(), n.states(mail.Filter{To: "told@example.com"}, 1, mail.Held)[0].ID); err != nil {
			t.Fatal(err)
		}
		n.states(mail.Filter{To: "told@example.com"}, 1, mail.Sent)
		for name, err := range map[string]error{
			"lift twice":        n.mails.Lift(t.Context(), "told@example.com"),
			"bounce no address": n.mails.Bounce(t.Context(), "no address", ""),
			"retry what is sent": n.mails.Retry(t.Context(),
				n.states(mail.Filter{To: "told@example.com"}, 1, mail.Sent)[0].ID),
			"retry nothing": n.mails.Retry(t.Context(), ident.NewRecord()),
		} {
			if err == nil {
				t.Errorf("%s is done", name)
			}
		}
	})
}

// send asks for an email as an app's code does.
func (n *node) send(email, to string) {
	n.t.Helper()
	n.given(email, fmt.Sprintf(`{"to":%q}`, to))
}

func (n *node) given(email, given string) {
	n.t.Helper()
	_, err := n.db.Write(context.Background(), journal.Origin{Call: ident.NewCall(), Operation: "test",
		Now: n.now(), Subject: ident.Subject{Who: ident.Admin, Name: "test"}}, func(tx store.Tx) error {
		return tx.Intend(context.Background(), journal.CodeIntent(journal.IntentEmail, email, value.OfJSON(given)))
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

func TestCodeSaysToWhomAndWhat(t *testing.T) {
	n := start(t, dbtest.Memory(t), false, nil)
	ana := n.user("ana")
	order := n.order(ana, 700)
	n.states(mail.Filter{Email: "receipt"}, 1, mail.Sent)
	for _, c := range []struct{ name, email, given, to, subject, state, why string }{
		{"an address", "hello", `{"to":"Bo@Example.com","data":{"name":"Bo\r\nBcc: x@example.com"}}`,
			"bo@example.com", "Hello Bo Bcc: x@example.com", mail.Sent, ""},
		{"a user's address", "hello", `{"to":"ana@example.com","data":{"name":"you"}}`, "ana@example.com", "Hello you", mail.Sent, ""},
		{"no data", "hello", `{"to":"cy@example.com"}`, "cy@example.com", "", mail.Parked, "template"},
		{"a record by its id", "receipt", fmt.Sprintf(`{"to":"di@example.com","record":{"id":%q}}`, order),
			"di@example.com", "", mail.Parked, "template"},
		{"the rule's reader", "receipt", fmt.Sprintf(`{"record":%q}`, order), "ana@example.com",
			"Your order of 7.00 EUR", mail.Sent, ""},
		{"no recipient", "hello", `{"data":{}}`, "", "", mail.Parked, "named no recipient"},
		{"no address", "hello", `{"to":"nobody"}`, "", "", mail.Parked, `"nobody" is no address`},
		{"a header", "hello", `{"to":"a@example.com\r\nBcc: b@example.com"}`, "", "", mail.Parked, "is no address"},
		{"two addresses", "hello", `{"to":"a@example.com, b@example.com"}`, "", "", mail.Parked, "is no address"},
		{"a name", "hello", `{"to":"Ana <a@example.com>"}`, "", "", mail.Parked, "is no address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := n.mails.List(t.Context(), mail.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			known := map[ident.Record]bool{}
			for _, l := range before {
				known[l.ID] = true
			}
			n.given(c.email, c.given)
			var l mail.Letter
			n.until(mail.Filter{}, func(all []mail.Letter) bool {
				for _, x := range all {
					if !known[x.ID] && (x.State == mail.Sent || x.State == mail.Parked) {
						l = x
						return true
					}
				}
				return false
			})
			if l.State != c.state || l.To != c.to || l.Subject != c.subject || !strings.Contains(l.Why, c.why) {
				t.Errorf("the letter is %+v", l)
			}
		})
	}
	n.given("hello", `{"to":["a@example.com","b@example.com","a@example.com"],"data":{"name":"all"}}`)
	n.until(mail.Filter{To: "b@example.com"}, func(l []mail.Letter) bool { return len(l) == 1 && l[0].State == mail.Sent })
	n.states(mail.Filter{To: "a@example.com"}, 1, mail.Sent)
	n.send("hello", string(ident.NewRecord())) // an account that is gone
	n.given("hello", `{"to":"last@example.com","data":{"name":"x"}}`)
	n.states(mail.Filter{To: "last@example.com"}, 1, mail.Sent)
}
