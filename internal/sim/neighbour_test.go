package sim

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/value"
)

// record makes a record of a collection of the store's.
func record(t *testing.T, s *postgres.Store, collection string, pairs ...any) value.Record {
	t.Helper()
	r := value.NewRecord(s.Schema().Table(collection).Shape)
	for i := 0; i < len(pairs); i += 2 {
		v := value.OfNull()
		switch p := pairs[i+1].(type) {
		case string:
			v = value.OfText(p)
		case int:
			v = value.OfInt(int64(p))
		}
		if !r.Set(pairs[i].(string), v) {
			t.Fatalf("%s has no field %v", collection, pairs[i])
		}
	}
	return r
}

// TestWhoLeavesTakesNobodyAlong ends a call in the midst of a question that it asks in the
// line, with its transaction: those who share that are kept nonetheless.
func TestWhoLeavesTakesNobodyAlong(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	whole, end := context.WithTimeout(t.Context(), simTime)
	defer end()
	s, err := postgres.Open(t.Context(), postgres.Config{URL: url, Readers: 12})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		end() // nobody waits any more
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	prepare(t, s, compiled(t))
	put := func(collection string, pairs ...any) func(store.Tx) error {
		return func(tx store.Tx) error {
			_, err := tx.Put(t.Context(), collection, record(t, s, collection, pairs...))
			return err
		}
	}
	write := func(name string, fn func(store.Tx) error) error {
		_, err := s.Write(t.Context(), journal.Origin{Operation: name}, fn)
		return err
	}
	counter := ident.NewRecord()
	if err := write("new", put("counters", "id", string(counter), "name", "c", "n", 0)); err != nil {
		t.Fatal(err)
	}
	other, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close(context.Background()) }() // what it holds ends with it
	run := func(sql string) {
		t.Helper()
		if _, err := other.Exec(t.Context(), sql).ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	const rounds, stayers = 4, 6
	for n := range rounds {
		come := make(chan bool, stayers+1)
		stays, leaves, asks := make(chan bool), make(chan bool), make(chan bool, 1)
		first, second := make(chan error, stayers), make(chan error, 1)
		for i := range stayers {
			go func() {
				first <- write("stay", func(tx store.Tx) error {
					err := put("counters", "name", fmt.Sprint(n, ".", i), "n", 0)(tx)
					come <- true
					await(whole, stays)
					return err
				})
			}()
		}
		ctx, leave := context.WithCancel(whole)
		go func() {
			runs := 0
			_, err := s.Write(ctx, journal.Origin{Operation: "leave"}, func(tx store.Tx) error {
				if _, err := tx.Get(ctx, "counters", counter); err != nil {
					return err
				}
				if runs++; runs == 1 {
					come <- true
					await(whole, leaves)
					return put("counters", "name", "gone", "n", 0)(tx)
				}
				asks <- true
				_, err := tx.Find(ctx, query.Query{Plan: &query.Plan{From: "doctors"}})
				return err
			})
			second <- err
		}()
		for range stayers + 1 {
			await(whole, come)
		}
		if err := write("count", put("counters", "id", string(counter),
			"version", nil, "n", n+1)); err != nil {
			t.Fatal(err)
		}
		run(`BEGIN; LOCK TABLE "doctors" IN ACCESS EXCLUSIVE MODE`)
		close(stays)
		close(leaves)
		select {
		case <-asks:
		case err := <-second:
			t.Fatalf("it ended before it asked: %v", err)
		}
		waiting(t, other)
		leave()
		if err := <-second; !fault.Is(err, fault.Timeout) {
			t.Errorf("who left was told %v", err)
		}
		for range stayers {
			if err := <-first; err != nil {
				t.Errorf("who stayed was told %v", err)
			}
		}
		run("ROLLBACK")
	}
	err = s.Read(t.Context(), func(v store.View) error {
		rows, err := v.Find(t.Context(), query.Query{Plan: &query.Plan{From: "counters"}})
		if len(rows) != 1+rounds*stayers {
			t.Errorf("got %d counters, want the first and those who stayed", len(rows))
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// waiting returns when somebody waits for a lock on a table.
func waiting(t *testing.T, c *pgconn.PgConn) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		got, err := c.Exec(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND "+
			"locktype = 'relation'").ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if string(got[0].Rows[0][0]) != "0" {
			return
		}
	}
	t.Fatal("nobody waits")
}

// await waits for a sign, or the end of the time.
func await(ctx context.Context, sign <-chan bool) {
	select {
	case <-sign:
	case <-ctx.Done():
	}
}
