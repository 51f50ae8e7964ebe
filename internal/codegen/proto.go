package codegen

import (
	"cmp"
	"slices"
	"strings"

	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Proto is what an app opens, in the words of protobuf: services with their methods,
// messages, enums. It is immutable.
type Proto struct {
	// Package is the package of all names: shop.v1.
	Package  string
	Services []*ProtoService
	Messages []*ProtoMessage
	Enums    []*ProtoEnum

	app  string
	lock *lock
}

// ProtoService is a collection, a view, all actions, or something of the house.
type ProtoService struct {
	Name    string
	Doc     string
	Methods []*ProtoMethod
}

// ProtoMethod is one operation.
type ProtoMethod struct {
	Name string
	Doc  string
	// Verb is the operation of Galley: get, list, create, update, delete, aggregate,
	// follow, action, or one of the constants below. Target is the collection, the view or
	// the action.
	Verb   string
	Target string
	// Reads reports that an action only reads.
	Reads  bool
	Input  *ProtoMessage
	Output *ProtoMessage
	// Record is the message of the collection's records; nil for actions.
	Record *ProtoMessage
	// Patch is the message of the fields of an update; nil for others.
	Patch *ProtoMessage
}

// ProtoKind is the type of a field.
type ProtoKind uint8

// The types.
const (
	ProtoString ProtoKind = iota + 1
	ProtoInt32
	ProtoInt64
	ProtoDouble
	ProtoBool
	ProtoEnumOf
	ProtoMessageOf
	// ProtoKnown is a message of google.protobuf or google.type.
	ProtoKnown
)

// ProtoMessage is a message.
type ProtoMessage struct {
	Name string
	Doc  string
	// Fields are in the order of the app file.
	Fields []*ProtoField
	// Reserved are numbers that fields had which are gone, ReservedNames their names.
	Reserved      []int32
	ReservedNames []string
	// Choice is the name of the oneof that all fields are in; "" for none.
	Choice string
}

// ProtoField is a field of a message.
type ProtoField struct {
	Name   string
	Doc    string
	Number int32
	Kind   ProtoKind
	// Message and Enum are what the kind names; Known is the full name of a message
	// that is not ours.
	Message  *ProtoMessage
	Enum     *ProtoEnum
	Known    string
	Repeated bool
	// Map fields have a value for each name: the message is that of the values.
	Map bool
	// Optional fields tell whether they were given, as messages always do.
	Optional bool
	// Other is the name that it has in protobuf, where it cannot have its own; "" is its own.
	Other string
	// Type is the field's type in the app file; nil where it is none of its fields.
	Type *value.Type
}

// ProtoEnum is an enum. Its word 0 stands for none.
type ProtoEnum struct {
	Name  string
	Doc   string
	Words []ProtoWord
	// Reserved are numbers that words had which are gone, ReservedNames their names.
	Reserved      []int32
	ReservedNames []string
}

// ProtoWord is a word of an enum: its name in protobuf, its number, and the word of the
// app file.
type ProtoWord struct {
	Name   string
	Number int32
	Word   string
}

// The messages that are not ours.
const (
	ProtoTimestamp = "google.protobuf.Timestamp"
	ProtoDuration  = "google.protobuf.Duration"
	ProtoValue     = "google.protobuf.Value"
	ProtoMask      = "google.protobuf.FieldMask"
	ProtoEmpty     = "google.protobuf.Empty"
	ProtoDate      = "google.type.Date"
)

// The numbers of the fields of the house, and the first of an app's own.
var systemNumbers = map[string]int32{spec.FieldID: 1, spec.FieldCreated: 2, spec.FieldUpdated: 3,
	spec.FieldVersion: 4, spec.FieldEmail: 5, spec.FieldVerified: 6}

const numberOwn = 10

// NewProto returns the protobuf form of what an app file opens. Views holds the shapes
// of its views, which its rules decide; lockText is what LockFile holds, empty at first.
// What has no number yet gets the next one.
func NewProto(sp *spec.Spec, views map[string]*value.Shape, lockText []byte) (*Proto, error) {
	l, err := readLock(lockText)
	if err != nil {
		return nil, err
	}
	b := &protoBuilder{spec: sp, taken: names{}, lock: l,
		out:     &Proto{Package: sp.App + ".v1", app: sp.App, lock: l},
		records: map[string]*ProtoMessage{}, fields: map[string][]*ProtoField{}}
	b.recordNames = recordNames(sp, b.taken, false)
	for _, c := range sp.Collections {
		b.record(c)
	}
	for _, c := range sp.Collections {
		b.expand(c)
	}
	for _, c := range sp.Collections {
		b.collection(c)
	}
	for _, v := range sp.Views {
		if shape := views[v.Name]; shape != nil && !v.Allow.Empty() {
			b.view(v, shape)
		}
	}
	b.actions()
	b.signing()
	b.jobs()
	b.batch()
	b.reserve()
	for _, m := range b.out.Messages {
		m.rename()
	}
	return b.out, nil
}

// Lock returns what LockFile should hold.
func (p *Proto) Lock() []byte { return p.lock.text() }

// protoBuilder gathers the parts.
type protoBuilder struct {
	spec  *spec.Spec
	out   *Proto
	taken names
	lock  *lock

	recordNames map[string]string
	// records are the messages of the collections that are open, fields all their fields,
	// those that nobody may read among them.
	records map[string]*ProtoMessage
	fields  map[string][]*ProtoField
	// scopes are the messages and enums whose numbers are kept.
	scopes []protoScope
	// row is the message of the rows of all aggregates, nil where there are none yet.
	row *ProtoMessage
}

type protoScope struct {
	path    string
	message *ProtoMessage
	enum    *ProtoEnum
}

// message adds a message.
func (b *protoBuilder) message(name, doc string, fields ...*ProtoField) *ProtoMessage {
	m := &ProtoMessage{Name: b.taken.take(name), Doc: doc, Fields: fields}
	b.out.Messages = append(b.out.Messages, m)
	return m
}

// service adds a service. A message of the same name has it first.
func (b *protoBuilder) service(name, doc string) *ProtoService {
	if b.taken[name] {
		name += "Service"
	}
	s := &ProtoService{Name: b.taken.take(name), Doc: doc}
	b.out.Services = append(b.out.Services, s)
	return s
}

// rename gives fields that would have the same name in JSON different ones, which
// protobuf asks for.
func (m *ProtoMessage) rename() {
	taken := map[string]bool{}
	for _, f := range m.Fields {
		name := f.Name
		for taken[camel(name)] {
			name += "_x"
		}
		taken[camel(name)] = true
		if name != f.Name {
			f.Other = name
		}
	}
}

// label is the name of the field in protobuf.
func (f *ProtoField) label() string { return cmp.Or(f.Other, f.Name) }

// camel writes a name as protobuf does in JSON.
func camel(name string) string {
	first, rest, _ := strings.Cut(name, "_")
	if rest == "" {
		return first
	}
	return first + strings.TrimPrefix(pascal("x_"+rest, false), "X")
}

// presence reports whether the field says that it is optional.
func (f *ProtoField) presence() bool {
	return f.Optional && !f.Repeated && f.Kind != ProtoMessageOf && f.Kind != ProtoKnown
}

// reserve keeps the numbers of what is gone.
func (b *protoBuilder) reserve() {
	for _, s := range b.scopes {
		numbers, gone := b.lock.gone(s.path)
		if s.enum != nil {
			s.enum.Reserved = numbers
			for _, w := range gone {
				name := s.enum.label(w)
				if !slices.ContainsFunc(s.enum.Words, func(o ProtoWord) bool { return o.Name == name }) &&
					!slices.Contains(s.enum.ReservedNames, name) {
					s.enum.ReservedNames = append(s.enum.ReservedNames, name)
				}
			}
			continue
		}
		s.message.Reserved = append(s.message.Reserved, numbers...)
		slices.Sort(s.message.Reserved)
		s.message.ReservedNames = append(s.message.ReservedNames, gone...)
	}
}

// fieldOf makes the field of a type of the app file. The path is where it stands there,
// the name what a message of its own would be called.
func (b *protoBuilder) fieldOf(path, name string, t *value.Type, docs map[string]string,
	docPath string) *ProtoField {
	elem := t
	f := &ProtoField{Type: t, Doc: docs[docPath]}
	if t.Kind == value.TypeList {
		elem, f.Repeated = t.Elem, true
	}
	switch elem.Kind {
	case value.TypeInt, value.TypeMoney:
		f.Kind = ProtoInt64
	case value.TypeFloat:
		f.Kind = ProtoDouble
	case value.TypeBool:
		f.Kind = ProtoBool
	case value.TypeEnum:
		f.Kind, f.Enum = ProtoEnumOf, b.enum(path, name, elem.Words, f.Doc)
	case value.TypeObject:
		f.Kind = ProtoMessageOf
		f.Message = b.object(path+".", b.message(name, ""), elem.Fields, docs, docPath)
	case value.TypeTime:
		f.Kind, f.Known = ProtoKnown, ProtoTimestamp
	case value.TypeDate:
		f.Kind, f.Known = ProtoKnown, ProtoDate
	case value.TypeDuration:
		f.Kind, f.Known = ProtoKnown, ProtoDuration
	case value.TypeJSON:
		f.Kind, f.Known = ProtoKnown, ProtoValue
	default:
		f.Kind = ProtoString
	}
	if elem.Kind == value.TypeRelation {
		f.Doc = strings.TrimSpace(f.Doc + "\nid of " + elem.Of)
	}
	return f
}

// as is the form of a field on the wire, for the lock.
func (f *ProtoField) as() string {
	form := [...]string{ProtoString: "string", ProtoInt32: "int32", ProtoInt64: "int64",
		ProtoDouble: "double", ProtoBool: "bool", ProtoEnumOf: "enum",
		ProtoMessageOf: "message"}
	name := ""
	if f.Kind == ProtoKnown {
		name = strings.ToLower(f.Known[strings.LastIndexByte(f.Known, '.')+1:])
	} else {
		name = form[f.Kind]
	}
	if f.Repeated {
		name += "[]"
	}
	return name
}

// object fills a message with the fields of a shape, whose numbers begin with 1.
func (b *protoBuilder) object(scope string, m *ProtoMessage, shape *value.Shape,
	docs map[string]string, docPath string) *ProtoMessage {
	for i := range shape.Fields() {
		v := &shape.Fields()[i]
		f := b.fieldOf(scope+v.Name, m.Name+pascal(singular(v.Name), false), &v.Type, docs,
			docPath+"."+v.Name)
		f.Name = v.Name
		f.Optional = !f.Repeated && (v.Type.Optional || v.Default.Kind() != value.Absent)
		f.Number = b.lock.number(scope, v.Name, "", f.as(), 1)
		m.Fields = append(m.Fields, f)
	}
	b.scopes = append(b.scopes, protoScope{path: scope, message: m})
	return m
}

// enum makes the enum of a list of words.
func (b *protoBuilder) enum(path, name string, words []string, doc string) *ProtoEnum {
	e := &ProtoEnum{Name: b.taken.take(name), Doc: doc}
	e.Words = []ProtoWord{{Name: b.taken.take(e.label("UNSPECIFIED"))}}
	for _, w := range words {
		e.Words = append(e.Words, ProtoWord{Name: b.taken.take(e.label(w)),
			Number: b.lock.number(path+":", w, "", "", 1), Word: w})
	}
	b.out.Enums = append(b.out.Enums, e)
	b.scopes = append(b.scopes, protoScope{path: path + ":", enum: e})
	return e
}

// label is the name of a word in protobuf.
func (e *ProtoEnum) label(word string) string {
	return screaming(e.Name) + "_" + strings.ToUpper(strings.ReplaceAll(word, "-", "_"))
}

// screaming writes OrderStatus as ORDER_STATUS.
func screaming(name string) string {
	var b strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToUpper(b.String())
}
