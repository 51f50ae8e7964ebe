package codegen

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Descriptor returns the file as protobuf describes files.
func (p *Proto) Descriptor() *descriptorpb.FileDescriptorProto {
	file := &descriptorpb.FileDescriptorProto{Name: proto.String(p.Path()),
		Package: proto.String(p.Package), Syntax: proto.String("proto3"), Dependency: p.imports()}
	for _, s := range p.Services {
		service := &descriptorpb.ServiceDescriptorProto{Name: proto.String(s.Name)}
		for _, m := range s.Methods {
			method := &descriptorpb.MethodDescriptorProto{Name: proto.String(m.Name),
				InputType: p.full(m.Input.Name), OutputType: p.full(m.Output.Name)}
			if m.Streams() {
				method.ServerStreaming = proto.Bool(true)
			}
			service.Method = append(service.Method, method)
		}
		file.Service = append(file.Service, service)
	}
	for _, m := range p.Messages {
		file.MessageType = append(file.MessageType, p.describe(m))
	}
	for _, e := range p.Enums {
		enum := &descriptorpb.EnumDescriptorProto{Name: proto.String(e.Name),
			ReservedName: e.ReservedNames}
		for _, w := range e.Words {
			enum.Value = append(enum.Value, &descriptorpb.EnumValueDescriptorProto{
				Name: proto.String(w.Name), Number: proto.Int32(w.Number)})
		}
		for _, n := range e.Reserved {
			enum.ReservedRange = append(enum.ReservedRange,
				&descriptorpb.EnumDescriptorProto_EnumReservedRange{Start: proto.Int32(n),
					End: proto.Int32(n)})
		}
		file.EnumType = append(file.EnumType, enum)
	}
	return file
}

func (p *Proto) full(name string) *string { return proto.String("." + p.Package + "." + name) }

func (p *Proto) describe(m *ProtoMessage) *descriptorpb.DescriptorProto {
	d := &descriptorpb.DescriptorProto{Name: proto.String(m.Name), ReservedName: m.ReservedNames}
	for _, n := range m.Reserved {
		d.ReservedRange = append(d.ReservedRange, &descriptorpb.DescriptorProto_ReservedRange{
			Start: proto.Int32(n), End: proto.Int32(n + 1)})
	}
	if m.Choice != "" {
		d.OneofDecl = []*descriptorpb.OneofDescriptorProto{{Name: proto.String(m.Choice)}}
	}
	for _, f := range m.Fields {
		one := p.describeField(f)
		if f.Map {
			entry := pascal(f.label(), false) + "Entry"
			d.NestedType = append(d.NestedType, mapEntry(entry, one.TypeName))
			one.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
			one.TypeName = p.full(m.Name + "." + entry)
		}
		d.Field = append(d.Field, one)
	}
	for i, f := range m.Fields {
		switch {
		case m.Choice != "":
			d.Field[i].OneofIndex = proto.Int32(0)
		case f.presence():
			// An optional field is the only one of a oneof that nobody sees.
			d.Field[i].Proto3Optional = proto.Bool(true)
			d.Field[i].OneofIndex = proto.Int32(int32(len(d.OneofDecl)))
			d.OneofDecl = append(d.OneofDecl, &descriptorpb.OneofDescriptorProto{
				Name: proto.String("_" + f.label())})
		}
	}
	return d
}

func (p *Proto) describeField(f *ProtoField) *descriptorpb.FieldDescriptorProto {
	d := &descriptorpb.FieldDescriptorProto{Name: proto.String(f.label()),
		Number: proto.Int32(f.Number), Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
	if f.Repeated {
		d.Label = descriptorpb.FieldDescriptorProto_LABEL_REPEATED.Enum()
	}
	switch f.Kind {
	case ProtoString:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()
	case ProtoInt32:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum()
	case ProtoInt64:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_INT64.Enum()
	case ProtoDouble:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_DOUBLE.Enum()
	case ProtoBool:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_BOOL.Enum()
	case ProtoEnumOf:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum()
		d.TypeName = p.full(f.Enum.Name)
	case ProtoMessageOf:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
		d.TypeName = p.full(f.Message.Name)
	case ProtoKnown:
		d.Type = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum()
		d.TypeName = proto.String("." + f.Known)
	}
	return d
}

// mapEntry describes the message that a map is a list of.
func mapEntry(name string, of *string) *descriptorpb.DescriptorProto {
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	return &descriptorpb.DescriptorProto{Name: proto.String(name),
		Options: &descriptorpb.MessageOptions{MapEntry: proto.Bool(true)},
		Field: []*descriptorpb.FieldDescriptorProto{
			{Name: proto.String("key"), Number: proto.Int32(1), Label: one,
				Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()},
			{Name: proto.String("value"), Number: proto.Int32(2), Label: one,
				Type: descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), TypeName: of}}}
}
