package rpc

import (
	"bytes"
	"context"
	"net/http"

	"connectrpc.com/connect"
	"connectrpc.com/grpcreflect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/value"
)

// surface is what was made of an app, kept as long as it is in force.
type surface struct {
	app      *app.App
	lock     []byte
	handlers map[string]http.Handler
}

// of reports whether the surface is that of an app with a lock.
func (s *surface) of(a *app.App, lock []byte) bool {
	return s != nil && s.app == a && bytes.Equal(s.lock, lock)
}

// now returns the surface of the app in force. An app that cannot be served here has the
// services of the house alone.
func (d *Door) now() *surface {
	a, lock := d.App(), d.Lock()
	if s := d.surface.Load(); s.of(a, lock) {
		return s
	}
	d.making.Lock()
	defer d.making.Unlock()
	if s := d.surface.Load(); s.of(a, lock) {
		return s
	}
	s, err := d.make(a, lock)
	if err != nil && d.Broken != nil {
		d.Broken(err)
	}
	d.surface.Store(s)
	return s
}

// Describe returns what an app opens, in the words of protobuf.
func Describe(a *app.App, lock []byte) (*codegen.Proto, error) {
	views := map[string]*value.Shape{}
	for _, v := range a.Views() {
		views[v.Name] = v.Plan.Out
	}
	return codegen.NewProto(a.Spec, views, lock)
}

// make makes the handlers of an app.
func (d *Door) make(a *app.App, lock []byte) (*surface, error) {
	s := &surface{app: a, lock: lock, handlers: map[string]http.Handler{}}
	files, err := houseFiles()
	if err != nil {
		return s, err
	}
	names := []string{d.serveHealth(s, files)}
	p, err := Describe(a, lock)
	if err != nil {
		return s, err
	}
	file, err := protodesc.NewFile(p.Descriptor(), files)
	if err != nil {
		return s, err
	}
	if err := files.RegisterFile(file); err != nil {
		return s, err
	}
	plans := &planner{file: file, plans: map[*codegen.ProtoMessage]*plan{}}
	asks := map[*codegen.ProtoMessage]*method{}
	for i, service := range p.Services {
		of := file.Services().Get(i)
		names = append(names, string(of.FullName()))
		for j, m := range service.Methods {
			call := newMethod(d, a, plans, m)
			asks[m.Input] = call
			if m.Verb == codegen.ProtoBatch { // which is behind those that it asks
				call.calls = callsOf(m, asks)
			}
			d.serve(s, call, of.Methods().Get(j))
		}
	}
	if d.Reflect {
		reflector := grpcreflect.NewReflector(grpcreflect.NamerFunc(func() []string { return names }),
			grpcreflect.WithDescriptorResolver(files))
		limits := []connect.HandlerOption{connect.WithReadMaxBytes(64 << 10)}
		for _, make := range []func(*grpcreflect.Reflector, ...connect.HandlerOption) (string,
			http.Handler){grpcreflect.NewHandlerV1, grpcreflect.NewHandlerV1Alpha} {
			path, h := make(reflector, limits...)
			s.handlers[path+"ServerReflectionInfo"] = d.goesOn(h)
		}
	}
	return s, nil
}

// dateFile describes google/type/date.proto.
func dateFile() *descriptorpb.FileDescriptorProto {
	day := &descriptorpb.DescriptorProto{Name: proto.String("Date")}
	for i, name := range []string{"year", "month", "day"} {
		day.Field = append(day.Field, &descriptorpb.FieldDescriptorProto{Name: proto.String(name),
			Number: proto.Int32(int32(i + 1)), Type: descriptorpb.FieldDescriptorProto_TYPE_INT32.Enum(),
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()})
	}
	return &descriptorpb.FileDescriptorProto{Name: proto.String("google/type/date.proto"),
		Package: proto.String("google.type"), Syntax: proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{day}}
}

// houseFiles returns the files that the apps' files build on, and those of what the
// house answers with.
func houseFiles() (*protoregistry.Files, error) {
	files := &protoregistry.Files{}
	for _, known := range []protoreflect.FileDescriptor{
		timestamppb.File_google_protobuf_timestamp_proto, durationpb.File_google_protobuf_duration_proto,
		structpb.File_google_protobuf_struct_proto, fieldmaskpb.File_google_protobuf_field_mask_proto,
		errdetails.File_google_rpc_error_details_proto} {
		if err := files.RegisterFile(known); err != nil {
			return nil, err
		}
	}
	for _, own := range []*descriptorpb.FileDescriptorProto{dateFile(), healthFile()} {
		file, err := protodesc.NewFile(own, files)
		if err != nil {
			return nil, err
		}
		if err := files.RegisterFile(file); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// Options are those of every handler of this door, with the greatest size of a message in
// bytes. They know generated messages, too.
func Options(most int) []connect.HandlerOption {
	return append(codecs(), connect.WithReadMaxBytes(most),
		connect.WithCompressMinBytes(compressMin))
}

// options are those of the handlers whose messages are of a descriptor.
func options(in protoreflect.MessageDescriptor) []connect.HandlerOption {
	return append(Options(MessageMax),
		connect.WithRequestInitializer(func(_ connect.Spec, m any) error {
			m.(*message).desc = in
			return nil
		}))
}

// procedure is the path of a method.
func procedure(m protoreflect.MethodDescriptor) string {
	return "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
}

// serve adds the handler of a method.
func (d *Door) serve(s *surface, call *method, of protoreflect.MethodDescriptor) {
	path := procedure(of)
	if call.Streams() {
		follow := call.follow
		if call.Verb == codegen.ProtoJobFollow {
			follow = call.followJob
		}
		s.handlers[path] = d.goesOn(connect.NewServerStreamHandler(path,
			func(ctx context.Context, r *connect.Request[message], to *connect.ServerStream[message]) error {
				x := exchangeOf(ctx)
				err := call.guard(x, func() error { return follow(ctx, x, r.Msg, to) })
				return d.ended(x, err)
			}, options(of.Input())...))
		return
	}
	s.handlers[path] = newStraight(call, connect.NewUnaryHandler(path,
		func(ctx context.Context, r *connect.Request[message]) (*connect.Response[message], error) {
			x := exchangeOf(ctx)
			out := &message{desc: of.Output()}
			err := call.guard(x, func() (err error) {
				out.data, err = call.ask(ctx, x, r.Msg, nil)
				return err
			})
			if err != nil {
				return nil, d.problem(x, err)
			}
			x.status = http.StatusOK
			return connect.NewResponse(out), nil
		}, options(of.Input())...))
}
