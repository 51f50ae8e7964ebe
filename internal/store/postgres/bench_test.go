package postgres

import (
	"context"
	"fmt"
	"math"
	"net"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// counting counts how often an answer was waited for: reads that follow a write.
type counting struct {
	net.Conn
	wrote *atomic.Bool
	count *atomic.Int64
}

func (c counting) Write(b []byte) (int, error) {
	c.wrote.Store(true)
	return c.Conn.Write(b)
}

func (c counting) Read(b []byte) (int, error) {
	if c.wrote.Swap(false) {
		c.count.Add(1)
	}
	return c.Conn.Read(b)
}

// count has the connections of a dialect count their round trips.
func count(d *dialect) *atomic.Int64 {
	trips := &atomic.Int64{}
	dial := d.config.DialFunc
	d.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return counting{c, &atomic.Bool{}, trips}, err
	}
	return trips
}

// counted are connections whose round trips are counted, one for writing and one for
// reading.
func counted(t testing.TB) (w, r *conn, trips *atomic.Int64) {
	t.Helper()
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	must(t, d.apart(t.Context(), d.prepare))
	trips = count(d)
	w, r = newConn(d, true), newConn(d, false)
	for _, c := range []*conn{w, r} {
		must(t, c.connect(t.Context()))
		t.Cleanup(func() { must(t, c.Close()) })
	}
	must(t, w.Exec(`CREATE TABLE people (id TEXT COLLATE "C" PRIMARY KEY, name TEXT NOT NULL)`, nil),
		w.Exec("CREATE TABLE head (one BIGINT PRIMARY KEY, seq BIGINT)", nil),
		w.Exec("INSERT INTO head VALUES (1, 0)", nil), w.Exec(addPerson, text("ana")))
	return w, r, trips
}

// get reads a record in a transaction of its own, as the store does.
func (c *conn) get(t testing.TB) {
	must(t, c.Begin(false))
	must(t, c.Query(context.Background(), "SELECT id, name FROM people WHERE id = $1", text("ana"),
		func(r sqlstore.Row) error { return nil }))
	must(t, c.Rollback())
}

// create writes a record in a transaction of its own, behind the head's lock.
func (c *conn) create(t testing.TB, id string) {
	must(t, c.Begin(true))
	must(t, c.Query(context.Background(), "SELECT seq FROM head WHERE one = 1 FOR UPDATE", nil,
		func(r sqlstore.Row) error { return nil }))
	must(t, c.Queue(addPerson, text(id)))
	must(t, c.Queue("UPDATE head SET seq = $1 WHERE one = 1", []value.Value{value.OfInt(1)}))
	must(t, c.Commit())
}

func TestRoundTrips(t *testing.T) {
	c, reader, trips := counted(t)
	for n := range 3 {
		trips.Store(0)
		reader.get(t)
		if got := trips.Load(); got != 1 {
			t.Errorf("a get waited %d times, want once", got)
		}
		trips.Store(0)
		c.create(t, fmt.Sprint(n))
		if got := trips.Load(); got != 2 {
			t.Errorf("a create waited %d times, want twice", got)
		}
		trips.Store(0)
		must(t, c.Begin(true), c.Save(), c.Exec(addPerson, text(fmt.Sprint("x", n))), c.Release(),
			c.Commit())
		if got := trips.Load(); got != 2 {
			t.Errorf("a guarded statement and its commit waited %d times, want twice", got)
		}
	}
}

// served is a store whose round trips are counted.
func served(t testing.TB) (*sqlstore.Store, *value.Shape, *atomic.Int64) {
	t.Helper()
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	trips := count(d)
	s, err := open(t.Context(), d, Config{})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	_, err = s.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(notes()), nil)
	must(t, err)
	return s.Store, s.Schema().Table("notes").Shape, trips
}

// note writes a note in a call of its own.
func note(t testing.TB, s *sqlstore.Store, shape *value.Shape, key string) ident.Record {
	id := ident.NewRecord()
	_, err := s.Write(context.Background(), journal.Origin{Operation: "note", Key: key},
		func(tx store.Tx) error {
			r := value.NewRecord(shape)
			r.Set(spec.FieldID, value.OfText(string(id)))
			r.Set("text", value.OfText("hello"))
			_, err := tx.Put(context.Background(), "notes", r)
			return err
		})
	must(t, err)
	return id
}

// look reads a note.
func look(t testing.TB, s *sqlstore.Store, id ident.Record) {
	must(t, s.Read(context.Background(), func(v store.View) error {
		_, err := v.Get(context.Background(), "notes", id)
		return err
	}))
}

// fewest returns the fewest round trips of a call, of which most are hoped for. The store
// looks at the head now and then, on a busy machine within almost every call.
func fewest(t testing.TB, trips *atomic.Int64, most int64, call func(n int) error) int64 {
	t.Helper()
	const tries, triesMax = 16, 500
	best := int64(math.MaxInt64)
	for n := 0; n < tries || n < triesMax && best > most; n++ {
		trips.Store(0)
		must(t, call(n))
		best = min(best, trips.Load())
	}
	return best
}

// TestTheStoreIsAskedSeldom bounds the round trips of whole calls.
func TestTheStoreIsAskedSeldom(t *testing.T) {
	s, shape, trips := served(t)
	id := note(t, s, shape, "")
	for _, c := range []struct {
		name string
		most int64
		call func(n int)
	}{
		{"a get", 1, func(int) { look(t, s, id) }},
		{"a create", 1, func(int) { note(t, s, shape, "") }},
		{"a create with a key", 2, func(n int) { note(t, s, shape, fmt.Sprint(n)) }},
	} {
		best := fewest(t, trips, c.most, func(n int) error { c.call(n); return nil })
		if best > c.most {
			t.Errorf("%s waited %d times, want at most %d", c.name, best, c.most)
		}
		t.Logf("%s: %d round trips", c.name, best)
	}
}

// BenchmarkStoreGet reads a record through the store.
func BenchmarkStoreGet(b *testing.B) {
	s, shape, _ := served(b)
	id := note(b, s, shape, "")
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			look(b, s, id)
		}
	})
}

// BenchmarkStoreCreate writes records through the store, by 32 callers.
func BenchmarkStoreCreate(b *testing.B) {
	s, shape, _ := served(b)
	b.SetParallelism(16)
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			note(b, s, shape, "")
		}
	})
}

// BenchmarkGet reads one record by its id in a transaction of its own: one round trip.
func BenchmarkGet(b *testing.B) {
	_, c, _ := counted(b)
	for b.Loop() {
		c.get(b)
	}
}

// BenchmarkCreate writes one record and the head: two round trips and one flush to the
// disk.
func BenchmarkCreate(b *testing.B) {
	c, _, _ := counted(b)
	n := 0
	for b.Loop() {
		n++
		c.create(b, fmt.Sprint(n))
	}
}
