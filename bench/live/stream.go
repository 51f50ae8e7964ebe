package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/bench/load"
)

// A stream is one subscriber: a connection on which changes arrive. It reads WebSocket
// frames or Server-Sent Events with as little work as it can, because it shares the cores
// with the server.
type stream struct {
	conn net.Conn
	in   *bufio.Reader
	// events reports that Server-Sent Events come in place of frames.
	events bool
	buffer []byte
	took   load.Histogram
	// unacked is what has come since the last acknowledgement.
	unacked int64
	err     error
}

// counts is what all streams of a run have got.
type counts struct {
	arrived atomic.Int64
	// since is when latencies begin to count, in µs of the clock.
	since atomic.Int64
}

// dial opens a connection and sends a request; the answer must have the status.
func dial(ctx context.Context, addr, head string, status int) (*stream, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(conn, head); err != nil {
		return nil, err
	}
	s := &stream{conn: conn, in: bufio.NewReaderSize(conn, 2<<10)}
	answer, err := http.ReadResponse(s.in, nil)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != status {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 300))
		return nil, fmt.Errorf("status %d in place of %d: %s", answer.StatusCode, status, text)
	}
	return s, nil
}

// dialSocket opens a WebSocket.
func dialSocket(ctx context.Context, addr, path, protocol string) (*stream, error) {
	if protocol != "" {
		protocol = "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	return dial(ctx, addr, "GET "+path+" HTTP/1.1\r\nHost: "+addr+"\r\nUpgrade: websocket\r\n"+
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+protocol+
		"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", http.StatusSwitchingProtocols)
}

// send writes one text frame, masked with zeros as a client may.
func (s *stream) send(text string) error {
	frame := []byte{0x81, 0x80 | byte(len(text)), 0, 0, 0, 0}
	if len(text) > 125 {
		frame = binary.BigEndian.AppendUint16([]byte{0x81, 0x80 | 126}, uint16(len(text)))
		frame = append(frame, 0, 0, 0, 0)
	}
	_, err := s.conn.Write(append(frame, text...))
	return err
}

// next returns the payload of the next text frame or the next line of an event. It is
// good until the following next.
func (s *stream) next() ([]byte, error) {
	if s.events {
		line, err := s.in.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			return nil, fmt.Errorf("an event is longer than %d bytes", s.in.Size())
		}
		return line, err
	}
	for {
		head, err := s.in.Peek(2)
		if err != nil {
			return nil, err
		}
		opcode, size := head[0]&0x0f, int(head[1]&0x7f)
		skip := 2
		if size == 126 {
			if head, err = s.in.Peek(4); err != nil {
				return nil, err
			}
			skip, size = 4, int(binary.BigEndian.Uint16(head[2:]))
		} else if size == 127 {
			if head, err = s.in.Peek(10); err != nil {
				return nil, err
			}
			skip, size = 10, int(binary.BigEndian.Uint64(head[2:]))
		}
		if _, err := s.in.Discard(skip); err != nil {
			return nil, err
		}
		if cap(s.buffer) < size {
			s.buffer = make([]byte, size)
		}
		s.buffer = s.buffer[:size]
		if _, err := io.ReadFull(s.in, s.buffer); err != nil {
			return nil, err
		}
		switch opcode {
		case 0x8:
			return nil, fmt.Errorf("closed by the server: %q", s.buffer)
		case 0x1, 0x2:
			return s.buffer, nil
		}
	}
}

// ackEvery is how many changes are acknowledged together: well below the thousand, with
// those that leave the query counted, that a server holds out.
const ackEvery = 200

var sentMark, atMark = []byte(`"sent":`), []byte(`"at":"`)

// read counts what arrives until the connection ends. Of a target that wants it, pings
// are answered and what came is acknowledged.
func (s *stream) read(t *target, c *counts) {
	for {
		text, err := s.next()
		if err != nil {
			s.err = err
			return
		}
		if len(text) == 2 && t.pong != "" {
			_ = s.send(t.pong) // the next read tells if the connection is gone
			continue
		}
		now := time.Now()
		n := int64(0)
		for rest := text; ; n++ {
			at := bytes.Index(rest, sentMark)
			if at < 0 {
				break
			}
			rest = rest[at+len(sentMark):]
			digits := 0
			for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
				digits++
			}
			sent, _ := strconv.ParseInt(string(rest[:digits]), 10, 64)
			if begin := c.since.Load(); begin > 0 && sent >= begin {
				s.took.Observe(time.Duration(now.UnixMicro()-sent) * time.Microsecond)
			}
		}
		c.arrived.Add(n)
		if s.unacked += n; t.acks && s.unacked >= ackEvery {
			if _, rest, ok := bytes.Cut(text, atMark); ok {
				place, _, _ := bytes.Cut(rest, []byte(`"`))
				_ = s.send(`{"ack":"` + string(place) + `"}`) // as above
				s.unacked = 0
			}
		}
	}
}
