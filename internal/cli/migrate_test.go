package cli

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// filled returns an app with four products, of which one has no note.
func filled(t *testing.T) *place {
	t.Helper()
	p := newPlace(t, small)
	lines := `{"code":"a","price":5,"note":"same"}
{"code":"b","price":50,"note":"same"}
{"code":"c","price":500,"note":"other"}
{"code":"d","price":5000}
`
	if got := p.with(t.Context(), lines, "import", "products", "-"); got.code != exitDone {
		t.Fatal(got.err)
	}
	return p
}

func TestMigrationBlocks(t *testing.T) {
	products := small[strings.Index(small, "  products:"):strings.Index(small, "errors:")]
	for _, c := range []struct {
		name, from, to string
		want           string
	}{
		{"a check that records break", "out_of_stock: record.stock >= 0",
			"out_of_stock: record.stock >= 0\n      cheap: record.price < 100", "2 of 4 records"},
		{"a required field without a default", "note:  text?", "note:  text?\n      maker: string",
			"4 records without a value"},
		{"a field that becomes required", "note:  text?", "note:  text", "1 record without a value"},
		{"a narrower type", "price: {type: money, min: 1}", "price: {type: money, min: 1, max: 99}",
			"2 records with a value that does not fit"},
		{"a unique value that occurs twice", "note:  text?", "note:  {type: string?, unique: true}",
			"blocked"},
		{"a field with values that goes", "      note:  text?\n", "", "3 records with a value"},
		{"a collection with records that goes", products, "", "4 records would be lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := filled(t)
			before := p.want(exitDone, "", "export", "products")
			if !strings.Contains(small, c.from) {
				t.Fatalf("%q is not in the app", c.from)
			}
			p.write("galley.yaml", strings.Replace(small, c.from, c.to, 1))
			p.want(exitDecision, c.want, "migrate", "plan")
			p.want(exitDecision, "Nothing was changed", "migrate", "apply", "--lose", "nothing")
			p.want(exitDecision, "not safe", "serve", "--listen", "127.0.0.1:0")
			p.want(exitDecision, "not safe", "get", "users")
			p.want(exitDone, `"changes":`, "migrate", "status", "--json")
			after := p.want(exitDone, "", "export", "products")
			if after.out != before.out {
				t.Errorf("records changed:\n%s\nwere\n%s", after.out, before.out)
			}
			p.write("galley.yaml", small)
			p.want(exitDone, "fits", "migrate", "status")
		})
	}
}

func TestLossHasToBeNamed(t *testing.T) {
	p := filled(t)
	p.write("galley.yaml", strings.Replace(small, "      note:  text?\n", "", 1))
	p.want(exitDecision, "--lose products.nte names nothing",
		"migrate", "apply", "--lose", "products.nte")
	p.want(exitDone, "Applied: 1 change", "migrate", "apply", "--lose", "products.note")
	if got := p.want(exitDone, "", "export", "products"); strings.Contains(got.out, "note") ||
		strings.Count(got.out, "\n") != 4 {
		t.Errorf("got %s", got.out)
	}
	p.want(exitDone, "fits", "migrate", "status")
}

func TestRenamesKeepValues(t *testing.T) {
	p := filled(t)
	next := strings.Replace(small, "note:  text?", "about: {type: text?, was: note}", 1)
	next = strings.Replace(next, "  products:\n", "  goods:\n    was: products\n", 1)
	p.write("galley.yaml", next)
	p.want(exitDone, "renamed", "migrate", "plan")
	p.want(exitDone, "Applied", "migrate", "apply")
	if got := p.want(exitDone, "", "export", "goods"); strings.Count(got.out, `"about":"same"`) != 2 {
		t.Errorf("got %s", got.out)
	}
	p.want(exitDone, "fits", "migrate", "status")
}

// TestKilledMigrationLeavesTheOldState kills processes at random moments while they
// apply a migration. What is there then is wholly the old state or wholly the new.
func TestKilledMigrationLeavesTheOldState(t *testing.T) {
	const records, rounds = 3000, 8
	var lines strings.Builder
	for i := range records {
		fmt.Fprintf(&lines, `{"code":"c%d","price":5,"note":"note %d"}`+"\n", i, i)
	}
	p := newPlace(t, small)
	if got := p.with(t.Context(), lines.String(), "import", "products", "-"); got.code != exitDone {
		t.Fatal(got.err)
	}
	next := strings.Replace(small, "note:  text?\n", "note:  {type: text, min: 1}\n", 1)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	// How long it takes undisturbed says when a kill may hurt.
	p.write("galley.yaml", next)
	begin := time.Now()
	if out, err := p.process(t.Context(), "migrate", "apply").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	whole := time.Since(begin)
	p.write("galley.yaml", small)
	p.want(exitDone, "Applied", "migrate", "apply")
	old := 0
	for round := range rounds {
		p.write("galley.yaml", next)
		most := time.Duration(chance.Int64N(int64(whole)))
		ctx, cancel := context.WithTimeout(t.Context(), most)
		_ = p.process(ctx, "migrate", "apply").Run() // killed, or done before that
		cancel()
		status := p.want(exitDone, `"changes":`, "migrate", "status", "--json")
		changed := strings.Contains(status.out, `"changes":0`)
		if !changed {
			old++
		}
		got := p.want(exitDone, "", "export", "products")
		if n := strings.Count(got.out, `"note":"note `); n != records {
			t.Fatalf("round %d, changed %v: %d notes, want %d", round, changed, n, records)
		}
		p.write("galley.yaml", small)
		p.want(exitDone, "", "migrate", "apply")
	}
	t.Logf("%d of %d left the old state", old, rounds)
}
