package codegen

import (
	"slices"
	"strconv"
	"strings"
)

// protoImports are the files of the messages that are not ours.
var protoImports = map[string]string{
	ProtoTimestamp: "google/protobuf/timestamp.proto", ProtoDuration: "google/protobuf/duration.proto",
	ProtoValue: "google/protobuf/struct.proto",
	ProtoMask:  "google/protobuf/field_mask.proto", ProtoDate: "google/type/date.proto",
}

// ProtoDateFile is the text of google/type/date.proto, which compilers do not bring along.
const ProtoDateFile = `syntax = "proto3";

package google.type;

option go_package = "google.golang.org/genproto/googleapis/type/date;date";

// A day of the calendar.
message Date {
  int32 year = 1;
  int32 month = 2;
  int32 day = 3;
}
`

// ProtoBufFile is the name of the settings of buf, a tool for .proto files, and
// protoBuf what they are at first: names are those of Google's guide to interfaces.
const ProtoBufFile = "buf.yaml"

const protoBuf = `version: v2
lint:
  use: [STANDARD]
  except: [RPC_REQUEST_RESPONSE_UNIQUE, RPC_REQUEST_STANDARD_NAME, RPC_RESPONSE_STANDARD_NAME,
    SERVICE_SUFFIX]
  ignore: [google]
breaking:
  use: [WIRE_JSON]
`

// Path returns where the file stands below a folder of protobuf files.
func (p *Proto) Path() string {
	return strings.ReplaceAll(p.Package, ".", "/") + "/" + strings.TrimSuffix(p.Package, ".v1") + ".proto"
}

// Files returns the .proto files by their paths: that of the app, and those that it
// needs and that compilers do not bring along. Beside them stand settings for buf.
func (p *Proto) Files() map[string][]byte {
	out := map[string][]byte{p.Path(): p.text(), ProtoBufFile: []byte(protoBuf)}
	if slices.Contains(p.imports(), protoImports[ProtoDate]) {
		out[protoImports[ProtoDate]] = []byte(ProtoDateFile)
	}
	return out
}

// imports returns the files that the messages need, sorted.
func (p *Proto) imports() []string {
	var out []string
	for _, m := range p.Messages {
		for _, f := range m.Fields {
			if name := protoImports[f.Known]; name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// text writes the file.
func (p *Proto) text() []byte {
	w := &protoWriter{}
	w.line("// What " + p.app + " opens to its clients. Made by galley gen proto from galley.yaml and")
	w.line("// " + LockFile + "; do not edit.")
	w.line(`syntax = "proto3";`)
	w.line("")
	w.line("package " + p.Package + ";")
	if imports := p.imports(); len(imports) > 0 {
		w.line("")
		for _, name := range imports {
			w.line(`import "` + name + `";`)
		}
	}
	for _, s := range p.Services {
		w.service(p.Package, s)
	}
	for _, m := range p.Messages {
		w.message(m)
	}
	for _, e := range p.Enums {
		w.enum(e)
	}
	return w.out
}

type protoWriter struct{ out []byte }

func (w *protoWriter) line(text string) {
	w.out = append(append(w.out, text...), '\n')
}

// doc writes a comment.
func (w *protoWriter) doc(indent, text string) {
	if text = strings.TrimSpace(text); text == "" {
		return
	}
	for line := range strings.SplitSeq(text, "\n") {
		w.line(strings.TrimRight(indent+"// "+line, " "))
	}
}

func (w *protoWriter) service(pkg string, s *ProtoService) {
	w.line("")
	w.doc("", s.Doc)
	w.line("service " + s.Name + " {")
	for _, m := range s.Methods {
		w.doc("  ", m.Doc)
		out := m.Output.Name
		if slices.ContainsFunc(s.Methods, func(o *ProtoMethod) bool { return o.Name == out }) {
			out = "." + pkg + "." + out // else the method would be meant
		}
		if m.Streams() {
			out = "stream " + out
		}
		w.line("  rpc " + m.Name + "(" + m.Input.Name + ") returns (" + out + ");")
	}
	w.line("}")
}

func (w *protoWriter) message(m *ProtoMessage) {
	w.line("")
	w.doc("", m.Doc)
	if len(m.Fields) == 0 && len(m.Reserved) == 0 {
		w.line("message " + m.Name + " {}")
		return
	}
	w.line("message " + m.Name + " {")
	w.reserved(m.Reserved, m.ReservedNames)
	indent := "  "
	if m.Choice != "" {
		w.line("  oneof " + m.Choice + " {")
		indent = "    "
	}
	for _, f := range m.Fields {
		w.doc(indent, f.Doc)
		kind := f.typeName()
		switch {
		case f.Map:
			kind = "map<string, " + kind + ">"
		case f.Repeated:
			kind = "repeated " + kind
		case f.presence():
			kind = "optional " + kind
		}
		w.line(indent + kind + " " + f.label() + " = " + strconv.Itoa(int(f.Number)) + ";")
	}
	if m.Choice != "" {
		w.line("  }")
	}
	w.line("}")
}

func (w *protoWriter) reserved(numbers []int32, names []string) {
	if len(numbers) > 0 {
		all := make([]string, len(numbers))
		for i, n := range numbers {
			all[i] = strconv.Itoa(int(n))
		}
		w.line("  reserved " + strings.Join(all, ", ") + ";")
	}
	if len(names) > 0 {
		w.line(`  reserved "` + strings.Join(names, `", "`) + `";`)
	}
}

func (w *protoWriter) enum(e *ProtoEnum) {
	w.line("")
	w.doc("", e.Doc)
	w.line("enum " + e.Name + " {")
	w.reserved(e.Reserved, e.ReservedNames)
	for _, word := range e.Words {
		w.line("  " + word.Name + " = " + strconv.Itoa(int(word.Number)) + ";")
	}
	w.line("}")
}

// typeName is the name of the field's type.
func (f *ProtoField) typeName() string {
	switch f.Kind {
	case ProtoString:
		return "string"
	case ProtoInt32:
		return "int32"
	case ProtoInt64:
		return "int64"
	case ProtoDouble:
		return "double"
	case ProtoBool:
		return "bool"
	case ProtoEnumOf:
		return f.Enum.Name
	case ProtoMessageOf:
		return f.Message.Name
	default:
		return f.Known
	}
}
