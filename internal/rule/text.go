package rule

import "strings"

// texts are the functions of texts that Galley adds; they mean what CEL's extended
// strings do.
var texts = [...]struct {
	name string
	do   func(string) string
}{
	{"lowerAscii", func(s string) string { return mapASCII(s, 'A', 'Z', 'a'-'A') }},
	{"upperAscii", func(s string) string { return mapASCII(s, 'a', 'z', 'A'-'a') }},
	{"trim", strings.TrimSpace},
}

func mapASCII(s string, from, to, by rune) string {
	return strings.Map(func(r rune) rune {
		if r >= from && r <= to {
			return r + by
		}
		return r
	}, s)
}
