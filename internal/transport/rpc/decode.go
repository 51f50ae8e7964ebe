package rpc

import (
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// decoder reads messages. It refuses what has no meaning in them, as JSON is refused:
// fields that are not there, words of another type, texts that are no UTF-8.
type decoder struct {
	// closed are the names of fields that exist in the record and may not be sent.
	closed []string
}

// decode reads a message of the plan into a record of its shape. Fields that were not
// sent are Absent, or the zero of their type where they have no other way to say so.
func (d *decoder) decode(p *plan, data []byte, at string) (value.Record, error) {
	r := value.NewRecord(p.shape)
	// What is said twice of a message is one message.
	var parts map[int][]byte
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return r, errBroken(p, protowire.ParseError(n))
		}
		data = data[n:]
		i := p.number(number)
		if i < 0 {
			if n = d.unknown(p, number, wire, data); n < 0 {
				return r, errUnknown(p, at, number)
			}
			data = data[n:]
			continue
		}
		f := &p.fields[i]
		raw, n := consume(wire, data)
		if n < 0 {
			return r, errBroken(p, protowire.ParseError(n))
		}
		data = data[n:]
		if f.single() {
			if wire != protowire.BytesType {
				return r, errWire(p, f)
			}
			if parts == nil {
				parts = map[int][]byte{}
			}
			parts[i] = append(parts[i], raw.bytes...)
			continue
		}
		v, err := d.field(p, f, wire, raw, r.Slots[i], at+"/"+f.Name)
		if err != nil {
			return r, err
		}
		r.Slots[i] = v
	}
	for i := range p.fields {
		f := &p.fields[i]
		if part, ok := parts[i]; ok {
			v, err := d.message(f, part, at+"/"+f.Name)
			if err != nil {
				return r, err
			}
			r.Slots[i] = v
		}
		if f.given && r.Slots[i].Kind() == value.Absent {
			r.Slots[i] = f.none()
		}
	}
	return r, nil
}

// single reports whether the field is one message.
func (f *field) single() bool {
	return !f.Repeated && (f.Kind == codegen.ProtoMessageOf || f.Kind == codegen.ProtoKnown)
}

// none is what a field that must be given is where nothing was sent.
func (f *field) none() value.Value {
	if f.Repeated {
		return value.OfList(nil)
	}
	switch f.of.Kind {
	case value.TypeString, value.TypeText:
		return value.OfText("")
	case value.TypeInt, value.TypeMoney:
		return value.OfInt(0)
	case value.TypeFloat:
		return value.OfFloat(0)
	case value.TypeBool:
		return value.OfBool(false)
	default:
		return value.Value{} // it has no zero, so that it is missing
	}
}

// unknown passes over a field of the record that may not be sent here, and notes it. It
// returns a negative number for a field that nobody knows.
func (d *decoder) unknown(p *plan, number protowire.Number, wire protowire.Type, data []byte) int {
	if p.whole == nil || wire == protowire.StartGroupType || wire == protowire.EndGroupType {
		return -1
	}
	i := p.whole.number(number)
	if i < 0 || i == p.whole.expand {
		return -1
	}
	if name := p.whole.fields[i].Name; !slices.Contains(d.closed, name) {
		d.closed = append(d.closed, name)
	}
	_, n := consume(wire, data)
	return n
}

// raw is a value on the wire: bytes, or a number.
type raw struct {
	bytes  []byte
	number uint64
}

// consume reads a value. There are no groups: no message of ours has one.
func consume(wire protowire.Type, data []byte) (raw, int) {
	switch wire {
	case protowire.VarintType:
		v, n := protowire.ConsumeVarint(data)
		return raw{number: v}, n
	case protowire.Fixed64Type:
		v, n := protowire.ConsumeFixed64(data)
		return raw{number: v}, n
	case protowire.Fixed32Type:
		v, n := protowire.ConsumeFixed32(data)
		return raw{number: uint64(v)}, n
	case protowire.BytesType:
		b, n := protowire.ConsumeBytes(data)
		return raw{bytes: b}, n
	default:
		return raw{}, -1
	}
}

