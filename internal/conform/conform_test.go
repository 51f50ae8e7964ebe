package conform

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// TestMain ends the PostgreSQL server that the tests share.
func TestMain(m *testing.M) { pgtest.Main(m) }

// quick is the guarantee whose checks take the least time, and one that no store keeps.
func quick() []storetest.Guarantee {
	var out []storetest.Guarantee
	for _, g := range storetest.Guarantees() {
		if g.Title == "The journal is the whole history" {
			out = append(out, g)
		}
	}
	return append(out, storetest.Guarantee{Title: "The impossible", Checks: []storetest.Check{
		{Name: "Fatal", Run: func(r storetest.Report, p storetest.Place) {
			if _, err := p(storetest.Faults{}); err != nil {
				r.Errorf("open: %v", err)
			}
			r.Fatalf("it is %s", "not so")
			r.Errorf("it went on")
		}},
		{Name: "Panic", Run: func(storetest.Report, storetest.Place) { panic("boom") }},
		{Name: "Many", Run: func(r storetest.Report, _ storetest.Place) {
			for range 2 * findingsMax {
				r.Errorf("again")
			}
		}},
	}})
}

// look runs the quick guarantees and looks at the verdicts.
func look(t *testing.T, address string) {
	t.Helper()
	var told []Verdict
	if err := run(t.Context(), address, quick(), func(v Verdict) { told = append(told, v) }); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || !told[0].Holds || told[0].Checks != len(quick()[0].Checks) ||
		len(told[0].Findings) > 0 {
		t.Fatalf("got %+v", told)
	}
	no := told[1]
	if no.Holds || len(no.Findings) != 2+findingsMax || no.Findings[0] != (Finding{"Fatal",
		"it is not so"}) || no.Findings[1] != (Finding{"Panic", "panic: boom"}) {
		t.Errorf("got %+v", no)
	}
}

func TestVerdictsOnAFileLeaveNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "galley.db")
	if err := os.WriteFile(path, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	look(t, "sqlite:"+path)
	entries, err := os.ReadDir(dir)
	text, err2 := os.ReadFile(path)
	if err != nil || err2 != nil || len(entries) != 1 || string(text) != "mine" {
		t.Errorf("left %v, and %q in the file (%v %v)", entries, text, err, err2)
	}
}

func TestVerdictsOnAServerLeaveNothing(t *testing.T) {
	c := pgtest.Shared(t)
	url := c.Database(t)
	c.Psql(t, url, "CREATE TABLE mine (n int)")
	const all = "SELECT count(*) FROM pg_class UNION ALL SELECT count(*) FROM pg_proc " +
		"UNION ALL SELECT count(*) FROM pg_namespace WHERE nspname NOT LIKE 'pg_%'"
	before := c.Psql(t, url, all)
	look(t, url)
	if after := c.Psql(t, url, all); after != before {
		t.Errorf("there were %s, now there are %s", before, after)
	}
}

func TestAddressesThatCannotBeUsedAreNamed(t *testing.T) {
	c := pgtest.Shared(t)
	url := c.Database(t)
	name := url[strings.LastIndex(url, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	c.Admin(t, "CREATE ROLE guest LOGIN PASSWORD 'guest'")
	t.Cleanup(func() { c.Admin(t, "DROP ROLE guest") })
	_, host, _ := strings.Cut(url, "@")
	c.Admin(t, "CREATE DATABASE latin_"+name+" TEMPLATE template0 ENCODING LATIN1 LOCALE 'C'")
	t.Cleanup(func() { c.Admin(t, "DROP DATABASE latin_"+name) })
	c.Admin(t, "CREATE DATABASE only_read_"+name)
	t.Cleanup(func() { c.Admin(t, "DROP DATABASE only_read_"+name) })
	c.Admin(t, "ALTER DATABASE only_read_"+name+" SET default_transaction_read_only = on")
	closed := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(closed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		address, want string
		kind          fault.Kind
	}{
		{"postgres://guest:guest@" + host,
			`GRANT CREATE ON DATABASE "` + name + `" TO "guest"`, fault.Denied},
		{"postgres://nobody:secret@" + host, "cannot be reached", fault.Unavailable},
		{c.AdminURL("latin_" + name), "cannot be used: open the database", fault.Unavailable},
		{"postgres://guest:secret@" + host, "password of the role \"guest\" is wrong",
			fault.Unavailable},
		{c.AdminURL("only_read_" + name), "it takes no writes", fault.Unavailable},
		{"mysql://x", "no address of a database", fault.Invalid},
		{"sqlite:", "no address of a database", fault.Invalid},
		{"sqlite:" + closed + "/x/galley.db", "cannot be made", fault.Denied},
	} {
		err := Run(context.Background(), c.address, func(Verdict) { t.Error("there is a verdict") })
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) ||
			strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %v: %s", c.address, err, c.kind, c.want)
		}
	}
}
