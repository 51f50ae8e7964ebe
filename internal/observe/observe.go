// Package observe sees each call once and turns what it saw into a log line,
// metrics and a journey. It decides nothing, and a call that nobody observes goes
// the same way. What it keeps is bounded, and it never makes a call wait for a disk.
//
// What it is given must hold no secret: it takes names, ids, outcomes and times, and
// the verdicts of rules as rule explains them; never bodies, headers, queries or
// credentials.
package observe

import "time"

// Call collects what is seen of one call. A nil *Call may be used and sees nothing.
// It belongs to the call's goroutine until Done.
type Call struct {
	// ID is the call's id, which callers see as Request-Id.
	ID string
	// Trace is the W3C trace that the call continues, "" if none was named, and Span
	// our own part in it.
	Trace string
	Span  string
	// Door is the wire by which the call came, "" for HTTP.
	Door string
	// Method, Path and Status are the wire's. A path has no query.
	Method string
	Path   string
	Status int
	// Started is when the call came, Took how long it took in all.
	Started time.Time
	Took    time.Duration

	Stages []Stage
	// Who is the subject, Operation what was asked, Outcome what was decided:
	// committed, replayed, refused, denied, read or failed.
	Who       string
	Operation string
	Outcome   string
	Code      string
	Writes    int
	// Name is what people call the subject, such as an address. It is shown on the
	// developer's terminal and nowhere else.
	Name string
	// Rules are the rules that were asked, with their verdicts.
	Rules []Verdict
	// Findings are what was wrong with an input: places and the promises they break.
	Findings []string
	// Logs are the lines that the app's own code wrote.
	Logs []string
	// Cause is the error behind an internal fault, for the log only.
	Cause error
	// Limits are the rates that the call was counted against.
	Limits []Limit

	stage  string
	since  time.Duration
	stages [8]Stage
	rules  [2]Verdict
}

// Stage is one stage of the line with its time.
type Stage struct {
	Name string
	Took time.Duration
}

// Verdict is one rule that was asked: its name such as orders.allow.read, its
// place, and what it said. Where Query is set the rule was part of a query, which it
// let find some records or, if it said no, none at all. Explain, if set, tells the tree of its values, without
// those of fields that nobody may read. It is called at most once, after the call and
// perhaps by another goroutine, so it holds all that it needs.
type Verdict struct {
	Rule    string
	Place   string
	Yes     bool
	Query   bool
	Explain func() string
}

// Limit is a rate that a call was counted against.
type Limit struct {
	// Name is the policy's: burst, or the action's name.
	Name string
	// Quota calls in Window are allowed, of which Left are; all are again after Reset.
	Quota  int
	Left   int
	Window time.Duration
	Reset  time.Duration
	// Over reports that this is the rate that refused the call.
	Over bool
}

// Begin ends the current stage and begins the named one.
func (c *Call) Begin(stage string) {
	if c == nil {
		return
	}
	now := time.Since(c.Started)
	if c.stage != "" {
		if c.Stages == nil {
			c.Stages = c.stages[:0]
		}
		c.Stages = append(c.Stages, Stage{c.stage, now - c.since})
	}
	c.stage, c.since = stage, now
}

// End ends the current stage.
func (c *Call) End() { c.Begin("") }

// Asked notes a rule's verdict.
func (c *Call) Asked(v Verdict) {
	if c == nil {
		return
	}
	if c.Rules == nil {
		c.Rules = c.rules[:0]
	}
	c.Rules = append(c.Rules, v)
}

// findingsMax is how many findings of one call are noted, findingMax how long each may
// be, in bytes.
const findingsMax, findingMax = 20, 256

// Found notes what is wrong with an input. It must not hold the input itself.
func (c *Call) Found(finding string) {
	if c != nil && len(c.Findings) < findingsMax {
		c.Findings = append(c.Findings, short(finding, findingMax))
	}
}

// Limited notes a rate that the call was counted against.
func (c *Call) Limited(l Limit) {
	if c != nil {
		c.Limits = append(c.Limits, l)
	}
}
