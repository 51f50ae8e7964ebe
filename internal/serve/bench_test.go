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

// bench is an open app with a thousand products and a rich person in it.
type bench struct {
	http.Handler
	ids   []string
	token string
	n     atomic.Int64
}

func openBench(b *testing.B) *bench {
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
	x := &bench{Handler: s.Handler()}
	var lines bytes.Buffer
	for i := range 1000 {
		x.ids = append(x.ids, string(ident.NewRecord()))
		fmt.Fprintf(&lines, `{"id":%q,"name":"thing %d","about":"a thing of some use","price":%d,`+
			`"stock":1000000000,"listed":true}`+"\n", x.ids[i], i, 100+i)
	}
	x.load(b, s, "products", &lines)
	x.load(b, s, "users", strings.NewReader(
		`{"email":"ana@example.com","password":"password","name":"Ana","wallet":9000000000000}`))
	w := x.one(b, "POST", "/api/auth/sign-in",
		`{"email":"ana@example.com","password":"password","token":true}`)
	_, rest, _ := strings.Cut(w.body.String(), `"token":"`)
	x.token, _, _ = strings.Cut(rest, `"`)
	return x
}

func (x *bench) load(b *testing.B, s *Server, collection string, lines io.Reader) {
	job := s.importing(collection, ident.Subject{Who: ident.System, Name: "bench"})
	res, err := job.Run(b.Context(), lines)
	if err != nil || res.WrongAll > 0 {
		b.Fatal(err, res)
	}
}

func (x *bench) one(b *testing.B, method, target, body string) *kept {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		b.Fatal(err)
	}
	r := &http.Request{Method: method, URL: u, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: "localhost", RemoteAddr: "127.0.0.1:1", RequestURI: target,
		Body: http.NoBody}
	if x.token != "" {
		r.Header.Set("Authorization", "Bearer "+x.token)
	}
	if body != "" {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", fmt.Sprint("key", x.n.Add(1)))
	}
	w := &kept{header: http.Header{}}
	x.ServeHTTP(w, r.WithContext(b.Context()))
	if w.status >= 300 {
		b.Fatalf("%s %s: %d %s", method, target, w.status, w.body.String())
	}
	return w
}

// kept is a ResponseWriter that keeps the answer.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *kept) Header() http.Header         { return w.header }
func (w *kept) WriteHeader(status int)      { w.status = status }
func (w *kept) Write(p []byte) (int, error) { return w.body.Write(p) }

func BenchmarkGet(b *testing.B) {
	x := openBench(b)
	x.token = ""
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.one(b, "GET", "/api/products/"+x.ids[i%len(x.ids)], "")
	}
}

func BenchmarkList(b *testing.B) {
	x := openBench(b)
	x.token = ""
	b.ReportAllocs()
	q := "/api/products?" + url.Values{"filter": {"price <= 900"}, "sort": {"-price"},
		"limit": {"30"}}.Encode()
	for b.Loop() {
		x.one(b, "GET", q, "")
	}
}

// together runs fn from 64 goroutines, so that writes share their flushes.
func together(b *testing.B, fn func(i int)) {
	b.ReportAllocs()
	b.SetParallelism(32)
	var n atomic.Int64
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			fn(int(n.Add(1)))
		}
	})
}

func BenchmarkCreateTogether(b *testing.B) {
	x := openBench(b)
	together(b, func(int) { x.one(b, "POST", "/api/notes", `{"title":"a note"}`) })
}

func BenchmarkCheckoutTogether(b *testing.B) {
	x := openBench(b)
	together(b, func(i int) {
		x.one(b, "POST", "/api/actions/checkout", fmt.Sprintf(
			`{"items":[{"product":%q,"quantity":1}]}`, x.ids[i*7%len(x.ids)]))
	})
}
