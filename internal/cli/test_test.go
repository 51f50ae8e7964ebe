package cli

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestTestTellsWhatDoesNotHold(t *testing.T) {
	p := newPlace(t, small)
	p.want(exitDone, "write one in tests/NAME.test.ts", "test")
	p.write("tests/money.test.ts", `import { test, expect } from "galley/test";

test("wallets begin empty", async (t) => {
  await t.user({ name: "Ana" });
  expect((await t.db.users.first())!.wallet).toBe(0);
});

test("wallets begin full", async (t) => {
  await t.user({ name: "Ana" });
  console.log("looking");
  expect((await t.db.users.first())!.wallet).toBe(100);
});
`)
	p.write("tests/other.test.ts", `import { test } from "galley/test";

test("nothing", () => {});
`)
	got := p.want(exitFailed, "", "test")
	for _, want := range []string{"tests/money.test.ts\n", "✓ wallets begin empty", "✗ wallets begin full",
		"    looking\n", "wallets begin full: expected 0 to be 100", "tests/money.test.ts:11:",
		"2 passed, 1 failed"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	p.want(exitDone, "", "test", "--run", "empty|nothing")
	p.want(exitDone, "", "test", "other")
	p.want(exitFailed, "nothing was tested", "test", "--run", "no such test")
	p.want(exitFailed, "nothing was tested", "test", "nofile")
	p.want(exitUsage, "regular expression", "test", "--run", "(")

	got = p.want(exitFailed, "", "test", "money", "--json")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines in %s", len(lines), got.out)
	}
	var bad struct {
		File, Test, Why string
		OK              bool
		Line            int
		Said            []string
	}
	var sum struct{ Passed, Failed, Skipped int }
	if err := json.Unmarshal([]byte(lines[1]), &bad); err != nil {
		t.Fatal(err)
	}
	if bad.OK || bad.Line != 11 || bad.Why != "expected 0 to be 100" || len(bad.Said) != 1 {
		t.Errorf("got %+v", bad)
	}
	if err := json.Unmarshal([]byte(lines[2]), &sum); err != nil || sum.Passed != 1 || sum.Failed != 1 {
		t.Errorf("got %+v, %v", sum, err)
	}
	p.write("tests/other.test.ts", "import { test } from \"galley/test\";\ntest(\n")
	p.want(exitApp, "tests/other.test.ts:", "test")
}
