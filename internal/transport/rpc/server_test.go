package rpc_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/serve/servetest"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// world is a running server of the app in testdata, and what it opens.
type world struct {
	t    testing.TB
	base string
	data string
	cfg  serve.Config
	file protoreflect.FileDescriptor
	log  *servetest.Log
	app  *serve.Server
	stop func()
}

// open starts a server; change may change its config.
func open(t testing.TB, change func(*serve.Config)) *world {
	t.Helper()
	s := servetest.Start(t, "testdata/app", change)
	w := &world{t: t, base: s.Base, data: s.Config.Data, cfg: s.Config, log: s.Log, app: s.Server,
		stop: s.Stop}
	p, err := s.Compiled().Proto()
	if err != nil {
		t.Fatal(err)
	}
	w.file = fileOf(t, p.Descriptor())
	return w
}

// configOf is the config of an app's folder.
func configOf(app string) config.Config { return config.Config{App: app} }

// fileOf makes a file of its description, with Date, which it may build on.
func fileOf(t testing.TB, d *descriptorpb.FileDescriptorProto) protoreflect.FileDescriptor {
	t.Helper()
	files := &protoregistry.Files{}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		return files.RegisterFile(f) == nil
	})
	date, err := protodesc.NewFile(dateFile(), files)
	if err == nil {
		err = files.RegisterFile(date)
	}
	if err != nil {
		t.Fatal(err)
	}
	file, err := protodesc.NewFile(d, files)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func dateFile() *descriptorpb.FileDescriptorProto {
	var d descriptorpb.FileDescriptorProto
	text := `{"name":"google/type/date.proto","package":"google.type","syntax":"proto3","messageType":
		[{"name":"Date","field":[
		{"name":"year","number":1,"type":"TYPE_INT32","label":"LABEL_OPTIONAL"},
		{"name":"month","number":2,"type":"TYPE_INT32","label":"LABEL_OPTIONAL"},
		{"name":"day","number":3,"type":"TYPE_INT32","label":"LABEL_OPTIONAL"}]}]}`
	if err := protojson.Unmarshal([]byte(text), &d); err != nil {
		panic(err)
	}
	return &d
}

// plain speaks HTTP/2 without TLS.
func plain() *http.Client {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: &p}}
}

// person asks in one protocol, perhaps signed in.
type person struct {
	w      *world
	http   *http.Client
	how    []connect.ClientOption
	token  string
	id     string
	header http.Header // of the last answer
}

// person returns somebody who is not signed in, with a protocol: grpc, grpcweb, connect
// or json.
func (w *world) person(protocol string) *person {
	p := &person{w: w, http: plain()}
	w.t.Cleanup(p.http.CloseIdleConnections)
	switch protocol {
	case "grpc":
		p.how = []connect.ClientOption{connect.WithGRPC()}
	case "grpcweb":
		p.how, p.http = []connect.ClientOption{connect.WithGRPCWeb()}, &http.Client{}
	case "connect":
		p.http = &http.Client{}
	case "json":
		p.how, p.http = []connect.ClientOption{connect.WithProtoJSON()}, &http.Client{}
	default:
		w.t.Fatalf("no protocol %s", protocol)
	}
	return p
}

// signUp makes a user, who asks by gRPC.
func (w *world) signUp(name string) *person {
	w.t.Helper()
	u := servetest.SignUp(w.t, w.base, name+"@example.com", "correct horse battery")
	p := w.person("grpc")
	p.id, p.token = u.ID, u.Token
	return p
}

// rest asks over HTTP and JSON; headers come in pairs.
func (p *person) rest(method, path, body string, headers ...string) (servetest.Answer,
	map[string]any) {
	p.w.t.Helper()
	a, err := servetest.Person{Base: p.w.base, Token: p.token}.Ask(method, path, body, headers...)
	if err != nil {
		p.w.t.Fatal(err)
	}
	return a, a.JSON()
}

// method finds Service/Method.
func (w *world) method(name string) protoreflect.MethodDescriptor {
	w.t.Helper()
	service, method, _ := strings.Cut(name, "/")
	s := w.file.Services().ByName(protoreflect.Name(service))
	if s == nil || s.Methods().ByName(protoreflect.Name(method)) == nil {
		w.t.Fatalf("there is no method %s", name)
	}
	return s.Methods().ByName(protoreflect.Name(method))
}

// client makes the client of a method.
func (p *person) client(m protoreflect.MethodDescriptor) *connect.Client[dynamicpb.Message,
	dynamicpb.Message] {
	how := append([]connect.ClientOption{connect.WithSchema(m),
		connect.WithResponseInitializer(func(_ connect.Spec, v any) error {
			*v.(*dynamicpb.Message) = *dynamicpb.NewMessage(m.Output())
			return nil
		})}, p.how...)
	return connect.NewClient[dynamicpb.Message, dynamicpb.Message](p.http,
		p.w.base+"/"+string(m.Parent().FullName())+"/"+string(m.Name()), how...)
}

// request makes a request of JSON.
func (p *person) request(m protoreflect.MethodDescriptor, text string,
	headers ...string) *connect.Request[dynamicpb.Message] {
	p.w.t.Helper()
	in := dynamicpb.NewMessage(m.Input())
	if err := protojson.Unmarshal([]byte(text), in); err != nil {
		p.w.t.Fatalf("%s: %v", text, err)
	}
	r := connect.NewRequest(in)
	if p.token != "" {
		r.Header().Set("Authorization", "Bearer "+p.token)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header().Set(headers[i], headers[i+1])
	}
	return r
}

// try asks, with a message of JSON, and returns the answer as such.
func (p *person) try(name, text string, headers ...string) (map[string]any, error) {
	p.w.t.Helper()
	m := p.w.method(name)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	res, err := p.client(m).CallUnary(ctx, p.request(m, text, headers...))
	if err != nil {
		var e *connect.Error
		if errors.As(err, &e) {
			p.header = e.Meta()
		}
		return nil, err
	}
	p.header = res.Header()
	out, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(res.Msg)
	if err != nil {
		p.w.t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(out, &fields); err != nil {
		p.w.t.Fatal(err)
	}
	return fields, nil
}

// do asks what must be answered.
func (p *person) do(name, text string, headers ...string) map[string]any {
	p.w.t.Helper()
	out, err := p.try(name, text, headers...)
	if err != nil {
		p.w.t.Fatalf("%s %s: %v", name, text, err)
	}
	return out
}
