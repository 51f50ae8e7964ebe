package delivery

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

// Info is a delivery as it is told.
type Info struct {
	ID      ident.Record    `json:"id"`
	Name    string          `json:"name"`
	State   string          `json:"state"`
	Event   string          `json:"event"`
	Record  string          `json:"record"`
	Tries   int64           `json:"tries"`
	Status  int64           `json:"status,omitempty"`
	Problem string          `json:"problem,omitempty"`
	Created time.Time       `json:"created"`
	Due     time.Time       `json:"due,omitzero"`
	Ended   time.Time       `json:"ended,omitzero"`
	Body    json.RawMessage `json:"body,omitempty"`
}

func infoOf(row value.Record, whole bool) Info {
	moment := func(name string) time.Time {
		if v := row.Get(name); !v.IsNull() {
			return v.Time()
		}
		return time.Time{}
	}
	out := Info{ID: idOf(row), Name: row.Get(fieldName).Text(), State: row.Get(fieldState).Text(),
		Event: row.Get(fieldEvent).Text(), Record: row.Get(fieldRecord).Text(),
		Tries: row.Get(fieldTries).Int(), Problem: row.Get(fieldProblem).Text(),
		Created: row.Slots[spec.SlotCreated].Time(), Due: moment(fieldDue), Ended: moment(fieldEnded)}
	if v := row.Get(fieldStatus); !v.IsNull() {
		out.Status = v.Int()
	}
	if whole {
		out.Body = json.RawMessage(row.Get(fieldBody).Text())
	}
	return out
}

// ListMax is the greatest number of deliveries that List returns.
const ListMax = 1000

// List returns deliveries, the newest first: of a state and of a name, where those are
// not empty, and made before a delivery, where one is given.
func (d *Deliveries) List(ctx context.Context, state, name string, before ident.Record, limit int) (
	[]Info, error) {
	q := follow.Newest(Collection, before, min(max(limit, 1), ListMax),
		follow.Is{Field: fieldState, Text: state}, follow.Is{Field: fieldName, Text: name})
	rows, err := d.find(ctx, q.Plan, q.Args...)
	out := make([]Info, len(rows))
	for i, row := range rows {
		out[i] = infoOf(row, false)
	}
	return out, err
}

// Show returns a delivery with what is sent, or the fault not_found.
func (d *Deliveries) Show(ctx context.Context, id ident.Record) (out Info, err error) {
	err = d.cfg.Store.Read(ctx, func(v store.View) error {
		row, err := lenient(v.Get(ctx, Collection, id))
		if err == nil && row.Zero() {
			err = errNone(id)
		}
		if err == nil {
			out = infoOf(row, true)
		}
		return err
	})
	return out, err
}

func errNone(id ident.Record) error {
	return fault.New(fault.NotFound, "There is no delivery %s.", id)
}

// Retry has a delivery sent again, from the first try on and under the same id, as soon
// as no other one of its record is on its way. One that waits for its next try is tried
// at once.
func (d *Deliveries) Retry(ctx context.Context, id ident.Record) error {
	err := d.write(ctx, func(tx store.Tx) error {
		row, err := lenient(tx.Get(ctx, Collection, id))
		switch {
		case err != nil:
			return err
		case row.Zero():
			return errNone(id)
		}
		now := value.OfTime(d.cfg.Now())
		switch row.Get(fieldState).Text() {
		case Sending:
			return fault.WithCode(fault.Refused, "delivery_sending", "It is being sent just now.")
		case Waiting:
			if row.Get(fieldDue).IsNull() {
				return fault.WithCode(fault.Refused, "delivery_behind",
					"Another delivery of the same record goes first.")
			}
			row.Set(fieldDue, now)
			_, err := tx.Put(ctx, Collection, row)
			return err
		}
		lane := laneOf(row.Get(fieldName).Text(), row.Get(fieldRecord).Text())
		before, err := tx.Find(ctx, query.Query{Plan: lanePlan, Args: []value.Value{lane}})
		if err != nil {
			return err
		}
		row.Set(fieldState, value.OfText(Waiting))
		row.Set(fieldTries, value.OfInt(0))
		row.Set(fieldEnded, value.OfNull())
		row.Set(fieldLane, lane)
		if len(before) == 0 {
			row.Set(fieldDue, now)
		} else if before[0].Get(fieldPlace).Int() > row.Get(fieldPlace).Int() &&
			before[0].Get(fieldState).Text() == Waiting {
			// It is older than what waits there, so it goes first.
			first := before[0]
			first.Set(fieldDue, value.OfNull())
			if _, err := tx.Put(ctx, Collection, first); err != nil {
				return err
			}
			row.Set(fieldDue, now)
		}
		_, err = tx.Put(ctx, Collection, row)
		return err
	})
	if err == nil {
		d.Wake()
	}
	return err
}

// Settled waits until nothing is being sent by this node and nothing is due.
func (d *Deliveries) Settled(ctx context.Context) error {
	for {
		a := d.cfg.App()
		busy := false
		d.mu.Lock()
		busy = d.running > 0
		d.mu.Unlock()
		if !busy && a.Schema.Table(Collection) != nil {
			for _, x := range a.Spec.Deliveries {
				rows, err := d.find(ctx, duePlan, value.OfText(x.Name), value.OfTime(d.cfg.Now()))
				if err != nil {
					return err
				}
				busy = busy || len(rows) > 0
			}
		}
		if !busy {
			return nil
		}
		d.Wake()
		poll := time.NewTimer(settleEach)
		select {
		case <-poll.C:
		case <-ctx.Done():
			poll.Stop()
			return ctx.Err()
		}
	}
}

// settleEach is how often it is looked whether everything has settled.
const settleEach = 2 * time.Millisecond
