// Package action is the contract between the engine and the languages in which apps
// write their logic: a Host is all that a guest can reach, a Runner runs the guests
// of one language. Only values and faults cross the wall.
package action

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Host is everything a guest can reach inside a transaction. Now and Random are
// fixed for a call, so that running it again does the same. It is used by one
// goroutine at a time and ends with its call.
type Host interface {
	// Get returns the record, or the fault not_found.
	Get(ctx context.Context, collection string, id ident.Record) (value.Record, error)
	// Find returns the records of a query.
	Find(ctx context.Context, q query.Query) ([]value.Record, error)
	// Filter compiles a CEL filter over a collection, with values bound to the
	// names in args, to the condition of a plan and its arguments. The condition
	// depends on the collection, the text, the types in args and the number of the
	// arguments alone, so that a caller may keep it.
	Filter(collection, cel string, args value.Record) (query.Expr, []value.Value, error)
	// Put writes a record as store.Tx does, after the types, bounds and the checks
	// that need only the record itself were asked.
	Put(ctx context.Context, collection string, r value.Record) (value.Record, error)
	// Delete removes a record.
	Delete(ctx context.Context, collection string, id ident.Record) error
	// Intend adds an intent to the entry.
	Intend(ctx context.Context, i journal.Intent) error
	// Subject is who called; Me is his record, zero if he is not a user.
	Subject() ident.Subject
	Me(ctx context.Context) (value.Record, error)
	// Shape returns the shape of a collection's records, or that of the input of a job,
	// which is named jobs/NAME; nil if there is none.
	Shape(collection string) *value.Shape
	// NewID returns the next id of this call.
	NewID() ident.Record
	Now() time.Time
	Random() *rand.Rand
	Log() *slog.Logger
}

// Keeper is a Host that knows the app's secrets and how passwords are kept.
type Keeper interface {
	// Secret returns a secret that the app file names.
	Secret(name string) (string, error)
	// HashPassword returns what is kept of a password, CheckPassword whether one is it. An
	// empty hash takes as long as any other and is never right.
	HashPassword(ctx context.Context, password string) (string, error)
	CheckPassword(ctx context.Context, hash, password string) (bool, error)
}

// RowsMax is the greatest number of records that one read of a guest may return.
const RowsMax = 1000

// Bounds limit one run.
type Bounds struct {
	// Time is how long a run may take.
	Time time.Duration
	// Memory is how many bytes it may hold, for languages that can be measured.
	Memory int64
	// Calls is how many host calls it may make.
	Calls int
}

// Program is the loaded code of one language. It is immutable and used by many
// runs at once.
type Program interface {
	// Names lists the functions it holds, each with the file and line where. A function
	// is named by its folder and its name: actions/checkout, jobs/charge_card,
	// hooks/likes.create, webhooks/stripe, routes/sitemap.
	Names() map[string]string
}

// Checker is a Program whose functions have types of their own, which an app file may
// contradict.
type Checker interface {
	// Check returns what of the program does not fit the app file, with both places.
	Check(s *spec.Spec) []spec.Finding
	// Misfits names the functions for which Check finds an error.
	Misfits(s *spec.Spec) map[string]bool
}

// Runner runs the functions of one language.
type Runner interface {
	// Run calls the named function with an input of its declared shape, and returns
	// an output of its declared shape (Null where none is declared). A fault that
	// the guest threw comes back as it is; anything else that goes wrong is a fault
	// of kind Internal or Timeout whose cause names the place in the source.
	Run(ctx context.Context, p Program, call Run, host Host) (value.Value, error)
	// RunJob runs the named job from its top, which reaches what lies outside of it
	// through steps alone. Bounds.Time holds for each attempt of a step, and for what
	// the code computes between two steps. What a step, a sleep or a wait returned as
	// an error ends the run and comes back as it is, but what code may hear of: the
	// refusals of a transaction and the fault timeout of a wait. A *Failure is what
	// the guest threw to end the job for good. The value is what the job returned, as
	// JSON, or Null.
	RunJob(ctx context.Context, p Program, call Run, steps Steps) (value.Value, error)
}

// Run is one call of a guest.
type Run struct {
	// Name is that of Program.Names.
	Name  string
	Input value.Record
	// Of is the collection whose record Input is, where it is one.
	Of string
	// Before is the record before the change, for the hook of an update.
	Before value.Record
	Output *value.Shape
	Bounds Bounds
}

// Title names what runs, for errors: action checkout, hook likes.create.
func (r Run) Title() string { return Title(r.Name) }

// Kind is what runs, in one word: action, job, hook, webhook or route.
func (r Run) Kind() string {
	folder, _, _ := strings.Cut(r.Name, "/")
	return strings.TrimSuffix(folder, "s")
}

// final is an error that no code can catch.
type final struct{ err error }

// Error says what the error says.
func (f final) Error() string { return f.err.Error() }

// Unwrap returns the error.
func (f final) Unwrap() error { return f.err }

// Final makes an error one that ends the call, though it is an answer of the state: for
// what was done in part and has to be undone.
func Final(err error) error { return final{err} }

// Catchable reports whether code may hear of an error of its host and go on: those
// that are answers of the state. All others end the call, whatever the code does.
func Catchable(err error) bool {
	var f *fault.Fault
	var last final
	if !errors.As(err, &f) || errors.As(err, &last) {
		return false
	}
	switch f.Kind {
	case fault.NotFound, fault.Exists, fault.Refused, fault.Stale, fault.Invalid, fault.Denied,
		fault.Unauthenticated, fault.Malformed, fault.TooLarge:
		return true
	}
	return false
}

// houseCodes are the codes of the house with which code may refuse, with their kinds.
var houseCodes = map[string]fault.Kind{
	"not_found":       fault.NotFound,
	"forbidden":       fault.Denied,
	"unauthenticated": fault.Unauthenticated,
	"already_exists":  fault.Exists,
	"invalid_input":   fault.Invalid,
	"stale":           fault.Stale,
	"in_use":          fault.Refused,
	"too_large":       fault.TooLarge,
	"rate_limited":    fault.Exhausted,
	"unavailable":     fault.Unavailable,
}

// HouseKind returns the kind of a code of the house with which code may refuse.
func HouseKind(code string) (fault.Kind, bool) {
	k, ok := houseCodes[code]
	return k, ok
}

// HouseCodes returns the codes of the house with which code may refuse, sorted.
func HouseCodes() []string { return slices.Sorted(maps.Keys(houseCodes)) }
