package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// must ends the test on an error.
func must(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// classOf returns the class of an error.
func classOf(err error) sqlstore.Class {
	var p *sqlstore.Problem
	if errors.As(err, &p) {
		return p.Class
	}
	return sqlstore.Other
}

func text(s string) []value.Value { return []value.Value{value.OfText(s)} }

// tables makes a table of people and one of their pets.
func tables(t *testing.T) *conn {
	t.Helper()
	c := connected(t)
	must(t, c.Exec(`CREATE TABLE people (id TEXT COLLATE "C" PRIMARY KEY, name TEXT NOT NULL)`, nil),
		c.Exec("CREATE TABLE pets (id TEXT PRIMARY KEY, owner TEXT REFERENCES people (id) DEFERRABLE)",
			nil))
	return c
}

const addPerson = "INSERT INTO people (id, name) VALUES ($1, $1)"

// TestAStatementThatFailsTakesBackItselfAlone goes on in the same transaction.
func TestAStatementThatFailsTakesBackItselfAlone(t *testing.T) {
	c := tables(t)
	must(t, c.Begin(true), c.Exec(addPerson, text("a")), c.Save())
	for _, bad := range []struct {
		sql     string
		args    []value.Value
		class   sqlstore.Class
		columns []string
	}{
		{addPerson, text("a"), sqlstore.Taken, []string{"id"}},
		{"INSERT INTO pets (id, owner) VALUES ('p', 'nobody')", nil, sqlstore.Dangling, nil},
		{"INSERT INTO people (id) VALUES ('b')", nil, sqlstore.Missing, []string{"name"}},
		{"INSERT INTO nowhere (id) VALUES ('b')", nil, sqlstore.Reshaped, nil},
		{"INSERT INTO people", nil, sqlstore.Other, nil},
	} {
		err := c.Exec(bad.sql, bad.args)
		var p *sqlstore.Problem
		if !errors.As(err, &p) || p.Class != bad.class || !slices.Equal(p.Columns, bad.columns) {
			t.Errorf("%s: got %+v, want class %v of %v", bad.sql, p, bad.class, bad.columns)
		}
		if !c.Open() {
			t.Fatalf("%s: the transaction is lost", bad.sql)
		}
		must(t, c.Exec(addPerson, text(bad.sql)))
	}
	_, err := c.one(t.Context(), "SELECT 9223372036854775807 + count(*) FROM people")
	if classOf(err) != sqlstore.Overflow || !c.Open() {
		t.Errorf("got %v, want an overflow that ends nothing", err)
	}
	must(t, c.Release(), c.Commit())
	if got := c.value(t, "count(*) FROM people"); got != "6" {
		t.Errorf("got %s people, want 6", got)
	}
}

// TestTheSavepointIsGoneBackTo asks for every order of sending and going back.
func TestTheSavepointIsGoneBackTo(t *testing.T) {
	c := tables(t)
	must(t, c.Begin(true), c.Queue(addPerson, text("kept")))
	must(t, c.Save(), c.Queue(addPerson, text("unsent")), c.Revert())
	must(t, c.Save(), c.Exec(addPerson, text("sent")), c.Revert())
	must(t, c.Save(), c.Exec(addPerson, text("sent")))
	if err := c.Exec(addPerson, text("sent")); classOf(err) != sqlstore.Taken {
		t.Errorf("got %v, want taken", err)
	}
	must(t, c.Revert(), c.Save(), c.Queue(addPerson, text("released")), c.Release())
	must(t, c.Save(), c.Release(), c.Commit())
	if got := c.value(t, "string_agg(id, ' ' ORDER BY id) FROM people"); got != "kept released" {
		t.Errorf("got %s, want what was kept and released", got)
	}
}

// TestWhatWasQueuedFailsAsAWhole shows the error with the next answer.
func TestWhatWasQueuedFailsAsAWhole(t *testing.T) {
	c := tables(t)
	must(t, c.Begin(true), c.Queue(addPerson, text("a")), c.Queue(addPerson, text("a")))
	if err := c.Commit(); classOf(err) != sqlstore.Taken || c.Open() {
		t.Errorf("got %v, open %v, want taken and the transaction lost", err, c.Open())
	}
	if err := c.Queue(addPerson, text("b")); err == nil {
		t.Error("a lost transaction takes statements")
	}
	must(t, c.Rollback(), c.Begin(true))
	for n := range 3 * queueMax {
		must(t, c.Queue(addPerson, text(fmt.Sprint(n))))
	}
	must(t, c.Commit())
	if got := c.value(t, "count(*) FROM people"); got != fmt.Sprint(3*queueMax) {
		t.Errorf("got %s people, want %d", got, 3*queueMax)
	}
}

func TestRelationsCanWaitForTheEnd(t *testing.T) {
	c := tables(t)
	pet := "INSERT INTO pets (id, owner) VALUES ($1, 'ana')"
	must(t, c.Begin(true), c.Defer(true), c.Exec(pet, text("a")), c.Exec(addPerson, text("ana")),
		c.Defer(false), c.Commit())
	must(t, c.Begin(true), c.Defer(true), c.Exec("DELETE FROM people", nil))
	if err := c.Commit(); classOf(err) != sqlstore.Dangling || c.Open() {
		t.Errorf("got %v, want dangling", err)
	}
	must(t, c.Rollback())
}

// TestTheEndOfAContextEndsItsStatement cancels at the server, and leaves the connection
// as it was, unless the server does not hear of it in time.
func TestTheEndOfAContextEndsItsStatement(t *testing.T) {
	c := connected(t)
	other := connectedTo(t, pgtest.Shared(t).URL(c.d.config.Database))
	pid := c.value(t, "pg_backend_pid()")
	sleeps := "coalesce((SELECT wait_event FROM pg_stat_activity WHERE pid = " + pid + "), '')"
	for range 5 {
		ctx, cancel := context.WithCancel(t.Context())
		must(t, c.Begin(false))
		ended := make(chan error, 1)
		go func() {
			_, err := c.one(ctx, "SELECT pg_sleep(60)")
			ended <- err
		}()
		// The server ignores who cancels before it has begun.
		for len(ended) == 0 && other.value(t, sleeps) != "PgSleep" {
		}
		began := time.Now()
		cancel()
		err := <-ended
		took := time.Since(began)
		if classOf(err) != sqlstore.Interrupted || c.Open() {
			t.Errorf("got %v after %v, want an interrupted statement", err, took)
		}
		must(t, c.Rollback())
		if got := c.value(t, "pg_backend_pid()"); got != pid && took < cancelTime {
			t.Errorf("got session %s, want %s", got, pid)
		} else if got != pid {
			t.Logf("the server took %v to hear it", took)
			return
		}
	}
}

// TestADeadConnectionIsMadeAnew ends the session at the server: what has not begun goes
// on, what has begun is gone.
func TestADeadConnectionIsMadeAnew(t *testing.T) {
	c := tables(t)
	admin := connectedTo(t, pgtest.Shared(t).AdminURL("postgres"))
	kill := func() {
		pid := c.value(t, "pg_backend_pid()")
		if got := admin.value(t, "pg_terminate_backend("+pid+", 10000)::text"); got != "true" {
			t.Fatalf("got %s, want the session ended", got)
		}
	}
	kill()
	must(t, c.Begin(true), c.Exec(addPerson, text("a")))
	must(t, c.Commit())
	must(t, c.Begin(true), c.Exec(addPerson, text("b")))
	kill()
	if err := c.Exec(addPerson, text("c")); classOf(err) != sqlstore.Gone || c.Open() {
		t.Errorf("got %v, want the transaction gone", err)
	}
	must(t, c.Rollback(), c.Begin(true), c.Exec(addPerson, text("d")))
	kill()
	if err := c.Commit(); classOf(err) != sqlstore.Gone {
		t.Errorf("got %v, want a commit of which nobody knows", err)
	}
	must(t, c.Rollback())
	if got := c.value(t, "string_agg(id, ' ') FROM people"); got != "a" {
		t.Errorf("got %s, want a alone", got)
	}
}

// slowConn says late that something was sent, as the network of a busy machine does.
type slowConn struct{ net.Conn }

func (c slowConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	<-time.After(50 * time.Millisecond)
	return n, err
}

// TestASlowNetworkLosesNoAnswer dials where writing takes longer than the answer: pgconn
// then reads in the background, which must be over when the connection is ours.
func TestASlowNetworkLosesNoAnswer(t *testing.T) {
	c := connected(t)
	dial := c.d.config.DialFunc
	c.d.config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		n, err := dial(ctx, network, addr)
		return slowConn{n}, err
	}
	for range 5 {
		slow := newConn(c.d, false)
		must(t, slow.connect(t.Context()), slow.Begin(false))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if got, err := slow.one(ctx, "SELECT 'heard'"); err != nil || got != "heard" {
			t.Errorf("got %q, %v", got, err)
		}
		cancel()
		must(t, slow.Rollback(), slow.Close())
	}
}

