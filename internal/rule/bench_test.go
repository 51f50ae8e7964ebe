package rule

import (
	"context"
	"testing"
	"time"
)

// benchRule compiles a rule of the shop for orders.
func benchRule(b *testing.B, source string) (*Rule, *Input) {
	s, schema := shop()
	w := worldOf(b, s, schema)
	r, findings := w.Compile(text(source), Scope{Name: "r", Collection: "orders"})
	if r == nil {
		b.Fatal(say(findings))
	}
	ana := recordOf(schema, "users", "ana", "name", "Ana", "wallet", 100, "verified", true)
	order := recordOf(schema, "orders", "o1", "customer", "ana", "total", 5, "status", "paid")
	return r, &Input{Auth: ana, Record: order, Now: time.UnixMilli(1e12),
		View: rows{"users": {"ana": ana}}}
}

// BenchmarkDecide is bound by one microsecond for a simple rule.
func BenchmarkDecide(b *testing.B) {
	for _, source := range []string{"record.customer == auth", "record.total >= 0",
		`record.status == "paid" && record.customer == auth.id`,
		`record.customer.name == "Ana"`} {
		b.Run(source, func(b *testing.B) {
			r, in := benchRule(b, source)
			b.ReportAllocs()
			for b.Loop() {
				if !r.Decide(context.Background(), in).Allowed() {
					b.Fatal("denied")
				}
			}
		})
	}
}

// BenchmarkArgs is what a list pays for its rule before the store is asked.
func BenchmarkArgs(b *testing.B) {
	for _, source := range []string{"record.customer == auth",
		`record.customer == auth.id && record.due > now - days(30)`} {
		b.Run(source, func(b *testing.B) {
			r, in := benchRule(b, source)
			c, err := r.Condition()
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Args(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCompile is what a new filter costs.
func BenchmarkCompile(b *testing.B) {
	s, schema := shop()
	w := worldOf(b, s, schema)
	b.ReportAllocs()
	for b.Loop() {
		r, findings := w.Compile(text(`price <= 5000 && listed && name.contains("key")`),
			Scope{Collection: "products", Bare: true})
		if r == nil {
			b.Fatal(say(findings))
		}
	}
}
