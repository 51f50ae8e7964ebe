package action

import (
	"context"
	"log/slog"
	"net/http"
	"time"

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
	// it was done are one commit.
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
	Now() time.Time
	Log() *slog.Logger
}

// Step is one attempt of a step.
type Step struct {
	// Key is the same at each attempt of this step of this job, so that another side
	// can tell a repetition by it.
	Key string
	// Client reaches what the outbound rules let a job reach.
	Client *http.Client
}
