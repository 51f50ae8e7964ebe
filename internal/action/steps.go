package action

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// Steps is everything that a job can reach outside a transaction. What a step
// returned is kept, so that a job that runs again from its top does not run the step
// again. It is used by one goroutine at a time.
type Steps interface {
	// Step runs the function unless the step of that name ended before, and returns
	// what it returned: then, or now. The value is kept as JSON.
	Step(ctx context.Context, name string,
		run func(context.Context, Step) (value.Value, error)) (value.Value, error)
	// Transaction is a step that is one serializable transaction: what it did and that
	// it was done are one commit. A refusal is its answer, too, now and whenever the job
	// runs again.
	Transaction(ctx context.Context, name string,
		run func(context.Context, Host) (value.Value, error)) (value.Value, error)
	// Sleep ends when the time has passed since it was first reached.
	Sleep(ctx context.Context, name string, d time.Duration) error
	// Wait ends with the next event of that name after it was first reached, such as
	// webhook:stripe, or with the fault timeout.
	Wait(ctx context.Context, event string, timeout time.Duration) (value.Value, error)
	// Progress is shown to who started the job.
	Progress(done, total int64)
	// Secret returns a secret that the app file names.
	Secret(name string) (string, error)
	// ID is the job's own, Attempt counts from 1.
	ID() string
	Attempt() int
	// Now is an instant that is the same however often the job runs from its top.
	Now() time.Time
	Log() *slog.Logger
}

// Answered reports whether an error of Steps.Transaction is its answer for good, of which
// code hears: a refusal that is kept, and so the same whenever the job runs again.
func Answered(err error) bool {
	var failure *Failure
	return err != nil && !errors.As(err, &failure) && fault.From(err).Kind.Kept()
}

// Step is one attempt of a step.
type Step struct {
	// Key is the same at each attempt of this step of this job, so that another side
	// can tell a repetition by it.
	Key string
	// Client reaches what the outbound rules let a job reach.
	Client *http.Client
	// Now is the instant at which this attempt began; zero means that of Steps.
	Now time.Time
}

// Failure is the error by which a job ends for good: a retry would not help. Any other
// error of a job is tried again.
type Failure struct{ Fault *fault.Fault }

// Fail returns the Failure with a code of the app or of the house.
func Fail(code string) *Failure {
	f := &fault.Fault{Kind: fault.Refused, Code: code}
	if kind, ok := HouseKind(code); ok {
		f.Kind = kind
	}
	return &Failure{f}
}

// Error says why the job ended.
func (f *Failure) Error() string { return "the job failed: " + f.Fault.Error() }

// Unwrap returns the fault.
func (f *Failure) Unwrap() error { return f.Fault }

// ParseSpan reads a length of time such as 90s, 1h30m or 3d.
func ParseSpan(text string) (time.Duration, error) {
	days, isDays := strings.CutSuffix(text, "d")
	if isDays {
		text = days + "h"
	}
	d, err := time.ParseDuration(text)
	if err == nil && (d < 0 || isDays && d > spanMax/24) {
		err = fmt.Errorf("%q is no length of time", text)
	}
	if isDays {
		d *= 24
	}
	return d, err
}

// spanMax is the longest length of time that ParseSpan reads: 100 years.
const spanMax = 100 * 365 * 24 * time.Hour
