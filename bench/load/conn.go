package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"
)

// answerTime is how long one answer may take.
const answerTime = 30 * time.Second

// bodyMax is the longest body that is read.
const bodyMax = 4 << 20

var errAnswer = errors.New("the answer is no HTTP/1.1 that this client reads")

// Conn is one kept-alive connection. One goroutine at a time uses it.
type Conn struct {
	net  net.Conn
	buf  []byte // what was read and not yet used is buf[from:to]
	from int
	to   int
	body []byte // of a chunked answer
	due  time.Time
}

// Dial connects to a server.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &Conn{net: c, buf: make([]byte, 16<<10)}, nil
}

// Close ends the connection.
func (c *Conn) Close() {
	_ = c.net.Close() // nothing is in flight any more
}

// Exchange writes the request and reads its answer. The body is valid until the next
// call. After an error the connection is of no more use.
func (c *Conn) Exchange(request []byte) (int, []byte, error) {
	if now := time.Now(); c.due.Before(now.Add(answerTime / 2)) { // seldom: it costs
		c.due = now.Add(answerTime)
		if err := c.net.SetDeadline(c.due); err != nil {
			return 0, nil, err
		}
	}
	if _, err := c.net.Write(request); err != nil {
		return 0, nil, err
	}
	head, err := c.head()
	if err != nil {
		return 0, nil, err
	}
	if len(head) < 12 || string(head[:9]) != "HTTP/1.1 " {
		return 0, nil, fmt.Errorf("%w: %.60q", errAnswer, head)
	}
	status, err := strconv.Atoi(string(head[9:12]))
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %.60q", errAnswer, head)
	}
	switch length := field(head, "content-length"); {
	case length != nil:
		n, err := strconv.Atoi(string(length))
		if err != nil || n < 0 || n > bodyMax {
			return 0, nil, fmt.Errorf("%w: length %.20q", errAnswer, length)
		}
		body, err := c.take(n)
		return status, body, err
	case bytes.EqualFold(field(head, "transfer-encoding"), []byte("chunked")):
		body, err := c.chunked()
		return status, body, err
	case status == 204 || status == 304:
		return status, nil, nil
	}
	return 0, nil, fmt.Errorf("%w: a body without length", errAnswer)
}

// head returns the status line and the header fields.
func (c *Conn) head() ([]byte, error) {
	for seen := c.from; ; {
		if i := bytes.Index(c.buf[seen:c.to], []byte("\r\n\r\n")); i >= 0 {
			head := c.buf[c.from : seen+i+2]
			c.from = seen + i + 4
			return head, nil
		}
		shift, err := c.fill()
		if err != nil {
			return nil, err
		}
		seen = max(c.from, seen-shift-3)
	}
}

// take returns the next n bytes.
func (c *Conn) take(n int) ([]byte, error) {
	for c.to-c.from < n {
		if _, err := c.fill(); err != nil {
			return nil, err
		}
	}
	part := c.buf[c.from : c.from+n]
	c.from += n
	return part, nil
}

// chunked reads a body in chunks, without trailers.
func (c *Conn) chunked() ([]byte, error) {
	c.body = c.body[:0]
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil || n < 0 || len(c.body)+int(n) > bodyMax {
			return nil, fmt.Errorf("%w: chunk %.20q", errAnswer, line)
		}
		part, err := c.take(int(n) + 2)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return c.body, nil
		}
		c.body = append(c.body, part[:n]...)
	}
}

func (c *Conn) line() ([]byte, error) {
	for {
		if i := bytes.Index(c.buf[c.from:c.to], []byte("\r\n")); i >= 0 {
			line := c.buf[c.from : c.from+i]
			c.from += i + 2
			return line, nil
		}
		if _, err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more, after it has moved what is left to the front where room is short;
// it returns by how much.
func (c *Conn) fill() (int, error) {
	shift := 0
	if c.from == c.to {
		shift = c.from
		c.from, c.to = 0, 0
	} else if c.to == len(c.buf) {
		shift = c.from
		copy(c.buf, c.buf[c.from:c.to])
		c.from, c.to = 0, c.to-c.from
		if c.to == len(c.buf) {
			if len(c.buf) > bodyMax {
				return 0, fmt.Errorf("%w: longer than %d bytes", errAnswer, bodyMax)
			}
			c.buf = append(c.buf, make([]byte, len(c.buf))...)
		}
	}
	n, err := c.net.Read(c.buf[c.to:])
	c.to += n
	if n > 0 {
		return shift, nil
	}
	return shift, err
}

// field returns a header field's value; name is in lower case. The head begins with
// the status line and every line ends in CR LF.
func field(head []byte, name string) []byte {
	for {
		i := bytes.IndexByte(head, '\n')
		if i < 0 {
			return nil
		}
		head = head[i+1:]
		if len(head) > len(name) && head[len(name)] == ':' && sameFold(head[:len(name)], name) {
			value := head[len(name)+1:]
			if end := bytes.IndexByte(value, '\r'); end >= 0 {
				value = value[:end]
			}
			return bytes.TrimSpace(value)
		}
	}
}

func sameFold(b []byte, lower string) bool {
	for i := range b {
		c := b[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}
