// Package pgtest starts PostgreSQL for tests: a server from the installed binaries, in
// a temporary directory, on a free port of the loopback, with full durability. It is
// ended with the test, or with the process that asked for it. Servers that somebody
// else started are never touched. What is done with the database it leaves to the tests.
package pgtest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	// owner owns the databases and has no right beyond them; admin may do all.
	owner    = "galley"
	admin    = "postgres"
	password = "pgtest"
	// startTime bounds how long a server may take to start, recovery included, and
	// to stop.
	startTime = 60 * time.Second
	// portTries bounds how often a port is looked for that nobody takes meanwhile.
	portTries = 5
	// linesMax bounds the lines of the server's log that are kept for errors.
	linesMax = 200
)

// Cluster is a PostgreSQL server with its data. Its methods are safe for concurrent
// use, apart from those that start and end it.
type Cluster struct {
	dir, bin string
	port     int
	settings []string
	// follows says that the cluster only follows another.
	follows bool
	count   atomic.Int64

	// run is the server that runs; nil while none does.
	run *run
}

// run is one life of a server.
type run struct {
	process *os.Process
	// up is what the log says when the server is ready.
	up    string
	ready chan struct{}
	ended chan struct{}

	mu    sync.Mutex
	lines []string
}

// Start makes a cluster and ends it with the test. Settings are those of
// postgresql.conf, such as "max_connections=20". Most tests do with Shared.
func Start(t testing.TB, settings ...string) *Cluster {
	t.Helper()
	c, err := start(settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.end(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// process holds the cluster that the tests of one process share. It is a variable
// of the package because tests of many files meet here and nowhere else.
var process struct {
	sync.Mutex
	main    bool
	cluster *Cluster
	err     error
}

// Main runs the tests of a package that calls Shared, and ends the shared cluster
// behind them:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
func Main(m *testing.M) {
	process.Lock()
	process.main = true
	process.Unlock()
	code := m.Run()
	process.Lock()
	defer process.Unlock()
	if process.cluster != nil {
		if err := process.cluster.end(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// Shared returns the cluster that all tests of the process share; the first call starts
// it. The package's TestMain must call Main. Who ends the cluster, or wants settings,
// uses Start.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	process.Lock()
	defer process.Unlock()
	if !process.main {
		t.Fatal("pgtest.Shared needs: func TestMain(m *testing.M) { pgtest.Main(m) }")
	}
	if process.cluster == nil && process.err == nil {
		process.cluster, process.err = start(nil)
	}
	if process.err != nil {
		t.Fatal(process.err)
	}
	return process.cluster
}

func start(settings []string) (_ *Cluster, err error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	c := &Cluster{bin: bin, settings: settings}
	if c.dir, err = os.MkdirTemp("", "pgtest-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.end())
		}
	}()
	if err := GiveAway(c.dir); err != nil {
		return nil, err
	}
	if err := c.initialize(); err != nil {
		return nil, err
	}
	for n := 1; ; n++ {
		if c.port, err = freePort(); err != nil {
			return nil, err
		}
		if err = c.launch(); err == nil {
			break
		}
		if n == portTries || !strings.Contains(err.Error(), "Address already in use") {
			return nil, err
		}
	}
	return c, c.sql(admin, admin, "CREATE ROLE "+owner+" LOGIN PASSWORD '"+password+"'")
}

// binaries returns the folder of the server's programs, the newest release first.
func binaries() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	slices.SortFunc(found, func(a, b string) int { return release(b) - release(a) })
	if path, err := exec.LookPath("postgres"); err == nil {
		found = append(found, filepath.Dir(path))
	}
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		found = append(found, strings.TrimSpace(string(out)))
	}
	for _, dir := range found {
		if whole(dir) {
			return dir, nil
		}
	}
	return "", errors.New("the programs of PostgreSQL (initdb, postgres, psql) were not found: " +
		"go run ./internal/do setup installs them")
}

func release(dir string) int {
	// A name that is no number counts as 0 and comes last.
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func whole(dir string) bool {
	for _, name := range []string{"initdb", "postgres", "psql"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return false
		}
	}
	return true
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// initialize makes the files of the cluster. Its texts are sorted, and turned into
// lower case, as in Turkey, so that whoever leaves it to the server gets wrong answers.
func (c *Cluster) initialize() error {
	secret := filepath.Join(c.dir, "password")
	if err := os.WriteFile(secret, []byte(password), 0o600); err != nil {
		return err
	}
	if err := GiveAway(secret); err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(c.bin, "initdb"), "--pgdata="+c.data(),
		"--username="+admin, "--pwfile="+secret, "--auth=scram-sha-256", "--encoding=UTF8",
		"--locale=C", "--locale-provider=icu", "--icu-locale=tr", "--no-sync",
		"--no-instructions")
	cmd.Dir, cmd.SysProcAttr = c.dir, Foreign()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

// launch starts the server and waits until it takes connections.
func (c *Cluster) launch() error {
	args := []string{"-D", c.data(), "-p", strconv.Itoa(c.port), "-h", "127.0.0.1",
		"-k", c.dir}
	for _, s := range append([]string{"max_connections=200"}, c.settings...) {
		args = append(args, "-c", s)
	}
	cmd := exec.Command(filepath.Join(c.bin, "postgres"), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, tied()
	log, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	up := "database system is ready to accept connections"
	if c.follows {
		up = "database system is ready to accept read-only connections"
	}
	c.run, err = await(cmd, log, up)
	return err
}

// await starts a server and waits until its log says that it is up.
func await(cmd *exec.Cmd, log io.Reader, up string) (*run, error) {
	r := &run{up: up, ready: make(chan struct{}), ended: make(chan struct{})}
	if err := r.start(cmd, log); err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	select {
	case <-r.ready:
		return r, nil
	case <-r.ended:
		return nil, fmt.Errorf("the server did not start:\n%s", r.log())
	case <-time.After(startTime):
		_ = r.process.Kill() // it is lost in any case
		<-r.ended
		return nil, fmt.Errorf("the server did not start in %v:\n%s", startTime, r.log())
	}
}

// start runs the server until it ends, in a goroutine with a thread of its own: the
// server is tied to the life of the thread that starts it.
func (r *run) start(cmd *exec.Cmd, log io.Reader) error {
	started := make(chan error)
	go func() {
		defer close(r.ended)
		lockThread()
		err := cmd.Start()
		r.process = cmd.Process
		started <- err
		if err != nil {
			return
		}
		r.read(log)
		// How it ended is in the log.
		_ = cmd.Wait()
	}()
	return <-started
}

// read keeps the log and sees when the server is ready.
func (r *run) read(log io.Reader) {
	ready := false
	for s := bufio.NewScanner(log); s.Scan(); {
		line := s.Text()
		r.mu.Lock()
		if len(r.lines) == linesMax {
			r.lines = r.lines[1:]
		}
		r.lines = append(r.lines, line)
		r.mu.Unlock()
		if !ready && strings.Contains(line, r.up) {
			ready = true
			close(r.ready)
		}
	}
	// A line too long for the scanner ends it; the server must not be stopped by that.
	_, _ = io.Copy(io.Discard, log)
}

func (r *run) log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "\n")
}

// Log returns the last lines of the running server's log.
func (c *Cluster) Log() string {
	if c.run == nil {
		return ""
	}
	return c.run.log()
}

// Kill ends the server at once, as a crash does: nothing is written any more, and the
// next Restart recovers from the log.
func (c *Cluster) Kill(t testing.TB) {
	t.Helper()
	c.halt(t, syscall.SIGQUIT)
}

// Stop ends the server in order; open connections are broken off.
func (c *Cluster) Stop(t testing.TB) {
	t.Helper()
	c.halt(t, syscall.SIGINT)
}

// Restart starts the server after Kill or Stop, on the same data and port.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	if c.run != nil {
		t.Fatal("the server runs")
	}
	if err := c.launch(); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) halt(t testing.TB, sig os.Signal) {
	t.Helper()
	if c.run == nil {
		t.Fatal("the server does not run")
	}
	if err := c.signal(sig); err != nil {
		t.Fatal(err)
	}
}

