package tsaction

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/fault"
)

// TestBoundsHold runs what would take all time or all memory. Each must end with a
// fault that names the bound, long before ten times the bound.
func TestBoundsHold(t *testing.T) {
	for name, c := range map[string]struct {
		body, says string
		kind       fault.Kind
	}{
		"endless loop":         {`while (true) {}`, "took longer than 200ms", fault.Timeout},
		"endless in finally":   {`try { while (true) {} } catch (e) {} finally { while (true) {} }`, "took longer", fault.Timeout},
		"endless jobs":         {`const f = () => Promise.resolve().then(f); return f()`, "took longer", fault.Timeout},
		"endless await":        {`return (async () => { while (true) await 1 })()`, "took longer", fault.Timeout},
		"never resolves":       {`return new Promise(() => {})`, "never resolves", fault.Internal},
		"deep recursion":       {`const f = () => f() + 1; return f()`, "deeper than", fault.Internal},
		"deep through natives": {`const f = () => [1].map(f); return f()`, "deeper than", fault.Internal},
		"caught recursion":     {`const f = () => { try { return f() } catch (e) { return f() } }; return f()`, "deeper than", fault.Internal},
		"repeat":               {`return {it: "x".repeat(1e9)}`, "repeat is longer than", fault.Internal},
		"padStart":             {`return {it: "x".padStart(1e9)}`, "padStart is longer than", fault.Internal},
		"padEnd":               {`return {it: "x".padEnd(1e9, "ab")}`, "padEnd is longer than", fault.Internal},
		"doubling":             {`let s = "x"; while (true) s += s`, "the text is longer than", fault.Internal},
		"concat":               {`let s = "x"; while (true) s = s.concat(s)`, "concat is longer", fault.Internal},
		"array fill":           {`return {it: Array(1e9).fill(0)}`, "longer than", fault.Internal},
		"array length":         {`const a = []; a.length = 4294967295; return {it: a.indexOf(1)}`, "longer than", fault.Internal},
		"array-like":           {`return {it: Array.prototype.indexOf.call({length: 2 ** 53 - 1}, 1)}`, "longer than", fault.Internal},
		"array from":           {`return {it: Array.from({length: 1e9})}`, "longer than", fault.Internal},
		"array grows":          {`const a: any[] = []; while (true) a.push({a: [1, 2, 3]})`, "of memory", fault.Timeout},
		"map grows":            {`const m = new Map(); for (let i = 0; ; i++) m.set(i, "x".repeat(1000) + i)`, "of memory", fault.Timeout},
		"spread of a text":     {`return {it: [..."x".repeat(1e6)].length}`, "to go through is longer", fault.Internal},
		"spread of holes":      {`const a: any[] = []; a[1e9] = 1; return {it: Math.max(...a)}`, "longer than", fault.Internal},
		"loop over holes":      {`const a: any[] = []; a.length = 4e9; for (const x of a) {} return {it: 1}`, "longer than", fault.Internal},
		"promises of holes":    {`const a: any[] = []; a.length = 4e9; return Promise.all(a)`, "longer than", fault.Internal},
		"apply":                {`return {it: Math.max.apply(null, {length: 1e9} as any)}`, "longer than", fault.Internal},
		"reflected apply":      {`return {it: Reflect.apply(Math.max, null, {length: 1e9})}`, "longer than", fault.Internal},
		"reflected construct":  {`return {it: Reflect.construct(Date, {length: 1e9})}`, "longer than", fault.Internal},
		"typed array from":     {`return {it: Uint8Array.from({length: 1e9}).length}`, "longer than", fault.Internal},
		"concat of lists":      {`const a = Array(9e4).fill(1); return {it: a.concat(a).length}`, "concat is longer", fault.Internal},
		"flat":                 {`let a: any = [1]; for (let i = 0; i < 30; i++) a = [a, a]; return {it: a.flat(Infinity).length}`, "made by flat is longer", fault.Internal},
		"flat of nothing":      {`let a: any = []; for (let i = 0; i < 40; i++) a = [a, a]; return {it: a.flat(Infinity).length}`, "took longer", fault.Timeout},
		"raw":                  {`return {it: String.raw({raw: {length: 1e9}} as any).length}`, "for raw is longer", fault.Internal},
		"join":                 {`const s = "x".repeat(1e5); return {it: Array(1000).fill(s).join(s)}`, "join is longer", fault.Internal},
		"join nothing":         {`return {it: Array(1e5).join("x".repeat(100))}`, "join is longer", fault.Internal},
		"nested lists":         {`let a: any = []; for (let i = 0; i < 2e4; i++) a = [a]; return {it: a.toString()}`, "nested deeper", fault.Internal},
		"replace":              {`return {it: "a".repeat(1e5).replaceAll("a", "b".repeat(1e5))}`, "could make is longer", fault.Internal},
		"replace with regex":   {`return {it: "a".repeat(1e5).replace(/a/g, "b".repeat(1e6))}`, "could make is longer", fault.Internal},
		"typed array":          {`return {it: new Uint8Array(4e9).length}`, "longer than", fault.Internal},
		"buffer":               {`return {it: new ArrayBuffer(4e9).byteLength}`, "longer than", fault.Internal},
		"stringify":            {`const s = "x".repeat(1e6); return {it: JSON.stringify(Array(1e5).fill(s))}`, "JSON.stringify is longer", fault.Internal},
		"stringify deep":       {`let o: any = {}; for (let i = 0; i < 2e4; i++) o = {o}; return {it: JSON.stringify(o)}`, "nested deeper", fault.Internal},
		"parse deep":           {`return {it: JSON.parse("[".repeat(1e6))}`, "nested deeper", fault.Internal},
		"parse large":          {`let s = "1,".repeat(5e5); for (let i = 0; i < 2000; i++) s += "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"; return {it: JSON.parse("[" + s + "1]")}`, "JSON.parse is longer", fault.Internal},
		"catastrophe":          {`return {it: /(a+)+\1b/.test("a".repeat(40))}`, "a regular expression took longer", fault.Timeout},
		"catastrophe replace":  {`return {it: "a".repeat(40).replace(/(a+)+\1b/g, "")}`, "a regular expression took longer", fault.Timeout},
		"catastrophe match":    {`return {it: "a".repeat(40).match(new RegExp("(a+)+\\1b"))}`, "a regular expression took longer", fault.Timeout},
		"catastrophe split":    {`return {it: "a".repeat(40).split(/(a+)+\1b/)}`, "a regular expression took longer", fault.Timeout},
		"catastrophe unicode":  {`const r = /(é|é+)+$/g; r.lastIndex = 1; return {it: r.test("é".repeat(60) + "x")}`, "a regular expression took longer", fault.Timeout},
		"long text for regex":  {`return {it: /a/.test("b".repeat(1e6))}`, "for a regular expression is longer", fault.Internal},
		"host calls":           {`for (;;) tx.db.products.count()`, "more than 100 calls", fault.Timeout},
		"caught host calls":    {`for (;;) { try { tx.db.products.count() } catch (e) {} }`, "more than 100 calls", fault.Timeout},
		"logs":                 {`for (;;) tx.log("x")`, "more than 100 calls", fault.Timeout},
	} {
		t.Run(name, func(t *testing.T) {
			p, h := one(t, c.body)
			start := time.Now()
			_, err := call(p, h, action.Bounds{Time: boundFor(c.says), Memory: 32 << 20, Calls: 100})
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v\nwant %s that says %q", err, c.kind, c.says)
			}
			if took := time.Since(start); took > time.Minute {
				t.Errorf("it took %s", took)
			}
			if strings.Contains(f.Message, "a.ts") {
				t.Errorf("the caller reads %q", f.Message)
			}
		})
	}
}

// boundFor is the time that a body may take: little where that is the bound to find.
func boundFor(says string) time.Duration {
	if strings.HasPrefix(says, "took longer") {
		return 200 * time.Millisecond
	}
	return time.Minute
}

func TestCancelledCallEnds(t *testing.T) {
	p, h := one(t, `while (true) {}`)
	ctx, cancel := context.WithCancel(context.Background())
	stop := time.AfterFunc(20*time.Millisecond, cancel)
	defer stop.Stop()
	_, err := Runner{}.Run(ctx, p, action.Run{Name: "actions/a", Bounds: action.Bounds{Time: time.Minute}}, h)
	if !fault.Is(err, fault.Timeout) {
		t.Errorf("got %v, want a timeout", err)
	}
}
