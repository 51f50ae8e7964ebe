package appfile_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
)

const outsideApp = `app: shop
secrets: [SHIPPING_KEY, HOOK_KEY]
collections:
  orders: {fields: {total: money}}
`

// said parses the end of an app file and returns the findings, a line each.
func said(t *testing.T, text string) (*spec.Spec, string) {
	t.Helper()
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(outsideApp + text)})
	var lines []string
	for _, f := range findings {
		line := fmt.Sprintf("%d:%d %s", f.Pos.Line, f.Pos.Column, f.Message)
		if f.Help != "" {
			line += "; " + f.Help
		}
		lines = append(lines, line)
	}
	return s, strings.Join(lines, "\n")
}

func TestProxiesAreRead(t *testing.T) {
	s, findings := said(t, `proxies:
  # What it costs to send.
  shipping:
    url: https://api.shipping.example/v2/
    routes: [GET /rates, "DELETE /labels/{id}"]
    headers:
      authorization: Bearer ${SHIPPING_KEY}
      X-Shop: galley
    allow: auth != null
    cache: 10m
    rate: 30/min
    timeout: 5s
`)
	if findings != "" {
		t.Fatal(findings)
	}
	p := s.Proxy("shipping")
	if p == nil || p.URL != "https://api.shipping.example/v2" || len(p.Routes) != 2 ||
		p.Routes[1].Method != "DELETE" || p.Routes[1].Path != "/labels/{id}" ||
		p.Headers[0].Name != "Authorization" || p.Headers[0].Value != "Bearer ${SHIPPING_KEY}" ||
		p.Allow.Source != "auth != null" || p.Cache != 10*time.Minute || p.Rate.Count != 30 ||
		p.Timeout != 5*time.Second || p.Doc != "What it costs to send." {
		t.Errorf("got %+v", p)
	}
	if !p.Routes[1].Match([]string{"labels", "7"}) || p.Routes[1].Match([]string{"labels"}) ||
		p.Routes[1].Match([]string{"labels", ""}) || p.Routes[1].Match([]string{"label", "7"}) ||
		p.Routes[1].Match([]string{"labels", "7", ""}) {
		t.Error("the route matches what it is not")
	}
}

func TestWrongProxiesAreToldAtTheirPlaces(t *testing.T) {
	const rest = ", routes: [GET /a], allow: true}"
	for _, c := range []struct{ yaml, want string }{
		{"{}", "6:3 p does not say which server is asked"},
		{"{}", "6:3 p lists no routes, so nothing can be asked"},
		{"{}", "6:3 p does not say who may ask; write allow: auth != null"},
		{"{url: http://a.example" + rest, "6:12 url is not encrypted; write https://; http:// is for"},
		{"{url: ftp://a.example" + rest, "6:12 url is a URL of https"},
		{"{url: a.example" + rest, `6:12 "a.example" is no URL of a server`},
		{"{url: 'https://u:p@a.example'" + rest, "6:12 url holds a user or a password"},
		{"{url: 'https://a.example?k=1'" + rest, "6:12 url has a query"},
		{"{url: 'https://a.example/#x'" + rest, "6:12 url has a fragment"},
		{`{url: "https://a.example/\\x"` + rest, "is no URL of a server"},
		{"{urll: https://a.example" + rest, `6:7 p has no key "urll"; did you mean url?`},
		{"{url: https://a.example, allow: true, routes: []}", "6:52 p lists no routes"},
		{"{url: https://a.example, allow: true, routes: [GETT /a]}",
			`6:53 "GETT" is no method of a route; did you mean GET?`},
		{"{url: https://a.example, allow: true, routes: [GET a]}", "6:53 the path of a route begins with /"},
		{"{url: https://a.example, allow: true, routes: [GET /a/../b]}", "has a segment .."},
		{"{url: https://a.example, allow: true, routes: [GET /a%2fb]}", "has other characters"},
		{"{url: https://a.example, allow: true, routes: [GET /a//b]}", "has an empty segment"},
		{"{url: https://a.example, allow: true, routes: ['GET /a{b}']}", "has a {parameter}"},
		{"{url: https://a.example, allow: true, routes: ['GET /{a}', 'GET /{b}']}",
			"6:65 GET /{b} is listed twice"},
		{"{url: https://a.example, allow: true, routes: [POST /a], cache: 1m}",
			"6:70 only what GET answers is kept"},
		{"{url: https://a.example, timeout: 1h" + rest, "6:40 timeout lies between 100ms and 30s"},
		{"{url: https://a.example, headers: {Host: b}" + rest, "6:41 Host is not for an app to set"},
		{"{url: https://a.example, headers: {'A b': b}" + rest, `"A b" is no name of a header`},
		{"{url: https://a.example, headers: {A: '${NONE}'}" + rest, "${NONE} names no secret of this app"},
		{"\n    url: https://a.example\n    routes: [GET /a]\n    allow: true\n    headers:\n" +
			"      A: Bearer ${SHIPING_KEY}", "11:19 ${SHIPING_KEY} names no secret of this app; did you mean SHIPPING_KEY?"},
		{"{url: https://a.example, headers: {A: '${B'}" + rest, "a ${ has no }"},
	} {
		if _, got := said(t, "proxies:\n  p: "+c.yaml+"\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.yaml, got, c.want)
		}
	}
	for _, url := range []string{"http://localhost:8080", "http://127.0.0.1:1/x", "'http://[::1]:2'"} {
		if _, got := said(t, "proxies:\n  p: {url: "+url+rest+"\n"); got != "" {
			t.Errorf("%s: got %s", url, got)
		}
	}
}

