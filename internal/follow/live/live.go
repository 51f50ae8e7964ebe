// Package live keeps queries true for those who follow them. A subscription is a list
// call whose answer is kept up to date from the journal: what starts to match, or comes
// to be seen, is put; what stops is deleted. It promises the order of commits, one push
// for each commit, no gap, nothing twice, and nothing that the caller's rules forbid in
// a state as new as the commit. How that is written on a wire is left to the doors.
package live

import (
	"net/url"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
)

// Query is what a subscription asks for.
type Query struct {
	// Collection is the name of a collection that the caller may read, or of a view; or
	// of a collection with "/aggregate" behind it. The answers of the latter two come as
	// a whole: each push is a Reset.
	Collection string
	// Params are those of a list: filter, sort, limit, fields, expand, and fields with
	// the value that they must have; or those of an aggregate.
	Params url.Values
	// Since is a place that an earlier subscription of the same query came to, "" for
	// none.
	Since string
}

// Start is how a subscription begins.
type Start struct {
	// Sub is the name by which pushes know the subscription, unique in its connection.
	Sub string
	// Reset reports that Since was given and could not be honoured, or that pushes were
	// left out after a pause: Items is everything, and what was known before is void.
	Reset bool
	// Items is the answer to the query at the place At. It is nil where Changes hold
	// what changed since.
	Items []engine.Item
	// Text is Items as a JSON array, nil where it was not encoded for all who get it.
	Text []byte
	// Changes are what changed between Since and At, each record at most once. Changed
	// reports that Since was honoured, with or without changes.
	Changes []Change
	Changed bool
	// At is the place, as Hub.At writes it.
	At string
}

// Change is one record that is to be put into the answer, or one to be taken out.
type Change struct {
	// Put is the record as the caller may see it, nil for one that is gone.
	Put *engine.Item
	// Del is the id of a record that no longer matches, or may no longer be seen.
	Del ident.Record

	id ident.Record
}

// Push is what a connection is told of one subscription.
type Push struct {
	// Sub is the subscription. Where it is "" the push says only a place: everything up
	// to At has been pushed.
	Sub string
	At  string
	// By is the ID of the connection whose call made the commit, "" for others.
	By string
	// Frame holds the changes.
	Frame *Frame
	// More reports that another push of the same commit follows for this connection.
	More bool
	// Reset is the whole answer again, after too much was left unacknowledged, or where
	// it has no records that could be told one by one. Of those, its place may be before
	// that of a push that came earlier, of another subscription.
	Reset *Start
	// Ended is why the subscription is over: it gets no more pushes.
	Ended *fault.Fault
}

// Frame is the changes of one commit, shared by all subscriptions that get the same. It
// does not change.
type Frame struct {
	changes []Change
	json    []byte
}

// Changes returns the changes, which nobody may change.
func (f *Frame) Changes() []Change { return f.changes }

// JSON returns the changes as the text of a JSON array, [{"put":{…}},{"del":"…"}],
// which nobody may change. It was encoded once for all who get it.
func (f *Frame) JSON() []byte { return f.json }
