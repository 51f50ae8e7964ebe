package job_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

// benchEach runs a benchmark on both databases, with every promise to the disk kept.
func benchEach(b *testing.B, bench func(b *testing.B, db database, shared bool)) {
	b.Run("sqlite", func(b *testing.B) {
		db, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "galley.db")})
		if err != nil {
			b.Fatal(err)
		}
		bench(b, db, false)
	})
	b.Run("postgres", func(b *testing.B) {
		db, err := postgres.Open(b.Context(), postgres.Config{URL: pgtest.Shared(b).Database(b)})
		if err != nil {
			b.Fatal(err)
		}
		bench(b, db, true)
	})
}

// BenchmarkWorked works off jobs that do nothing, b.N of them.
func BenchmarkWorked(b *testing.B) {
	benchEach(b, func(b *testing.B, db database, shared bool) {
		var left atomic.Int64
		done := make(chan struct{})
		kinds := map[string]*kind{"noop": {run: func(context.Context, value.Record,
			action.Steps) (value.Value, error) {
			if left.Add(-1) == 0 {
				close(done)
			}
			return value.OfNull(), nil
		}}}
		left.Store(int64(b.N))
		n := &node{t: b, db: db, ahead: &atomic.Int64{}}
		apply(b, db)
		var last string
		for at := 0; at < b.N; at += 100 {
			ids := n.add("noop", slices.Repeat([]string{"null"}, min(100, b.N-at))...)
			last = string(ids[len(ids)-1])
		}
		b.ResetTimer()
		m := start(b, db, shared, kinds, func(c *job.Config) { c.Computing = 0 })
		<-done
		_ = last
		if err := m.runner.Settled(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		m.close()
	})
}

// BenchmarkStep writes a step's result.
func BenchmarkStep(b *testing.B) {
	benchEach(b, func(b *testing.B, db database, shared bool) {
		done := make(chan error, 1)
		kinds := map[string]*kind{"steps": {run: func(ctx context.Context, _ value.Record,
			s action.Steps) (value.Value, error) {
			for i := range min(b.N, job.StepsMax) {
				_, err := s.Step(ctx, fmt.Sprint("step ", i), func(context.Context, action.Step) (
					value.Value, error) {
					return value.OfInt(1), nil
				})
				if err != nil {
					done <- err
					return value.Value{}, err
				}
			}
			done <- nil
			return value.OfNull(), nil
		}}}
		m := start(b, db, shared, kinds, nil)
		b.ResetTimer()
		for at := 0; at < b.N; at += job.StepsMax {
			m.add("steps", "null")
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		m.close()
	})
}

// BenchmarkLatency is the time from the commit to the start of the job.
func BenchmarkLatency(b *testing.B) {
	benchEach(b, func(b *testing.B, db database, shared bool) {
		began := make(chan time.Time, 1)
		kinds := map[string]*kind{"noop": {run: func(context.Context, value.Record,
			action.Steps) (value.Value, error) {
			began <- time.Now()
			return value.OfNull(), nil
		}}}
		m := start(b, db, shared, kinds, nil)
		var all []time.Duration
		b.ResetTimer()
		for range b.N {
			m.add("noop", "null")
			at := time.Now()
			all = append(all, (<-began).Sub(at))
		}
		b.StopTimer()
		slices.Sort(all)
		b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-µs")
		m.close()
	})
}

// BenchmarkReads reads records, alone and while as many jobs compute as there is room
// for: what is told is how long a read takes.
func BenchmarkReads(b *testing.B) {
	db, err := sqlite.Open(b.Context(), sqlite.Config{Path: filepath.Join(b.TempDir(), "galley.db")})
	if err != nil {
		b.Fatal(err)
	}
	var stop atomic.Bool
	var sum atomic.Int64
	kinds := map[string]*kind{"compute": {run: func(_ context.Context, _ value.Record,
		_ action.Steps) (value.Value, error) {
		for n := int64(0); !stop.Load(); n++ {
			if n%1_000_000 == 0 {
				sum.Add(n)
			}
		}
		return value.OfNull(), nil
	}}}
	m := start(b, db, false, kinds, nil)
	ana := m.open("ana", 1)
	measure := func(name string) {
		b.Run(name, func(b *testing.B) {
			all := make([]time.Duration, b.N)
			pace := time.NewTicker(500 * time.Microsecond)
			defer pace.Stop()
			b.ResetTimer()
			for i := range b.N {
				began := time.Now()
				m.wallet(ana)
				all[i] = time.Since(began)
				// As requests come: not one right behind the other.
				<-pace.C
			}
			b.StopTimer()
			slices.Sort(all)
			b.ReportMetric(float64(all[b.N/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(all[b.N*99/100].Microseconds()), "p99-µs")
		})
	}
	measure("alone")
	m.add("compute", slices.Repeat([]string{"null"}, 64)...)
	measure("busy")
	stop.Store(true)
	m.close()
}

// BenchmarkCommit commits a record, alone and with a job that is worked meanwhile.
func BenchmarkCommit(b *testing.B) {
	for _, with := range []bool{false, true} {
		b.Run(fmt.Sprintf("job=%v", with), func(b *testing.B) {
			benchEach(b, func(b *testing.B, db database, shared bool) {
				kinds := map[string]*kind{"noop": {run: func(context.Context, value.Record,
					action.Steps) (value.Value, error) {
					return value.OfNull(), nil
				}}}
				m := start(b, db, shared, kinds, nil)
				var n atomic.Int64
				b.SetParallelism(16)
				b.ResetTimer()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						err := m.commit(fmt.Sprint("wallet ", n.Add(1)), with)
						if err != nil {
							b.Error(err)
						}
					}
				})
				b.StopTimer()
				m.close()
			})
		})
	}
}

// commit makes a wallet, and starts a job with it.
func (n *node) commit(name string, with bool) error {
	ctx := n.t.Context()
	_, err := n.engine.Transact(ctx, engine.Work{Operation: "test",
		Subject: ident.Subject{Who: ident.System, Name: "bench"},
		Run: func(ctx context.Context, h action.Host) (value.Value, error) {
			row := value.NewRecord(h.Shape("wallets"))
			row.Set("name", value.OfText(name))
			_, err := h.Put(ctx, "wallets", row)
			return value.OfNull(), err
		},
		Keep: func(ctx context.Context, tx store.Tx, _ value.Value) error {
			if !with {
				return nil
			}
			return tx.Intend(ctx, journal.JobIntent("noop", ident.NewRecord(), value.OfNull()))
		}})
	return err
}
