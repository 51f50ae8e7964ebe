package store

import (
	"context"
	"iter"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
)

// History is what a store knows of its past, for people who ask why.
type History interface {
	// Entries returns the entries that fit the filter and lie before a place, the
	// newest first; the zero place is the end of the journal. It returns at most
	// limit of them, and no more than EntriesMax.
	Entries(ctx context.Context, f Filter, before journal.Seq, limit int) ([]journal.Entry, error)
	// EntryOf returns the entry of a call, or a fault of kind NotFound.
	EntryOf(ctx context.Context, call ident.Call) (journal.Entry, error)
	// Intents is Follow for those who ask for intents alone: of entries without one it
	// yields the place and nothing else, and of many in a row maybe the last place only.
	// So what lies between costs no more than a look.
	Intents(ctx context.Context, after journal.Seq) iter.Seq2[journal.Entry, error]
}

// EntriesMax is the greatest number of entries that Entries returns.
const EntriesMax = 1000

// Filter says which entries are meant. A field that is empty asks for nothing.
type Filter struct {
	// Collection and Record name a record that the entry changed; Collection alone
	// asks for any of its records.
	Collection string
	Record     ident.Record
	// Subject is as ident.Subject.String writes it.
	Subject   string
	Call      ident.Call
	Operation string
}

// Matches reports whether an entry fits the filter.
func (f Filter) Matches(e journal.Entry) bool {
	if f.Subject != "" && e.Origin.Subject.String() != f.Subject ||
		f.Call != "" && e.Origin.Call != f.Call ||
		f.Operation != "" && e.Origin.Operation != f.Operation {
		return false
	}
	if f.Collection == "" && f.Record == "" {
		return true
	}
	for _, c := range e.Changes {
		if (f.Collection == "" || c.Collection == f.Collection) &&
			(f.Record == "" || c.ID == f.Record) {
			return true
		}
	}
	return false
}

// Planner tells what steps would break before they are applied.
type Planner interface {
	// Counts returns what Apply of the steps would lose, or be stopped by, or leave
	// outside its type. Nothing is changed.
	Counts(ctx context.Context, steps []spec.Step) ([]Count, error)
}

// The codes of a Count.
const (
	// CountLost are values, or records of a dropped collection, that would go.
	CountLost = "lost"
	// CountEmpty are records without a value in a field that is to be required.
	CountEmpty = "empty"
	// CountDouble are values of a new unique set that occur more than once.
	CountDouble = "double"
	// CountOutside are values outside the bounds, pattern or words of their type.
	CountOutside = "outside"
	// CountDangling are relations to records that are not there.
	CountDangling = "dangling"
)

// Count is a number of records that a migration would harm.
type Count struct {
	// Code says how; Collection and Fields, by their new names where they have
	// some, where.
	Code       string
	Collection string
	Fields     []string
	Records    int64
	// IDs are a few of the records.
	IDs []ident.Record
}
