package tsaction

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/action"
)

// greedy are bodies that take what they can get in as few steps as they can.
var greedy = map[string]string{
	"doubling":        `let s = "x"; while (true) s += s`,
	"doubling wide":   `let s = "é"; while (true) s = s + s`,
	"template":        "let s = \"x\"; while (true) s = `${s}${s}${s}${s}`",
	"field":           `const o = {s: "x"}; while (true) o.s += o.s`,
	"joined pieces":   `let s = "x".repeat(1e6); const a: string[] = []; while (true) a.push(s + a.length)`,
	"literal":         `let s = ""; while (true) s += "0123456789012345678901234567890123456789012345678901234567890123"`,
	"assign":          `const all: any[] = []; while (true) all.push(Object.assign({}, "x".repeat(1e6)))`,
	"spread":          `const all: any[] = []; while (true) all.push({..."x".repeat(1e6)})`,
	"rest":            `const all: any[] = []; while (true) { const {...r} = "x".repeat(1e6) as any; all.push(r) }`,
	"rest of a call":  `const f = ({...r}: any) => r; const all: any[] = []; while (true) all.push(f("x".repeat(1e6)))`,
	"entries":         `const all: any[] = []; while (true) all.push(Object.entries("x".repeat(1e6)))`,
	"names":           `const all: any[] = []; while (true) all.push(Object.getOwnPropertyNames("x".repeat(1e6)))`,
	"lists":           `const all: any[] = []; while (true) all.push(Array(1e5).fill(1.5))`,
	"objects":         `const all: any[] = []; while (true) all.push({a: {b: [1, 2, 3]}})`,
	"texts in a map":  `const m = new Map(); for (let i = 0; ; i++) m.set(i, "x".repeat(1e5) + i)`,
	"buffers":         `const all: any[] = []; while (true) all.push(new Uint8Array(1e6))`,
	"replaced by big": `const big = "b".repeat(1e6); return {it: "a".repeat(2e5).replace(/a/g, () => big).length}`,
	"closures":        `let f: any = () => 1; while (true) { const g = f; f = () => g }`,
	"upper":           `let s = "ß".repeat(5e5); const a: any[] = []; while (true) { a.push(s.toUpperCase()) }`,
	"encoded":         `let s = "é".repeat(5e5); const a: any[] = []; while (true) { a.push(encodeURIComponent(s)) }`,
	"characters":      `const o: any = {}; for (const i in "x".repeat(1e6) as any) o[i] = [i]; return {it: 1}`,
}

// residentMax is how much a process may take at most while a body runs that is held to
// the memory of an action, in KB.
const residentMax = 300 << 10

// TestNoBodyTakesMuchMoreThanItsMemory runs each in a process of its own, because what
// counts is what the machine has to give.
func TestNoBodyTakesMuchMoreThanItsMemory(t *testing.T) {
	if body := os.Getenv("GALLEY_GREEDY"); body != "" {
		p, h := one(t, body)
		_, err := call(p, h, action.Bounds{Time: 500 * time.Millisecond, Memory: 64 << 20, Calls: 100})
		t.Log("ended with", err)
		t.Log("at most", peak(t))
		return
	}
	for name, body := range greedy {
		t.Run(name, func(t *testing.T) {
			c := exec.Command(os.Args[0], "-test.run=^TestNoBodyTakesMuchMoreThanItsMemory$", "-test.v")
			c.Env = append(os.Environ(), "GALLEY_GREEDY="+body)
			start := time.Now()
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			after := func(words string) string {
				_, rest, _ := strings.Cut(string(out), words)
				rest, _, _ = strings.Cut(rest, "\n")
				return strings.TrimSpace(rest)
			}
			said := after("ended with")
			most, err := strconv.Atoi(after("at most"))
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			t.Logf("%d MB, %s: %s", most>>10, time.Since(start).Round(time.Millisecond), said)
			if most > residentMax {
				t.Errorf("it took %d MB", most>>10)
			}
		})
	}
}

// peak is how much this process took at most, in KB. What the system tells its parent is not
// less than what the parent had itself.
func peak(t *testing.T) string {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	rest, _, _ = strings.Cut(rest, "kB")
	return strings.TrimSpace(rest)
}
