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

// eventMax bounds the jobs that one event reaches.
const eventMax = 1000

// chance is that of ids.
func chance() *rand.Rand { return rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())) }

// Signal ends the waits of all jobs for an event with its payload, a value that is kept
// as JSON, in the caller's transaction. It returns how many there were; Wake has them go
// on at once.
func Signal(ctx context.Context, tx store.Tx, event string, payload value.Value,
	now time.Time) (int, error) {
	rows, err := tx.Find(ctx, query.Query{Plan: eventPlan,
		Args: []value.Value{value.OfText(event)}})
	if err != nil {
		return 0, err
	}
	text := ""
	if !payload.IsNull() {
		text = string(value.AppendJSON(nil, payload))
	}
	for _, row := range rows {
		row.Set(fieldEvent, value.OfNull())
		row.Set(fieldEnded, value.OfTime(now))
		row.Set(fieldResult, maybe(text))
		if _, err := tx.Put(ctx, Steps, row); err != nil {
			return 0, err
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
			return 0, err
		}
	}
	return len(rows), nil
}