// field reads a value of a field, old being what was sent of it before.
func (d *decoder) field(p *plan, f *field, wire protowire.Type, r raw, old value.Value,
	at string) (value.Value, error) {
	if !f.Repeated {
		if wire != f.wire() {
			return old, errWire(p, f)
		}
		return d.one(f, r, at)
	}
	// What was gathered is nobody else's yet.
	items := old.List()
	if wire == protowire.BytesType && f.wire() != protowire.BytesType {
		for b := r.bytes; len(b) > 0; {
			one, n := consume(f.wire(), b)
			if n < 0 {
				return old, errBroken(p, protowire.ParseError(n))
			}
			b = b[n:]
			v, err := d.one(f, one, at+"/"+strconv.Itoa(len(items)))
			if err != nil {
				return old, err
			}
			if items = append(items, v); len(items) > itemsMax {
				return old, errItems(f)
			}
		}
		return value.OfList(items), nil
	}
	if wire != f.wire() {
		return old, errWire(p, f)
	}
	v, err := d.one(f, r, at+"/"+strconv.Itoa(len(items)))
	if err != nil {
		return old, err
	}
	if items = append(items, v); len(items) > itemsMax {
		return old, errItems(f)
	}
	return value.OfList(items), nil
}

// itemsMax bounds a list, whatever the app file says of it.
const itemsMax = 10_000

// wire is how the values of the field are written.
func (f *field) wire() protowire.Type {
	switch f.Kind {
	case codegen.ProtoInt32, codegen.ProtoInt64, codegen.ProtoBool, codegen.ProtoEnumOf:
		return protowire.VarintType
	case codegen.ProtoDouble:
		return protowire.Fixed64Type
	default:
		return protowire.BytesType
	}
}

// one reads one value.
func (d *decoder) one(f *field, r raw, at string) (value.Value, error) {
	switch f.Kind {
	case codegen.ProtoString:
		if !utf8.Valid(r.bytes) {
			return value.Value{}, fault.New(fault.Malformed, "The field %s is not UTF-8.", f.Name)
		}
		return value.OfText(string(r.bytes)), nil
	case codegen.ProtoInt32:
		return value.OfInt(int64(int32(r.number))), nil
	case codegen.ProtoInt64:
		return value.OfInt(int64(r.number)), nil
	case codegen.ProtoDouble:
		n := math.Float64frombits(r.number)
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return value.Value{}, errValue(at, "must be a finite number")
		}
		return value.OfFloat(n), nil
	case codegen.ProtoBool:
		return value.OfBool(r.number != 0), nil
	case codegen.ProtoEnumOf:
		n := int32(r.number)
		word, ok := f.words[n]
		if !ok && n == 0 && !f.Repeated {
			return value.Value{}, nil // none
		}
		if !ok {
			word = strconv.Itoa(int(n)) // which is none of the words
		}
		return value.OfText(word), nil
	default:
		return d.message(f, r.bytes, at)
	}
}

// message reads the value of a field that is a message.
func (d *decoder) message(f *field, data []byte, at string) (value.Value, error) {
	switch {
	case f.sub != nil:
		r, err := d.decode(f.sub, data, at)
		return value.OfRecord(r), err
	case f.Known == codegen.ProtoValue:
		return anyOf(data, at)
	case f.Known == codegen.ProtoMask:
		return maskOf(data, at)
	default:
		return momentOf(f.Known, data, at)
	}
}

// ints reads the fields 1, 2 and 3 of a message that has nothing but whole numbers.
func ints(data []byte, at string) (out [4]int64, err error) {
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 || number > 3 || wire != protowire.VarintType {
			return out, errValue(at, "cannot be read")
		}
		v, size := protowire.ConsumeVarint(data[n:])
		if size < 0 {
			return out, errValue(at, "cannot be read")
		}
		out[number], data = int64(v), data[n+size:]
	}
	return out, nil
}

// The bounds of a Timestamp and of a Duration, in seconds.
const (
	timeMin     = -62135596800
	timeMax     = 253402300799
	durationMax = 315576000000
)

