package rest

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/transport"
)

// exchange is one request and its answer.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	door *Door
	id   ident.Call
	seen *observe.Call
	// by is who asks by another wire, nil for a request over HTTP.
	by *Caller
	// credential is the session that the request names; byCookie says how.
	credential string
	byCookie   bool
	// wrote reports that the answer's head has been sent.
	wrote bool
	// values holds the values of headers, so that setting one makes no slice.
	values [12]string
	used   int
}

// Values of headers that are always the same.
var (
	typeJSON     = []string{"application/json"}
	typeProblem  = []string{transport.TypeProblem}
	noSniff      = []string{"nosniff"}
	noStore      = []string{"no-store"}
	revalidate   = []string{"private, no-cache"}
	varyCaller   = []string{"Authorization, Cookie, Accept-Encoding"}
	sameOrigin   = []string{"same-origin"}
	yes          = []string{"true"}
	encodingGzip = []string{"gzip"}
	closing      = []string{"close"}
)

func (d *Door) begin(w http.ResponseWriter, r *http.Request) *exchange {
	x := &exchange{w: w, r: r, door: d, id: ident.NewCall()}
	x.seen = d.Observe.Call(string(x.id))
	x.seen.Method, x.seen.Path = r.Method, r.URL.Path
	x.trace()
	h := w.Header()
	x.set("Request-Id", string(x.id))
	h["X-Content-Type-Options"] = noSniff
	if len(r.TransferEncoding) > 0 && r.ProtoMajor == 1 {
		// Whoever stands in front may have seen another end of this request, so that
		// what follows on the connection is nobody's word.
		h["Connection"] = closing
	}
	return x
}

func (d *Door) end(x *exchange) {
	d.Observe.Done(x.seen)
}

// set gives a header one value. The name is in its canonical form.
func (x *exchange) set(name, value string) {
	if x.used == len(x.values) {
		x.w.Header()[name] = []string{value}
		return
	}
	x.values[x.used] = value
	x.w.Header()[name] = x.values[x.used : x.used+1 : x.used+1]
	x.used++
}

// trace continues the caller's trace. What is no traceparent is ignored, as its
// specification asks.
func (x *exchange) trace() {
	text := x.r.Header["Traceparent"]
	if len(text) != 1 || !validTrace(text[0]) {
		return
	}
	x.seen.Trace = text[0][3:35]
	span := strconv.FormatUint(rand.Uint64()|1, 16)
	x.seen.Span = strings.Repeat("0", 16-len(span)) + span
	x.set("Traceparent", "00-"+x.seen.Trace+"-"+x.seen.Span+text[0][52:55])
}

// validTrace knows version 00 of traceparent.
func validTrace(t string) bool {
	if len(t) != 55 || t[:3] != "00-" || t[35] != '-' || t[52] != '-' {
		return false
	}
	for i := 3; i < len(t); i++ {
		c := t[i]
		if i != 35 && i != 52 && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f') {
			return false
		}
	}
	return t[3:35] != strings.Repeat("0", 32) && t[36:52] != strings.Repeat("0", 16)
}

// buffers holds what answers are written into.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// bufferMax is the greatest buffer that is kept for another answer, in bytes.
const bufferMax = 256 << 10

func putBuffer(b *[]byte) {
	if cap(*b) <= bufferMax {
		*b = (*b)[:0]
		buffers.Put(b)
	}
}

// send answers with a status and a JSON body, none if it is empty.
func (x *exchange) send(status int, body []byte) {
	h := x.w.Header()
	if len(body) > 0 && h["Content-Type"] == nil {
		h["Content-Type"] = typeJSON
	}
	x.common(h)
	x.timing()
	x.seen.Status = status
	x.wrote = true
	if zipped, ok := x.zip(body); ok {
		defer putBuffer(zipped)
		body = *zipped
		h["Content-Encoding"] = encodingGzip
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		x.set("Content-Length", strconv.Itoa(len(body)))
	}
	x.w.WriteHeader(status)
	if len(body) > 0 && x.r.Method != http.MethodHead {
		_, _ = x.w.Write(body) // the peer is gone: there is nobody to tell
	}
}

