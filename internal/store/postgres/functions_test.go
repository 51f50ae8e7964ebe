package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/value"
)

// connected is a connection to an empty database, with the functions.
func connected(t *testing.T) *conn {
	t.Helper()
	return connectedTo(t, pgtest.Shared(t).Database(t))
}

func connectedTo(t *testing.T, url string) *conn {
	t.Helper()
	d, err := newDialect(url)
	if err != nil {
		t.Fatal(err)
	}
	must(t, d.apart(t.Context(), d.prepare), d.apart(t.Context(), d.functions))
	c := newConn(d, true)
	if err := c.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// value returns what an expression of the arguments yields, or NULL.
func (c *conn) value(t *testing.T, sql string, args ...value.Value) string {
	t.Helper()
	out := "NULL"
	err := c.Query(context.Background(), "SELECT "+sql, args, func(r sqlstore.Row) error {
		if !r.Null(0) {
			out = string(r.Text(0))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

// TestPatternsMatchAsRE2 compares patterns of every kind on texts of few letters, among
// them those that stand as pairs.
func TestPatternsMatchAsRE2(t *testing.T) {
	c := connected(t)
	letters := []string{"a", "b", "B", "_", "0", " ", "\n", "é", "K", "\u212A", "ſ", "日",
		"\U0001F600", "\x00", "\x01", "\uFFFE", "\uFFFF", "-", "]", "\\", "^", "$", ".", "'"}
	patterns := []string{"", "a", "^a", "a$", `\Aa\z`, ".", "^.$", "(?s)^.$", "(?s).b", "[ab]+$",
		"[^a]", "^[^a]*$", `\d+`, `\D`, `\w`, `\W`, `\s`, `\S`, `\bab?\b`, `a\B`, "(?i)k", "(?i)s",
		"(?i)É", `\x00`, `\x01`, `[\x00-\x02]`, `[^\x00]`, `\x{FFFE}`, `[\x{FFFD}-\x{FFFF}]`,
		"(?m)^a$", "(?m)b$", "(a|b)c?", "a{2}", "a{1,3}b", "(?:ab){2,}", "a*?b", "(a|)b", "a||b",
		"()", "x*", `\pL`, `^\p{Han}`, `\PL`, `[[:alpha:]]`, `[^[:space:]]`, `\Q.\E`, `\.`, `[.]`,
		`[\]\-\\^]`, "日+", "[é-日]", `^\^`, `\$$`, "'", `[^\pL\d]`, "(a(b(c)?)?)?$", "(^a|b$)",
		"(?i)[a-c]", `\x{1F600}`, "[^ -~]", "a.b", "^$", "(?m)^$", ".{3}", "(?s)^.{2}$"}
	rnd := rand.New(rand.NewPCG(7, 7))
	for _, p := range patterns {
		re := regexp.MustCompile(p)
		plain, exact, err := query.Pattern(p)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		var texts []value.Value
		want := ""
		for n := range 120 {
			var b strings.Builder
			if n < len(letters) {
				b.WriteString(letters[n])
			} else {
				for range rnd.IntN(5) {
					b.WriteString(letters[rnd.IntN(len(letters))])
				}
			}
			texts = append(texts, value.OfText(b.String()))
			want += fmt.Sprint(re.MatchString(b.String()))[:1]
		}
		var parts []string
		for i := range texts {
			parts = append(parts, fmt.Sprintf(
				`left(galley_matches($%d::text COLLATE "C", %s, %s)::text, 1)`, i+1,
				quoteText(plain), quoteText(exact)))
		}
		got := c.value(t, strings.Join(parts, " || "), texts...)
		for i := range want {
			if i < len(got) && got[i] != want[i] {
				t.Errorf("%s on %q: got %c, want %c (%s, %s)", p, texts[i].Text(), got[i], want[i],
					plain, exact)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s: %d answers of %d", p, len(got), len(want))
		}
	}
}

func TestPatternsWithoutAnEquivalentAreRefused(t *testing.T) {
	for _, p := range []string{"a{300}", "(^)*", `(\b)+`, `(?:)*`} {
		if plain, _, err := query.Pattern(p); err == nil {
			t.Errorf("%s: got %s, want a refusal", p, plain)
		}
	}
}
