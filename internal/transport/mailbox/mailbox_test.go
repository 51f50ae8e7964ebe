package mailbox_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/transport/mailbox"
)

// box is what the pages show.
type box struct {
	letters      []mail.Letter
	filter       mail.Filter
	clicked      []string
	unsubscribed bool
	err          error
}

func (b *box) Click(_ context.Context, rest, target string) (string, error) {
	if rest != "p/l/right" {
		return "", fault.New(fault.NotFound, "This link is not one of ours.")
	}
	b.clicked = append(b.clicked, target)
	return target, b.err
}

func (b *box) Known(_ context.Context, rest string) (bool, error) {
	if rest != "p/right" {
		return false, fault.New(fault.NotFound, "This link is not one of ours.")
	}
	return b.unsubscribed, nil
}

func (b *box) Unsubscribe(ctx context.Context, rest string, back bool) error {
	if _, err := b.Known(ctx, rest); err != nil {
		return err
	}
	b.unsubscribed = !back
	return nil
}

func (b *box) List(_ context.Context, f mail.Filter) ([]mail.Letter, error) {
	b.filter = f
	return b.letters, nil
}

func (b *box) Get(_ context.Context, id ident.Record) (mail.Letter, error) {
	for _, l := range b.letters {
		if l.ID == id {
			return l, nil
		}
	}
	return mail.Letter{}, fault.New(fault.NotFound, "There is no such letter.")
}

func (b *box) Campaigns(context.Context) ([]mail.Campaign, error) {
	return []mail.Campaign{{ID: "c1", Email: "deals", At: time.Now(), State: mail.Running, Total: 10, Made: 8,
		Letters: map[string]int64{mail.Sent: 5, mail.Waiting: 2, mail.Held: 1}}}, nil
}

func (b *box) Suppressed(context.Context) ([]mail.Person, error) {
	now := time.Now()
	return []mail.Person{{Who: "gone@example.com", Bounced: &now, Why: "550 no such user"}}, nil
}

func (b *box) Down() string { return "connect: refused" }

func serve(t *testing.T, b *box, open bool) func(method, path, body string) *http.Response {
	t.Helper()
	d := mailbox.New(mailbox.Config{Mails: b, App: func() string { return "shop" }, Open: open,
		Next: http.NotFoundHandler()})
	return func(method, path, body string) *http.Response {
		t.Helper()
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		w := httptest.NewRecorder()
		d.ServeHTTP(w, r)
		return w.Result()
	}
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestAClickLeadsWhereTheMailSaid(t *testing.T) {
	b := &box{}
	ask := serve(t, b, false)
	to := "https://shop.example/deals?a=1&b=2"
	path := "/mail/click/p/l/right?to=" + url.QueryEscape(to)
	r := ask("GET", path, "")
	if r.StatusCode != 302 || r.Header.Get("Location") != to || r.Header.Get("Cache-Control") != "no-store" ||
		r.Header.Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("the answer is %d %v", r.StatusCode, r.Header)
	}
	if r := ask("HEAD", path, ""); r.StatusCode != 200 || len(b.clicked) != 1 {
		t.Errorf("a look at the head is %d, and %d clicks", r.StatusCode, len(b.clicked))
	}
	for _, path := range []string{"/mail/click/p/l/wrong?to=https://evil.example/", "/mail/click/",
		"/mail/click/p/l", "/mail/click/p/l/right/x"} {
		if r := ask("GET", path, ""); r.StatusCode != 404 || r.Header.Get("Location") != "" {
			t.Errorf("%s leads to %d %s", path, r.StatusCode, r.Header.Get("Location"))
		}
	}
	if r := ask("POST", path, ""); r.StatusCode != 405 {
		t.Errorf("a POST is %d", r.StatusCode)
	}
	b.err = fault.New(fault.Unavailable, "x")
	if r := ask("GET", path, ""); r.StatusCode != 503 || !strings.Contains(body(t, r), `href="https://shop.example/deals?a=1&amp;b=2"`) {
		t.Errorf("without a database it is %d", r.StatusCode)
	}
}

