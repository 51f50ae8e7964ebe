package postgres

import (
	"context"
	"fmt"
	"net"
	"testing"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// counting counts how often an answer was waited for: reads that follow a write.
type counting struct {
	net.Conn
	wrote *bool
	count *int
}

func (c counting) Write(b []byte) (int, error) {
	*c.wrote = true
	return c.Conn.Write(b)
}

func (c counting) Read(b []byte) (int, error) {
	if *c.wrote {
		*c.wrote = false
		*c.count++
	}
	return c.Conn.Read(b)
}

// counted are connections whose round trips are counted, one for writing and one for
// reading.
func counted(t testing.TB) (w, r *conn, trips *int) {
	t.Helper()
	d, err := newDialect(pgtest.Shared(t).Database(t))
	must(t, err)
	must(t, d.prepare(t.Context()))
	wrote, count := false, 0
	dial := d.config.DialFunc
	d.config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		return counting{c, &wrote, &count}, err
	}
	w, r = newConn(d, true), newConn(d, false)
	for _, c := range []*conn{w, r} {
		must(t, c.connect(t.Context()))
		t.Cleanup(func() { must(t, c.Close()) })
	}
	must(t, w.Exec(`CREATE TABLE people (id TEXT COLLATE "C" PRIMARY KEY, name TEXT NOT NULL)`, nil),
		w.Exec("CREATE TABLE head (one BIGINT PRIMARY KEY, seq BIGINT)", nil),
		w.Exec("INSERT INTO head VALUES (1, 0)", nil), w.Exec(addPerson, text("ana")))
	return w, r, &count
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
	c, reader, count := counted(t)
	for n := range 3 {
		*count = 0
		reader.get(t)
		if *count != 1 {
			t.Errorf("a get waited %d times, want once", *count)
		}
		*count = 0
		c.create(t, fmt.Sprint(n))
		if *count != 2 {
			t.Errorf("a create waited %d times, want twice", *count)
		}
		*count = 0
		must(t, c.Begin(true), c.Save(), c.Exec(addPerson, text(fmt.Sprint("x", n))), c.Release(),
			c.Commit())
		if *count != 2 {
			t.Errorf("a guarded statement and its commit waited %d times, want twice", *count)
		}
	}
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
