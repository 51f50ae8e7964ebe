package rule

import (
	"context"
	"flag"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"

	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "the seed of the rule twins; 0 draws one")
	casesFlag = flag.Int("cases", 220_000, "how many cases the rule twins compare")
)

// twins holds one drawn app in a store.
type twins struct {
	*draw
	world *World
	store store.Store
	all   map[string][]value.Record
	// doctor changes a condition before the store sees it, to plant a flaw.
	doctor func(query.Expr) query.Expr

	cases, rules, refused, lookups int
}

func newTwins(t testing.TB, seed uint64, n int) *twins {
	tw := &twins{draw: newDraw(seed)}
	tw.app()
	tw.world = worldOf(t, tw.spec, tw.schema)
	s, err := sqlite.Open(t.Context(), sqlite.Config{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	tw.store = s
	origin := journal.Origin{Operation: "test", Now: start}
	if _, err := s.Apply(t.Context(), origin, spec.Diff(&spec.Schema{}, tw.schema)); err != nil {
		t.Fatal(err)
	}
	tw.fill(t, tw.records(n))
	return tw
}

// fill stores the records twice: without what may be null, so that relations in
// circles find their targets, and then whole.
func (tw *twins) fill(t testing.TB, all map[string][]value.Record) {
	ctx := t.Context()
	origin := journal.Origin{Operation: "test", Now: start}
	_, err := tw.store.Write(ctx, origin, func(tx store.Tx) error {
		done := map[string]bool{}
		var put func(of, id string) error
		put = func(of, id string) error {
			if done[id] {
				return nil
			}
			done[id] = true
			i := slices.Index(tw.ids[of], id)
			r := all[of][i].Clone()
			for s, f := range r.Shape.Fields() {
				if f.Type.Kind == value.TypeRelation && !r.Slots[s].IsNull() {
					if f.Type.Optional {
						r.Slots[s] = value.OfNull()
					} else if err := put(f.Type.Of, r.Slots[s].Text()); err != nil {
						return err
					}
				}
			}
			_, err := tx.Put(ctx, of, r)
			return err
		}
		for of, ids := range tw.ids {
			for _, id := range ids {
				if err := put(of, id); err != nil {
					return fmt.Errorf("%s %s: %w", of, id, err)
				}
			}
		}
		tw.all = map[string][]value.Record{}
		for of, rs := range all {
			for _, r := range rs {
				r.Slots[spec.SlotVersion] = value.OfNull()
				stored, err := tx.Put(ctx, of, r)
				if err != nil {
					return err
				}
				tw.all[of] = append(tw.all[of], stored)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// naive evaluates a rule as CEL does by itself, over all records in memory.
type naive struct {
	*decision
	all  map[string][]value.Record
	made map[string]ref.Val
}

func (n *naive) ResolveName(name string) (any, bool) {
	if v := n.made[name]; v != nil {
		return v, true
	}
	rs, ok := n.all[name]
	if !ok {
		return n.decision.ResolveName(name)
	}
	o := n.u.w.table(name)
	vals := make([]ref.Val, len(rs))
	for i, r := range rs {
		vals[i] = &recordVal{d: n.decision, o: o, id: r.Slots[0].Text(), rec: r}
	}
	n.made[name] = types.NewRefValList(types.DefaultTypeAdapter, vals)
	return n.made[name], true
}

func (tw *twins) naive(r *Rule) cel.Program {
	p, err := r.unit.env.PlanProgram(r.unit.checked, cel.CustomDecoratorV2(
		func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
			return decorate(i, nil)
		}))
	if err != nil {
		panic(err)
	}
	return p
}

// memory answers Get from the records at hand, so that only queries cost a query.
type memory struct {
	tw *twins
	store.View
}

func (m memory) Get(_ context.Context, of string, id ident.Record) (value.Record, error) {
	return m.tw.all[of][slices.Index(m.tw.ids[of], string(id))], nil
}

// callers are who asks: nobody, and some users.
func (tw *twins) callers() []value.Record {
	return append([]value.Record{{}}, tw.all["users"][:3]...)
}

// rule draws and compiles one rule on a collection.
func (tw *twins) rule(t testing.TB, of string) *Rule {
	w := &writer{draw: tw.draw, vars: []scoped{{"record", of}, {"auth", "users"}}}
	source := w.bool(1 + tw.IntN(4))
	r, findings := tw.world.Compile(spec.Text{Source: source, Pos: spec.Pos{Line: 1, Column: 1}},
		Scope{Name: "r", Collection: of})
	if r == nil {
		tw.refused++
		for _, f := range findings {
			// Comparing what is never null with null is the one thing the writer
			// gets wrong now and then; a deep rule may be too deep.
			if !strings.Contains(f.Message, "with null") && !strings.Contains(f.Message, "overflow") {
				t.Errorf("refused: %s\n  %s", source, say(findings))
			}
		}
	}
	return r
}

// compare asks a rule both ways for every caller and record and returns the first
// difference.
func (tw *twins) compare(ctx context.Context, view store.View, r *Rule) error {
	c, err := r.Condition()
	if err != nil {
		return err
	}
	expr := c.Expr
	if tw.doctor != nil {
		expr = tw.doctor(expr)
	}
	plan := &query.Plan{From: r.scope.Collection, Where: expr}
	prog, asks := tw.naive(r), r.unit.asks(r.unit.root)
	for k, auth := range tw.callers() {
		in := &Input{Auth: auth, Now: start, View: memory{tw, view}}
		args, err := c.Args(ctx, in)
		if err != nil {
			return err
		}
		found, err := view.Find(ctx, query.Query{Plan: plan, Args: args})
		if err != nil {
			return fmt.Errorf("%s\n%+v: %w", r.text.Source, expr, err)
		}
		kept := map[string]bool{}
		for _, f := range found {
			kept[f.Slots[0].Text()] = true
		}
		if len(found) > 0 && (c.Never(args) || k == 0 && r.AuthRequired()) {
			return fmt.Errorf("%s: found records where none can be", r.text.Source)
		}
		if c.Always() && len(found) < len(tw.all[r.scope.Collection]) {
			return fmt.Errorf("%s: always true, but a record is missing", r.text.Source)
		}
		for i, rec := range tw.all[r.scope.Collection] {
			in.Record = rec
			d := r.unit.begin(ctx, in)
			out, _, err := prog.Eval(&naive{d, tw.all, map[string]ref.Val{}})
			d.end()
			plain, failed := err == nil && out == types.True, out != types.True && out != types.False
			tw.cases++
			if id := rec.Slots[0].Text(); plain != kept[id] {
				return fmt.Errorf("%s\n  caller %d, %s %s\n  CEL says %v (%v), the store %v\n  %+v %v",
					r.text.Source, k, r.scope.Collection, id, plain, err, kept[id], expr, args)
			}
			// What looks into collections asks the store each time: a few suffice.
			if asks && (i+k)%8 != 0 {
				continue
			}
			v := r.Decide(ctx, in)
			if v.Allowed() != plain || (v.Answer == Failed) != failed {
				return fmt.Errorf("%s\n  caller %d, %s\n  CEL says %v (%v), Decide %v (%v)",
					r.text.Source, k, rec.Slots[0].Text(), plain, err, v.Answer, v.Err)
			}
			if asks {
				tw.lookups++
			}
		}
	}
	tw.rules++
	return nil
}

func (tw *twins) read(t testing.TB, fn func(store.View) error) {
	t.Helper()
	if err := tw.store.Read(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func seedOf(t testing.TB) uint64 {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % math.MaxUint32
	}
	t.Logf("seed %d", seed)
	return seed
}

func TestTwinsAgree(t *testing.T) {
	seed := seedOf(t)
	cases, rules, refused, lookups := 0, 0, 0, 0
	for n := uint64(0); cases < *casesFlag; n++ {
		tw := newTwins(t, seed+n, 30)
		tw.read(t, func(view store.View) error {
			for range 120 {
				if r := tw.rule(t, tw.collectionName()); r != nil {
					if err := tw.compare(t.Context(), view, r); err != nil {
						return err
					}
				}
			}
			return nil
		})
		cases, rules, refused = cases+tw.cases, rules+tw.rules, refused+tw.refused
		lookups += tw.lookups
	}
	t.Logf("%d cases of %d rules, %d by lookups; %d rules refused", cases, rules, lookups, refused)
	if refused*5 > rules {
		t.Errorf("too many rules were refused")
	}
}

func (tw *twins) collectionName() string {
	return tw.schema.Collections[tw.IntN(len(tw.schema.Collections))].Name
}
