// Package journal holds the words of a commit: an Entry is everything that one
// commit did, in the order of commits given by Seq. It keeps nothing itself; the
// store does.
package journal

import (
	"cmp"
	"fmt"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// Seq is the place of an entry in the order of commits. It is opaque and ordered;
// the zero Seq lies before every entry.
type Seq struct{ Hi, Lo uint64 }

// Compare returns -1, 0 or +1 as s lies before, at or after t.
func (s Seq) Compare(t Seq) int {
	if c := cmp.Compare(s.Hi, t.Hi); c != 0 {
		return c
	}
	return cmp.Compare(s.Lo, t.Lo)
}

// String writes the place so that ParseSeq reads it.
func (s Seq) String() string {
	if s.Hi == 0 {
		return fmt.Sprint(s.Lo)
	}
	return fmt.Sprintf("%d.%d", s.Hi, s.Lo)
}

// ParseSeq reads what String writes.
func ParseSeq(text string) (Seq, error) {
	var s Seq
	if _, err := fmt.Sscanf(text, "%d.%d", &s.Hi, &s.Lo); err == nil && s.String() == text {
		return s, nil
	}
	s = Seq{}
	if _, err := fmt.Sscanf(text, "%d", &s.Lo); err != nil || s.String() != text {
		return Seq{}, fmt.Errorf("%q is no place in the journal", text)
	}
	return s, nil
}

// Fingerprint is a hash of a call's whole input.
type Fingerprint [32]byte

// Origin says where a commit came from.
type Origin struct {
	Call    ident.Call
	Subject ident.Subject
	// Operation is a name such as orders.create, actions.checkout or batch.
	Operation string
	// Key is the caller's idempotency key; "" means none. Its scope is
	// (Subject, Operation, Key).
	Key         string
	Fingerprint Fingerprint
	// Door is the wire and the connection by which the call came: "rest", "cli".
	Door string
	// Now is the call's instant, in whole milliseconds: the entry's At.
	Now time.Time
	// Secret marks an operation whose reply is not kept: a replay under its key is
	// the fault reply_not_kept.
	Secret bool
	// DryRun asks for everything but the commit: the entry is returned and rolled
	// back.
	DryRun bool
}

// Change is one record before and after a commit. Before is zero for a new record,
// After for a deleted one.
type Change struct {
	Collection string
	ID         ident.Record
	Before     value.Record
	After      value.Record
}

// Intent is something that must happen because of a commit.
type Intent struct {
	Kind      string
	Name      string
	Payload   value.Value
	NotBefore time.Time
}

// The kinds of intents that the house knows. The payload of a job is an object of its
// id and its input. That of an email or a delivery has the member change, the place among
// the entry's changes of the one that caused it, or the member given: what code gave.
// JobIntent, ChangeIntent and CodeIntent make them.
const (
	IntentJob      = "job"
	IntentEmail    = "email"
	IntentDelivery = "delivery"
	// IntentPublish is a message that code publishes in the channel that it names.
	IntentPublish = "publish"
)

// Entry is one commit: the unit of audit, outbox, realtime, cache invalidation,
// idempotency and replication.
type Entry struct {
	Seq     Seq
	At      time.Time
	Origin  Origin
	Changes []Change
	Intents []Intent
	// Reply is what the call answered. It is kept if the call had a key, and then
	// reads back as a JSON value.
	Reply value.Value
	// Refusal is the answer of a call that was refused; such an entry has no
	// changes and stands only under a key.
	Refusal *fault.Fault
	// Spec names the app file in force: the hash of its schema.
	Spec string
	// Replayed reports that this entry was committed by an earlier call under the
	// same key. It is not stored.
	Replayed bool
}