func TestWebhooksAreRead(t *testing.T) {
	s, findings := said(t, `webhooks:
  # Payments.
  stripe: {verify: stripe, secret: HOOK_KEY, id: body.id}
  github: {verify: github, secret: HOOK_KEY}
  standard: {verify: standard, secret: HOOK_KEY}
  other: {verify: hmac-sha256, secret: HOOK_KEY, header: x-signature, id: header.x-event}
`)
	if findings != "" {
		t.Fatal(findings)
	}
	for name, id := range map[string]string{"stripe": "body.id", "github": "header.X-Github-Delivery",
		"standard": "header.Webhook-Id", "other": "header.X-Event"} {
		if w := s.Webhook(name); w == nil || w.ID.Source != id || w.Secret.Name != "HOOK_KEY" {
			t.Errorf("%s is %+v", name, w)
		}
	}
	if s.Webhook("stripe").Doc != "Payments." || s.Webhook("other").Header != "X-Signature" {
		t.Error("a comment or a header is not read")
	}
}

func TestWrongWebhooksAreToldAtTheirPlaces(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"{}", "6:3 w does not say how calls are verified"},
		{"{}", "6:3 w has no secret, so anybody could call it"},
		{"{verify: strip, secret: HOOK_KEY}", `6:15 unknown kind of signature "strip"; did you mean stripe?`},
		{"{verify: stripe, secret: HOK_KEY}", "6:31 secret names no secret of this app; did you mean HOOK_KEY?"},
		{"{verify: stripe, secret: sk_live_1}", "name one that stands under secrets"},
		{"{verify: stripe, secret: HOOK_KEY, header: X-A}", "6:49 stripe has its signature in a header of its own"},
		{"{verify: hmac-sha256, secret: HOOK_KEY, id: body.id}", "w does not say which header"},
		{"{verify: hmac-sha256, secret: HOOK_KEY, header: X-A}", "w does not say what tells a call"},
		{"{verify: hmac-sha256, secret: HOOK_KEY, header: 'X A', id: body.id}", `"X A" is no name of a header`},
		{"{verify: stripe, secret: HOOK_KEY, id: id}", `6:45 "id" does not say where the id of a call is`},
		{"{verify: stripe, secret: HOOK_KEY, id: body..id}", "does not say where"},
		{"{verify: stripe, secret: HOOK_KEY, on: a}", `w has no key "on"`},
	} {
		if _, got := said(t, "webhooks:\n  w: "+c.yaml+"\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.yaml, got, c.want)
		}
	}
}

func TestDeliveriesAreRead(t *testing.T) {
	s, findings := said(t, `deliveries:
  # To the partner.
  fulfilment: {on: orders.created, to: https://partner.example/hooks?a=1, secret: HOOK_KEY}
  big: {on: orders.updated, if: record.total > 1000, to: http://localhost:1/, secret: HOOK_KEY, retry: 3}
`)
	if findings != "" {
		t.Fatal(findings)
	}
	d, big := s.Delivery("fulfilment"), s.Delivery("big")
	if d.On.Collection != "orders" || d.To != "https://partner.example/hooks?a=1" || d.Retry != 12 ||
		d.Doc != "To the partner." || big.Retry != 3 || big.If.Source != "record.total > 1000" {
		t.Errorf("got %+v and %+v", d, big)
	}
	for _, c := range []struct{ yaml, want string }{
		{"{}", "6:3 d does not say on which change it is made"},
		{"{}", "6:3 d does not say to whom"},
		{"{}", "6:3 d has no secret to sign with"},
		{"{on: order.created, to: https://a.example, secret: HOOK_KEY}", "did you mean orders?"},
		{"{on: orders.created, to: http://a.example, secret: HOOK_KEY}", "6:31 to is not encrypted"},
		{"{on: orders.created, to: https://a.example, secret: HOOKS_KEY}", "did you mean HOOK_KEY?"},
		{"{on: orders.created, to: https://a.example, secret: HOOK_KEY, retry: 31}", "from 0 to 30"},
	} {
		if _, got := said(t, "deliveries:\n  d: "+c.yaml+"\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s\n got %s\nwant %s", c.yaml, got, c.want)
		}
	}
}
