package rest

import (
	"context"
	"net/http"
	"regexp"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// The names of the built-in actions of jobs, and the bounds of waiting for one that was
// started a moment ago: what the commit asked for is written a moment after it.
const (
	actionShowJob   = "jobs/show"
	actionCancelJob = "jobs/cancel"

	jobFresh = time.Minute
	jobTime  = 2 * time.Second
	jobFirst = 4 * time.Millisecond
)

// jobGoesOn finds that a job has yet to end: its state stands before anything that
// somebody else wrote.
var jobGoesOn = regexp.MustCompile(`^\{"id":"[^"]*","name":"[^"]*","state":"(waiting|running)"`)

// job shows or ends a job of the caller's.
func (d *Door) job(ctx context.Context, x *exchange, id string, m transport.Methods) error {
	call, err := x.call()
	if err != nil {
		return err
	}
	if err := noParams(x.r); err != nil {
		return err
	}
	if err := noBody(x.r); err != nil {
		return err
	}
	if _, err := ident.ParseRecord(id); err != nil {
		return fault.New(fault.NotFound, "There is no job %s.", id)
	}
	call.Verb = engine.Action
	call.Body = append(value.AppendQuoted([]byte(`{"id":`), id), '}')
	var answer engine.Answer
	err = d.awaitJob(ctx, id, func() (err error) {
		if m == transport.MethodGet {
			call.Target = actionShowJob
			answer, err = d.Engine.Query(ctx, call)
		} else {
			call.Target = actionCancelJob
			_, err = d.Engine.Execute(ctx, call)
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case m != transport.MethodGet:
		x.send(http.StatusAccepted, nil)
	default:
		if text := answer.Output.Text(); jobGoesOn.MatchString(text) {
			x.set("Retry-After", "1")
		}
		x.send(http.StatusOK, []byte(answer.Output.Text()))
	}
	return nil
}

// awaitJob asks for a job again that is not there, if it may have been started a moment
// ago.
func (d *Door) awaitJob(ctx context.Context, id string, ask func() error) error {
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
