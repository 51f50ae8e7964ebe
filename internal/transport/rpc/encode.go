package rpc

import (
	"encoding/json"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/value"
)

// appendItem writes a record with what was expanded beside it. What its caller may not
// see is left out.
func (p *plan) appendItem(dst []byte, item *engine.Item) []byte {
	if item.Record.Zero() {
		return p.appendExpand(dst, item.Expand) // of an object in a list
	}
	dst = p.appendRecord(dst, item.Record)
	if len(item.Expand) == 0 || p.expand < 0 {
		return dst
	}
	f := &p.fields[p.expand]
	dst, mark := begin(append(dst, f.tag...))
	return end(f.sub.appendExpand(dst, item.Expand), mark)
}

// appendExpand writes what was expanded, in a message made for that.
func (p *plan) appendExpand(dst []byte, all []engine.Expansion) []byte {
	for i := range all {
		slot, ok := p.shape.Index(all[i].Name)
		if !ok {
			continue // the app has changed since this plan was made
		}
		f := &p.fields[slot]
		for j := range all[i].Items {
			var mark int
			dst, mark = begin(append(dst, f.tag...))
			dst = end(f.sub.appendItem(dst, &all[i].Items[j]), mark)
		}
	}
	return dst
}

// appendRecord writes the slots that have a field here.
func (p *plan) appendRecord(dst []byte, r value.Record) []byte {
	for i, slot := range p.slots(r.Shape) {
		if slot >= 0 {
			dst = p.fields[i].append(dst, r.Slots[slot])
		}
	}
	return dst
}

// append writes one field. What is null or not to be seen is not there.
func (f *field) append(dst []byte, v value.Value) []byte {
	switch {
	case v.IsNull() || v.Kind() == value.Operator:
		return dst
	case !f.Repeated:
		if !f.Optional && f.zero(v) {
			return dst
		}
		return f.appendOne(append(dst, f.tag...), v)
	}
	items := v.List()
	switch f.Kind {
	case codegen.ProtoInt64, codegen.ProtoDouble, codegen.ProtoBool, codegen.ProtoEnumOf:
		if len(items) == 0 {
			return dst
		}
		dst, mark := begin(append(dst, f.tag...))
		for _, item := range items {
			dst = f.appendOne(dst, item)
		}
		return end(dst, mark)
	}
	for _, item := range items {
		dst = f.appendOne(append(dst, f.tag...), item)
	}
	return dst
}

// zero reports whether a value is what a field that is not there means.
func (f *field) zero(v value.Value) bool {
	switch f.Kind {
	case codegen.ProtoString:
		return v.Text() == ""
	case codegen.ProtoInt64:
		return v.Int() == 0
	case codegen.ProtoDouble:
		return v.Float() == 0 && !math.Signbit(v.Float())
	case codegen.ProtoBool:
		return !v.Bool()
	default:
		return false
	}
}

// appendOne writes a value after its tag.
func (f *field) appendOne(dst []byte, v value.Value) []byte {
	switch f.Kind {
	case codegen.ProtoString:
		return protowire.AppendString(dst, v.Text())
	case codegen.ProtoInt64, codegen.ProtoInt32:
		return protowire.AppendVarint(dst, uint64(v.Int()))
	case codegen.ProtoDouble:
		return protowire.AppendFixed64(dst, math.Float64bits(v.Float()))
	case codegen.ProtoBool:
		return protowire.AppendVarint(dst, protowire.EncodeBool(v.Bool()))
	case codegen.ProtoEnumOf:
		// A word that the app file has no more is 0, which stands for none.
		return protowire.AppendVarint(dst, uint64(f.numbers[v.Text()]))
	}
	dst, mark := begin(dst)
	switch {
	case f.sub != nil:
		if r := v.Record(); !r.Zero() {
			dst = f.sub.appendRecord(dst, r)
		}
	case f.Known == codegen.ProtoValue:
		dst = appendAny(dst, string(value.AppendJSON(nil, v)))
	default:
		dst = appendMoment(dst, f.Known, v.Int())
	}
	return end(dst, mark)
}

