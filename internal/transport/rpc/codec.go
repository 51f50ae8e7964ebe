package rpc

import (
	"fmt"
	"slices"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/galleybackend/galley/internal/fault"
)

// message is a message on its way in or out, in protobuf's bytes. What its codec could
// not read is told by who asks for it, as every problem is.
type message struct {
	desc protoreflect.MessageDescriptor
	data []byte
	err  error
}

// codecs are how messages are written: as they are, and in JSON. They know generated
// messages, too, for the services that are not the app's.
func codecs() []connect.HandlerOption {
	return []connect.HandlerOption{connect.WithCodec(binaryCodec{}), connect.WithCodec(textCodec{"json"}),
		connect.WithCodec(textCodec{"json; charset=utf-8"})}
}

// binaryCodec writes messages as protobuf does.
type binaryCodec struct{}

// Name implements connect.Codec.
func (binaryCodec) Name() string { return "proto" }

// Marshal implements connect.Codec.
func (c binaryCodec) Marshal(v any) ([]byte, error) { return c.MarshalAppend(nil, v) }

// MarshalAppend is Marshal behind what is there.
func (binaryCodec) MarshalAppend(dst []byte, v any) ([]byte, error) {
	switch m := v.(type) {
	case *message:
		return append(dst, m.data...), nil
	case proto.Message:
		return proto.MarshalOptions{}.MarshalAppend(dst, m)
	default:
		return nil, errMessage(v)
	}
}

// Unmarshal implements connect.Codec.
func (binaryCodec) Unmarshal(data []byte, v any) error {
	switch m := v.(type) {
	case *message:
		m.data = slices.Clone(data) // what it lies in is used again
		return nil
	case proto.Message:
		return proto.Unmarshal(data, m)
	default:
		return errMessage(v)
	}
}

// textCodec writes messages as JSON, and takes no names that it does not know.
type textCodec struct{ name string }

// depthMax is how deep JSON that enters may nest.
const depthMax = 100

// Name implements connect.Codec.
func (c textCodec) Name() string { return c.name }

// Marshal implements connect.Codec.
func (textCodec) Marshal(v any) ([]byte, error) {
	switch m := v.(type) {
	case *message:
		d := dynamicpb.NewMessage(m.desc)
		if err := proto.Unmarshal(m.data, d); err != nil {
			return nil, err
		}
		return protojson.Marshal(d)
	case proto.Message:
		return protojson.Marshal(m)
	default:
		return nil, errMessage(v)
	}
}

// Unmarshal implements connect.Codec.
func (textCodec) Unmarshal(data []byte, v any) error {
	how := protojson.UnmarshalOptions{RecursionLimit: depthMax}
	switch m := v.(type) {
	case *message:
		if len(data) == 0 {
			m.err = fault.New(fault.Malformed, "The body is empty, which is no JSON.")
			return nil
		}
		d := dynamicpb.NewMessage(m.desc)
		err := how.Unmarshal(data, d)
		if err == nil {
			m.data, err = proto.Marshal(d)
		}
		if err != nil {
			m.err = fault.Wrap(fault.Malformed, err, "The body is not the JSON of %s: %v.",
				m.desc.Name(), err)
		}
		return nil
	case proto.Message:
		how.DiscardUnknown = true
		return how.Unmarshal(data, m)
	default:
		return errMessage(v)
	}
}

func errMessage(v any) error { return fmt.Errorf("%T is no message", v) }
