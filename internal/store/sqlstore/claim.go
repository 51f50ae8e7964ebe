package sqlstore

import (
	"context"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
)

const (
	// keyAge is how long a key is held.
	keyAge = 14 * 24 * time.Hour
	// claimWait bounds how long a call waits for another of the same key.
	claimWait = 3 * time.Second
)

// claim is the scope of a key.
type claim struct{ subject, operation, key string }

// claims are the keyed calls that run.
type claims struct {
	mu      sync.Mutex
	running map[claim]chan struct{}
}

func claimOf(o *journal.Origin) claim { return claim{o.Subject.String(), o.Operation, o.Key} }

// take waits until no other call of the same key runs, and returns what ends this
// one.
func (c *claims) take(ctx context.Context, k claim) (func(), error) {
	var timer *time.Timer
	for {
		c.mu.Lock()
		other, taken := c.running[k]
		if !taken {
			done := make(chan struct{})
			c.running[k] = done
			c.mu.Unlock()
			return func() {
				c.mu.Lock()
				delete(c.running, k)
				c.mu.Unlock()
				close(done)
			}, nil
		}
		c.mu.Unlock()
		if timer == nil {
			timer = time.NewTimer(claimWait)
			defer timer.Stop()
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ended(ctx)
		case <-timer.C:
			return nil, &fault.Fault{Kind: fault.Conflict, Code: "in_progress", RetryAfter: 1,
				Message: "A call with this key is in progress."}
		}
	}
}
