package serve

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
)

// silent is a ResponseWriter that keeps nothing but the status.
type silent struct {
	header http.Header
	status int
}

func (w *silent) Header() http.Header         { return w.header }
func (w *silent) WriteHeader(status int)      { w.status = status }
func (w *silent) Write(p []byte) (int, error) { return len(p), nil }

// benchServer opens the app that is measured, with a thousand products in it.
func benchServer(b *testing.B) (http.Handler, []string) {
	b.Helper()
	ctx := b.Context()
	s, err := Open(ctx, Config{
		Config: config.Config{App: "../../bench/app", Data: b.TempDir(), Limits: "off"},
		Log:    slog.New(slog.DiscardHandler), Calls: observe.NewBuffer(io.Discard),
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	var ids []string
	var lines bytes.Buffer
	for i := range 1000 {
		ids = append(ids, string(ident.NewRecord()))
		fmt.Fprintf(&lines, `{"id":%q,"name":"thing %d","about":"a thing of some use","price":%d,`+
			`"stock":1000000,"listed":true}`+"\n", ids[i], i, 100+i)
	}
	job := s.importing("products", ident.Subject{Who: ident.System, Name: "bench"})
	res, err := job.Run(ctx, &lines)
	if err != nil || res.WrongAll > 0 {
		b.Fatal(err, res)
	}
	return s.Handler(), ids
}

func serveOne(b *testing.B, h http.Handler, method, target, body, key string) {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		b.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: "localhost", RemoteAddr: "127.0.0.1:1", RequestURI: target,
		Body: http.NoBody}
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
	}
	w := &silent{header: http.Header{}}
	h.ServeHTTP(w, r.WithContext(b.Context()))
	if w.status >= 300 {
		b.Fatalf("%s %s: %d", method, target, w.status)
	}
}

func BenchmarkGet(b *testing.B) {
	h, ids := benchServer(b)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		serveOne(b, h, "GET", "/api/products/"+ids[i%len(ids)], "", "")
	}
}

func BenchmarkList(b *testing.B) {
	h, _ := benchServer(b)
	b.ReportAllocs()
	q := "/api/products?" + url.Values{"filter": {"price <= 900"}, "sort": {"-price"},
		"limit": {"30"}}.Encode()
	for b.Loop() {
		serveOne(b, h, "GET", q, "", "")
	}
}

func BenchmarkCreateTogether(b *testing.B) {
	h, _ := benchServer(b)
	b.ReportAllocs()
	b.SetParallelism(32)
	var n atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			serveOne(b, h, "POST", "/api/notes", `{"body":"a note"}`, fmt.Sprint("k", n.Add(1)))
		}
	})
}