// common sets what every answer below /api has.
func (x *exchange) common(h http.Header) {
	if h["Cache-Control"] == nil {
		h["Cache-Control"] = noStore
	}
	h["Cross-Origin-Resource-Policy"] = sameOrigin
	if len(x.seen.Limits) > 0 {
		x.limits()
	}
}

// limits says how much of each rate is left.
func (x *exchange) limits() {
	var policy, left []byte
	for i, l := range x.seen.Limits {
		if i > 0 {
			policy, left = append(policy, ", "...), append(left, ", "...)
		}
		policy = append(append(append(policy, '"'), l.Name...), `";q=`...)
		policy = strconv.AppendInt(policy, int64(l.Quota), 10)
		policy = strconv.AppendInt(append(policy, ";w="...), seconds(l.Window), 10)
		left = append(append(append(left, '"'), l.Name...), `";r=`...)
		left = strconv.AppendInt(left, int64(max(l.Left, 0)), 10)
		left = strconv.AppendInt(append(left, ";t="...), seconds(l.Reset), 10)
	}
	x.set("Ratelimit-Policy", string(policy))
	x.set("Ratelimit", string(left))
}

// seconds rounds up, so that who waits as long as he is told is let in.
func seconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

// timing tells a developer's browser where the time went.
func (x *exchange) timing() {
	if !x.door.Dev {
		return
	}
	x.seen.End()
	var b []byte
	for _, s := range x.seen.Stages {
		b = append(append(b, s.Name...), ";dur="...)
		b = strconv.AppendFloat(b, float64(s.Took)/1e6, 'f', 3, 64)
		b = append(b, ", "...)
	}
	b = append(b, "total;dur="...)
	b = strconv.AppendFloat(b, float64(time.Since(x.seen.Started))/1e6, 'f', 3, 64)
	x.set("Server-Timing", string(b))
}

// fail answers with the problem that err is.
func (x *exchange) fail(err error) {
	how := `curl -H "Idempotency-Key: $(uuidgen)" …`
	if x.by != nil {
		how = `"key":"…" beside "path".`
	}
	f := transport.Keyed(fault.From(err), how)
	x.problem(x.door.Words().Problem(f, x.id))
	if f.Kind == fault.Internal && x.seen.Cause == nil {
		x.seen.Cause = f.Cause
	}
}

func (x *exchange) problem(p transport.Problem) {
	h, f := x.w.Header(), p.Fault
	h["Content-Type"] = typeProblem
	h["Cache-Control"] = noStore
	if x.seen.Code == "" {
		x.seen.Code = f.CodeOr()
	}
	if f.At.Parameter != "" {
		x.seen.Found("the parameter " + f.At.Parameter + ", column " + strconv.Itoa(f.At.Column))
	}
	for _, i := range f.Items {
		x.seen.Found(i.Pointer + " " + i.Detail)
	}
	switch {
	case f.RetryAfter > 0:
		x.set("Retry-After", strconv.Itoa(f.RetryAfter))
	case f.Kind == fault.Conflict && f.CodeOr() == fault.Conflict.Code():
		x.set("Retry-After", "1")
	}
	switch f.Kind {
	case fault.Unauthenticated:
		x.set("Www-Authenticate", "Bearer")
	case fault.Exhausted:
		for _, l := range x.seen.Limits {
			if l.Over {
				p.Policies = append(p.Policies, l.Name)
			}
		}
	}
	if x.door.Broken != nil {
		p.Broken = x.door.Broken()
	}
	b := buffers.Get().(*[]byte)
	defer putBuffer(b)
	*b = p.Append((*b)[:0])
	x.send(p.Status, x.door.Mask.Bytes(*b))
}
