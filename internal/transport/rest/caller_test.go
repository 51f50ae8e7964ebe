package rest_test

import (
	"bytes"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/value"
)

func TestCredentials(t *testing.T) {
	s := &script{answer: engine.Answer{Items: []engine.Item{pen()}},
		reply: engine.Reply{Item: pen()}}
	for _, c := range []struct {
		name, target, header, value, want string
	}{
		{"bearer", "/api/products", "Authorization", "Bearer abc", "abc"},
		{"lower case", "/api/products", "Authorization", "bearer abc", "abc"},
		{"host cookie", "https://shop.example/api/products", "Cookie", "__Host-galley=abc", "abc"},
		{"among others", "https://shop.example/api/products", "Cookie",
			"a=b; __Host-galley=abc; c=d", "abc"},
		{"plain at home", "http://localhost:8080/api/products", "Cookie", "galley=abc", "abc"},
		{"plain elsewhere", "https://shop.example/api/products", "Cookie", "galley=abc", ""},
		{"plain without TLS", "http://shop.example/api/products", "Cookie", "galley=abc", ""},
		{"nobody", "/api/products", "Cookie", "other=abc", ""},
	} {
		if res := ask(t, s, request("GET", c.target, "", c.header,
			c.value)); res.StatusCode != 200 {
			t.Errorf("%s is %d", c.name, res.StatusCode)
		}
		if got := s.last().Credential; got != c.want {
			t.Errorf("%s is %q, want %q", c.name, got, c.want)
		}
	}
	ask(t, s, request("GET", "/api/products", "", "Authorization", "Bearer one", "Cookie",
		"galley=two"))
	if got := s.last().Credential; got != "one" {
		t.Errorf("with both the credential is %q, want the bearer's", got)
	}
	for _, bad := range []string{"Basic YTpi", "Bearer", "Bearer ", "abc", "Bearer " +
		strings.Repeat("x", 600)} {
		res := ask(t, s, request("GET", "/api/products", "", "Authorization", bad))
		if res.StatusCode != 401 || res.Header.Get("Www-Authenticate") != "Bearer" {
			t.Errorf("%.20s is %d, want 401", bad, res.StatusCode)
		}
	}
}

func TestPagesOfOtherOriginsCannotWrite(t *testing.T) {
	const home = "https://shop.example/api/products"
	for _, c := range []struct {
		name    string
		headers []string
		want    int
	}{
		{"same origin", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://shop.example"},
			201},
		{"old browser", []string{"Origin", "https://shop.example"}, 201},
		{"no browser", nil, 201},
		{"cross site", []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"sister host", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://blog.example"},
			403},
		{"old browser elsewhere", []string{"Origin", "https://evil.example"}, 403},
		{"null origin", []string{"Origin", "null"}, 403},
		{"bearer from elsewhere", []string{"Sec-Fetch-Site", "cross-site", "Authorization",
			"Bearer t"}, 201},
	} {
		s := &script{reply: engine.Reply{Item: pen()}}
		headers := append([]string{"Cookie", "__Host-galley=abc"}, c.headers...)
		res := ask(t, s, request("POST", home, "{}", headers...))
		if res.StatusCode != c.want {
			t.Errorf("%s is %d, want %d", c.name, res.StatusCode, c.want)
		}
		if c.want == 403 && len(s.calls) > 0 {
			t.Errorf("%s reached the engine", c.name)
		}
	}
}

func TestForwardedAddressesAreNotBelieved(t *testing.T) {
	s := &script{}
	ask(t, s, request("GET", "/api/products", "", "X-Forwarded-For", "10.0.0.1", "X-Real-Ip",
		"10.0.0.1",
		"Forwarded", "for=10.0.0.1", "True-Client-Ip", "10.0.0.1", "X-Forwarded-Host",
		"evil.example"))
	if got := s.last().Request.IP; got != "192.0.2.1" {
		t.Errorf("the address is %q, want the peer's", got)
	}
}

func TestDevAnswersOnlyToItsOwnNames(t *testing.T) {
	for host, want := range map[string]int{"localhost:8080": 200, "127.0.0.1:8080": 200,
		"[::1]:8080": 200, "shop.localhost": 200,
		"192.168.1.7:8080": 200, "evil.example": 403, "localhost.evil.example:8080": 403,
		"127.0.0.1.evil.example": 403, "": 403} {
		for _, path := range []string{"/api/health", "/api/products"} {
			r := request("GET", path, "")
			r.Host = host
			w := httptest.NewRecorder()
			rest.New(rest.Config{Engine: &script{}, Dev: true}).ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%q is %d, want %d", host, w.Code, want)
			}
		}
	}
}