// TestRowsThatNobodyWantsAreLeft ends a read in the middle of many rows.
func TestRowsThatNobodyWantsAreLeft(t *testing.T) {
	w := connected(t)
	r := newConn(w.d, false)
	must(t, r.connect(t.Context()))
	defer func() { must(t, r.Close()) }()
	enough := errors.New("enough")
	for _, c := range []*conn{w, r} {
		for _, rows := range []int{10, 1_000_000} {
			must(t, c.Begin(false))
			n := 0
			err := c.Query(t.Context(), fmt.Sprintf("SELECT generate_series(1, %d)", rows), nil,
				func(sqlstore.Row) error {
					if n++; n == 3 {
						return enough
					}
					return nil
				})
			if err != enough || n != 3 {
				t.Errorf("got %v after %d rows, want it after 3", err, n)
			}
			must(t, c.Rollback())
			if got := c.value(t, "1"); got != "1" {
				t.Errorf("got %s, want 1", got)
			}
		}
	}
}

// TestAReadEndsByItself finds the server's session at rest, though nothing was asked
// behind the read, and the reads before it each in a state of their own.
func TestAReadEndsByItself(t *testing.T) {
	c := tables(t)
	r := newConn(c.d, false)
	must(t, r.connect(t.Context()))
	defer func() { must(t, r.Close()) }()
	pid := ""
	for n := range 5 {
		must(t, r.Begin(false))
		if got := r.value(t, "count(*) FROM people"); got != fmt.Sprint(n) {
			t.Errorf("got %s people, want %d", got, n)
		}
		must(t, c.Exec(addPerson, text(fmt.Sprint(n))))
		if got := r.value(t, "count(*) FROM people"); got != fmt.Sprint(n) {
			t.Errorf("got %s people in the same state, want %d", got, n)
		}
		if got := r.value(t, "current_setting('transaction_isolation')"); got != "repeatable read" {
			t.Errorf("got %s", got)
		}
		pid = r.value(t, "pg_backend_pid()")
		must(t, r.Rollback())
	}
	state := ""
	for end := time.Now().Add(time.Minute); state != "idle" && time.Now().Before(end); {
		state = c.value(t, "state FROM pg_stat_activity WHERE pid = "+pid)
	}
	if state != "idle" {
		t.Errorf("the session is %s", state)
	}
	if got := r.value(t, "count(*) FROM people"); got != "5" {
		t.Errorf("got %s people, want 5", got)
	}
}

