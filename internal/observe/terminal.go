package observe

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Terminal writes the developer's line for each call:
//
//	08:31:40  POST /api/actions/checkout  200    6.1 ms  ana@example.com  5 writes  01k9vq3k1c
//
// It is safe for concurrent use; a nil *Terminal writes nothing.
type Terminal struct {
	color bool
	mu    sync.Mutex
	out   io.Writer
	// request and who are the widths of their columns: the widest so far.
	request int
	who     int
	// names holds what people were called when it was known: who asks is read only where
	// a rule wants to know.
	names map[string]string
}

// namesMax bounds the names that a terminal remembers.
const namesMax = 1000

// The greatest widths of columns; what is wider pushes the rest to the right.
const (
	requestWide = 48
	whoWide     = 32
)

// NewTerminal returns a terminal on w, with colours or without.
func NewTerminal(w io.Writer, color bool) *Terminal {
	return &Terminal{out: w, color: color, request: 28, who: 12, names: map[string]string{}}
}

// The colours of a status, as the terminal takes them.
const (
	colorNone   = ""
	colorDim    = "\x1b[2m"
	colorGreen  = "\x1b[32m"
	colorYellow = "\x1b[33m"
	colorRed    = "\x1b[31m"
	colorOff    = "\x1b[0m"
)

func (t *Terminal) write(c *Call, m *Mask) {
	if t == nil || c.Operation == "" && c.Status < 400 {
		return // a file of the site
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	request, who := printable(c.Method+" "+c.Path), printable(t.called(c))
	t.request = max(t.request, min(utf8.RuneCountInString(request), requestWide))
	t.who = max(t.who, min(utf8.RuneCountInString(who), whoWide))
	line := fmt.Sprintf("  %s  %s  %s  %9s  %s  %s  %s\n",
		c.Started.Local().Format(time.TimeOnly), pad(request, t.request),
		t.paint(statusColor(c.Status), fmt.Sprint(c.Status)),
		fmt.Sprintf("%.1f ms", float64(c.Took)/1e6), pad(who, t.who),
		pad(printable(c.said()), 18), t.paint(colorDim, c.ID))
	_, _ = io.WriteString(t.out, m.Text(line)) // a terminal that is gone reads no lines
	if c.Outcome == Failed && c.Cause != nil {
		_, _ = fmt.Fprintf(t.out, "            %s\n",
			strings.ReplaceAll(strings.TrimSpace(c.Cause.Error()), "\n", "\n            "))
	}
}

// called is how the line of a call names who asks.
func (t *Terminal) called(c *Call) string {
	switch {
	case c.Name != "":
		if len(t.names) < namesMax || t.names[c.Who] != "" {
			t.names[c.Who] = c.Name
		}
		return c.Name
	case c.Who == "" || c.Who == "anonymous":
		return "–"
	case t.names[c.Who] != "":
		return t.names[c.Who]
	}
	return c.Who
}

// said is what came of a call, in a word or two.
func (c *Call) said() string {
	switch {
	case c.Outcome == Replayed:
		return "replayed"
	case c.Code != "":
		return c.Code
	case c.Writes == 1:
		return "1 write"
	case c.Writes > 1:
		return fmt.Sprintf("%d writes", c.Writes)
	default:
		return ""
	}
}

func statusColor(status int) string {
	switch {
	case status >= 500:
		return colorRed
	case status >= 400:
		return colorYellow
	default:
		return colorGreen
	}
}

func (t *Terminal) paint(color, text string) string {
	if !t.color || color == colorNone {
		return text
	}
	return color + text + colorOff
}

func pad(text string, width int) string {
	if n := width - utf8.RuneCountInString(text); n > 0 {
		return text + strings.Repeat(" ", n)
	}
	return text
}

// printable keeps what a caller sent from steering the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, text)
}
