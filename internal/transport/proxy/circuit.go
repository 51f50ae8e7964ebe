package proxy

import (
	"sync"
	"time"
)

// When a server is left alone.
const (
	// failuresMax is how many failures in a row open the circuit.
	failuresMax = 5
	// openFirst is how long it is open at first; each failure of the one request that
	// is then let through doubles the time, up to openMost.
	openFirst = 5 * time.Second
	openMost  = time.Minute
)

// outcome is what a request told of the other side.
type outcome uint8

const (
	worked outcome = iota
	failed
	unknown
)

// circuit counts the failures of a server in a row:
//
//	closed --5 failures--> open --time over--> one is let through --worked--> closed
//	                        ^                          | failed
//	                        +----- twice as long ------+
//
// It is safe for concurrent use.
type circuit struct {
	mu       sync.Mutex
	failures int
	span     time.Duration
	until    time.Time
	trying   bool
}

// enter reports whether a request may be made, or how long to wait. Who was let in must
// leave.
func (c *circuit) enter(now time.Time) (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.span == 0:
		return 0, true
	case now.Before(c.until):
		return c.until.Sub(now), false
	case c.trying:
		return time.Second, false
	}
	c.trying = true
	return 0, true
}

// leave says what came of a request.
func (c *circuit) leave(now time.Time, o outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.trying
	switch {
	case o == unknown:
		c.trying = false
	case o == worked:
		c.failures, c.span, c.trying = 0, 0, false
	case c.span == 0:
		if c.failures++; c.failures >= failuresMax {
			c.span, c.until = openFirst, now.Add(openFirst)
		}
	case was && !now.Before(c.until):
		c.span = min(2*c.span, openMost)
		c.until, c.trying = now.Add(c.span), false
	}
}
