// Command bench measures Galley beside its yardsticks and prints the ratios of one
// run: hello, what net/http alone can do; direct, the same shop written by hand on the
// same database; and with -peers PocketBase. It does so on SQLite and then on PostgreSQL,
// whose server it starts itself. All servers are child processes on the cores of the load
// generator. README.md says what is compared and how honestly.
//
// It promises that every answer was looked at and that after the runs each target
// holds exactly what it has acknowledged, and ends with an error when that is not so.
// Speed never makes it fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/galleybackend/galley/bench/cluster"
)

// bench is one run of the benchmark.
type bench struct {
	dir     string
	fixture *fixture
	config  config
	say     io.Writer
	scripts atomic.Int64 // how many have been made

	// What is measured now: a database and its targets.
	database string
	cluster  *cluster.Cluster // of PostgreSQL
	targets  []*target
}

// config is what the flags say.
type config struct {
	peers  bool
	json   bool
	galley string // the binary to measure; built when empty
	rounds int
	time   time.Duration
	warm   time.Duration
	only   []string // workloads; none for all
	names  []string // targets beside those that must run; none for all
	on     []string // databases
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	var c config
	quick := flag.Bool("quick", false, "one short round of each, about 40 s: rough numbers")
	flag.BoolVar(&c.peers, "peers", false, "measure PocketBase as well")
	flag.BoolVar(&c.json, "json", false, "print the results as JSON, the progress to stderr")
	flag.StringVar(&c.galley, "galley", "", "the galley binary to measure; built when not given")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each target has its turn")
	flag.DurationVar(&c.time, "time", 2*time.Second, "how long a turn is counted")
	only := flag.String("only", "", "workloads to run, with commas: get list create …")
	names := flag.String("targets", "", "targets to run beside the yardsticks, with commas")
	on := flag.String("on", "sqlite,postgres", "databases, with commas")
	dir := flag.String("dir", "", "where the data goes; its disk is part of the result")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("no arguments are taken, but got %q", flag.Args())
	}
	if *quick {
		c.rounds, c.time = 1, 500*time.Millisecond
	}
	c.warm = c.time / 8
	c.only, c.names, c.on = split(*only), split(*names), split(*on)
	work, err := os.MkdirTemp(*dir, "galley-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o711); err != nil { // PostgreSQL runs as another user
		return err
	}
	b := &bench{dir: work, config: c, say: os.Stdout}
	if c.json {
		b.say = os.Stderr
	}
	return b.run(ctx)
}

func split(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func (b *bench) run(ctx context.Context) error {
	var err error
	if b.fixture, err = makeFixture(b.dir); err != nil {
		return err
	}
	flush, err := flushTime(b.dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.say, "%d products, %d people, %d cores, %s, one flush to this disk %v\n",
		productCount, userCount, runtime.NumCPU(), runtime.Version(), flush)
	var wrong []error
	all := map[string]any{}
	for _, name := range b.config.on {
		r := &results{Flush: flush, Memory: map[string]memory{}, database: name}
		if err := b.section(ctx, name, r); err != nil {
			if ctx.Err() != nil || r.Cells == nil {
				return err
			}
			wrong = append(wrong, err)
		}
		all[name] = r.document(b)
	}
	if b.config.json {
		wrong = append(wrong, writeJSON(os.Stdout, all))
	}
	return errors.Join(wrong...)
}

// section measures what runs on one database.
func (b *bench) section(ctx context.Context, name string, r *results) (err error) {
	b.database = name
	switch name {
	case "sqlite":
		b.targets = sqliteTargets()
	case "postgres":
		b.targets = postgresTargets()
		if b.cluster, err = cluster.Start(ctx, b.dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.cluster.Stop()) }()
	default:
		return fmt.Errorf("unknown database %q", name)
	}
	defer b.stopAll()
	fmt.Fprintf(b.say, "\non %s\n", name)
	for _, t := range b.targets {
		if err := b.ready(ctx, t, r); err != nil {
			if t.must || ctx.Err() != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			t.missing = err
		}
	}
	if err := b.measure(ctx, r); err != nil {
		return err
	}
	wrong := b.finish(ctx, r)
	if !b.config.json {
		err = r.write(os.Stdout, b)
	}
	return errors.Join(err, wrong)
}

// restTime is how long a server rests before its memory is read.
const restTime = 2 * time.Second

// ready builds and loads a target, takes its start times, and leaves it running.
func (b *bench) ready(ctx context.Context, t *target, r *results) error {
	if t.peer && !b.config.peers {
		return errors.New("left out: it runs with -peers")
	}
	if !t.must && !chosen(b.config.names, t.name) {
		return errors.New("left out by -targets")
	}
	fmt.Fprintf(b.say, "preparing %s\n", t.name)
	t.dir = filepath.Join(b.dir, b.database+"-"+
		strings.NewReplacer(",", "", " ", "-").Replace(t.name))
	if err := os.Mkdir(t.dir, 0o700); err != nil {
		return err
	}
	var err error
	if t.command, err = t.prepare(ctx, b, t.dir); err != nil {
		return err
	}
	const starts = 5
	var took []float64
	for i := range starts {
		if t.server, err = t.newServer(ctx, b); err != nil {
			return err
		}
		took = append(took, float64(t.server.Took.Microseconds())/1e3)
		if i < starts-1 {
			if err := t.server.Stop(); err != nil {
				return err
			}
		}
	}
	select { // what only the start needed may be gone by then
	case <-time.After(restTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	idle, _ := t.server.Memory()
	r.Memory[t.name] = memory{Start: median(took), Idle: idle}
	if t.tokens != nil {
		t.token, err = t.tokens(ctx, b, t)
	}
	return err
}

// finish reads the memory, verifies what was acknowledged and stops the servers.
func (b *bench) finish(ctx context.Context, r *results) error {
	var all []error
	for _, t := range b.targets {
		if t.missing != nil {
			continue
		}
		m := r.Memory[t.name]
		_, m.Most = t.server.Memory()
		r.Memory[t.name] = m
		if t.acked.wrong > 0 {
			all = append(all, fmt.Errorf("%s gave %d wrong answers", t.name, t.acked.wrong))
		}
		if err := t.verify(ctx, b); err != nil {
			all = append(all, fmt.Errorf("%s: %w", t.name, err))
		}
	}
	return errors.Join(all...)
}

func (b *bench) stopAll() {
	for _, t := range b.targets {
		if t.server != nil {
			if err := t.server.Stop(); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		}
	}
}

// flushTime is the median time of a small append and its fsync, which a durable write
// cannot beat alone.
func flushTime(dir string) (time.Duration, error) {
	f, err := os.CreateTemp(dir, "flush-")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var took []float64
	for range 101 {
		begin := time.Now()
		if _, err := f.Write(make([]byte, 4096)); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begin)))
	}
	return time.Duration(median(took)).Round(time.Microsecond), nil
}
