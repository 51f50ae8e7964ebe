package engine

import (
	"context"
	"errors"
	"strconv"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// errEarly ends a transaction in which nothing was done; the caller gets the reason
// for it instead.
var errEarly = errors.New("ended before the operation ran")

// show takes out of a record what the caller may not see of it.
func (r *run) show(ctx context.Context, c *app.Collection, record value.Record) error {
	if err := r.aligned(c, record.Shape); err != nil || c.Plain || r.free() {
		return err
	}
	whole := record
	for i := range c.Fields {
		f := &c.Fields[i]
		if f.Read != nil && whole.Slots[i].Kind() != value.Absent {
			// The rule may look at any field, so it is asked about all of them.
			if &whole.Slots[0] == &record.Slots[0] {
				whole = record.Clone()
			}
			r.about(whole, value.Record{}, value.Record{})
			v := f.Read.Decide(ctx, &r.in)
			if err := v.Broken(); err != nil {
				return fault.From(err)
			}
			if !v.Allowed() {
				record.Slots[i] = value.Value{}
			}
		}
	}
	for i := range c.Fields {
		if c.Fields[i].Hidden {
			record.Slots[i] = value.Value{}
		}
	}
	return nil
}

// replySize is the room that is made for a reply before it is known how long it is.
const replySize = 512

// keep sets the entry's reply, where there will be somebody to ask for it again.
func (r *run) keep(tx store.Tx, op *operation, reply *Reply) error {
	if r.call.Key == "" || op.house != nil && op.house.Secret {
		return nil
	}
	reply.Body = string(appendReply(make([]byte, 0, replySize), reply))
	tx.Reply(value.OfJSON(reply.Body))
	return nil
}

// appendReply writes a reply in the form in which the first answer is sent: null where
// it has no body.
func appendReply(dst []byte, r *Reply) []byte {
	switch r.Verb {
	case Create, Update:
		return value.AppendRecord(dst, r.Item.Record)
	case Action, Route:
		if !r.Output.IsNull() {
			return value.AppendJSON(dst, r.Output)
		}
	case Batch:
		dst = append(dst, `{"responses":[`...)
		for i := range r.Batch {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendResponse(dst, &r.Batch[i])
		}
		return append(dst, `]}`...)
	}
	return append(dst, "null"...)
}

// The statuses that the answer to a batch holds for each of its parts, by the wire's
// numbers: done, made, done without a word.
const (
	statusOK   = 200
	statusMade = 201
	statusNone = 204
)

func appendResponse(dst []byte, r *Reply) []byte {
	status := statusOK
	switch {
	case r.Verb == Create:
		status = statusMade
	case r.Verb == Delete || r.Verb == Action && r.Output.IsNull():
		status = statusNone
	}
	dst = strconv.AppendInt(append(dst, `{"status":`...), int64(status), 10)
	if status != statusNone {
		dst = appendReply(append(dst, `,"body":`...), r)
	}
	return append(dst, '}')
}

// reply makes the answer of an entry: the one just made, or the one that the same call
// made before.
func (r *run) reply(op *operation, entry journal.Entry, done Reply, err error) (Reply, error) {
	if entry.Replayed {
		old := Reply{Verb: op.verb, Replayed: true, Seq: entry.Seq}
		if entry.Refusal != nil {
			return old, entry.Refusal
		}
		if err != nil {
			return old, err
		}
		if entry.Origin.Secret || op.house != nil && op.house.Secret {
			return old, fault.WithCode(fault.Conflict, "reply_not_kept",
				"The answer held a secret and was not kept. Ask again under a new key.")
		}
		if old.Body = string(value.AppendJSON(nil, entry.Reply)); old.Body == "null" {
			old.Body = ""
		}
		old.Record, old.Version = stamp(old.Body)
		return old, nil
	}
	if err != nil {
		return Reply{}, err
	}
	if s := r.call.Seen; s != nil {
		s.Writes = len(entry.Changes)
	}
	done.Seq = entry.Seq
	return done, nil
}

// stampShape is what a stored reply says of the record it holds.
var stampShape = value.NewShape("", []value.Field{
	{Name: spec.FieldID, Type: value.Type{Kind: value.TypeID}},
	{Name: spec.FieldVersion, Type: value.Type{Kind: value.TypeInt}},
})

// stamp reads id and version out of a stored reply.
func stamp(body string) (ident.Record, int64) {
	rec, err := value.DecodeStored(stampShape, []byte(body))
	if err != nil {
		return "", 0 // the reply is no record
	}
	return ident.Record(rec.Slots[0].Text()), rec.Slots[1].Int()
}

func idOf(r value.Record) ident.Record { return ident.Record(r.Slots[spec.SlotID].Text()) }

func versionOf(r value.Record) int64 { return r.Slots[spec.SlotVersion].Int() }
