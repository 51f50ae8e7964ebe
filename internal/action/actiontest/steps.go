package actiontest

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// Steps is what a job reaches, in memory: what ended once is kept, and each run from the
// top is told of it. It is for one run at a time.
type Steps struct {
	// Host is what its transactions reach.
	Host *Memory
	// Client is what its steps reach others with.
	Client *http.Client
	// Secrets and Events hold what there is of both.
	Secrets map[string]string
	Events  map[string]value.Value
	// Stop is what a step, a transaction, a sleep or a wait of the name ends with instead
	// of running.
	Stop map[string]error
	// Notes lists what was asked, in order.
	Notes []string
	// Time bounds an attempt of a step; 0 does not.
	Time time.Duration
	// Logs takes what was logged.
	Logs slog.Handler

	kept map[string]value.Value
	runs int
}

var _ action.Steps = (*Steps)(nil)

func (s *Steps) note(format string, args ...any) {
	s.Notes = append(s.Notes, fmt.Sprintf(format, args...))
}

// Again begins another run from the top.
func (s *Steps) Again() { s.runs++ }

// once runs what has not ended before, and keeps what it returned as JSON.
func (s *Steps) once(kind, name string, run func() (value.Value, error)) (value.Value, error) {
	if v, ok := s.kept[kind+name]; ok {
		s.note("%s %s again", kind, name)
		return v, nil
	}
	if err := s.Stop[name]; err != nil {
		s.note("%s %s stops", kind, name)
		return value.Value{}, err
	}
	v, err := run()
	if err != nil {
		f := fault.From(err)
		s.note("%s %s fails with %s", kind, name, f.CodeOr())
		return value.Value{}, err
	}
	text := string(value.AppendJSON(nil, v))
	s.note("%s %s is %s", kind, name, text)
	if s.kept == nil {
		s.kept = map[string]value.Value{}
	}
	s.kept[kind+name] = value.OfJSON(text)
	return value.OfJSON(text), nil
}

// Step runs the function unless the step ended before.
func (s *Steps) Step(ctx context.Context, name string,
	run func(context.Context, action.Step) (value.Value, error)) (value.Value, error) {
	return s.once("step", name, func() (value.Value, error) {
		if s.Time > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, s.Time)
			defer cancel()
		}
		return run(ctx, action.Step{Key: "job1." + name, Client: s.Client, Now: s.Now()})
	})
}

// Transaction runs the function twice, as a store does that lost a race, and keeps
// nothing of the first time.
func (s *Steps) Transaction(ctx context.Context, name string,
	run func(context.Context, action.Host) (value.Value, error)) (value.Value, error) {
	return s.once("transaction", name, func() (value.Value, error) {
		undo := s.Host.Copy()
		if _, err := run(ctx, s.Host); err != nil && !action.Answered(err) {
			return value.Value{}, err
		}
		s.Host.Restore(undo)
		return run(ctx, s.Host)
	})
}

// Sleep ends at once.
func (s *Steps) Sleep(_ context.Context, name string, d time.Duration) error {
	_, err := s.once("sleep", name, func() (value.Value, error) {
		return value.OfText(d.String()), nil
	})
	return err
}

// Wait returns the event if there is one, and else the fault timeout.
func (s *Steps) Wait(_ context.Context, event string, timeout time.Duration) (value.Value, error) {
	return s.once("wait", event, func() (value.Value, error) {
		if v, ok := s.Events[event]; ok {
			return v, nil
		}
		return value.Value{}, fault.New(fault.Timeout, "No %s within %s.", event, timeout)
	})
}

// Progress notes it.
func (s *Steps) Progress(done, total int64) { s.note("progress %d of %d", done, total) }

// Secret returns a secret, if there is one.
func (s *Steps) Secret(name string) (string, error) {
	if text, ok := s.Secrets[name]; ok {
		return text, nil
	}
	return "", fmt.Errorf("there is no secret %s", name)
}

// ID is the job's own.
func (s *Steps) ID() string { return "job1" }

// Attempt counts the runs.
func (s *Steps) Attempt() int { return s.runs + 1 }

// Now is the same in each run.
func (s *Steps) Now() time.Time { return s.Host.At }

// Log takes what the code says.
func (s *Steps) Log() *slog.Logger {
	if s.Logs == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(s.Logs)
}
