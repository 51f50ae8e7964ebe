package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
)

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func (c *command) paint(code, text string) string {
	if !c.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (c *command) red(text string) string   { return c.paint("31;1", text) }
func (c *command) green(text string) string { return c.paint("32", text) }
func (c *command) dim(text string) string   { return c.paint("2", text) }

// say writes talk to stderr.
func (c *command) say(format string, args ...any) {
	fmt.Fprintf(c.err, format+"\n", args...)
}

// print writes one object of data as JSON on a line of its own.
func (c *command) print(v any) error {
	e := json.NewEncoder(c.out)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// progress tells how far a long work has come, at most twice a second, and nothing
// in the first half second.
type progress struct {
	c     *command
	what  string
	total int64
	start time.Time
	said  time.Time
}

func (c *command) progress(what string, total int64) *progress {
	now := time.Now()
	return &progress{c: c, what: what, total: total, start: now, said: now}
}

// at reports the work that is done.
func (p *progress) at(done int64) {
	now := time.Now()
	if now.Sub(p.said) < 500*time.Millisecond {
		return
	}
	p.said = now
	rate := float64(done) / now.Sub(p.start).Seconds()
	line := fmt.Sprintf("  %s %d", p.what, done)
	if p.total > 0 {
		line += fmt.Sprintf(" of %d (%d %%)", p.total, done*100/p.total)
	}
	line += fmt.Sprintf(" · %.0f/s", rate)
	if isTerminal(p.c.err) {
		fmt.Fprintf(p.c.err, "\r\x1b[K%s", line)
		return
	}
	fmt.Fprintln(p.c.err, line)
}

// end clears the line.
func (p *progress) end() {
	if isTerminal(p.c.err) && p.said.After(p.start) {
		fmt.Fprint(p.c.err, "\r\x1b[K")
	}
}
