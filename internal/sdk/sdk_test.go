package sdk_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/galleybackend/galley/internal/do/bundle"
	"github.com/galleybackend/galley/internal/sdk"
)

// sizeMax is what the client may take of somebody's line, in bytes.
const sizeMax = 10_000

func TestCommittedBuildIsThatOfTheSources(t *testing.T) {
	built, err := bundle.Build(".")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range built {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what its sources build: run go generate ./internal/sdk", name)
		}
	}
}

func TestClientIsSmall(t *testing.T) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.Write(sdk.Script()); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("galley.js has %d bytes, %d compressed", len(sdk.Script()), b.Len())
	if b.Len() >= sizeMax {
		t.Errorf("galley.js has %d bytes compressed, and may have less than %d", b.Len(), sizeMax)
	}
}

// unit bundles the tests that are written in TypeScript, for node.
func unit(t *testing.T) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "unit.mjs")
	r := api.Build(api.BuildOptions{EntryPoints: []string{"client/test/unit.ts"}, Bundle: true,
		Format: api.FormatESModule, Platform: api.PlatformNode, Target: api.ES2022,
		Outfile: to, Write: true, Sourcemap: api.SourceMapInline,
		TsconfigRaw: `{"compilerOptions": {"strict": true}}`})
	for _, e := range r.Errors {
		t.Fatalf("%v: %s", e.Location, e.Text)
	}
	return to
}

func TestClientAgainstAServerThatIsNotThere(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "node", "--enable-source-maps", unit(t)).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// row is a record of the test of orders: a number, a text or a duration that may be null,
// and a truth.
type row struct {
	ID   string   `json:"id"`
	N    *float64 `json:"n"`
	Text *string  `json:"text"`
	Span *string  `json:"span"`
	OK   bool     `json:"ok"`
	span int
}

// TestOrderIsTheServers has the client sort what is sorted here by the rules that the store
// keeps: null first, numbers by size, texts by their bytes, durations by length.
func TestOrderIsTheServers(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	letters := []rune("aZ09é ~\uffff\ue000\U0001f600\U00010000-")
	spans := map[string]int{"0s": 0, "1m30s": 90, "10s": 10, "9s": 9, "2h0m0s": 7200, "-1s": -1}
	rows := make([]row, 300)
	for i := range rows {
		rows[i] = row{ID: strconv.Itoa(100_000 + i), OK: chance.IntN(2) == 0}
		if chance.IntN(5) > 0 {
			n := float64(chance.IntN(9)-4) / 2
			rows[i].N = &n
		}
		if chance.IntN(5) > 0 {
			text := make([]rune, chance.IntN(4))
			for j := range text {
				text[j] = letters[chance.IntN(len(letters))]
			}
			s := string(text)
			rows[i].Text = &s
		}
		if chance.IntN(5) > 0 {
			all := slices.Sorted(func(yield func(string) bool) {
				for s := range spans {
					if !yield(s) {
						return
					}
				}
			})
			s := all[chance.IntN(len(all))]
			rows[i].Span, rows[i].span = &s, spans[s]
		}
	}
	keys := map[string]func(a, b row) int{
		"n":    func(a, b row) int { return nullFirst(a.N, b.N, cmp.Compare[float64]) },
		"text": func(a, b row) int { return nullFirst(a.Text, b.Text, strings.Compare) },
		"ok":   func(a, b row) int { return cmp.Compare(strconv.FormatBool(a.OK), strconv.FormatBool(b.OK)) },
		"span": func(a, b row) int {
			return nullFirst(a.Span, b.Span, func(x, y string) int { return spans[x] - spans[y] })
		},
		"id": func(a, b row) int { return strings.Compare(a.ID, b.ID) },
	}
	sorts := []string{"n", "-n", "text", "-text", "span", "-span,n", "ok,-text", "-ok,n,text", "-id", "n,-id"}
	input, err := json.Marshal(map[string]any{"rows": rows, "sorts": sorts})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", unit(t), "order")
	cmd.Stdin = bytes.NewReader(input)
	text, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got [][]string
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for i, s := range sorts {
		want := slices.Clone(rows)
		slices.SortFunc(want, func(a, b row) int {
			for key := range strings.SplitSeq(s+",id", ",") {
				name, desc := strings.CutPrefix(key, "-")
				c := keys[name](a, b)
				if desc {
					c = -c
				}
				if c != 0 {
					return c
				}
			}
			return 0
		})
		for j := range want {
			if got[i][j] != want[j].ID {
				t.Errorf("sort %s: %s is at place %d, want %s", s, got[i][j], j, want[j].ID)
				break
			}
		}
	}
}

func nullFirst[T any](a, b *T, compare func(a, b T) int) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	default:
		return compare(*a, *b)
	}
}

// TestChaos has three people change the same records over lines that break at every point.
func TestChaos(t *testing.T) {
	program := unit(t)
	var running sync.WaitGroup
	for range 2 {
		running.Go(func() {
			seed := strconv.FormatUint(uint64(rand.Uint32()), 10)
			cmd := exec.CommandContext(t.Context(), "node", "--enable-source-maps", program, "chaos", seed, "150")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("seed %s: %v\n%s", seed, err, out)
			}
		})
	}
	running.Wait()
}
