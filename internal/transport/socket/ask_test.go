package socket_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/coder/websocket"
)

func errorAs(err error, target *websocket.CloseError) bool { return errors.As(err, target) }

func TestAnswersAreThoseOfHTTP(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	l := ana.dial()
	card := ana.make("cards", `{"title":"a","position":1}`)
	for _, c := range []struct{ name, method, path, body, ifMatch string }{
		{name: "a record", method: "GET", path: "/api/cards/" + card},
		{name: "a list", method: "GET", path: "/api/cards?filter=position%20%3C%205.0&limit=1&total=true"},
		{name: "an aggregate", method: "GET", path: "/api/cards/aggregate?select=n:count()"},
		{name: "a list of a stranger's", method: "GET", path: "/api/users"},
		{name: "the session", method: "GET", path: "/api/auth/session"},
		{name: "health", method: "GET", path: "/api/health"},
		{name: "a create", method: "POST", path: "/api/cards", body: `{"title":"b"}`},
		{name: "a bad create", method: "POST", path: "/api/cards", body: `{"titel":"b"}`},
		{name: "a wrong type", method: "POST", path: "/api/cards", body: `{"title":5}`},
		{name: "no body", method: "POST", path: "/api/cards"},
		{name: "a refusal", method: "PATCH", path: "/api/cards/" + card, body: `{"position":2000}`},
		{name: "a stale patch", method: "PATCH", path: "/api/cards/" + card, body: `{"title":"c"}`,
			ifMatch: `"7"`},
		{name: "a batch", method: "POST", path: "/api/batch", body: `{"requests":[{"method":"POST",` +
			`"path":"/api/cards","body":{"title":"d"}}]}`},
		{name: "nothing there", method: "GET", path: "/api/cards/01k9vq3k1c0000000000000000"},
		{name: "no such collection", method: "GET", path: "/api/nothing"},
		{name: "another method", method: "PUT", path: "/api/cards"},
		{name: "a path in another spelling", method: "GET", path: "/api/c%61rds"},
		{name: "a parameter twice", method: "GET", path: "/api/cards?limit=1&limit=2"},
		{name: "an unknown parameter", method: "GET", path: "/api/cards?limti=1"},
		{name: "a body that is not taken", method: "DELETE", path: "/api/cards/" + card, body: `{}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, frame := key(), ""
			headers := []string{}
			if c.method != "GET" {
				headers = append(headers, "Idempotency-Key", k)
				frame += fmt.Sprintf(`,"key":%q`, k)
			}
			if c.ifMatch != "" {
				headers = append(headers, "If-Match", c.ifMatch)
				frame += fmt.Sprintf(`,"if_match":%q`, c.ifMatch)
			}
			if c.body != "" {
				frame += `,"body":` + c.body
			}
			res := ana.raw(c.method, c.path, c.body, headers...)
			got := l.ask(fmt.Sprintf(`{"method":%q,"path":%q%s}`, c.method, c.path, frame))
			part := "body"
			if res.Status >= 400 {
				part = "problem"
			}
			if got["status"] != float64(res.Status) {
				t.Fatalf("status %v, want %d: %v", got["status"], res.Status, got)
			}
			want, is := same(string(res.Body)), same(text(got[part]))
			if len(res.Body) == 0 {
				want = "null"
			}
			if is != want {
				t.Errorf("got  %s\nwant %s", is, want)
			}
			// What was kept under the key is the first answer, by whatever wire.
			if res.Status == 201 && got["replayed"] != true {
				t.Errorf("the key is not known over the socket: %v", got)
			}
			if at := res.Header.Get("Galley-At"); at != "" && got["at"] != at {
				t.Errorf("at is %v, over HTTP %s", got["at"], at)
			} else if at == "" && got["at"] != nil {
				t.Errorf("at is %v, over HTTP there is none", got["at"])
			}
		})
	}
	// A key is sent in another way than over HTTP.
	got := l.ask(`{"method":"PATCH","path":"/api/cards/` + card + `","body":{"count":{"$add":1}}}`)
	if is := text(got["problem"]); !strings.Contains(is, `"code":"idempotency_key_missing"`) ||
		!strings.Contains(is, `same for its retries: \"key\":`) || strings.Contains(is, "curl") {
		t.Errorf("without a key: got %s", is)
	}
}

// TestPlainHTTPIsToldHowASocketIsOpened asks the socket's address as curl does.
func TestPlainHTTPIsToldHowASocketIsOpened(t *testing.T) {
	w := open(t, board)
	res := (&person{w: w}).raw("GET", "/api/ws", "")
	if res.Status != 426 || res.Header.Get("Upgrade") != "websocket" ||
		!strings.Contains(string(res.Body), "new WebSocket(") {
		t.Errorf("got %d %v %s", res.Status, res.Header, res.Body)
	}
	res = (&person{w: w}).raw("GET", "/api/ws", "", "Upgrade", "websocket", "Connection", "keep-alive, Upgrade")
	if res.Status != 400 || !strings.Contains(string(res.Body), "version 13") {
		t.Errorf("without a version: got %d %s", res.Status, res.Body)
	}
}

// same writes JSON without what differs between any two answers.
func same(body string) string {
	var v any
	if json.Unmarshal([]byte(body), &v) != nil {
		return body
	}
	if m, ok := v.(map[string]any); ok {
		delete(m, "request")
	}
	return text(v)
}

func TestWhatIsAskedOverASocketIsSeen(t *testing.T) {
	w := open(t, board)
	l := w.signUp("ana").dial()
	l.ask(`{"method":"GET","path":"/api/cards?filter=true"}`)
	l.ask(`{"method":"GET","path":"/api/nothing"}`)
	l.ask(`{"follow":"nothing"}`)
	for _, want := range []string{
		`"door":"socket","method":"GET","path":"/api/cards","status":200,"operation":"cards.list"`,
		`"door":"socket","method":"GET","path":"/api/nothing","status":404`,
		`"door":"socket","method":"FOLLOW","path":"/nothing","status":404`,
	} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("the log has no %s:\n%s", want, w.log)
		}
	}
	// An entry tells by which wire it came.
	got := l.ask(`{"method":"POST","path":"/api/news","key":"k","body":{"text":"x"}}`)
	other := l.ask(`{"method":"POST","path":"/api/auth/sign-in","body":{"email":"a","password":"b"}}`)
	if got["status"] != 201.0 || other["status"] != 400.0 {
		t.Errorf("a create is %v, a sign-in %v", got, other)
	}
}
