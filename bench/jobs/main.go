// Command jobs works off jobs that do nothing with River, on PostgreSQL or SQLite: the
// yardstick for the jobs of Galley. It is a module of its own, so that nobody who builds
// Galley needs River.
//
//	go run . -database postgres://localhost/bench
//	go run . -database bench.db
//
// Galley's own figures, on the same machine:
//
//	go test ./internal/follow/job -run XXX -bench . -benchtime 20000x
package main

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"
)

// noop is a job that does nothing.
type noop struct {
	N int `json:"n"`
}

// Kind names the job.
func (noop) Kind() string { return "noop" }

// worker works noop jobs and counts them.
type worker struct {
	river.WorkerDefaults[noop]
	left  *atomic.Int64
	done  chan struct{}
	began chan time.Time
}

// Work counts.
func (w *worker) Work(context.Context, *river.Job[noop]) error {
	if w.began != nil {
		w.began <- time.Now()
		return nil
	}
	if w.left.Add(-1) == 0 {
		close(w.done)
	}
	return nil
}

func main() {
	url := flag.String("database", "", "URL of a PostgreSQL database, or path of an SQLite file")
	n := flag.Int("n", 20000, "number of jobs")
	workers := flag.Int("workers", 2000, "greatest number of jobs at once")
	flag.Parse()
	ctx := context.Background()
	var err error
	if strings.HasPrefix(*url, "postgres") {
		var pool *pgxpool.Pool
		if pool, err = pgxpool.New(ctx, *url); err == nil {
			err = bench[pgx.Tx](ctx, riverpgxv5.New(pool), *n, *workers)
		}
	} else {
		var db *sql.DB
		if db, err = sql.Open("sqlite", "file:"+*url+"?_pragma=journal_mode(WAL)&_txlock=immediate"); err == nil {
			db.SetMaxOpenConns(1)
			err = bench[*sql.Tx](ctx, riversqlite.New(db), *n, *workers)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// bench inserts jobs one by one and in bulk, works them, and measures how soon one
// begins.
func bench[T any](ctx context.Context, driver riverdriver.Driver[T], n, workers int) error {
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	w := &worker{left: &atomic.Int64{}, done: make(chan struct{})}
	w.left.Store(int64(n))
	all := river.NewWorkers()
	river.AddWorker[noop](all, w)
	client, err := river.NewClient(driver, &river.Config{
		Logger: slog.New(slog.DiscardHandler), Workers: all,
		FetchCooldown: time.Millisecond, FetchPollInterval: 10 * time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: workers}},
	})
	if err != nil {
		return err
	}
	// One that only inserts: before it is started, the other cannot insert in bulk.
	insert, err := river.NewClient(driver, &river.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	began := time.Now()
	const single = 500
	for i := range single {
		if _, err := insert.Insert(ctx, noop{i}, nil); err != nil {
			return err
		}
	}
	fmt.Printf("inserted one by one  %.0f/s\n", single/time.Since(began).Seconds())
	began = time.Now()
	for at := single; at < n; at += 1000 {
		many := make([]river.InsertManyParams, min(1000, n-at))
		for i := range many {
			many[i].Args = noop{at + i}
		}
		if _, err := insert.InsertManyFast(ctx, many); err != nil {
			return err
		}
	}
	fmt.Printf("inserted in bulk     %.0f/s\n", float64(n-single)/time.Since(began).Seconds())
	began = time.Now()
	if err := client.Start(ctx); err != nil {
		return err
	}
	<-w.done
	fmt.Printf("worked               %.0f/s\n", float64(n)/time.Since(began).Seconds())
	w.began = make(chan time.Time, 1)
	var waits []time.Duration
	for i := range 300 {
		if _, err := client.Insert(ctx, noop{i}, nil); err != nil {
			return err
		}
		at := time.Now()
		waits = append(waits, (<-w.began).Sub(at))
	}
	slices.Sort(waits)
	fmt.Printf("commit to start      p50 %v, p99 %v\n", waits[150], waits[297])
	return client.Stop(ctx)
}
