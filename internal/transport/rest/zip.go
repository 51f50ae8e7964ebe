package rest

import (
	"compress/gzip"
	"net/http"
	"sync"

	"github.com/galleybackend/galley/internal/transport"
)

// zipMin is the least size of an answer worth compressing, in bytes: below it the
// work costs more than the wire.
const zipMin = 16 << 10

// zippers holds writers, which are costly to make.
var zippers = sync.Pool{New: func() any {
	z, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level exists
	return z
}}

// zip compresses a large body for a caller who takes it so.
func (x *exchange) zip(body []byte) (*[]byte, bool) {
	if len(body) < zipMin || x.r.Method == http.MethodHead ||
		!transport.TakesGzip(x.r.Header["Accept-Encoding"]) {
		return nil, false
	}
	out := sliceWriter{buffers.Get().(*[]byte)}
	*out.b = (*out.b)[:0]
	z := zippers.Get().(*gzip.Writer)
	defer zippers.Put(z)
	z.Reset(out)
	if _, err := z.Write(body); err != nil || z.Close() != nil {
		putBuffer(out.b)
		return nil, false
	}
	return out.b, true
}

// sliceWriter appends to a slice.
type sliceWriter struct{ b *[]byte }

// Write appends p and never fails.
func (w sliceWriter) Write(p []byte) (int, error) {
	*w.b = append(*w.b, p...)
	return len(p), nil
}
