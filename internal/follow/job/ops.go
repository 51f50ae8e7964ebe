package job

import (
	"context"
	"encoding/json"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Info is a job as it is told.
type Info struct {
	ID       ident.Record    `json:"id"`
	Name     string          `json:"name"`
	State    string          `json:"state"`
	Progress *Progress       `json:"progress,omitempty"`
	Result   json.RawMessage `json:"result,omitempty"`
	Problem  *Problem        `json:"problem,omitempty"`
	Cause    string          `json:"-"`
	Owner    string          `json:"-"`
	Attempt  int64           `json:"-"`
	Input    json.RawMessage `json:"-"`
	Node     ident.Record    `json:"-"`
	Created  time.Time       `json:"-"`
	Due      time.Time       `json:"-"`
	Begun    time.Time       `json:"-"`
	Ended    time.Time       `json:"-"`
	Steps    []StepInfo      `json:"-"`
}

// Progress is how far a job is, as it said itself.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// StepInfo is a step as it is told.
type StepInfo struct {
	Name    string          `json:"name"`
	Kind    string          `json:"kind"`
	Result  json.RawMessage `json:"result,omitempty"`
	Problem *Problem        `json:"problem,omitempty"`
	Due     time.Time       `json:"due,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
}

// InfoOf returns the job of a record.
func InfoOf(row value.Record) Info {
	out := Info{ID: ident.Record(row.Slots[spec.SlotID].Text()),
		Name: row.Get(fieldName).Text(), State: row.Get(fieldState).Text(),
		Owner: row.Get(fieldOwner).Text(), Attempt: row.Get(fieldTries).Int() + 1,
		Input: raw(row.Get(fieldInput)), Result: raw(row.Get(fieldResult)),
		Problem: problem(row.Get(fieldProblem)), Node: ident.Record(row.Get(fieldNode).Text()),
		Created: row.Slots[spec.SlotCreated].Time(), Due: moment(row.Get(fieldDue)),
		Begun: moment(row.Get(fieldBegun)), Ended: moment(row.Get(fieldEnded))}
	if out.State == Failed && out.Attempt > 1 {
		out.Attempt-- // the last one that there was
	}
	out.Cause = row.Get(fieldCause).Text()
	if out.Due.Equal(never) {
		out.Due = time.Time{}
	}
	if !row.Get(fieldTotal).IsNull() {
		out.Progress = &Progress{row.Get(fieldDone).Int(), row.Get(fieldTotal).Int()}
	}
	return out
}

func raw(v value.Value) json.RawMessage {
	if v.IsNull() {
		return nil
	}
	return json.RawMessage(v.Text())
}

func moment(v value.Value) time.Time {
	if v.IsNull() {
		return time.Time{}
	}
	return v.Time()
}

func problem(v value.Value) *Problem {
	if v.IsNull() {
		return nil
	}
	p := &Problem{Code: "internal"}
	_ = json.Unmarshal([]byte(v.Text()), p) // it was written by problemOf
	p.Kind = ""
	return p
}

// Show returns a job with its steps, or the fault not_found.
func (j *Jobs) Show(ctx context.Context, id ident.Record) (out Info, err error) {
	err = j.cfg.Store.Read(ctx, func(v store.View) error {
		row, err := v.Get(ctx, Collection, id)
		if err != nil {
			return noJob(id, err)
		}
		out = InfoOf(row)
		rows, err := v.Find(ctx, query.Query{Plan: stepsPlan,
			Args: []value.Value{value.OfText(string(id))}})
		for _, row := range rows {
			out.Steps = append(out.Steps, StepInfo{Name: row.Get(fieldName).Text(),
				Kind: row.Get(fieldKind).Text(), Result: raw(row.Get(fieldResult)),
				Problem: problem(row.Get(fieldProblem)), Due: moment(row.Get(fieldDue)),
				Ended: moment(row.Get(fieldEnded))})
		}
		return err
	})
	if err == nil {
		out = j.far(out)
	}
	return out, err
}

func noJob(id ident.Record, err error) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "There is no job %s.", id)
	}
	return err
}

// Changed returns what is closed at the next change of jobs by this node.
func (j *Jobs) Changed() <-chan struct{} { return j.changed.wait() }

const (
	// awaitMax is how old an id may be of which it is waited that the job comes.
	awaitMax = time.Minute
	// awaitEach is how often it is looked for one that another node writes.
	awaitEach = 50 * time.Millisecond
)

// ListMax is the greatest number of jobs that List returns.
const ListMax = 1000

// List returns jobs, the newest first: of a state and of a name, where those are not
// empty, and made before a job, where one is given.
func (j *Jobs) List(ctx context.Context, state, name string, before ident.Record, limit int) (
	[]Info, error) {
	q := follow.Newest(Collection, before, min(max(limit, 1), ListMax),
		follow.Is{Field: fieldState, Text: state}, follow.Is{Field: fieldName, Text: name})
	var out []Info
	err := j.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, q)
		out = make([]Info, len(rows))
		for i, row := range rows {
			out[i] = InfoOf(row)
		}
		return err
	})
	return out, err
}

// Cancel ends a job: one that waits at once, one that runs before its next step. A job
// that has ended is the fault job_ended.
func (j *Jobs) Cancel(ctx context.Context, id ident.Record) error {
	now := j.cfg.Now()
	_, err := j.cfg.Store.Write(ctx, j.origin(now), func(tx store.Tx) error {
		row, err := tx.Get(ctx, Collection, id)
		if err != nil {
			return noJob(id, err)
		}
		if err := stop(row.Get(fieldState).Text(), row, now); err != nil {
			return err
		}
		_, err = tx.Put(ctx, Collection, row)
		return err
	})
	if err == nil {
		j.drain(id)
	}
	return err
}

// stop ends a job that waits, and has one that runs end.
func stop(state string, row value.Record, now time.Time) error {
	switch state {
	case Waiting:
		e := end{state: Cancelled}
		e.write(row, Cancelled, now)
	case Running:
		row.Set(fieldCancel, value.OfBool(true))
	default:
		return fault.WithCode(fault.Refused, "job_ended", "The job has ended: it is %s.", state)
	}
	return nil
}

// Retry has a job that failed or was cancelled run again. Its steps up to the one that
// is named are kept, or all where none is; those from it on run again.
func (j *Jobs) Retry(ctx context.Context, id ident.Record, from string) error {
	now := j.cfg.Now()
	_, err := j.cfg.Store.Write(ctx, j.origin(now), func(tx store.Tx) error {
		row, err := tx.Get(ctx, Collection, id)
		if err != nil {
			return noJob(id, err)
		}
		state := row.Get(fieldState).Text()
		if state != Failed && state != Cancelled && state != Waiting {
			return fault.WithCode(fault.Refused, "job_not_failed",
				"Only a job that failed, waits or was cancelled is tried again; this one is %s.", state)
		}
		place, err := stepFrom(ctx, tx, row, from)
		if err != nil {
			return err
		}
		if place >= 0 {
			if err := forget(ctx, tx, id, place); err != nil {
				return err
			}
			row.Set(fieldAgain, value.OfInt(row.Get(fieldAgain).Int()+1))
		}
		e := end{due: now}
		e.write(row, Waiting, now)
		row.Set(fieldTries, value.OfInt(0))
		row.Set(fieldEnded, value.OfNull())
		row.Set(fieldProblem, value.OfNull())
		row.Set(fieldCause, value.OfNull())
		if once := j.oneAgain(ctx, row); once != "" {
			row.Set(fieldOnce, value.OfText(once))
		}
		_, err = tx.Put(ctx, Collection, row)
		if fault.Is(err, fault.Exists) {
			return fault.WithCode(fault.Refused, "once_per", onceTaken)
		}
		return err
	})
	if err == nil {
		j.Wake()
	}
	return err
}

// oneAgain is the value by which a job that ended is one again, "" if it needs none.
func (j *Jobs) oneAgain(ctx context.Context, row value.Record) string {
	w := workOf(row)
	job := j.cfg.Find(w.name)
	if w.once != "" || job == nil || job.Once == nil {
		return ""
	}
	if once := j.once(ctx, job, w); once != "" {
		return once
	}
	return string(w.id)
}

// stepFrom returns the place of the step from which on a job runs again: the named one,
// or where none is named the last, if the job failed because it said no; else less than 0.
func stepFrom(ctx context.Context, tx store.Tx, job value.Record, name string) (int, error) {
	rows, err := tx.Find(ctx, query.Query{Plan: stepsPlan,
		Args: []value.Value{job.Slots[spec.SlotID]}})
	if err != nil {
		return 0, err
	}
	if name == "" {
		if n := len(rows); n > 0 && job.Get(fieldState).Text() == Failed {
			why, last := problem(job.Get(fieldProblem)), problem(rows[n-1].Get(fieldProblem))
			if why != nil && last != nil && why.Code == last.Code {
				return n - 1, nil
			}
		}
		return -1, nil
	}
	var names []string
	for _, row := range rows {
		if names = append(names, row.Get(fieldName).Text()); names[len(names)-1] == name {
			return int(row.Get(fieldPlace).Int()), nil
		}
	}
	help := ""
	if near := value.Nearest(name, names); near != "" {
		help = " Did you mean " + near + "?"
	}
	return 0, fault.New(fault.NotFound, "The job has no step %q.%s", name, help)
}

// Live reports whether a job waits or runs, or was made so short a time ago that it may
// not be written yet.
func Live(ctx context.Context, v store.View, id ident.Record) (bool, error) {
	row, err := v.Get(ctx, Collection, id)
	if fault.Is(err, fault.NotFound) {
		return time.Since(id.Made()) < awaitMax, nil
	}
	if err != nil {
		return false, err
	}
	state := row.Get(fieldState).Text()
	return state == Waiting || state == Running, nil
}

// Settled waits until no job runs, and none is due that this node can run.
func (j *Jobs) Settled(ctx context.Context) error {
	for {
		changed := j.changed.wait()
		j.mu.Lock()
		busy := len(j.works) > 0
		room := j.cfg.Workers
		j.mu.Unlock()
		if !busy {
			found, err := j.find(ctx, room, j.cfg.Now())
			if err != nil {
				return err
			}
			// One that was just claimed is not among this node's yet.
			running, err := j.List(ctx, Running, "", "", 1)
			if err != nil || len(found)+len(running) == 0 {
				return err
			}
			j.Wake()
		}
		poll := time.NewTimer(awaitEach)
		select {
		case <-changed:
		case <-poll.C:
		case <-ctx.Done():
			poll.Stop()
			return ctx.Err()
		}
		poll.Stop()
	}
}
