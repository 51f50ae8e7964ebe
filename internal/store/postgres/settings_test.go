package postgres

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// TestTheDatabasesOwnSettingsChangeNothing has a database set what sessions do unless they say
// otherwise, and a schema whose name has every sign that quotes.
func TestTheDatabasesOwnSettingsChangeNothing(t *testing.T) {
	address := pgtest.Shared(t).Database(t)
	u, err := url.Parse(address)
	must(t, err)
	for _, set := range []string{"standard_conforming_strings = off", "search_path = pg_temp",
		"transform_null_equals = on", "DateStyle = 'German, DMY'", "client_encoding = 'LATIN1'",
		"default_transaction_isolation = 'serializable'", "statement_timeout = '2s'",
		"client_min_messages = debug2", "extra_float_digits = -15"} {
		pgtest.Shared(t).Psql(t, address, "ALTER DATABASE "+u.Path[1:]+" SET "+set)
	}
	s, err := Open(t.Context(), Config{URL: address + "&schema=" + url.QueryEscape(`a\ "b" 'c' $1 --ü`)})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	_, err = s.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(notes()), nil)
	must(t, err)
	look(t, s.Store, note(t, s.Store, s.Schema().Table("notes").Shape, "key"))
}

// TestADatabaseThatWasShutIsUsedAgain makes a database read-only, and then closes it to its
// role, for sessions that begin meanwhile: when that is over, nobody has to be started anew.
func TestADatabaseThatWasShutIsUsedAgain(t *testing.T) {
	cluster := pgtest.Shared(t)
	c := tables(t)
	admin := connectedTo(t, cluster.AdminURL("postgres"))
	name := c.d.config.Database
	for shut, open := range map[string]string{
		"ALTER DATABASE %s SET default_transaction_read_only = on": "ALTER DATABASE %s RESET ALL",
		"REVOKE CONNECT ON DATABASE %s FROM PUBLIC, galley":        "GRANT CONNECT ON DATABASE %s TO galley",
	} {
		pid := c.value(t, "pg_backend_pid()")
		cluster.Admin(t, fmt.Sprintf(shut, name))
		if got := admin.value(t, "pg_terminate_backend("+pid+", 10000)::text"); got != "true" {
			t.Fatalf("got %s, want the session ended", got)
		}
		for range 2 {
			must(t, c.Begin(true))
			if err := c.Exec(addPerson, text("a")); classOf(err) != sqlstore.Gone {
				t.Errorf("%s: got %v", shut, err)
			}
			must(t, c.Rollback())
		}
		cluster.Admin(t, fmt.Sprintf(open, name))
		must(t, c.Begin(true), c.Exec(addPerson, text(shut)), c.Commit())
	}
}
