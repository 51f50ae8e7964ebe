package engine

import (
	"testing"
	"unicode/utf8"
)

func TestLiftTakesOutWhatIsOnlyAValue(t *testing.T) {
	for filter, want := range map[string]string{
		`price <= 900`:                   `price <= P0_`,
		`price <= 900 && 10 < stock`:     `price <= P0_ && 10 < stock`,
		`price == 12.50`:                 `price == P0___`,
		`price > 5`:                      `price > 5`, // too narrow for a name
		`name.contains("ink")`:           `name.contains(P0___)`,
		`name.contains('ink') || n==77`:  `name.contains(P0___) || n==P1`,
		`status == "paid"`:               `status == "paid"`, // may be a word of an enum
		`name.matches("a.b")`:            `name.matches("a.b")`,
		`created > timestamp("2026")`:    `created > timestamp("2026")`,
		`created > now - days(30)`:       `created > now - days(30)`,
		`name.contains("a\"b")`:          `name.contains("a\"b")`,
		`name.contains("""ink""")`:       `name.contains("""ink""")`,
		`name.contains(r"ink")`:          `name.contains(r"ink")`,
		`name.contains("open`:            `name.contains("open`,
		`n >= 0x1F || n >= 12u`:          `n >= 0x1F || n >= 12u`,
		`n <= 99999999999999999999`:      `n <= 99999999999999999999`,
		`item12 > 10 && a1.b22 != 33`:    `item12 > P0 && a1.b22 != P1`,
		`name.startsWith("größe") && ok`: `name.startsWith(P0_____) && ok`,
		"":                               "",
	} {
		got := lift(filter)
		if got.text != want {
			t.Errorf("lift(%s) = %s, want %s", filter, got.text, want)
		}
		if utf8.RuneCountInString(got.text) != utf8.RuneCountInString(filter) {
			t.Errorf("lift(%s) moves columns: %s", filter, got.text)
		}
	}
}

func TestFiltersThatDifferInValuesShareAKey(t *testing.T) {
	same := [][2]string{{`price <= 900`, `price <= 100`}, {`n.contains("ab")`, `n.contains("cd")`}}
	for _, x := range same {
		if a, b := lift(x[0]).key(), lift(x[1]).key(); a != b {
			t.Errorf("%s and %s have the keys %q and %q", x[0], x[1], a, b)
		}
	}
	if a, b := lift(`price <= 9000`).key(), lift(`price <= 90.5`).key(); a == b {
		t.Errorf("a whole number and a float share the key %q", a)
	}
}

func FuzzLift(f *testing.F) {
	f.Add(`price <= 900 && name.contains("ink")`)
	f.Add(`name.contains('a\'b') || "x" == '`)
	f.Fuzz(func(t *testing.T, filter string) {
		got := lift(filter)
		if utf8.ValidString(filter) &&
			utf8.RuneCountInString(got.text) != utf8.RuneCountInString(filter) {
			t.Errorf("lift(%q) = %q", filter, got.text)
		}
	})
}
