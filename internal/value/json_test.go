package value

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

const someID = "01k9vq3m8de00r40m30e209185"

func productShape(t testing.TB) *Shape {
	t.Helper()
	code, err := NewPattern("^[A-Z]{2,4}$")
	if err != nil {
		t.Fatal(err)
	}
	line := NewShape("", []Field{
		{Name: "product", Type: Type{Kind: TypeRelation, Of: "products"}},
		{Name: "quantity", Type: Type{Kind: TypeInt, Min: &Bound{Int: 1}, Max: &Bound{Int: 99}}},
	})
	return NewShape("products", []Field{
		{Name: "name", Type: Type{Kind: TypeString, Max: &Bound{Int: 8}}},
		{Name: "about", Type: Type{Kind: TypeText, Optional: true}},
		{Name: "code", Type: Type{Kind: TypeString, Optional: true, Pattern: code}},
		{Name: "price", Type: Type{Kind: TypeMoney, Optional: true, Min: &Bound{Int: 1}}},
		{Name: "stock", Type: Type{Kind: TypeInt}, Default: OfInt(0)},
		{Name: "weight", Type: Type{Kind: TypeFloat, Optional: true}},
		{Name: "listed", Type: Type{Kind: TypeBool}, Default: OfBool(false)},
		{Name: "since", Type: Type{Kind: TypeTime, Optional: true}},
		{Name: "day", Type: Type{Kind: TypeDate, Optional: true}},
		{Name: "span", Type: Type{Kind: TypeDuration, Optional: true}},
		{Name: "email", Type: Type{Kind: TypeEmail, Optional: true}},
		{Name: "site", Type: Type{Kind: TypeURL, Optional: true}},
		{Name: "state", Type: Type{Kind: TypeEnum, Optional: true, Words: []string{"paid", "shipped"}}},
		{Name: "owner", Type: Type{Kind: TypeRelation, Optional: true, Of: "users"}},
		{Name: "tags", Type: Type{Kind: TypeList, Optional: true, Elem: &Type{Kind: TypeString}}},
		{Name: "lines", Type: Type{Kind: TypeList, Optional: true,
			Elem: &Type{Kind: TypeObject, Fields: line}}},
		{Name: "extra", Type: Type{Kind: TypeJSON, Optional: true}},
	})
}

func TestDecodeReadsEachTypeAndWritesItBack(t *testing.T) {
	shape := productShape(t)
	body := `{"name":"pen","about":"two\nlines","code":"AB","price":1990,"stock":3,` +
		`"weight":0.25,"listed":true,"since":"2026-11-21T08:30:00.120Z","day":"2026-11-21",` +
		`"span":"1h30m","email":"ana@example.com","site":"https://example.com/A?b=C",` +
		`"state":"paid","owner":"` + someID + `","tags":["a","b"],` +
		`"lines":[{"product":"` + someID + `","quantity":2}],"extra":{"a":[1,null]}}`
	r, issues, err := DecodeObject([]byte(body), shape, Decoding{})
	if err != nil || len(issues) != 0 {
		t.Fatal(err, issues)
	}
	if got := string(AppendRecord(nil, r)); got != body {
		t.Errorf("got  %s\nwant %s", got, body)
	}
	back, err := DecodeStored(shape, []byte(body))
	if err != nil || !OfRecord(back).Equal(OfRecord(r)) {
		t.Errorf("stored: %v, %s", err, AppendRecord(nil, back))
	}
	if again := ConformRecord(r, ""); len(again) != 0 {
		t.Errorf("what was decoded does not conform: %v", again)
	}
}

