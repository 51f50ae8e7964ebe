// Package hook is the door for signed calls from outside, the app file's webhooks. It
// promises that the app's code hears of nothing but what the holder of the secret sent,
// byte for byte, and of each call once, however often it is sent. What a call means is
// left to the code.
package hook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
)

// Config is what a Door needs.
type Config struct {
	// Spec returns the app file in force.
	Spec func() *spec.Spec
	// Secret returns the value of a secret of the app, "" where there is none.
	Secret func(name string) string
	// Take has the app's code take the event, once for each id.
	Take func(context.Context, engine.Call, engine.Event) (engine.Reply, error)
	// Now tells the time; nil means the machine's clock.
	Now func() time.Time
}

// Door takes signed calls. It is safe for concurrent use.
type Door struct{ Config }

// New returns a door.
func New(c Config) *Door {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Door{c}
}

// Take verifies a call of the webhook that is its Target and has the app's code take
// it. A repetition is answered as the first was. An error is a *fault.Fault.
func (d *Door) Take(ctx context.Context, call engine.Call, p transport.Passed) (
	transport.Raw, error) {
	w := d.Spec().Webhook(call.Target)
	if w == nil || p.Path != "" {
		return transport.Raw{}, fault.New(fault.NotFound, "There is nothing at this address.")
	}
	call.Seen.Begin("verify")
	if s := call.Seen; s != nil {
		s.Operation = "webhooks." + w.Name
	}
	if err := auth.VerifyWebhook(w, d.Secret(w.Secret.Name), p.Header, p.Body, d.Now()); err != nil {
		return transport.Raw{}, err
	}
	body, err := parse(p)
	if err != nil {
		return transport.Raw{}, err
	}
	id := idOf(w.ID.Source, p.Header, body)
	if id == "" {
		return transport.Raw{}, fault.New(fault.Malformed,
			"The call has no id: a text or a number is wanted at %s.", w.ID.Source)
	}
	call.Seen.End()
	reply, err := d.Config.Take(ctx, call, event(w.Name, keyOf(id), body, p))
	if err != nil {
		return transport.Raw{}, err
	}
	raw := transport.Raw{Status: http.StatusOK, Header: http.Header{}}
	if reply.Replayed {
		raw.Header.Set("Idempotent-Replayed", "true")
	}
	return raw, nil
}

// parse returns the JSON of a body, nil where it is something else.
func parse(p transport.Passed) (json.RawMessage, error) {
	if json.Valid(p.Body) && utf8.Valid(p.Body) {
		return p.Body, nil
	}
	if strings.Contains(strings.ToLower(p.Header.Get("Content-Type")), "json") {
		return nil, fault.New(fault.Malformed, "The body is not the JSON that it says it is.")
	}
	return nil, nil
}

// idOf returns what tells a call from others, "" if it is not there.
func idOf(where string, h http.Header, body json.RawMessage) string {
	if name, found := strings.CutPrefix(where, spec.IDHeader); found {
		return h.Get(name)
	}
	path := strings.TrimPrefix(where, spec.IDBody)
	for part := range strings.SplitSeq(path, ".") {
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil {
			return ""
		}
		body = object[part]
	}
	var text string
	if json.Unmarshal(body, &text) == nil {
		return text
	}
	var number json.Number
	if json.Unmarshal(body, &number) == nil {
		return number.String()
	}
	return ""
}

// keyMax is the greatest length of an id that is a key as it is.
const keyMax = 200

// keyOf makes a key of an id.
func keyOf(id string) string {
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' || len(id) > keyMax {
			sum := sha256.Sum256([]byte(id))
			return "sha256-" + hex.EncodeToString(sum[:])
		}
	}
	return id
}

// hidden are headers that are none of the code's business.
var hidden = map[string]bool{"Authorization": true, "Cookie": true, "Connection": true}

// event is what the code hears. A body that is no text is left out of raw.
func event(name, id string, body json.RawMessage, p transport.Passed) engine.Event {
	e := engine.Event{Webhook: name, ID: id, Body: string(body), Headers: "{}"}
	headers := map[string]string{}
	for name, values := range p.Header {
		if !hidden[name] && len(values) > 0 && utf8.ValidString(values[0]) {
			headers[strings.ToLower(name)] = values[0]
		}
	}
	if text, err := json.Marshal(headers); err == nil { // texts can always be written
		e.Headers = string(text)
	}
	if utf8.Valid(p.Body) && !bytes.ContainsRune(p.Body, 0) {
		e.Raw = string(p.Body)
	}
	return e
}
