package job

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// The built-in actions by which people see and end the jobs that they started.
const (
	ActionShow   = "jobs/show"
	ActionCancel = "jobs/cancel"
)

// Actions returns the built-in actions of jobs. To everybody but who started it, and
// admins, a job is not there.
func (j *Jobs) Actions() []action.House {
	in := value.NewShape("job", []value.Field{
		{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}}})
	return []action.House{
		{Name: ActionShow, ReadOnly: true, Input: in, Run: j.show},
		{Name: ActionCancel, Input: in, Run: j.cancel},
	}
}

// own returns a job of the caller's.
func own(ctx context.Context, h action.Host, in value.Record) (value.Record, error) {
	id := ident.Record(in.Get(spec.FieldID).Text())
	row, err := h.Get(ctx, Collection, id)
	if err != nil {
		return row, noJob(id, err)
	}
	me := h.Subject()
	if me.Who != ident.Admin && me.String() != row.Get(fieldOwner).Text() {
		return row, fault.New(fault.NotFound, "There is no job %s.", id)
	}
	return row, nil
}

func (j *Jobs) show(ctx context.Context, h action.Host, _ action.Caller, in value.Record) (
	value.Value, error) {
	row, err := own(ctx, h, in)
	if err != nil {
		return value.Value{}, err
	}
	text, err := json.Marshal(j.far(InfoOf(row)))
	if err != nil {
		return value.Value{}, fmt.Errorf("write the job: %w", err)
	}
	return value.OfJSON(string(text)), nil
}

// far adds how far a job is that runs here.
func (j *Jobs) far(i Info) Info {
	j.mu.Lock()
	defer j.mu.Unlock()
	if w := j.works[i.ID]; w != nil && w.total > 0 && i.State == Running {
		i.Progress = &Progress{w.done, w.total}
	}
	return i
}

func (j *Jobs) cancel(ctx context.Context, h action.Host, _ action.Caller, in value.Record) (
	value.Value, error) {
	row, err := own(ctx, h, in)
	if err != nil {
		return value.Value{}, err
	}
	next := value.NewRecord(row.Shape)
	next.Slots[spec.SlotID], next.Slots[spec.SlotVersion] =
		row.Slots[spec.SlotID], row.Slots[spec.SlotVersion]
	if err := stop(row.Get(fieldState).Text(), next, h.Now()); err != nil {
		return value.Value{}, err
	}
	if _, err := h.Put(ctx, Collection, next); err != nil {
		return value.Value{}, err
	}
	return value.OfNull(), nil
}
