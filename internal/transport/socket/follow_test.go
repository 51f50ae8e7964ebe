package socket_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

func TestWhatIsFollowedIsKeptTrue(t *testing.T) {
	w := open(t, board)
	ana, bo := w.signUp("ana"), w.signUp("bo")
	first := ana.make("cards", `{"title":"first","position":1}`)
	l := ana.dial()
	got := l.ask(`{"follow":"cards","filter":"position < 10.0","sort":"position","limit":500}`)
	ok, _ := got["ok"].(map[string]any)
	items, _ := ok["items"].([]any)
	if len(items) != 1 || items[0].(map[string]any)["id"] != first || ok["at"] == nil {
		t.Fatalf("the answer is %v", got)
	}
	_, over := ana.do("GET", "/api/cards/"+first, "")
	if text(items[0]) != text(over) {
		t.Errorf("followed %v, over HTTP %v", items[0], over)
	}
	second := ana.make("cards", `{"title":"second","position":2}`)
	ana.make("cards", `{"title":"far","position":20}`)
	bo.make("cards", `{"title":"not ana's","position":3}`)
	p := l.push()
	change := p["changes"].([]any)[0].(map[string]any)["put"].(map[string]any)
	if p["sub"] != ok["sub"] || change["id"] != second || p["by"] != nil {
		t.Errorf("the push is %v", p)
	}
	// Its own call over the socket: by, and a place that stands in a push.
	got = l.ask(fmt.Sprintf(`{"method":"PATCH","path":"/api/cards/%s","key":%q,"body":{"position":11}}`,
		second, key()))
	if got["status"] != 200.0 || got["at"] == nil {
		t.Fatalf("the call is %v", got)
	}
	p = l.push()
	if c := p["changes"].([]any)[0].(map[string]any); c["del"] != second || p["at"] != got["at"] ||
		p["by"] == nil {
		t.Errorf("the push is %v, the call %v", p, got)
	}
	// A call that touches nothing that is followed: the place alone.
	got = l.ask(`{"method":"POST","path":"/api/news","key":"n1","body":{"text":"x"}}`)
	for p = l.push(); p["at"] != got["at"]; p = l.push() {
		if p["sub"] != nil {
			t.Fatalf("a push of %v", p)
		}
	}
	l.send(fmt.Sprintf(`{"ack":%q}`, got["at"]))
	if got := l.ask(fmt.Sprintf(`{"unfollow":%q}`, ok["sub"])); text(got["ok"]) != "{}" {
		t.Errorf("unfollow is %v", got)
	}
	if got := l.ask(fmt.Sprintf(`{"unfollow":%q}`, ok["sub"])); got["status"] != 404.0 {
		t.Errorf("unfollow again is %v", got)
	}
	// Since.
	ana.make("cards", `{"title":"third","position":3}`)
	got = l.ask(fmt.Sprintf(`{"follow":"cards","filter":"position < 10.0","sort":"position",`+
		`"limit":500,"since":%q}`, ok["at"]))
	since, _ := got["ok"].(map[string]any)
	if changes, _ := since["changes"].([]any); len(changes) == 0 || since["items"] != nil {
		t.Errorf("since is %v", got)
	}
	got = l.ask(`{"follow":"cards","filter":"position < 10.0","since":"other:12"}`)
	if reset, _ := got["ok"].(map[string]any); reset["reset"] != true || len(reset["items"].([]any)) != 2 {
		t.Errorf("a place of another history is %v", got)
	}
}