func TestDecodeNormalises(t *testing.T) {
	r, issues, err := DecodeObject([]byte(`{"name":"e\u0301","email":"Ana@Example.COM",`+
		`"site":"HTTPS://Example.COM/Path","since":"2026-11-21T09:30:00.1239+01:00",`+
		`"span":"90s","weight":-0.0,"extra":{ "a" : 1 }}`), productShape(t), Decoding{})
	if err != nil || len(issues) != 0 {
		t.Fatal(err, issues)
	}
	for name, want := range map[string]string{
		"name": `"é"`, "email": `"ana@example.com"`, "site": `"https://example.com/Path"`,
		"since": `"2026-11-21T08:30:00.123Z"`, "span": `"1m30s"`, "weight": "0",
		"extra": `{"a":1}`, "stock": "0", "listed": "false", "about": "null",
	} {
		if got := string(AppendJSON(nil, r.Get(name))); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func TestDecodeTellsEveryIssueWithItsPointer(t *testing.T) {
	cases := []struct{ name, body, want string }{
		{"missing", `{}`, "#/name required"},
		{"null", `{"name":null}`, "#/name required"},
		{"several", `{"name":"123456789","price":0,"stock":"3"}`, "#/name max, #/price min, #/stock type"},
		{"fraction", `{"name":"a","stock":1.0}`, "#/stock type"},
		{"exponent", `{"name":"a","stock":1e2}`, "#/stock type"},
		{"beyond 2^53", `{"name":"a","stock":9007199254740992}`, "#/stock type"},
		{"huge", `{"name":"a","stock":123456789012345678901234567890}`, "#/stock type"},
		{"huge float", `{"name":"a","weight":1e400}`, "#/weight type"},
		{"huge in json", `{"name":"a","extra":[1e400]}`, "#/extra type"},
		{"NUL", `{"name":"a\u0000"}`, "#/name format"},
		{"newline in a string", `{"name":"a\nb"}`, "#/name format"},
		{"delete", `{"name":"a\u007f"}`, "#/name format"},
		{"C1", `{"name":"a\u0085"}`, "#/name format"},
		{"pattern", `{"name":"a","code":"ab"}`, "#/code pattern"},
		{"id", `{"name":"a","owner":"role:admin"}`, "#/owner format"},
		{"id in upper case", `{"name":"a","owner":"01K9VQ3M8DE00R40M30E209185"}`, "#/owner format"},
		{"enum", `{"name":"a","state":"piad"}`, "#/state enum"},
		{"email", `{"name":"a","email":"ana@"}`, "#/email format"},
		{"url", `{"name":"a","site":"javascript:alert(1)"}`, "#/site format"},
		{"time", `{"name":"a","since":"2026-02-30T00:00:00Z"}`, "#/since type"},
		{"date", `{"name":"a","day":"2026-2-3"}`, "#/day type"},
		{"object", `{"name":"a","stock":{"$add":1}}`, "#/stock type"},
		{"nested", `{"name":"a","lines":[{"product":"` + someID + `","quantity":1},{"quantity":0,"x":1}]}`,
			"#/lines/1/quantity min, #/lines/1/x unknown, #/lines/1/product required"},
		{"null item", `{"name":"a","tags":["a",null]}`, "#/tags/1 required"},
		{"unknown", `{"name":"a","wallet":1,"a/b~c d":2}`, "#/wallet not_writable, #/a~1b~0c%20d unknown"},
		{"array", `[]`, "# type"},
		{"text", `"x"`, "# type"},
	}
	known := NewShape("", []Field{{Name: "wallet"}})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, issues, err := DecodeObject([]byte(c.body), productShape(t), Decoding{Known: known})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, i := range issues {
				got = append(got, i.Pointer+" "+i.Code)
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got %s, want %s", s, c.want)
			}
		})
	}
}

func TestDecodeSuggestsTheNearestName(t *testing.T) {
	_, issues, err := DecodeObject([]byte(`{"name":"a","pricey":1}`), productShape(t), Decoding{})
	if err != nil || len(issues) != 1 {
		t.Fatal(err, issues)
	}
	if want := `no field "pricey" in products. Did you mean price?`; issues[0].Detail != want {
		t.Errorf("got %q, want %q", issues[0].Detail, want)
	}
}

func TestDecodeRefusesWhatIsNoJSON(t *testing.T) {
	for name, body := range map[string]string{
		"empty":          ``,
		"truncated":      `{"name":"a"`,
		"two":            `{"name":"a"}{}`,
		"twice":          `{"name":"a","name":"b"}`,
		"twice, escaped": `{"name":"a","n\u0061me":"b"}`,
		"twice inside":   `{"extra":{"a":1,"a":2}}`,
		"NaN":            `{"weight":NaN}`,
		"UTF-8":          "{\"name\":\"\xff\"}",
		"surrogate":      `{"name":"\ud800"}`,
		"deep":           strings.Repeat(`{"extra":`, 33) + "1" + strings.Repeat("}", 33),
		"very deep":      strings.Repeat("[", 100_000),
		"comma":          `{"name":"a",}`,
		"BOM":            "\ufeff{}",
	} {
		_, _, err := DecodeObject([]byte(body), productShape(t), Decoding{})
		var s *SyntaxError
		if !errors.As(err, &s) {
			t.Errorf("%s: got %v, want a SyntaxError", name, err)
		}
	}
}

