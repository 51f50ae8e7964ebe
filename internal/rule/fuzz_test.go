package rule

import (
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
)

// FuzzTwins draws apps and rules from a seed and compares memory and store.
func FuzzTwins(f *testing.F) {
	f.Add(uint64(1))
	f.Add(uint64(20261121))
	f.Fuzz(func(t *testing.T, seed uint64) {
		tw := newTwins(t, seed, 8)
		tw.read(t, func(view store.View) error {
			for range 20 {
				if r := tw.rule(t, tw.collectionName()); r != nil {
					if err := tw.compare(t.Context(), view, r); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// FuzzCompile gives any text to the compiler, as a rule and as a filter. What it
// takes must mean the same in memory and in the store; what it refuses must be told
// with a place inside the text.
func FuzzCompile(f *testing.F) {
	for _, source := range []string{
		"record.f1 > 0 && record.r0 == auth", "f1 in [1, 2] || has(f9)", "cards.exists(c, c == record)",
		`f0.matches("^a") ? f3 : !f3`, "size(cards) % 2 == 1", "r0.r0.f1 / f2 != 0", "mine(record)",
		`record.created + days(1) >= now - duration("90s")`, "[1].all(x, x == f1)", "f1 <", "\"", "{",
		"auth.id in record.l1", "f4 * 1e308 > 0.0", strings.Repeat("(", 100), "a.b.c.d.e.f.g.h == 1",
	} {
		f.Add(source)
	}
	tw := newTwins(f, 7, 6)
	f.Fuzz(func(t *testing.T, source string) {
		tw.read(t, func(view store.View) error {
			for _, bare := range []bool{false, true} {
				txt := spec.Text{Source: source, Pos: spec.Pos{Line: 5, Column: 9}}
				r, findings := tw.world.Compile(txt, Scope{Collection: "users", Bare: bare})
				if (r == nil) != spec.Failed(findings) {
					t.Fatalf("a rule is %v with the findings %s", r, say(findings))
				}
				for _, f := range findings {
					if f.Message == "" || f.Pos.Line < 5 || f.Pos.Line > 5+strings.Count(source, "\n")+1 {
						t.Fatalf("a finding at %+v: %q", f.Pos, f.Message)
					}
				}
				if r == nil {
					continue
				}
				if err := tw.compare(t.Context(), view, r); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
