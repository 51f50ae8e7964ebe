package tsaction

import (
	"context"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/value"
)

// still is a host whose answers cost nothing, so that what is measured is the wall.
type still struct {
	*actiontest.Memory
	product, user value.Record
}

func (h still) Get(context.Context, string, ident.Record) (value.Record, error) {
	return h.product, nil
}

func (h still) Me(context.Context) (value.Record, error) { return h.user, nil }

func (h still) Put(_ context.Context, c string, r value.Record) (value.Record, error) {
	switch c {
	case "products":
		return h.product, nil
	case "users":
		return h.user, nil
	}
	return r, nil
}

func (h still) Find(context.Context, query.Query) ([]value.Record, error) { return nil, nil }

// BenchmarkCheckout is one checkout with 2 reads and 4 writes, without a store. It
// should stay below 40 µs.
func BenchmarkCheckout(b *testing.B) {
	for name, code := range map[string]string{
		"async": checkout,
		"sync":  strings.ReplaceAll(strings.ReplaceAll(checkout, "async ", ""), "await ", ""),
	} {
		b.Run(name, func(b *testing.B) {
			_, m, buy := shopping(b)
			p := load(b, actiontest.Shop("checkout"), map[string]string{"actions/checkout.ts": code})
			h := still{m, m.Rows("products")[0], m.Rows("users")[0]}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Runner{}).Run(context.Background(), p, buy, action.Host(h)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMachine is what a new engine costs, which is paid when a run was stopped.
func BenchmarkMachine(b *testing.B) {
	p, _, _ := shopping(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := newMachine(p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEmpty is what a call costs that does nothing.
func BenchmarkEmpty(b *testing.B) {
	p, h := one(b, `return {it: 1}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := call(p, h, bounds); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad is what the start of an app with two actions costs.
func BenchmarkLoad(b *testing.B) {
	s := actiontest.Shop("checkout", "a")
	for b.Loop() {
		load(b, s, map[string]string{"actions/checkout.ts": checkout, "actions/a.ts": strings.ReplaceAll(checkout, `"checkout"`, `"a"`)})
	}
}
