package app_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestSurfaceShowsProxiesAndWebhooks(t *testing.T) {
	a, findings := compile(t, `
app: shop
secrets: [KEY_OF_HOOK]
webhooks:
  stripe: {verify: stripe, secret: KEY_OF_HOOK}
proxies:
  shipping: {url: https://api.example.com/v2, routes: [GET /rates, POST /], allow: true}
`, nil)
	if a == nil {
		t.Fatal(findings)
	}
	var got []string
	for _, r := range a.Surface() {
		got = append(got, fmt.Sprintf("%s %s | %s | %s", r.Method, r.Path, r.Who, strings.Join(r.Out, " ")))
	}
	want := `GET /api/proxy/shipping/rates | everybody | what https://api.example.com/v2/rates answers
POST /api/proxy/shipping | everybody | what https://api.example.com/v2/ answers
POST /hooks/stripe | who signs with KEY_OF_HOOK | `
	if g := strings.Join(got, "\n"); g != want {
		t.Errorf("got\n%s\nwant\n%s", g, want)
	}
}

func TestTheRuleOfAProxyIsCompiled(t *testing.T) {
	a, findings := compile(t, `
app: shop
proxies:
  shipping: {url: https://api.example.com, routes: [GET /rates], allow: record.x == 1}
`, nil)
	if a != nil || !strings.Contains(fmt.Sprint(findings), "record") {
		t.Errorf("got %v", findings)
	}
}
