package rule

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

// openShop stores records of the shop and calls fn with a view of them.
func openShop(t *testing.T, fn func(*World, *spec.Schema, store.View, func(string) value.Record)) {
	t.Helper()
	s, schema := shop()
	s.Collection("users").Field("wallet").Hidden = true
	w := worldOf(t, s, schema)
	st, err := sqlite.Open(t.Context(), sqlite.Config{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	origin := journal.Origin{Operation: "test", Now: start}
	if _, err := st.Apply(t.Context(), origin, spec.Diff(&spec.Schema{}, schema), nil); err != nil {
		t.Fatal(err)
	}
	all := map[string]value.Record{}
	put := func(tx store.Tx, of, id string, pairs ...any) error {
		r := recordOf(schema, of, id, pairs...)
		r.Slots[spec.SlotVersion] = value.Value{}
		stored, err := tx.Put(t.Context(), of, r)
		all[id] = stored
		return err
	}
	_, err = st.Write(t.Context(), origin, func(tx store.Tx) error {
		for _, p := range [][]any{
			{"users", "ana", "name", "Ana", "wallet", 100, "verified", true},
			{"users", "ben", "name", "Ben", "wallet", 7, "verified", false},
			{"boards", "plans", "name", "Plans"},
			{"members", "m1", "board", "plans", "user", "ana", "role", "viewer"},
			{"members", "m2", "board", "plans", "user", "ben", "role", "owner"},
		} {
			if err := put(tx, p[0].(string), p[1].(string), p[2:]...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = st.Read(t.Context(), func(v store.View) error {
		fn(w, schema, v, func(id string) value.Record { return all[id] })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func BenchmarkExplain(b *testing.B) {
	r, in := benchRule(b, `record.customer != auth && record.total > 3`)
	b.ReportAllocs()
	for b.Loop() {
		r.Explain(context.Background(), in)
	}
}

func TestExplainShowsWhatDecided(t *testing.T) {
	openShop(t, func(w *World, _ *spec.Schema, view store.View, get func(string) value.Record) {
		for _, c := range []struct{ name, of, rule, want string }{
			{"the nearest member", "boards",
				`members.exists(m, m.board == record && m.user == auth.id && m.role != "viewer")`, `
✗ members.exists(m, m.board == record && m.user == auth.id && m.role != "viewer")   false
  ✗ m.board == record && m.user == auth.id && m.role != "viewer"   false
    ✓ m.board == record && m.user == auth.id   true
    ✗ m.role != "viewer"   false
      · m.role   viewer
`},
			{"a hidden field", "users", `record.wallet > 500 && record == auth`, `
✗ record.wallet > 500 && record == auth   false
  ✗ record.wallet > 500   false
    · record.wallet   (hidden)
  · record == auth
`},
			{"a rule that holds", "users", `record == auth || record.verified`, `
✓ record == auth || record.verified   true
  ✓ record == auth   true
  · record.verified
`},
			{"an error", "users", `record.boss.name == "x"`, `
✗ record.boss.name == "x"   error: nothing is there to look into
  · record.boss.name   error: nothing is there to look into
`},
			{"a negation", "users", `!(record.name.contains("n") || auth == null)`, `
✗ !(record.name.contains("n") || auth == null)   false
  ✓ record.name.contains("n") || auth == null   true
    ✓ record.name.contains("n")   true
    · auth == null
`},
			{"all", "boards", `members.all(m, m.role == "viewer")`, `
✗ members.all(m, m.role == "viewer")   false
  ✗ m.role == "viewer"   false
    · m.role   owner
`},
		} {
			r, findings := w.Compile(text(c.rule), Scope{Name: "r", Collection: c.of})
			if r == nil {
				t.Errorf("%s: %s", c.name, say(findings))
				continue
			}
			rec := get("ana")
			if c.of == "boards" {
				rec = get("plans")
			}
			in := &Input{Auth: get("ana"), Record: rec, Now: time.UnixMilli(1e12), View: view}
			got := r.Explain(context.Background(), in).String()
			if want := strings.TrimPrefix(c.want, "\n"); got != want {
				t.Errorf("%s: got\n%s\nwant\n%s", c.name, got, want)
			}
		}
	})
}
