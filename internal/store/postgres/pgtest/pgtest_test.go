package pgtest

import (
	"os"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

func TestDatabasesAreTheirOwn(t *testing.T) {
	c := Shared(t)
	a, b := c.Database(t), c.Database(t)
	c.Psql(t, a, "CREATE TABLE x (n bigint); INSERT INTO x VALUES (7)")
	if got := c.Psql(t, a, "SELECT n, 1 FROM x"); got != "7|1" {
		t.Errorf("got %q, want 7|1", got)
	}
	if got := c.Psql(t, b, "SELECT to_regclass('x') IS NULL"); got != "t" {
		t.Errorf("got %q, want no table in the other database", got)
	}
	if got := c.Psql(t, a, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"); got != "f" {
		t.Errorf("got %q, want no superuser", got)
	}
	if Shared(t) != c {
		t.Error("got another shared cluster")
	}
}

func TestWhatWasCommittedOutlivesKill(t *testing.T) {
	c := Start(t, "max_connections=20")
	url := c.Database(t)
	if got := c.Psql(t, url, "SHOW max_connections"); got != "20" {
		t.Errorf("got %s, want 20 connections", got)
	}
	if got := c.Psql(t, url, "SHOW fsync"); got != "on" {
		t.Errorf("got fsync %s, want on", got)
	}
	c.Psql(t, url, "CREATE TABLE x (n bigint); INSERT INTO x VALUES (7)")
	c.Kill(t)
	if _, err := psql(c.bin, url, "SELECT 1"); err == nil {
		t.Error("the server answers after Kill")
	}
	c.Restart(t)
	if got := c.Psql(t, url, "SELECT n FROM x"); got != "7" {
		t.Errorf("got %q, want 7", got)
	}
	c.Stop(t)
	c.Restart(t)
	if got := c.Psql(t, url, "SELECT n FROM x"); got != "7" {
		t.Errorf("got %q, want 7", got)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	var dir string
	t.Run("inside", func(t *testing.T) { dir = Start(t).dir })
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("got %v, want the folder gone", err)
	}
}

func TestStandbyHasWhatWasCommitted(t *testing.T) {
	c := Start(t)
	url := c.Database(t)
	s := c.Standby(t)
	if got := c.Psql(t, url, "SHOW synchronous_commit"); got != "on" {
		t.Errorf("got synchronous_commit %s, want on", got)
	}
	c.Psql(t, url, "CREATE TABLE x (n bigint); INSERT INTO x VALUES (7)")
	c.Kill(t)
	s.Promote(t)
	both := c.Either(t, url, s)
	if got := c.Psql(t, both, "INSERT INTO x VALUES (8); SELECT sum(n) FROM x"); got != "15" {
		t.Errorf("got %q, want 15", got)
	}
}
