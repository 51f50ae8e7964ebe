package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/galleybackend/galley/bench/load"
	"github.com/galleybackend/galley/bench/process"
)

// widths are the numbers of connections.
var widths = []int{16, 64}

// readers is how many people read while one writer writes.
const readers = 100

// pause lets what one target left to do end before the next has its turn.
const pause = 100 * time.Millisecond

// results is everything that was measured.
type results struct {
	Flush  time.Duration
	Cells  []*cell
	Beside []*beside
	Memory map[string]memory

	database string
}

// cell is one workload, width and target, with one number for each round.
type cell struct {
	Workload string
	Title    string
	Conns    int
	Target   string
	Rate     []float64 // answers a second
	P50      []float64 // ms
	P99      []float64 // ms
	CPU      []float64 // µs of the server's processor time for an answer
	DB       []float64 // and of the database server's
	Wrong    int64
	First    string // the first wrong answer
}

// beside is the rate of the readers without and with a writer.
type beside struct {
	Target string
	Alone  []float64
	With   []float64
	Writer []float64
	P99    []float64 // of the readers beside the writer, ms
	Wrong  int64
	First  string
}

// memory holds MB, and the time to the first 200 in ms.
type memory struct{ Start, Idle, Most float64 }

func (b *bench) measure(ctx context.Context, r *results) error {
	for _, w := range workloads() {
		if !chosen(b.config.only, w.name) {
			continue
		}
		for _, width := range widths {
			fmt.Fprintf(b.say, "measuring %s, C=%d\n", w.title, width)
			if err := b.measureCell(ctx, r, w, width); err != nil {
				return err
			}
		}
	}
	if !chosen(b.config.only, "beside") {
		return nil
	}
	fmt.Fprintf(b.say, "measuring %d readers beside a writer\n", readers)
	cells := map[string]*beside{}
	for range b.config.rounds {
		for _, t := range b.targets {
			if !t.takes("beside") {
				continue
			}
			c := cells[t.name]
			if c == nil {
				c = &beside{Target: t.name}
				cells[t.name] = c
				r.Beside = append(r.Beside, c)
			}
			if err := b.measureBeside(ctx, t, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// measureCell gives each target its turn, round after round.
func (b *bench) measureCell(ctx context.Context, r *results, w workload, width int) error {
	cells := map[string]*cell{}
	for range b.config.rounds {
		for _, t := range b.targets {
			if !t.takes(w.name) {
				continue
			}
			c := cells[t.name]
			if c == nil {
				c = &cell{Workload: w.name, Title: w.title, Conns: width, Target: t.name}
				cells[t.name] = c
				r.Cells = append(r.Cells, c)
			}
			used, db := t.server.CPU(), b.databaseCPU()
			got, err := b.load(ctx, t, width, func(n int) load.Script { return w.script(b, t, n) })
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			w.count(t, got.Right)
			c.add(t, got, t.server.CPU()-used, b.databaseCPU()-db)
		}
	}
	return nil
}

// databaseCPU is the processor time of the database server, if there is one.
func (b *bench) databaseCPU() time.Duration {
	if b.cluster == nil {
		return 0
	}
	return process.FamilyCPU(b.cluster.PID())
}

func (c *cell) add(t *target, got load.Result, used, db time.Duration) {
	each := func(d time.Duration) float64 {
		return float64(d.Microseconds()) / float64(max(got.Right, 1))
	}
	c.Rate = append(c.Rate, got.Rate)
	c.P50 = append(c.P50, ms(got.Took.Quantile(0.50)))
	c.P99 = append(c.P99, ms(got.Took.Quantile(0.99)))
	c.CPU, c.DB = append(c.CPU, each(used)), append(c.DB, each(db))
	c.Wrong += got.Wrong
	t.acked.wrong += got.Wrong
	if c.First == "" && got.First != nil {
		c.First = got.First.Error()
	}
}

func (b *bench) load(ctx context.Context, t *target, conns int,
	script func(int) load.Script,
) (load.Result, error) {
	select {
	case <-ctx.Done():
		return load.Result{}, ctx.Err()
	case <-time.After(pause):
	}
	return load.Run(ctx, load.Plan{
		Addr: t.server.Addr, Conns: conns, Warm: b.config.warm, Time: b.config.time, Script: script,
	})
}

// measureBeside lets people read alone, and then beside one that writes without rest.
func (b *bench) measureBeside(ctx context.Context, t *target, c *beside) error {
	read := func(n int) load.Script { return getScript(true)(b, t, n) }
	alone, err := b.load(ctx, t, readers, read)
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	var wrote load.Result
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		wrote, failed = b.load(ctx, t, 1, func(n int) load.Script { return createScript(b, t, n) })
	}()
	with, err := b.load(ctx, t, readers, read)
	<-done
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("%s: %w", t.name, err)
	}
	t.acked.notes += wrote.Right
	c.Alone = append(c.Alone, alone.Rate)
	c.With = append(c.With, with.Rate)
	c.Writer = append(c.Writer, wrote.Rate)
	c.P99 = append(c.P99, ms(with.Took.Quantile(0.99)))
	for _, got := range []load.Result{alone, with, wrote} {
		c.Wrong += got.Wrong
		t.acked.wrong += got.Wrong
		if c.First == "" && got.First != nil {
			c.First = got.First.Error()
		}
	}
	return nil
}

// chosen says whether a list of names lets one through; an empty one lets all.
func chosen(list []string, name string) bool {
	return len(list) == 0 || slices.Contains(list, name)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
