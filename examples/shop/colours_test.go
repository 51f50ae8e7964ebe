package shop_test

import (
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// readable is the contrast that text needs, as WCAG 2 says for the level AA.
const readable = 4.5

func TestTextCanBeReadInBothColourSchemes(t *testing.T) {
	sheet, err := os.ReadFile("public/css/base.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(sheet), "@media (prefers-color-scheme: dark)")
	if !found {
		t.Fatal("there is one colour scheme alone")
	}
	dark, _, _ = strings.Cut(dark, "* { box-sizing")
	for scheme, text := range map[string]string{"light": light, "dark": dark} {
		colour := map[string]string{"white": "#fff8f4"}
		variable := regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6});`)
		for _, m := range variable.FindAllStringSubmatch(text, -1) {
			colour[m[1]] = m[2]
		}
		for _, pair := range [][2]string{
			{"ink", "paper"}, {"ink", "card"}, {"ink", "tint"}, {"paper", "ink"},
			{"muted", "paper"}, {"muted", "card"}, {"muted", "tint"},
			{"accent", "paper"}, {"accent", "card"}, {"accent", "tint"},
			{"on-accent", "accent"}, {"on-accent", "accent-deep"},
			{"warn", "paper"}, {"good", "card"}, {"white", "purse"},
		} {
			got := contrast(t, colour[pair[0]], colour[pair[1]])
			if got < readable {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f",
					scheme, pair[0], pair[1], got, readable)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of a colour such as #9b2335.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(colour, "#"), 16, 32)
	if err != nil {
		t.Fatalf("%q is no colour: %v", colour, err)
	}
	sum := 0.0
	for i, weight := range []float64{0.0722, 0.7152, 0.2126} {
		c := float64(n>>(8*i)&0xff) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		sum += weight * c
	}
	return sum
}
