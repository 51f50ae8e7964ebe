package socket

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
)

// conn is one socket.
type conn struct {
	door *Door
	ws   *websocket.Conn
	wire *wire
	live *live.Conn
	// call is the template of calls, host the name by which the server was reached. The
	// reader alone changes them.
	call engine.Call
	host string
	// ctx ends with the socket.
	ctx    context.Context
	cancel context.CancelFunc
	// calls are those that run; slots holds one for each answer that is not on its way.
	calls  sync.WaitGroup
	slots  chan struct{}
	writer writer
	pace   pace

	mu sync.Mutex
	// out holds the frames of answers that wait to be written, answers their number.
	out     []byte
	answers int
	// known are the subscriptions whose answer is in out or written, following counts
	// those that are being begun.
	known     map[string]struct{}
	following int
	// left are those that were unfollowed while others are being begun: their pushes wait
	// for no answer.
	left   map[string]struct{}
	member *channel.Member
	// again is set when the server closes; code and reason when the socket is to be closed,
	// code 0 where it is closed already.
	again  time.Duration
	over   bool
	code   websocket.StatusCode
	reason string
}

// Socket is the stream of GET /api/ws.
func (d *Door) Socket(w http.ResponseWriter, r *http.Request, call engine.Call) (int, error) {
	if len(r.URL.RawQuery) > 0 {
		return 0, fault.New(fault.Malformed, "There are no parameters here: a socket takes frames.")
	}
	address := call.Request.IP
	if err := d.enter("socket", address); err != nil {
		return 0, err
	}
	offered := r.Header["Sec-Websocket-Protocol"]
	ws, wire, err := upgrade(w, r)
	if err != nil {
		d.leave("socket", address)
		return 0, err
	}
	call.Seen, call.Door, call.Key = nil, "socket", ""
	c := &conn{door: d, ws: ws, wire: wire, call: call, host: r.Host,
		slots: make(chan struct{}, CallMax)}
	c.writer.conn = c
	c.writer.state.Store(writerAgain) // nobody else begins to write before all is ready
	// The request's own context ends with its handler.
	c.ctx, c.cancel = context.WithCancel(context.Background())
	if len(offered) > 0 && ws.Subprotocol() == "" {
		c.finish(codeProtocol, "The subprotocol is "+Protocol+".")
	}
	// The server's goroutine and what it holds are free once this returns. What goes deep
	// is done in it, so that the stacks of the socket's own stay small.
	refused := c.connect()
	if refused != nil {
		c.refuse(refused)
	}
	c.writer.ping = time.AfterFunc(d.cfg.PingTime, c.ping)
	c.calls.Add(1)
	c.writer.state.Store(writerBusy)
	go c.writing()
	go c.reading(refused == nil)
	return http.StatusSwitchingProtocols, nil
}

// reading reads until the socket is closed, and then clears up.
func (c *conn) reading(connected bool) {
	if connected {
		c.read()
		c.finish(0, "")
	}
	go c.clear()
}

// clear waits for what runs and leaves everything.
func (c *conn) clear() {
	c.calls.Wait()
	if c.live != nil {
		c.live.Close()
	}
	if c.member != nil {
		c.member.Close()
	}
	c.door.remove(c)
	_ = c.ws.CloseNow() // it is closed, or has nobody who would hear of it
	c.door.leave("socket", c.call.Request.IP)
}

// connect makes the connection that subscriptions belong to.
func (c *conn) connect() error {
	l, err := c.door.cfg.Live.Connect(c.ctx, c.call)
	if err != nil {
		return err
	}
	c.live = l
	l.Notify(c.poke)
	c.call.Door = "socket/" + l.ID()
	if !c.door.add(c) {
		return fault.New(fault.Unavailable, "The server is closing.")
	}
	return nil
}

// guard keeps a broken invariant of one socket from all others.
func (c *conn) guard() {
	if why := recover(); why != nil {
		c.door.cfg.Log.Error("a socket broke", "cause", fmt.Sprintf("panic: %v\n%s", why, debug.Stack()))
		_ = c.wire.Close() // what was being written cannot go on
		c.finish(0, "")
	}
}

