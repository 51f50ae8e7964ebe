// Command after measures what happens after the commit, and what is kept of it: jobs that
// do nothing beside those of River on the same databases, what a job costs the call that
// starts it, how soon it begins, a step; and a view that is cached beside hello, what
// net/http alone can do. It prints the ratios of one run. Speed never makes it fail.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/galleybackend/galley/bench/cluster"
	"github.com/galleybackend/galley/bench/load"
	"github.com/galleybackend/galley/bench/process"
)

// bench is one run.
type bench struct {
	dir    string
	galley string
	jobs   int
	rounds int
	time   time.Duration
	wrong  []error
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b := &bench{}
	flag.StringVar(&b.galley, "galley", "", "the galley binary to measure; built when not given")
	flag.IntVar(&b.jobs, "jobs", 20_000, "how many jobs are worked off")
	flag.IntVar(&b.rounds, "rounds", 3, "how often each has its turn")
	flag.DurationVar(&b.time, "time", 2*time.Second, "how long a turn of the view is counted")
	parent := flag.String("dir", "", "where the data goes; its disk is part of the result")
	flag.Parse()
	err := b.in(*parent, func() error { return errors.Join(b.view(ctx), b.worked(ctx)) })
	if err = errors.Join(append(b.wrong, err)...); err != nil {
		fmt.Fprintln(os.Stderr, "bench/after:", err)
		os.Exit(1)
	}
}

// in runs fn with a folder that is taken away behind it.
func (b *bench) in(parent string, fn func() error) (err error) {
	if b.dir, err = os.MkdirTemp(parent, "galley-after-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := os.Chmod(b.dir, 0o711); err != nil { // PostgreSQL runs as another user
		return err
	}
	return fn()
}

// build builds a package into the folder and returns the binary.
func (b *bench) build(ctx context.Context, module, pkg, name string) (string, error) {
	path := filepath.Join(b.dir, name)
	_, err := process.Run(ctx, "go", "build", "-C", module, "-o", path, pkg)
	return path, err
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// told prints a goal with what was measured.
func told(goal, got string, reached bool) {
	mark := "not reached"
	if reached {
		mark = "reached"
	}
	fmt.Printf("%-52s %-24s %s\n", goal, got, mark)
}

// The view beside hello.

const (
	salesCount = 20_000
	viewConns  = 32
)

// view asks for the cached view and for hello in turns.
func (b *bench) view(ctx context.Context) (err error) {
	hello, err := b.build(ctx, ".", "./bench/hello", "hello")
	if err != nil {
		return err
	}
	if b.galley == "" {
		if b.galley, err = b.build(ctx, ".", "./cmd/galley", "galley"); err != nil {
			return err
		}
	}
	where := []string{"--app", "bench/after/app", "--data", filepath.Join(b.dir, "sales")}
	if err := b.sell(ctx, where); err != nil {
		return err
	}
	serve := append([]string{"serve", "--listen", "127.0.0.1:0", "--limits", "off"}, where...)
	servers := []struct {
		name string
		cmd  *exec.Cmd
		path string
		body string
		rate []float64
		at   *process.Server
	}{
		{name: "hello", cmd: exec.CommandContext(ctx, hello), path: "/api/products/one", body: `"price":1990`},
		{name: "galley", cmd: exec.CommandContext(ctx, b.galley, serve...), path: "/api/top_products",
			body: `"product":"p00000"`},
	}
	for i := range servers {
		s := &servers[i]
		s.at, err = process.Start(ctx, s.cmd, filepath.Join(b.dir, s.name+".log"),
			func(addr string) []byte { return get(addr, s.path) })
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, s.at.Stop()) }()
	}
	for range b.rounds {
		for i := range servers {
			s := &servers[i]
			request := get(s.at.Addr, s.path)
			r, err := load.Run(ctx, load.Plan{Addr: s.at.Addr, Conns: viewConns, Warm: b.time / 8,
				Time: b.time, Script: func(int) load.Script {
					return load.Script{Next: func() []byte { return request }, Status: 200,
						Check: holds(s.body)}
				}})
			if err != nil {
				return err
			}
			if r.Wrong > 0 {
				b.wrong = append(b.wrong, fmt.Errorf("%s: %d wrong answers: %w", s.name, r.Wrong, r.First))
			}
			s.rate = append(s.rate, r.Rate)
		}
	}
	var ratios []float64
	for i := range b.rounds {
		ratios = append(ratios, servers[1].rate[i]/servers[0].rate[i])
	}
	fmt.Printf("a cached view %.0f/s, hello %.0f/s, %d connections\n", median(servers[1].rate),
		median(servers[0].rate), viewConns)
	v := median(ratios)
	told("top_products from cache ≥ 0.7 of hello", fmt.Sprintf("%.2f", v), v >= 0.7)
	return nil
}

