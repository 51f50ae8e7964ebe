package spec

import "github.com/galleybackend/galley/internal/value"

// StepKind names what a Step does.
type StepKind string

// The kinds of steps. Diff yields them in an order in which they can be applied.
const (
	AddCollection    StepKind = "add_collection"
	DropCollection   StepKind = "drop_collection"
	RenameCollection StepKind = "rename_collection"
	AddField         StepKind = "add_field"
	DropField        StepKind = "drop_field"
	RenameField      StepKind = "rename_field"
	ChangeField      StepKind = "change_field"
	ChangeIndexes    StepKind = "change_indexes"
	// ChangeChecks names checks that stored records were not judged by yet. It
	// changes nothing stored, and a store does not know it.
	ChangeChecks StepKind = "change_checks"
	// Adopt comes last in every list: from now on this is the schema.
	Adopt StepKind = "adopt"
)

// Step is one change of the shape of the records.
type Step struct {
	Kind       StepKind
	Collection string
	// Field is the field's new name, From its old one, or the collection's.
	Field string
	From  string
	// Type is the field's new type, Old the one before.
	Type *value.Type
	Old  *value.Type
	// Fill is what existing records get in a new or newly required field; Absent
	// means null.
	Fill value.Value
	// Unique are the sets of fields that become unique, of ChangeIndexes.
	Unique [][]string
	// Checks are the names of the checks, of ChangeChecks.
	Checks []string
	// Schema is the whole new schema, of Adopt.
	Schema *Schema
}