func TestDecodePartialLeavesWhatIsMissingAbsent(t *testing.T) {
	how := Decoding{Partial: true, Operators: true}
	r, issues, err := DecodeObject(
		[]byte(`{"about":null,"stock":{"$add":-2},"tags":{"$append":"x"},"price":{"$max":7}}`),
		productShape(t), how)
	if err != nil || len(issues) != 0 {
		t.Fatal(err, issues)
	}
	got := string(AppendRecord(nil, r))
	want := `{"about":null,"price":{"$max":7},"stock":{"$add":-2},"tags":{"$append":"x"}}`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for body, want := range map[string]string{
		`{"name":null}`:                       "#/name required",
		`{"name":{"$add":1}}`:                 "#/name type",
		`{"stock":{"$append":1}}`:             "#/stock type",
		`{"stock":{"$add":1,"$max":2}}`:       "#/stock type",
		`{"stock":{}}`:                        "#/stock type",
		`{"stock":{"$add":9007199254740992}}`: "#/stock/$add type",
	} {
		_, issues, err := DecodeObject([]byte(body), productShape(t), how)
		if err != nil || len(issues) != 1 || issues[0].Pointer+" "+issues[0].Code != want {
			t.Errorf("%s: got %v %v, want %s", body, issues, err, want)
		}
	}
}

func TestDecodeStoredToleratesOlderShapes(t *testing.T) {
	shape := NewShape("x", []Field{
		{Name: "n", Type: Type{Kind: TypeInt}},
		{Name: "new", Type: Type{Kind: TypeString}},
	})
	r, err := DecodeStored(shape, []byte(`{"gone":[1],"n":"was text"}`))
	if err != nil {
		t.Fatal(err)
	}
	if r.Get("new").Kind() != Absent || r.Get("n").Kind() != JSON || r.Get("n").Text() != `"was text"` {
		t.Errorf("got %s", AppendRecord(nil, r))
	}
}

