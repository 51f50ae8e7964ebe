package letter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// decimals are the digits behind the point of currencies that have not two.
var decimals = map[string]int{"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0,
	"KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0,
	"XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3}

// money writes an amount in the smallest unit: 1990 is 19.90 EUR.
func (p Place) money(v any) (string, error) {
	var n int64
	switch v := v.(type) {
	case int64:
		n = v
	case int:
		n = int64(v)
	case json.Number:
		var err error
		if n, err = v.Int64(); err != nil {
			return "", fmt.Errorf("money is a whole number of the smallest unit, not %s", v)
		}
	default:
		return "", fmt.Errorf("money is a whole number of the smallest unit, not %s", noun(v))
	}
	digits, ok := decimals[p.Currency]
	if !ok {
		digits = 2
	}
	text := strconv.FormatInt(n, 10)
	sign := ""
	if rest, negative := strings.CutPrefix(text, "-"); negative {
		sign, text = "-", rest
	}
	if digits > 0 {
		text = strings.Repeat("0", max(digits+1-len(text), 0)) + text
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	return strings.TrimSpace(sign + text + " " + p.Currency), nil
}

// How dates are written where the template does not say.
const layoutDate = "2 January 2006"

// date writes a time or a day, in the app's zone, by one of Go's layouts.
func (p Place) date(v any, layout ...string) (string, error) {
	var t time.Time
	switch v := v.(type) {
	case time.Time:
		t = v.In(p.Zone)
	case Day:
		t = v.Time
	case string:
		var err error
		if t, err = time.Parse(time.DateOnly, v); err == nil {
			break
		}
		if t, err = time.Parse(time.RFC3339Nano, v); err != nil {
			return "", fmt.Errorf("%q is no time", v)
		}
		t = t.In(p.Zone)
	default:
		return "", fmt.Errorf("date needs a time, not %s", noun(v))
	}
	if len(layout) > 1 {
		return "", fmt.Errorf("date takes one layout, not %d", len(layout))
	}
	if len(layout) == 1 {
		return t.Format(layout[0]), nil
	}
	return t.Format(layoutDate), nil
}

// noun names what a template gave a function.
func noun(v any) string {
	switch v.(type) {
	case nil, Nothing:
		return "nothing"
	case string:
		return "a text"
	case bool:
		return "a bool"
	case time.Time, Day:
		return "a time"
	case Fields:
		return "a record"
	case []any:
		return "a list"
	}
	return "a number"
}
