package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Name implements follow.Follower.
func (d *Deliveries) Name() string { return "deliveries" }

// Kind implements follow.Follower.
func (d *Deliveries) Kind() string { return journal.IntentDelivery }

// Committed implements follow.Follower.
func (d *Deliveries) Committed() { d.Wake() }

// placeShift leaves room for the changes of one entry between the places of two.
const placeShift = 12

// Accept implements follow.Follower: each delivery that the entry asks for becomes a
// record, which holds what is sent, as it was at the change.
func (d *Deliveries) Accept(ctx context.Context, tx store.Tx, e journal.Entry) error {
	for n, i := range e.Intents {
		if i.Kind != journal.IntentDelivery {
			continue
		}
		// An app of yesterday knows neither the deliveries of today's nor its fields.
		if err := d.cfg.InForce(); err != nil {
			return err
		}
		a := d.cfg.App()
		if a.Spec.Delivery(i.Name) == nil || a.Schema.Table(Collection) == nil {
			d.cfg.Log.Warn("a delivery was asked for that the app has no more", "delivery", i.Name,
				"entry", e.Seq.String())
			continue
		}
		var p struct {
			Change *int `json:"change"`
		}
		err := json.Unmarshal(value.AppendJSON(nil, i.Payload), &p)
		if err != nil || p.Change == nil || *p.Change < 0 || *p.Change >= len(e.Changes) {
			return fmt.Errorf("the delivery %s does not name a change of its entry", i.Name)
		}
		if err := d.put(ctx, tx, a, e, n, i.Name, e.Changes[*p.Change]); err != nil {
			return err
		}
	}
	return nil
}

// put writes one delivery. It is due if nothing of its record is on its way.
func (d *Deliveries) put(ctx context.Context, tx store.Tx, a *app.App, e journal.Entry, n int,
	name string, c journal.Change) error {
	event := c.Collection + "." + spec.Updated
	switch {
	case c.Before.Zero():
		event = c.Collection + "." + spec.Created
	case c.After.Zero():
		event = c.Collection + "." + spec.Deleted
	}
	record := c.Collection + "/" + string(c.ID)
	body := payload(a, c, event, e.At)
	row := value.NewRecord(d.shape)
	// Of two of the same millisecond the later one has the greater id.
	id := ident.RecordAt(e.At, rand.New(rand.NewPCG(e.Seq.Lo, uint64(n))), int(e.Seq.Lo)+n)
	row.Slots[spec.SlotID] = value.OfText(string(id))
	row.Set(fieldName, value.OfText(name))
	row.Set(fieldRecord, value.OfText(record))
	row.Set(fieldEvent, value.OfText(event))
	row.Set(fieldPlace, value.OfInt(int64(e.Seq.Lo)<<placeShift|int64(min(n, 1<<placeShift-1))))
	row.Set(fieldTries, value.OfInt(0))
	row.Set(fieldBody, value.OfText(string(body)))
	row.Set(fieldState, value.OfText(Waiting))
	lane := laneOf(name, record)
	row.Set(fieldLane, lane)
	if len(body) > BodyMax {
		row.Set(fieldBody, value.OfText("{}"))
		row.Set(fieldState, value.OfText(Failed))
		row.Set(fieldLane, value.OfNull())
		row.Set(fieldEnded, value.OfTime(d.cfg.Now()))
		row.Set(fieldProblem, value.OfText(fmt.Sprintf("the record has more than %d bytes", BodyMax)))
		_, err := tx.Put(ctx, Collection, row)
		return err
	}
	before, err := tx.Find(ctx, query.Query{Plan: lanePlan, Args: []value.Value{lane}})
	if err != nil {
		return err
	}
	if len(before) == 0 {
		row.Set(fieldDue, value.OfTime(d.cfg.Now()))
	}
	_, err = tx.Put(ctx, Collection, row)
	return err
}

// payload is what is sent: the kind of the event, its time, and the record, without the
// fields that nobody may read.
func payload(a *app.App, c journal.Change, event string, when time.Time) []byte {
	record := c.After
	if record.Zero() {
		record = c.Before
	}
	shown := record.Clone()
	if of := a.Collection(c.Collection); of != nil {
		for i, f := range shown.Shape.Fields() {
			if slot, known := of.Shape.Index(f.Name); !known || of.Fields[slot].Hidden {
				shown.Slots[i] = value.Value{}
			}
		}
	}
	out := value.AppendQuoted([]byte(`{"type":`), event)
	out = value.AppendQuoted(append(out, `,"timestamp":`...),
		when.UTC().Format("2006-01-02T15:04:05.000Z"))
	out = append(out, `,"data":`...)
	return append(value.AppendRecord(out, shown), '}')
}
