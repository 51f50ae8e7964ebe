package rest

import (
	"context"
	"net/http"
	"regexp"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// The names of the built-in actions of jobs.
const (
	actionShowJob   = "jobs/show"
	actionCancelJob = "jobs/cancel"
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
	call.Verb = engine.Action
	call.Body = append(value.AppendQuoted([]byte(`{"id":`), id), '}')
	var answer engine.Answer
	err = transport.AwaitJob(ctx, id, func() (err error) {
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
