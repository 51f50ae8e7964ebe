package job

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// callsMax bounds how often a job's code may turn to its host in a transaction.
const callsMax = 10_000

// hire has somebody work if there is work and leave to compute. The caller holds j.mu.
func (j *Jobs) hire() {
	for n := len(j.todo); n > 0 && j.inside < j.cfg.Computing; n-- {
		switch {
		case j.idle > 0:
			j.idle--
			j.call.Signal()
		case j.made < j.cfg.Workers && j.ctx != nil:
			j.made++
			j.workers.Go(func() { j.worker(j.ctx) })
		default:
			return
		}
		j.inside++
	}
}

// worker runs jobs on a thread of its own.
func (j *Jobs) worker(ctx context.Context) {
	// The thread is never given back, so that it ends with the worker.
	runtime.LockOSThread()
	s := &seat{thread: ownThread()}
	for {
		w := j.next(s)
		if w == nil {
			return
		}
		began := time.Now()
		e := j.begin(ctx, w, s)
		j.end(w, e, time.Since(began))
	}
}

// next waits for a job to run; nil is the end. A thread that has lost its weight is not
// used again.
func (j *Jobs) next(s *seat) *work {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seats[s] = true
	if s.slow {
		delete(j.seats, s)
		j.made--
		j.inside--
		j.hire()
		return nil
	}
	for len(j.todo) == 0 {
		j.inside--
		if !j.closing {
			j.idle++
			j.call.Wait() // who calls counts this worker in
		}
		if j.closing {
			delete(j.seats, s)
			return nil
		}
	}
	w := j.todo[0]
	j.todo[0] = nil
	j.todo = j.todo[1:]
	w.state = running
	if j.running++; j.running == 1 {
		select {
		case j.begun <- struct{}{}:
		default:
		}
	}
	return w
}

// end notes how a run ended.
func (j *Jobs) end(w *work, e end, took time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.running--
	j.took += (int64(took) - j.took) / 16
	w.state, w.end, w.cancel = ended, e, nil
	if w.lost {
		return
	}
	if w.following {
		if j.batch.open--; j.batch.open == 0 {
			close(j.batch.left)
		}
		return
	}
	j.ended = append(j.ended, w)
	j.nudge()
}

// begin runs a job once, from its top.
func (j *Jobs) begin(ctx context.Context, w *work, at *seat) (e end) {
	s := &steps{jobs: j, work: w, seat: at, names: map[string]int{}}
	defer func() {
		if why := recover(); why != nil {
			e = j.failed(s, fmt.Errorf("panic: %v\n%s", why, debug.Stack()))
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	j.mu.Lock()
	w.cancel = cancel
	stop := w.cancelled
	j.mu.Unlock()
	if stop {
		return end{state: Cancelled}
	}
	later := end{state: Waiting, due: j.cfg.Now().Add(j.cfg.Follow.Beat())}
	job := j.cfg.Find(w.name)
	if job == nil { // another app is in force than when it was taken
		return later
	}
	s.job = job
	in, err := job.input(w.input)
	if err != nil && j.cfg.InForce() != nil { // it is for the app that this node will have
		return later
	}
	if err != nil {
		return j.failed(s, &action.Failure{Fault: fault.From(err)})
	}
	if w.run > 1 {
		if err := s.load(ctx); err != nil {
			return j.failed(s, err)
		}
	}
	out, err := j.compute(ctx, job.Run, action.Run{Name: action.Jobs + "/" + w.name, Input: in, Of: job.Of,
		Bounds: action.Bounds{Time: job.stepTime(), Memory: Memory, Calls: callsMax}}, s)
	if s.end.state != "" {
		return s.end
	}
	if err == nil {
		var text string
		if text, err = s.text(out); err == nil {
			return end{state: Done, result: text, tries: s.tries()}
		}
	}
	return j.failed(s, err)
}

// compute runs code that has the leave to compute.
func (j *Jobs) compute(ctx context.Context,
	run func(context.Context, action.Run, action.Steps) (value.Value, error),
	call action.Run, s *steps) (value.Value, error) {
	j.sit(s.seat, false)
	defer j.rise(s.seat, false)
	return run(ctx, call, s)
}

// stepTime is how long an attempt of a step may take.
func (j *Job) stepTime() time.Duration {
	if j.Timeout > 0 {
		return j.Timeout
	}
	return StepTime
}

// input reads an input as it was kept.
func (j *Job) input(text string) (value.Record, error) {
	if j.Input == nil {
		return value.Record{}, nil
	}
	if text == "" {
		text = "{}"
	}
	if j.Of != "" {
		return value.DecodeStored(j.Input, []byte(text))
	}
	in, issues, err := value.DecodeObject([]byte(text), j.Input, value.Decoding{})
	if err == nil && len(issues) > 0 {
		err = fault.New(fault.Invalid, "The input of the job does not fit: %s %s.",
			issues[0].Pointer, issues[0].Detail)
	}
	return in, err
}

// failed says what becomes of a job whose run failed: it is tried again, or waits for a
// human.
func (j *Jobs) failed(s *steps, err error) end {
	now, w := j.cfg.Now(), s.work
	var failure *action.Failure
	final := errors.As(err, &failure) ||
		s.refused != nil && fault.From(err).Code == s.refused.Code // another run hears it again
	j.mu.Lock()
	lost, closing := w.lost, j.closing
	j.mu.Unlock()
	switch {
	case errors.Is(err, errGone) || lost:
		return end{state: Waiting, written: true}
	case closing && (errors.Is(err, context.Canceled) || fault.Is(err, fault.Unavailable)):
		return end{state: Waiting, due: now, tries: s.tries()}
	case errors.Is(err, errCancelled):
		return end{state: Cancelled}
	}
	tries := s.tries() + 1
	j.cfg.Log.Warn("a job failed", "job", w.name, "id", string(w.id), "attempt", tries,
		"cause", err)
	e := end{state: Failed, problem: j.cfg.Mask.Text(problemOf(err)), cause: j.cause(err),
		tries: tries}
	if !final && s.job != nil && tries <= int64(s.job.Retry) {
		e.state, e.due = Waiting, now.Add(Backoff(tries, rand.Float64()))
	}
	return e
}

// cause is why an attempt failed, for who runs the app.
func (j *Jobs) cause(err error) string {
	f := fault.From(err)
	if f.Cause == nil {
		return ""
	}
	text := strings.ToValidUTF8(j.cfg.Mask.Text(f.Cause.Error()), "�")
	if len(text) > causeMax {
		text = strings.ToValidUTF8(text[:causeMax], "") + "…"
	}
	return text
}

// Backoff is how long to wait after the n-th failed attempt: two seconds, and twice as
// long after each further one, but no more than RetryMax; a chance between 0 and 1
// makes it up to a quarter longer or shorter, so that jobs that failed together do not
// come back together.
func Backoff(n int64, chance float64) time.Duration {
	d := RetryMax
	if n < 12 {
		d = min(time.Second<<n, RetryMax)
	}
	return d + time.Duration(float64(d)*(chance-0.5)/2)
}