// appendMoment writes milliseconds as a Timestamp, a Duration or a Date.
func appendMoment(dst []byte, known string, ms int64) []byte {
	if known == codegen.ProtoDate {
		day := time.UnixMilli(ms).UTC()
		dst = appendInt(dst, 1, int64(day.Year()))
		dst = appendInt(dst, 2, int64(day.Month()))
		return appendInt(dst, 3, int64(day.Day()))
	}
	seconds, rest := ms/1000, ms%1000
	if rest < 0 && known == codegen.ProtoTimestamp {
		seconds, rest = seconds-1, rest+1000 // nanos of a Timestamp count forward
	}
	return appendInt(appendInt(dst, 1, seconds), 2, rest*1e6)
}

func appendInt(dst []byte, number protowire.Number, n int64) []byte {
	if n == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), uint64(n))
}

func appendText(dst []byte, number protowire.Number, text string) []byte {
	if text == "" {
		return dst
	}
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), text)
}

// appendAny writes JSON as a google.protobuf.Value.
func appendAny(dst []byte, text string) []byte {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return dst // never: it is the JSON that we keep
	}
	pb, err := structpb.NewValue(v)
	if err != nil {
		return dst // never: JSON has nothing else
	}
	dst, err = proto.MarshalOptions{Deterministic: true}.MarshalAppend(dst, pb)
	if err != nil {
		return dst // never: texts in JSON are UTF-8
	}
	return dst
}

// appendRow writes a row of an aggregate: a map of names and values.
func appendRow(dst []byte, r value.Record) []byte {
	for i, f := range r.Shape.Fields() {
		v := r.Slots[i]
		if v.IsNull() {
			continue
		}
		var mark, inner int
		dst, mark = begin(protowire.AppendTag(dst, 1, protowire.BytesType))
		dst = protowire.AppendString(protowire.AppendTag(dst, 1, protowire.BytesType), f.Name)
		dst, inner = begin(protowire.AppendTag(dst, 2, protowire.BytesType))
		dst = end(appendColumn(dst, v), inner)
		dst = end(dst, mark)
	}
	return dst
}

// appendColumn writes the one value of a column.
func appendColumn(dst []byte, v value.Value) []byte {
	switch v.Kind() {
	case value.Int:
		dst = protowire.AppendTag(dst, codegen.ProtoValueInt, protowire.VarintType)
		return protowire.AppendVarint(dst, uint64(v.Int()))
	case value.Float:
		dst = protowire.AppendTag(dst, codegen.ProtoValueDouble, protowire.Fixed64Type)
		return protowire.AppendFixed64(dst, math.Float64bits(v.Float()))
	case value.Bool:
		dst = protowire.AppendTag(dst, codegen.ProtoValueBool, protowire.VarintType)
		return protowire.AppendVarint(dst, protowire.EncodeBool(v.Bool()))
	case value.Time, value.Duration:
		number, known := protowire.Number(codegen.ProtoValueTime), codegen.ProtoTimestamp
		if v.Kind() == value.Duration {
			number, known = codegen.ProtoValueDuration, codegen.ProtoDuration
		}
		dst, mark := begin(protowire.AppendTag(dst, number, protowire.BytesType))
		return end(appendMoment(dst, known, v.Int()), mark)
	default:
		text := v.Text()
		if v.Kind() == value.Date {
			text = time.UnixMilli(v.Int()).UTC().Format(time.DateOnly)
		}
		dst = protowire.AppendTag(dst, codegen.ProtoValueString, protowire.BytesType)
		return protowire.AppendString(dst, text)
	}
}

// begin makes room for the length of what follows, end writes it.
func begin(dst []byte) ([]byte, int) {
	return append(dst, 0), len(dst) + 1
}

func end(dst []byte, mark int) []byte {
	n := len(dst) - mark
	if size := protowire.SizeVarint(uint64(n)); size > 1 {
		dst = slices.Grow(dst, size-1)[:len(dst)+size-1]
		copy(dst[mark+size-1:], dst[mark:mark+n])
	}
	protowire.AppendVarint(dst[:mark-1], uint64(n))
	return dst
}
