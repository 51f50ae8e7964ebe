package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/galleybackend/galley/bench/load"
)

// wire asks the same thing again and again over one connection, one at a time, in bytes
// that were made beforehand, so that what is measured is the server.
type wire interface{ ask() error }

// http1 asks by HTTP/1.1.
type http1 struct {
	*load.Conn
	request []byte
}

func (c *http1) ask() error {
	status, body, err := c.Exchange(c.request)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the answer is %d: %.300s", status, body)
	}
	return err
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
