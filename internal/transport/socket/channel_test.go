package socket_test

import (
	"fmt"
	"strings"
	"testing"
)

// rooms is an app with channels.
const rooms = board + `channels:
  room/{room:string}:
    join: auth != null
    send: auth != null
    presence: [name]
`

func TestChannelsOverTheSocket(t *testing.T) {
	w := open(t, rooms)
	ana, bo := w.signUp("ana"), w.signUp("bo")
	a, b := ana.dial(), bo.dial()
	present := func(got map[string]any) []any {
		t.Helper()
		all, ok := got["ok"].(map[string]any)["present"].([]any)
		if !ok {
			t.Fatalf("the answer is %v", got)
		}
		return all
	}
	if got := w.dial().ask(`{"join":"room/tea"}`); got["status"] != 401.0 && got["status"] != 403.0 {
		t.Errorf("a stranger's join is %v", got)
	}
	if got := a.ask(`{"send":"room/tea","message":1}`); got["status"] == nil || got["ok"] != nil {
		t.Errorf("sending from outside is %v", got)
	}
	joining := a.ask(`{"join":"room/tea","state":{"cursor":[1, 2]}}`)
	first := present(joining)
	if len(first) != 1 || !strings.Contains(text(first[0]), `"name":"ana"`) ||
		!strings.Contains(text(first[0]), `"cursor":[1,2]`) {
		t.Fatalf("present is %v", text(first))
	}
	who := first[0].(map[string]any)["who"]
	if got := joining["ok"].(map[string]any)["who"]; got != who {
		t.Errorf("who joined is %v, and %v is there", got, who)
	}
	// Who is in a channel is so as the one who joined.
	for credential, status := range map[string]any{ana.token: nil, bo.token: 400.0} {
		if got := a.ask(fmt.Sprintf(`{"auth":%q}`, credential)); got["status"] != status {
			t.Errorf("authentication in a channel is answered %v, want %v", got, status)
		}
	}
	if all := present(b.ask(`{"join":"room/tea"}`)); len(all) != 2 {
		t.Errorf("present is %v", all)
	}
	joined := a.push()
	if !strings.Contains(text(joined["joined"]), `"name":"bo"`) || joined["channel"] != "room/tea" {
		t.Errorf("the push is %v", joined)
	}
	// In the order in which they were sent, with and without an id.
	for n := range 5 {
		a.send(fmt.Sprintf(`{"send":"room/tea","message":{"n":%d}}`, n))
	}
	if got := a.ask(`{"send":"room/tea","message":"last"}`); text(got["ok"]) != "{}" {
		t.Errorf("send is %v", got)
	}
	for n := range 6 {
		want := fmt.Sprintf(`{"n":%d}`, n)
		if n == 5 {
			want = `"last"`
		}
		p := b.push()
		if text(p["message"]) != want || p["from"] != who || p["user"] != ana.id {
			t.Errorf("message %d is %v", n, p)
		}
	}
	a.send(`{"state":"room/tea","value":{"cursor":[5,6]}}`)
	if p := b.push(); text(p["state"]) != fmt.Sprintf(`{"value":{"cursor":[5,6]},"who":%q}`, who) {
		t.Errorf("the state is %v", text(p))
	}
	if got := a.ask(`{"leave":"room/tea"}`); text(got["ok"]) != "{}" {
		t.Errorf("leave is %v", got)
	}
	if p := b.push(); p["left"] != who {
		t.Errorf("the push is %v", p)
	}
	for _, p := range []*person{bo, ana} {
		if got := a.ask(fmt.Sprintf(`{"auth":%q}`, p.token)); text(got["ok"]) != "{}" {
			t.Errorf("authentication outside of channels is answered %v", got)
		}
	}
	// Who closes has left.
	present(a.ask(`{"join":"room/tea"}`))
	b.push()
	_ = a.ws.CloseNow()
	if p := b.push(); p["left"] != who {
		t.Errorf("the push is %v", p)
	}
	if got := b.ask(`{"join":"nothing/here"}`); got["status"] != 404.0 {
		t.Errorf("a channel that is none is %v", got)
	}
}
