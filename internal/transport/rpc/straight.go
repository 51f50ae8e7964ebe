package rpc

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net/http"
	"strconv"
	"time"

	"connectrpc.com/connect"

	"github.com/galleybackend/galley/internal/engine"
)

// straight answers the commonest calls in fewer steps: gRPC, one message of protobuf in,
// one out, neither compressed. All others, and all that is not as it should be, it leaves
// to the library, as if it had not looked.
type straight struct {
	method *method
	next   http.Handler
	errors *connect.ErrorWriter
}

// newStraight puts the short way before a handler. Answers that may be long are worth
// being compressed, which the library does.
func newStraight(m *method, next http.Handler) http.Handler {
	if m.verb == engine.List || m.verb == engine.Aggregate {
		return next
	}
	return &straight{m, next, connect.NewErrorWriter()}
}

// prefix is the size of what stands before a message: whether it is compressed, and its
// length.
const prefix = 5

// ServeHTTP implements http.Handler.
func (s *straight) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.serve(w, r, exchangeOf(r.Context()))
}

// serve is ServeHTTP for who has the exchange at hand.
func (s *straight) serve(w http.ResponseWriter, r *http.Request, x *exchange) {
	kind := r.Header["Content-Type"]
	if r.ProtoMajor < 2 || len(kind) != 1 ||
		kind[0] != "application/grpc" && kind[0] != "application/grpc+proto" ||
		len(r.Header["Grpc-Encoding"]) > 0 {
		s.next.ServeHTTP(w, x.within(r))
		return
	}
	ctx, timed := r.Context(), true
	if limit := r.Header["Grpc-Timeout"]; len(limit) > 0 {
		var d time.Duration
		if d, timed = timeout(limit[0]); timed {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, d)
			defer cancel()
		}
	}
	text, whole := readAll(r.Body)
	if !timed || !whole || text[0] != 0 || int(binary.BigEndian.Uint32(text[1:])) != len(text)-prefix {
		r.Body = again{io.MultiReader(bytes.NewReader(text), r.Body), r.Body}
		s.next.ServeHTTP(w, x.within(r))
		return
	}
	s.answer(ctx, w, r, x, &message{data: text[prefix:]})
}

// again is a body that was begun to be read.
type again struct {
	io.Reader
	io.Closer
}

// readAll reads a body, and reports whether it has room for a message and is no larger
// than one may be.
func readAll(body io.Reader) ([]byte, bool) {
	text := make([]byte, 0, 256)
	for {
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		switch {
		case err == io.EOF:
			return text, len(text) >= prefix
		case err != nil || len(text) > prefix+MessageMax:
			return text, false
		}
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
	}
}

// timeout reads the deadline of gRPC: at most eight digits, and a unit.
func timeout(text string) (time.Duration, bool) {
	if len(text) < 2 || len(text) > 9 {
		return 0, false
	}
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 32)
	unit, ok := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second,
		'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}[text[len(text)-1]]
	if err != nil || !ok || text[0] == '+' {
		return 0, false
	}
	return time.Duration(n) * unit, n <= uint64(1<<62/unit)
}

var (
	statusOK    = []string{"0"}
	takesGzip   = []string{"gzip"}
	statusAfter = http.TrailerPrefix + "Grpc-Status"
	// browsers are the headers that are meant for them, who do not speak this.
	browsers = [...]string{"Cache-Control", "Cross-Origin-Resource-Policy", "X-Content-Type-Options"}
)

// answer asks, and writes the answer or the problem.
func (s *straight) answer(ctx context.Context, w http.ResponseWriter, r *http.Request, x *exchange,
	in *message) {
	var out []byte
	err := ctx.Err()
	if err == nil {
		s.method.door.crew.run(func() {
			err = s.method.guard(x, func() (err error) {
				out, err = s.method.ask(ctx, x, in, make([]byte, prefix, 512))
				return err
			})
		})
	} else {
		err = s.method.door.over(ctx)
	}
	if err != nil {
		// The peer may be gone: there is nobody to tell.
		_ = s.errors.Write(w, r, s.method.door.problem(x, err))
		return
	}
	x.status = http.StatusOK
	binary.BigEndian.PutUint32(out[1:], uint32(len(out)-prefix))
	h := w.Header()
	for _, name := range browsers {
		delete(h, name)
	}
	h["Content-Type"], h["Grpc-Accept-Encoding"] = r.Header["Content-Type"], takesGzip
	h[statusAfter] = statusOK
	_, _ = w.Write(out) // as above
}
