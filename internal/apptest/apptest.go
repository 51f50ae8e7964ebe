// Package apptest runs an app's own tests: the files in its folder tests, each test on
// a fresh app with a database, a clock, a mailbox and outside hosts of its own. What is
// tried goes the same way as a request does. How tests are written is tsaction's to
// say; how results are shown, the command's.
package apptest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/action/tsaction"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/serve"
	"github.com/galleybackend/galley/internal/spec"
)

// Config says what to run.
type Config struct {
	serve.Config
	// Match chooses tests by their names; nil means all.
	Match *regexp.Regexp
	// Files chooses files by parts of their paths; none means all.
	Files []string
	// Time bounds each test, in real time; 0 means ten seconds.
	Time time.Duration
	// Done hears of each test when it is over.
	Done func(Result)
}

// testTime is how long a test may take.
const testTime = 10 * time.Second

// Result is what became of a test.
type Result struct {
	File string        `json:"file"`
	Test string        `json:"test"`
	OK   bool          `json:"ok"`
	Took time.Duration `json:"-"`
	// At and Why say where and why it did not hold.
	At  spec.Pos `json:"-"`
	Why string   `json:"why,omitempty"`
	// Said is what it wrote by console.log, Log what the app and its code told meanwhile,
	// where it does not hold.
	Said []string `json:"said,omitempty"`
	Log  []string `json:"log,omitempty"`
}

// Summary counts the results.
type Summary struct {
	Passed int `json:"passed"`
	Failed int `json:"failed"`
	// Skipped are those that were not chosen.
	Skipped int `json:"skipped"`
	// Files is the text of the files of tests, for excerpts.
	Files map[string][]byte `json:"-"`
}

// Run runs the tests one after the other. The error is a *serve.AppError if the app, or
// a file of tests, has errors.
func Run(ctx context.Context, c Config) (Summary, error) {
	sum := Summary{Files: map[string][]byte{}}
	compiled := serve.Compile(c.Config)
	if compiled.Failed() {
		return sum, &serve.AppError{Findings: compiled.Findings, Files: compiled.Files}
	}
	var fsys fs.FS = os.DirFS(c.AppDir())
	if c.Config.Files != nil {
		fsys = c.Config.Files
	}
	names, err := tsaction.TestFiles(fsys)
	if err != nil {
		return sum, err
	}
	var files []*tsaction.TestFile
	var findings []spec.Finding
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return sum, err
		}
		sum.Files[name] = text
		if !chosen(c.Files, name) {
			continue
		}
		f, found := tsaction.LoadTests(fsys, compiled.Spec, name)
		findings = append(findings, found...)
		files = append(files, f)
	}
	if spec.Failed(findings) {
		return sum, &serve.AppError{Findings: findings, Files: sum.Files}
	}
	for _, f := range files {
		for n, name := range f.Tests {
			if c.Match != nil && !c.Match.MatchString(name) {
				sum.Skipped++
				continue
			}
			r, ended, err := c.run(ctx, f, n)
			if err != nil {
				return sum, err
			}
			if !ended {
				// It was broken off in the middle: the next one begins with nothing of it.
				if f, findings = tsaction.LoadTests(fsys, compiled.Spec, f.Name); f == nil {
					return sum, &serve.AppError{Findings: findings, Files: sum.Files}
				}
			}
			if r.OK {
				sum.Passed++
			} else {
				sum.Failed++
			}
			if c.Done != nil {
				c.Done(r)
			}
		}
	}
	return sum, nil
}

func chosen(parts []string, name string) bool {
	for _, part := range parts {
		if strings.Contains(name, part) {
			return true
		}
	}
	return len(parts) == 0
}

// run runs one test on an app of its own, and reports whether it came to an end.
func (c *Config) run(ctx context.Context, f *tsaction.TestFile, n int) (r Result, ended bool,
	err error) {
	r = Result{File: f.Name, Test: f.Tests[n]}
	limit := c.Time
	if limit == 0 {
		limit = testTime
	}
	told := &told{}
	cfg := c.Config
	cfg.Log = slog.New(slog.NewTextHandler(told, &slog.HandlerOptions{ReplaceAttr: untimed}))
	trial, err := serve.OpenTrial(ctx, cfg)
	if err != nil {
		return r, true, err
	}
	defer func() { err = errors.Join(err, trial.Close()) }()
	began := time.Now()
	inner, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	failed := f.Run(inner, n, tried{trial})
	r.Took, r.Said = time.Since(began), f.Said
	if ctx.Err() != nil {
		return r, true, ctx.Err()
	}
	var failure *tsaction.TestFailure
	switch {
	case failed == nil:
		r.OK = true
		return r, true, nil
	case errors.As(failed, &failure):
		r.At, r.Why = failure.Pos, failure.Text
	default:
		r.Why = failed.Error()
	}
	for _, host := range trial.Missed() {
		r.Why += fmt.Sprintf("; %s was asked, and the test does not play it", host)
	}
	r.Log = told.lines()
	if ended = inner.Err() == nil; !ended {
		r.Why += fmt.Sprintf(" (a test has %v)", limit)
	}
	return r, ended, nil
}

