package job

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// The kinds of steps.
const (
	kindStep        = "step"
	kindTransaction = "transaction"
	kindSleep       = "sleep"
	kindWait        = "wait"
)

var (
	// errGone says that the job is not this node's any more.
	errGone = errors.New("the job is another node's")
	// errCancelled says that the job shall end.
	errCancelled = errors.New("the job was cancelled")
	// errPause ends a run that goes on later.
	errPause = errors.New("the job waits")
)

// steps is what the code of one run reaches.
type steps struct {
	jobs *Jobs
	work *work
	job  *Job
	seat *seat
	// kept are the steps of earlier runs, at the next one's place.
	kept []value.Record
	at   int
	// names counts how often a name was reached.
	names map[string]int
	// end is set where a step ended the run itself, ended says that one came to its end.
	end   end
	ended bool
	// refused is what the last step says each time it is reached: of a transaction that
	// was refused for good, of a wait in vain.
	refused *fault.Fault
	// away counts what the code waits for outside of this process.
	mu   sync.Mutex
	away int
}

var _ action.Steps = (*steps)(nil)

// tries counts the attempts that failed since the last step that ended.
func (s *steps) tries() int64 {
	if s.ended {
		return 0
	}
	return s.work.tries
}

// outside gives the leave to compute back, until back.
func (s *steps) outside() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away++; s.away == 1 {
		s.jobs.rise(s.seat, true)
	}
}

// back waits for the leave to compute, once nothing else is waited for.
func (s *steps) back() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away--; s.away == 0 {
		s.jobs.sit(s.seat, true)
	}
}

// load reads the steps of earlier runs.
func (s *steps) load(ctx context.Context) error {
	return s.jobs.cfg.Store.Read(ctx, func(v store.View) (err error) {
		s.kept, err = v.Find(ctx, query.Query{Plan: stepsPlan,
			Args: []value.Value{value.OfText(string(s.work.id))}})
		return err
	})
}

// next is asked when the code reaches a step, and returns what is kept of it: zero, if
// it was never reached.
func (s *steps) next(kind, name string) (kept value.Record, key string, err error) {
	s.jobs.mu.Lock()
	cancelled, lost := s.work.cancelled, s.work.lost
	s.jobs.mu.Unlock()
	switch {
	case lost:
		return kept, "", errGone
	case cancelled:
		return kept, "", errCancelled
	case s.at == StepsMax:
		return kept, "", &action.Failure{Fault: fault.New(fault.Refused,
			"The job has more than %d steps.", StepsMax)}
	}
	n := s.at
	s.at++
	s.refused = nil // the code has caught it, and gone on
	key = string(s.work.id) + "/" + name
	if s.names[name]++; s.names[name] > 1 {
		key += fmt.Sprintf("#%d", s.names[name])
	}
	if n >= len(s.kept) {
		return kept, key, nil
	}
	kept = s.kept[n]
	was := kept.Get(fieldName).Text()
	if was == name && kept.Get(fieldKind).Text() == kind {
		return kept, key, nil
	}
	return kept, "", &action.Failure{Fault: fault.WithCode(fault.Refused, "job_changed",
		"step %q expected, found %q: the job changed while running. galley jobs retry %s "+
			"--from %s", was, name, s.work.id, was)}
}

// row is the record of the step that was reached last. Its id is new in this very
// millisecond, so that none can be there.
func (s *steps) row(now time.Time, kind, name string) value.Record {
	row := value.NewRecord(s.jobs.shapes[Steps])
	row.Slots[spec.SlotID] = value.OfText(string(ident.RecordAt(now, chance(), s.at)))
	row.Set(fieldJob, value.OfText(string(s.work.id)))
	row.Set(fieldPlace, value.OfInt(int64(s.at-1)))
	row.Set(fieldName, value.OfText(name))
	row.Set(fieldKind, value.OfText(kind))
	return row
}

// text writes what a step or the job returned as it is kept; "" is null.
func (s *steps) text(v value.Value) (string, error) {
	if v.IsNull() {
		return "", nil
	}
	text := value.AppendJSON(nil, v)
	if len(text) > ResultMax {
		return "", &action.Failure{Fault: fault.New(fault.TooLarge,
			"What was returned has more than %d KB.", ResultMax>>10)}
	}
	return string(text), nil
}

