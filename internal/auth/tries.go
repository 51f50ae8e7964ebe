package auth

import (
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
)

// How many tries are taken in TriesTime: wrong passwords of one account from one network,
// of all accounts from one network, and of one account from all networks in which nobody
// is signed in to it; and sign-ups from one network. So a stranger who guesses is stopped
// soon, and it takes many networks of strangers to hold an account's owner up in a place
// where he has never been.
const (
	TriesAccount    = 5
	TriesAddress    = 20
	TriesEverywhere = 100
	TriesSignUp     = 30
	TriesTime       = 15 * time.Minute
	// triesMax bounds how many names are counted at once.
	triesMax = 100_000
)

// Tries counts tries by names. That of a password is taken before the password is looked at,
// so that many at once cannot pass together, and given back if it was right. It is
// safe for concurrent use. A nil *Tries counts nothing.
type Tries struct {
	now   func() time.Time
	mu    sync.Mutex
	names map[string]tries
}

type tries struct {
	count int
	since time.Time
}

// NewTries returns an empty count by the given clock.
func NewTries(now func() time.Time) *Tries {
	return &Tries{now: now, names: map[string]tries{}}
}

// Take counts one try for the name, or returns a fault of kind Exhausted if there
// were most in TriesTime.
func (t *Tries) Take(name string, most int) error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	n, ok := t.names[name]
	if !ok || now.Sub(n.since) >= TriesTime {
		n = tries{since: now}
		if len(t.names) >= triesMax {
			t.sweep(now)
		}
	}
	if n.count >= most || !ok && len(t.names) >= triesMax {
		f := fault.New(fault.Exhausted,
			"There were %d tries in %d minutes.", most, int(TriesTime/time.Minute))
		f.RetryAfter = max(1, int(n.since.Add(TriesTime).Sub(now)/time.Second))
		return f
	}
	n.count++
	t.names[name] = n
	return nil
}

// Give takes a try back.
func (t *Tries) Give(name string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.names[name]; ok && n.count > 0 {
		n.count--
		t.names[name] = n
	}
}

func (t *Tries) sweep(now time.Time) {
	for name, n := range t.names {
		if now.Sub(n.since) >= TriesTime {
			delete(t.names, name)
		}
	}
}
