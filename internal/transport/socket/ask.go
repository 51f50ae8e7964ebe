package socket

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// ask answers a request over the socket as it would be answered over HTTP.
func (c *conn) ask(f *frame) {
	r, err := c.request(f)
	if err != nil {
		c.fail(f.id, err)
		return
	}
	b := buffers.Get().(*[]byte)
	defer putBuffer(b)
	w := recorder{body: (*b)[:0]}
	seq := c.door.cfg.Ask(&w, r, c.call.Door, f.credential)
	*b = w.body
	at := ""
	if seq != (journal.Seq{}) {
		at = c.door.cfg.Live.At(seq)
	}
	c.answer(f.id, func(b []byte) []byte { return w.append(b, at) }, "")
	if at != "" {
		c.live.Wrote(seq) // so that the place alone is told after the answer
	}
}

// request makes of a frame the request that it would be over HTTP.
func (c *conn) request(f *frame) (*http.Request, error) {
	u, err := url.ParseRequestURI(f.path)
	if err != nil || f.path[0] != '/' || u.Host != "" {
		return nil, fault.New(fault.Malformed, "A path is what follows the host in an address, "+
			"such as /api/orders?limit=10.")
	}
	h := http.Header{}
	r := &http.Request{Method: f.name, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: h, Host: c.host, RemoteAddr: c.wire.RemoteAddr().String(), RequestURI: f.path,
		Body: http.NoBody}
	if f.raw != nil {
		h["Content-Type"] = []string{"application/json"}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(f.raw)), int64(len(f.raw))
	}
	if f.key != "" {
		h["Idempotency-Key"] = []string{f.key}
	}
	if f.ifMatch != "" {
		h["If-Match"] = []string{f.ifMatch}
	}
	if origin := c.call.Request.Origin; origin != "" {
		h["Origin"] = []string{origin}
	}
	if agent := c.call.Request.UserAgent; agent != "" {
		h["User-Agent"] = []string{agent}
	}
	return r.WithContext(c.ctx), nil
}

// recorder takes an answer that HTTP would send.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header, 8)
	}
	return w.header
}

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, p...)
	return len(p), nil
}

// append writes the answer from its status on.
func (w *recorder) append(b []byte, at string) []byte {
	b = appendStatus(b, w.status)
	switch kind := first(w.header["Content-Type"]); {
	case len(w.body) == 0:
	case kind == transport.TypeProblem:
		b = append(append(b, `,"problem":`...), w.body...)
	case kind == "application/json" && jsontext.Value(w.body).IsValid():
		b = append(append(b, `,"body":`...), w.body...)
	case utf8.Valid(w.body):
		b = value.AppendQuoted(append(b, `,"body":`...), string(w.body))
	default:
		b = append(b, `,"body":null`...) // what is no text has no place in a frame of text
	}
	if w.header["Idempotent-Replayed"] != nil {
		b = append(b, `,"replayed":true`...)
	}
	if n, err := strconv.Atoi(first(w.header["Retry-After"])); err == nil {
		b = appendRetry(b, time.Duration(n)*time.Second)
	}
	if at != "" {
		b = value.AppendQuoted(append(b, `,"at":`...), at)
	}
	return b
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
