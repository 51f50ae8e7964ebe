package observe

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"
)

// write writes a call as one line of JSON, in the form of slog's own handler. It is
// written by hand because it stands in the way of every call. Requests that were no
// calls, such as those for files, are not worth a line unless they failed.
func (o *Observer) write(c *Call) {
	if o.log == nil || c.Operation == "" && c.Status < 400 {
		return
	}
	b := lineBuffers.Get().(*[]byte)
	*b = c.appendLine((*b)[:0])
	_, _ = o.log.Write(o.mask.Bytes(*b)) // there is no log left to say so in
	lineBuffers.Put(b)
}

var lineBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 1<<10); return &b }}

func (c *Call) appendLine(b []byte) []byte {
	level := "INFO"
	if c.Outcome == Failed {
		level = "ERROR"
	}
	text := func(name, s string) {
		b = append(append(append(b, `,"`...), name...), `":`...)
		b = appendText(b, s)
	}
	b = append(b, `{"time":"`...)
	b = c.Started.Add(c.Took).UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(append(append(b, `","level":"`...), level...), `","msg":"call"`...)
	text("request", c.ID)
	if c.Door != "" {
		text("door", c.Door)
	}
	text("method", c.Method)
	text("path", c.Path)
	b = strconv.AppendInt(append(b, `,"status":`...), int64(c.Status), 10)
	text("operation", c.Operation)
	text("outcome", c.Outcome)
	text("who", c.Who)
	b = appendMillis(append(b, `,"ms":`...), c.Took)
	if c.Code != "" {
		text("code", c.Code)
	}
	if c.Writes > 0 {
		b = strconv.AppendInt(append(b, `,"writes":`...), int64(c.Writes), 10)
	}
	if c.Trace != "" {
		text("trace", c.Trace)
		text("span", c.Span)
	}
	for i, s := range c.Stages {
		if b = append(b, ','); i == 0 {
			b = append(b, `"stages":{`...)
		}
		b = append(append(append(b, '"'), s.Name...), `":`...)
		b = appendMillis(b, s.Took)
	}
	if len(c.Stages) > 0 {
		b = append(b, '}')
	}
	if c.Cause != nil {
		text("cause", c.Cause.Error())
	}
	return append(b, '}', '\n')
}

// appendMillis appends a time in milliseconds, cut to the microsecond.
func appendMillis(b []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	b = strconv.AppendInt(b, us/1000, 10)
	if us %= 1000; us == 0 {
		return b
	}
	return append(b, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
}

// appendText appends a text as a JSON string. What is plain, as nearly all of it is,
// is copied.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, err := json.Marshal(s)
			if err != nil {
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// logFlush is how long a log line may wait for others before it is written.
const logFlush = 100 * time.Millisecond

// Buffer gathers what is written to it, so that a line costs no call of the system.
// It is safe for concurrent use. Run must be running, or little gets through.
type Buffer struct {
	mu  sync.Mutex
	out *bufio.Writer
}

// NewBuffer returns a buffer in front of w.
func NewBuffer(w io.Writer) *Buffer { return &Buffer{out: bufio.NewWriterSize(w, 64<<10)} }

// Write takes p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Write(p)
}

// Flush writes what is held.
func (b *Buffer) Flush() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.out.Flush()
}

// Run writes what is held, ten times a second, until ctx ends, and once more then.
func (b *Buffer) Run(ctx context.Context) {
	tick := time.NewTicker(logFlush)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = b.Flush() // there is no log left to say so in
		case <-ctx.Done():
			_ = b.Flush()
			return
		}
	}
}
