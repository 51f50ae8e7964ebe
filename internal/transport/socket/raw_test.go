package socket_test

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw is a socket below WebSocket's own rules.
type raw struct {
	t testing.TB
	net.Conn
	r *bufio.Reader
}

// The opcodes.
const (
	opMore, opText, opBinary, opClose, opPing, opPong = 0x0, 0x1, 0x2, 0x8, 0x9, 0xa
)

// bits of a frame's first byte.
const (
	fin              = 0x80
	rsv1, rsv2, rsv3 = 0x40, 0x20, 0x10
)

// dialRaw shakes hands; early is sent in the same write.
func (w *world) dialRaw(early string, headers ...string) *raw {
	w.t.Helper()
	dial := w.dials
	if dial == nil {
		dial = func() (net.Conn, error) {
			return net.DialTimeout("tcp", strings.TrimPrefix(w.base, "http://"), patience)
		}
	}
	c, err := dial()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		w.t.Fatal(err)
	}
	head := "GET /api/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
	for i := 0; i < len(headers); i += 2 {
		head += headers[i] + ": " + headers[i+1] + "\r\n"
	}
	if _, err := io.WriteString(c, head+"\r\n"+early); err != nil {
		w.t.Fatal(err)
	}
	r := bufio.NewReader(c)
	res, err := http.ReadResponse(r, nil)
	if err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("the handshake is %v %v", res, err)
	}
	return &raw{w.t, c, r}
}

// frame makes a frame as a client sends it: masked.
func frame(first byte, payload string) string {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, 0x80|byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	mask := []byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return string(b)
}

// closeFrame makes a frame of control that closes.
func closeFrame(code int, reason string) string {
	return frame(fin|opClose, string([]byte{byte(code >> 8), byte(code)})+reason)
}

func (c *raw) send(frames ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(frames, "")); err != nil && !errors.Is(err, net.ErrClosed) {
		// The server may have had enough before it has everything.
		c.t.Logf("send: %v", err)
	}
}

// next reads a frame of the server's.
func (c *raw) next() (first byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return 0, nil, err
	}
	if head[1]&0x80 != 0 {
		return 0, nil, errors.New("the server masks")
	}
	n := uint64(head[1])
	switch n {
	case 126:
		var b [2]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return 0, nil, err
		}
		n = uint64(binary.BigEndian.Uint16(b[:]))
	case 127:
		var b [8]byte
		if _, err := io.ReadFull(c.r, b[:]); err != nil {
			return 0, nil, err
		}
		n = binary.BigEndian.Uint64(b[:])
	}
	payload = make([]byte, n)
	_, err = io.ReadFull(c.r, payload)
	return head[0], payload, err
}

// story reads frames until the server closes, and tells them: answers, pongs, a close. Once
// there was an answer, the client closes.
func (c *raw) story() string {
	var out []string
	for {
		first, payload, err := c.next()
		switch {
		case err != nil:
			return strings.Join(append(out, "end"), " ")
		case first == fin|opText && bytes.HasPrefix(payload, []byte(`{"id":1,"status":200`)):
			out = append(out, "answer")
			c.send(bye)
		case first == fin|opText:
			out = append(out, "text:"+string(payload))
		case first == fin|opPong:
			out = append(out, fmt.Sprintf("pong(%d)", len(payload)))
		case first == fin|opClose && len(payload) == 0:
			out = append(out, "close")
		case first == fin|opClose:
			out = append(out, fmt.Sprintf("close(%d)", binary.BigEndian.Uint16(payload)))
			c.send(frame(fin|opClose, string(payload)))
		default:
			out = append(out, fmt.Sprintf("frame %x", first))
		}
	}
}

// health is a whole request.
const health = `{"id":1,"method":"GET","path":"/api/health"}`

// bye closes in order.
var bye = closeFrame(1000, "")

// split cuts a text into pieces of a size.
func split(s string, size int) []string {
	var out []string
	for len(s) > size {
		out, s = append(out, s[:size]), s[size:]
	}
	return append(out, s)
}

// fragments makes one message of pieces, with frames of control between them.
func fragments(pieces []string, between ...string) string {
	var b strings.Builder
	for i, p := range pieces {
		first := byte(opMore)
		if i == 0 {
			first = opText
		}
		if i == len(pieces)-1 {
			first |= fin
		}
		b.WriteString(frame(first, p))
		if i < len(pieces)-1 {
			b.WriteString(strings.Join(between, ""))
		}
	}
	return b.String()
}

