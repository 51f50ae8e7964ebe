package appfile

import (
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// The bounds of an action's own limits.
const (
	rateMax    = 1_000_000
	timeoutMin = 10 * time.Millisecond
	timeoutMax = 60 * time.Second
)

var actionKeys = keys{now: []string{"allow", "input", "output", "rate", "timeout", "idempotency",
	"read_only"}}

// actions reads the business operations.
func (r *reader) actions(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "actions") {
		if !r.named(e.key, "an action") {
			continue
		}
		if e.key.text == "then" {
			r.fail(e.key, "choose another name", "then cannot name an action: in JavaScript, "+
				"what has it is a promise")
			continue
		}
		if first := r.spec.Action(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Actions) >= actionMax {
			r.fail(e.key, "", "an app has at most %d actions", actionMax)
			return
		}
		r.action(e)
	}
}

// action reads one of them.
func (r *reader) action(e entry) {
	a := &spec.Action{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key),
		Docs: map[string]string{}}
	r.spec.Actions = append(r.spec.Actions, a)
	m := r.read(e.value, a.Name, actionKeys)
	if n := m["allow"]; n != nil {
		a.Allow = r.cel(n, "allow")
	}
	if n := m["input"]; n != nil {
		a.Input = r.shape(n, "input", given, &notes{"input", a.Docs})
	}
	if n := m["output"]; n != nil {
		a.Output = r.shape(n, "output", given, &notes{"output", a.Docs})
	}
	if n := m["rate"]; n != nil {
		a.Rate = r.rate(n)
	}
	if n := m["timeout"]; n != nil {
		a.Timeout = r.span(n, "timeout", timeoutMin, timeoutMax)
	}
	if n := m["read_only"]; n != nil {
		a.ReadOnly = r.truth(n, "read_only")
	}
	if n := m["idempotency"]; n != nil {
		text, ok := r.plain(n, "idempotency")
		switch {
		case ok && text != "optional":
			r.fail(n, "a key is needed unless it says optional", "idempotency can only be optional")
		case ok && a.ReadOnly:
			r.fail(n, "remove it", "an action that only reads needs no key")
		}
		a.KeyOptional = ok
	}
}

// rateUnits are the spans of a rate by their names.
var rateUnits = []struct {
	name string
	span time.Duration
}{
	{"s", time.Second},
	{"min", time.Minute},
	{"hour", time.Hour},
	{"day", 24 * time.Hour},
}

// rate reads a number of calls in a span, such as 10/min.
func (r *reader) rate(n *node) spec.Rate {
	text, ok := r.plain(n, "rate")
	if !ok {
		return spec.Rate{}
	}
	number, unit, _ := strings.Cut(text, "/")
	count, ok := parseCount(strings.TrimSpace(number))
	if !ok || count < 1 || count > rateMax {
		r.fail(n, "write a number of calls and a span, such as 10/min",
			"a rate begins with a number from 1 to %d", rateMax)
		return spec.Rate{}
	}
	unit = strings.TrimSpace(unit)
	var names []string
	for _, u := range rateUnits {
		if u.name == unit {
			return spec.Rate{Count: int(count), Per: u.span}
		}
		names = append(names, u.name)
	}
	at := *n
	at.text = unit
	help := "known are " + strings.Join(names, ", ")
	if near := value.Nearest(unit, names); near != "" {
		help = "did you mean " + number + "/" + near + "?"
	} else if i := slices.Index([]string{"sec", "second", "minute", "hours", "h", "d"}, unit); i >= 0 {
		help = "did you mean " + number + "/" + []string{"s", "s", "min", "hour", "hour", "day"}[i] + "?"
	}
	r.fail(&at, help, "unknown span %q in a rate", unit)
	return spec.Rate{}
}