func get(addr, path string) []byte {
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, addr)
}

// holds judges a body by some of its words.
func holds(words string) func([]byte) error {
	return func(body []byte) error {
		if bytes.Contains(body, []byte(words)) {
			return nil
		}
		return fmt.Errorf("the answer is %.200s", body)
	}
}

// sell fills the app with sales.
func (b *bench) sell(ctx context.Context, where []string) error {
	var text strings.Builder
	for i := range salesCount {
		fmt.Fprintf(&text, `{"product":"p%05d","quantity":%d}`+"\n", i%500, 1+(500-i%500)/100)
	}
	file := filepath.Join(b.dir, "sales.jsonl")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		return err
	}
	for _, args := range [][]string{{"migrate", "apply"}, {"import", "sales", file}} {
		if _, err := process.Run(ctx, b.galley, append(args, where...)...); err != nil {
			return err
		}
	}
	return nil
}

// Jobs beside River's.

var (
	measured  = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+(.+)$`)
	riverSaid = regexp.MustCompile(`(?m)^worked\s+(\d+)/s$`)
)

// worked measures jobs that do nothing.
func (b *bench) worked(ctx context.Context) error {
	figures, err := b.figures(ctx)
	if err != nil {
		return err
	}
	river, missing := b.river(ctx)
	for _, on := range []struct {
		name string
		need float64
	}{{"sqlite", 3}, {"postgres", 1}} {
		ns := figures["Worked/"+on.name+" ns/op"]
		if ns == 0 {
			return fmt.Errorf("the benchmark of jobs on %s told nothing", on.name)
		}
		rate := 1e9 / ns
		fmt.Printf("on %s: %.0f jobs worked in a second\n", on.name, rate)
		if theirs := river[on.name]; theirs > 0 {
			told(fmt.Sprintf("worked ≥ %.0f × River (%.0f/s)", on.need, theirs),
				fmt.Sprintf("%.2f", rate/theirs), rate >= on.need*theirs)
		}
		alone, with := figures["Commit/job=false/"+on.name+" ns/op"], figures["Commit/job=true/"+on.name+" ns/op"]
		told("a commit with a job ≤ 1.1 × one without", fmt.Sprintf("%.2f", with/alone), with <= 1.1*alone)
		p99 := figures["Latency/"+on.name+" p99-µs"] / 1e3
		told("from commit to start, p99 ≤ 20 ms", fmt.Sprintf("%.1f ms", p99), p99 <= 20)
		step := figures["Step/"+on.name+" ns/op"] / 1e6
		told("a step's checkpoint ≤ 2 ms", fmt.Sprintf("%.2f ms", step), step <= 2)
	}
	if missing != nil {
		fmt.Println("River is not measured:", missing)
	}
	return nil
}

// figures runs the benchmarks of jobs, and returns what they told by name and unit.
func (b *bench) figures(ctx context.Context) (map[string]float64, error) {
	out := map[string]float64{}
	for bench, times := range map[string]int{"Worked": b.jobs, "Commit": b.jobs / 2, "Latency": 300,
		"Step": 1000} {
		text, err := process.Run(ctx, "go", "test", "./internal/follow/job", "-run", "XXX", "-bench",
			"^Benchmark"+bench+"$", "-benchtime", strconv.Itoa(times)+"x")
		if err != nil {
			return nil, err
		}
		for _, m := range measured.FindAllSubmatch(text, -1) {
			fields := strings.Fields(string(m[2]))
			for i := 0; i+1 < len(fields); i += 2 {
				v, err := strconv.ParseFloat(fields[i], 64)
				if err != nil {
					return nil, fmt.Errorf("read what %s told: %w", m[1], err)
				}
				out[string(m[1])+" "+fields[i+1]] = v
			}
		}
	}
	return out, nil
}

// river returns what River works off in a second on each database.
func (b *bench) river(ctx context.Context) (_ map[string]float64, err error) {
	path, err := b.build(ctx, "bench/jobs", ".", "river")
	if err != nil {
		return nil, err
	}
	c, err := cluster.Start(ctx, b.dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Stop()) }()
	url, err := c.Create(ctx, "river")
	if err != nil {
		return nil, err
	}
	out := map[string]float64{}
	for name, database := range map[string]string{"sqlite": filepath.Join(b.dir, "river.db"), "postgres": url} {
		text, err := process.Run(ctx, path, "-database", database, "-n", strconv.Itoa(b.jobs))
		if err != nil {
			return out, err
		}
		if m := riverSaid.FindSubmatch(text); m != nil {
			out[name], err = strconv.ParseFloat(string(m[1]), 64)
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}
