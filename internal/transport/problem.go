package transport

import (
	"strconv"
	"strings"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/value"
)

// TypeProblem is the content type of a problem.
const TypeProblem = "application/problem+json"

// problemQuota is the type that the drafts on rate limits register for 429.
const problemQuota = "https://iana.org/assignments/http-problem-types#quota-exceeded"

// Problem is a fault in the form of RFC 9457.
type Problem struct {
	Fault   *fault.Fault
	Request ident.Call
	Title   string
	Status  int
	// Policies are the rate limits that were run over.
	Policies []string
	// Broken tells a developer what is wrong with the app as it was last saved; "" is
	// nothing.
	Broken string
}

// Problem returns err as a problem. An error that is no fault is an internal one,
// of which only the request's id is told.
func (w *Words) Problem(err error, request ident.Call) Problem {
	f := fault.From(err)
	return Problem{Fault: f, Request: request, Title: w.title(f), Status: w.status(f)}
}

// Keyed returns the fault; one that asks for an idempotency key then says how the door
// takes it.
func Keyed(f *fault.Fault, how string) *fault.Fault {
	if f.CodeOr() != "idempotency_key_missing" {
		return f
	}
	keyed := *f
	keyed.Message = strings.TrimSuffix(f.Message, ".") + ": " + how
	return &keyed
}

// MethodProblem is the problem of a method that an address does not take.
func (w *Words) MethodProblem(detail string, request ident.Call) Problem {
	return w.Problem(fault.WithCode(fault.Malformed, CodeMethod, "%s", detail), request)
}

// Append appends the problem as JSON.
func (p Problem) Append(dst []byte) []byte {
	f, code := p.Fault, p.Fault.CodeOr()
	if f.Kind == fault.Exhausted {
		dst = append(dst, `{"type":"`+problemQuota+`"`...)
	} else {
		dst = append(dst, `{"type":"/problems/`...)
		dst = append(dst, code...)
		dst = append(dst, '"')
	}
	dst = value.AppendQuoted(append(dst, `,"title":`...), p.Title)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(p.Status), 10)
	dst = value.AppendQuoted(append(dst, `,"code":`...), code)
	// Of our own mistakes nothing is told but that there was one.
	if f.Message != "" && f.Message != p.Title && f.Kind != fault.Internal {
		dst = value.AppendQuoted(append(dst, `,"detail":`...), f.Message)
	}
	if len(f.Items) > 0 {
		dst = appendItems(append(dst, `,"errors":`...), f.Items)
	}
	if len(f.Data) > 0 {
		dst = appendParams(append(dst, `,"data":`...), f.Data)
	}
	dst = appendPlace(dst, f.At)
	for i, name := range p.Policies {
		if i == 0 {
			dst = append(dst, `,"violated-policies":[`...)
		} else {
			dst = append(dst, ',')
		}
		dst = value.AppendQuoted(dst, name)
		if i == len(p.Policies)-1 {
			dst = append(dst, ']')
		}
	}
	dst = value.AppendQuoted(append(dst, `,"request":`...), string(p.Request))
	if p.Broken != "" {
		dst = value.AppendQuoted(append(dst, `,"broken":`...), p.Broken)
	}
	return append(dst, '}')
}

func appendItems(dst []byte, items []fault.Item) []byte {
	dst = append(dst, '[')
	for i, item := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = value.AppendQuoted(append(dst, `{"pointer":`...), item.Pointer)
		dst = value.AppendQuoted(append(dst, `,"code":`...), item.Code)
		dst = value.AppendQuoted(append(dst, `,"detail":`...), item.Detail)
		if len(item.Params) > 0 {
			dst = appendParams(append(dst, `,"params":`...), item.Params)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func appendParams(dst []byte, params []fault.Param) []byte {
	dst = append(dst, '{')
	for i, p := range params {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(value.AppendQuoted(dst, p.Name), ':')
		dst = value.AppendJSON(dst, paramValue(p.Value))
	}
	return append(dst, '}')
}

func paramValue(v any) value.Value {
	switch v := v.(type) {
	case string:
		return value.OfText(v)
	case int64:
		return value.OfInt(v)
	case int:
		return value.OfInt(int64(v))
	case float64:
		return value.OfFloat(v)
	case bool:
		return value.OfBool(v)
	case value.Value:
		return v
	default:
		return value.OfNull()
	}
}

func appendPlace(dst []byte, at fault.Place) []byte {
	switch {
	case at.Request > 0:
		dst = strconv.AppendInt(append(dst, `,"at":{"request":`...), int64(at.Request-1), 10)
		return append(dst, '}')
	case at.Parameter != "":
		dst = value.AppendQuoted(append(dst, `,"at":{"parameter":`...), at.Parameter)
		if at.Column > 0 {
			dst = strconv.AppendInt(append(dst, `,"column":`...), int64(at.Column), 10)
		}
		return append(dst, '}')
	default:
		return dst
	}
}
