package action

import (
	"context"
	"time"

	"github.com/galleybackend/galley/internal/value"
)

// House is a built-in action: it lives by the rules of a guest, through the same
// Host, but is written in the house and may use quiet collections.
type House struct {
	// Name is a path below /api such as auth/sign-in; its operation in the journal
	// is the name with a dot for each slash.
	Name   string
	Input  *value.Shape
	Output *value.Shape
	// Secret marks an action whose reply is never kept.
	Secret bool
	// SignedIn refuses callers who are not signed in.
	SignedIn bool
	// ReadOnly marks an action that only reads; it runs under Query.
	ReadOnly bool
	// Prepare, if set, runs before the transaction and may take its time, as the
	// check of a password does. What it returns is the input of Run, which must
	// make sure inside the transaction that it still holds.
	Prepare func(ctx context.Context, caller Caller, input value.Record) (value.Record, error)
	// Run does the work inside the transaction.
	Run func(ctx context.Context, host Host, caller Caller, input value.Record) (value.Value, error)
}

// Caller is what a built-in action may know of who calls, beside the subject.
type Caller struct {
	// Address is the peer's IP address, Agent what its program says it is.
	Address    string
	Agent      string
	Credential string
	Now        time.Time
}
