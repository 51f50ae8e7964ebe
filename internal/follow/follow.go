// Package follow runs the followers of the journal: what must happen because an entry
// was committed happens in a follower, and nowhere else. It keeps each one's place
// together with what the follower writes, so that a crash repeats nothing; it gives
// the lease of each to one node at a time, tries again what fails, and sets an entry
// apart that fails for good. What is done about an entry is the follower's own.
package follow

import (
	"context"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
)

// Follower does what must happen because an entry was committed.
type Follower interface {
	// Name is the follower's, under which its place is kept.
	Name() string
	// Accept is called once for each entry, in order. What it writes through tx, to
	// quiet collections only, is committed together with the place behind the entry;
	// it may be called again if that fails. An error is tried again, and in the end the
	// entry is set apart.
	Accept(ctx context.Context, tx store.Tx, entry journal.Entry) error
	// Committed is called after the commit of what was accepted since the last call.
	Committed()
}

// Live hears of each entry in order, at every node, from the head of the journal on;
// nothing of it is kept.
type Live func(entry journal.Entry)
