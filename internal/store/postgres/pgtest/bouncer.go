package pgtest

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Bouncer starts a PgBouncer in transaction mode before the cluster, with so many
// connections to each database, and ends it with the test. It returns what makes the
// URL of a database lead through it.
func (c *Cluster) Bouncer(t testing.TB, connections int) func(database string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgbouncer-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var r *run
	port := 0
	for n := 1; ; n++ {
		if port, err = freePort(); err == nil {
			r, err = c.bounce(dir, port, connections)
		}
		if err == nil {
			break
		}
		if n == portTries || !strings.Contains(err.Error(), "Address already in use") {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := r.signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
	})
	return func(database string) string {
		u, err := url.Parse(database)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = fmt.Sprintf("127.0.0.1:%d", port)
		return u.String()
	}
}

func (c *Cluster) bounce(dir string, port, connections int) (*run, error) {
	path, err := exec.LookPath("pgbouncer")
	if err != nil {
		path = "/usr/sbin/pgbouncer"
	}
	if _, err := os.Stat(path); err != nil {
		return nil, errors.New("pgbouncer was not found: go run ./internal/do setup installs it")
	}
	ini, users := filepath.Join(dir, "bouncer.ini"), filepath.Join(dir, "users")
	text := fmt.Sprintf("[databases]\n* = host=127.0.0.1 port=%d\n[pgbouncer]\n"+
		"listen_addr = 127.0.0.1\nlisten_port = %d\nunix_socket_dir =\nauth_type = scram-sha-256\n"+
		"auth_file = %s\npool_mode = transaction\ndefault_pool_size = %d\nmax_client_conn = 500\n"+
		"server_round_robin = 1\nserver_login_retry = 1\n", c.port, port, users, connections)
	for name, content := range map[string]string{
		ini: text, users: fmt.Sprintf("%q %q\n", owner, password),
	} {
		if err := errors.Join(os.WriteFile(name, []byte(content), 0o600), GiveAway(name)); err != nil {
			return nil, err
		}
	}
	if err := GiveAway(dir); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, ini)
	cmd.Dir, cmd.SysProcAttr = dir, tied()
	log, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	return await(cmd, log, "process up")
}
