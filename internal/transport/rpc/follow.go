package rpc

import (
	"context"
	"errors"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
)

// sendTime is how long a peer may take for one message of a stream.
const sendTime = 60 * time.Second

// errGone ends a stream whose peer is gone: there is nobody to tell.
var errGone = errors.New("the peer is gone")

// send sends one message of a stream, which need not be over when requests must be.
func (x *exchange) send(to *connect.ServerStream[message], m *message) error {
	c := http.NewResponseController(x.Writer)
	// What has no deadlines needs none.
	_ = c.SetReadDeadline(time.Time{})
	_ = c.SetWriteDeadline(time.Now().Add(sendTime))
	if err := to.Send(m); err != nil {
		return errGone
	}
	_ = c.SetWriteDeadline(time.Time{}) // it would end a stream on which nothing is said
	return nil
}

// over is why a stream ends from this side.
func (d *Door) over(ctx context.Context) error {
	if d.closing.Err() != nil {
		f := fault.New(fault.Unavailable, "The server is closing.")
		f.RetryAfter = 1
		return f
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fault.New(fault.Timeout, "The time that the caller gave has passed.")
	}
	return errGone
}

// ended is how a stream ends.
func (d *Door) ended(x *exchange, err error) error {
	if x.status == 0 {
		x.status = http.StatusOK
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errGone):
		return connect.NewError(connect.CodeCanceled, errGone)
	default:
		return d.problem(x, err)
	}
}

// follow sends the answer of a list, and then what changes of it, until either side ends
// it.
func (m *method) follow(ctx context.Context, x *exchange, in *message,
	to *connect.ServerStream[message]) error {
	if in.err != nil {
		return in.err
	}
	if m.door.Live == nil {
		return fault.New(fault.Unavailable, "Nothing can be followed here.")
	}
	r, err := (&decoder{}).decode(m.in, in.data, "")
	if err != nil {
		return err
	}
	q := live.Query{Collection: m.Target, Since: r.Get("since").Text()}
	if q.Params, err = m.params(r); err != nil {
		return err
	}
	call := x.Call
	call.Request.Method = m.method()
	conn, err := m.door.Live.Connect(ctx, call)
	if err != nil {
		return err
	}
	defer conn.Close()
	start, err := conn.Follow(ctx, q)
	if err != nil {
		return err
	}
	x.Told(nil, nil)
	if err := m.sendStart(x, to, &start); err != nil {
		return err
	}
	if err := conn.Ack(start.At); err != nil {
		return err
	}
	for {
		select {
		case <-conn.Ready():
		case <-ctx.Done():
			return m.door.over(ctx)
		}
		pushes, err := conn.Take()
		for i := range pushes {
			if err := m.push(x, to, conn, &pushes[i]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// push sends one push.
func (m *method) push(x *exchange, to *connect.ServerStream[message], conn *live.Conn,
	p *live.Push) error {
	switch {
	case p.Ended != nil:
		return p.Ended
	case p.Reset != nil:
		if err := m.sendStart(x, to, p.Reset); err != nil {
			return err
		}
		return conn.Ack(p.Reset.At)
	case p.Frame == nil:
		return nil // a place alone is for who writes on the same connection
	}
	out := m.changes(p.At, p.Frame.Changes())
	out = appendText(out, 4, p.By)
	if p.More {
		out = appendInt(out, 5, 1)
	}
	if err := x.send(to, &message{desc: m.out.desc, data: out}); err != nil {
		return err
	}
	if p.More {
		return nil
	}
	return conn.Ack(p.At)
}

// sendStart sends how a subscription begins, or begins anew.
func (m *method) sendStart(x *exchange, to *connect.ServerStream[message],
	start *live.Start) error {
	if m.Verb == codegen.ProtoFollowWhole {
		out := appendText(nil, 1, start.At)
		for i := range start.Items {
			var mark int
			out, mark = begin(protowire.AppendTag(out, 2, protowire.BytesType))
			out = end(m.item(out, &start.Items[i]), mark)
		}
		return x.send(to, &message{desc: m.out.desc, data: out})
	}
	changes := start.Changes
	if !start.Changed {
		changes = make([]live.Change, len(start.Items))
		for i := range start.Items {
			changes[i].Put = &start.Items[i]
		}
	}
	out := m.changes(start.At, changes)
	if !start.Changed {
		out = appendInt(out, 3, 1)
	}
	return x.send(to, &message{desc: m.out.desc, data: out})
}

// changes writes the changes of one commit.
func (m *method) changes(at string, all []live.Change) []byte {
	out := appendText(nil, 1, at)
	for i := range all {
		var mark, inner int
		out, mark = begin(protowire.AppendTag(out, 2, protowire.BytesType))
		if c := &all[i]; c.Put != nil {
			out, inner = begin(protowire.AppendTag(out, 1, protowire.BytesType))
			out = end(m.record.appendItem(out, c.Put), inner)
		} else {
			out = protowire.AppendString(protowire.AppendTag(out, 2, protowire.BytesType), string(c.Del))
		}
		out = end(out, mark)
	}
	return out
}
