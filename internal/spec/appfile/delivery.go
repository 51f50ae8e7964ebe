package appfile

import "github.com/galleybackend/galley/internal/spec"

// The bounds of deliveries.
const (
	deliveryMax = 200
	// deliveryRetry is how often a delivery is tried again unless it says another
	// number, deliveryRetryMax how often at most.
	deliveryRetry    = 12
	deliveryRetryMax = 30
)

var deliveryKeys = keys{now: []string{"on", "if", "to", "secret", "retry"}}

// deliveries reads the signed calls to other people's hooks.
func (r *reader) deliveries(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "deliveries") {
		if !r.named(e.key, "a delivery") {
			continue
		}
		if first := r.spec.Delivery(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Deliveries) >= deliveryMax {
			r.fail(e.key, "", "an app has at most %d deliveries", deliveryMax)
			return
		}
		r.delivery(e)
	}
}

// delivery reads one of them.
func (r *reader) delivery(e entry) {
	d := &spec.Delivery{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key), Retry: deliveryRetry}
	r.spec.Deliveries = append(r.spec.Deliveries, d)
	m := r.read(e.value, d.Name, deliveryKeys)
	missing := func(key, help, format string) {
		if m[key] == nil && e.value.kind == mapping && e.value.get(key) == nil {
			r.fail(e.key, help, format, d.Name)
		}
	}
	missing("on", "write on: orders.created", "%s does not say on which change it is made")
	missing("to", "write to: https://partner.example/hooks", "%s does not say to whom")
	missing("secret", "write secret: NAME, and secrets: [NAME] at the top",
		"%s has no secret to sign with, so nobody could tell that it is ours")
	if n := m["on"]; n != nil {
		d.On = r.trigger(n)
	}
	if n := m["if"]; n != nil {
		d.If = r.cel(n, "if")
	}
	if n := m["to"]; n != nil {
		d.To = r.address(n, "to", true)
	}
	if n := m["secret"]; n != nil {
		d.Secret = r.secret(n, "secret")
	}
	if n := m["retry"]; n != nil {
		text, ok := r.plain(n, "retry")
		count, isCount := parseCount(text)
		switch {
		case ok && (!isCount || count > deliveryRetryMax):
			r.fail(n, "", "retry is a whole number from 0 to %d", deliveryRetryMax)
		case ok:
			d.Retry = int(count)
		}
	}
}
