package value

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

// DepthMax is how deep JSON that enters may nest.
const DepthMax = 32

// SyntaxError is JSON that cannot be read.
type SyntaxError struct {
	// Offset is the byte at or after which it went wrong, from 0.
	Offset  int
	Message string
}

// Error says what is wrong and where.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s, at byte %d", e.Message, e.Offset+1)
}

// Decoding says how an input is read.
type Decoding struct {
	// Partial takes an input in which anything may be missing: what is missing
	// stays Absent. Otherwise it is filled with the field's default, or null where
	// it is optional, or is an issue.
	Partial bool
	// Operators takes {"$add": 1} and its kin in place of a field's value.
	Operators bool
	// Known, if set, has the names that exist but may not be sent here: such a
	// member is the issue not_writable, any other unknown.
	Known *Shape
	// Pointer is where the input stands in the whole request; "" is its top.
	Pointer string
}

// DecodeObject reads a JSON object into a record of the shape. All issues are told
// at once. The error is a *SyntaxError: what is no JSON, names a member twice, is no
// UTF-8, nests deeper than DepthMax or has something behind its end.
func DecodeObject(body []byte, shape *Shape, how Decoding) (Record, []Issue, error) {
	d, err := newDecoder(body, how.Pointer)
	if err != nil {
		return Record{}, nil, err
	}
	defer d.release()
	if d.json.PeekKind() != '{' {
		if _, err := d.read(); err != nil {
			return Record{}, nil, err
		}
		d.tell(CodeType, "must be an object")
		return Record{}, d.issues, d.end()
	}
	r, err := d.object(shape, how)
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return Record{}, nil, err
	}
	return r, d.issues, nil
}

// decodeText reads the JSON text of one list, object or json value.
func decodeText(t *Type, text, pointer string) (Value, []Issue) {
	d, err := newDecoder([]byte(text), pointer)
	var v Value
	var issues []Issue
	if err == nil {
		defer d.release()
		if v, err = d.value(t); err == nil {
			err = d.end()
		}
		issues = d.issues
	}
	if err != nil {
		p := newPath(pointer)
		p.tell(CodeType, "must be %s written as JSON: %v", t.Noun(), err)
		return Value{}, p.issues
	}
	return v, issues
}

// decoder reads an input token by token.
type decoder struct {
	path
	text bytes.Buffer
	json *jsontext.Decoder
}

// decoders keeps decoders with the room that they have made.
var decoders = sync.Pool{New: func() any {
	return &decoder{json: jsontext.NewDecoder(&bytes.Buffer{})}
}}

// release gives a decoder up. What it read stays, and its issues.
func (d *decoder) release() {
	d.path, d.text = path{text: d.path.text[:0]}, bytes.Buffer{}
	d.json.Reset(&d.text)
	decoders.Put(d)
}

func newDecoder(body []byte, pointer string) (*decoder, error) {
	if at := tooDeep(body); at >= 0 {
		return nil, &SyntaxError{at, fmt.Sprintf("it nests deeper than %d levels", DepthMax)}
	}
	return readerOf(body, pointer), nil
}

// readerOf returns a decoder of text that is known not to nest too deep. Who has read
// releases it.
func readerOf(text []byte, pointer string) *decoder {
	if pointer == "" {
		pointer = "#"
	}
	d := decoders.Get().(*decoder)
	d.path = path{text: append(d.path.text[:0], pointer...)}
	d.text = *bytes.NewBuffer(text)
	d.json.Reset(&d.text)
	return d
}

// tooDeep returns where the text nests deeper than DepthMax, or -1.
func tooDeep(body []byte) int {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > DepthMax {
				return i
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return -1
}

// read returns the next whole value, or a member's name, as it is written.
func (d *decoder) read() (jsontext.Value, error) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return nil, d.syntax(err)
	}
	return raw, nil
}

