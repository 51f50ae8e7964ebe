package postgres

import (
	"net/url"
	"testing"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
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
