package value

import (
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	urlMax   = 2048
	emailMax = 254
	// timeMin and timeMax are the first and last millisecond of the years 0 to 9999.
	timeMin = -62167219200000
	timeMax = 253402300799999
)

// plainText reports whether the text is ASCII without control characters that the
// type refuses: then it is valid, clean and in NFC.
func plainText(s string, kind TypeKind) bool {
	for i := range len(s) {
		c := s[i]
		if c >= utf8.RuneSelf || c == 0x7f || c < 0x20 && !mayHold(c, kind) {
			return false
		}
	}
	return true
}

// mayHold reports whether a text of the type may hold the control character. Only a
// text has lines.
func mayHold(c byte, kind TypeKind) bool {
	return kind == TypeText && (c == '\n' || c == '\t' || c == '\r')
}

// control returns the first control character that the type refuses, or -1.
func control(s string, kind TypeKind) rune {
	for _, r := range s {
		if unicode.IsControl(r) && !(r < 0x20 && mayHold(byte(r), kind)) {
			return r
		}
	}
	return -1
}

// joiner is what the library puts between combining marks where more than thirty stand
// in a row, so that streams can be normalised.
const joiner = "\u034f"

// nfc brings a text into NFC. A text that the library would change by its joiners only
// is in NFC and stays as it is.
func nfc(s string) string {
	out := norm.NFC.String(s)
	if out != s && strings.ReplaceAll(out, joiner, "") == strings.ReplaceAll(s, joiner, "") {
		return s
	}
	return out
}

// isID knows the one form of an id; ident makes and explains it.
func isID(s string) bool {
	if len(s) != 26 || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !(c >= '0' && c <= '9' ||
			c >= 'a' && c <= 'z' && c != 'i' && c != 'l' && c != 'o' && c != 'u') {
			return false
		}
	}
	return true
}

// normalEmail takes what browsers take as an address, in ASCII, and returns it in
// lower case.
func normalEmail(s string) (string, bool) {
	local, domain, ok := strings.Cut(s, "@")
	if !ok || len(s) > emailMax || local == "" || len(local) > 64 ||
		local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return "", false
	}
	for i := range len(local) {
		if c := local[i]; !isAlnum(c) && strings.IndexByte(".!#$%&'*+/=?^_`{|}~-", c) < 0 {
			return "", false
		}
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "", false
		}
		for i := range len(label) {
			if !isAlnum(label[i]) && label[i] != '-' {
				return "", false
			}
		}
	}
	return strings.ToLower(s), true
}

// normalURL takes absolute http and https addresses and returns them with scheme
// and host in lower case, else as they are.
func normalURL(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Hostname() == "" || u.User != nil {
		return "", false
	}
	if u.Scheme != "http" && u.Scheme != "https" || strings.ContainsAny(s, " \\") {
		return "", false
	}
	start := len(u.Scheme) + len("://")
	end := strings.IndexAny(s[start:], "/?#")
	if end < 0 {
		return strings.ToLower(s), true
	}
	return strings.ToLower(s[:start+end]) + s[start+end:], true
}

// parseScalar reads the text of a time, date or duration.
func parseScalar(kind TypeKind, s string) (Value, bool) {
	switch kind {
	case TypeTime:
		var t time.Time
		if t.UnmarshalText([]byte(s)) != nil {
			return Value{}, false
		}
		ms := t.UnixMilli()
		return OfMillis(Time, ms), ms >= timeMin && ms <= timeMax
	case TypeDate:
		t, err := time.Parse(time.DateOnly, s)
		return OfMillis(Date, t.UnixMilli()), err == nil && len(s) == len(time.DateOnly)
	default:
		d, err := time.ParseDuration(s)
		return OfDuration(d), err == nil
	}
}

// ParseText reads one text as a value of the type: a parameter of an address, a cell
// of a table. Numbers and truths are written as in JSON, as are lists, objects and
// json. Problems are issues whose pointer is the given one.
func ParseText(t *Type, text, pointer string) (Value, []Issue) {
	p := newPath(pointer)
	v, ok := OfText(text), true
	switch t.Kind {
	case TypeInt, TypeMoney:
		var n int64
		n, ok = parseInt([]byte(text))
		v = OfInt(n)
	case TypeFloat:
		var f float64
		f, ok = parseFloat([]byte(text))
		v = OfFloat(f)
	case TypeBool:
		v, ok = OfBool(text == "true"), text == "true" || text == "false"
	case TypeTime, TypeDate, TypeDuration:
		v, ok = parseScalar(t.Kind, text)
	case TypeList, TypeObject, TypeJSON:
		return decodeText(t, text, pointer)
	}
	if !ok {
		p.tell(CodeType, "must be %s", t.Noun())
		return Value{}, p.issues
	}
	v = p.conform(t, v)
	return v, p.issues
}

// parseInt reads a JSON number that is written without fraction and exponent and
// lies within the range of ints: there is one way to write an int.
func parseInt(raw []byte) (int64, bool) {
	digits := raw
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 16 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	n := int64(0)
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	if len(digits) != len(raw) {
		n = -n
	}
	return n, n >= -IntMax && n <= IntMax
}

// parseFloat reads a JSON number that a float can hold.
func parseFloat(raw []byte) (float64, bool) {
	if !isNumberText(raw) {
		return 0, false
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if f == 0 {
		f = 0 // never the negative zero
	}
	return f, err == nil
}

// isNumberText knows the grammar of JSON numbers, which is narrower than Go's.
func isNumberText(b []byte) bool {
	b = trimPrefix(b, "-")
	switch {
	case len(b) == 0:
		return false
	case b[0] == '0':
		b = b[1:]
	default:
		n := digits(b)
		if n == 0 {
			return false
		}
		b = b[n:]
	}
	if len(b) > 0 && b[0] == '.' {
		n := digits(b[1:])
		if n == 0 {
			return false
		}
		b = b[1+n:]
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = trimPrefix(b[1:], "+-")
		n := digits(b)
		return n > 0 && n == len(b)
	}
	return len(b) == 0
}

func trimPrefix(b []byte, any string) []byte {
	if len(b) > 0 && strings.IndexByte(any, b[0]) >= 0 {
		return b[1:]
	}
	return b
}

func digits(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}
