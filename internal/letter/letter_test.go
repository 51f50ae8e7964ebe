package letter_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/letter"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

func emailOf(page, plain string) *spec.Email {
	e := &spec.Email{Name: "receipt", HTML: spec.Template{File: "emails/receipt.html", Source: page}}
	if plain != "" {
		e.Plain = spec.Template{File: "emails/receipt.txt", Source: plain}
	}
	return e
}

var euros = letter.Place{Currency: "EUR", Zone: time.UTC}

func fill(t *testing.T, page, plain string, d letter.Data) letter.Letter {
	t.Helper()
	tmpl, findings := letter.Parse(emailOf(page, plain), euros)
	if tmpl == nil {
		t.Fatal(findings)
	}
	l, err := tmpl.Fill(d)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestFillWritesSubjectPageAndText(t *testing.T) {
	at := time.Date(2026, 11, 21, 8, 30, 0, 0, time.UTC)
	l := fill(t, `Subject: Order {{.record.number}} for {{.user.name}} & friends
<html><head><style>p { color: red }</style></head><body>
<h1>Thank   you, {{.user.name}}!</h1>
<p>You paid <b>{{money .record.total}}</b> on {{date .record.created}} ({{date .record.created "15:04"}}).</p>
<ul><li>One</li><li>Two</li></ul>
<p><a href="{{link "/orders/7"}}">Your order</a><br>{{.app}} at {{.url}}</p>
<p>{{.record.note}}|{{with .record.gone}}never{{end}}</p>
</body></html>`, "", letter.Data{
		Record: letter.Fields{"number": int64(7), "total": int64(1990), "created": at,
			"note": "<script>alert(1)</script>", "gone": letter.Nothing(nil)},
		User: letter.Fields{"name": "Ana <b>"}, App: "shop", URL: "https://shop.example.com"})
	if l.Subject != "Order 7 for Ana <b> & friends" {
		t.Errorf("the subject is %q", l.Subject)
	}
	if strings.Contains(l.HTML, "<script>") || !strings.Contains(l.HTML, "&lt;script&gt;") {
		t.Errorf("what a record holds got into the page: %s", l.HTML)
	}
	want := `Thank you, Ana <b>!

You paid 19.90 EUR on 21 November 2026 (08:30).

- One
- Two

Your order (https://shop.example.com/orders/7)
shop at https://shop.example.com

<script>alert(1)</script>|
`
	if l.Plain != want {
		t.Errorf("the text is\n%s\nwant\n%s", l.Plain, want)
	}
}

func TestASubjectIsOneLine(t *testing.T) {
	for _, name := range []string{"a\r\nBcc: all@example.com", "a\nBcc: all@example.com",
		"a\rBcc: all@example.com", "a\u2028Bcc: all@example.com", "a\u0085Bcc: all@example.com",
		"a\x00\x0bBcc: all@example.com", "a\xff\nBcc: all@example.com", "\u202ea\nBcc: all@example.com"} {
		l := fill(t, "Subject: For {{.user.name}}\n", "", letter.Data{User: letter.Fields{"name": name}})
		if l.Subject != "For a Bcc: all@example.com" {
			t.Errorf("%q makes the subject %q", name, l.Subject)
		}
	}
	long := fill(t, "Subject: {{.user.name}}\n", "",
		letter.Data{User: letter.Fields{"name": strings.Repeat("é", 500)}})
	if n := len([]rune(long.Subject)); n != letter.SubjectMax || !strings.HasSuffix(long.Subject, "…") {
		t.Errorf("a long subject has %d characters", n)
	}
}

func TestLinksAreTracked(t *testing.T) {
	d := letter.Data{URL: "https://shop.example.com", Unsubscribe: "https://shop.example.com/mail/u",
		Track: func(target string) string { return "https://t.example/?to=" + target },
		User:  letter.Fields{"site": "https://ana.example/?a=1&b=2"}}
	l := fill(t, `Subject: Deals
<a class=x href="{{link "/deals"}}">Deals</a> <A HREF='https://a.example/'>a</A>
<a href=https://b.example/>b</a> <a href="{{.user.site}}">site</a>
<a href="mailto:x@example.com">mail</a> <a href="#top">top</a>
<a title="a > b" href="https://c.example/">c</a>
<img src="https://pictures.example/p.png"> <a href="{{.unsubscribe}}">no more</a>`, "", d)
	for _, want := range []string{
		`href="https://t.example/?to=https://shop.example.com/deals"`,
		`HREF="https://t.example/?to=https://a.example/"`,
		`href="https://t.example/?to=https://b.example/"`,
		`href="https://t.example/?to=https://ana.example/?a=1&amp;b=2"`,
		`href="https://t.example/?to=https://c.example/"`,
		`href="mailto:x@example.com"`, `href="#top"`,
		`src="https://pictures.example/p.png"`, `href="https://shop.example.com/mail/u"`,
	} {
		if !strings.Contains(l.HTML, want) {
			t.Errorf("the page has no %s:\n%s", want, l.HTML)
		}
	}
	plain := fill(t, "Subject: Deals\n", "See {{link \"/deals\"}}. Or https://a.example/x, or {{.unsubscribe}}.", d)
	want := "See https://t.example/?to=https://shop.example.com/deals. " +
		"Or https://t.example/?to=https://a.example/x, or https://shop.example.com/mail/u."
	if plain.Plain != want {
		t.Errorf("the text is %q, want %q", plain.Plain, want)
	}
}

func TestWhatARecordHoldsIsNoLinkAndNoAttribute(t *testing.T) {
	d := letter.Data{URL: "https://shop.example.com",
		Track: func(target string) string { return "https://t.example/?to=" + target }}
	for _, evil := range []string{` href=http://evil.example style=position:fixed x=`,
		`x href='http://evil.example'`, `> <a href="http://evil.example">`, `" href="http://evil.example`} {
		d.Record = letter.Fields{"name": evil}
		for _, tag := range []string{`title="{{.record.name}}"`, `title='{{.record.name}}'`,
			`title={{.record.name}}`, `data-name = "{{.record.name}}" disabled`} {
			page := "Subject: Deals\n<a " + tag + ` href="https://good.example/">go</a>`
			l := fill(t, page, "", d)
			if strings.Contains(l.HTML, "to=http://evil") || strings.Count(l.HTML, "t.example") != 1 ||
				!strings.Contains(l.HTML, `href="https://t.example/?to=https://good.example/">go</a>`) {
				t.Errorf("%s with %q is %s", tag, evil, l.HTML)
			}
			if want := "go (https://t.example/?to=https://good.example/)\n"; l.Plain != want {
				t.Errorf("%s with %q is the text %q", tag, evil, l.Plain)
			}
		}
	}
}

func TestMoneyKnowsItsCurrency(t *testing.T) {
	for _, c := range []struct {
		currency string
		amount   any
		want     string
	}{
		{"EUR", int64(1990), "19.90 EUR"}, {"EUR", int64(5), "0.05 EUR"},
		{"EUR", int64(-1990), "-19.90 EUR"}, {"EUR", int64(-5), "-0.05 EUR"},
		{"JPY", int64(1990), "1990 JPY"}, {"KWD", int64(1990), "1.990 KWD"}, {"", int64(0), "0.00"},
	} {
		tmpl, findings := letter.Parse(emailOf("Subject: {{money .data.n}}\n", ""),
			letter.Place{Currency: c.currency, Zone: time.UTC})
		if tmpl == nil {
			t.Fatal(findings)
		}
		l, err := tmpl.Fill(letter.Data{Data: letter.Fields{"n": c.amount}})
		if err != nil || l.Subject != c.want {
			t.Errorf("%v %s is %q, %v", c.amount, c.currency, l.Subject, err)
		}
	}
}

func TestWhatIsWrongIsToldAtItsPlace(t *testing.T) {
	names := map[string][]string{".record": {"total", "discount"}, ".user": {"name"}}
	full := letter.Sample{Names: names, Data: letter.Data{App: "shop",
		User:   letter.Fields{"name": "Ana"},
		Record: letter.Fields{"total": int64(1), "discount": letter.Fields{"percent": int64(1)}}}}
	empty := letter.Sample{Names: names, Data: letter.Data{App: "shop",
		User: letter.Fields{"name": "Ana"}, Record: letter.Fields{"total": int64(1), "discount": letter.Nothing(nil)}}}
	for _, c := range []struct{ name, page, plain, want string }{
		{"no subject", "<p>Hello</p>", "", "emails/receipt.html:1:1 the first line is no subject"},
		{"an empty subject", "Subject:  \n<p>Hello</p>", "", "emails/receipt.html:1:1 the first line is no subject"},
		{"a wrong field", "Subject: x\n<p>\n  {{.record.totl}}</p>", "",
			"emails/receipt.html:3:5 there is no .record.totl here; did you mean total?"},
		{"a wrong field of a user", "Subject: {{.user.nam}}\n", "",
			"emails/receipt.html:1:12 there is no .user.nam here; did you mean name?"},
		{"a wrong name", "Subject: x\n{{.recrd.total}}", "",
			"emails/receipt.html:2:3 there is no .recrd.total here; did you mean record?"},
		{"an open brace", "Subject: x\n<p>{{.record.total</p>", "", "emails/receipt.html:2:"},
		{"no function", "Subject: x\n\n{{cash .record.total}}", "", `emails/receipt.html:3:1 function "cash" not defined`},
		{"money of a text", "Subject: x\n{{money .user.name}}", "", "money is a whole number"},
		{"what may be empty", "Subject: x\n{{.record.discount.percent}}", "",
			"emails/receipt.html:2:3 what is looked into may be empty, or has no fields; ask first"},
		{"in the text", "Subject: x\n", "Hello\n{{.record.totl}}",
			"emails/receipt.txt:2:3 there is no .record.totl here; did you mean total?"},
		{"an open tag", "Subject: x\n<a href=\"{{if .app}}\">{{end}}", "", "emails/receipt.html:2:"},
		{"nothing", "Subject: {{.record.total}}\n{{with .record.discount}}{{.percent}}{{end}}", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			tmpl, findings := letter.Parse(emailOf(c.page, c.plain), euros)
			if tmpl != nil {
				findings = tmpl.Check(full, empty)
			}
			said := ""
			for _, f := range findings {
				said += fmt.Sprintf("%s:%d:%d %s; %s\n", f.Pos.File, f.Pos.Line, f.Pos.Column, f.Message, f.Help)
			}
			if !strings.HasPrefix(said, c.want) && !strings.Contains(said, c.want) || c.want == "" && said != "" {
				t.Errorf("got %s\nwant %s", said, c.want)
			}
		})
	}
}

