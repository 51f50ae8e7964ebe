package journal

import (
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// JobIntent asks for a job: its id, and its input, Absent for none.
func JobIntent(name string, id ident.Record, input value.Value) Intent {
	if input.Kind() == value.Absent {
		input = value.OfNull()
	}
	return Intent{Kind: IntentJob, Name: name, Payload: object(
		member{"id", value.OfText(string(id))}, member{"input", input})}
}

// ChangeIntent asks for what a change of a record starts. The change is named by its
// place among those of the entry.
func ChangeIntent(kind, name string, change int) Intent {
	return Intent{Kind: kind, Name: name,
		Payload: object(member{"change", value.OfInt(int64(change))})}
}

// CodeIntent asks for what the app's code asked for, with what it gave.
func CodeIntent(kind, name string, given value.Value) Intent {
	return Intent{Kind: kind, Name: name, Payload: object(member{"given", given})}
}

type member struct {
	name string
	of   value.Value
}

func object(members ...member) value.Value {
	fields := make([]value.Field, len(members))
	slots := make([]value.Value, len(members))
	for i, m := range members {
		fields[i] = value.Field{Name: m.name, Type: value.Type{Kind: value.TypeJSON}}
		slots[i] = m.of
	}
	return value.OfRecord(value.Record{Shape: value.NewShape("", fields), Slots: slots})
}