func TestFramesAreThoseOfTheProtocol(t *testing.T) {
	w := open(t, board)
	padded := func(n int) string { return health + strings.Repeat(" ", n-len(health)) }
	cases := []struct{ name, send, want string }{
		{"a request", frame(fin|opText, health), "answer close(1000) end"},
		{"length 125", frame(fin|opText, padded(125)), "answer close(1000) end"},
		{"length 126", frame(fin|opText, padded(126)), "answer close(1000) end"},
		{"length 65535", frame(fin|opText, padded(65535)), "answer close(1000) end"},
		{"length 65536", frame(fin|opText, padded(65536)), "answer close(1000) end"},
		{"length 65537", frame(fin|opText, padded(65537)) + bye, "close(4400) end"},
		{"a length of 2^62", "\x81\xff\x40\x00\x00\x00\x00\x00\x00\x00abcd" + padded(70000),
			"close(4400) end"},
		{"a length below zero", "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xffabcd", "end"},
		{"nothing", frame(fin|opText, ""), "close(4400) end"},
		{"binary", frame(fin|opBinary, health), "close(4400) end"},
		{"no mask", "\x81\x02{}", "end"},

		{"ping", frame(fin|opPing, "") + bye, "pong(0) close(1000) end"},
		{"ping of 125", frame(fin|opPing, strings.Repeat("x", 125)) + bye, "pong(125) close(1000) end"},
		{"ping of bytes", frame(fin|opPing, "\x00\xff\xfe") + bye, "pong(3) close(1000) end"},
		{"ping of 126", frame(fin|opPing, strings.Repeat("x", 126)) + bye, "close(1002) end"},
		{"pong unasked", frame(fin|opPong, "x") + frame(fin|opText, health),
			"answer close(1000) end"},
		{"ten pings", strings.Repeat(frame(fin|opPing, "x"), 10) + bye,
			strings.Repeat("pong(1) ", 10) + "close(1000) end"},
		{"ping in pieces", frame(opPing, "x") + bye, "close(1002) end"},
		{"pong in pieces", frame(opPong, "x") + bye, "close(1002) end"},
		{"close in pieces", frame(opClose, "\x03\xe8"), "close(1002) end"},

		{"reserved 1", frame(fin|rsv1|opText, health), "close(1002) end"},
		{"reserved 2", frame(fin|rsv2|opText, health), "close(1002) end"},
		{"reserved 3", frame(fin|rsv3|opText, health), "close(1002) end"},
		{"reserved on a ping", frame(fin|rsv1|opPing, "x"), "close(1002) end"},
		{"compressed", frame(fin|rsv1|opText, "\xaa\x56\xca\x4c\x01\x00"), "close(1002) end"},

		{"two pieces", fragments(split(health, 20)), "answer close(1000) end"},
		{"bytes", fragments(split(health, 1)), "answer close(1000) end"},
		{"empty pieces", frame(opText, "") + frame(opMore, "") + frame(fin|opMore, health),
			"answer close(1000) end"},
		{"a ping between pieces", fragments(split(health, 20), frame(fin|opPing, "p")),
			"pong(1) pong(1) answer close(1000) end"},
		{"a pong between pieces", fragments(split(health, 20), frame(fin|opPong, "p")),
			"answer close(1000) end"},
		{"a close between pieces", frame(opText, health[:9]) + bye, "close(1000) end"},
		{"a text between pieces", frame(opText, health[:9]) + frame(fin|opText, health),
			"close(1002) end"},
		{"a piece of nothing", frame(fin|opMore, health), "close(1002) end"},
		{"an open piece of nothing", frame(opMore, health), "close(1002) end"},
		{"too large in pieces", fragments(split(padded(65537), 1000)), "close(4400) end"},

		{"close without a code", frame(fin|opClose, ""), "close end"},
		{"close of one byte", frame(fin|opClose, "\x03"), "close(1002) end"},
		{"close with a long reason", closeFrame(1000, strings.Repeat("x", 123)), "close(1000) end"},
		{"close with a longer one", closeFrame(1000, strings.Repeat("x", 124)), "close(1002) end"},
		{"a ping after close", bye + frame(fin|opPing, "x"), "close(1000) end"},
		{"a request after close", bye + frame(fin|opText, health), "close(1000) end"},
		{"two closes", bye + bye, "close(1000) end"},

		{"no JSON", frame(fin|opText, "hello"), "close(4400) end"},
		{"no object", frame(fin|opText, "[]"), "close(4400) end"},
		{"two objects", frame(fin|opText, health+health), "close(4400) end"},
		{"a doubled member", frame(fin|opText, `{"id":1,"id":1,"method":"GET","path":"/api/health"}`),
			"close(4400) end"},
		{"no UTF-8", frame(fin|opText, `{"id":1,"follow":"`+"\xce\xba\xe1\xbd\xb9\xcf\x83\xed\xa0\x80"+`"}`),
			"close(4400) end"},
		{"half a rune", frame(fin|opText, `{"id":1,"follow":"`+"\xf0\x9f\x98"+`"}`), "close(4400) end"},
		{"a rune in pieces", fragments(split(`{"id":1,"method":"GET","path":"/api/health","key":"x"}`+
			strings.Repeat(" ", 9), 7)), "answer close(1000) end"},
	}
	for _, code := range []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 3000, 3999,
		4000, 4999} {
		cases = append(cases, struct{ name, send, want string }{fmt.Sprintf("close %d", code),
			closeFrame(code, "bye"), fmt.Sprintf("close(%d) end", code)})
	}
	for _, code := range []int{0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535} {
		cases = append(cases, struct{ name, send, want string }{fmt.Sprintf("close %d", code),
			closeFrame(code, ""), "close(1002) end"})
	}
	for op := byte(3); op < 16; op++ {
		if op < opClose || op > opPong {
			cases = append(cases, struct{ name, send, want string }{fmt.Sprintf("opcode %d", op),
				frame(fin|op, "x"), "close(1002) end"})
		}
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := w.dialRaw("")
			conn.send(c.send)
			if got := conn.story(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("byte by byte", func(t *testing.T) {
		conn := w.dialRaw("")
		for _, b := range split(frame(fin|opText, health), 1) {
			conn.send(b)
		}
		if got := conn.story(); got != "answer close(1000) end" {
			t.Errorf("got %q", got)
		}
	})
	t.Run("with the handshake", func(t *testing.T) {
		for _, n := range []int{0, 400, 600, 3000, 6000, 60_000} {
			conn := w.dialRaw(frame(fin|opText, padded(len(health)+n)))
			if got := conn.story(); got != "answer close(1000) end" {
				t.Errorf("%d: got %q", n, got)
			}
		}
	})
}
