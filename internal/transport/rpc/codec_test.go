package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/value"
)

// appText has an action whose input and output have every type.
const appText = `app: all
collections:
  things:
    fields: {name: string}
    allow: {read: true}
actions:
  every:
    allow: true
    input:
      a: string
      b: string?
      c: int
      d: money?
      e: float
      f: float?
      g: bool
      h: bool?
      i: time
      j: date?
      k: duration
      l: [one, two-three, four]
      m: "[x, y]?"
      n: things
      o: "string[]"
      p: "int[]?"
      q: "float[]"
      r: "bool[]"
      s: "time[]"
      t: json
      u: "json[]"
      v: [{a: string, b: "int[]", c: "date?", d: [{x: int, y: "json?"}]}]
`

// plans makes the plans of the app.
func plans(t testing.TB) (*planner, *codegen.Proto, *spec.Spec) {
	t.Helper()
	text := appText + strings.Replace(appText[strings.Index(appText, "    input"):], "input:", "output:", 1)
	sp, findings := appfile.Parse(map[string][]byte{appfile.Name: []byte(text)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	p, err := codegen.NewProto(sp, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := houseFiles()
	if err != nil {
		t.Fatal(err)
	}
	file, err := protodesc.NewFile(p.Descriptor(), files)
	if err != nil {
		t.Fatal(err)
	}
	return &planner{file: file, plans: map[*codegen.ProtoMessage]*plan{}}, p, sp
}

// drawn draws a value of a type.
func drawn(r *rand.Rand, t *value.Type, depth int) value.Value {
	if t.Optional && r.IntN(3) == 0 {
		return value.OfNull()
	}
	switch t.Kind {
	case value.TypeInt, value.TypeMoney:
		return value.OfInt([]int64{0, 1, -1, 127, 128, value.IntMax, -value.IntMax, r.Int64N(1 << 40)}[r.IntN(8)])
	case value.TypeFloat:
		return value.OfFloat([]float64{0, 1.5, -2e300, 5e-324, r.NormFloat64()}[r.IntN(5)])
	case value.TypeBool:
		return value.OfBool(r.IntN(2) == 0)
	case value.TypeTime:
		return value.OfMillis(value.Time, r.Int64N(4e12)-2e12)
	case value.TypeDate:
		return value.OfMillis(value.Date, (r.Int64N(40000)-20000)*24*int64(time.Hour/time.Millisecond))
	case value.TypeDuration:
		return value.OfMillis(value.Duration, r.Int64N(2e9)-1e9)
	case value.TypeEnum:
		return value.OfText(t.Words[r.IntN(len(t.Words))])
	case value.TypeJSON:
		return value.OfJSON([]string{`null`, `1`, `"x"`, `[]`, `{}`, `[1,{"a":[true,null]}]`, `-0.5`}[r.IntN(7)])
	case value.TypeList:
		items := []value.Value{}
		for range r.IntN(4) {
			items = append(items, drawn(r, t.Elem, depth+1))
		}
		return value.OfList(items)
	case value.TypeObject:
		return value.OfRecord(drawnRecord(r, t.Fields, depth+1))
	case value.TypeRelation:
		return value.OfText("01k9vq3k1c0000000000000000")
	default:
		return value.OfText([]string{"", "a", "ä€𝄞", strings.Repeat("long ", r.IntN(100)), "\"\\\n"}[r.IntN(5)])
	}
}

func drawnRecord(r *rand.Rand, s *value.Shape, depth int) value.Record {
	out := value.NewRecord(s)
	for i := range s.Fields() {
		out.Slots[i] = drawn(r, &s.Fields()[i].Type, depth)
	}
	return out
}

// What is written is read again as it was, and protobuf's own library reads the same.
func TestRecordsAreWrittenAsProtobufIs(t *testing.T) {
	plans, p, sp := plans(t)
	m := action(p)
	in, out := plans.plan(m.Input), plans.plan(m.Output)
	shape := sp.Action("every").Output
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		want := drawnRecord(r, shape, 0)
		data := out.appendRecord(nil, want)
		got, err := (&decoder{}).decode(in, data, "")
		if err != nil {
			t.Fatalf("%s: %v", value.AppendRecord(nil, want), err)
		}
		a, b := text1(want), text1(got)
		if a != b {
			t.Fatalf("what was written is read as\n%s, and was\n%s", b, a)
		}
		d := dynamicpb.NewMessage(out.desc)
		if err := proto.Unmarshal(data, d); err != nil {
			t.Fatal(err)
		}
		if len(d.GetUnknown()) > 0 {
			t.Fatalf("%x has fields that are not there", data)
		}
		other, err := proto.MarshalOptions{Deterministic: true}.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		again, err := (&decoder{}).decode(in, other, "")
		if err != nil || text1(again) != a {
			t.Fatalf("by protobuf's library it is %s, %v; want %s", text1(again), err, a)
		}
	}
}

// text1 writes a record without its nulls, as which the wire has nothing.
func text1(r value.Record) string {
	var b strings.Builder
	for i, f := range r.Shape.Fields() {
		v := r.Slots[i]
		if v.IsNull() || f.Type.Optional && v.Kind() == value.List && len(v.List()) == 0 {
			continue
		}
		b.WriteString(f.Name + "=")
		if v.Kind() == value.List {
			for _, item := range v.List() {
				if item.Kind() == value.Object {
					b.WriteString("{" + text1(item.Record()) + "}")
					continue
				}
				b.Write(value.AppendJSON(nil, item))
				b.WriteByte(' ')
			}
			continue
		}
		b.Write(value.AppendJSON(nil, v))
		b.WriteByte(' ')
	}
	return b.String()
}

// What is no message is refused with a fault, whatever it is.
func FuzzDecode(f *testing.F) {
	plans, p, sp := plans(f)
	m := action(p)
	in, out := plans.plan(m.Input), plans.plan(m.Output)
	r := rand.New(rand.NewPCG(3, 4))
	for range 20 {
		data := out.appendRecord(nil, drawnRecord(r, sp.Action("every").Output, 0))
		f.Add(data)
		f.Add(data[:len(data)/2])
	}
	deep := []byte{0x1a, 0}
	for range 200 { // a Value in a list in a Value
		deep = append([]byte{0x0a}, sized(deep)...)
		deep = append([]byte{0x32}, sized(deep)...)
	}
	f.Add(append([]byte{20<<3&0x7f | 0x80 | 2, 1}, sized(deep)...))
	f.Add([]byte{0x0b, 0x0b, 0x0b, 0x0c})       // groups
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}) // the greatest number
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := (&decoder{}).decode(in, data, "")
		d := dynamicpb.NewMessage(in.desc)
		theirs := proto.Unmarshal(data, d)
		if err != nil {
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind == fault.Internal {
				t.Fatalf("%x is %v", data, err)
			}
			return
		}
		if theirs != nil {
			t.Fatalf("%x is taken, and protobuf's library says %v", data, theirs)
		}
		body := (&decoder{}).body(got)
		if _, _, err := value.DecodeObject(body, in.shape, value.Decoding{Partial: true}); err != nil {
			t.Fatalf("%x becomes %s: %v", data, body, err)
		}
		if _, err := protojson.Marshal(d); err != nil {
			t.Fatalf("%x is taken, and protobuf's library says %v", data, err)
		}
	})
}

