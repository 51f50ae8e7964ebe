package engine

import (
	"context"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// memoryMax is how many records, and how many answers, a Memory holds, memoryBytes
	// how many bytes they may have that were read since it was empty.
	memoryMax   = 20_000
	memoryBytes = 32 << 20
)

// Memory remembers what rules read, between looks at states of which the changes are
// known. It is for one goroutine.
type Memory struct {
	view    store.View
	records map[Held]remembered
	// finds has the answers of questions by the collections that they look at, of which
	// reads holds the keys.
	finds map[question][]value.Record
	reads map[string][]question
	// noted counts what reads holds, bytes what was read.
	noted, bytes int
}

// question is a plan with its arguments.
type question struct {
	plan *query.Plan
	args string
}

type remembered struct {
	record value.Record
	err    error
}

var _ rule.Reader = (*Memory)(nil)

// NewMemory returns an empty Memory.
func NewMemory() *Memory {
	m := &Memory{}
	m.Clear()
	return m
}

// Clear forgets everything.
func (m *Memory) Clear() {
	m.records, m.bytes = map[Held]remembered{}, 0
	m.forgetFinds()
}

func (m *Memory) forgetFinds() {
	m.finds, m.reads, m.noted = map[question][]value.Record{}, map[string][]question{}, 0
}

// Forget forgets what an entry made untrue.
func (m *Memory) Forget(e *journal.Entry) {
	for i := range e.Changes {
		c := &e.Changes[i]
		delete(m.records, Held{c.Collection, c.ID})
		for _, key := range m.reads[c.Collection] {
			delete(m.finds, key)
		}
		m.noted -= len(m.reads[c.Collection])
		delete(m.reads, c.Collection)
	}
}

// Get returns the record, which must not be changed.
func (m *Memory) Get(ctx context.Context, collection string, id ident.Record) (value.Record, error) {
	key := Held{collection, id}
	if r, ok := m.records[key]; ok {
		return r.record, r.err
	}
	r, err := m.view.Get(ctx, collection, id)
	if err == nil || fault.Is(err, fault.NotFound) {
		if len(m.records) >= memoryMax || m.bytes > memoryBytes {
			m.Clear()
		}
		m.bytes += bytesOf(r)
		m.records[key] = remembered{r, err}
	}
	return r, err
}

// Find returns the rows of the query, which must not be changed.
func (m *Memory) Find(ctx context.Context, q query.Query) ([]value.Record, error) {
	b := make([]byte, 0, 128)
	for _, v := range q.Args {
		b = append(value.AppendJSON(append(b, byte(v.Kind())), v), 0)
	}
	key := question{q.Plan, string(b)}
	if rows, ok := m.finds[key]; ok {
		return rows, nil
	}
	rows, err := m.view.Find(ctx, q)
	if err != nil {
		return nil, err
	}
	if m.noted >= 4*memoryMax || m.bytes > memoryBytes {
		m.Clear()
	}
	for _, r := range rows {
		m.bytes += bytesOf(r)
	}
	m.finds[key] = rows
	for _, name := range query.Collections(q.Plan) {
		m.reads[name] = append(m.reads[name], key)
		m.noted++
	}
	return rows, nil
}

// bytesOf estimates the size of a record.
func bytesOf(r value.Record) int {
	n := 64
	for _, v := range r.Slots {
		n += 48 + len(v.Text())
	}
	return n
}
