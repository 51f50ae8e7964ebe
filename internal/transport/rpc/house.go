package rpc

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// action makes the call of an action, of the app's or of the house.
func (m *method) action(call *engine.Call, d *decoder, r value.Record) {
	call.Body = d.body(r)
	switch m.Verb {
	case codegen.ProtoSignIn:
		// There are no cookies here. Who comes in is not who he was.
		call.Credential = ""
		rest := call.Body[1:]
		call.Body = append([]byte(`{"token":true`), ',')
		if len(rest) == 1 {
			call.Body = call.Body[:len(call.Body)-1]
		}
		call.Body = append(call.Body, rest...)
	case codegen.ProtoRefresh:
		call.Credential = ""
	case codegen.ProtoJob, codegen.ProtoJobFollow, codegen.ProtoJobCancel:
		call.Record = r.Get("id").Text()
		call.Body = append(value.AppendQuoted([]byte(`{"id":`), call.Record), '}')
	}
}

// jobInfo is a job as its starter may see it.
type jobInfo struct {
	ID, Name, State string
	Progress        *struct{ Done, Total int64 }
	Result          json.RawMessage
	Problem         *struct {
		Code, Detail string
		Data         json.RawMessage
	}
}

// over reports whether the job has ended.
func (j *jobInfo) over() bool { return j.State != "waiting" && j.State != "running" }

// job answers with how far a job is.
func (m *method) job(ctx context.Context, x *exchange, call *engine.Call, dst []byte) ([]byte, error) {
	out, _, err := m.look(ctx, call, dst)
	if err == nil {
		x.Told(nil, nil)
	}
	return out, err
}

// look looks how far a job is, and writes it.
func (m *method) look(ctx context.Context, call *engine.Call, dst []byte) ([]byte, *jobInfo, error) {
	var answer engine.Answer
	err := transport.AwaitJob(ctx, call.Record, func() (err error) {
		answer, err = m.door.Engine.Query(ctx, *call)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	var j jobInfo
	if err := json.Unmarshal([]byte(answer.Output.Text()), &j); err != nil {
		return nil, nil, fault.Wrap(fault.Internal, err, "Something went wrong on our side.")
	}
	return m.out.appendJob(dst, &j), &j, nil
}

// appendJob writes a job.
func (p *plan) appendJob(dst []byte, j *jobInfo) []byte {
	dst = appendText(appendText(dst, 1, j.ID), 2, j.Name)
	if i := p.number(3); i >= 0 {
		dst = appendInt(dst, 3, int64(p.fields[i].numbers[j.State]))
	}
	part := func(number protowire.Number, body []byte) {
		dst = protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), body)
	}
	if j.Progress != nil {
		part(4, appendInt(appendInt(nil, 1, j.Progress.Done), 2, j.Progress.Total))
	}
	if j.Result != nil {
		part(5, appendAny(nil, string(j.Result)))
	}
	if j.Problem != nil {
		body := appendText(appendText(nil, 1, valid(j.Problem.Code)), 2, valid(j.Problem.Detail))
		if j.Problem.Data != nil {
			body = protowire.AppendTag(body, 3, protowire.BytesType)
			body = protowire.AppendBytes(body, appendAny(nil, string(j.Problem.Data)))
		}
		part(6, body)
	}
	return dst
}

// jobEach is how often a job that is followed is looked at.
const jobEach = time.Second

// followJob sends a job whenever it got further, until it has ended.
func (m *method) followJob(ctx context.Context, x *exchange, in *message,
	to *connect.ServerStream[message]) error {
	if in.err != nil {
		return in.err
	}
	call := x.Call
	call.Request.Method = m.method()
	if err := m.fill(&call, in.data); err != nil {
		return err
	}
	tick := time.NewTicker(jobEach)
	defer tick.Stop()
	for last := []byte(nil); ; {
		out, j, err := m.look(ctx, &call, nil)
		switch {
		case ctx.Err() != nil:
			return m.door.over(ctx)
		case err != nil && !(last != nil && fault.Is(err, fault.Exhausted)):
			return err
		case err == nil && !slices.Equal(out, last):
			if last == nil {
				x.Told(nil, nil)
				call.Seen = nil // what is observed is the first look
			}
			if err := x.send(to, &message{desc: m.out.desc, data: out}); err != nil {
				return err
			}
			last = out
		}
		if err == nil && j.over() {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return m.door.over(ctx)
		}
	}
}

