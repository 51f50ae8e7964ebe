package sqlstore

import (
	"context"
	"fmt"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// view reads through a connection on which a transaction is open.
type view struct {
	store   *Store
	conn    Conn
	catalog *catalog
	// asked says that a statement was asked, stale that the catalog is not the one in
	// force.
	asked bool
	stale bool
	// brief says that the view has no connection, and shares a round trip.
	brief bool
	rows  rows
	args  []value.Value
	add   func(Row) error
}

// collect runs the statement and returns its rows as records of the reader's shape.
func (v *view) collect(
	ctx context.Context, r *reader, sql string, args []value.Value,
) ([]value.Record, error) {
	if v.brief {
		return v.together(ctx, r, sql, args)
	}
	v.rows.reader, v.rows.records, v.rows.slots, v.rows.chunk = r, nil, nil, 0
	if v.add == nil {
		v.add = v.rows.add
	}
	if err := v.query(ctx, sql, args, v.add); err != nil {
		return nil, v.store.reading(ctx, err)
	}
	return v.rows.records, nil
}

// one reads a record of a table; it is zero if there is none.
func (v *view) one(ctx context.Context, t *table, id ident.Record) (value.Record, error) {
	v.args = append(v.args[:0], value.OfText(string(id)))
	found, err := v.collect(ctx, t.reader, t.get, v.args)
	if err != nil || len(found) == 0 {
		return value.Record{}, err
	}
	return found[0], nil
}

// Get returns the record.
func (v *view) Get(
	ctx context.Context, collection string, id ident.Record,
) (value.Record, error) {
	t, err := v.catalog.table(collection)
	if err != nil {
		return value.Record{}, err
	}
	r, err := v.one(ctx, t, id)
	if err == nil && r.Zero() {
		return value.Record{}, absent(collection, id)
	}
	return r, err
}

// absent is the fault of a record that is not there.
func absent(collection string, id ident.Record) error {
	return fault.New(fault.NotFound, "There is no record %s in %s.", id, collection)
}

// Find returns the rows of the query.
func (v *view) Find(ctx context.Context, q query.Query) ([]value.Record, error) {
	s, err := v.catalog.statement(q.Plan)
	if err != nil {
		return nil, fault.From(err)
	}
	if len(q.Args) < s.params {
		return nil, fault.From(fmt.Errorf("a query of %d parameters got %d", s.params,
			len(q.Args)))
	}
	args := q.Args[:s.params]
	if len(s.literals) > 0 {
		v.args = append(append(v.args[:0], args...), s.literals...)
		args = v.args
	}
	return v.collect(ctx, s.reader, s.sql, args)
}

// Head returns the place of the last entry of the state.
func (v *view) Head(ctx context.Context) (journal.Seq, error) {
	if v.brief { // it has one question, and this is another
		v.stale = true
		return journal.Seq{}, errAlone
	}
	var head uint64
	err := v.query(ctx, "SELECT max(seq) FROM "+v.store.dialect.Quote(tableJournal), nil,
		func(r Row) error {
			head = uint64(r.Int(0))
			return nil
		})
	return seqOf(head), v.store.reading(ctx, err)
}
