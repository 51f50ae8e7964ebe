// Package cluster runs a PostgreSQL server from the installed programs for the
// benchmarks: in a folder of its own, on a free port of the loopback, with every commit
// flushed. Yardsticks and Galley share it, each in a database of its own. It ends with
// the benchmark; servers that somebody else started are never touched.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

const (
	role     = "galley"
	password = "bench"
	// startTime bounds how long the server may take to start and to stop.
	startTime = 60 * time.Second
	pollTime  = 50 * time.Millisecond
)

// settings are as one would set them on a machine of this size; nothing is given up for
// speed that would lose a commit.
var settings = []string{
	"listen_addresses=127.0.0.1", "max_connections=200", "shared_buffers=512MB",
	"effective_cache_size=2GB", "max_wal_size=4GB", "checkpoint_timeout=15min", "random_page_cost=1.1",
}

// Cluster is a running server.
type Cluster struct {
	dir   string
	port  int
	cmd   *exec.Cmd
	ended chan error
}

// Start makes a cluster in a new folder below parent and starts its server.
func Start(ctx context.Context, parent string) (_ *Cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	c := &Cluster{ended: make(chan error, 1)}
	if c.dir, err = os.MkdirTemp(parent, "postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Stop())
		}
	}()
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return nil, err
	}
	if err := errors.Join(pgtest.GiveAway(c.dir), pgtest.GiveAway(secret)); err != nil {
		return nil, err
	}
	data := filepath.Join(c.dir, "data")
	init := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata="+data,
		"--username="+role, "--pwfile="+secret, "--auth=scram-sha-256", "--encoding=UTF8",
		"--locale=C", "--no-instructions")
	init.Dir, init.SysProcAttr = c.dir, pgtest.Foreign()
	if text, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w\n%s", err, text)
	}
	if c.port, err = freePort(); err != nil {
		return nil, err
	}
	args := []string{"-D", data, "-p", strconv.Itoa(c.port), "-k", c.dir}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	var log bytes.Buffer
	c.cmd = exec.Command(filepath.Join(bin, "postgres"), args...)
	c.cmd.Dir, c.cmd.SysProcAttr, c.cmd.Stderr = c.dir, pgtest.Foreign(), &log
	if err := c.cmd.Start(); err != nil {
		c.cmd = nil
		return nil, err
	}
	go func() { c.ended <- c.cmd.Wait() }()
	return c, c.wait(ctx, &log)
}

// wait returns when the server takes connections.
func (c *Cluster) wait(ctx context.Context, log *bytes.Buffer) error {
	for end := time.Now().Add(startTime); ; {
		err := c.exec(ctx, "SELECT 1")
		if err == nil {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server did not start in %v: %w", startTime, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-c.ended:
			c.cmd = nil
			return fmt.Errorf("the server did not start:\n%s", log)
		case <-time.After(pollTime):
		}
	}
}

// Stop ends the server and removes its files.
func (c *Cluster) Stop() error {
	var err error
	if c.cmd != nil {
		err = c.cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-c.ended:
		case <-time.After(startTime):
			err = errors.Join(err, c.cmd.Process.Kill())
			<-c.ended
		}
		c.cmd = nil
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// PID is the server's process, of which all its others are children.
func (c *Cluster) PID() int { return c.cmd.Process.Pid }

// URL is the address of a database.
func (c *Cluster) URL(name string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", role, password,
		c.port, name)
}

// Create makes an empty database and returns its address.
func (c *Cluster) Create(ctx context.Context, name string) (string, error) {
	return c.URL(name), c.exec(ctx, "CREATE DATABASE "+quote(name))
}

// Copy makes a database like another, to which nobody is connected.
func (c *Cluster) Copy(ctx context.Context, from, to string) error {
	return c.exec(ctx, "CREATE DATABASE "+quote(to)+" TEMPLATE "+quote(from))
}

func (c *Cluster) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// programs returns the folder of the server's programs.
func programs() (string, error) {
	out, err := exec.Command("pg_config", "--bindir").Output()
	dirs := []string{strings.TrimSpace(string(out))}
	if err != nil {
		dirs = nil
	}
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for _, dir := range append(dirs, found...) {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("initdb of PostgreSQL was not found: go run ./internal/do setup")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}
