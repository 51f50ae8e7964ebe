package appfile

import (
	"time"

	"github.com/galleybackend/galley/internal/spec"
)

// The bounds of jobs.
const (
	jobMax      = 500
	retryMax    = 50
	retryUsual  = 8
	atOnceMax   = 1000
	stepTimeMin = 100 * time.Millisecond
	stepTimeMax = time.Hour
)

var jobKeys = keys{now: []string{"input", "on", "if", "cron", "retry", "timeout", "at_once",
	"once_per"}}

// jobs reads the work after the commit.
func (r *reader) jobs(n *node) {
	if n == nil {
		return
	}
	for _, e := range r.pairs(n, "jobs") {
		if !r.named(e.key, "a job") {
			continue
		}
		if first := r.spec.Job(e.key.text); first != nil {
			r.tell(e.key, spec.Finding{Message: e.key.text + " is declared twice", See: first.Pos})
			continue
		}
		if len(r.spec.Jobs) >= jobMax {
			r.fail(e.key, "", "an app has at most %d jobs", jobMax)
			return
		}
		r.job(e)
	}
}

// job reads one of them.
func (r *reader) job(e entry) {
	j := &spec.Job{Name: e.key.text, Pos: e.key.pos, Doc: r.doc(e.key), Retry: retryUsual,
		Docs: map[string]string{}}
	r.spec.Jobs = append(r.spec.Jobs, j)
	m := r.read(e.value, j.Name, jobKeys)
	if n := m["on"]; n != nil {
		j.On = r.trigger(n)
	}
	if n := m["cron"]; n != nil {
		j.Cron = r.cron(n)
		if m["on"] != nil {
			r.fail(n, "make two jobs of it", "a job has on or cron, not both")
		}
	}
	if n := m["input"]; n != nil {
		j.Input = r.shape(n, "input", given, &notes{"input", j.Docs})
		switch {
		case m["on"] != nil:
			r.fail(n, "remove it", "a job that starts on a change has the record as its input")
		case m["cron"] != nil:
			r.fail(n, "remove it", "a job that starts by the clock has no input")
		}
	}
	if n := m["if"]; n != nil {
		j.If = r.cel(n, "if")
		if m["on"] == nil {
			r.fail(n, "remove it, or say on which change", "if narrows on, and there is no on")
		}
	}
	if n := m["retry"]; n != nil {
		j.Retry = r.number(n, "retry", 0, retryMax)
	}
	if n := m["timeout"]; n != nil {
		j.Timeout = r.span(n, "timeout", stepTimeMin, stepTimeMax)
	}
	if n := m["at_once"]; n != nil {
		j.AtOnce = r.number(n, "at_once", 1, atOnceMax)
	}
	if n := m["once_per"]; n != nil {
		j.OncePer = r.cel(n, "once_per")
	}
}

// number reads a whole number within bounds; the least one after telling.
func (r *reader) number(n *node, what string, least, most int) int {
	text, ok := r.plain(n, what)
	count, isCount := parseCount(text)
	switch {
	case !ok:
	case !isCount || count < int64(least) || count > int64(most):
		r.fail(n, "", "%s is a whole number from %d to %d", what, least, most)
	default:
		return int(count)
	}
	return least
}