// momentOf reads a Timestamp, a Duration or a Date.
func momentOf(known string, data []byte, at string) (value.Value, error) {
	n, err := ints(data, at)
	if err != nil {
		return value.Value{}, err
	}
	switch known {
	case codegen.ProtoDate:
		day := time.Date(int(n[1]), time.Month(n[2]), int(n[3]), 0, 0, 0, 0, time.UTC)
		if n[1] < 1 || n[1] > 9999 || day.Month() != time.Month(n[2]) || day.Day() != int(n[3]) {
			return value.Value{}, errValue(at, "must be a day of the calendar")
		}
		return value.OfMillis(value.Date, day.UnixMilli()), nil
	case codegen.ProtoTimestamp:
		if n[1] < timeMin || n[1] > timeMax || n[2] < 0 || n[2] >= 1e9 {
			return value.Value{}, errValue(at, "must be an instant from year 1 to 9999")
		}
		return value.OfMillis(value.Time, n[1]*1000+n[2]/1e6), nil
	default:
		if n[1] < -durationMax || n[1] > durationMax || n[2] <= -1e9 || n[2] >= 1e9 ||
			n[1] > 0 && n[2] < 0 || n[1] < 0 && n[2] > 0 {
			return value.Value{}, errValue(at, "must be a span of time")
		}
		return value.OfMillis(value.Duration, n[1]*1000+n[2]/1e6), nil
	}
}

// maskOf reads the paths of a FieldMask.
func maskOf(data []byte, at string) (value.Value, error) {
	var paths []value.Value
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 || number != 1 || wire != protowire.BytesType {
			return value.Value{}, errValue(at, "cannot be read")
		}
		text, size := protowire.ConsumeBytes(data[n:])
		if size < 0 || !utf8.Valid(text) {
			return value.Value{}, errValue(at, "cannot be read")
		}
		if paths = append(paths, value.OfText(string(text))); len(paths) > itemsMax {
			return value.Value{}, errValue(at, "has too many paths")
		}
		data = data[n+size:]
	}
	return value.OfList(paths), nil
}

// anyOf reads a google.protobuf.Value as JSON.
func anyOf(data []byte, at string) (value.Value, error) {
	var v structpb.Value
	// A value in a value is as many as four messages deep.
	how := proto.UnmarshalOptions{RecursionLimit: 4 * value.DepthMax}
	if err := how.Unmarshal(data, &v); err != nil {
		return value.Value{}, errValue(at, "cannot be read, or nests too deep")
	}
	text, ok := appendPlain(nil, &v)
	if !ok {
		return value.Value{}, errValue(at, "must be JSON: finite numbers, and every value one of its kinds")
	}
	return value.OfJSON(string(text)), nil
}

// appendPlain writes a google.protobuf.Value as JSON, the names of objects sorted.
func appendPlain(dst []byte, v *structpb.Value) ([]byte, bool) {
	ok := true
	switch k := v.GetKind().(type) {
	case *structpb.Value_NullValue:
		return append(dst, "null"...), true
	case *structpb.Value_NumberValue:
		if math.IsNaN(k.NumberValue) || math.IsInf(k.NumberValue, 0) {
			return dst, false
		}
		return value.AppendJSON(dst, value.OfFloat(k.NumberValue)), true
	case *structpb.Value_StringValue:
		return value.AppendQuoted(dst, k.StringValue), true
	case *structpb.Value_BoolValue:
		return strconv.AppendBool(dst, k.BoolValue), true
	case *structpb.Value_ListValue:
		dst = append(dst, '[')
		for i, item := range k.ListValue.GetValues() {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, ok = appendPlain(dst, item); !ok {
				return dst, false
			}
		}
		return append(dst, ']'), true
	case *structpb.Value_StructValue:
		fields := k.StructValue.GetFields()
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		dst = append(dst, '{')
		for i, name := range names {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(value.AppendQuoted(dst, name), ':')
			if dst, ok = appendPlain(dst, fields[name]); !ok {
				return dst, false
			}
		}
		return append(dst, '}'), true
	default:
		return dst, false
	}
}

func errBroken(p *plan, err error) error {
	return fault.Wrap(fault.Malformed, err, "The message %s ends early, or is no protobuf.", p.name)
}

func errWire(p *plan, f *field) error {
	return fault.New(fault.Malformed, "The field %s = %d of %s has another type on the wire.",
		f.Name, f.Number, p.name)
}

func errItems(f *field) error {
	return fault.New(fault.TooLarge, "The field %s has more than %d items.", f.Name, itemsMax)
}

func errUnknown(p *plan, at string, number protowire.Number) error {
	f := fault.New(fault.Invalid, "The input is not valid.")
	f.Items = []fault.Item{{Pointer: "#" + at, Code: value.CodeUnknown,
		Detail: "has no field " + strconv.Itoa(int(number)) + " in " + p.name}}
	return f
}

func errValue(at, detail string) error {
	f := fault.New(fault.Invalid, "The input is not valid.")
	f.Items = []fault.Item{{Pointer: "#" + at, Code: value.CodeType, Detail: detail}}
	return f
}
