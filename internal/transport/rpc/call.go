package rpc

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// method is one method of the app's services.
type method struct {
	*codegen.ProtoMethod
	door *Door
	verb engine.Verb
	in   *plan
	out  *plan
	// record is the plan of the collection's records; nil for actions.
	record *plan
	// shape is that of what is kept of an answer: the records of the collection, or the
	// output of the action.
	shape *value.Shape
	// calls are the methods that a batch may ask, by the numbers of its calls; nil for
	// others.
	calls map[protowire.Number]*method
}

// verbs are the engine's verbs by their names.
var verbs = map[string]engine.Verb{"get": engine.Get, "list": engine.List,
	"aggregate": engine.Aggregate, "create": engine.Create, "update": engine.Update,
	"delete": engine.Delete, "action": engine.Action, "follow": engine.List,
	codegen.ProtoSignIn: engine.Action, codegen.ProtoRefresh: engine.Action,
	codegen.ProtoHouse: engine.Action, codegen.ProtoJob: engine.Action,
	codegen.ProtoJobFollow: engine.Action, codegen.ProtoJobCancel: engine.Action,
	codegen.ProtoBatch: engine.Batch, codegen.ProtoFollowWhole: engine.List}

func newMethod(d *Door, a *app.App, plans *planner, m *codegen.ProtoMethod) *method {
	out := &method{ProtoMethod: m, door: d, verb: verbs[m.Verb], in: plans.plan(m.Input),
		out: plans.plan(m.Output)}
	if m.Record != nil {
		out.record = plans.plan(m.Record)
	}
	switch c, x := a.Collection(m.Target), a.Action(m.Target); {
	case m.Verb == "action" && x != nil:
		out.shape = x.Spec.Output
	case c != nil:
		out.shape = c.Shape
	}
	switch m.Verb {
	case "create":
		out.in.whole = out.record
	case "update":
		plans.plan(m.Patch).whole = out.record
	}
	return out
}

// ask reads a message, asks the engine, and writes the answer behind what is there.
func (m *method) ask(ctx context.Context, x *exchange, in *message, dst []byte) ([]byte, error) {
	if in.err != nil {
		return nil, in.err
	}
	call := x.Call
	call.Request.Method = m.method()
	if err := m.fill(&call, in.data); err != nil {
		return nil, err
	}
	switch m.Verb {
	case codegen.ProtoJob:
		return m.job(ctx, x, &call, dst)
	case codegen.ProtoJobCancel:
		var out []byte
		err := transport.AwaitJob(ctx, call.Record, func() (err error) {
			out, err = m.execute(ctx, x, &call, dst)
			return err
		})
		return out, err
	}
	if m.reads() {
		return m.query(ctx, x, &call, dst)
	}
	return m.execute(ctx, x, &call, dst)
}

// reads reports whether the method changes nothing.
func (m *method) reads() bool {
	return m.Reads || m.verb == engine.Get || m.verb == engine.List || m.verb == engine.Aggregate
}

// fill reads a message into the call that it asks for.
func (m *method) fill(call *engine.Call, data []byte) error {
	call.Verb, call.Target = m.verb, m.Target
	if m.verb == engine.Batch {
		return m.batch(call, data)
	}
	d := &decoder{}
	r, err := d.decode(m.in, data, "")
	if err != nil {
		return err
	}
	switch m.verb {
	case engine.Get, engine.List, engine.Aggregate:
		if m.verb == engine.Get {
			call.Record = r.Slots[0].Text()
		}
		call.Params, err = m.params(r)
	case engine.Create:
		call.Body = d.body(r)
	case engine.Action:
		m.action(call, d, r)
	case engine.Update:
		err = m.update(d, r, call)
	case engine.Delete:
		call.Record = r.Slots[0].Text()
		call.IfMatch, err = version(r.Get("version"))
	}
	return err
}

// method is the method of HTTP that asks for the same, for the rules that look at it.
func (m *method) method() string {
	switch {
	case m.Verb == codegen.ProtoJobCancel:
		return http.MethodDelete
	case !m.reads() && m.verb != engine.Update && m.verb != engine.Delete:
		return http.MethodPost
	case m.verb == engine.Update:
		return http.MethodPatch
	case m.verb == engine.Delete:
		return http.MethodDelete
	default:
		return http.MethodGet
	}
}

// body writes an input as the engine reads it. What may not be sent is named, so that
// the engine says no to it.
func (d *decoder) body(r value.Record) []byte {
	body, some := value.AppendMembers([]byte{'{'}, r)
	for _, name := range d.closed {
		if some {
			body = append(body, ',')
		}
		some = true
		body = append(value.AppendQuoted(body, name), ":null"...)
	}
	return append(body, '}')
}

// update reads what an update has: id, patch, mask, version.
func (m *method) update(d *decoder, r value.Record, call *engine.Call) (err error) {
	call.Record = r.Get("id").Text()
	if call.IfMatch, err = version(r.Get("version")); err != nil {
		return err
	}
	patch := r.Get("patch").Record()
	if patch.Zero() {
		for i := range m.in.fields {
			if f := &m.in.fields[i]; f.Name == "patch" {
				patch = value.NewRecord(f.sub.shape)
			}
		}
	}
	mask := r.Get("update_mask")
	if mask.Kind() != value.Absent {
		masked := value.NewRecord(patch.Shape)
		for _, path := range mask.List() {
			slot, ok := patch.Shape.Index(path.Text())
			switch {
			case ok && patch.Slots[slot].Kind() != value.Absent:
				masked.Slots[slot] = patch.Slots[slot]
			case ok && patch.Shape.Fields()[slot].Type.Kind == value.TypeList &&
				!patch.Shape.Fields()[slot].Type.Optional:
				masked.Slots[slot] = value.OfList(nil)
			case ok:
				masked.Slots[slot] = value.OfNull()
			default:
				// The engine knows whether there is such a field that may not be written.
				d.closed = append(d.closed, path.Text())
			}
		}
		patch = masked
	}
	call.Body = d.body(patch)
	return nil
}