func TestTracesAreContinued(t *testing.T) {
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	s := &script{}
	res := ask(t, s, request("GET", "/api/products", "", "Traceparent",
		"00-"+trace+"-00f067aa0ba902b7-01"))
	got := res.Header.Get("Traceparent")
	if !strings.HasPrefix(got, "00-"+trace+"-") || strings.Contains(got, "00f067aa0ba902b7") {
		t.Errorf("the trace goes on as %q", got)
	}
	for _, bad := range []string{"x", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01",
		"00-" + trace + "-00f067aa0ba902b7-0g", "ff-" + trace + "-00f067aa0ba902b7-01"} {
		if got := ask(t, s, request("GET", "/api/products", "", "Traceparent",
			bad)).Header.Get("Traceparent"); got != "" {
			t.Errorf("%q goes on as %q", bad, got)
		}
	}
}

func TestSignInSetsACookieOrReturnsATokenButNotBoth(t *testing.T) {
	shape := value.NewShape("session", []value.Field{
		{Name: "user", Type: value.Type{Kind: value.TypeRelation, Of: "users"}},
		{Name: "token", Type: value.Type{Kind: value.TypeString}},
		{Name: "refresh_token", Type: value.Type{Kind: value.TypeString}},
		{Name: "expires", Type: value.Type{Kind: value.TypeTime}}})
	out := value.NewRecord(shape)
	out.Slots[0], out.Slots[1] = value.OfText(id), value.OfText("tok")
	out.Slots[3] = value.OfTime(time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC))
	s := &script{reply: engine.Reply{Output: value.OfRecord(out)},
		answer: engine.Answer{Items: []engine.Item{pen()}}}
	res := ask(t, s, request("POST", "https://shop.example/api/auth/sign-in", `{}`, "Cookie",
		"__Host-galley=old"))
	body, _ := io.ReadAll(res.Body)
	cookie := res.Header.Get("Set-Cookie")
	if res.StatusCode != 200 || !strings.HasPrefix(string(body), `{"user":{"id":"`) ||
		bytes.Contains(body, []byte("tok")) {
		t.Errorf("sign-in is %d %s", res.StatusCode, body)
	}
	for _, want := range []string{"__Host-galley=tok", "Path=/", "HttpOnly", "Secure",
		"SameSite=Lax"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("%s is not in the cookie %q", want, cookie)
		}
	}
	if s.calls[0].Credential != "" || s.calls[1].Credential != "tok" {
		t.Errorf("the credentials are %q, then %q", s.calls[0].Credential, s.calls[1].Credential)
	}
	res = ask(t, s, request("POST", "http://127.0.0.1:8080/api/auth/sign-in", `{}`))
	if cookie := res.Header.Get("Set-Cookie"); !strings.HasPrefix(cookie, "galley=tok") ||
		strings.Contains(cookie, "Secure") {
		t.Errorf("at home the cookie is %q", cookie)
	}
	out.Slots[2] = value.OfText("again")
	res = ask(t, s, request("POST", "https://shop.example/api/auth/sign-in", `{"token":true}`))
	body, _ = io.ReadAll(res.Body)
	if res.Header.Get("Set-Cookie") != "" || !bytes.Contains(body,
		[]byte(`,"token":"tok","refresh_token":"again","expires":"2030-01-02T03:04:05.000Z"}`)) {
		t.Errorf("with a token it is %v %s", res.Header, body)
	}
}

func TestAnEndedSessionIsTakenOutOfTheBrowser(t *testing.T) {
	s := &script{err: fault.New(fault.Unauthenticated, "It has ended.")}
	res := ask(t, s, request("GET", "https://shop.example/api/products", "", "Cookie",
		"__Host-galley=old"))
	if c := res.Header.Get("Set-Cookie"); res.StatusCode != 401 || !strings.Contains(c,
		"Max-Age=0") {
		t.Errorf("got %d, cookie %q", res.StatusCode, c)
	}
	res = ask(t, s, request("GET", "https://shop.example/api/products", "", "Authorization",
		"Bearer old"))
	if c := res.Header.Get("Set-Cookie"); c != "" {
		t.Errorf("a bearer's browser gets %q", c)
	}
}

func TestSignInPathsNameBuiltInActions(t *testing.T) {
	for _, c := range []struct{ method, path, body, action, sent string }{
		{"POST", "sign-up", `{"a":1}`, "auth/sign-up", `{"a":1}`},
		{"POST", "sign-out", "", "auth/sign-out", ""},
		{"POST", "refresh", `{}`, "auth/refresh", `{}`},
		{"GET", "session", "", "auth/session", ""},
		{"GET", "sessions", "", "auth/sessions", ""},
		{"DELETE", "sessions/" + id, "", "auth/sessions/end", `{"id":"` + id + `"}`},
		{"PUT", "password", `{}`, "auth/password", `{}`},
		{"DELETE", "account", "", "auth/account/delete", ""},
	} {
		s := &script{}
		res := ask(t, s, request(c.method, "/api/auth/"+c.path, c.body))
		if got := s.last(); res.StatusCode != 204 || got.Verb != engine.Action ||
			got.Target != c.action || string(got.Body) != c.sent {
			t.Errorf("%s %s is %d, %s %s", c.method, c.path, res.StatusCode, got.Target, got.Body)
		}
	}
}
