package socket_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/galleybackend/galley/testdata/hostile"
)

// heard sends a message and tells what becomes of the socket: answer, refused with a
// status, nothing, or the code with which it is closed. A second message, the control,
// shows that nothing was the answer.
func heard(w *world, message string) string {
	c := w.dialRaw("")
	defer func() { _ = c.Close() }()
	c.send(frame(fin|opText, message), frame(fin|opText, `{"id":77,"method":"GET","path":"/api/health"}`))
	for said := "nothing"; ; {
		first, payload, err := c.next()
		var got struct {
			ID     int
			Status int
			OK     json.RawMessage
		}
		switch {
		case err != nil:
			return "cut off"
		case first == fin|opClose && len(payload) > 2:
			return fmt.Sprint(int(payload[0])<<8 | int(payload[1]))
		case first != fin|opText || json.Unmarshal(payload, &got) != nil:
			return fmt.Sprintf("frame %x %q", first, payload)
		case got.ID == 77 && got.Status == 200:
			if said != "nothing" || !strings.Contains(message, `"id":1,`) {
				return said
			}
		case got.ID == 1 && (got.Status == 200 || got.OK != nil):
			return "answer"
		case got.ID == 1:
			said = fmt.Sprint("refused ", got.Status)
			return said
		}
	}
}

func TestHostileMessagesAreRefusedOrAnswered(t *testing.T) {
	w := open(t, board)
	texts := hostile.JSONTexts(t)
	places := []struct{ name, before, after string }{
		{"frame", "", ""},
		{"body", `{"id":1,"method":"POST","path":"/api/news","key":"k","body":`, `}`},
		{"id", `{"method":"GET","path":"/api/health","id":`, `}`},
		{"state", `{"id":1,"join":"x","state":`, `}`},
		{"follow", `{"id":1,"follow":`, `}`},
		{"ack", `{"ack":`, `}`},
	}
	for _, p := range places {
		for name, text := range texts {
			message := p.before + text + p.after
			got := heard(w, message)
			valid := json.Valid([]byte(message))
			switch {
			case got == "4400" || strings.HasPrefix(got, "refused 4"):
			case got == "nothing" && valid && p.name != "body" && p.name != "follow":
			case got == "answer" && valid:
			default:
				t.Errorf("%s %s: %q is %s", p.name, name, message, got)
			}
		}
	}
	if got := heard(w, `{"id":1,"method":"GET","path":"/api/news"}`); got != "answer" {
		t.Errorf("the control is %s", got)
	}
	if strings.Contains(w.log.String(), "panic") {
		t.Error("something broke")
	}
}

func TestNaughtyStringsAreRefusedOrAnswered(t *testing.T) {
	w := open(t, board)
	ana := w.signUp("ana")
	for _, s := range hostile.Naughty(t) {
		q, l := text(s), ana.dial()
		for _, f := range []string{
			`{"follow":` + q + `}`, `{"follow":"cards","filter":` + q + `}`,
			`{"follow":"cards","sort":` + q + `}`, `{"follow":"cards","since":` + q + `}`,
			`{"unfollow":` + q + `}`, `{"join":` + q + `}`, `{"send":` + q + `,"message":` + q + `}`,
			`{"method":` + q + `,"path":"/api/cards"}`, `{"method":"GET","path":` + q + `}`,
			`{"method":"POST","path":"/api/auth/sign-out","key":` + q + `,"body":` + q + `}`,
		} {
			got := l.ask(f)
			status, _ := got["status"].(float64)
			if got["ok"] == nil && (status < 200 || status >= 500) {
				t.Errorf("%s is %v", f, got)
			}
		}
		// What is taken comes back as it was sent, in an answer and in a push.
		if got := l.ask(fmt.Sprintf(`{"method":"POST","path":"/api/news","key":%q,"body":{"text":%s}}`,
			key(), q)); got["status"] == 201.0 {
			id := got["body"].(map[string]any)["id"].(string)
			_, over := ana.do("GET", "/api/news/"+id, "")
			if text(over) != text(got["body"]) {
				t.Errorf("%s is %v, over HTTP %v", q, got["body"], over)
			}
		}
		_ = l.ws.CloseNow() // it has said what it had to
	}
}
