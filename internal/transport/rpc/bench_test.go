package rpc_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// wire asks the same thing again and again over one connection, one at a time, in bytes
// that were made beforehand, so that what is measured is the server.
type wire interface{ ask() error }

// http1 asks by HTTP/1.1.
type http1 struct {
	net.Conn
	in      *bufio.Reader
	request []byte
}

func (c *http1) ask() error {
	if _, err := c.Write(c.request); err != nil {
		return err
	}
	size := 0
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")):
			return errors.New(string(line))
		case len(line) == 2:
			_, err = c.in.Discard(size)
			return err
		}
		if n, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if size, err = strconv.Atoi(strings.TrimSpace(string(n))); err != nil {
				return err
			}
		}
	}
}

// http2 asks by HTTP/2.
type http2 struct {
	net.Conn
	in         *bufio.Reader
	head, body []byte
	stream     uint32
	out        []byte
}

// The frames of HTTP/2 that the bench knows.
const (
	frameData, frameHeaders, frameSettings, framePing, frameWindow = 0, 1, 4, 6, 8
	flagEnd, flagHeaders, flagAck                                  = 1, 4, 1
)

func appendFrame(dst []byte, kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	dst = append(dst, byte(n>>16), byte(n>>8), byte(n), kind, flags)
	return append(binary.BigEndian.AppendUint32(dst, stream), payload...)
}

// begin sends what a connection begins with, and windows that never fill.
func (c *http2) begin() error {
	b := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	b = appendFrame(b, frameSettings, 0, 0, []byte{0, 4, 0x40, 0, 0, 0})
	b = appendFrame(b, frameWindow, 0, 0, []byte{0x3f, 0xff, 0, 0})
	c.stream = 1
	_, err := c.Write(b)
	return err
}

func (c *http2) ask() error {
	c.out = appendFrame(c.out[:0], frameHeaders, flagHeaders, c.stream, c.head)
	c.out = appendFrame(c.out, frameData, flagEnd, c.stream, c.body)
	if _, err := c.Write(c.out); err != nil {
		return err
	}
	for {
		var head [9]byte
		if _, err := io.ReadFull(c.in, head[:]); err != nil {
			return err
		}
		size := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
		payload, err := c.in.Peek(size)
		if err != nil {
			return err
		}
		switch kind, flags := head[3], head[4]; {
		case kind == frameSettings && flags&flagAck == 0:
			_, err = c.Write(appendFrame(nil, frameSettings, flagAck, 0, nil))
		case kind == framePing && flags&flagAck == 0:
			_, err = c.Write(appendFrame(nil, framePing, flagAck, 0, payload))
		case (kind == frameData || kind == frameHeaders) && flags&flagEnd != 0:
			c.stream += 2
			_, err = c.in.Discard(size)
			return err
		case kind == 7 || kind == 3:
			return errors.New("the connection or the stream was ended: " + string(payload))
		}
		if err != nil {
			return err
		}
		if _, err = c.in.Discard(size); err != nil {
			return err
		}
	}
}

// literal appends a header that nobody remembers, in HPACK without Huffman.
func literal(dst []byte, name, text string) []byte {
	dst = append(append(append(dst, 0), byte(len(name))), name...)
	return append(append(dst, byte(len(text))), text...)
}

// BenchmarkGet measures gets of one record by HTTP/1.1 and JSON, by gRPC and by Connect,
// by sixteen at once, in turns, and reports their ratios.
func BenchmarkGet(b *testing.B) {
	w := open(b, nil)
	ana := w.signUp("ana")
	id := ana.do("Things/Create", `{"name":"pen","price":"100","about":"writes"}`,
		"Idempotency-Key", "1")["id"].(string)
	host := strings.TrimPrefix(w.base, "http://")
	message := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	dial := func() net.Conn {
		c, err := net.Dial("tcp", host)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		return c
	}
	one := func(request string) wire {
		c := dial()
		return &http1{Conn: c, in: bufio.NewReader(c), request: []byte(request)}
	}
	path := "/things.v1.Things/Get"
	doors := []struct {
		name string
		open func() wire
	}{
		{"rest", func() wire {
			return one("GET /api/things/" + id + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		}},
		{"grpc", func() wire {
			head := append([]byte{0x83, 0x86}, literal(nil, ":path", path)...) // POST, http
			head = literal(head, ":authority", host)
			head = literal(head, "content-type", "application/grpc")
			head = literal(head, "te", "trailers")
			c := &http2{Conn: dial(), head: head,
				body: append([]byte{0, 0, 0, 0, byte(len(message))}, message...)}
			c.in = bufio.NewReader(c.Conn)
			if err := c.begin(); err != nil {
				b.Fatal(err)
			}
			return c
		}},
		{"connect", func() wire {
			return one("POST " + path + " HTTP/1.1\r\nHost: " + host + "\r\nContent-Type: application/proto\r\n" +
				"Content-Length: " + strconv.Itoa(len(message)) + "\r\n\r\n" + string(message))
		}},
	}
	wires := make([][16]wire, len(doors))
	for i, d := range doors {
		for j := range wires[i] {
			wires[i][j] = d.open()
		}
	}
	took, spent := make([]time.Duration, len(doors)), make([]time.Duration, len(doors))
	const calls = 2000
	for b.Loop() {
		for i := range doors {
			start, cpu := time.Now(), processor(b)
			together(b, wires[i][:], calls)
			took[i] += time.Since(start)
			spent[i] += processor(b) - cpu
		}
	}
	for i, d := range doors {
		b.ReportMetric(float64(b.N)*calls/took[i].Seconds(), d.name+"/s")
		if i > 0 { // of time, and of the processor's, which others on the machine disturb less
			b.ReportMetric(float64(took[0])/float64(took[i]), d.name+":rest")
			b.ReportMetric(float64(spent[0])/float64(spent[i]), d.name+":rest-cpu")
		}
	}
}

// processor returns how much of the processor this process has used.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// together asks n times by all wires at once.
func together(b *testing.B, wires []wire, n int64) {
	var left atomic.Int64
	left.Store(n)
	var all sync.WaitGroup
	for _, c := range wires {
		all.Go(func() {
			for left.Add(-1) >= 0 {
				if err := c.ask(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}
