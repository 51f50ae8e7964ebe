package job

import (
	"context"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// The quiet collections of jobs and of their steps.
const (
	Collection = "_jobs"
	Steps      = "_job_steps"
)

// The states of a job's record.
const (
	Waiting   = "waiting"
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// The fields of the records.
const (
	fieldName    = "name"
	fieldState   = "state"
	fieldOwner   = "owner"
	fieldInput   = "input"
	fieldRun     = "run"
	fieldTries   = "tries"
	fieldDue     = "due"
	fieldNode    = "node"
	fieldOnce    = "once"
	fieldCancel  = "cancel"
	fieldDone    = "done"
	fieldTotal   = "total"
	fieldResult  = "result"
	fieldProblem = "problem"
	fieldCause   = "cause"
	fieldAgain   = "again"
	fieldBegun   = "begun"
	fieldEnded   = "ended"

	fieldJob   = "job"
	fieldPlace = "place"
	fieldKind  = "kind"
	fieldEvent = "event"
)

// textMax bounds the texts of jobs, in bytes.
const textMax = 8 << 20

// Collections returns the quiet collections of jobs. A job that waits is due at a time,
// one that runs has a node, and only then those fields are set.
func Collections() []*spec.Collection {
	of := func(k value.TypeKind) value.Type { return value.Type{Kind: k} }
	maybe := func(k value.TypeKind) value.Type { return value.Type{Kind: k, Optional: true} }
	// Texts of JSON, bounded where they come from.
	long := value.Type{Kind: value.TypeText, Optional: true, Max: &value.Bound{Int: textMax}}
	by := func(names ...string) spec.Index {
		var x spec.Index
		for _, n := range names {
			x.Fields = append(x.Fields, spec.IndexField{Name: n})
		}
		return x
	}
	return []*spec.Collection{
		{Name: Collection, Quiet: true, Index: []spec.Index{by(fieldDue), by(fieldNode)},
			Fields: []*spec.Field{
				{Name: fieldName, Type: of(value.TypeString)},
				{Name: fieldState, Type: of(value.TypeString)},
				{Name: fieldOwner, Type: of(value.TypeString)},
				{Name: fieldInput, Type: long},
				{Name: fieldRun, Type: of(value.TypeInt)},
				{Name: fieldTries, Type: of(value.TypeInt)},
				{Name: fieldDue, Type: maybe(value.TypeTime)},
				{Name: fieldNode, Type: maybe(value.TypeString)},
				{Name: fieldOnce, Type: maybe(value.TypeString), Unique: true},
				{Name: fieldCancel, Type: maybe(value.TypeBool)},
				{Name: fieldDone, Type: maybe(value.TypeInt)},
				{Name: fieldTotal, Type: maybe(value.TypeInt)},
				{Name: fieldResult, Type: long},
				{Name: fieldProblem, Type: long},
				{Name: fieldCause, Type: long},
				{Name: fieldAgain, Type: maybe(value.TypeInt)},
				{Name: fieldBegun, Type: maybe(value.TypeTime)},
				{Name: fieldEnded, Type: maybe(value.TypeTime)},
			}},
		{Name: Steps, Quiet: true, Index: []spec.Index{by(fieldJob), by(fieldEvent)},
			Fields: []*spec.Field{
				{Name: fieldJob, Type: of(value.TypeString)},
				{Name: fieldPlace, Type: of(value.TypeInt)},
				{Name: fieldName, Type: of(value.TypeString)},
				{Name: fieldKind, Type: of(value.TypeString)},
				{Name: fieldDue, Type: maybe(value.TypeTime)},
				{Name: fieldEvent, Type: maybe(value.TypeString)},
				{Name: fieldResult, Type: long},
				{Name: fieldProblem, Type: long},
				{Name: fieldEnded, Type: maybe(value.TypeTime)},
			}},
	}
}

// at returns a field of a row of a collection.
func at(collection, name string, kind value.TypeKind) query.Expr {
	return query.Field{Of: query.Row{}, Collection: collection, Name: name,
		Type: value.Type{Kind: kind}}
}

func param(n int, kind value.TypeKind) query.Expr {
	return query.Param{Index: n, Type: value.Type{Kind: kind}}
}

// stepsPlan finds the steps of a job in their order.
var stepsPlan = &query.Plan{From: Steps, Limit: StepsMax + 1,
	Where: query.Same{L: at(Steps, fieldJob, value.TypeString), R: param(0, value.TypeString)},
	Sort:  []query.Order{{By: at(Steps, fieldPlace, value.TypeInt)}}}

// eventPlan finds the steps that wait for an event.
var eventPlan = &query.Plan{From: Steps, Limit: eventMax,
	Where: query.Same{L: at(Steps, fieldEvent, value.TypeString), R: param(0, value.TypeString)}}

// gonePlan finds the jobs that run at other nodes than a number of them.
func gonePlan(nodes int) *query.Plan {
	in := query.In{X: at(Collection, fieldNode, value.TypeString)}
	for i := range nodes {
		in.Of = append(in.Of, param(i, value.TypeString))
	}
	return &query.Plan{From: Collection, Limit: turnMax, Where: query.And{Of: []query.Expr{
		query.Compare{Op: ">", L: at(Collection, fieldNode, value.TypeString),
			R: query.Literal{Value: value.OfText("")}},
		query.Not{Of: in}}}}
}

// cancelPlan finds the jobs of a node that shall end.
var cancelPlan = &query.Plan{From: Collection, Limit: turnMax, Where: query.And{Of: []query.Expr{
	query.Same{L: at(Collection, fieldNode, value.TypeString), R: param(0, value.TypeString)},
	query.Same{L: at(Collection, fieldCancel, value.TypeBool),
		R: query.Literal{Value: value.OfBool(true)}}}}}

// runsPlan finds the jobs of a name that run.
var runsPlan = &query.Plan{From: Collection, Limit: turnMax, Where: query.And{Of: []query.Expr{
	query.Compare{Op: ">", L: at(Collection, fieldNode, value.TypeString),
		R: query.Literal{Value: value.OfText("")}},
	query.Same{L: at(Collection, fieldName, value.TypeString), R: param(0, value.TypeString)}}}}

// duePlan finds jobs of a number of names that are due, the longest first.
func duePlan(names int) *query.Plan {
	in := query.In{X: at(Collection, fieldName, value.TypeString)}
	for i := range names {
		in.Of = append(in.Of, param(i+1, value.TypeString))
	}
	return &query.Plan{From: Collection, Limit: turnMax,
		Sort: []query.Order{{By: at(Collection, fieldDue, value.TypeTime)}},
		Where: query.And{Of: []query.Expr{query.Compare{Op: "<=",
			L: at(Collection, fieldDue, value.TypeTime), R: param(0, value.TypeTime)}, in}}}
}

// fetcher is a transaction that reads many records at once.
type fetcher interface {
	Fetch(ctx context.Context, collection string, ids []ident.Record) error
}

// fetch reads records ahead, if the transaction can.
func fetch(ctx context.Context, tx store.Tx, ids []ident.Record) error {
	if f, ok := tx.(fetcher); ok && len(ids) > 0 {
		return f.Fetch(ctx, Collection, ids)
	}
	return nil
}

// origin is that of the house's own bookkeeping.
func (j *Jobs) origin(now time.Time) journal.Origin {
	return journal.Origin{Call: ident.NewCall(), Operation: Collection, Door: "house",
		Subject: ident.Subject{Who: ident.System, Name: "jobs"}, Now: now}
}

// mine reports whether a record is that of the run at this node.
func (j *Jobs) mine(row value.Record, w *work) bool {
	return row.Get(fieldState).Text() == Running && row.Get(fieldRun).Int() == w.run &&
		row.Get(fieldNode).Text() == string(j.cfg.Follow.Node())
}

// fresh is the record of a job that is not written yet, which runs at this node.
func (j *Jobs) fresh(w *work) value.Record {
	row := value.NewRecord(j.shapes[Collection])
	row.Slots[spec.SlotID] = value.OfText(string(w.id))
	row.Set(fieldName, value.OfText(w.name))
	row.Set(fieldOwner, value.OfText(w.owner))
	if w.input != "" {
		row.Set(fieldInput, value.OfText(w.input))
	}
	if w.once != "" {
		row.Set(fieldOnce, value.OfText(w.once))
	}
	row.Set(fieldState, value.OfText(Running))
	row.Set(fieldNode, value.OfText(string(j.cfg.Follow.Node())))
	row.Set(fieldRun, value.OfInt(w.run))
	row.Set(fieldTries, value.OfInt(w.tries))
	return row
}

// held returns the record of a job that runs at this node, or errGone. One that is not
// written is written.
func (j *Jobs) held(ctx context.Context, tx store.Tx, w *work) (value.Record, error) {
	j.mu.Lock()
	lost := w.lost
	j.mu.Unlock()
	if lost {
		return value.Record{}, errGone
	}
	row, err := tx.Get(ctx, Collection, w.id)
	switch {
	case fault.Is(err, fault.NotFound):
		// It may have been written since this state: the transaction then runs anew.
		row = j.fresh(w)
		row.Set(fieldBegun, value.OfTime(j.cfg.Now()))
		return tx.Put(ctx, Collection, row)
	case err != nil:
		return row, err
	case !j.mine(row, w):
		return row, errGone
	}
	return row, nil
}

// put writes what has become of a job at this node: nothing, if it is not this node's
// any more.
func (j *Jobs) put(ctx context.Context, tx store.Tx, w *work, s state, now time.Time) error {
	row, err := tx.Get(ctx, Collection, w.id)
	switch {
	case fault.Is(err, fault.NotFound):
		row = j.fresh(w)
	case err != nil:
		return err
	case !j.mine(row, w) || s != ended:
		return nil
	}
	switch s {
	case waiting:
		row.Set(fieldRun, value.OfInt(0))
		w.end.write(row, Waiting, now)
	case ended:
		if w.end.event != "" {
			step, err := tx.Get(ctx, Steps, w.end.event)
			if err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
			if err == nil && !step.Get(fieldEnded).IsNull() {
				w.end.due = now
			}
		}
		w.end.unless(row)
		w.end.write(row, w.end.state, now)
		row.Set(fieldTries, value.OfInt(w.end.tries))
	default:
		row.Set(fieldBegun, value.OfTime(now))
	}
	j.mu.Lock()
	done, total := w.done, w.total
	j.mu.Unlock()
	if total > 0 {
		row.Set(fieldDone, value.OfInt(done))
		row.Set(fieldTotal, value.OfInt(total))
	}
	_, err = tx.Put(ctx, Collection, row)
	if fault.Is(err, fault.Exists) && w.once != "" {
		end := end{state: Cancelled, problem: problemOf(fault.WithCode(fault.Exists, "once_per", onceTaken))}
		end.write(row, Cancelled, now)
		_, err = tx.Put(ctx, Collection, row)
	}
	return err
}

// onceTaken is why a job is not begun beside another.
const onceTaken = "Another job with the same value waits or runs."

// unless has a job that would go on later end, if somebody has asked for that.
func (e *end) unless(row value.Record) {
	if e.state == Waiting && row.Get(fieldCancel).Bool() {
		*e = end{state: Cancelled, written: e.written}
	}
}

// write writes the end into a record.
func (e *end) write(row value.Record, state string, now time.Time) {
	row.Set(fieldState, value.OfText(state))
	row.Set(fieldNode, value.OfNull())
	if state == Waiting {
		due := e.due
		if due.IsZero() {
			due = now
		}
		row.Set(fieldDue, value.OfTime(due))
		if e.problem != "" { // why it failed so far
			row.Set(fieldProblem, value.OfText(e.problem))
			row.Set(fieldCause, maybe(e.cause))
		}
		return
	}
	row.Set(fieldDue, value.OfNull())
	row.Set(fieldOnce, value.OfNull())
	row.Set(fieldCancel, value.OfNull())
	row.Set(fieldEnded, value.OfTime(now))
	row.Set(fieldResult, maybe(e.result))
	row.Set(fieldProblem, maybe(e.problem))
	row.Set(fieldCause, maybe(e.cause))
}

func maybe(text string) value.Value {
	if text == "" {
		return value.OfNull()
	}
	return value.OfText(text)
}