func TestFloatsAreWrittenAsJavaScriptDoes(t *testing.T) {
	for f, want := range map[float64]string{
		1: "1", 0.1: "0.1", -2.5: "-2.5", 1e21: "1e+21", 1e20: "100000000000000000000",
		1e-6: "0.000001", 1e-7: "1e-7", math.MaxFloat64: "1.7976931348623157e+308", 0: "0",
	} {
		if got := string(AppendJSON(nil, OfFloat(f))); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTimesAreWrittenAsTheLibraryDoes(t *testing.T) {
	for ms := int64(timeMin); ms < timeMax; ms += 999_999_937_211 / 16 {
		want := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
		if got := string(appendTime(nil, ms)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	for day := int64(-800_000); day < 2_900_000; day++ {
		if day*dayMillis < timeMin || day*dayMillis > timeMax {
			continue
		}
		want := time.UnixMilli(day * dayMillis).UTC().Format(time.DateOnly)
		if day%13 == 0 && string(appendDay(nil, day)) != want {
			t.Fatalf("got %s, want %s", appendDay(nil, day), want)
		}
	}
}

func TestParseTextReadsParametersByType(t *testing.T) {
	for _, c := range []struct {
		kind       TypeKind
		text, want string
	}{
		{TypeInt, "12", "12"}, {TypeBool, "true", "true"}, {TypeFloat, "1.5", "1.5"},
		{TypeString, "a b", `"a b"`}, {TypeDate, "2026-01-02", `"2026-01-02"`},
		{TypeJSON, `{"a": 1}`, `{"a":1}`}, {TypeDuration, "2h", `"2h"`},
	} {
		v, issues := ParseText(&Type{Kind: c.kind}, c.text, "#")
		if got := string(AppendJSON(nil, v)); len(issues) != 0 || got != c.want {
			t.Errorf("%q: got %s %v, want %s", c.text, got, issues, c.want)
		}
	}
	for kind, text := range map[TypeKind]string{
		TypeInt: "1.0", TypeBool: "1", TypeFloat: "NaN", TypeTime: "now", TypeJSON: "{", TypeList: "a",
	} {
		of := &Type{Kind: kind, Elem: &Type{Kind: TypeString}}
		if v, issues := ParseText(of, text, "#"); len(issues) == 0 {
			t.Errorf("%q was read as %s", text, AppendJSON(nil, v))
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"price", "name", "listed", "stock"}
	for word, want := range map[string]string{
		"pricey": "price", "lsted": "listed", "Name": "name", "nmae": "name", "zzz": "", "": "",
		"x": "", strings.Repeat("a", 1000): "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
}

func FuzzDecodeObject(f *testing.F) {
	shape := productShape(f)
	f.Add([]byte(`{"name":"a","stock":{"$add":1},"tags":["x"],"extra":{"a":1e3}}`))
	f.Add([]byte(`{"name":"\u00e9","lines":[{"product":"01k9vq3m8de00r40m30e209185","quantity":1}]}`))
	f.Add([]byte(`{"since":"2026-11-21T08:30:00Z","day":"0000-01-01","span":"-1h0.5s","weight":1e-9}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, how := range []Decoding{{}, {Partial: true, Operators: true, Known: shape}} {
			r, issues, err := DecodeObject(body, shape, how)
			if err != nil {
				continue
			}
			if !json.Valid(body) {
				t.Fatalf("took %q, which is no JSON", body)
			}
			if len(issues) != 0 {
				continue
			}
			text := AppendRecord(nil, r)
			again, issues, err := DecodeObject(text, shape, how)
			if err != nil || len(issues) != 0 {
				t.Fatalf("%s does not read back: %v %v", text, issues, err)
			}
			if second := AppendRecord(nil, again); !bytes.Equal(text, second) {
				t.Fatalf("got %s, want %s", second, text)
			}
		}
	})
}

func FuzzParseText(f *testing.F) {
	f.Add("2026-11-21T08:30:00.5+01:00")
	f.Add("https://Example.com:80/?a=b")
	f.Add("ana+tag@example.com")
	f.Fuzz(func(t *testing.T, text string) {
		for kind := TypeString; kind <= TypeID; kind++ {
			of := &Type{Kind: kind, Elem: &Type{Kind: TypeInt}, Fields: NewShape("", nil)}
			v, issues := ParseText(of, text, "#")
			if len(issues) != 0 {
				continue
			}
			back, err := DecodeStoredValue(of, AppendJSON(nil, v))
			if err != nil || !back.Equal(v) {
				t.Fatalf("%q as kind %d: %s does not read back: %v", text, kind, AppendJSON(nil, v), err)
			}
		}
	})
}

func BenchmarkAppendRecord(b *testing.B) {
	shape := NewShape("products", []Field{
		{Name: "id", Type: Type{Kind: TypeID}}, {Name: "created", Type: Type{Kind: TypeTime}},
		{Name: "updated", Type: Type{Kind: TypeTime}}, {Name: "version", Type: Type{Kind: TypeInt}},
		{Name: "name", Type: Type{Kind: TypeString}}, {Name: "about", Type: Type{Kind: TypeText}},
		{Name: "price", Type: Type{Kind: TypeMoney}}, {Name: "stock", Type: Type{Kind: TypeInt}},
		{Name: "listed", Type: Type{Kind: TypeBool}},
	})
	r := Record{shape, []Value{OfText(someID), OfMillis(Time, 1763714400123),
		OfMillis(Time, 1763714400123), OfInt(7), OfText("a pen that writes"), OfNull(),
		OfInt(1990), OfInt(44), OfBool(true)}}
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendRecord(buf[:0], r)
	}
}

func BenchmarkDecodeObject(b *testing.B) {
	shape := productShape(b)
	body := []byte(`{"name":"pen","about":"two lines","price":1990,"stock":3,"listed":true}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, issues, err := DecodeObject(body, shape, Decoding{}); err != nil || len(issues) > 0 {
			b.Fatal(err, issues)
		}
	}
}
