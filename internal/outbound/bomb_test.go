package outbound_test

import (
	"bytes"
	"compress/gzip"
)

// bomb is a small body that is large when it is read.
var bomb = func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(make([]byte, 1<<20)) // into memory
	_ = z.Close()
	return b.Bytes()
}()
