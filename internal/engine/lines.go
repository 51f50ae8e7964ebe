package engine

import (
	"context"
	"log/slog"
	"strings"

	"github.com/galleybackend/galley/internal/observe"
)

const (
	// linesMax is how many lines of a call's own code are kept with its journey,
	// lineMax how long each may be, in bytes.
	linesMax = 100
	lineMax  = 1000
)

// lines is a slog.Handler that keeps the lines of the app's code with the call's
// journey, beside giving them to the log.
type lines struct {
	next slog.Handler
	seen *observe.Call
}

// Enabled reports that every level is taken.
func (l *lines) Enabled(context.Context, slog.Level) bool { return true }

// Handle takes one line.
func (l *lines) Handle(ctx context.Context, r slog.Record) error {
	if l.seen != nil && len(l.seen.Logs) < linesMax {
		var b strings.Builder
		b.WriteString(r.Message)
		r.Attrs(func(a slog.Attr) bool {
			b.WriteString(" " + a.Key + "=" + a.Value.String())
			return b.Len() < lineMax
		})
		l.seen.Logs = append(l.seen.Logs, strings.ToValidUTF8(b.String()[:min(b.Len(), lineMax)], ""))
	}
	if !l.next.Enabled(ctx, r.Level) {
		return nil
	}
	return l.next.Handle(ctx, r)
}

// WithAttrs adds attributes to what the log gets.
func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lines{l.next.WithAttrs(attrs), l.seen}
}

// WithGroup groups what the log gets.
func (l *lines) WithGroup(name string) slog.Handler { return &lines{l.next.WithGroup(name), l.seen} }
