package postgres

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

// pair is the same record in a file and on a server.
type pair [2]store.Store

func newPair(t *testing.T) pair {
	t.Helper()
	file, err := sqlite.Open(t.Context(), sqlite.Config{Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	server, err := Open(t.Context(), Config{URL: pgtest.Shared(t).Database(t), Readers: 1})
	if err != nil {
		t.Fatal(err)
	}
	p := pair{file, server}
	schema := &spec.Schema{Collections: []*spec.Table{storetest.Table("notes",
		value.Field{Name: "text", Type: value.Type{Kind: value.TypeString}})}}
	for _, s := range p {
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		o := journal.Origin{Operation: "test"}
		if _, err := s.Apply(t.Context(), o, storetest.Steps(schema), nil); err != nil {
			t.Fatal(err)
		}
		r := value.NewRecord(schema.Collections[0].Shape)
		r.Set("text", value.OfText("x"))
		_, err := s.Write(t.Context(), o, func(tx store.Tx) error {
			_, err := tx.Put(t.Context(), "notes", r.Clone())
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// values returns what both say of expressions of one type.
func (p pair) values(t *testing.T, typ value.TypeKind, of []query.Expr) (out [2][]value.Value) {
	t.Helper()
	var fields []value.Field
	for i := range of {
		fields = append(fields, value.Field{Name: fmt.Sprint("v", i),
			Type: value.Type{Kind: typ, Optional: true}})
	}
	plan := &query.Plan{From: "notes", Group: of, Out: value.NewShape("out", fields)}
	for i, s := range p {
		err := s.Read(t.Context(), func(v store.View) error {
			rows, err := v.Find(context.Background(), query.Query{Plan: plan})
			if err == nil {
				out[i] = rows[0].Slots
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func literalOf(v value.Value) query.Expr { return query.Literal{Value: v} }

// TestFunctionsAgreeWithTheFile asks both stores for what functions make of values at
// the borders of their kinds, and of drawn ones.
func TestFunctionsAgreeWithTheFile(t *testing.T) {
	p := newPair(t)
	rnd := rand.New(rand.NewPCG(3, 3))
	floats := []float64{0, math.Copysign(0, -1), 1, -1.5, 0.1, 1e5, 123456, 1e6, 1234567, 1e15, 1e16,
		1e20, 1e21, 1e22, 1e-4, 1e-5, 0.00012, 1e300, math.MaxFloat64, math.SmallestNonzeroFloat64,
		9007199254740993, 9.223372036854775e18, 9223372036854775808, -9223372036854775808,
		2.5, 1.0 / 3, -1e-320, math.Inf(1), math.Inf(-1)}
	for range 12 {
		f := math.Float64frombits(rnd.Uint64())
		if !math.IsNaN(f) {
			floats = append(floats, f, math.Round(rnd.Float64()*1e6)/1e3)
		}
	}
	ints := []int64{0, 1, -1, 7, -7, 1 << 53, math.MaxInt64, math.MinInt64, -1 << 53, 1e18}
	texts := []string{"", "0", "12", "-12", "+7", " 1", "1 ", "1x", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "00012", "1.5", ".5", "5.", "1e3", "1E-3", "-0",
		"1e400", "-1e400", "1e-400", "inf", "-Infinity", "+INF", "1_000", "12\n", "ß", "ÀB c",
		"\u00a0 x\t\u2003", "\x00 \x01", "日本", "I", "İi", "--1", "0x", "0x1p-2", "-0x1.8p3",
		"0xAp0", "0x.8p1", "0x1p5000", "0x1p-5000", "0x1", "1__0", "1_", "_1", "1_0.5", "1e1_0",
		"1._5", "nan", "0x_1p0"}
	times := []int64{0, -1, 1, 999, 1000, 86399999, -86400000, timeMin, timeMax, 951782400000,
		1700000000123, -2208988800000, 1782864000000, 1774746000000 - 1, 1774746000000}
	for range 15 {
		times = append(times, timeMin+rnd.Int64N(timeMax-timeMin))
	}
	spans := []int64{0, 1, -1, 999, -1500, 1118, 1122, 60000, 3600000, 86400001, spanMax, -spanMax}
	call := func(name string, args ...query.Expr) query.Expr {
		return query.Func{Name: name, Args: args}
	}
	each := func(name string, typ value.TypeKind, exprs []query.Expr) {
		t.Helper()
		for len(exprs) > 0 {
			n := min(len(exprs), 50)
			got := p.values(t, typ, exprs[:n])
			for i := range got[0] {
				a, b := got[0][i], got[1][i]
				if !a.Equal(b) && !(a.Kind() == value.Float && math.IsNaN(a.Float())) {
					t.Errorf("%s: %s: the file says %s, the server %s", name, query.Format(exprs[i]),
						value.AppendJSON(nil, a), value.AppendJSON(nil, b))
				}
			}
			exprs = exprs[n:]
		}
	}
	var strings, doubles, whole, sizes, lowers, parts []query.Expr
	for _, f := range floats {
		l := literalOf(value.OfFloat(f))
		strings = append(strings, call("string", l))
		whole = append(whole, call("int", l))
		for _, g := range floats[:29] {
			m := literalOf(value.OfFloat(g))
			for _, op := range []string{"+", "-", "*", "/"} {
				doubles = append(doubles, query.Arith{Op: op, L: l, R: m, Kind: value.Float})
			}
		}
	}
	for _, n := range ints {
		l := literalOf(value.OfInt(n))
		strings = append(strings, call("string", l))
		doubles = append(doubles, call("double", l))
		for _, m := range ints {
			for _, op := range []string{"+", "-", "*", "/", "%"} {
				whole = append(whole, query.Arith{Op: op, L: l, R: literalOf(value.OfInt(m)),
					Kind: value.Int})
			}
		}
	}
	for _, x := range texts {
		l := literalOf(value.OfText(x))
		doubles = append(doubles, call("double", l))
		whole = append(whole, call("int", l))
		sizes = append(sizes, call("size", l))
		lowers = append(lowers, call("lowerAscii", l), call("upperAscii", l), call("trim", l))
	}
	zones := []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Apia",
		"+02:00", "-03:30", "02:00", "-00:30", "Nowhere", "x:y", ""}
	for _, ms := range times {
		l := literalOf(value.OfMillis(value.Time, ms))
		strings = append(strings, call("string", l))
		whole = append(whole, call("int", l))
		for _, name := range []string{"getFullYear", "getMonth", "getDate", "getDayOfMonth",
			"getDayOfWeek", "getDayOfYear", "getHours", "getMinutes", "getSeconds", "getMilliseconds"} {
			parts = append(parts, call(name, l))
			parts = append(parts, call(name, l, literalOf(value.OfText(zones[rnd.IntN(len(zones))]))))
		}
	}
	for _, ms := range spans {
		l := literalOf(value.OfMillis(value.Duration, ms))
		strings = append(strings, call("string", l))
		whole = append(whole, call("int", l))
		for _, name := range []string{"getHours", "getMinutes", "getSeconds", "getMilliseconds"} {
			parts = append(parts, call(name, l))
		}
	}
	each("string", value.TypeString, strings)
	each("double", value.TypeFloat, doubles)
	each("int", value.TypeInt, whole)
	each("size", value.TypeInt, sizes)
	each("text", value.TypeString, lowers)
	each("part", value.TypeInt, parts)
}
