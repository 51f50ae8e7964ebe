package job

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// eventMax is how many waits are looked for at a time.
const eventMax = 1000

// chance is that of ids.
func chance() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

// Signal ends the waits of all jobs for an event with its payload, a value that is kept
// as JSON, in the caller's transaction. It returns how many there were; Wake has them go
// on at once.
func Signal(ctx context.Context, tx store.Tx, event string, payload value.Value,
	now time.Time) (int, error) {
	text := ""
	if !payload.IsNull() {
		text = string(value.AppendJSON(nil, payload))
	}
	for n := 0; ; {
		rows, err := tx.Find(ctx, query.Query{Plan: eventPlan,
			Args: []value.Value{value.OfText(event)}})
		if err == nil {
			err = signal(ctx, tx, rows, maybe(text), now)
		}
		if n += len(rows); err != nil || len(rows) < eventMax {
			return n, err
		}
	}
}

// signal ends waits with a payload.
func signal(ctx context.Context, tx store.Tx, rows []value.Record, payload value.Value,
	now time.Time) error {
	for _, row := range rows {
		row.Set(fieldEvent, value.OfNull())
		row.Set(fieldEnded, value.OfTime(now))
		row.Set(fieldResult, payload)
		if _, err := tx.Put(ctx, Steps, row); err != nil {
			return err
		}
		job, err := tx.Get(ctx, Collection, ident.Record(row.Get(fieldJob).Text()))
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err == nil && job.Get(fieldState).Text() == Waiting {
			job.Set(fieldDue, value.OfTime(now))
			_, err = tx.Put(ctx, Collection, job)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
