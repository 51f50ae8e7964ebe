package observe

import (
	"io"
	"time"
)

// Observer turns calls into log lines, metrics and journeys. It is safe for
// concurrent use, and a nil *Observer does nothing.
type Observer struct {
	log      io.Writer
	metrics  *Metrics
	journeys *Journeys
	terminal *Terminal
	mask     *Mask
}

// Config says where what is seen goes. Each may be nil.
type Config struct {
	// Log gets one line of JSON for each call, in one Write.
	Log io.Writer
	// Terminal gets the developer's line for each call.
	Terminal *Terminal
	Metrics  *Metrics
	Journeys *Journeys
	// Mask hides secrets in all of it.
	Mask *Mask
}

// New returns an observer.
func New(c Config) *Observer {
	if c.Journeys != nil {
		c.Journeys.mask = c.Mask
	}
	return &Observer{log: c.Log, metrics: c.Metrics, journeys: c.Journeys, terminal: c.Terminal,
		mask: c.Mask}
}

// Call returns a call that begins now.
func (o *Observer) Call(id string) *Call {
	return &Call{ID: id, Started: time.Now()}
}

// Done takes a call that has ended. The caller must not touch it again.
func (o *Observer) Done(c *Call) {
	if o == nil || c == nil {
		return
	}
	c.End()
	c.Took = time.Since(c.Started)
	if c.Outcome == "" {
		c.Outcome = outcome(c.Status)
	}
	// Before anything is cut: half a secret would not be known again.
	c.Cause = o.mask.Error(c.Cause)
	for i, line := range c.Logs {
		c.Logs[i] = o.mask.Text(line)
	}
	o.write(c)
	o.terminal.write(c, o.mask)
	o.metrics.count(c)
	o.journeys.take(c)
}

// The outcomes of calls.
const (
	Committed = "committed"
	Replayed  = "replayed"
	Refused   = "refused"
	Denied    = "denied"
	Read      = "read"
	Failed    = "failed"
)

// outcome says what the status of a call tells, for those that never reached the
// engine.
func outcome(status int) string {
	switch {
	case status >= 500:
		return Failed
	case status == 401 || status == 403 || status == 404:
		return Denied
	case status >= 400:
		return Refused
	default:
		return Read
	}
}
