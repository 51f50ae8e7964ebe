package transport

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/value"
)

// BatchMax is the greatest number of operations in a batch.
const BatchMax = 50

// ParseBatch reads the body of a batch into the calls that it holds. Each operation
// is addressed as a request of its own would be, and only writes have a place in it.
func ParseBatch(body []byte) ([]engine.Call, error) {
	d := batchDecoder{jsontext.NewDecoder(bytes.NewBuffer(body))}
	if d.json.PeekKind() != '{' {
		return nil, d.wrong("A batch is an object with the member requests.")
	}
	var calls []engine.Call
	found := false
	err := d.members(func(name string) error {
		if name != "requests" {
			return unknownMember(name, "requests")
		}
		found = true
		var err error
		calls, err = d.requests()
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case !found || len(calls) == 0:
		return nil, item("#/requests", value.CodeRequired, "must hold at least one request")
	}
	if _, err := d.json.ReadToken(); err != io.EOF {
		return nil, malformed("something follows the end", d.json.InputOffset())
	}
	return calls, nil
}

type batchDecoder struct{ json *jsontext.Decoder }

// members reads an object and calls fn after each of its names.
func (d batchDecoder) members(fn func(name string) error) error {
	if _, err := d.json.ReadToken(); err != nil {
		return d.syntax(err)
	}
	for d.json.PeekKind() != '}' {
		token, err := d.json.ReadToken()
		if err != nil {
			return d.syntax(err)
		}
		if err := fn(token.String()); err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	if err != nil {
		return d.syntax(err)
	}
	return nil
}

func (d batchDecoder) requests() ([]engine.Call, error) {
	if d.json.PeekKind() != '[' {
		return nil, d.wrong("requests is a list.")
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	var calls []engine.Call
	for n := 0; d.json.PeekKind() != ']'; n++ {
		if n == BatchMax {
			f := item("#/requests", value.CodeMax, "may hold at most "+strconv.Itoa(BatchMax))
			f.Items[0].Params = []fault.Param{{Name: "max", Value: int64(BatchMax)}}
			return nil, f
		}
		call, err := d.request()
		if err != nil {
			f := *fault.From(err)
			f.At.Request = n + 1
			return nil, &f
		}
		calls = append(calls, call)
	}
	if _, err := d.json.ReadToken(); err != nil {
		return nil, d.syntax(err)
	}
	return calls, nil
}

func (d batchDecoder) request() (engine.Call, error) {
	var call engine.Call
	var method, path string
	if d.json.PeekKind() != '{' {
		return call, d.wrong("A request in a batch is an object.")
	}
	err := d.members(func(name string) (err error) {
		switch name {
		case "method":
			method, err = d.text(name)
		case "path":
			path, err = d.text(name)
		case "body":
			var raw jsontext.Value
			if raw, err = d.json.ReadValue(); err != nil {
				return d.syntax(err)
			}
			call.Body = raw.Clone()
		case "if_match":
			call.IfMatch, err = d.version()
		default:
			err = unknownMember(name, "method", "path", "body", "if_match")
		}
		return err
	})
	if err != nil {
		return call, err
	}
	return address(call, method, path)
}

// address fills in what method and path of an operation name.
func address(call engine.Call, method, path string) (engine.Call, error) {
	rest, ok := strings.CutPrefix(path, "/api/")
	route := ParseRoute(rest)
	m := ParseMethod(method)
	switch {
	case method == "" || path == "":
		return call, fault.New(fault.Malformed, "A request in a batch has a method and a path.")
	case !ok || route.Form != FormList && route.Form != FormRecord && route.Form != FormAction:
		return call, fault.New(fault.NotFound,
			"A batch holds writes of records and actions, by their paths without a "+
				"query, such as /api/orders.")
	case m == MethodGet || route.Form.Verb(m) == 0:
		return call, fault.New(fault.Malformed, "A batch does not take this method at this path.")
	}
	call.Verb, call.Target, call.Record = route.Form.Verb(m), route.Target, route.Record
	switch {
	case call.Body == nil && (call.Verb == engine.Create || call.Verb == engine.Update):
		return call, fault.New(fault.Malformed, "This request needs a body.")
	case call.Body != nil && call.Verb == engine.Delete:
		return call, fault.New(fault.Malformed, "A delete has no body.")
	case call.IfMatch != 0 && call.Verb != engine.Update && call.Verb != engine.Delete:
		return call, fault.New(fault.Malformed, "if_match belongs to an update or a delete.")
	}
	return call, nil
}

func (d batchDecoder) text(name string) (string, error) {
	if d.json.PeekKind() != '"' {
		return "", d.wrong(name + " is a text.")
	}
	token, err := d.json.ReadToken()
	if err != nil {
		return "", d.syntax(err)
	}
	return token.String(), nil
}

// version reads an if_match: a number, or the entity tag as the header writes it.
func (d batchDecoder) version() (int64, error) {
	raw, err := d.json.ReadValue()
	if err != nil {
		return 0, d.syntax(err)
	}
	text := string(raw)
	if raw.Kind() == '"' {
		unquoted, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return 0, d.syntax(err)
		}
		text = string(unquoted)
	}
	n, ok := ParseVersion(strings.Trim(text, `"`))
	if !ok {
		return 0, fault.New(fault.Malformed, "if_match is a version, such as 7.")
	}
	return n, nil
}

// ParseVersion reads a version as entity tags write it: a whole number from 1,
// without sign or leading zeros.
func ParseVersion(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && strconv.FormatInt(n, 10) == text
}

// wrong reads the next value, so that what is no JSON is said first, and then says
// what should have been there.
func (d batchDecoder) wrong(message string) error {
	if _, err := d.json.ReadValue(); err != nil {
		return d.syntax(err)
	}
	return fault.New(fault.Malformed, "%s", message)
}

func (d batchDecoder) syntax(err error) error {
	var s *jsontext.SyntacticError
	if errors.As(err, &s) {
		return malformed(s.Err.Error(), s.ByteOffset)
	}
	return malformed("it ends too early", d.json.InputOffset())
}

func malformed(what string, offset int64) *fault.Fault {
	return fault.New(fault.Malformed, "The body is not JSON: %s, at byte %d.", what, offset+1)
}

func unknownMember(name string, known ...string) error {
	hint := "It has " + strings.Join(known, ", ") + "."
	if near := value.Nearest(name, known); near != "" {
		hint = "Did you mean " + near + "?"
	}
	if len(name) > 48 {
		name = name[:48]
	}
	return fault.New(fault.Malformed, "A batch has no member %q. %s", name, hint)
}

func item(pointer, code, detail string) *fault.Fault {
	return &fault.Fault{Kind: fault.Invalid, Message: "The input is not valid.",
		Items: []fault.Item{{Pointer: pointer, Code: code, Detail: detail}}}
}
