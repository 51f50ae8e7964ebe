package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// standbyName is how a standby introduces itself to the server that it follows.
const standbyName = "standby"

// Standby makes a second server that follows the cluster, and ends it with the test.
// From then on no commit of the cluster is answered before it is on the disks of both.
func (c *Cluster) Standby(t testing.TB) *Cluster {
	t.Helper()
	s, err := c.standby()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.end(); err != nil {
			t.Error(err)
		}
	})
	c.Admin(t, "ALTER SYSTEM SET synchronous_standby_names = '"+standbyName+"'")
	c.Admin(t, "SELECT pg_reload_conf()")
	c.AwaitStandby(t)
	return s
}

func (c *Cluster) standby() (_ *Cluster, err error) {
	s := &Cluster{bin: c.bin, follows: true, settings: append([]string{fmt.Sprintf(
		"primary_conninfo=host=127.0.0.1 port=%d user=%s password=%s application_name=%s",
		c.port, admin, password, standbyName)}, c.settings...)}
	if s.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if err := GiveAway(s.dir); err != nil {
		return nil, err
	}
	copying := exec.Command(filepath.Join(c.bin, "pg_basebackup"), "--pgdata="+s.data(),
		"--dbname="+c.AdminURL(admin), "--checkpoint=fast", "--no-sync")
	copying.Dir, copying.SysProcAttr = s.dir, Foreign()
	if out, err := copying.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	signal := filepath.Join(s.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return nil, err
	}
	if err := GiveAway(signal); err != nil {
		return nil, err
	}
	if s.port, err = freePort(); err != nil {
		return nil, err
	}
	return s, s.launch()
}

// AwaitStandby waits until commits of the cluster wait for its standby.
func (c *Cluster) AwaitStandby(t testing.TB) {
	t.Helper()
	const states = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
	for end := time.Now().Add(startTime); c.Psql(t, c.AdminURL(admin), states) != "1"; {
		if time.Now().After(end) {
			t.Fatalf("no standby follows:\n%s", c.Log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Promote makes a server of its own of a standby, which takes writes from then on.
func (c *Cluster) Promote(t testing.TB) {
	t.Helper()
	c.Admin(t, "SELECT pg_promote(true, 60)")
	c.follows = false
}

// Either is the address of a database of the cluster that leads to another cluster too:
// to the one of both that takes writes.
func (c *Cluster) Either(t testing.TB, database string, other *Cluster) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = fmt.Sprintf("127.0.0.1:%d,127.0.0.1:%d", c.port, other.port)
	return u.String()
}
