// Package store keeps records, and the journal of the commits that made them. It is
// the contract; its children keep it over a database each. It promises that nothing
// changes a record without an entry, that what was acknowledged is on disk, and that
// every Write is serializable. What a call means, and who may make it, is decided
// above.
package store

import (
	"context"
	"iter"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Store keeps records and their journal. It is safe for concurrent use.
type Store interface {
	// Read calls fn with a view of one committed state.
	Read(ctx context.Context, fn func(View) error) error

	// Write calls fn in a serializable transaction and commits its changes,
	// intents and reply as one entry, which it returns; it returns when the entry
	// is on disk. Write may call fn more than once; only the last call counts.
	//
	// If the same subject committed the same operation with origin.Key in the
	// last 14 days, Write does not call fn: it returns that entry with Replayed
	// set, or, if that entry's fingerprint is another, the fault
	// idempotency_key_reused. While another call of the same key runs, Write waits
	// for it, and ends with the fault in_progress when its wait runs out.
	//
	// If fn fails, nothing of it is kept. A fault whose kind is Kept, of a call
	// with a key, is committed as an entry without changes, so that the same
	// question has the same answer; Write then returns the entry and the fault.
	//
	// A fault of kind Unavailable means that nothing was committed; of kind
	// Unknown, that nobody knows.
	Write(ctx context.Context, origin journal.Origin, fn func(Tx) error) (journal.Entry, error)

	// Follow yields the entries after seq, each once, in order and without gaps,
	// and waits for new ones until ctx ends, which ends the sequence without an
	// error.
	Follow(ctx context.Context, after journal.Seq) iter.Seq2[journal.Entry, error]

	// Apply changes the shape of the records by steps, as an entry like any other:
	// all of them or none. judge, unless it is nil, looks first at the state that they
	// change, which no other write can change meanwhile; its error stands against them.
	Apply(ctx context.Context, origin journal.Origin, steps []spec.Step,
		judge func(View) error) (journal.Entry, error)

	// Close ends the store. Calls that run are finished first.
	Close() error
}

// View is one committed state; it does not change while fn runs. It must not be
// used by two goroutines at once, nor after fn returned. Records belong to the
// caller.
type View interface {
	// Get returns the record, or a fault of kind NotFound.
	Get(ctx context.Context, collection string, id ident.Record) (value.Record, error)
	// Find returns the rows of the query in its order.
	Find(ctx context.Context, q query.Query) ([]value.Record, error)
	// Head returns the place of the last entry that this state includes.
	Head(ctx context.Context) (journal.Seq, error)
}

// Tx is a View that sees its own writes.
type Tx interface {
	View
	// Put writes a record and returns it as stored. Slots that are Absent keep
	// what is stored; a slot may hold an operator, which the database applies.
	//
	// A record whose version slot is Absent or 0 and whose id is not stored is
	// inserted; to change a stored record give its version, which must be the
	// stored one (else the fault is Stale), or leave the version slot Null to
	// write over whatever is stored (NotFound if nothing is). Inserting an id that
	// is stored, or a unique value that is taken, is a fault of kind Exists; a
	// relation to a record that is not there is Invalid with the field's pointer.
	//
	// Put sets created, updated (the call's now) and version.
	Put(ctx context.Context, collection string, r value.Record) (value.Record, error)
	// Delete removes the record, or returns NotFound. Records that point to it go
	// with it, are cleared, or stand against it (Refused with code in_use), as
	// their relation says; all of that is in the entry.
	Delete(ctx context.Context, collection string, id ident.Record) error
	// Intend adds an intent to the entry.
	Intend(ctx context.Context, i journal.Intent) error
	// Reply sets the entry's reply.
	Reply(v value.Value)
	// Changes returns what the transaction changed so far, one for each record, in
	// the order of first touch. The caller must not change it.
	Changes() []journal.Change
}
