package store

import (
	"encoding/json"
	"fmt"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// IntentApply is the kind of the intent by which the entry of Apply says what it
// did. Its name is the schema's, as Entry.Spec has it; ParseSteps reads its payload.
const IntentApply = "apply"

// storedStep is a step in the journal.
type storedStep struct {
	Kind       spec.StepKind   `json:"kind"`
	Collection string          `json:"collection,omitempty"`
	Field      string          `json:"field,omitempty"`
	From       string          `json:"from,omitempty"`
	Type       *value.Type     `json:"type,omitempty"`
	Old        *value.Type     `json:"old,omitempty"`
	Fill       json.RawMessage `json:"fill,omitempty"`
	Schema     *spec.Schema    `json:"schema,omitempty"`
}

// FormatSteps writes steps as the payload of an intent of kind IntentApply.
func FormatSteps(steps []spec.Step) (value.Value, error) {
	out := make([]storedStep, len(steps))
	for i, s := range steps {
		out[i] = storedStep{s.Kind, s.Collection, s.Field, s.From, s.Type, s.Old, nil,
			s.Schema}
		if !s.Fill.IsNull() {
			out[i].Fill = value.AppendJSON(nil, s.Fill)
		}
	}
	text, err := json.Marshal(out)
	if err != nil {
		return value.Value{}, fmt.Errorf("write the steps: %w", err)
	}
	return value.OfJSON(string(text)), nil
}

// ParseSteps returns the steps of an entry that Apply made, and none of any other.
func ParseSteps(e journal.Entry) ([]spec.Step, error) {
	for _, n := range e.Intents {
		if n.Kind != IntentApply {
			continue
		}
		var stored []storedStep
		if err := json.Unmarshal([]byte(n.Payload.Text()), &stored); err != nil {
			return nil, fmt.Errorf("read the steps of entry %v: %w", e.Seq, err)
		}
		out := make([]spec.Step, len(stored))
		for i, s := range stored {
			out[i] = spec.Step{Kind: s.Kind, Collection: s.Collection, Field: s.Field,
				From: s.From, Type: s.Type, Old: s.Old, Schema: s.Schema}
			if s.Fill != nil && s.Type != nil {
				fill, err := value.DecodeStoredValue(s.Type, s.Fill)
				if err != nil {
					return nil, fmt.Errorf("read the steps of entry %v: %w", e.Seq, err)
				}
				out[i].Fill = fill
			}
		}
		return out, nil
	}
	return nil, nil
}
