package socket

import (
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// batchMax is how much is gathered before it is written, in bytes: more makes no system
// call cheaper.
const batchMax = 64 << 10

// The states of a socket's writer. It has a goroutine only while there is something to
// write, because most sockets have nothing to say most of the time.
const (
	// writerIdle has no goroutine, writerBusy has one, and writerAgain one that has to look
	// once more before it goes. With writerOver nothing is written any more.
	writerIdle int32 = iota
	writerBusy
	writerAgain
	writerOver
)

// poke has what is ready written. It waits for nothing.
func (c *conn) poke() {
	for {
		switch s := c.writer.state.Load(); {
		case s == writerIdle && c.writer.state.CompareAndSwap(s, writerBusy):
			go c.writing()
			return
		case s == writerBusy && c.writer.state.CompareAndSwap(s, writerAgain),
			s == writerAgain, s == writerOver:
			return
		}
	}
}

// writing writes all that is ready, and the end of the socket.
func (c *conn) writing() {
	w := &c.writer
	over := true // also of a panic
	defer func() {
		if over {
			w.state.Store(writerOver)
			w.ping.Stop()
			c.cancel()
			c.calls.Done()
		}
	}()
	defer c.guard()
	for !c.write() {
		if w.state.CompareAndSwap(writerBusy, writerIdle) {
			over = false
			return
		}
		w.state.Store(writerBusy)
	}
}

// write writes what there is, and closes the socket if it is to be. It reports whether
// nothing more can be written. Calls that run are answered before the socket is closed,
// if they end in time.
func (c *conn) write() (over bool) {
	w := &c.writer
	if over, closing := c.ended(); closing && !w.told && !over {
		w.told = true
		w.part(errRestart, DrainTime)
		w.closing()
	}
	if err := w.turn(); err != nil && w.why == nil {
		if fault.Is(err, fault.Unavailable) {
			c.refuse(err) // which wakes us again
		} else {
			w.part(err, PartTime)
		}
	}
	if w.pinged.Swap(false) {
		w.frame([]byte("{}"))
		w.ping.Reset(c.door.cfg.PingTime)
	}
	if !w.flush() {
		return true // nobody is there
	}
	if w.why != nil && (len(c.slots) == 0 || w.late.Load()) {
		c.part(w.why)
	}
	if over, _ := c.ended(); over {
		c.shut()
		return true
	}
	return false
}

// ping has the peer asked for a sign of life.
func (c *conn) ping() {
	c.writer.pinged.Store(true)
	c.poke()
}

// part has the socket closed once its calls are answered, or after a time.
func (w *writer) part(why error, after time.Duration) {
	w.why = why
	time.AfterFunc(after, func() {
		w.late.Store(true)
		w.conn.poke()
	})
}

// errRestart is why a socket is closed when the server closes.
var errRestart = errors.New("the server is restarting")

// part has the socket closed, and says why.
func (c *conn) part(why error) {
	if why == errRestart {
		c.finish(codeRestart, "The server is restarting.")
		return
	}
	c.refuse(why)
}

// shut tells the peer to close and waits for it, a while.
func (c *conn) shut() {
	c.mu.Lock()
	code, reason := c.code, c.reason
	c.mu.Unlock()
	if code == 0 {
		return
	}
	c.wire.hurry(CloseTime)
	_ = c.ws.Close(code, reason) // a peer that does not close is cut off
}

// writer gathers frames. Its goroutine alone uses what is not atomic.
type writer struct {
	conn  *conn
	state atomic.Int32
	// pinged says that a ping is due, which ping does; late that the time is over in which
	// the socket was to be closed because of why. told says that the peer knows that the
	// server closes.
	pinged, late atomic.Bool
	ping         *time.Timer
	told         bool
	why          error
	b            *[]byte
	// answers is how many answers are in b, slots to be given back once they are written.
	answers int
	// early are pushes of which the subscription's answer is yet to be written, and all
	// that came after them.
	early []live.Push
}

// turn gathers all that is ready. Pushes are taken before the answers are looked at, so
// that no push stands before the answer of its subscription. An error ends the socket,
// after what was gathered.
func (w *writer) turn() error {
	c := w.conn
	var pushes []live.Push
	var end error
	if c.live != nil {
		pushes, end = c.live.Take()
	}
	if len(w.early) > 0 {
		pushes = append(w.early, pushes...)
		w.early = nil
	}
	c.mu.Lock()
	if len(c.out) > 0 {
		w.open()
		*w.b = append(*w.b, c.out...)
		w.answers += c.answers
		c.answers, c.out = 0, nil // an idle socket keeps no buffer
	}
	known := w.sift(pushes)
	member := c.member
	c.mu.Unlock()
	for i := range known {
		if known[i].Sub == "" || known[i].At != "" || known[i].Ended != nil || known[i].Reset != nil {
			w.push(&known[i])
		}
	}
	if member != nil {
		for _, e := range member.Take() {
			w.event(e)
		}
	}
	return end
}

// sift keeps the pushes that may be written now: those before the first one whose
// subscription has no answer yet. Those of a subscription that is over are emptied. The
// connection is locked.
func (w *writer) sift(pushes []live.Push) []live.Push {
	c := w.conn
	for i := range pushes {
		p := &pushes[i]
		if p.Sub == "" {
			continue
		}
		if _, ok := c.known[p.Sub]; ok {
			if p.Ended != nil {
				delete(c.known, p.Sub)
			}
			continue
		}
		if _, left := c.left[p.Sub]; c.following > 0 && !left {
			w.early = append([]live.Push(nil), pushes[i:]...)
			return pushes[:i]
		}
		*p = live.Push{Sub: p.Sub}
	}
	return pushes
}

// open makes sure that there is a buffer.
func (w *writer) open() {
	if w.b == nil {
		w.b = buffers.Get().(*[]byte)
	}
	if len(*w.b) >= batchMax {
		w.flush()
		w.b = buffers.Get().(*[]byte)
	}
}

// flush writes what was gathered; false means that the peer is gone.
func (w *writer) flush() bool {
	if w.b == nil {
		return true
	}
	_, err := w.conn.wire.Write(*w.b)
	putBuffer(w.b)
	w.b = nil
	for ; w.answers > 0; w.answers-- {
		<-w.conn.slots
	}
	if err != nil {
		_ = w.conn.wire.Close() // the reader hears of it
		w.conn.finish(0, "")
		return false
	}
	return true
}

// frame gathers one frame.
func (w *writer) frame(text []byte) {
	w.open()
	b, mark := beginFrame(*w.b)
	*w.b = endFrame(append(b, text...), mark)
}

func (w *writer) event(e channel.Event) {
	w.open()
	b, mark := beginFrame(*w.b)
	*w.b = endFrame(e.AppendJSON(b), mark)
}

func (w *writer) push(p *live.Push) {
	w.open()
	b, mark := beginFrame(*w.b)
	*w.b = endFrame(appendPush(b, p), mark)
}

// closing tells the peer that the server closes, and when to come back.
func (w *writer) closing() {
	w.conn.mu.Lock()
	again := w.conn.again
	w.conn.mu.Unlock()
	b := append([]byte(`{"closing":{"code":`), strconv.Itoa(codeRestart)...)
	b = strconv.AppendInt(append(b, `,"reconnect_in":`...), again.Milliseconds(), 10)
	w.frame(append(b, "}}"...))
}

// appendPush writes a push as its object.
func appendPush(b []byte, p *live.Push) []byte {
	switch {
	case p.Ended != nil:
		b = value.AppendQuoted(append(b, `{"sub":`...), p.Sub)
		b = value.AppendQuoted(append(b, `,"ended":{"code":`...), p.Ended.CodeOr())
		return append(b, "}}"...)
	case p.Reset != nil:
		b = appendStart(append(b, `{"sub":`...), p.Reset)
	case p.Sub == "":
		b = value.AppendQuoted(append(b, `{"at":`...), p.At)
	default:
		b = value.AppendQuoted(append(b, `{"sub":`...), p.Sub)
		b = value.AppendQuoted(append(b, `,"at":`...), p.At)
		if p.By != "" {
			b = value.AppendQuoted(append(b, `,"by":`...), p.By)
		}
		b = append(append(b, `,"changes":`...), p.Frame.JSON()...)
	}
	if p.More {
		b = append(b, `,"more":true`...)
	}
	return append(b, '}')
}

// appendStart writes how a subscription begins, from its name on and without the end.
func appendStart(b []byte, s *live.Start) []byte {
	b = value.AppendQuoted(b, s.Sub)
	if s.Reset {
		b = append(b, `,"reset":true`...)
	}
	if s.Changed {
		b = append(b, `,"changes":[`...)
		for i := range s.Changes {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendChange(b, &s.Changes[i])
		}
	} else {
		b = append(b, `,"items":[`...)
		if n := len(s.Text); n > 0 {
			return value.AppendQuoted(append(append(b, s.Text[1:n-1]...), `],"at":`...), s.At)
		}
		for i := range s.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = transport.AppendItem(b, &s.Items[i])
		}
	}
	return value.AppendQuoted(append(b, `],"at":`...), s.At)
}

func appendChange(b []byte, c *live.Change) []byte {
	if c.Put != nil {
		return append(transport.AppendItem(append(b, `{"put":`...), c.Put), '}')
	}
	return append(value.AppendQuoted(append(b, `{"del":`...), string(c.Del)), '}')
}

// appendID begins an answer.
func appendID(b []byte, id int64) []byte {
	return strconv.AppendInt(append(b, `{"id":`...), id, 10)
}

func appendStatus(b []byte, status int) []byte {
	return strconv.AppendInt(append(b, `,"status":`...), int64(status), 10)
}

// appendRetry says after how many seconds asking again makes sense.
func appendRetry(b []byte, after time.Duration) []byte {
	return strconv.AppendInt(append(b, `,"retry_after":`...), int64(after/time.Second), 10)
}