func (d *decoder) syntax(err error) error {
	var s *jsontext.SyntacticError
	switch {
	case errors.As(err, &s):
		return &SyntaxError{int(s.ByteOffset), s.Err.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &SyntaxError{int(d.json.InputOffset()), "it ends too early"}
	default:
		return &SyntaxError{int(d.json.InputOffset()), err.Error()}
	}
}

// end makes sure that nothing follows.
func (d *decoder) end() error {
	_, err := d.json.ReadToken()
	if err == io.EOF {
		return nil
	}
	if err != nil {
		return d.syntax(err)
	}
	return &SyntaxError{int(d.json.InputOffset()), "something follows the end"}
}

func (d *decoder) object(shape *Shape, how Decoding) (Record, error) {
	r := NewRecord(shape)
	if _, err := d.json.ReadToken(); err != nil {
		return r, d.syntax(err)
	}
	for d.json.PeekKind() != '}' {
		raw, err := d.read()
		if err != nil {
			return r, err
		}
		i, name, ok := shape.find(raw)
		n := d.pushName(name)
		if !ok {
			err = d.unknown(shape, name, how)
		} else {
			r.Slots[i], err = d.member(&shape.fields[i].Type, how)
		}
		d.pop(n)
		if err != nil {
			return r, err
		}
	}
	if _, err := d.json.ReadToken(); err != nil {
		return r, d.syntax(err)
	}
	if how.Partial {
		return r, nil
	}
	for i := range r.Slots {
		if r.Slots[i].kind == Absent {
			n := d.pushName(shape.fields[i].Name)
			d.fill(&shape.fields[i], &r.Slots[i])
			d.pop(n)
		}
	}
	return r, nil
}

// find returns the slot and name of a member by its quoted name.
func (s *Shape) find(raw []byte) (int, string, bool) {
	inner := raw[1 : len(raw)-1]
	if i, ok := s.index[string(inner)]; ok && bytes.IndexByte(inner, '\\') < 0 {
		return i, s.fields[i].Name, true
	}
	name := unquote(raw)
	i, ok := s.index[name]
	return i, name, ok
}

func (d *decoder) unknown(shape *Shape, name string, how Decoding) error {
	if _, err := d.read(); err != nil {
		return err
	}
	if how.Known != nil {
		if _, ok := how.Known.Index(name); ok {
			d.tell(CodeNotWritable, "%s cannot be set by clients", name)
			return nil
		}
	}
	of := ""
	if shape.name != "" {
		of = " in " + shape.name
	}
	d.tell(CodeUnknown, "no field %s%s%s", quote(name), of, meant(name, shape.Names()))
	return nil
}

// Names returns the names of the fields in their order.
func (s *Shape) Names() []string {
	names := make([]string, len(s.fields))
	for i := range s.fields {
		names[i] = s.fields[i].Name
	}
	return names
}

// member reads a member's value, or an operator in its place.
func (d *decoder) member(t *Type, how Decoding) (Value, error) {
	if how.Operators && d.json.PeekKind() == '{' && t.Kind != TypeObject && t.Kind != TypeJSON {
		return d.operator(t)
	}
	return d.value(t)
}

// operator reads {"$add": 1}.
func (d *decoder) operator(t *Type) (Value, error) {
	if _, err := d.json.ReadToken(); err != nil {
		return Value{}, d.syntax(err)
	}
	var v Value
	count := 0
	for ; d.json.PeekKind() != '}'; count++ {
		raw, err := d.read()
		if err != nil {
			return v, err
		}
		op, of := opOf(t, unquote(raw))
		if op == 0 {
			d.tell(CodeType, "must be %s or one operator%s", t.Noun(), operatorsOf(t))
			if _, err := d.read(); err != nil {
				return v, err
			}
			continue
		}
		n := d.pushName(opNames[op])
		operand, err := d.value(of)
		d.pop(n)
		if err != nil {
			return v, err
		}
		v = OfOp(op, operand)
	}
	if count != 1 {
		d.tell(CodeType, "must be %s or one operator%s", t.Noun(), operatorsOf(t))
	}
	if _, err := d.json.ReadToken(); err != nil {
		return v, d.syntax(err)
	}
	return v, nil
}

// opOf returns the operator of that name if it fits the type, and its operand's type.
func opOf(t *Type, name string) (Op, *Type) {
	for op := OpAdd; op <= OpMin; op++ {
		if opNames[op] != name {
			continue
		}
		onList := op == OpAppend || op == OpRemove
		switch {
		case onList && t.Kind == TypeList:
			return op, t.Elem
		case !onList && (t.ValueKind() == Int || t.ValueKind() == Float):
			return op, &Type{Kind: t.Kind}
		}
	}
	return 0, nil
}

func operatorsOf(t *Type) string {
	switch {
	case t.Kind == TypeList:
		return ": $append, $remove"
	case t.ValueKind() == Int || t.ValueKind() == Float:
		return ": $add, $max, $min"
	default:
		return ", and this type has none"
	}
}

// value reads a value of the type and asks its bounds. What does not fit is an issue.
func (d *decoder) value(t *Type) (Value, error) {
	kind := d.json.PeekKind()
	switch {
	case kind == 'n' && t.Kind != TypeJSON:
		_, err := d.read()
		return d.conform(t, OfNull()), err
	case kind == '[' && t.Kind == TypeList:
		return d.list(t)
	case kind == '{' && t.Kind == TypeObject:
		r, err := d.object(t.Fields, Decoding{})
		return OfRecord(r), err
	}
	raw, err := d.read()
	if err != nil {
		return Value{}, err
	}
	v, ok := scalar(t, raw)
	if !ok {
		d.tell(CodeType, "must be %s", t.Noun())
		return OfNull(), nil
	}
	return d.conform(t, v), nil
}

func (d *decoder) list(t *Type) (Value, error) {
	if _, err := d.json.ReadToken(); err != nil {
		return Value{}, d.syntax(err)
	}
	var items []Value
	for i := 0; d.json.PeekKind() != ']'; i++ {
		n := d.pushIndex(i)
		item, err := d.value(t.Elem)
		d.pop(n)
		if err != nil {
			return Value{}, err
		}
		items = append(items, item)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return Value{}, d.syntax(err)
	}
	d.listLength(t, len(items))
	return OfList(items), nil
}

// scalar makes a value of a JSON text that is valid and whole.
func scalar(t *Type, raw jsontext.Value) (Value, bool) {
	kind := raw.Kind()
	switch t.Kind {
	case TypeJSON:
		return compactJSON(raw)
	case TypeInt, TypeMoney:
		n, ok := parseInt(raw)
		return OfInt(n), ok && kind == '0'
	case TypeFloat:
		if kind != '0' {
			return Value{}, false
		}
		f, ok := parseFloat(raw)
		return OfFloat(f), ok
	case TypeBool:
		return OfBool(kind == 't'), kind == 't' || kind == 'f'
	case TypeList, TypeObject:
		return Value{}, false
	}
	if kind != '"' {
		return Value{}, false
	}
	if t.Kind == TypeTime || t.Kind == TypeDate || t.Kind == TypeDuration {
		return parseScalar(t.Kind, unquote(raw))
	}
	return OfText(unquote(raw)), true
}

// compactJSON takes any JSON whose numbers a float can hold.
func compactJSON(raw jsontext.Value) (Value, bool) {
	raw = raw.Clone()
	if raw.Compact() != nil {
		return Value{}, false
	}
	d := jsontext.NewDecoder(bytes.NewBuffer(raw.Clone()))
	for {
		token, err := d.ReadToken()
		if err == io.EOF {
			return OfJSON(string(raw)), true
		}
		if err != nil {
			return Value{}, false
		}
		if token.Kind() == '0' {
			if _, ok := parseFloat([]byte(token.String())); !ok {
				return Value{}, false
			}
		}
	}
}

// unquote returns the text of a valid JSON string.
func unquote(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	text, _ := jsontext.AppendUnquote(nil, raw) // valid, so it cannot fail
	return string(text)
}
