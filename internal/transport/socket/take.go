package socket

import (
	"bytes"
	"net/http"
	"time"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// take does what a frame asks for. The buffer holds the frame's text and is given away.
// An error closes the socket.
func (c *conn) take(b *[]byte) error {
	f, err := parse(*b)
	if !f.answered {
		defer putBuffer(b)
		if err != nil {
			return err
		}
		return c.hear(&f)
	}
	if !c.slot() {
		putBuffer(b)
		return nil
	}
	if _, closing := c.ended(); closing && err == nil {
		refused := fault.New(fault.Unavailable, "The server is closing.")
		refused.RetryAfter = 1
		err = refused
	}
	switch {
	case err != nil:
	case f.verb == verbAsk:
		f.credential = c.call.Credential
		c.begin(b, func() { c.ask(&f) })
		return nil
	case f.verb == verbFollow:
		if err = c.reserve(); err == nil {
			c.begin(b, func() { c.follow(&f) })
			return nil
		}
	default:
		defer putBuffer(b)
		c.quick(&f)
		return nil
	}
	putBuffer(b)
	c.fail(f.id, err)
	return nil
}

// slot waits until one more answer may be on its way.
func (c *conn) slot() bool {
	select {
	case c.slots <- struct{}{}:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// begin starts what takes time. Each has a slot, which bounds their number.
func (c *conn) begin(b *[]byte, do func()) {
	c.calls.Go(func() {
		defer putBuffer(b)
		defer c.guard()
		do()
	})
}

// hear does what a frame without an id asks for. A message that cannot be sent is lost,
// as messages may be.
func (c *conn) hear(f *frame) error {
	switch f.verb {
	case verbAck:
		return c.live.Ack(f.name)
	case verbUnfollow:
		if c.live.Unfollow(f.name) == nil {
			c.forget(f.name)
		}
	case verbSend, verbState, verbLeave:
		_, _ = c.inChannel(f) // there is no id to answer to
	}
	return nil
}

// quick does what takes no time of its own, in the order of the frames.
func (c *conn) quick(f *frame) {
	body := []byte("{}")
	var err error
	switch f.verb {
	case verbAuth:
		err = c.authenticate(f.name)
	case verbUnfollow:
		if err = c.live.Unfollow(f.name); err == nil {
			c.forget(f.name)
		}
	case verbAck:
		err = c.live.Ack(f.name)
	default:
		body, err = c.inChannel(f)
	}
	if err != nil {
		c.fail(f.id, err)
		return
	}
	c.answer(f.id, func(b []byte) []byte { return append(append(b, `,"ok":`...), body...) }, "")
}

// authenticate makes the caller the one whom a session says. A connection that follows, or
// is in a channel, belongs to a session, and can only be told of another token of it.
func (c *conn) authenticate(credential string) error {
	var err error = fault.New(fault.Malformed, "Authenticate before the first follow or join.")
	if m := c.inChannels(false); m == nil || m.Joined() == 0 {
		err = c.live.Authenticate(c.ctx, credential)
	}
	if err != nil && fault.Is(err, fault.Malformed) {
		call := c.template()
		call.Credential = credential
		again, failed := c.door.cfg.Live.Connect(c.ctx, call)
		if failed != nil {
			return failed
		}
		defer again.Close()
		if again.Subject() == c.live.Subject() {
			err = nil
		}
	}
	if err == nil {
		c.call.Credential = credential
		if m := c.inChannels(false); m != nil {
			m.Renew(credential)
		}
	}
	return err
}

// template is a call of this connection's caller.
func (c *conn) template() engine.Call {
	call := c.call
	call.ID = ident.NewCall()
	return call
}

// inChannel does what a frame asks of a channel.
func (c *conn) inChannel(f *frame) ([]byte, error) {
	ok := []byte("{}")
	if c.door.cfg.Channels == nil {
		return nil, fault.New(fault.NotFound, "There are no channels.")
	}
	m := c.inChannels(f.verb == verbJoin)
	if m == nil {
		return nil, fault.New(fault.NotFound, "You are in no channel.")
	}
	raw := bytes.Clone(f.raw) // it is kept, and the frame's text is not
	switch f.verb {
	case verbJoin:
		call := c.template()
		seen := c.see(&call, "JOIN", f.name)
		present, err := m.Join(c.ctx, call, f.name, raw)
		c.saw(seen, err)
		if err != nil {
			return nil, err
		}
		return appendJoined(nil, c.live.ID(), present), nil
	case verbLeave:
		return ok, m.Leave(f.name)
	case verbSend:
		return ok, m.Send(c.ctx, c.template(), f.name, raw)
	default:
		return ok, m.State(f.name, raw)
	}
}

// inChannels returns the connection's place in channels, made when it joins the first.
func (c *conn) inChannels(join bool) *channel.Member {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.member == nil && join {
		c.member = c.door.cfg.Channels.Connect(c.live.ID())
		m := c.member
		c.calls.Go(func() { c.listen(m) })
	}
	return c.member
}

// listen has what happens in channels written.
func (c *conn) listen(m *channel.Member) {
	for {
		select {
		case <-m.Ready():
			c.poke()
		case <-c.ctx.Done():
			return
		}
	}
}

// appendJoined writes who has joined, and who is there.
func appendJoined(b []byte, who string, all []channel.Present) []byte {
	b = value.AppendQuoted(append(b, `{"who":`...), who)
	b = append(b, `,"present":[`...)
	for i, p := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.AppendJSON(b)
	}
	return append(b, "]}"...)
}

// reserve counts a subscription that is being begun.
func (c *conn) reserve() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known)+c.following >= SubscriptionMax {
		return fault.New(fault.Exhausted, "A connection has at most %d subscriptions.",
			SubscriptionMax)
	}
	c.following++
	return nil
}

