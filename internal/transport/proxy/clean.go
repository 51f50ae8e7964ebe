package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
)

// The headers that are passed on, and those that are passed back. All others stay where
// they are: cookies and credentials above all.
var (
	passedOn = []string{"Accept", "Accept-Language", "Content-Type", "Content-Language",
		"If-None-Match", "If-Modified-Since", "Idempotency-Key"}
	passedBack = []string{"Content-Type", "Content-Language", "Content-Disposition", "Etag",
		"Last-Modified", "Retry-After"}
)

func copyHeaders(to, from http.Header, names []string) {
	for _, name := range names {
		if values := from[name]; len(values) > 0 {
			to[name] = slices.Clone(values[:1])
		}
	}
}

// listed cuts a path into its segments and reports whether a route of the proxy has it.
func listed(p *spec.Proxy, method, path string) ([]string, bool) {
	if len(path) > pathMax {
		return nil, false
	}
	segments := strings.Split(path, "/")
	for _, s := range segments {
		if !plain(s) {
			return nil, false
		}
	}
	return segments, slices.ContainsFunc(p.Routes, func(r spec.ProxyRoute) bool {
		return r.Method == method && r.Match(segments)
	})
}

// plain reports whether a segment means itself to every server: some see a way up, an
// end, or another escape in what others take for a name.
func plain(s string) bool {
	if s == "." || s == ".." || len(s) > segmentMax || !utf8.ValidString(s) {
		return false
	}
	return !strings.ContainsFunc(s, func(c rune) bool {
		return c < ' ' || c == 0x7f || strings.ContainsRune(`/\;%`, c)
	})
}

// escaped writes segments as a path.
func escaped(segments []string) string {
	var b strings.Builder
	for _, s := range segments {
		b.WriteByte('/')
		b.WriteString(url.PathEscape(s))
	}
	if b.Len() == 1 {
		return "" // the URL itself
	}
	return b.String()
}

// cleanQuery returns a query in its one form: parameters in the order of their names,
// each escaped.
func cleanQuery(raw string) (string, error) {
	if len(raw) > queryMax {
		return "", fault.New(fault.TooLarge, "The query is larger than %d bytes.", queryMax)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return "", fault.New(fault.Malformed, "The query is not URL-encoded as it should be.")
	}
	return values.Encode(), nil
}

func body(r request) io.Reader {
	if len(r.body) == 0 {
		return nil
	}
	return bytes.NewReader(r.body)
}

// trace returns the traceparent of our part of a call, "" if it has none.
func trace(c *observe.Call) string {
	if c == nil || c.Trace == "" {
		return ""
	}
	return "00-" + c.Trace + "-" + c.Span + "-01"
}

// note tells the journey what was asked and what came of it.
func note(c *observe.Call, t *target, r request, a *transport.Raw, how string, err error) {
	if c == nil {
		return
	}
	c.End()
	took := time.Duration(0)
	if n := len(c.Stages); n > 0 {
		took = c.Stages[n-1].Took
	}
	line := fmt.Sprintf("proxy %s: %s %s%s", t.proxy.Name, r.method, t.base, r.path)
	if err != nil {
		line += ": " + fault.From(err).CodeOr()
	} else {
		line += fmt.Sprintf(": %d, %d bytes", a.Status, len(a.Body))
	}
	if how != "" {
		line += ", cache " + how
	}
	c.Logs = append(c.Logs, line+fmt.Sprintf(", %.1f ms", float64(took)/1e6))
	if f := fault.From(err); f != nil {
		c.Cause = f.Cause
	}
}

// conditional answers 304 where the caller has what is kept.
func conditional(asked http.Header, method string, a *transport.Raw) transport.Raw {
	tag := a.Header.Get("Etag")
	if method != http.MethodGet || a.Status != http.StatusOK || tag == "" {
		return *a
	}
	for known := range strings.SplitSeq(asked.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == strings.TrimPrefix(tag, "W/") {
			return transport.Raw{Status: http.StatusNotModified, Header: a.Header}
		}
	}
	return *a
}
