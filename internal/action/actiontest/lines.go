package actiontest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Lines returns a handler that writes what is logged as plain lines without time.
func Lines(w io.Writer) slog.Handler { return lines{w} }

type lines struct{ w io.Writer }

// Enabled says yes to everything.
func (l lines) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a line.
func (l lines) Handle(_ context.Context, r slog.Record) error {
	_, err := fmt.Fprint(l.w, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		_, err = fmt.Fprintf(l.w, " %s=%v", a.Key, a.Value)
		return true
	})
	_, err = fmt.Fprintln(l.w)
	return err
}

// WithAttrs keeps nothing: the host's logger has none.
func (l lines) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup keeps nothing, as WithAttrs.
func (l lines) WithGroup(string) slog.Handler { return l }
