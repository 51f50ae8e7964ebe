package appfile

import (
	"net/http"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
)

// webhookMax bounds the webhooks of an app.
const webhookMax = 100

var (
	webhookKeys = keys{now: []string{"verify", "header", "secret", "id"}}
	verifyWords = []string{spec.VerifyStripe, spec.VerifyGitHub, spec.VerifyStandard,
		spec.VerifyHMAC}
	// webhookIDs are where each kind has its id, if the app file says nothing else.
	webhookIDs = map[string]string{spec.VerifyStripe: "body.id",
		spec.VerifyGitHub: "header.X-Github-Delivery", spec.VerifyStandard: "header.Webhook-Id"}
)

// webhooks reads the verified calls from outside.
func (r *reader) webhooks(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "webhooks") {
		if !r.named(e.key, "a webhook") {
			continue
		}
		if first := r.spec.Webhook(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Webhooks) >= webhookMax {
			r.fail(e.key, "", "an app has at most %d webhooks", webhookMax)
			return
		}
		r.webhook(e)
	}
}

// webhook reads one of them.
func (r *reader) webhook(e entry) {
	w := &spec.Webhook{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key)}
	r.spec.Webhooks = append(r.spec.Webhooks, w)
	m := r.read(e.value, w.Name, webhookKeys)
	whole := e.value.kind == mapping
	if n := m["verify"]; n != nil {
		if text, ok := r.plain(n, "verify"); ok && slices.Contains(verifyWords, text) {
			w.Verify = text
		} else if ok {
			r.unknown(n, verifyWords, "known are "+strings.Join(verifyWords, ", "),
				"unknown kind of signature %q", text)
		}
	} else if whole && e.value.get("verify") == nil {
		r.fail(e.key, "write verify: "+strings.Join(verifyWords, ", or verify: "),
			"%s does not say how calls are verified", w.Name)
	}
	if n := m["secret"]; n != nil {
		w.Secret = r.secret(n, "secret")
	} else if whole && e.value.get("secret") == nil {
		r.fail(e.key, "write secret: NAME, and secrets: [NAME] at the top",
			"%s has no secret, so anybody could call it", w.Name)
	}
	r.webhookHeader(e, w, m["header"])
	r.webhookID(e, w, m["id"])
}

// webhookHeader reads where the signature of hmac-sha256 is found.
func (r *reader) webhookHeader(e entry, w *spec.Webhook, n *node) {
	switch {
	case w.Verify == "":
	case n == nil && w.Verify == spec.VerifyHMAC && e.value.get("header") == nil:
		r.fail(e.key, "write header: X-Signature", "%s does not say which header holds the signature",
			w.Name)
	case n == nil:
	case w.Verify != spec.VerifyHMAC:
		r.fail(n, "remove it", "%s has its signature in a header of its own", w.Verify)
	default:
		if text, ok := r.plain(n, "header"); ok && isHeader(text) {
			w.Header = http.CanonicalHeaderKey(text)
		} else if ok {
			r.fail(n, "", "%q is no name of a header", text)
		}
	}
}

// webhookID reads what makes two calls the same.
func (r *reader) webhookID(e entry, w *spec.Webhook, n *node) {
	if n == nil {
		w.ID = spec.Text{Source: webhookIDs[w.Verify], Pos: w.Pos}
		if w.Verify == spec.VerifyHMAC && e.value.get("id") == nil {
			r.fail(e.key, "write id: body.id, or id: header.X-Event-Id",
				"%s does not say what tells a call from its repetition", w.Name)
		}
		return
	}
	text, ok := r.plain(n, "id")
	if !ok {
		return
	}
	path, inBody := strings.CutPrefix(text, spec.IDBody)
	name, inHeader := strings.CutPrefix(text, spec.IDHeader)
	switch {
	case inBody && len(path) <= nameMax*4 && !slices.Contains(strings.Split(path, "."), ""):
		w.ID = spec.Text{Source: text, Pos: n.pos}
	case inHeader && isHeader(name):
		w.ID = spec.Text{Source: spec.IDHeader + http.CanonicalHeaderKey(name), Pos: n.pos}
	default:
		r.fail(n, "write a path in the body such as body.id, or a header such as header.X-Event-Id",
			"%q does not say where the id of a call is", text)
	}
}
