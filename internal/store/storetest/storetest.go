// Package storetest is the suite that every store passes, whole: what package store
// promises, asked under concurrency, failure and repetition. It reports through an
// interface of its own, so that an operator's tool can run it on his database. It
// knows no database and leaves crashes of the process to those who can cause them.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Report is told what a check finds. Fatalf ends the check.
type Report interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Store is what the suite asks of a store: the contract, its past, its plans and its
// schema.
type Store interface {
	store.Store
	store.History
	store.Planner
	Schema() *spec.Schema
	Failure() error
}

// Faults are hooks by which a check lets commits fail. A nil hook lets them be. An
// error of Before stands for a database that refused the commit, one of After for
// one that broke before it could say how the commit went.
type Faults struct {
	Before func() error
	After  func() error
}

// Place is an empty database of a check. It can be opened again after it was closed.
type Place func(f Faults) (Store, error)

// Run runs the suite as tests, T being *testing.T; place makes an empty database for
// each check.
func Run[T interface {
	Report
	Run(name string, fn func(T)) bool
}](t T, place func(T) Place) {
	for _, g := range Guarantees() {
		for _, c := range g.Checks {
			t.Run(c.Name, func(t T) { c.Run(t, place(t)) })
		}
	}
}

// budget bounds a check, so that what hangs is told and not waited for.
const budget = 5 * time.Minute

// bench is a store with the suite's schema, and short words for what is done to it.
type bench struct {
	Report
	Store
	ctx context.Context
	end context.CancelFunc
	// patience, in nanoseconds, is how long a call waits for one beside it, others
	// are those that were begun, names the number of operations that were named.
	patience atomic.Int64
	others   sync.WaitGroup
	names    atomic.Int64
}

// start opens the place with the suite's schema.
func start(r Report, p Place, f Faults) *bench {
	r.Helper()
	b := resume(r, p, f)
	if len(b.Schema().Collections) == 0 {
		_, err := b.Apply(b.ctx, journal.Origin{Operation: "apply"}, Steps(shop()), nil)
		b.ok(err)
	}
	return b
}

// resume opens the place as it is.
func resume(r Report, p Place, f Faults) *bench {
	r.Helper()
	s, err := p(f)
	if err != nil {
		r.Fatalf("open: %v", err)
	}
	ctx, end := context.WithTimeout(context.Background(), budget)
	b := &bench{Report: r, Store: s, ctx: ctx, end: end}
	b.patience.Store(int64(patienceMax))
	return b
}

// close ends the store after the last look: the fold of the journal is the tables.
func (b *bench) close() {
	b.Helper()
	b.others.Wait()
	if b.Failure() == nil {
		b.ok(Fold(b.ctx, b.Store))
	}
	b.end()
	b.ok(b.Store.Close())
}

func (b *bench) ok(err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("got %v, want no error", err)
	}
}

// want asks for a fault of a kind, and of a code where one is given.
func (b *bench) want(err error, kind fault.Kind, code string) *fault.Fault {
	b.Helper()
	f := fault.From(err)
	if f == nil {
		f = &fault.Fault{Kind: fault.Internal}
		b.Fatalf("got no error, want %v %s", kind, code)
	}
	if f.Kind != kind || code != "" && f.CodeOr() != code {
		b.Fatalf("got %v (%v), want %v %s", f.CodeOr(), err, kind, code)
	}
	return f
}

// is compares two things by how they print.
func (b *bench) is(got, want any) {
	b.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		b.Fatalf("got %s, want %s", g, w)
	}
}

// write runs one call.
func (b *bench) write(o journal.Origin, fn func(store.Tx) error) (journal.Entry, error) {
	if o.Operation == "" {
		o.Operation = "test"
	}
	return b.Write(b.ctx, o, fn)
}

// must runs one call without a key that must be kept.
func (b *bench) must(fn func(store.Tx) error) journal.Entry {
	b.Helper()
	e, err := b.write(journal.Origin{}, fn)
	b.ok(err)
	return e
}

// record makes a record of pairs of field and value.
func (b *bench) record(collection string, pairs ...any) value.Record {
	r := value.NewRecord(b.Schema().Table(collection).Shape)
	for i := 0; i < len(pairs); i += 2 {
		if !r.Set(pairs[i].(string), of(pairs[i+1])) {
			b.Fatalf("%s has no field %v", collection, pairs[i])
		}
	}
	return r
}

// of makes a value of what Go has.
func of(v any) value.Value {
	switch v := v.(type) {
	case nil:
		return value.OfNull()
	case value.Value:
		return v
	case string:
		return value.OfText(v)
	case ident.Record:
		return value.OfText(string(v))
	case int:
		return value.OfInt(int64(v))
	case int64:
		return value.OfInt(v)
	case float64:
		return value.OfFloat(v)
	case bool:
		return value.OfBool(v)
	default:
		panic(fmt.Sprintf("no value of %T", v))
	}
}

// put writes one record in a call of its own and returns it.
func (b *bench) put(collection string, pairs ...any) value.Record {
	b.Helper()
	var out value.Record
	b.must(func(tx store.Tx) (err error) {
		out, err = tx.Put(b.ctx, collection, b.record(collection, pairs...))
		return err
	})
	return out
}

// get reads one record; it is zero if it is not there.
func (b *bench) get(collection string, id ident.Record) value.Record {
	b.Helper()
	var out value.Record
	err := b.Read(b.ctx, func(v store.View) (err error) {
		out, err = v.Get(b.ctx, collection, id)
		return err
	})
	if fault.Is(err, fault.NotFound) {
		return value.Record{}
	}
	b.ok(err)
	return out
}

// find returns the rows of a plan.
func (b *bench) find(p *query.Plan, args ...value.Value) []value.Record {
	b.Helper()
	var out []value.Record
	b.ok(b.Read(b.ctx, func(v store.View) (err error) {
		out, err = v.Find(b.ctx, query.Query{Plan: p, Args: args})
		return err
	}))
	return out
}

// entries returns the whole journal, in its order.
func (b *bench) entries() []journal.Entry {
	b.Helper()
	out, err := Journal(b.ctx, b.Store)
	b.ok(err)
	return out
}

// product writes a product with some stock.
func (b *bench) product(sku string, stock int) ident.Record {
	b.Helper()
	return idOf(b.put("products", "sku", sku, "title", "t", "stock", stock, "open", true))
}

func idOf(r value.Record) ident.Record { return ident.Record(r.Slots[spec.SlotID].Text()) }

var errBoom = errors.New("boom")
