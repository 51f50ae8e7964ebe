//go:build faults

package faults

import (
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

// tended is what those who look after a server do to it while it is used.
type tended struct {
	*testing.T
	cluster *pgtest.Cluster
	// name is the database, admin its address for the superuser.
	name, admin string
}

func (s tended) sql(text string) {
	s.Helper()
	s.cluster.Psql(s.T, s.admin, text)
}

// all does something to every session of the database but its own.
func (s tended) all(function string) {
	s.sql("SELECT " + function + "(pid) FROM pg_stat_activity WHERE datname = current_database() " +
		"AND pid <> pg_backend_pid()")
}

// during sets something for a while, in which all sessions are made anew.
func (s tended) during(set, reset string) {
	s.sql(set)
	s.all("pg_terminate_backend")
	<-time.After(2 * time.Second)
	s.sql(reset)
}

// crowd takes every connection that there is, for a while.
func (s tended) crowd() {
	s.all("pg_terminate_backend")
	var taken sync.WaitGroup
	for range 40 {
		taken.Go(func() {
			cmd := exec.CommandContext(s.Context(), s.cluster.Bin()+"/psql", "-c", "SELECT pg_sleep(2)",
				s.cluster.URL(s.name))
			_ = cmd.Run() // whether it found a place does not matter
		})
	}
	taken.Wait()
}

// TestTheServerIsTended has the sessions of nodes ended and cancelled, their tables locked and
// written anew, the database made read-only and closed to them, while they write and follow.
func TestTheServerIsTended(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, "max_connections=40", "deadlock_timeout=200ms")
	address := c.Database(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	s := tended{t, c, name, c.AdminURL(name)}
	w := begin(t, address, address)
	w.progress(10)
	for what, do := range map[string]func(){
		"ended": func() {
			for range 20 {
				s.all("pg_terminate_backend")
				<-time.After(50 * time.Millisecond)
			}
		},
		"cancelled": func() {
			for range 50 {
				s.all("pg_cancel_backend")
			}
		},
		"locked": func() {
			for _, table := range []string{"galley.head", "galley.shape", "galley.journal",
				"galley.marks", "wallets", "counters"} {
				s.sql(fmt.Sprintf("BEGIN; LOCK TABLE %q; SELECT pg_sleep(1); COMMIT", table))
			}
		},
		"deadlocked": func() {
			for range 5 {
				s.sql(`DO $$ BEGIN UPDATE counters SET n = n; PERFORM pg_sleep(0.3); ` +
					`PERFORM 1 FROM "galley.head" FOR UPDATE; RAISE 'back'; ` +
					`EXCEPTION WHEN OTHERS THEN NULL; END $$`)
			}
		},
		"written anew": func() {
			s.sql("VACUUM FULL")
			s.sql(`REINDEX TABLE CONCURRENTLY "galley.journal"`)
			s.sql("ANALYZE")
		},
		"read-only": func() {
			s.during("ALTER ROLE galley SET default_transaction_read_only = on",
				"ALTER ROLE galley RESET default_transaction_read_only")
		},
		"closed": func() {
			s.during("ALTER ROLE galley CONNECTION LIMIT 1", "ALTER ROLE galley CONNECTION LIMIT -1")
		},
		"without the role": func() {
			s.during("ALTER ROLE galley NOLOGIN", "ALTER ROLE galley LOGIN")
		},
		"crowded": s.crowd,
	} {
		t.Log(what)
		do()
		w.progress(10)
	}
	w.end()
}
