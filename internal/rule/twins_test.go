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
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
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
	return newTwinsIn(t, inFile, seed, n)
}

// inFile opens an empty store in a file.
func inFile(t testing.TB) (store.Store, error) {
	return sqlite.Open(t.Context(), sqlite.Config{Readers: 1})
}

// onServer opens an empty store on a server.
func onServer(t testing.TB) (store.Store, error) {
	return postgres.Open(t.Context(), postgres.Config{
		URL: pgtest.Shared(t).Database(t), Readers: 2})
}

func newTwinsIn(
	t testing.TB, open func(testing.TB) (store.Store, error), seed uint64, n int,
) *twins {
	tw := &twins{draw: newDraw(seed)}
	tw.app()
	tw.world = worldOf(t, tw.spec, tw.schema)
	s, err := open(t)
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
	if _, err := s.Apply(t.Context(), origin, spec.Diff(&spec.Schema{}, tw.schema), nil); err != nil {
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
				r = r.Clone() // the call may run again
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
	p, err := r.unit.env.PlanProgram(r.unit.checked, cel.EvalOptions(cel.OptOptimize), cel.CustomDecoratorV2(
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

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestTwinsAgree(t *testing.T) {
	t.Parallel()
	agree(t, inFile, *casesFlag)
}

func TestTwinsAgreeOnAServer(t *testing.T) {
	t.Parallel()
	agree(t, onServer, *casesFlag/8)
}

func agree(t *testing.T, open func(testing.TB) (store.Store, error), least int) {
	seed := seedOf(t)
	cases, rules, refused, lookups := 0, 0, 0, 0
	for n := uint64(0); cases < least; n++ {
		tw := newTwinsIn(t, open, seed+n, 30)
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

// flaws are mistakes that a renderer, or the translation, could make.
var flaws = map[string]func(query.Expr) query.Expr{
	"a guard is left out": func(e query.Expr) query.Expr {
		if w, ok := e.(query.When); ok {
			return w.Then
		}
		return e
	},
	"null is not equal to null": func(e query.Expr) query.Expr {
		if s, ok := e.(query.Same); ok {
			return query.And{Of: []query.Expr{notNull(s.L), notNull(s.R), s}}
		}
		return e
	},
	"unknown is false": func(e query.Expr) query.Expr {
		if n, ok := e.(query.Not); ok {
			return query.Not{Of: query.IsTrue(n)}
		}
		return e
	},
	"unknown chooses the other branch": func(e query.Expr) query.Expr {
		if c, ok := e.(query.Cond); ok {
			c.If = query.IsTrue{Of: c.If}
			return c
		}
		return e
	},
	"nothing is ever unknown": func(e query.Expr) query.Expr {
		if _, ok := e.(query.Unknown); ok {
			return literal(value.OfBool(false))
		}
		return e
	},
	"a bound is left out": func(e query.Expr) query.Expr {
		if c, ok := e.(query.Compare); ok {
			c.Op = c.Op[:1]
			return c
		}
		return e
	},
	"an item is left out": func(e query.Expr) query.Expr {
		if in, ok := e.(query.In); ok {
			in.Of = in.Of[1:]
			return in
		}
		return e
	},
	"a look at others forgets its condition": func(e query.Expr) query.Expr {
		if x, ok := e.(query.Exists); ok {
			x.Where = literal(value.OfBool(true))
			return x
		}
		return e
	},
	"letters have no case": func(e query.Expr) query.Expr {
		if f, ok := e.(query.Func); ok && f.Name == "contains" {
			f.Args = []query.Expr{query.Func{Name: "lowerAscii", Args: f.Args[:1]},
				query.Func{Name: "lowerAscii", Args: f.Args[1:]}}
			return f
		}
		return e
	},
	"division rounds up": func(e query.Expr) query.Expr {
		if a, ok := e.(query.Arith); ok && a.Op == "/" && a.Kind == value.Int {
			rest := query.Arith{Op: "%", L: a.L, R: a.R, Kind: value.Int}
			return query.Arith{Op: "+", Kind: value.Int, L: a, R: query.Cond{
				If:   query.Same{L: rest, R: literal(value.OfInt(0))},
				Then: literal(value.OfInt(0)), Else: literal(value.OfInt(1))}}
		}
		return e
	},
}

func TestTwinsFindEachPlantedFlaw(t *testing.T) {
	t.Parallel()
	seed := seedOf(t)
	for name, flaw := range flaws {
		t.Run(name, func(t *testing.T) {
			for n := uint64(0); n < 20; n++ {
				tw := newTwins(t, seed+n, 12)
				tw.doctor = func(e query.Expr) query.Expr { return query.Map(e, flaw) }
				var difference error
				tw.read(t, func(view store.View) error {
					for range 300 {
						r := tw.rule(t, tw.collectionName())
						if r == nil {
							continue
						}
						if difference = tw.compare(t.Context(), view, r); difference != nil {
							break
						}
					}
					return nil
				})
				if difference != nil {
					return
				}
			}
			t.Error("the flaw was not found")
		})
	}
}

// TestFiltersSeeOnlyWhatMayBeRead compares filters that follow relations only into
// readable records, and sort keys of the same kind, in memory and in the store.
func TestFiltersSeeOnlyWhatMayBeRead(t *testing.T) {
	t.Parallel()
	filtersAgree(t, inFile, *casesFlag/6)
}

func TestFiltersSeeOnlyWhatMayBeReadOnAServer(t *testing.T) {
	t.Parallel()
	filtersAgree(t, onServer, *casesFlag/20)
}

func filtersAgree(t *testing.T, open func(testing.TB) (store.Store, error), least int) {
	seed := seedOf(t)
	cases, hidden := 0, 0
	for n := uint64(0); cases < least; n++ {
		tw := newTwinsIn(t, open, seed+n, 30)
		may := map[string]*Rule{}
		for _, c := range tw.schema.Collections {
			if tw.chance(80) {
				may[c.Name] = tw.rule(t, c.Name)
			}
		}
		visible := func(of string) *Rule { return may[of] }
		tw.read(t, func(view store.View) error {
			for range 60 {
				if err := tw.compareFilter(t, view, visible, &hidden); err != nil {
					return err
				}
			}
			return nil
		})
		cases += tw.cases
	}
	t.Logf("%d cases, in %d of which something was hidden", cases, hidden)
	if hidden*50 < cases {
		t.Error("too little was hidden")
	}
}

func (tw *twins) compareFilter(
	t testing.TB, view store.View, visible func(string) *Rule, hidden *int,
) error {
	of := tw.collectionName()
	w := &writer{draw: tw.draw, vars: []scoped{{"", of}}, bare: true}
	scope := Scope{Collection: of, Bare: true, Visible: visible, AnyResult: tw.chance(40)}
	source := w.bool(2)
	if scope.AnyResult {
		source = tw.one(w.int(2), w.text(2), w.time(1), w.bool(1), w.float(2))
	}
	open := scope
	open.Visible = nil
	txt := spec.Text{Source: source, Pos: spec.Pos{Line: 1, Column: 1}}
	r, findings := tw.world.Compile(txt, scope)
	if r == nil {
		if s := say(findings); !strings.Contains(s, "null") && !strings.Contains(s, "overflow") {
			return fmt.Errorf("refused: %s\n%s", source, s)
		}
		return nil
	}
	seen, _ := tw.world.Compile(txt, open)
	c, err := r.Condition()
	if err != nil {
		return err
	}
	if _, constant := c.Expr.(query.Literal); constant {
		return nil
	}
	id := query.Expr(query.Row{})
	typ := r.Type()
	typ.Optional = true
	plan := &query.Plan{From: of, Group: []query.Expr{id, c.Expr}, Out: value.NewShape("out",
		[]value.Field{{Name: "id", Type: kind(value.TypeID)}, {Name: "v", Type: typ}})}
	for k, auth := range tw.callers() {
		in := &Input{Auth: auth, Now: start, View: memory{tw, view}}
		args, err := c.Args(t.Context(), in)
		if err != nil {
			return err
		}
		rows, err := view.Find(t.Context(), query.Query{Plan: plan, Args: args})
		if err != nil {
			return err
		}
		got := map[string]value.Value{}
		for _, row := range rows {
			got[row.Slots[0].Text()] = row.Slots[1]
		}
		for i, rec := range tw.all[of] {
			if (i+k)%3 != 0 {
				continue
			}
			in.Record = rec
			want, err := r.Eval(t.Context(), in)
			if err != nil {
				want = value.OfNull()
			}
			tw.cases++
			if all, err := seen.Eval(t.Context(), in); err == nil && !all.Equal(want) {
				*hidden++
			}
			v := got[rec.Slots[0].Text()]
			if math.IsInf(v.Float(), 0) {
				v = value.OfNull() // no value leaves a rule so
			}
			if !scope.AnyResult {
				// What is not true keeps no row, whichever of the two it is.
				v, want = value.OfBool(v.Bool()), value.OfBool(want.Bool())
			}
			if !v.Equal(want) {
				return fmt.Errorf("%s\n  caller %d, %s %s: memory says %+v (%v), the store %+v\n%+v",
					source, k, of, rec.Slots[0].Text(), want, err, v, c.Expr)
			}
		}
	}
	return nil
}
