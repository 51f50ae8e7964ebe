package rpc

import (
	"context"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/galleybackend/galley/internal/fault"
)

const (
	healthPackage = "grpc.health.v1"
	healthService = healthPackage + ".Health"
)

// The answers of the health service.
const (
	serving        = 1
	notServing     = 2
	serviceUnknown = 3
)

const (
	// healthTime is how long it may take to find out, healthEach how often it is found
	// out for those who watch.
	healthTime = 15 * time.Second
	healthEach = 5 * time.Second
)

// healthFile describes grpc/health/v1/health.proto.
func healthFile() *descriptorpb.FileDescriptorProto {
	status := "." + healthPackage + ".HealthCheckResponse.ServingStatus"
	words := &descriptorpb.EnumDescriptorProto{Name: proto.String("ServingStatus")}
	for i, name := range []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"} {
		words.Value = append(words.Value, &descriptorpb.EnumValueDescriptorProto{
			Name: proto.String(name), Number: proto.Int32(int32(i))})
	}
	one := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()
	in, out := proto.String("."+healthPackage+".HealthCheckRequest"),
		proto.String("."+healthPackage+".HealthCheckResponse")
	return &descriptorpb.FileDescriptorProto{Name: proto.String("grpc/health/v1/health.proto"),
		Package: proto.String(healthPackage), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{
			{Name: proto.String("HealthCheckRequest"), Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("service"), Number: proto.Int32(1), Label: one,
					Type: descriptorpb.FieldDescriptorProto_TYPE_STRING.Enum()}}},
			{Name: proto.String("HealthCheckResponse"), Field: []*descriptorpb.FieldDescriptorProto{
				{Name: proto.String("status"), Number: proto.Int32(1), Label: one,
					Type:     descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(),
					TypeName: proto.String(status)}},
				EnumType: []*descriptorpb.EnumDescriptorProto{words}},
		},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("Health"),
			Method: []*descriptorpb.MethodDescriptorProto{
				{Name: proto.String("Check"), InputType: in, OutputType: out},
				{Name: proto.String("Watch"), InputType: in, OutputType: out,
					ServerStreaming: proto.Bool(true)}}}},
	}
}

// serveHealth adds the health service, and returns its name.
func (d *Door) serveHealth(s *surface, files *protoregistry.Files) string {
	found, err := files.FindDescriptorByName(healthService)
	if err != nil {
		return healthService // never: it was registered
	}
	methods := found.(protoreflect.ServiceDescriptor).Methods()
	check, watch := methods.ByName("Check"), methods.ByName("Watch")
	known := func(name string) bool {
		if name == "" || name == healthService {
			return true
		}
		for path := range s.handlers {
			if len(path) > len(name)+1 && path[1:len(name)+1] == name && path[len(name)+1] == '/' {
				return true
			}
		}
		return false
	}
	answer := func(status uint64) *message {
		return &message{desc: check.Output(),
			data: protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), status)}
	}
	s.handlers[procedure(check)] = connect.NewUnaryHandler(procedure(check),
		func(ctx context.Context, r *connect.Request[message]) (*connect.Response[message], error) {
			x := exchangeOf(ctx)
			name, err := serviceIn(r.Msg)
			if err == nil && !known(name) {
				err = fault.New(fault.NotFound, "There is no such service.")
			}
			if err != nil {
				return nil, d.problem(x, err)
			}
			x.Told(nil, nil)
			x.status = http.StatusOK
			return connect.NewResponse(answer(d.status(ctx))), nil
		}, options(check.Input())...)
	s.handlers[procedure(watch)] = d.goesOn(connect.NewServerStreamHandler(procedure(watch),
		func(ctx context.Context, r *connect.Request[message], to *connect.ServerStream[message]) error {
			x := exchangeOf(ctx)
			name, err := serviceIn(r.Msg)
			if err != nil {
				return d.problem(x, err)
			}
			return d.ended(x, d.watch(ctx, x, known(name), answer, to))
		}, options(watch.Input())...))
	return healthService
}

// serviceIn reads the name of the service that is asked about.
func serviceIn(in *message) (string, error) {
	if in.err != nil {
		return "", in.err
	}
	name := ""
	for data := in.data; len(data) > 0; {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return "", fault.New(fault.Malformed, "The message is no protobuf.")
		}
		data = data[n:]
		if number == 1 && wire == protowire.BytesType {
			text, _ := protowire.ConsumeBytes(data)
			name = string(text)
		}
		if n = protowire.ConsumeFieldValue(number, wire, data); n < 0 {
			return "", fault.New(fault.Malformed, "The message is no protobuf.")
		}
		data = data[n:]
	}
	return name, nil
}

// status says whether the service can be given.
func (d *Door) status(ctx context.Context) uint64 {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	if d.Health != nil && d.Health(ctx) != nil {
		return notServing
	}
	return serving
}

// watch tells the status whenever it changes.
func (d *Door) watch(ctx context.Context, x *exchange, known bool,
	answer func(uint64) *message, to *connect.ServerStream[message]) error {
	x.Told(nil, nil)
	tick := time.NewTicker(healthEach)
	defer tick.Stop()
	for last := uint64(0); ; {
		now := uint64(serviceUnknown)
		if known {
			now = d.status(ctx)
		}
		if now != last {
			if err := x.send(to, answer(now)); err != nil {
				return err
			}
			last = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return d.over(ctx)
		}
	}
}
