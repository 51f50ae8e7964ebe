package socket

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
)

// Sizes of the buffers that an idle socket keeps, in bytes. A frame of control has at
// most 127, and larger messages are read into what is lent for as long.
const (
	readSize  = 512
	writeSize = 128
)

// wire is the connection below a WebSocket, on which two write: the library its frames
// of control, each in one Write, and we our frames of data.
type wire struct {
	net.Conn
	// writing is held by the one who writes.
	writing sync.Mutex
	mu      sync.Mutex
	// closing reports that the peer was told to close, so that its time is counted; ending
	// that the server closes, so that it has less time for everything.
	closing bool
	ending  atomic.Bool
}

// chunkMax is how much a peer must take within WriteTime, in bytes.
const chunkMax = 32 << 10

// Write writes the whole of p before anybody else writes.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Lock()
	defer w.writing.Unlock()
	for done := 0; ; {
		if err := w.SetWriteDeadline(time.Now().Add(w.patience())); err != nil {
			return done, err
		}
		n, err := w.Conn.Write(p[done:min(len(p), done+chunkMax)])
		if done += n; err != nil || done == len(p) {
			return done, err
		}
	}
}

// patience is how long the peer may take nothing of what is written.
func (w *wire) patience() time.Duration {
	if w.ending.Load() {
		return CloseTime
	}
	return WriteTime
}

// end leaves the peer less time, also for what is being written.
func (w *wire) end() {
	w.ending.Store(true)
	_ = w.SetWriteDeadline(time.Now().Add(CloseTime)) // it fails only where a write will
}

// await says until when the peer must send something, unless it was told to close.
func (w *wire) await(until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closing {
		_ = w.SetReadDeadline(until) // it fails only where a read will
	}
}

// hurry says that the peer has only so long to close.
func (w *wire) hurry(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closing = true
	_ = w.SetReadDeadline(time.Now().Add(d)) // it fails only where a read will
}

// hijacker gives the library a connection with small buffers, so that those of the HTTP
// server are free, and keeps to itself what the library would say of a request that it
// refuses.
type hijacker struct {
	http.ResponseWriter
	wire *wire
}

// WriteHeader passes on nothing but that the protocol changes.
func (h *hijacker) WriteHeader(status int) {
	if status == http.StatusSwitchingProtocols {
		h.ResponseWriter.WriteHeader(status)
	}
}

// Write takes the words of a refusal to itself.
func (h *hijacker) Write(p []byte) (int, error) { return len(p), nil }

// Hijack takes the connection over.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.wire = &wire{Conn: conn}
	// What came early is still there to be read: the library looks at what is buffered.
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	early = bytes.Clone(early)
	r := bufio.NewReaderSize(io.MultiReader(bytes.NewReader(early), h.wire),
		max(readSize, len(early)))
	if len(early) == 0 {
		r.Reset(h.wire)
	} else if _, err = r.Peek(len(early)); err != nil {
		return nil, nil, err
	}
	return h.wire, bufio.NewReadWriter(r, bufio.NewWriterSize(h.wire, writeSize)), nil
}

// upgrade makes a WebSocket of a request.
func upgrade(w http.ResponseWriter, r *http.Request) (*websocket.Conn, *wire, error) {
	if !asksFor(r.Header["Upgrade"], "websocket") || !asksFor(r.Header["Connection"], "upgrade") {
		w.Header()["Upgrade"], w.Header()["Connection"] = []string{"websocket"}, []string{"Upgrade"}
		return nil, nil, fault.WithCode(fault.Malformed, transport.CodeUpgrade,
			"This address speaks WebSocket: open it with new WebSocket(…) or a tool such as websocat. "+
				"Over plain HTTP the same is told by GET /api/events?follow=….")
	}
	h := &hijacker{ResponseWriter: w}
	// The origin was looked at by the door before, for streams of every kind.
	ws, err := websocket.Accept(h, r, &websocket.AcceptOptions{Subprotocols: []string{Protocol},
		InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
	if err != nil {
		f := fault.Wrap(fault.Malformed, err,
			"This is not how a WebSocket is opened: with version 13, and a key of 16 bytes in base64.")
		w.Header().Del("Content-Type")
		w.Header().Del("Connection")
		return nil, nil, f
	}
	ws.SetReadLimit(-1) // the reader bounds messages itself, and says so
	return ws, h.wire, nil
}

// asksFor reports whether a header has the word in its list.
func asksFor(header []string, word string) bool {
	for _, line := range header {
		for part := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(part), word) {
				return true
			}
		}
	}
	return false
}

// headMax is the greatest size of the head of a frame that a server sends.
const headMax = 10

// beginFrame makes room for the head of a text frame.
func beginFrame(b []byte) ([]byte, int) {
	return append(b, make([]byte, 4)...), len(b)
}

// endFrame writes the head of the frame that began at the mark, whose payload follows to
// the end of b. The room is that of the commonest length; others are moved.
func endFrame(b []byte, mark int) []byte {
	const text, end = 0x1, 0x80
	n := len(b) - mark - 4
	switch {
	case n < 126:
		copy(b[mark+2:], b[mark+4:])
		b = b[:len(b)-2]
		b[mark+1] = byte(n)
	case n < 1<<16:
		b[mark+1] = 126
		binary.BigEndian.PutUint16(b[mark+2:], uint16(n))
	default:
		b = append(b, make([]byte, headMax-4)...)
		copy(b[mark+headMax:], b[mark+4:mark+4+n])
		b[mark+1] = 127
		binary.BigEndian.PutUint64(b[mark+2:], uint64(n))
	}
	b[mark] = text | end
	return b
}

// buffers lends what messages are read into and written from.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// bufferMax is the greatest buffer that is kept to be lent again, in bytes.
const bufferMax = 256 << 10

func putBuffer(b *[]byte) {
	if cap(*b) <= bufferMax {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}