// told keeps what an app tells its operator, up to toldMax bytes.
type told struct {
	mu   sync.Mutex
	text []byte
}

const toldMax = 64 << 10

// Write implements io.Writer.
func (t *told) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.text)+len(p) <= toldMax {
		t.text = append(t.text, p...)
	}
	return len(p), nil
}

// lines returns what was told, but that the app began.
func (t *told) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return slices.DeleteFunc(all, func(line string) bool {
		return line == "" || strings.Contains(line, "an app was deployed")
	})
}

// untimed leaves the time out: it is that of the world, and tells nothing about the app's.
func untimed(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// tried is the app that a test tries.
type tried struct{ *serve.Trial }

var _ tsaction.Tried = tried{}

// Call sends a request to the app's API.
func (t tried) Call(ctx context.Context, as, method, path, body string,
	headers map[string]string) (tsaction.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://app"+path, strings.NewReader(body))
	if err != nil {
		return tsaction.Answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, v := range headers {
		r.Header.Set(name, v)
	}
	return answered(t.Do(r, as))
}

// Host answers requests that the app's code sends to an address.
func (t tried) Host(url string,
	answer func(context.Context, tsaction.HostRequest) (tsaction.HostAnswer, error)) error {
	return t.Trial.Host(url, func(r *http.Request) (*http.Response, error) {
		ask := tsaction.HostRequest{Method: r.Method, URL: r.URL.String(), Headers: map[string]string{}}
		for name := range r.Header {
			ask.Headers[strings.ToLower(name)] = r.Header.Get(name)
		}
		if r.Body != nil {
			text, err := io.ReadAll(r.Body)
			if err = errors.Join(err, r.Body.Close()); err != nil {
				return nil, err
			}
			ask.Body = string(text)
		}
		got, err := answer(r.Context(), ask)
		if err != nil {
			return nil, err
		}
		res := &http.Response{StatusCode: got.Status, Proto: "HTTP/1.1", ProtoMajor: 1,
			ProtoMinor: 1, Header: http.Header{}, Request: r,
			Body: io.NopCloser(strings.NewReader(got.Body)), ContentLength: int64(len(got.Body))}
		for name, v := range got.Headers {
			res.Header.Set(name, v)
		}
		return res, nil
	})
}

// letter is a mail as tests see it.
type letter struct {
	To      string   `json:"to"`
	Email   string   `json:"email"`
	Subject string   `json:"subject"`
	Text    string   `json:"text"`
	HTML    string   `json:"html"`
	Links   []string `json:"links"`
}

// link finds the addresses that a mail leads to.
var link = regexp.MustCompile(`(?i)\shref="([^"]+)"`)

// Mail returns the mails that were sent.
func (t tried) Mail(ctx context.Context) (string, error) {
	all, err := t.Trial.Mail(ctx)
	letters := []letter{}
	for _, l := range all {
		if l.State != mail.Sent {
			continue // it was held, or waits
		}
		one := letter{To: l.To, Email: l.Email, Subject: l.Subject, Text: l.Text,
			HTML: l.HTML, Links: []string{}}
		for _, m := range link.FindAllStringSubmatch(l.HTML, -1) {
			one.Links = append(one.Links, html.UnescapeString(m[1]))
		}
		letters = append(letters, one)
	}
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(letters)
	return string(text), err
}

// Webhook sends a signed call of somebody outside.
func (t tried) Webhook(ctx context.Context, name, body, id string) (tsaction.Answer, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://app/hooks/"+name,
		strings.NewReader(body))
	if err != nil {
		return tsaction.Answer{}, err
	}
	r.Header.Set("Content-Type", "application/json")
	if id == "" {
		id = "test"
	}
	return answered(t.Trial.Webhook(r, name, id, []byte(body)))
}

// answered reads an answer to its end.
func answered(res *http.Response, err error) (tsaction.Answer, error) {
	if err != nil {
		return tsaction.Answer{}, err
	}
	text, err := io.ReadAll(res.Body)
	return tsaction.Answer{Status: res.StatusCode, Type: res.Header.Get("Content-Type"),
		Location: res.Header.Get("Location"), Body: string(text)}, errors.Join(err, res.Body.Close())
}
