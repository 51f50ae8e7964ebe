package observe

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// Mask hides the values of secrets in whatever is about to be told: each is replaced by
// its name in brackets. It knows a value as it is and in the forms in which texts carry
// one another: as JSON, in a URL, as base64 wherever it begins, as hex. It is safe for
// concurrent use; a nil *Mask and one without values hide nothing and cost nothing.
type Mask struct {
	forms atomic.Pointer[forms]
}

// forms are the texts to look for, by the two bytes that each begins with, and what
// stands for them.
type forms struct {
	begins   [1 << 16 / 64]uint64
	texts    map[uint16][][]byte
	replacer *strings.Replacer
}

const (
	// formMin is the least length of a form that is looked for: what is shorter stands
	// in texts by chance.
	formMin = 8
	// partMin is the same for a line or a word of a value.
	partMin = 16
)

// Set makes the values those that are hidden, by their names.
func (m *Mask) Set(values map[string]string) {
	all := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, form := range formsOf(values[name]) {
			if _, known := all[form]; !known && len(form) >= formMin {
				all[form] = "[" + name + "]"
			}
		}
	}
	if len(all) == 0 {
		m.forms.Store(nil)
		return
	}
	texts := slices.SortedFunc(maps.Keys(all), func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	f := &forms{texts: map[uint16][][]byte{}}
	var pairs []string
	for _, t := range texts {
		k := uint16(t[0])<<8 | uint16(t[1])
		f.begins[k/64] |= 1 << (k % 64)
		f.texts[k] = append(f.texts[k], []byte(t))
		pairs = append(pairs, t, all[t])
	}
	f.replacer = strings.NewReplacer(pairs...)
	m.forms.Store(f)
}

// formsOf returns how a value may stand in a text.
func formsOf(v string) []string {
	whole := []string{v}
	for _, part := range strings.Fields(v) {
		if part != v && len(part) >= partMin {
			whole = append(whole, part)
		}
		if _, bare, found := strings.Cut(part, "_"); found && len(bare) >= partMin {
			whole = append(whole, bare) // what follows a prefix such as whsec_
		}
	}
	var out []string
	for _, v := range whole {
		out = append(out, v, url.QueryEscape(v), url.PathEscape(v), hex.EncodeToString([]byte(v)),
			strings.ToUpper(hex.EncodeToString([]byte(v))))
		quoted := strconv.Quote(v)
		out = append(out, quoted[1:len(quoted)-1])
		if text, err := json.Marshal(v); err == nil {
			inner := string(text[1 : len(text)-1])
			out = append(out, inner, strings.ReplaceAll(inner, "/", `\/`))
		}
		var plain bytes.Buffer
		enc := json.NewEncoder(&plain)
		enc.SetEscapeHTML(false)
		if enc.Encode(v) == nil {
			inner := plain.String()[1 : plain.Len()-2]
			out = append(out, inner, strings.ReplaceAll(inner, "/", `\/`))
		}
		for before := range 3 {
			out = append(out, inBase64(base64.RawStdEncoding, v, before),
				inBase64(base64.RawURLEncoding, v, before))
		}
	}
	return out
}

// inBase64 returns what of the base64 of a longer text is the value's alone, where a
// number of bytes stand before it.
func inBase64(enc *base64.Encoding, v string, before int) string {
	text := enc.EncodeToString(append(make([]byte, before), v...))
	return text[(8*before+5)/6 : 8*(before+len(v))/6]
}

// Text returns the text without secrets.
func (m *Mask) Text(text string) string {
	if f := m.load(); f != nil && f.in([]byte(text)) {
		return f.replacer.Replace(text)
	}
	return text
}

// Bytes returns the text without secrets: the slice itself if there are none in it.
func (m *Mask) Bytes(text []byte) []byte {
	if f := m.load(); f != nil && f.in(text) {
		return []byte(f.replacer.Replace(string(text)))
	}
	return text
}

// Holds reports whether there is a secret in the text.
func (m *Mask) Holds(text []byte) bool {
	f := m.load()
	return f != nil && f.in(text)
}

func (m *Mask) load() *forms {
	if m == nil {
		return nil
	}
	return m.forms.Load()
}

// in goes through a text once, however many forms there are: this stands in the way of
// every call.
func (f *forms) in(text []byte) bool {
	for i := 0; i+formMin <= len(text); i++ {
		k := uint16(text[i])<<8 | uint16(text[i+1])
		if f.begins[k/64]&(1<<(k%64)) == 0 {
			continue
		}
		for _, form := range f.texts[k] {
			if bytes.HasPrefix(text[i:], form) {
				return true
			}
		}
	}
	return false
}

// Error returns an error whose text has no secrets; one that has none anyway is
// returned as it is.
func (m *Mask) Error(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if masked := m.Text(text); masked != text {
		return &maskedError{masked, err}
	}
	return err
}

// maskedError is an error told without secrets.
type maskedError struct {
	text string
	err  error
}

// Error implements error.
func (e *maskedError) Error() string { return e.text }

// Unwrap returns the error as it was, for those who look for its kind.
func (e *maskedError) Unwrap() error { return e.err }

// Writer returns a writer that hides what is in each single Write before w has it.
func (m *Mask) Writer(w io.Writer) io.Writer {
	if w == nil {
		return nil
	}
	return &maskWriter{m, w}
}

type maskWriter struct {
	mask *Mask
	next io.Writer
}

// Write implements io.Writer.
func (w *maskWriter) Write(p []byte) (int, error) {
	if _, err := w.next.Write(w.mask.Bytes(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Handler returns a handler of logs that hides secrets before next has them: in the
// message and in every attribute.
func (m *Mask) Handler(next slog.Handler) slog.Handler { return &maskHandler{m, next} }

type maskHandler struct {
	mask *Mask
	next slog.Handler
}

// Enabled implements slog.Handler.
func (h *maskHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

// Handle implements slog.Handler.
func (h *maskHandler) Handle(ctx context.Context, r slog.Record) error {
	if h.mask.load() == nil {
		return h.next.Handle(ctx, r)
	}
	out := slog.NewRecord(r.Time, r.Level, h.mask.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(h.attr(a))
		return true
	})
	return h.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (h *maskHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	own := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		own[i] = h.attr(a)
	}
	return &maskHandler{h.mask, h.next.WithAttrs(own)}
}

// WithGroup implements slog.Handler.
func (h *maskHandler) WithGroup(name string) slog.Handler {
	return &maskHandler{h.mask, h.next.WithGroup(name)}
}

func (h *maskHandler) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(h.mask.Text(v.String()))
	case slog.KindGroup:
		var own []slog.Attr
		for _, one := range v.Group() {
			own = append(own, h.attr(one))
		}
		v = slog.GroupValue(own...)
	case slog.KindAny:
		// What it looks like is only known when it is written, so that is asked here.
		text := fmt.Sprintf("%+v", v.Any())
		coded, err := json.Marshal(v.Any())
		if err != nil {
			coded = nil
		}
		if h.mask.Holds([]byte(text)) || h.mask.Holds(coded) {
			v = slog.StringValue(h.mask.Text(text))
		}
	}
	return slog.Attr{Key: h.mask.Text(a.Key), Value: v}
}
