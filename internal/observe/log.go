package observe

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
)

// write logs a call as one line. Requests that were no calls, such as those for
// files, are for debugging only.
func write(log *slog.Logger, c *Call) {
	level := slog.LevelInfo
	switch {
	case c.Outcome == Failed:
		level = slog.LevelError
	case c.Operation == "" && c.Status < 400:
		level = slog.LevelDebug
	}
	ctx := context.Background()
	if !log.Enabled(ctx, level) {
		return
	}
	var space [16]slog.Attr
	attrs := append(space[:0],
		slog.String("request", c.ID),
		slog.String("method", c.Method),
		slog.String("path", c.Path),
		slog.Int("status", c.Status),
		slog.String("operation", c.Operation),
		slog.String("outcome", c.Outcome),
		slog.String("who", c.Who),
		slog.Float64("ms", millis(c.Took)),
	)
	if c.Code != "" {
		attrs = append(attrs, slog.String("code", c.Code))
	}
	if c.Writes > 0 {
		attrs = append(attrs, slog.Int("writes", c.Writes))
	}
	if c.Trace != "" {
		attrs = append(attrs, slog.String("trace", c.Trace), slog.String("span", c.Span))
	}
	if len(c.Stages) > 0 {
		var stages [8]slog.Attr
		list := stages[:0]
		for _, s := range c.Stages {
			list = append(list, slog.Float64(s.Name, millis(s.Took)))
		}
		attrs = append(attrs, slog.Attr{Key: "stages", Value: slog.GroupValue(list...)})
	}
	if c.Cause != nil {
		attrs = append(attrs, slog.String("cause", c.Cause.Error()))
	}
	log.LogAttrs(ctx, level, "call", attrs...)
}

// millis is a time in milliseconds, cut to the microsecond.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

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