// result reads what text wrote.
func result(text string) value.Value {
	if text == "" {
		return value.OfNull()
	}
	return value.OfJSON(text)
}

// write writes a step in one commit with whatever change makes of the job's record,
// which may be nil. A database that cannot write now is asked again: what the step did
// is done.
func (s *steps) write(ctx context.Context, row value.Record,
	change func(job value.Record)) error {
	now := row.Slots[spec.SlotCreated].Time()
	row.Slots[spec.SlotCreated] = value.Value{}
	origin := s.jobs.origin(now)
	again := againMin
	for {
		_, err := s.jobs.cfg.Store.Write(ctx, origin, func(tx store.Tx) error {
			held, err := s.jobs.held(ctx, tx, s.work)
			if err != nil {
				return err
			}
			if change != nil {
				change(held)
				if _, err := tx.Put(ctx, Collection, held); err != nil {
					return err
				}
			}
			if held.Get(fieldCancel).Bool() {
				s.jobs.drain(s.work.id)
			}
			_, err = tx.Put(ctx, Steps, row)
			if fault.Is(err, fault.Exists) {
				return nil // written by a commit of which nobody knew
			}
			return err
		})
		if err == nil {
			s.jobs.mu.Lock()
			s.work.kept = true
			s.jobs.mu.Unlock()
			return nil
		}
		if k := fault.From(err).Kind; k != fault.Unavailable && k != fault.Unknown {
			return err
		}
		if wait(ctx, again) != nil {
			return err
		}
		again = min(again*2, againMax)
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// now is the instant of a record that is written next.
func (s *steps) now() time.Time { return s.jobs.cfg.Now().Truncate(time.Millisecond) }

// stamped is row with the instant at which it is written.
func (s *steps) stamped(kind, name string) value.Record {
	now := s.now()
	row := s.row(now, kind, name)
	row.Slots[spec.SlotCreated] = value.OfTime(now)
	row.Set(fieldEnded, value.OfTime(now))
	return row
}

// Step implements action.Steps.
func (s *steps) Step(ctx context.Context, name string,
	run func(context.Context, action.Step) (value.Value, error)) (value.Value, error) {
	kept, key, err := s.next(kindStep, name)
	if err != nil {
		return value.Value{}, err
	}
	if !kept.Zero() {
		return result(kept.Get(fieldResult).Text()), nil
	}
	stepping, cancel := context.WithTimeout(ctx, s.job.stepTime())
	defer cancel()
	client := *s.jobs.cfg.Client
	client.Transport = yielding{s, "00-" + Trace(s.work.id) + "-" + hashed(key, 8) + "-01",
		client.Transport}
	out, err := run(stepping, action.Step{Key: key, Client: &client, Now: s.now()})
	if err != nil {
		return value.Value{}, err
	}
	text, err := s.text(out)
	if err != nil {
		return value.Value{}, err
	}
	row := s.stamped(kindStep, name)
	row.Set(fieldResult, maybe(text))
	s.outside()
	err = s.write(ctx, row, nil)
	s.back()
	if err != nil {
		return value.Value{}, err
	}
	s.ended = true
	return result(text), nil
}

// Transaction implements action.Steps.
func (s *steps) Transaction(ctx context.Context, name string,
	run func(context.Context, action.Host) (value.Value, error)) (value.Value, error) {
	kept, key, err := s.next(kindTransaction, name)
	if err != nil {
		return value.Value{}, err
	}
	if !kept.Zero() {
		if text := kept.Get(fieldProblem).Text(); text != "" {
			s.refused = faultOf(text)
			return value.Value{}, s.refused
		}
		return result(kept.Get(fieldResult).Text()), nil
	}
	if s.work.again > 0 { // it is asked to be done again, not for the answer that it had
		key += fmt.Sprintf("~%d", s.work.again)
	}
	var out value.Value
	again := againMin
	s.outside()
	for {
		out, err = s.jobs.cfg.Transact(ctx, s.transaction(name, key, run))
		if !fault.Is(err, fault.Unknown) || wait(ctx, again) != nil {
			break // who does not know asks again under the same key
		}
		again = min(again*2, againMax)
	}
	s.back()
	if err == nil {
		s.jobs.mu.Lock()
		s.work.kept = true
		s.jobs.mu.Unlock()
		s.ended = true
		return out, nil
	}
	var failure *action.Failure
	if errors.As(err, &failure) || !fault.From(err).Kind.Kept() {
		return value.Value{}, err
	}
	row := s.stamped(kindTransaction, name)
	row.Set(fieldProblem, value.OfText(s.jobs.cfg.Mask.Text(problemOf(err))))
	s.outside()
	broken := s.write(ctx, row, nil)
	s.back()
	if broken != nil {
		return value.Value{}, broken
	}
	s.refused = fault.From(err)
	return value.Value{}, err
}

// transaction is the work of a transaction's step.
func (s *steps) transaction(name, key string,
	run func(context.Context, action.Host) (value.Value, error)) engine.Work {
	return engine.Work{
		Subject:   ident.Subject{Who: ident.Job, Name: s.work.name},
		Operation: "jobs." + s.work.name, Key: key,
		Begin: func(ctx context.Context, tx store.Tx) error {
			row, err := s.jobs.held(ctx, tx, s.work)
			if err == nil && row.Get(fieldCancel).Bool() {
				s.jobs.drain(s.work.id)
			}
			return err
		},
		// The code is bounded as an action's is, and takes no leave to compute: it may hold
		// what who has that leave waits for.
		Run: func(ctx context.Context, h action.Host) (value.Value, error) {
			out, err := run(ctx, h)
			if err != nil {
				return out, err
			}
			text, err := s.text(out)
			return result(text), err
		},
		Keep: func(ctx context.Context, tx store.Tx, out value.Value) error {
			row := s.stamped(kindTransaction, name)
			row.Slots[spec.SlotCreated] = value.Value{}
			row.Set(fieldResult, maybe(out.Text()))
			_, err := tx.Put(ctx, Steps, row)
			return err
		},
	}
}

// Sleep implements action.Steps.
func (s *steps) Sleep(ctx context.Context, name string, d time.Duration) error {
	kept, _, err := s.next(kindSleep, name)
	if err != nil {
		return err
	}
	if !kept.Zero() {
		return s.until(kept.Get(fieldDue))
	}
	if d <= 0 {
		d = 0
	}
	row := s.stamped(kindSleep, name)
	due := value.OfTime(s.now().Add(d))
	row.Set(fieldDue, due)
	return s.pause(ctx, row, due)
}

// Wait implements action.Steps.
func (s *steps) Wait(ctx context.Context, event string, timeout time.Duration) (
	value.Value, error) {
	kept, _, err := s.next(kindWait, event)
	if err != nil {
		return value.Value{}, err
	}
	if kept.Zero() {
		row := s.stamped(kindWait, event)
		row.Set(fieldEnded, value.OfNull())
		row.Set(fieldEvent, value.OfText(event))
		if timeout <= 0 {
			timeout = WaitTime
		}
		due := value.OfTime(s.now().Add(timeout))
		row.Set(fieldDue, due)
		return value.Value{}, s.pause(ctx, row, due)
	}
	if text := kept.Get(fieldProblem).Text(); text != "" {
		s.refused = faultOf(text)
		return value.Value{}, s.refused
	}
	if !kept.Get(fieldEnded).IsNull() {
		return result(kept.Get(fieldResult).Text()), nil
	}
	if due := kept.Get(fieldDue); due.IsNull() || due.Time().After(s.now()) {
		err := s.until(due)
		s.end.event = ident.Record(kept.Slots[spec.SlotID].Text())
		return value.Value{}, err
	}
	return s.over(ctx, kept, event)
}

// over ends a wait whose time has passed, unless the event came in that moment.
func (s *steps) over(ctx context.Context, kept value.Record, event string) (value.Value, error) {
	late := fault.New(fault.Timeout, "The event %s did not come in time.", event)
	id := ident.Record(kept.Slots[spec.SlotID].Text())
	var row value.Record
	_, err := s.jobs.cfg.Store.Write(ctx, s.jobs.origin(s.now()), func(tx store.Tx) error {
		if _, err := s.jobs.held(ctx, tx, s.work); err != nil {
			return err
		}
		var err error
		if row, err = tx.Get(ctx, Steps, id); err != nil || !row.Get(fieldEnded).IsNull() {
			return err
		}
		row.Set(fieldEvent, value.OfNull())
		row.Set(fieldEnded, value.OfTime(s.now()))
		row.Set(fieldProblem, value.OfText(problemOf(late)))
		row, err = tx.Put(ctx, Steps, row)
		return err
	})
	switch {
	case err != nil:
		return value.Value{}, err
	case !row.Get(fieldProblem).IsNull():
		s.refused = late
		return value.Value{}, late
	}
	return result(row.Get(fieldResult).Text()), nil
}

// until ends the run if the time has not come.
func (s *steps) until(due value.Value) error {
	if !due.IsNull() && !due.Time().After(s.now()) {
		return nil
	}
	s.end = end{state: Waiting, due: never}
	if !due.IsNull() {
		s.end.due = due.Time()
	}
	return errPause
}

// never is when a job is due that waits for an event alone.
var never = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)

// pause writes a step and leaves the job to whoever takes it when it is due.
func (s *steps) pause(ctx context.Context, row value.Record, due value.Value) error {
	e := end{state: Waiting, due: never}
	if !due.IsNull() {
		e.due = due.Time()
	}
	s.outside()
	var wrote end
	err := s.write(ctx, row, func(job value.Record) {
		wrote = e
		wrote.unless(job)
		wrote.write(job, wrote.state, s.now())
		job.Set(fieldTries, value.OfInt(0))
	})
	s.back()
	if err != nil {
		return err
	}
	wrote.written = true
	s.end = wrote
	return errPause
}

// Progress implements action.Steps.
func (s *steps) Progress(done, total int64) {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.work.done, s.work.total, s.work.told = done, total, true
}

// Secret implements action.Steps.
func (s *steps) Secret(name string) (string, error) {
	if s.jobs.cfg.Secret == nil {
		return "", fmt.Errorf("there is no secret %s", name)
	}
	return s.jobs.cfg.Secret(name)
}

// ID implements action.Steps.
func (s *steps) ID() string { return string(s.work.id) }

// Attempt implements action.Steps.
func (s *steps) Attempt() int { return int(s.tries()) + 1 }

// Now implements action.Steps.
func (s *steps) Now() time.Time { return s.work.created }

// Log implements action.Steps.
func (s *steps) Log() *slog.Logger {
	return s.jobs.cfg.Log.With("job", s.work.name, "id", string(s.work.id),
		"trace", Trace(s.work.id))
}

// Trace is the W3C trace of a job: the requests of its steps carry it, each step with a span
// of its own.
func Trace(id ident.Record) string { return hashed(string(id), 16) }

// hashed is a number of bytes of a text's hash, in hex.
func hashed(text string, size int) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:size])
}

// yielding gives the leave to compute back while it waits for another server. Requests that
// name no trace carry its own.
type yielding struct {
	steps *steps
	trace string
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (y yielding) RoundTrip(r *http.Request) (*http.Response, error) {
	y.steps.outside()
	defer y.steps.back()
	next := y.next
	if next == nil {
		next = http.DefaultTransport
	}
	if r.Header.Get("Traceparent") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Traceparent", y.trace)
	}
	res, err := next.RoundTrip(r)
	if err == nil {
		res.Body = yieldingBody{y.steps, res.Body}
	}
	return res, err
}

// yieldingBody does so while it waits for more of an answer.
type yieldingBody struct {
	steps *steps
	io.ReadCloser
}

// Read implements io.Reader.
func (y yieldingBody) Read(p []byte) (int, error) {
	y.steps.outside()
	defer y.steps.back()
	return y.ReadCloser.Read(p)
}