func sized(b []byte) []byte {
	out := []byte{}
	for n := len(b); ; n >>= 7 {
		if n < 0x80 {
			out = append(out, byte(n))
			break
		}
		out = append(out, byte(n)|0x80)
	}
	return append(out, b...)
}

// action is the app's only one.
func action(p *codegen.Proto) *codegen.ProtoMethod {
	i := slices.IndexFunc(p.Services, func(s *codegen.ProtoService) bool { return s.Name == "Actions" })
	return p.Services[i].Methods[0]
}

func TestBoundsOfTheDecoder(t *testing.T) {
	plans, p, _ := plans(t)
	in := plans.plan(action(p).Input)
	for name, data := range map[string][]byte{
		"a number that is none":     {5<<3 | 1, 0, 0, 0, 0, 0, 0, 0xf8, 0x7f},
		"a day that is none":        {10<<3 | 2, 6, 8, 0xe8, 0x0f, 16, 2, 24, 30},
		"an instant after all":      {9<<3 | 2, 8, 8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
		"a number with two tags":    {0x80, 0x00},
		"too many items":            bytes.Repeat([]byte{15<<3 | 2, 0}, itemsMax+1),
		"text that is not UTF-8":    {1<<3 | 2, 1, 0xff},
		"another type on the wire":  {1 << 3, 1},
		"a field that is not there": {0xf8, 0x07, 1},
	} {
		if _, err := (&decoder{}).decode(in, data, ""); err == nil {
			t.Errorf("%s is taken: %x", name, data)
		} else if f := fault.From(err); f.Kind == fault.Internal {
			t.Errorf("%s is %v", name, err)
		}
	}
	// What is said twice counts once: the last of a number, all of a message.
	got, err := (&decoder{}).decode(in, []byte{3 << 3, 1, 3 << 3, 2, 9<<3 | 2, 2, 8, 5, 9<<3 | 2, 2, 8, 7}, "")
	if err != nil || got.Get("c").Int() != 2 || got.Get("i").Int() != 7000 {
		t.Errorf("it is %v, %v", fmt.Sprint(got), err)
	}
}

func BenchmarkRecord(b *testing.B) {
	plans, p, sp := plans(b)
	m := action(p)
	out, in := plans.plan(m.Output), plans.plan(m.Input)
	record := drawnRecord(rand.New(rand.NewPCG(5, 6)), sp.Action("every").Output, 0)
	data := out.appendRecord(nil, record)
	b.Run("write", func(b *testing.B) {
		buffer := make([]byte, 0, 1<<12)
		for b.Loop() {
			buffer = out.appendRecord(buffer[:0], record)
		}
	})
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			if _, err := (&decoder{}).decode(in, data, ""); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("dynamicpb", func(b *testing.B) {
		for b.Loop() {
			d := dynamicpb.NewMessage(out.desc)
			if err := proto.Unmarshal(data, d); err != nil {
				b.Fatal(err)
			}
			if _, err := proto.Marshal(d); err != nil {
				b.Fatal(err)
			}
		}
	})
}