// signal ends the server and waits for its end.
func (c *Cluster) signal(sig os.Signal) error {
	r := c.run
	c.run = nil
	return r.signal(sig)
}

func (r *run) signal(sig os.Signal) error {
	if err := r.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-r.ended:
		return nil
	case <-time.After(startTime):
		_ = r.process.Kill() // it is lost in any case
		return fmt.Errorf("the server did not end in %v:\n%s", startTime, r.log())
	}
}

// end ends the server and removes its files.
func (c *Cluster) end() error {
	var err error
	if c.run != nil {
		err = c.signal(syscall.SIGQUIT)
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// Port is the server's port on 127.0.0.1, the same for the whole life of the cluster.
func (c *Cluster) Port() int { return c.port }

// Bin is the folder of the server's programs.
func (c *Cluster) Bin() string { return c.bin }

// Database makes an empty database, which is dropped with the test, and returns its
// URL. Who connects by it owns the database and is no superuser.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", c.count.Add(1))
	c.Admin(t, "CREATE DATABASE "+name+" OWNER "+owner)
	t.Cleanup(func() {
		if c.run != nil {
			c.Admin(t, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)")
		}
	})
	return c.URL(name)
}

// URL is the address of a database.
func (c *Cluster) URL(database string) string { return c.url(owner, database) }

// AdminURL is the address of a database for its superuser.
func (c *Cluster) AdminURL(database string) string { return c.url(admin, database) }

func (c *Cluster) url(role, database string) string {
	return fmt.Sprintf("postgres://%s:%s@127.0.0.1:%d/%s?sslmode=disable", role, password,
		c.port, database)
}

// Admin runs statements as the superuser, outside every test's database.
func (c *Cluster) Admin(t testing.TB, sql string) {
	t.Helper()
	if err := c.sql(admin, admin, sql); err != nil {
		t.Fatal(err)
	}
}

func (c *Cluster) sql(role, database, sql string) error {
	_, err := psql(c.bin, c.url(role, database), sql)
	return err
}

// Psql runs statements in the database of a URL, as a person with psql would, and
// returns their rows: one a line, columns parted by "|".
func (c *Cluster) Psql(t testing.TB, url, sql string) string {
	t.Helper()
	out, err := psql(c.bin, url, sql)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func psql(bin, url, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, "psql"), "-XqAt", "-v",
		"ON_ERROR_STOP=1", "-d", url, "-c", sql)
	var problems strings.Builder
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", sql, err, problems.String())
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}
