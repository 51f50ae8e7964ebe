package hook_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/hook"
)

const secret = "a-secret-of-hooks"

// take signs a body and has the door take it. It returns what the code heard.
func take(t *testing.T, id string, body string, headers ...string) (engine.Event, error) {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	h := http.Header{"X-Signature": {hex.EncodeToString(mac.Sum(nil))},
		"Cookie": {"a=b"}, "Authorization": {"Basic x"}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	var heard engine.Event
	d := hook.New(hook.Config{
		Spec: func() *spec.Spec {
			return &spec.Spec{Webhooks: []*spec.Webhook{{Name: "x", Verify: spec.VerifyHMAC,
				Header: "X-Signature", ID: spec.Text{Source: id}}}}
		},
		Secret: func(string) string { return secret },
		Take: func(_ context.Context, _ engine.Call, e engine.Event) (engine.Reply, error) {
			heard = e
			return engine.Reply{}, nil
		},
	})
	_, err := d.Take(t.Context(), engine.Call{Target: "x"},
		transport.Passed{Header: h, Body: []byte(body)})
	return heard, err
}

func TestTheIDIsFoundWhereItIsSaidToBe(t *testing.T) {
	for _, c := range []struct{ where, body, want string }{
		{"body.id", `{"id":"evt_1"}`, "evt_1"},
		{"body.id", `{"id":17}`, "17"},
		{"body.id", `{"id":1.50}`, "1.50"},
		{"body.event.id", `{"event":{"id":"a"},"id":"b"}`, "a"},
		{"body.id", `{"id":null}`, ""},
		{"body.id", `{"id":true}`, ""},
		{"body.id", `{"id":["a"]}`, ""},
		{"body.id", `{"ID":"a"}`, ""},
		{"body.id.id", `{"id":"a"}`, ""},
		{"body.id", `["a"]`, ""},
		{"body.id", `a=b`, ""},
		{"header.X-Event", `a=b`, "h1"},
	} {
		e, err := take(t, c.where, c.body, "X-Event", "h1")
		if e.ID != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s in %s: got %q, %v; want %q", c.where, c.body, e.ID, err, c.want)
		}
		if c.want == "" && !fault.Is(err, fault.Malformed) {
			t.Errorf("%s in %s: got %v", c.where, c.body, err)
		}
	}
}

func TestAnIDThatIsNoKeyIsOneStill(t *testing.T) {
	long, err := take(t, "body.id", `{"id":"`+strings.Repeat("a", 300)+`"}`)
	if err != nil || !strings.HasPrefix(long.ID, "sha256-") || len(long.ID) > 255 {
		t.Errorf("got %q, %v", long.ID, err)
	}
	other, err := take(t, "body.id", `{"id":"`+strings.Repeat("a", 301)+`"}`)
	if err != nil || other.ID == long.ID {
		t.Error("two ids are one key")
	}
	if e, err := take(t, "body.id", `{"id":"with a blank"}`); err != nil || !strings.HasPrefix(e.ID, "sha256-") {
		t.Errorf("got %q, %v", e.ID, err)
	}
}

func TestTheCodeHearsTheCallAndNoCredentials(t *testing.T) {
	e, err := take(t, "header.X-Event", "a=1&b=2", "X-Event", "h1",
		"Content-Type", "application/x-www-form-urlencoded")
	if err != nil || e.Body != "" || e.Raw != "a=1&b=2" || !strings.Contains(e.Headers, `"x-event":"h1"`) ||
		strings.Contains(e.Headers, "cookie") || strings.Contains(e.Headers, "authorization") {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err = take(t, "header.X-Event", "\x00\xff", "X-Event", "h1"); err != nil || e.Raw != "" || e.Body != "" {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err = take(t, "header.X-Event", "{", "X-Event", "h1", "Content-Type", "application/json"); err == nil {
		t.Error("what says that it is JSON and is none is taken")
	}
}
