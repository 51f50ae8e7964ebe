package transport

import (
	"context"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
)

// The bounds of waiting for a job that was started a moment ago: what the commit asked
// for is written a moment after it.
const (
	jobFresh = time.Minute
	jobTime  = 2 * time.Second
	jobFirst = 4 * time.Millisecond
)

// AwaitJob asks for a job, and again if it is not there and may have been started a moment
// ago.
func AwaitJob(ctx context.Context, id string, ask func() error) error {
	if _, err := ident.ParseRecord(id); err != nil {
		return fault.New(fault.NotFound, "There is no job %s.", id)
	}
	late := time.NewTimer(jobTime)
	defer late.Stop()
	for rest := jobFirst; ; rest *= 2 {
		err := ask()
		if !fault.Is(err, fault.NotFound) ||
			time.Since(ident.Record(id).Made()).Abs() > jobFresh {
			return err
		}
		again := time.NewTimer(rest)
		select {
		case <-again.C:
		case <-late.C:
			again.Stop()
			return err
		case <-ctx.Done():
			again.Stop()
			return err
		}
	}
}
