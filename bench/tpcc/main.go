// Command tpcc measures TPC-C written as a Galley app, driven over HTTP, beside a direct
// driver: the same five transactions written by hand in this process, on the same
// database and with the same data. It prints New-Orders a minute (tpmC) and the ratios of
// one run, and then asks both databases for the twelve consistency conditions, and
// Galley's for a thirteenth: the fold of the journal equals the tables.
//
// It is a run like TPC-C, not an audited one: terminals neither type nor think, there is
// one warehouse, Deliveries are not deferred, and a run is short. README.md says more.
//
// It ends with an error when a condition does not hold or an acknowledged transaction is
// missing, never because something is slow.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/galleybackend/galley/bench/process"
)

// bench is one run of the benchmark.
type bench struct {
	dir    string
	config config
	files  *files
	paths  map[string]string // of the commands
}

// config is what the flags say.
type config struct {
	galley    string
	on        []string
	languages []string
	scale     scale
	plan      plan
	rounds    int
	kills     int
}

// loadSeed draws the same data for all.
const loadSeed = 20260101

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := start(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "tpcc:", err)
		os.Exit(1)
	}
}

func start(ctx context.Context) error {
	c := config{scale: scaleFull}
	flag.StringVar(&c.galley, "galley", "", "the galley binary to measure; built when not given")
	on := flag.String("on", "sqlite,postgres", "databases, with commas")
	languages := flag.String("languages", "ts,go", "languages of the actions, with commas")
	small := flag.Bool("small", false, "a small warehouse, for a look at whether it works")
	flag.IntVar(&c.plan.terminals, "terminals", 10, "how many call at a time")
	flag.DurationVar(&c.plan.time, "time", 10*time.Second, "how long a turn is counted")
	flag.IntVar(&c.rounds, "rounds", 3, "how often each has its turn")
	flag.IntVar(&c.kills, "kills", 0, "kill Galley so often in place of measuring it")
	flag.Int64Var(&c.plan.calls, "calls", 100_000, "with -kills, how many calls a run has")
	flag.Uint64Var(&c.plan.seed, "seed", 1, "of the calls")
	dir := flag.String("dir", "", "where the data goes; its disk is part of the result")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("no arguments are taken, but got %q", flag.Args())
	}
	if *small {
		c.scale = scaleSmall
	}
	c.on, c.languages = strings.Split(*on, ","), strings.Split(*languages, ",")
	c.plan.scale, c.plan.warm = c.scale, c.plan.time/5
	work, err := os.MkdirTemp(*dir, "galley-tpcc-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	b := &bench{dir: work, config: c, paths: map[string]string{}}
	if err := os.Chmod(work, 0o711); err != nil { // PostgreSQL runs as another user
		return err
	}
	return b.run(ctx)
}