// finish has the socket closed with a code, if nothing else has closed it before. The
// code 0 is of one that is closed already.
func (c *conn) finish(code websocket.StatusCode, reason string) {
	c.mu.Lock()
	if !c.over {
		c.over, c.code, c.reason = true, code, short(reason)
	}
	c.mu.Unlock()
	c.poke()
}

// reasonMax is the greatest length of a reason, in bytes, as the protocol has it.
const reasonMax = 123

// short cuts a reason to what a frame of control holds.
func short(reason string) string {
	if len(reason) <= reasonMax {
		return reason
	}
	end := reasonMax - len("…")
	for end > 0 && reason[end]&0xc0 == 0x80 {
		end--
	}
	return reason[:end] + "…"
}

// refuse closes the socket because of what a fault says of its whole.
func (c *conn) refuse(err error) {
	switch f := fault.From(err); f.Kind {
	case fault.Unauthenticated:
		c.finish(codeSession, f.Message)
	case fault.Denied:
		c.finish(codeForbidden, f.Message)
	case fault.Malformed, fault.Invalid, fault.TooLarge:
		c.finish(codeProtocol, f.Message)
	case fault.Unavailable:
		c.end(time.Duration(max(f.RetryAfter, 1)) * time.Second)
	case fault.Exhausted:
		c.finish(codeOverloaded, f.Message)
	default:
		c.door.cfg.Log.Error("a socket ended", "cause", err)
		c.finish(websocket.StatusInternalError, "Something went wrong on our side.")
	}
}

// end implements peer.
func (c *conn) end(again time.Duration) {
	c.mu.Lock()
	if c.again == 0 {
		c.again = again
	}
	c.mu.Unlock()
	c.wire.end()
	c.poke()
}

// ended reports whether the socket is to be closed, and whether the server closes.
func (c *conn) ended() (over, closing bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.over, c.again > 0
}

// read takes frames until the socket is closed.
func (c *conn) read() {
	defer c.guard()
	for {
		if over, _ := c.ended(); over {
			return // the writer closes it
		}
		if !c.pace.wait(c.ctx) {
			return
		}
		c.wire.await(time.Now().Add(c.door.cfg.PeerTime))
		// The socket's own end is told by its connection, so no context is watched here.
		kind, r, err := c.ws.Reader(context.Background())
		if err != nil {
			return
		}
		b := buffers.Get().(*[]byte)
		text, err := c.message(kind, r, (*b)[:0])
		*b = text
		switch {
		case err != nil && fault.From(err).Kind != fault.Malformed:
			putBuffer(b)
			return // it broke off
		case err == nil:
			err = c.take(b)
		default:
			putBuffer(b)
		}
		if err != nil {
			c.refuse(err)
		}
	}
}

// message reads one message, within the bound.
func (c *conn) message(kind websocket.MessageType, r io.Reader, b []byte) ([]byte, error) {
	if kind != websocket.MessageText {
		return b, fault.New(fault.Malformed, "A frame is text, and this one is binary.")
	}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		// The library reads as much as it is asked for, so it is asked for no more than one
		// byte over the bound.
		n, err := r.Read(b[len(b):min(cap(b), FrameMax+1)])
		b = b[:len(b)+n]
		switch {
		case len(b) > FrameMax:
			return b, fault.New(fault.Malformed, "A frame has at most %d bytes.", FrameMax)
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		}
	}
}

// pace is how fast a socket is read.
type pace struct {
	// free is the instant at which the whole burst would be free again.
	free time.Time
}

// wait counts one frame, after waiting until it may come; false means that ctx ended.
func (p *pace) wait(ctx context.Context) bool {
	const each = time.Second / FrameRate
	now := time.Now()
	if p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(each)
	over := p.free.Sub(now) - FrameBurst*each
	if over <= 0 {
		return true
	}
	t := time.NewTimer(over)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