// TestStatementsAreForgottenWithTheShape reads a column whose type has changed.
func TestStatementsAreForgottenWithTheShape(t *testing.T) {
	c := tables(t)
	other := connectedTo(t, pgtest.Shared(t).URL(c.d.config.Database))
	must(t, c.Exec(addPerson, text("1")))
	for range 2 {
		if got := other.value(t, "name FROM people"); got != "1" {
			t.Errorf("got %s, want 1", got)
		}
		must(t, c.Exec("ALTER TABLE people ALTER COLUMN name TYPE bigint USING name::bigint", nil))
		must(t, other.Begin(false))
		if got := other.value(t, "name FROM people"); got != "1" {
			t.Errorf("got %s, want 1", got)
		}
		must(t, other.Rollback())
		must(t, c.Exec("ALTER TABLE people ALTER COLUMN name TYPE text", nil))
	}
}

// TestManyStatementsAreNotAllKept bounds what a session prepares.
func TestManyStatementsAreNotAllKept(t *testing.T) {
	c := connected(t)
	for n := range 3 * statementsMax {
		if got := c.value(t, fmt.Sprint(n)); got != fmt.Sprint(n) {
			t.Fatalf("got %s, want %d", got, n)
		}
	}
	if n := len(c.statements); n > statementsMax+10 {
		t.Errorf("got %d statements", n)
	}
	var kept int
	_, err := fmt.Sscan(c.value(t, "count(*) FROM pg_prepared_statements"), &kept)
	must(t, err)
	if kept > statementsMax+10 {
		t.Errorf("got %d prepared statements", kept)
	}
}

func TestAddresses(t *testing.T) {
	for address, want := range map[string]string{
		"postgres://u:p@h/db":                    "public",
		"postgres://u:p@h/db?schema=shop":        "shop",
		"postgresql://u:p@h/db?search_path=shop": "shop",
		"postgres://u@a:1,b:2/db?schema=x":       "x",
		"mysql://u@h/db":                         "",
		"postgres://u:secret@h:x/db":             "",
		"postgres://u:secret@h/db?schema=pg_x":   "",
	} {
		d, err := newDialect(address)
		switch {
		case want == "" && err == nil:
			t.Errorf("%s: got %v, want an error", address, d.schema)
		case want == "" && strings.Contains(err.Error(), "secret"):
			t.Errorf("%s: the error tells the password: %v", address, err)
		case want != "" && (err != nil || d.schema != want):
			t.Errorf("%s: got %v, want the schema %s", address, err, want)
		}
	}
	_, err := Open(t.Context(), Config{URL: "postgres://u:secret@127.0.0.1:1/db?sslmode=disable"})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("got %v, want an error without the password", err)
	}
}

// TestEverythingLiesInOneSchema keeps two stores in one database.
func TestEverythingLiesInOneSchema(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	for _, name := range []string{"one", `t"wo`} {
		s, err := Open(t.Context(), Config{URL: url + "&schema=" + strings.ReplaceAll(name, `"`, "%22")})
		must(t, err)
		must(t, s.Close())
	}
	got := pgtest.Shared(t).Psql(t, url, "SELECT string_agg(DISTINCT table_schema, ' ') FROM "+
		"information_schema.tables WHERE table_schema NOT IN ('pg_catalog', 'information_schema')")
	if got != `one t"wo` {
		t.Errorf("got tables in %s", got)
	}
}

func TestLongNamesStayApart(t *testing.T) {
	d := &dialect{}
	long := strings.Repeat("é", 40)
	a, b := d.Quote(long+"a"), d.Quote(long+"b")
	if a == b || len(a) > nameMax+2 || d.Quote("short") != `"short"` {
		t.Errorf("got %s and %s", a, b)
	}
}
