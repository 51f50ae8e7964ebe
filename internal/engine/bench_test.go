package engine_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
)

// Each benchmark runs one call in parallel, over a store on disk with its flushes.

func benchWorld(b *testing.B) (*world, ident.Record, []ident.Record) {
	b.Helper()
	w := open(b, shop(b), nil)
	ana := w.create("users", `{"name":"a","email":"a@example.com","wallet":9000000000000000}`)
	var products []ident.Record
	for i := range 1000 {
		products = append(products, w.create("products", fmt.Sprintf(
			`{"code":"P%d","name":"pen %d","price":%d,"stock":1000000000,"listed":true}`, i, i, i+1)))
	}
	return w, ana, products
}

func parallel(b *testing.B, fn func(n int64)) {
	b.ReportAllocs()
	b.SetParallelism(8)
	var n atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			fn(n.Add(1))
		}
	})
}

func BenchmarkGet(b *testing.B) {
	w, _, products := benchWorld(b)
	b.ResetTimer()
	parallel(b, func(n int64) {
		_, err := w.engine.Query(context.Background(), engine.Call{Verb: engine.Get,
			Target: "products", Record: string(products[n%1000]), Seen: &observe.Call{}})
		if err != nil {
			b.Error(err)
		}
	})
}

func BenchmarkGetSignedIn(b *testing.B) {
	w, ana, products := benchWorld(b)
	b.ResetTimer()
	parallel(b, func(n int64) {
		_, err := w.engine.Query(context.Background(), engine.Call{Verb: engine.Get,
			Target: "products", Record: string(products[n%1000]), Credential: string(ana)})
		if err != nil {
			b.Error(err)
		}
	})
}

func BenchmarkList(b *testing.B) {
	w, _, _ := benchWorld(b)
	params := map[string][]string{"filter": {"price <= 900"}, "sort": {"-price"}, "limit": {"30"}}
	b.ResetTimer()
	parallel(b, func(n int64) {
		a, err := w.engine.Query(context.Background(),
			engine.Call{Verb: engine.List, Target: "products", Params: params, Seen: &observe.Call{}})
		if err != nil || len(a.Items) != 30 {
			b.Error(err, len(a.Items))
		}
	})
}

func BenchmarkUpdate(b *testing.B) {
	w, ana, _ := benchWorld(b)
	b.ResetTimer()
	parallel(b, func(n int64) {
		_, err := w.engine.Execute(context.Background(), engine.Call{Verb: engine.Update,
			Target: "users", Record: string(ana), Credential: string(ana),
			Body: []byte(fmt.Sprintf(`{"name":"a%d"}`, n))})
		if err != nil {
			b.Error(err)
		}
	})
}

func BenchmarkCheckout(b *testing.B) {
	w, ana, products := benchWorld(b)
	b.ResetTimer()
	parallel(b, func(n int64) {
		_, err := w.engine.Execute(context.Background(),
			checkout(ana, products[n%1000], fmt.Sprint(n)))
		if err != nil {
			b.Error(err)
		}
	})
}

func BenchmarkExpand(b *testing.B) {
	w := listsApp(b)
	var shelf ident.Record
	ana := w.create("users", `{"name":"Eve","email":"eve@example.com"}`)
	for i := range 300 {
		shelf = w.create("shelves", fmt.Sprintf(`{"name":"s%d","keeper":%q}`, i, ana))
		w.create("things", fmt.Sprintf(
			`{"name":"pen","price":5,"cost":7,"shelf":%q,"listed":true}`, shelf))
	}
	params := map[string][]string{"expand": {"shelf.keeper"}, "limit": {"300"}}
	b.ResetTimer()
	parallel(b, func(n int64) {
		a, err := w.engine.Query(context.Background(),
			engine.Call{Verb: engine.List, Target: "things", Params: params, Credential: string(ana)})
		if err != nil || len(a.Items) != 300 {
			b.Error(err, len(a.Items))
		}
	})
}
