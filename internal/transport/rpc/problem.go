package rpc

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// codes are the codes of gRPC by the names that transport gives kinds of faults.
var codes = map[string]connect.Code{
	"INTERNAL": connect.CodeInternal, "INVALID_ARGUMENT": connect.CodeInvalidArgument,
	"UNAUTHENTICATED":   connect.CodeUnauthenticated,
	"PERMISSION_DENIED": connect.CodePermissionDenied, "NOT_FOUND": connect.CodeNotFound,
	"ALREADY_EXISTS":      connect.CodeAlreadyExists,
	"FAILED_PRECONDITION": connect.CodeFailedPrecondition, "ABORTED": connect.CodeAborted,
	"RESOURCE_EXHAUSTED": connect.CodeResourceExhausted, "UNAVAILABLE": connect.CodeUnavailable,
	"DEADLINE_EXCEEDED": connect.CodeDeadlineExceeded, "UNKNOWN": connect.CodeUnknown,
}

// guard asks, if the call may be asked at all, and turns a panic into an internal fault.
func (m *method) guard(x *exchange, ask func() error) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fault.Wrap(fault.Internal, fmt.Errorf("panic: %v\n%s", cause, debug.Stack()),
				"Something went wrong on our side.")
		}
	}()
	if x.Refused != nil {
		return x.Refused
	}
	return ask()
}

// problem turns an error into that of gRPC, with what is known of it as details.
func (d *Door) problem(x *exchange, err error) error {
	f := transport.Keyed(fault.From(err), "metadata idempotency-key.")
	p := x.Words.Problem(f, x.Call.ID)
	x.status = p.Status
	d.see(x, f)
	x.Told(nil, nil)
	text := p.Title
	// Of our own mistakes nothing is told but that there was one.
	if f.Message != "" && f.Kind != fault.Internal {
		text = f.Message
	}
	text = d.Mask.Text(text)
	out := connect.NewError(codes[transport.GRPC(f.Kind)], errors.New(text))
	d.detail(out, d.info(f))
	if len(f.Items) > 0 {
		d.detail(out, d.violations(f))
	} else if f.At.Parameter != "" {
		d.detail(out, &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: parameter(f.At.Parameter), Description: text}}})
	}
	if after := retry(f); after > 0 {
		d.detail(out, &errdetails.RetryInfo{
			RetryDelay: durationpb.New(time.Duration(after) * time.Second)})
	}
	d.detail(out, &errdetails.RequestInfo{RequestId: string(x.Call.ID)})
	return out
}

// see notes a problem for who observes.
func (d *Door) see(x *exchange, f *fault.Fault) {
	s := x.Call.Seen
	if s == nil {
		return
	}
	if s.Code == "" {
		s.Code = f.CodeOr()
	}
	if f.At.Parameter != "" {
		s.Found("the parameter " + f.At.Parameter + ", column " + strconv.Itoa(f.At.Column))
	}
	for _, i := range f.Items {
		s.Found(i.Pointer + " " + i.Detail)
	}
	if f.Kind == fault.Internal && s.Cause == nil {
		s.Cause = f.Cause
	}
}

func (d *Door) detail(to *connect.Error, m proto.Message) {
	if detail, err := connect.NewErrorDetail(m); err == nil { // texts are UTF-8
		to.AddDetail(detail)
	}
}

// info says what programs read: the code, and what a refusal carries.
func (d *Door) info(f *fault.Fault) *errdetails.ErrorInfo {
	info := &errdetails.ErrorInfo{Reason: strings.ToUpper(f.CodeOr()), Domain: d.App().Spec.App}
	if len(f.Data) > 0 || f.At.Request > 0 {
		info.Metadata = map[string]string{}
		if f.At.Request > 0 {
			info.Metadata["call"] = strconv.Itoa(f.At.Request - 1)
		}
		for _, p := range f.Data {
			info.Metadata[valid(p.Name)] = d.Mask.Text(plain(p.Value))
		}
	}
	return info
}

// violations names each field with what is wrong with it.
func (d *Door) violations(f *fault.Fault) *errdetails.BadRequest {
	bad, part := &errdetails.BadRequest{}, ""
	if f.At.Request > 0 {
		part = "#/calls/" + strconv.Itoa(f.At.Request-1)
	}
	for _, i := range f.Items {
		v := &errdetails.BadRequest_FieldViolation{
			Field:       fieldPath(part + strings.TrimPrefix(i.Pointer, "#")),
			Description: d.Mask.Text(valid(i.Detail))}
		v.ProtoReflect().SetUnknown(protowire.AppendString(protowire.AppendTag(nil, reasonNumber,
			protowire.BytesType), strings.ToUpper(i.Code)))
		bad.FieldViolations = append(bad.FieldViolations, v)
	}
	return bad
}

// reasonNumber is that of a violation's reason, which its published definition has and
// the generated type does not yet.
const reasonNumber = 3

// fieldPath writes #/items/0/quantity as items[0].quantity.
func fieldPath(pointer string) string {
	var b strings.Builder
	for part := range strings.SplitSeq(strings.TrimPrefix(strings.TrimPrefix(pointer, "#"), "/"), "/") {
		if _, err := strconv.Atoi(part); err == nil {
			b.WriteString("[" + part + "]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(part)
	}
	return valid(b.String())
}

// parameter is the field that holds a parameter of the engine.
func parameter(name string) string {
	switch name {
	case "limit":
		return "page_size"
	case "cursor":
		return "page_token"
	default:
		return valid(name)
	}
}

// retry is how many seconds to wait before the same is asked again, 0 for no word of it.
func retry(f *fault.Fault) int {
	if f.RetryAfter == 0 && f.Kind == fault.Conflict && f.CodeOr() == fault.Conflict.Code() {
		return 1
	}
	return f.RetryAfter
}

func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }

// plain writes a figure as a text.
func plain(v any) string {
	switch v := v.(type) {
	case string:
		return valid(v)
	case value.Value:
		if v.Kind() == value.Text {
			return valid(v.Text())
		}
		return string(value.AppendJSON(nil, v))
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return valid(fmt.Sprint(v))
	}
}