// version reads the version that was read; 0 means any.
func version(v value.Value) (int64, error) {
	if v.Kind() == value.Absent {
		return 0, nil
	}
	if v.Int() < 1 {
		return 0, errValue("/version", "must be the version that was read")
	}
	return v.Int(), nil
}

// paramsMax bounds what filters, orders and the like have together, in bytes.
const paramsMax = 8 << 10

// params writes a request for records as the parameters of a list.
func (m *method) params(r value.Record) (map[string][]string, error) {
	var out map[string][]string
	size := 0
	for i, f := range r.Shape.Fields() {
		v, name := r.Slots[i], f.Name
		text := ""
		switch {
		case name == "id" || name == "since" || v.Kind() == value.Absent:
			continue
		case v.Kind() == value.List:
			parts := make([]string, len(v.List()))
			for i, item := range v.List() {
				parts[i] = item.Text()
			}
			text = strings.Join(parts, ",")
		case v.Kind() == value.Int:
			if v.Int() == 0 {
				continue
			}
			text = strconv.FormatInt(v.Int(), 10)
		case v.Kind() == value.Bool:
			if !v.Bool() {
				continue
			}
			text = "true"
		default:
			text = v.Text()
		}
		switch name {
		case "page_size":
			name = "limit"
		case "page_token":
			name = "cursor"
		}
		if text == "" {
			continue
		}
		if size += len(text); size > paramsMax {
			return nil, fault.New(fault.TooLarge, "The parameters are larger than %d bytes.", paramsMax)
		}
		if strings.IndexByte(text, 0) >= 0 {
			return nil, errValue("/"+f.Name, "holds a NUL")
		}
		if out == nil {
			out = map[string][]string{}
		}
		out[name] = []string{text}
	}
	return out, nil
}

// query asks for what only reads.
func (m *method) query(ctx context.Context, x *exchange, call *engine.Call, dst []byte) ([]byte,
	error) {
	answer, err := m.door.Engine.Query(ctx, *call)
	if err != nil {
		return nil, err
	}
	x.Told(nil, nil)
	switch m.verb {
	case engine.Get:
		if len(answer.Items) != 1 {
			return nil, fault.New(fault.NotFound, "There is no such record.")
		}
		return m.record.appendItem(dst, &answer.Items[0]), nil
	case engine.Action:
		return m.output(dst, answer.Output), nil
	}
	dst = slices.Grow(dst, 128*len(answer.Items))
	for i := range answer.Items {
		var mark int
		dst, mark = begin(protowire.AppendTag(dst, 1, protowire.BytesType))
		dst = end(m.item(dst, &answer.Items[i]), mark)
	}
	dst = appendText(dst, 2, answer.Next)
	if answer.HasTotal {
		dst = protowire.AppendTag(dst, 3, protowire.VarintType)
		dst = protowire.AppendVarint(dst, uint64(answer.Total))
	}
	return dst, nil
}

// item writes a record, or a row of an aggregate.
func (m *method) item(dst []byte, item *engine.Item) []byte {
	if m.record == nil || m.verb == engine.Aggregate {
		return appendRow(dst, item.Record)
	}
	return m.record.appendItem(dst, item)
}

// execute asks for what writes.
func (m *method) execute(ctx context.Context, x *exchange, call *engine.Call, dst []byte) ([]byte,
	error) {
	reply, err := m.door.Engine.Execute(ctx, *call)
	x.Told(&reply, err)
	if err != nil {
		return nil, err
	}
	return m.reply(dst, call, &reply)
}

// reply writes what a call that wrote was answered with.
func (m *method) reply(dst []byte, call *engine.Call, r *engine.Reply) ([]byte, error) {
	switch {
	case m.verb == engine.Delete:
		return dst, nil
	case m.verb == engine.Batch:
		return m.answers(dst, call, r)
	case r.Replayed:
		return m.replayed(dst, r.Body)
	case m.verb == engine.Action:
		return m.output(dst, r.Output), nil
	default:
		return m.record.appendItem(dst, &r.Item), nil
	}
}

// output writes what an action returned.
func (m *method) output(dst []byte, v value.Value) []byte {
	if r := v.Record(); !r.Zero() {
		return m.out.appendRecord(dst, r)
	}
	return dst
}

// replayed writes an answer that was kept as JSON.
func (m *method) replayed(dst []byte, body string) ([]byte, error) {
	if body == "" || body == "null" || m.shape == nil {
		return dst, nil
	}
	r, err := value.DecodeStored(m.shape, []byte(body))
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "Something went wrong on our side.")
	}
	for i, f := range r.Shape.Fields() {
		// In JSON a null of the field is as a null in it.
		if v := r.Slots[i]; f.Type.Optional && v.Kind() == value.JSON && v.Text() == "null" {
			r.Slots[i] = value.OfNull()
		}
	}
	return m.out.appendRecord(dst, r), nil
}
