package action

import (
	"context"
	"fmt"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/value"
)

// Start leaves the intent of a job and returns the job's id. The input, zero for none, is
// of the shape that Host.Shape has for jobs/NAME; what does not fit is an error that
// names the field.
func Start(ctx context.Context, h Host, job string, input value.Record) (ident.Record, error) {
	in := value.Value{}
	if !input.Zero() {
		input = input.Clone()
		for i, f := range input.Shape.Fields() {
			v, issues := value.Conform(&f.Type, input.Slots[i], f.Name)
			if len(issues) > 0 {
				return "", fmt.Errorf("%s.%s %s", job, issues[0].Pointer, issues[0].Detail)
			}
			input.Slots[i] = v
		}
		in = value.OfRecord(input)
	}
	id := h.NewID()
	return id, h.Intend(ctx, journal.JobIntent(job, id, in))
}

// Publish leaves the intent of a message in a channel. The message is JSON.
func Publish(ctx context.Context, h Host, channel string, message value.Value) error {
	return h.Intend(ctx, journal.CodeIntent(journal.IntentPublish, channel, message))
}

// Letter is what code gives a mail.
type Letter struct {
	// To holds addresses and ids of users; empty means whom the app file names.
	To []string
	// Record is the record that the mail is about, as JSON or the text of its id.
	Record value.Value
	// Data is whatever else the template shows, as JSON.
	Data value.Value
}

// Write leaves the intent of a mail.
func Write(ctx context.Context, h Host, email string, l Letter) error {
	to := make([]value.Value, len(l.To))
	for i, x := range l.To {
		to[i] = value.OfText(x)
	}
	json := value.Type{Kind: value.TypeJSON}
	shape := value.NewShape("", []value.Field{{Name: "to", Type: json}, {Name: "record", Type: json},
		{Name: "data", Type: json}})
	given := value.NewRecord(shape)
	given.Slots[0] = value.OfList(to)
	for i, v := range []value.Value{l.Record, l.Data} {
		if given.Slots[i+1] = v; v.Kind() == value.Absent {
			given.Slots[i+1] = value.OfNull()
		}
	}
	return h.Intend(ctx, journal.CodeIntent(journal.IntentEmail, email, value.OfRecord(given)))
}