func (b *bench) run(ctx context.Context) error {
	if err := b.build(ctx); err != nil {
		return err
	}
	b.files = &files{dir: b.dir}
	err := b.files.users(b.config.plan.terminals)
	if err == nil {
		err = generate(b.config.scale, loadSeed, b.files)
	}
	if err = errors.Join(err, b.files.close()); err != nil {
		return err
	}
	fmt.Printf("1 warehouse, %d items, %d customers, %d terminals\n", b.config.scale.Items,
		districts*b.config.scale.Customers, b.config.plan.terminals)
	known := map[string]func() (database, error){
		"sqlite": func() (database, error) {
			return &sqliteHome{dir: filepath.Join(b.dir, "sqlite")}, nil
		},
		"postgres": func() (database, error) { return openPostgres(ctx, b.dir) },
	}
	var all []error
	for _, name := range b.config.on {
		open := known[name]
		if open == nil {
			return fmt.Errorf("unknown database %q", name)
		}
		db, err := open()
		if err != nil {
			fmt.Printf("\n%s is not available: %v\n", name, err)
			continue
		}
		err = b.measure(ctx, name, db)
		all = append(all, err, db.end())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return errors.Join(all...)
}

// build makes the commands that are measured.
func (b *bench) build(ctx context.Context) error {
	for _, language := range b.config.languages {
		pkg := map[string]string{"ts": "./cmd/galley", "go": "./bench/tpcc/goapp"}[language]
		if pkg == "" {
			return fmt.Errorf("unknown language %q", language)
		}
		path := filepath.Join(b.dir, "galley-"+language)
		if language == "ts" && b.config.galley != "" {
			abs, err := filepath.Abs(b.config.galley)
			if err != nil {
				return err
			}
			b.paths[language] = abs
			continue
		}
		// As make build does, so that nothing is compiled twice.
		_, err := process.Run(ctx, "env", "CGO_ENABLED=0", "go", "build",
			"-o", path, pkg)
		if err != nil {
			return err
		}
		b.paths[language] = path
	}
	return nil
}

// app is the Galley of a language, with the flags that name its database.
func (b *bench) app(language string, where []string) app {
	a := app{path: b.paths[language], where: where,
		log: filepath.Join(b.dir, "server-"+language+".log")}
	if language == "ts" {
		a.where = append([]string{"--app", "bench/tpcc/app"}, where...)
	}
	return a
}

// target is one system of a measurement.
type target struct {
	name   string
	system system
	rates  []float64
	tally  tally
	check  func(context.Context) (reader, error)
	layout layout
	// journal opens the store of a Galley that has ended.
	journal func(context.Context) (journaled, error)
}

// measure loads a database for each system, drives them in turns, and checks them.
func (b *bench) measure(ctx context.Context, name string, db database) (err error) {
	fmt.Printf("\n%s: loading\n", name)
	begin := time.Now()
	var targets []*target
	defer func() {
		for _, t := range targets {
			if t.system != nil {
				err = errors.Join(err, t.system.close())
			}
		}
	}()
	if b.config.kills == 0 {
		s, err := db.direct(ctx, b.config.scale)
		if err != nil {
			return err
		}
		targets = append(targets, &target{name: "direct", system: s, layout: layoutDirect,
			check: db.readDirect})
	}
	for i, language := range b.config.languages {
		where, err := db.galley(ctx, language)
		if err != nil {
			return err
		}
		a := b.app(language, where)
		if i == 0 {
			if err = db.fresh(ctx, language); err == nil {
				err = a.fill(ctx, b.files)
			}
			if err == nil {
				err = db.copies(ctx, language, b.config.languages[1:])
			}
		} else {
			err = a.run(ctx, "migrate", "apply")
		}
		if err != nil {
			return err
		}
		g, err := serve(ctx, a)
		if err != nil {
			return err
		}
		targets = append(targets, &target{name: "galley-" + language, system: g,
			layout:  layoutGalley,
			check:   func(ctx context.Context) (reader, error) { return db.read(ctx, language) },
			journal: func(ctx context.Context) (journaled, error) { return db.journal(ctx, language) },
		})
		if err := g.signIn(ctx, b.config.plan.terminals); err != nil {
			return err
		}
	}
	fmt.Printf("loaded in %v\n", time.Since(begin).Round(time.Second))
	if b.config.kills > 0 {
		err = b.killAll(ctx, targets)
	} else {
		err = b.rounds(ctx, targets)
	}
	if err != nil {
		return err
	}
	return b.verify(ctx, targets)
}

// rounds drives the systems in turns, so that what else the machine does falls on all.
func (b *bench) rounds(ctx context.Context, targets []*target) error {
	p := b.config.plan
	p.calls = 0
	for n := range b.config.rounds {
		for _, t := range targets {
			fmt.Printf("round %d of %d: %s\n", n+1, b.config.rounds, t.name)
			p.seed++
			got, err := drive(ctx, t.system, p)
			t.tally.add(&got)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			t.rates = append(t.rates, got.tpmC(p.time))
		}
	}
	return report(os.Stdout, targets)
}

// killAll drives each system while it is killed again and again.
func (b *bench) killAll(ctx context.Context, targets []*target) error {
	for _, t := range targets {
		g, ok := t.system.(*galley)
		if !ok {
			continue
		}
		p := b.config.plan
		p.time, p.warm = 0, 0
		fmt.Printf("%s: %d calls, %d kills\n", t.name, p.calls, b.config.kills)
		got, killed, err := killing(ctx, g, p, b.config.kills)
		t.tally.add(&got)
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		fmt.Printf("%s: %d calls answered, killed %d times\n", t.name, got.calls(), killed)
	}
	return nil
}

// verify ends the systems and asks for the conditions, and for what was acknowledged.
func (b *bench) verify(ctx context.Context, targets []*target) error {
	var all []error
	for _, t := range targets {
		if err := t.system.close(); err != nil {
			return err
		}
		t.system = nil
		err := t.verify(ctx, b.config.scale)
		if err != nil {
			all = append(all, fmt.Errorf("%s: %w", t.name, err))
		}
	}
	return errors.Join(all...)
}

// verify asks for the conditions and compares what was done with what was acknowledged.
func (t *target) verify(ctx context.Context, s scale) error {
	r, err := t.check(ctx)
	if err != nil {
		return err
	}
	broken, err := check(ctx, r, s, t.layout)
	if err != nil {
		return errors.Join(err, r.close())
	}
	var all []error
	for _, f := range broken {
		all = append(all, f)
	}
	got, err := since(ctx, r, s, t.layout)
	if err = errors.Join(err, r.close()); err != nil {
		return err
	}
	if want := t.tally.done(); got != want {
		all = append(all, fmt.Errorf("it holds %+v, acknowledged were %+v", got, want))
	}
	said := fmt.Sprintf("%s: %d transactions acknowledged", t.name, t.tally.calls())
	if t.journal != nil {
		j, err := t.journal(ctx)
		if err != nil {
			return err
		}
		entries, err := fold(ctx, j)
		if err = errors.Join(err, j.Close()); err != nil {
			all = append(all, fmt.Errorf("condition 13, the journal and the tables: %w", err))
		}
		said += fmt.Sprintf(", %d entries folded", entries)
	}
	known := len(conditions(s))
	fmt.Printf("%s, %d of %d conditions hold\n", said, known-len(broken), known)
	return errors.Join(all...)
}

// Error says which condition is broken, and by what.
func (f finding) Error() string {
	return fmt.Sprintf("condition %d, %s: broken by %d, %s among them", f.number, f.says, f.wrong,
		f.first)
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
