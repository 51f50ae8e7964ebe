// Package fault is the one error that crosses rooms: a kind from a closed set, a
// code that programs read, a sentence for the caller, and a cause for the log. It
// knows nothing of wires; doors translate kinds by one table in transport.
package fault

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of no this is. The set is closed: every door has an answer
// for each of them.
type Kind uint8

// The kinds. Their order has no meaning.
const (
	// Internal is a mistake of ours. Its cause is logged and never sent.
	Internal Kind = iota
	// Malformed is a request that cannot be read.
	Malformed
	// Invalid is a readable request whose input breaks a declared type or bound.
	Invalid
	// Unauthenticated is a caller who must sign in first.
	Unauthenticated
	// Denied is a caller whom a rule refuses.
	Denied
	// NotFound is a thing that is not there, or not there for this caller.
	NotFound
	// Exists is an id or a unique value that is taken.
	Exists
	// Refused is a business no: a check or the app's own code said it.
	Refused
	// Conflict is a call that another call in progress stands against.
	Conflict
	// Stale is a write over another version than the one that is stored.
	Stale
	// TooLarge is an input over a declared bound of bytes.
	TooLarge
	// Unsupported is a content type that the operation does not take.
	Unsupported
	// Exhausted is a caller over his rate.
	Exhausted
	// Upstream is another server that failed us.
	Upstream
	// Unavailable is a service that cannot be given now; nothing was done.
	Unavailable
	// Timeout is a call that ran past its bound; nothing was done.
	Timeout
	// Unknown is a call of which nobody knows whether it was committed. The same
	// call under the same key tells.
	Unknown
)

// kinds holds the name of each kind and its default code.
var kinds = [...]struct{ name, code string }{
	Internal:        {"internal", "internal"},
	Malformed:       {"malformed", "invalid_request"},
	Invalid:         {"invalid", "invalid_input"},
	Unauthenticated: {"unauthenticated", "unauthenticated"},
	Denied:          {"denied", "forbidden"},
	NotFound:        {"not found", "not_found"},
	Exists:          {"exists", "already_exists"},
	Refused:         {"refused", "refused"},
	Conflict:        {"conflict", "in_progress"},
	Stale:           {"stale", "stale"},
	TooLarge:        {"too large", "too_large"},
	Unsupported:     {"unsupported", "unsupported_type"},
	Exhausted:       {"exhausted", "rate_limited"},
	Upstream:        {"upstream", "proxy_failed"},
	Unavailable:     {"unavailable", "unavailable"},
	Timeout:         {"timeout", "timeout"},
	Unknown:         {"unknown", "unknown"},
}

// String returns the kind's name, for logs.
func (k Kind) String() string { return kinds[k].name }

// Code returns the code a fault of this kind has unless it names another.
func (k Kind) Code() string { return kinds[k].code }

// ParseKind returns the kind with the given name, as String writes it.
func ParseKind(name string) (Kind, bool) {
	for k, n := range kinds {
		if n.name == name {
			return Kind(k), true
		}
	}
	return Internal, false
}

// Item is one finding in an input.
type Item struct {
	// Pointer is an RFC 6901 JSON Pointer in its URI fragment form, "#/items/0".
	Pointer string
	// Code names the broken promise: required, type, min, max, pattern, unknown,
	// not_writable and their kin.
	Code string
	// Detail is a sentence for the caller.
	Detail string
	// Params holds the bounds that were broken, in pairs of name and value.
	Params []Param
}

// Param is a named figure of an Item or of a refusal's data. Value is a string, an
// int64, a float64 or a bool.
type Param struct {
	Name  string
	Value any
}

// Place is where in a request a fault lies: a parameter and a column in it (from
// 1), or the number of an operation in a batch (from 0).
type Place struct {
	Parameter string
	Column    int
	// Request is the place in a batch plus one; 0 means it is not in a batch.
	Request int
}

// Fault is the error that callers see. The zero value is an internal error.
type Fault struct {
	Kind Kind
	// Code is ours or the app's own word for a refusal; "" means Kind.Code().
	Code string
	// Message is a sentence for the caller. It holds no secret.
	Message string
	// Items are the findings of an Invalid fault.
	Items []Item
	// Data is what a refusal carries, in order.
	Data []Param
	// At is where in the request the fault lies.
	At Place
	// Rule is the place of the rule that decided, for the journey; never sent.
	Rule string
	// Line is the line of the app's code that refused, for the journey; never sent.
	Line string
	// RetryAfter is a number of seconds to wait; 0 means that none is named.
	RetryAfter int
	// Cause is for the log; never sent.
	Cause error
}

// New returns a fault of the kind with its default code and a sentence.
func New(kind Kind, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

// WithCode returns a fault of the kind with a code of its own and a sentence.
func WithCode(kind Kind, code, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns a fault of the kind whose cause is err and whose sentence the caller
// may read; err itself is for the log alone.
func Wrap(kind Kind, err error, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Message: fmt.Sprintf(format, args...), Cause: err}
}

// CodeOr returns the fault's code, or its kind's where it names none.
func (f *Fault) CodeOr() string {
	if f.Code != "" {
		return f.Code
	}
	return f.Kind.Code()
}

// Error returns code, sentence and cause in one line, for the log.
func (f *Fault) Error() string {
	var b strings.Builder
	b.WriteString(f.CodeOr())
	if f.Message != "" {
		b.WriteString(": " + f.Message)
	}
	for _, i := range f.Items {
		b.WriteString("; " + i.Pointer + " " + i.Detail)
	}
	if f.Cause != nil {
		b.WriteString(": " + f.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Cause }

// From returns err as a fault. An error that is none becomes an internal fault with
// err as its cause. From(nil) is nil.
func From(err error) *Fault {
	if err == nil {
		return nil
	}
	var f *Fault
	if errors.As(err, &f) {
		return f
	}
	return &Fault{Kind: Internal, Message: "Something went wrong on our side.", Cause: err}
}

// Is reports whether err is a fault of the kind.
func Is(err error, kind Kind) bool {
	if err == nil {
		return false
	}
	var f *Fault
	return errors.As(err, &f) && f.Kind == kind
}

// Kept reports whether an answer of this kind is stored under its idempotency key
// if it ended the action or the record operation itself: Refused, Exists and
// NotFound are answers of the state and are kept, all others may be asked again.
func (k Kind) Kept() bool { return k == Refused || k == Exists || k == NotFound }
