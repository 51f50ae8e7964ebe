package postgres

import (
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// TestAMistakeInAnAddressIsNamed opens databases as people do who are wrong about one
// word, and wants to hear of it in one line, with what to do, and of no password.
func TestAMistakeInAnAddressIsNamed(t *testing.T) {
	c := pgtest.Shared(t)
	right := c.Database(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	if err := nobody.Close(); err != nil {
		t.Fatal(err)
	}
	with := func(change func(*url.URL)) string {
		u, err := url.Parse(right)
		if err != nil {
			t.Fatal(err)
		}
		change(u)
		return u.String()
	}
	word := func(key, value string) string {
		return with(func(u *url.URL) {
			q := u.Query()
			q.Set(key, value)
			u.RawQuery = q.Encode()
		})
	}
	for _, one := range []struct{ address, want string }{
		{with(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "hush-hush") }),
			"is wrong, or there is no such role"},
		{with(func(u *url.URL) { u.Path = "/elsewhere" }), `CREATE DATABASE "elsewhere" OWNER`},
		{with(func(u *url.URL) { u.Host = closed }), "nothing listens there"},
		{with(func(u *url.URL) { u.Host = "nowhere.invalid" }), `"nowhere.invalid" is not known`},
		{word("shema", "x"), `unrecognized configuration parameter "shema"`},
		{word("sslmode", "require"), "?sslmode=disable"},
		{"postgres://app:half@hush-hush@127.0.0.1/shop", "written %40"},
	} {
		s, err := Open(t.Context(), Config{URL: one.address})
		if err == nil {
			t.Errorf("%s was opened", one.address)
			_ = s.Close() // it is a failure already
			continue
		}
		if text := err.Error(); !strings.Contains(text, one.want) || strings.Contains(text, "hush") ||
			strings.Contains(text, "\n") {
			t.Errorf("%s: %s\nwant %s", one.address, text, one.want)
		}
	}
}

// TestAMissingRightIsNamed opens a database in which the role may make nothing, and one
// whose schema has a table of somebody else.
func TestAMissingRightIsNamed(t *testing.T) {
	c := pgtest.Shared(t)
	address := c.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	admin := c.AdminURL(strings.Trim(u.Path, "/"))
	c.Psql(t, admin, "CREATE SCHEMA closed")
	_, err = Open(t.Context(), Config{URL: address + "&schema=closed"})
	if err == nil || !strings.Contains(err.Error(), `GRANT USAGE, CREATE ON SCHEMA "closed" TO`) {
		t.Errorf("without the right to make tables: %v", err)
	}
	other, err := Open(t.Context(), Config{URL: admin + "&schema=theirs"})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	c.Psql(t, admin, "GRANT USAGE, CREATE ON SCHEMA theirs TO galley")
	_, err = Open(t.Context(), Config{URL: address + "&schema=theirs"})
	if err == nil || !strings.Contains(err.Error(), "belongs to another role") {
		t.Errorf("beside the tables of another role: %v", err)
	}
	c.Psql(t, address, "CREATE TABLE notes (x int)")
	s, err := Open(t.Context(), Config{URL: address})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }() // nothing was written
	_, err = s.Apply(t.Context(), journal.Origin{Operation: "test"}, storetest.Steps(notes()), nil)
	if err == nil || !strings.Contains(err.Error(), "?schema=NAME") {
		t.Errorf("beside a table of somebody else: %v", err)
	}
}

// TestADatabaseThatIsShutIsNamed opens one that takes no connections, and one that has no more
// of them to give.
func TestADatabaseThatIsShutIsNamed(t *testing.T) {
	c := pgtest.Shared(t)
	for set, want := range map[string]string{
		"CONNECTION LIMIT 0":      "no connection left for the role",
		"ALLOW_CONNECTIONS false": "lets nobody in now",
	} {
		address := c.Database(t)
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		c.Admin(t, "ALTER DATABASE "+strings.Trim(u.Path, "/")+" WITH "+set)
		_, err = Open(t.Context(), Config{URL: address})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", set, err)
		}
	}
}

// TestADatabaseThatIsOnlyReadIsNamed opens one that takes no writes, as addresses do that
// come to it by one way, and by several.
func TestADatabaseThatIsOnlyReadIsNamed(t *testing.T) {
	c := pgtest.Shared(t)
	address := c.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	c.Psql(t, address, "ALTER DATABASE "+strings.Trim(u.Path, "/")+
		" SET default_transaction_read_only = on")
	words := u.Query()
	for _, mode := range []string{"disable", "prefer", "allow"} {
		words.Set("sslmode", mode)
		u.RawQuery = words.Encode()
		_, err := Open(t.Context(), Config{URL: u.String()})
		if err == nil || !strings.Contains(err.Error(), "takes no writes") ||
			!strings.Contains(err.Error(), "SET default_transaction_read_only = off") ||
			strings.Contains(err.Error(), "TLS") {
			t.Errorf("sslmode=%s: %v", mode, err)
		}
	}
}

// TestAServerThatIsTooOldIsRefused asks of the oldest release that is taken, and others.
func TestAServerThatIsTooOldIsRefused(t *testing.T) {
	for _, c := range []struct{ version, scheme, want string }{
		{"13.0", "UTF8", ""}, {"18beta1", "UTF8", ""}, {"16.2 (Debian 16.2-1)", "UTF8", ""},
		{"12.22", "UTF8", "PostgreSQL 12.22 is too old; Galley needs 13 or later"},
		{"9.6.24", "UTF8", "too old"}, {"15.1", "LATIN1", "ENCODING 'UTF8'"},
	} {
		err := (&link{version: c.version, scheme: c.scheme}).supported()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s, %s: %v; want %q", c.version, c.scheme, err, c.want)
		}
	}
}
