// Package observe sees each call once and turns what it saw into a log line,
// metrics and a journey. It decides nothing, and a call that nobody observes goes
// the same way.
package observe

import "time"

// Call collects what is seen of one call. A nil *Call may be used and sees nothing.
// It belongs to the call's goroutine until Done.
type Call struct {
	Stages []Stage
	// Who is the subject, Operation what was asked, Outcome what was decided:
	// committed, replayed, refused, denied, read or failed.
	Who       string
	Operation string
	Outcome   string
	Code      string
	Writes    int
	// Rules are the rules that were asked, with their verdicts.
	Rules []Verdict
	// Logs are the lines that the app's own code wrote.
	Logs []string
	// Cause is the error behind an internal fault, for the log only.
	Cause error

	stage string
	since time.Time
}

// Stage is one stage of the line with its time.
type Stage struct {
	Name string
	Took time.Duration
}

// Verdict is one rule that was asked: its name such as orders.allow.read, its
// place, and what it said. Explain, if set, tells the tree of its values; it is
// called at most once, after the call.
type Verdict struct {
	Rule    string
	Place   string
	Yes     bool
	Explain func() string
}

// Begin ends the current stage and begins the named one.
func (c *Call) Begin(stage string) {
	if c == nil {
		return
	}
	now := time.Now()
	if c.stage != "" {
		c.Stages = append(c.Stages, Stage{c.stage, now.Sub(c.since)})
	}
	c.stage, c.since = stage, now
}

// End ends the current stage.
func (c *Call) End() { c.Begin("") }

// Asked notes a rule's verdict.
func (c *Call) Asked(v Verdict) {
	if c != nil {
		c.Rules = append(c.Rules, v)
	}
}
