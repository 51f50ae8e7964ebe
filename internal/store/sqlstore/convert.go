package sqlstore

import (
	"encoding/json"

	"github.com/galleybackend/galley/internal/value"
)

const dayMillis = 24 * 60 * 60 * 1000

// Convert returns a stored value as one of another type, and whether that could be
// done: what cannot be is null. Bounds are not asked.
func Convert(v value.Value, from, to *value.Type) (value.Value, bool) {
	if v.IsNull() {
		return value.OfNull(), true
	}
	have, want := v.Kind(), to.ValueKind()
	switch {
	case want == value.List && have == value.List:
		return convertList(v, from, to)
	case want == value.Object && have == value.Object:
		return reread(v, to)
	case have == want:
		return v, true
	case want == value.JSON:
		return value.OfJSON(string(value.AppendJSON(nil, v))), true
	case have == value.JSON:
		return reread(v, to)
	case want == value.List:
		item, ok := Convert(v, from, to.Elem)
		if !ok || item.IsNull() {
			return value.OfNull(), false
		}
		return value.OfList([]value.Value{item}), true
	case want == value.Text:
		return convertToText(v)
	case have == value.Text:
		got, issues := value.ParseText(&value.Type{Kind: to.Kind}, v.Text(), "")
		if len(issues) > 0 || got.Kind() != want {
			return value.OfNull(), false
		}
		return got, true
	default:
		return convertNumber(v, want)
	}
}

// convertToText writes a value as its JSON without the quotes.
func convertToText(v value.Value) (value.Value, bool) {
	text := value.AppendJSON(nil, v)
	if n := len(text); n > 1 && text[0] == '"' {
		text = text[1 : n-1]
	}
	return value.OfText(string(text)), v.Kind() != value.Object && v.Kind() != value.List
}

func convertNumber(v value.Value, want value.Kind) (value.Value, bool) {
	have, n := v.Kind(), v.Int()
	switch {
	case have == value.Int && want == value.Float:
		return value.OfFloat(v.Float()), true
	case have == value.Float && want == value.Int:
		f := v.Float()
		whole := f >= -value.IntMax && f <= value.IntMax && f == float64(int64(f))
		if !whole {
			return value.OfNull(), false
		}
		return value.OfInt(int64(f)), true
	case have == value.Bool && want == value.Int:
		if v.Bool() {
			return value.OfInt(1), true
		}
		return value.OfInt(0), true
	case have == value.Int && want == value.Bool && (n == 0 || n == 1):
		return value.OfBool(n == 1), true
	case have == value.Date && want == value.Time:
		return value.OfMillis(value.Time, n), true
	case have == value.Time && want == value.Date:
		day := n / dayMillis
		if n%dayMillis < 0 {
			day--
		}
		return value.OfMillis(value.Date, day*dayMillis), true
	default:
		return value.OfNull(), false
	}
}

func convertList(v value.Value, from, to *value.Type) (value.Value, bool) {
	items := make([]value.Value, len(v.List()))
	for i, item := range v.List() {
		got, ok := Convert(item, from.Elem, to.Elem)
		if !ok {
			return value.OfNull(), false
		}
		items[i] = got
	}
	return value.OfList(items), true
}

// reread reads a value's JSON as another type.
func reread(v value.Value, to *value.Type) (value.Value, bool) {
	got, err := value.DecodeStoredValue(to, value.AppendJSON(nil, v))
	if err != nil || got.Kind() != to.ValueKind() {
		return value.OfNull(), false
	}
	return got, true
}

// typeText is a type written down, for comparing.
func typeText(t *value.Type) string {
	text, err := json.Marshal(t)
	if err != nil {
		return err.Error()
	}
	return string(text)
}
