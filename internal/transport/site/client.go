package site

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/galleybackend/galley/internal/sdk"
	"github.com/galleybackend/galley/internal/transport"
)

// client holds the files of the house itself: the client of TypeScript and its types. No
// file of an app stands in their place.
type client map[string]asset

// asset is a file that never changes, compressed once.
type asset struct {
	kind, tag    string
	body, zipped []byte
}

func newClient() client {
	return client{
		"/galley.js":   newAsset("text/javascript; charset=utf-8", sdk.Script()),
		"/galley.d.ts": newAsset("text/plain; charset=utf-8", sdk.Types()),
	}
}

func newAsset(kind string, body []byte) asset {
	sum := sha256.Sum256(body)
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is one of the library's own
	}
	_, _ = z.Write(body) // a buffer takes all
	_ = z.Close()
	return asset{kind: kind, tag: hex.EncodeToString(sum[:12]), body: body, zipped: b.Bytes()}
}

// serve answers with the file, or, to who has it, that it is the same.
func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("Vary", "Accept-Encoding")
	body, tag := a.body, a.tag
	if r.Header.Get("Range") == "" && transport.TakesGzip(r.Header["Accept-Encoding"]) {
		h.Set("Content-Encoding", "gzip")
		body, tag = a.zipped, tag+"-gzip"
	}
	h.Set("Etag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