func TestWhoAsks(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	ana.make("cards", `{"title":"hers"}`)
	count := func(l *line) int {
		ok, _ := l.ask(`{"follow":"cards"}`)["ok"].(map[string]any)
		items, _ := ok["items"].([]any)
		return len(items)
	}
	host := strings.TrimPrefix(w.base, "http://")
	cookie := "galley=" + ana.token
	t.Run("by header", func(t *testing.T) {
		if n := count(ana.dial()); n != 1 {
			t.Errorf("she sees %d", n)
		}
	})
	t.Run("by the first frame", func(t *testing.T) {
		l := w.dial()
		if got := l.ask(`{"auth":"not a token"}`); got["status"] != 401.0 {
			t.Errorf("a wrong token is %v", got)
		}
		if got := l.ask(fmt.Sprintf(`{"auth":%q}`, ana.token)); text(got["ok"]) != "{}" {
			t.Errorf("her token is %v", got)
		}
		if got := l.ask(`{"method":"GET","path":"/api/cards"}`); len(got["body"].(map[string]any)["items"].([]any)) != 1 {
			t.Errorf("her list is %v", got)
		}
		if n := count(l); n != 1 {
			t.Errorf("she sees %d", n)
		}
		if got := l.ask(fmt.Sprintf(`{"auth":%q}`, ana.token)); text(got["ok"]) != "{}" {
			t.Errorf("the same session again is %v", got)
		}
		if got := l.ask(fmt.Sprintf(`{"auth":%q}`, w.signUp("bo").token)); got["status"] != 400.0 {
			t.Errorf("somebody else's session after a follow is %v", got)
		}
	})
	t.Run("a stranger", func(t *testing.T) {
		l := w.dial()
		if n := count(l); n != 0 {
			t.Errorf("a stranger sees %d", n)
		}
		if got := l.ask(`{"method":"POST","path":"/api/cards","key":"k","body":{"title":"x"}}`); got["status"] != 401.0 {
			t.Errorf("a stranger's create is %v", got)
		}
	})
	t.Run("by cookie", func(t *testing.T) {
		if n := count(w.dial("Cookie", cookie, "Origin", "http://"+host)); n != 1 {
			t.Errorf("she sees %d", n)
		}
		if n := count(w.dial("Cookie", cookie)); n != 1 {
			t.Errorf("without a browser she sees %d", n)
		}
	})
	for _, origin := range []string{"http://evil.example", "http://" + host + ".evil.example", "null",
		"http://localhost", "http://" + host + "@evil.example", ""} {
		t.Run("from "+origin, func(t *testing.T) {
			if origin == "" {
				// The control: her own page.
				if _, res, err := w.tryDial("Cookie", cookie, "Origin", w.base); err != nil {
					t.Errorf("her own page: %v %v", res, err)
				}
				return
			}
			_, res, err := w.tryDial("Cookie", cookie, "Origin", origin)
			if err == nil || res == nil || res.StatusCode != 403 {
				t.Errorf("it is let in: %v %v", res, err)
			}
			if _, res, err := w.tryDial("Authorization", "Bearer "+ana.token, "Origin", origin); err != nil {
				t.Errorf("with a token it is %v %v", res, err)
			}
		})
	}
	t.Run("by a session that is none", func(t *testing.T) {
		code, reason := w.dial("Authorization", "Bearer nonsense").closed()
		if code != 4401 || reason == "" {
			t.Errorf("closed with %d %q", code, reason)
		}
	})
	t.Run("another subprotocol", func(t *testing.T) {
		conn := w.dialRaw("", "Sec-WebSocket-Protocol", "graphql-ws")
		if got := conn.story(); got != "close(4400) end" {
			t.Errorf("got %s", got)
		}
	})
	t.Run("no WebSocket", func(t *testing.T) {
		status, p := ana.do("GET", "/api/ws", "")
		if status != 426 || !strings.Contains(fmt.Sprint(p["detail"]), "WebSocket") {
			t.Errorf("a plain GET is %d %v", status, p)
		}
	})
}

func TestASessionThatEndsClosesItsSockets(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	one, two, bo := ana.dial(), ana.dial(), w.signUp("bo").dial()
	for _, l := range []*line{one, two, bo} {
		l.ask(`{"follow":"cards"}`)
	}
	idle := ana.dial()
	idle.ask(`{"method":"GET","path":"/api/health"}`)
	began := time.Now()
	if got := one.ask(`{"method":"POST","path":"/api/auth/sign-out"}`); got["status"] != 204.0 {
		t.Fatalf("sign-out is %v", got)
	}
	for name, l := range map[string]*line{"one": one, "two": two, "idle": idle} {
		if code, reason := l.closed(); code != 4401 || reason == "" {
			t.Errorf("%s is closed with %d %q", name, code, reason)
		}
	}
	// Who is only looked at now and then would be cut off after half a minute.
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
	if got := bo.ask(`{"method":"GET","path":"/api/health"}`); got["status"] != 200.0 {
		t.Errorf("somebody else's socket is %v", got)
	}
}

func TestTheServerClosesInOrder(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	l, stranger := ana.dial(), w.dial()
	l.ask(`{"follow":"cards"}`)
	stranger.ask(`{"method":"GET","path":"/api/health"}`)
	events := ana.events("/api/events?follow=cards", "")
	events.next()
	// A call that has begun is answered before the socket closes.
	l.send(`{"id":900,"method":"POST","path":"/api/cards","key":"last","body":{"title":"last"}}`)
	began := time.Now()
	go w.stop()
	for name, l := range map[string]*line{"hers": l, "a stranger's": stranger} {
		told := false
		for {
			got, err := l.read()
			if closing, ok := got["closing"].(map[string]any); ok {
				told = true
				if closing["code"] != 1012.0 || closing["reconnect_in"].(float64) < 1 {
					t.Errorf("%s is told %v", name, closing)
				}
			}
			var ce websocket.CloseError
			if errorAs(err, &ce) {
				if ce.Code != 1012 || !told {
					t.Errorf("%s is closed with %v, told before: %v", name, ce, told)
				}
				break
			}
			if err != nil {
				t.Errorf("%s is cut off: %v", name, err)
				break
			}
		}
	}
	for e, ok := events.next(); ok; e, ok = events.next() {
		t.Logf("event %v", e)
	}
	w.stop()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("the server took %v to close", took)
	}
}

func TestBoundsAreNamed(t *testing.T) {
	w := open(t, board)
	l := w.signUp("ana").dial()
	refused := 0
	for n := range 301 {
		l.send(fmt.Sprintf(`{"id":%d,"follow":"news","filter":"text == \"%d\""}`, n+1, n))
	}
	for range 301 {
		got, err := l.read()
		if err != nil || got["id"] == nil {
			t.Fatalf("an answer is %v %v", got, err)
		}
		if p, ok := got["problem"].(map[string]any); ok {
			refused++
			if got["status"] != 429.0 || !strings.Contains(fmt.Sprint(p["detail"]), "200") {
				t.Fatalf("a subscription is refused with %v", got)
			}
		}
	}
	if refused != 101 {
		t.Errorf("%d were refused, want 101", refused)
	}
}