func TestALetterIsBounded(t *testing.T) {
	tmpl, findings := letter.Parse(emailOf("Subject: x\n{{range .data}}"+strings.Repeat("x", 1000)+"{{end}}", ""), euros)
	if tmpl == nil {
		t.Fatal(findings)
	}
	if _, err := tmpl.Fill(letter.Data{Data: make([]any, 1000)}); err == nil ||
		!strings.Contains(err.Error(), "at most 512 KB") {
		t.Errorf("a letter of a megabyte is %v", err)
	}
}

func TestRecordsAreFields(t *testing.T) {
	boss := value.NewShape("users", []value.Field{{Name: "id", Type: value.Type{Kind: value.TypeID}},
		{Name: "name", Type: value.Type{Kind: value.TypeString}}})
	shape := value.NewShape("orders", []value.Field{
		{Name: "id", Type: value.Type{Kind: value.TypeID}},
		{Name: "customer", Type: value.Type{Kind: value.TypeRelation, Of: "users"}},
		{Name: "lost", Type: value.Type{Kind: value.TypeRelation, Of: "users"}},
		{Name: "day", Type: value.Type{Kind: value.TypeDate}},
		{Name: "extra", Type: value.Type{Kind: value.TypeJSON}}})
	order := value.NewRecord(shape)
	order.Set("customer", value.OfText("u1"))
	order.Set("lost", value.OfText("u2"))
	order.Set("day", value.OfMillis(value.Date, 0))
	order.Set("extra", value.OfJSON(`{"lines":[{"n":12345678901234567}]}`))
	fields, err := letter.FieldsOf(order, func(of, id string) (value.Record, error) {
		if of != "users" || id != "u1" {
			return value.Record{}, nil
		}
		r := value.NewRecord(boss)
		r.Set("id", value.OfText(id))
		r.Set("name", value.OfText("Ana"))
		return r, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	l := fill(t, "Subject: {{.record.customer}} {{.record.customer.name}} {{.record.lost}} "+
		"{{.record.day}} {{date .record.day}} {{range .record.extra.lines}}{{.n}}{{end}}\n", "",
		letter.Data{Record: fields})
	if want := "u1 Ana u2 1970-01-01 1 January 1970 12345678901234567"; l.Subject != want {
		t.Errorf("got %q, want %q", l.Subject, want)
	}
}

func TestWhatIsEmptyIsWrittenAsNothing(t *testing.T) {
	l := fill(t, "Subject: a{{.record.gone}}b\n<p>a{{.record.gone}}b</p>", "a{{.record.gone}}b",
		letter.Data{Record: letter.Fields{"gone": letter.Nothing(nil)}})
	if l.Subject != "ab" || l.HTML != "<p>ab</p>" || l.Plain != "ab" {
		t.Errorf("got %+v", l)
	}
}

func FuzzPlain(f *testing.F) {
	for _, page := range []string{"<p>a<b>c</b></p>", "a < b > c", "<!-- a", "<a href='x>y'>z</a>",
		"<script>if (a < b) {}</script>x", "<a href=\"https://a.example/?x=1&amp;y\">b</a>", "<", "<>", "</>"} {
		f.Add(page)
	}
	f.Fuzz(func(t *testing.T, page string) {
		plain := letter.Plain(page)
		if !strings.HasSuffix(plain, "\n") || strings.Contains(plain, "\n\n\n") && !strings.Contains(page, "\n") {
			t.Errorf("%q becomes %q", page, plain)
		}
	})
}