// forget takes a subscription off those that are pushed.
func (c *conn) forget(sub string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.known, sub)
	if c.following > 0 {
		if c.left == nil {
			c.left = map[string]struct{}{}
		}
		c.left[sub] = struct{}{}
	}
}

// began notes that a subscription was begun, or could not be. The connection is locked.
func (c *conn) began() {
	if c.following--; c.following == 0 {
		c.left = nil
	}
}

// follow begins a subscription.
func (c *conn) follow(f *frame) {
	call := engine.Call{ID: ident.NewCall()}
	seen := c.see(&call, "FOLLOW", f.name)
	start, err := c.live.Follow(c.ctx, live.Query{Collection: f.name, Params: f.params,
		Since: f.since})
	c.saw(seen, err)
	if err != nil {
		c.mu.Lock()
		c.began()
		c.mu.Unlock()
		c.fail(f.id, err)
		return
	}
	c.answer(f.id, func(b []byte) []byte {
		return append(appendStart(append(b, `,"ok":{"sub":`...), &start), '}')
	}, start.Sub)
}

// see begins to observe what is no request.
func (c *conn) see(call *engine.Call, method, name string) *observe.Call {
	seen := c.door.cfg.Observe.Call(string(call.ID))
	seen.Method, seen.Path, seen.Door = method, "/"+short(name), "socket"
	call.Seen = seen
	return seen
}

// saw ends it.
func (c *conn) saw(seen *observe.Call, err error) {
	seen.Status = http.StatusOK
	if err != nil {
		f := fault.From(err)
		seen.Code, seen.Status = f.CodeOr(), transport.Status(f.Kind)
		if f.Kind == fault.Internal {
			seen.Cause = f.Cause
		}
	}
	c.door.cfg.Observe.Done(seen)
}

// answer puts the answer to a frame among what is to be written. A subscription that it
// tells of is pushed from then on.
func (c *conn) answer(id int64, rest func([]byte) []byte, sub string) {
	b := buffers.Get().(*[]byte)
	defer putBuffer(b)
	text, mark := beginFrame((*b)[:0])
	text = appendID(text, id)
	text = endFrame(append(rest(text), '}'), mark)
	*b = text
	c.mu.Lock()
	c.out = append(c.out, text...)
	c.answers++
	if sub != "" {
		if c.known == nil {
			c.known = map[string]struct{}{}
		}
		c.known[sub] = struct{}{}
		c.began()
	}
	c.mu.Unlock()
	c.poke()
}

// fail answers with a problem.
func (c *conn) fail(id int64, err error) {
	status, problem := c.door.problem(err, ident.NewCall())
	c.answer(id, func(b []byte) []byte {
		b = appendStatus(b, status)
		b = append(append(b, `,"problem":`...), problem...)
		if f := fault.From(err); f.RetryAfter > 0 {
			b = appendRetry(b, time.Duration(f.RetryAfter)*time.Second)
		}
		return b
	}, "")
}