func TestUnsubscribeInOneClick(t *testing.T) {
	b := &box{}
	ask := serve(t, b, false)
	if r := ask("GET", "/mail/unsubscribe/p/right", ""); r.StatusCode != 200 || b.unsubscribed ||
		!strings.Contains(body(t, r), "<form method=\"post\"><button>Unsubscribe") {
		t.Errorf("a look is %d, and unsubscribes: %t", r.StatusCode, b.unsubscribed)
	}
	if r := ask("POST", "/mail/unsubscribe/p/right", "List-Unsubscribe=One-Click"); r.StatusCode != 200 || !b.unsubscribed {
		t.Errorf("one click is %d, and unsubscribes: %t", r.StatusCode, b.unsubscribed)
	}
	if r := ask("GET", "/mail/unsubscribe/p/right", ""); !strings.Contains(body(t, r), "You are unsubscribed") {
		t.Error("the page does not say that it is done")
	}
	if ask("POST", "/mail/unsubscribe/p/right", "back=yes"); b.unsubscribed {
		t.Error("there is no way back")
	}
	if r := ask("POST", "/mail/unsubscribe/p/wrong", ""); r.StatusCode != 404 || b.unsubscribed {
		t.Errorf("another's link is %d", r.StatusCode)
	}
}

func TestThePagesShowWhatWasSent(t *testing.T) {
	evil := `<script>alert(1)</script>`
	now := time.Now()
	b := &box{letters: []mail.Letter{{ID: "l1", Email: "receipt", To: "ana@example.com", State: mail.Sent,
		Subject: evil, Why: evil, Created: now, Sent: &now, Source: "Subject: x\r\n\r\n" + evil,
		HTML: "<p>Hello</p>" + evil, Text: "Hello " + evil}}}
	ask := serve(t, b, true)
	r := ask("GET", "/_/emails?state=sent&to=ana@example.com&email=receipt", "")
	text := body(t, r)
	if r.StatusCode != 200 || strings.Contains(text, evil) || !strings.Contains(text, "/_/emails/l1") ||
		!strings.Contains(text, "6 of 10") || !strings.Contains(text, "gone@example.com") ||
		!strings.Contains(text, "connect: refused") {
		t.Errorf("the list is %d %s", r.StatusCode, text)
	}
	if b.filter.State != "sent" || b.filter.To != "ana@example.com" || b.filter.Email != "receipt" {
		t.Errorf("the filter is %+v", b.filter)
	}
	for view, want := range map[string]string{"": `sandbox="allow-popups allow-popups-to-escape-sandbox" src="/_/emails/l1/page"`,
		"?view=text": "Hello &lt;script&gt;", "?view=source": "Subject: x", "?width=phone": `class="phone"`} {
		r := ask("GET", "/_/emails/l1"+view, "")
		text := body(t, r)
		if r.StatusCode != 200 || strings.Contains(text, evil) || !strings.Contains(text, want) ||
			!strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s is %d %s", view, r.StatusCode, text)
		}
	}
	r = ask("GET", "/_/emails/l1/page", "")
	policy := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(body(t, r), "<p>Hello</p>") || !strings.HasPrefix(policy, "sandbox allow-popups") ||
		strings.Contains(policy, "allow-scripts") || !strings.Contains(policy, "default-src 'none'") {
		t.Errorf("the frame has the policy %s", policy)
	}
	if r := ask("GET", "/_/emails/l2", ""); r.StatusCode != 404 {
		t.Errorf("another letter is %d", r.StatusCode)
	}
}

func TestThePagesAreClosedUnlessOpened(t *testing.T) {
	ask := serve(t, &box{letters: []mail.Letter{{ID: "l1"}}}, false)
	for _, path := range []string{"/_/emails", "/_/emails/", "/_/emails/l1", "/_/emails/l1/page"} {
		if r := ask("GET", path, ""); r.StatusCode != 404 {
			t.Errorf("%s is %d", path, r.StatusCode)
		}
	}
}
