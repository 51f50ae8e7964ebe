package tsaction

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// TestNothingIsLeftOfACall calls the same action twice in one engine: each way of
// keeping something must fail or be gone.
func TestNothingIsLeftOfACall(t *testing.T) {
	for name, c := range map[string]struct{ before, body string }{
		"module variable": {`let n = 0;`, `return {it: ++n}`},
		"module list":     {`const seen = [];`, `seen.push(1); return {it: seen.length}`},
		"class field":     {`class C { static n = 0 }`, `return {it: ++C.n}`},
		"function field":  {`function f() {}`, `f.n = (f.n || 0) + 1; return {it: f.n}`},
		"global": {``, `try { globalThis.n = (globalThis.n || 0) + 1 } catch (e) {}
			return {it: (globalThis.n || 0) + 1}`},
		"undeclared": {``, `try { n = 1 } catch (e) {}
			return {it: typeof n === "undefined" ? 1 : 2}`},
		"prototype": {``, `try { Array.prototype.n = 2 } catch (e) {}
			return {it: [].n || 1}`},
		"getter's function": {``, `const get = Object.getOwnPropertyDescriptor(Map.prototype, "size").get
			const n = (get.n || 0) + 1; try { get.n = n } catch (e) {}
			return {it: n}`},
		"proto of functions": {``, `const p = Object.getPrototypeOf(async () => {})
			const n = (p.n || 0) + 1; try { p.n = n } catch (e) {}
			return {it: n}`},
		"tx": {``, `const n = (tx.n || 0) + 1; try { tx.n = n } catch (e) {}
			try { tx.db.n = n } catch (e) {}
			try { tx.db.products.n = n } catch (e) {}
			try { tx.log.n = n } catch (e) {}
			return {it: Math.max(n, tx.db.n || 0, tx.db.products.n || 0, tx.log.n || 0)}`},
		"what tx is made of": {``, `let n = tx.n || tx.db.n || 1
			try { Object.setPrototypeOf(tx, {n: 2}) } catch (e) {}
			try { Reflect.setPrototypeOf(tx.db, {n: 2}) } catch (e) {}
			return {it: n}`},
		"module galley": {``, `try { refuse.n = (refuse.n || 0) + 1 } catch (e) {}
			return {it: (refuse.n || 0) + 1}`},
		"callee": {``, `try { arguments.callee.n = 1 } catch (e) {}
			let n = 1; try { n += arguments.callee.n || 0 } catch (e) {}
			return {it: n}`},
		"symbols":      {``, `const s = Symbol.for("x"); try { s.n = 1 } catch (e) {} return {it: 1 + (s.n || 0)}`},
		"console":      {``, `try { console.n = 1 } catch (e) {} return {it: 1}`},
		"regex":        {`const r = /a/g;`, `r.test("aa"); return {it: r.lastIndex}`},
		"template":     {`const keep = (s) => s;`, `const s = keep` + "`x`" + `; try { s.n = 2 } catch (e) {} return {it: s.n || 1}`},
		"constructor":  {``, `const C = [].constructor; try { C.n = 2 } catch (e) {} return {it: C.n || 1}`},
		"dates":        {``, `try { Date.n = 2 } catch (e) {} return {it: Date.n || 1}`},
		"iterators":    {``, `const p = Object.getPrototypeOf([][Symbol.iterator]()); try { p.n = 2 } catch (e) {} return {it: p.n || 1}`},
		"pending jobs": {`let n = 1;`, `Promise.resolve().then(() => { try { globalThis.n = 5 } catch (e) {} }); return {it: n}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := actiontest.Shop("a")
			p := load(t, s, map[string]string{"actions/a.js": `import { action, refuse } from "galley";
` + c.before + `
export default action("a", function (tx, input) {` + c.body + `});`})
			h := actiontest.NewMemory(s)
			for range 3 {
				out, err := call(p, h, bounds)
				if err != nil {
					t.Fatal(err)
				}
				if got := out.Record().Get("it").Text(); got != "1" {
					t.Fatalf("got %s, want 1", got)
				}
			}
			if len(p.idle) != 1 {
				t.Errorf("%d engines, want the one that ran all calls", len(p.idle))
			}
		})
	}
}

// TestWhatReadingTheAnswerBeginsIsDoneInItsCall lets a getter of the answer begin what
// an engine does only when it is entered again, which is in the next call.
func TestWhatReadingTheAnswerBeginsIsDoneInItsCall(t *testing.T) {
	number := value.NewShape("a", []value.Field{{Name: "it", Type: value.Type{Kind: value.TypeInt}}})
	run := func(p *Program, h *actiontest.Memory, b action.Bounds) error {
		_, err := Runner{}.Run(context.Background(), p,
			action.Run{Name: "actions/a", Bounds: b, Output: number}, h)
		return err
	}
	p, h := one(t, `let begun = false; return { get it() {
		if (!begun) Promise.resolve().then(() => console.log("late"));
		begun = true;
		return 1;
	} }`)
	for n := range 3 {
		var lines strings.Builder
		h.Logs = actiontest.Lines(&lines)
		if err := run(p, h, bounds); err != nil || lines.String() != "late\n" {
			t.Errorf("call %d logged %q, %v", n, lines.String(), err)
		}
	}
	p, h = one(t, `return { get it() {
		const again = (): any => Promise.resolve().then(again);
		again();
		return 1;
	} }`)
	err := run(p, h, action.Bounds{Time: 50 * time.Millisecond})
	if !fault.Is(err, fault.Timeout) {
		t.Errorf("promises without end: %v", err)
	}
}

func TestNothingReachesOutside(t *testing.T) {
	for _, name := range []string{"fetch", "XMLHttpRequest", "WebSocket", "setTimeout", "setInterval",
		"setImmediate", "queueMicrotask", "process", "Buffer", "eval", "Intl", "SharedArrayBuffer",
		"Atomics", "WeakRef", "FinalizationRegistry", "BigInt", "GoError", "Deno", "Bun", "import_meta"} {
		says(t, `return {it: typeof `+name+`}`, `"undefined"`)
	}
	for _, body := range []string{
		`new Function("return 1")()`, `Function("return 1")`, `(() => 1).constructor("return 1")()`,
		`(async () => 1).constructor("return 1")()`, `(function* () {}).constructor("yield 1")()`,
		`Reflect.construct(Function, ["return 1"])`, `refuse.constructor("return 1")()`,
		`tx.db.products.get.constructor("return 1")()`, `class F extends Function {}; new F("return 1")`,
	} {
		says(t, `try { `+body+`; return {it: "ran"} } catch (e) { return {it: e.name} }`, `"TypeError"`)
	}
}

func TestSameCallSameResult(t *testing.T) {
	body := `return {it: [Math.random(), tx.random(), Date.now(), new Date().toISOString(), tx.now.getTime(),
		tx.db.products.insert({name: "x", price: 1, listed: true}).id]}`
	var got []string
	for range 2 {
		p, h := one(t, body)
		out, err := call(p, h, bounds)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, out.Record().Get("it").Text())
	}
	if got[0] != got[1] || !strings.Contains(got[0], "2026-11-21T10:00:00.000Z") {
		t.Errorf("got %s\nthen %s", got[0], got[1])
	}
}

func TestWorldIsTheSameEverywhere(t *testing.T) {
	says(t, `const d = new Date(2026, 0, 2, 3, 4, 5); return {it: [d.toISOString(), d.getHours(), d.getDay(),
		new Date("2026-01-02T03:04").toISOString(), new Date("2026-01-02").getDate(), d.getTimezoneOffset(),
		String(d), d.toDateString(), d instanceof Date, new Date(d).getTime() === d.getTime()]}`,
		`["2026-01-02T03:04:05.000Z",3,5,"2026-01-02T03:04:00.000Z",2,0,"2026-01-02T03:04:05.000Z","2026-01-02",true,true]`)
	says(t, `return {it: [(1234.5).toLocaleString("de-DE"), "İ".toLocaleLowerCase("tr").length > 0]}`, `["1234.5",true]`)
}

func TestLanguage(t *testing.T) {
	for body, want := range map[string]string{
		`class E extends Error { constructor(m) { super(m); this.name = "E" } }
		 try { throw new E("x") } catch (e) { return {it: [String(e), e instanceof E, e instanceof Error]} }`: `["E: x",true,true]`,
		`const o: any = {}; o.toString = () => "own"; o.constructor = 1; return {it: ` + "`${o}`" + `}`:             `"own"`,
		`class P { #x = 1; static y = 2; get x() { return this.#x } } return {it: [new P().x, P.y]}`:                `[1,2]`,
		`const {a, ...rest} = {a: 1, b: 2, c: 3}; return {it: {...rest, d: null?.x ?? 4}}`:                          `{"b":2,"c":3,"d":4}`,
		`let x: any = null; x ??= 5; x ||= 6; x &&= 7; return {it: x}`:                                              `7`,
		`return {it: Object.groupBy([1, 2, 3], (n) => n % 2 ? "odd" : "even")}`:                                     `{"odd":[1,3],"even":[2]}`,
		`return {it: structuredClone({a: [new Date(0)], m: 1})}`:                                                    `{"a":["1970-01-01T00:00:00.000Z"],"m":1}`,
		`return {it: [3, 1, 2].toSorted().at(-1)}`:                                                                  `3`,
		`return {it: [..."añ"].map((c) => c.codePointAt(0))}`:                                                       `[97,241]`,
		`return {it: "a-b-c".replace(/-(\w)/g, (_, c) => c.toUpperCase())}`:                                         `"aBC"`,
		`return {it: "2026-11-21".match(/(?<y>\d+)-(?<m>\d+)/).groups.m}`:                                           `"11"`,
		`return {it: [..."a1b2".matchAll(/\d/g)].map((m) => m[0])}`:                                                 `["1","2"]`,
		`return {it: [10, 9, 1].sort()}`:                                                                            `[1,10,9]`,
		`return {it: Array.from({length: 3}, (_, i) => i).concat(Array(2).fill(7))}`:                                `[0,1,2,7,7]`,
		`class L extends Array {}; const l = L.from([1, 2]); return {it: [l instanceof L, l.map((x) => x).length]}`: `[true,2]`,
		`return {it: Array.isArray(new Array(3)) && new Uint8Array([1, 2]).map((x) => x + 1)[1]}`:                   `3`,
		`return (async () => ({it: (await Promise.all([1, Promise.resolve(2)])).length}))()`:                        `2`,
		`return {it: ["x".padStart(3, "ab"), [1, [2, [3]]].flat(2).join("-"), JSON.stringify({a: 1}, null, 1)]}`:    `["abx","1-2-3","{\n \"a\": 1\n}"]`,
		`enum Color { Red = "r" } return {it: Color.Red satisfies string}`:                                          `"r"`,
		`const s = new Set([1, 2]); return {it: [...s, s.size, new Map([[1, 2]]).get(1)]}`:                          `[1,2,2,2]`,
		`label: for (const a of [1]) { for (;;) break label } return {it: typeof Symbol.iterator}`:                  `"symbol"`,
	} {
		says(t, body, want)
	}
}

func TestConsoleGoesToTheLog(t *testing.T) {
	p, h := one(t, `console.log("a", {b: 1}, new Error("c")); tx.log("d", {e: 1, f: {g: 2}})`)
	var lines strings.Builder
	h.Logs = actiontest.Lines(&lines)
	if _, err := (Runner{}).Run(context.Background(), p, action.Run{Name: "actions/a", Bounds: bounds}, h); err != nil {
		t.Fatal(err)
	}
	want := "a {\"b\":1} Error: c\nd e=1 f={\"g\":2}\n"
	if lines.String() != want {
		t.Errorf("got %q\nwant %q", lines.String(), want)
	}
}
