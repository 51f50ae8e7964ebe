package sqlite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// benchRows is how many products the benchmarks look among.
const benchRows = 100_000

var (
	typeText  = value.Type{Kind: value.TypeString}
	typeMoney = value.Type{Kind: value.TypeMoney}
)

func benchSchema() *spec.Schema {
	whole := value.Type{Kind: value.TypeInt}
	t := storetest.Table("products",
		value.Field{Name: "sku", Type: typeText}, value.Field{Name: "title", Type: typeText},
		value.Field{Name: "price", Type: typeMoney}, value.Field{Name: "stock", Type: whole},
		value.Field{Name: "open", Type: value.Type{Kind: value.TypeBool}},
		value.Field{Name: "text", Type: value.Type{Kind: value.TypeText, Optional: true}})
	t.Index = [][]spec.Key{{{Field: "price"}}}
	return &spec.Schema{Collections: []*spec.Table{t}}
}

// benchStore is a store with products, flushed as a real one.
func benchStore(b *testing.B, rows int) (*Store, []ident.Record) {
	b.Helper()
	ctx := context.Background()
	s, err := Open(ctx, Config{Path: filepath.Join(b.TempDir(), "galley.db")})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	if _, err := s.Apply(ctx, journal.Origin{}, storetest.Steps(benchSchema()), nil); err != nil {
		b.Fatal(err)
	}
	var ids []ident.Record
	for len(ids) < rows {
		_, err := s.Write(ctx, journal.Origin{Operation: "import"}, func(tx store.Tx) error {
			for range min(5000, rows-len(ids)) {
				r, err := tx.Put(ctx, "products", benchProduct(s, len(ids)))
				if err != nil {
					return err
				}
				ids = append(ids, ident.Record(r.Slots[spec.SlotID].Text()))
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return s, ids
}

func benchProduct(s *Store, n int) value.Record {
	r := value.NewRecord(s.Schema().Table("products").Shape)
	r.Set("sku", value.OfText(fmt.Sprint("sku-", n)))
	r.Set("title", value.OfText("A product of the benchmark with a title"))
	r.Set("price", value.OfInt(int64(n*7919%100_000)))
	r.Set("stock", value.OfInt(1_000_000))
	r.Set("open", value.OfBool(true))
	return r
}

// cpu reports the processor's time for one operation beside the clock's, which says
// little on a busy machine.
func cpu(b *testing.B) func() {
	used := func() int64 {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return u.Utime.Nano() + u.Stime.Nano()
	}
	b.ReportAllocs()
	b.ResetTimer()
	begin := used()
	return func() { b.ReportMetric(float64(used()-begin)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkGet reads one record by its id: at most 7 µs and 8 allocations.
func BenchmarkGet(b *testing.B) {
	s, ids := benchStore(b, benchRows)
	ctx := context.Background()
	defer cpu(b)()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			id := ids[rand.IntN(len(ids))]
			err := s.Read(ctx, func(v store.View) error {
				_, err := v.Get(ctx, "products", id)
				return err
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkFind reads a page of 30 by a filter and an order: at most 45 µs.
func BenchmarkFind(b *testing.B) {
	s, _ := benchStore(b, benchRows)
	ctx := context.Background()
	price := query.Field{Of: query.Row{}, Collection: "products", Name: "price", Type: typeMoney}
	plan := &query.Plan{From: "products", Limit: 30, Where: query.And{Of: []query.Expr{
		query.Same{L: query.Field{Of: query.Row{}, Name: "open",
			Type: value.Type{Kind: value.TypeBool}}, R: query.Literal{Value: value.OfBool(true)}},
		query.Compare{Op: ">", L: price, R: query.Param{Type: typeMoney}}}},
		Sort: []query.Order{{By: price}, {By: query.Row{}}}}
	defer cpu(b)()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			args := []value.Value{value.OfInt(rand.Int64N(99_000))}
			err := s.Read(ctx, func(v store.View) error {
				found, err := v.Find(ctx, query.Query{Plan: plan, Args: args})
				if err == nil && len(found) != 30 {
					err = fmt.Errorf("%d rows", len(found))
				}
				return err
			})
			if err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkCreate writes one keyed record a call, flushed, 1 and 64 at a time.
func BenchmarkCreate(b *testing.B) {
	for _, at := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(at), func(b *testing.B) {
			s, _ := benchStore(b, benchRows)
			ctx := context.Background()
			var n atomic.Int64
			b.SetParallelism(at / 2)
			defer cpu(b)()
			write := func() {
				_, err := s.Write(ctx, journal.Origin{Call: ident.NewCall(), Operation: "create",
					Key: string(ident.NewRecord())}, func(tx store.Tx) error {
					r, err := tx.Put(ctx, "products", benchProduct(s, int(n.Add(1))))
					tx.Reply(value.OfRecord(r))
					return err
				})
				if err != nil {
					b.Error(err)
				}
			}
			if at == 1 {
				for b.Loop() {
					write()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					write()
				}
			})
		})
	}
}

// BenchmarkUpdate takes one from the stock of a product, 64 at a time, of one
// product and of many.
func BenchmarkUpdate(b *testing.B) {
	for name, rows := range map[string]int{"hot": 1, "uniform": benchRows} {
		b.Run(name, func(b *testing.B) {
			s, ids := benchStore(b, benchRows)
			ctx := context.Background()
			b.SetParallelism(32)
			defer cpu(b)()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					id := ids[rand.IntN(rows)]
					_, err := s.Write(ctx, journal.Origin{Operation: "take"},
						func(tx store.Tx) error {
							r, err := tx.Get(ctx, "products", id)
							if err != nil {
								return err
							}
							r.Set("stock", value.OfInt(r.Get("stock").Int()-1))
							_, err = tx.Put(ctx, "products", r)
							return err
						})
					if err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
