// Package follow runs the followers of the journal: what must happen because an entry
// was committed happens in a follower, and nowhere else. It keeps each one's place
// together with what the follower writes, so that a crash repeats nothing; it gives
// each to one node at a time and to another when that node is gone, tries again what
// fails, and sets an entry apart that fails for good. What is done about an entry is
// the follower's own.
//
// Which nodes live is known by their beats: each node writes its own record of Nodes
// again and again, and one whose record stands still for a while, by the watch of who
// looks, is gone. No two clocks are compared. A node that was only held up, and comes
// back, cannot commit a place that another has taken: the record of the place has got
// another version.
package follow

import (
	"context"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Follower does what must happen because an entry was committed.
type Follower interface {
	// Name is the follower's, under which its place is kept.
	Name() string
	// Kind is that of the intents which the follower is about: entries without one are
	// none of its business.
	Kind() string
	// Accept is called once for each entry with such an intent, in order, and maybe for
	// others between them. What it writes through tx, to
	// quiet collections only, is committed together with the place behind the entry;
	// it may be called again if that fails. An error is tried again, and in the end the
	// entry is set apart.
	Accept(ctx context.Context, tx store.Tx, entry journal.Entry) error
	// Committed is called after the commit of what was accepted since the last call.
	Committed()
}

// Preparer is a Follower that begins its work before the transaction, which must be
// harmless if it is begun elsewhere again.
type Preparer interface {
	Follower
	// Gained is called when this node has got the follower. Entries up to doubt may
	// have been worked on by another node, or by this one before.
	Gained(ctx context.Context, doubt journal.Seq) error
	// Lost is called when another node has got the follower, whatever was prepared.
	Lost()
	// Prepare is called with entries that come next, and returns how many of them are
	// accepted together: at least one.
	Prepare(ctx context.Context, entries []journal.Entry) int
	// Repair is Accept for an entry that was set apart: at whatever node, and while the
	// follower goes on.
	Repair(ctx context.Context, tx store.Tx, entry journal.Entry) error
}

// Live hears of each entry in order, at every node, from the head of the journal on;
// nothing of it is kept.
type Live func(entry journal.Entry)

// The quiet collections of followers: the nodes that live, the place of each follower
// and who has it, and the entries that were set apart.
const (
	Nodes     = "_nodes"
	Followers = "_followers"
	Parked    = "_parked"
	// Clock holds when what is timed is due.
	Clock = "_clock"
)

// The fields of those collections.
const (
	fieldName     = "name"
	fieldSeq      = "seq"
	fieldNode     = "node"
	fieldFollower = "follower"
	fieldProblem  = "problem"
	fieldText     = "text"
	fieldDue      = "due"
	fieldLast     = "last"
)

// Collections returns the quiet collections of followers.
func Collections() []*spec.Collection {
	text := value.Type{Kind: value.TypeString}
	maybe := value.Type{Kind: value.TypeString, Optional: true}
	return []*spec.Collection{
		{Name: Nodes, Quiet: true, Fields: []*spec.Field{{Name: fieldName, Type: text}}},
		{Name: Followers, Quiet: true, Fields: []*spec.Field{
			{Name: fieldName, Type: text},
			{Name: fieldSeq, Type: text},
			{Name: fieldNode, Type: maybe},
		}},
		{Name: Parked, Quiet: true, Fields: []*spec.Field{
			{Name: fieldFollower, Type: text},
			{Name: fieldSeq, Type: text},
			{Name: fieldProblem, Type: value.Type{Kind: value.TypeText}},
		}},
		{Name: Clock, Quiet: true, Fields: []*spec.Field{
			{Name: fieldName, Type: text},
			{Name: fieldText, Type: text},
			{Name: fieldDue, Type: value.Type{Kind: value.TypeTime}},
			{Name: fieldLast, Type: maybe},
		}},
	}
}