// callsOf finds the methods that a batch may ask.
func callsOf(m *codegen.ProtoMethod, asks map[*codegen.ProtoMessage]*method,
) map[protowire.Number]*method {
	out := map[protowire.Number]*method{}
	for _, f := range m.Input.Fields[0].Message.Fields {
		out[protowire.Number(f.Number)] = asks[f.Message]
	}
	return out
}

// batch reads the calls of a batch.
func (m *method) batch(call *engine.Call, data []byte) error {
	for n := 0; len(data) > 0; n++ {
		number, wire, size := protowire.ConsumeTag(data)
		if size < 0 {
			return errBroken(m.in, protowire.ParseError(size))
		}
		if number != 1 || wire != protowire.BytesType {
			return errUnknown(m.in, "", number)
		}
		if n == transport.BatchMax {
			return fault.New(fault.Invalid, "A batch has at most %d calls.", transport.BatchMax)
		}
		part, rest := protowire.ConsumeBytes(data[size:])
		if rest < 0 {
			return errBroken(m.in, protowire.ParseError(rest))
		}
		data = data[size+rest:]
		one, err := m.part(part)
		if err != nil {
			f := *fault.From(err)
			f.At.Request = n + 1
			return &f
		}
		call.Batch = append(call.Batch, one)
	}
	return nil
}

// part reads one call of a batch.
func (m *method) part(data []byte) (call engine.Call, err error) {
	number, wire, size := protowire.ConsumeTag(data)
	if size < 0 || wire != protowire.BytesType {
		return call, errValue("", "must be one of the calls of a batch")
	}
	of := m.calls[number]
	if of == nil {
		return call, errUnknown(m.in.fields[0].sub, "", number)
	}
	body, rest := protowire.ConsumeBytes(data[size:])
	if rest != len(data)-size {
		return call, errValue("", "must be one call")
	}
	return call, of.fill(&call, body)
}

// asked returns the method of a call of a batch, and its number.
func (m *method) asked(c *engine.Call) (protowire.Number, *method) {
	for number, of := range m.calls {
		if of.verb == c.Verb && of.Target == c.Target {
			return number, of
		}
	}
	return 0, nil
}

// answers writes the answers of a batch. Those that were kept are JSON.
func (m *method) answers(dst []byte, call *engine.Call, r *engine.Reply) ([]byte, error) {
	replies := r.Batch
	if r.Replayed {
		var kept struct {
			Responses []struct{ Body json.RawMessage }
		}
		err := json.Unmarshal([]byte(r.Body), &kept)
		if err == nil && len(kept.Responses) != len(call.Batch) {
			err = errors.New("there are as many answers as calls")
		}
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "Something went wrong on our side.")
		}
		replies = make([]engine.Reply, len(call.Batch))
		for i := range replies {
			replies[i] = engine.Reply{Replayed: true, Body: string(kept.Responses[i].Body)}
		}
	}
	var err error
	for i := range replies {
		number, of := m.asked(&call.Batch[i])
		var mark, inner int
		dst, mark = begin(protowire.AppendTag(dst, 1, protowire.BytesType))
		dst, inner = begin(protowire.AppendTag(dst, number, protowire.BytesType))
		if dst, err = of.reply(dst, &call.Batch[i], &replies[i]); err != nil {
			return nil, err
		}
		dst = end(end(dst, inner), mark)
	}
	return dst, nil
}
