package postgres

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestTextsHaveOneFormInTheirOrder draws texts of the characters that pairs are made of.
func TestTextsHaveOneFormInTheirOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	letters := []string{"\x00", "\x01", "\x02", "\uFFFE", "\uFFFF", "a", "\U0010FFFF", ""}
	draw := func() string {
		var b strings.Builder
		for range rnd.IntN(6) {
			b.WriteString(letters[rnd.IntN(len(letters))])
		}
		return b.String()
	}
	for range 20_000 {
		a, b := draw(), draw()
		x, y := string(appendText(nil, a)), string(appendText(nil, b))
		if strings.ContainsRune(x, 0) {
			t.Fatalf("%q is sent as %q", a, x)
		}
		if got := string((&row{[][]byte{[]byte(x)}}).Text(0)); got != a {
			t.Fatalf("%q comes back as %q", a, got)
		}
		if strings.Compare(x, y) != strings.Compare(a, b) {
			t.Fatalf("%q and %q change places", a, b)
		}
		if strings.HasPrefix(x, y) != strings.HasPrefix(a, b) {
			t.Fatalf("%q begins with %q, or does not", a, b)
		}
	}
}

func TestParametersAreFoundOutsideOfQuotes(t *testing.T) {
	for sql, want := range map[string][]bool{
		"SELECT 1":                        nil,
		"SELECT $1":                       {true},
		"SELECT $2, $2":                   {false, true},
		`SELECT "$1", '$2', $3 || '''$4'`: {false, false, true},
		"SELECT $12":                      append(make([]bool, 11), true),
		"$":                               nil,
	} {
		if got := parameters(sql); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", sql, got, want)
		}
	}
}

func TestNumbersAreReadFromTheirText(t *testing.T) {
	r := &row{[][]byte{nil, []byte("t"), []byte("f"), []byte("-9223372036854775808"),
		[]byte("9223372036854775807"), []byte("1.5"), []byte("-Infinity"), []byte("")}}
	ints := []int64{0, 1, 0, -9223372036854775808, 9223372036854775807, 1}
	for i, want := range ints {
		if got := r.Int(i); got != want {
			t.Errorf("column %d: got %d, want %d", i, got, want)
		}
	}
	if !r.Null(0) || r.Null(7) || r.Float(5) != 1.5 || r.Float(6) >= 0 || r.Text(7) == nil {
		t.Error("nulls and floats are not what they were")
	}
}
