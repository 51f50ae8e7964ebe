package rest

import (
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/transport"
)

// call reads what every call has: who asks, from where, under which key.
func (x *exchange) call() (engine.Call, error) {
	call := engine.Call{ID: x.id, Door: x.wire(), Seen: x.seen, Request: engine.Request{
		IP: peer(x.r.RemoteAddr), Method: x.r.Method,
		Origin: first(x.r.Header["Origin"]), UserAgent: first(x.r.Header["User-Agent"]),
	}}
	var err error
	if call.Key, err = key(x.r.Header["Idempotency-Key"]); err != nil {
		return call, err
	}
	if err := x.credentials(); err != nil {
		return call, err
	}
	call.Credential = x.credential
	if x.door.Identify != nil {
		return call, x.door.Identify(x.r, &call)
	}
	return call, nil
}

// peer is the address of the peer itself. What headers say of other addresses is
// believed of nobody.
func peer(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return ""
	}
	return host
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

// keyMax is the greatest length of an idempotency key.
const keyMax = 255

// key reads an Idempotency-Key, bare or quoted as the IETF's draft has it.
func key(values []string) (string, error) {
	if len(values) == 0 {
		return "", nil
	}
	k := values[0]
	if n := len(k); n >= 2 && k[0] == '"' && k[n-1] == '"' {
		k = k[1 : n-1]
	}
	bad := len(values) > 1 || k == "" || len(k) > keyMax
	for i := 0; i < len(k) && !bad; i++ {
		bad = k[i] <= ' ' || k[i] > '~' || k[i] == '"' || k[i] == '\\'
	}
	if bad {
		return "", fault.New(fault.Malformed,
			"An Idempotency-Key is 1 to %d visible ASCII characters, given once.", keyMax)
	}
	return k, nil
}

// credentials finds the session that the request names.
func (x *exchange) credentials() error {
	if x.by != nil {
		x.credential = x.by.Credential
		return nil
	}
	switch values := x.r.Header["Authorization"]; len(values) {
	case 0:
	case 1:
		scheme, token, _ := strings.Cut(values[0], " ")
		token = strings.TrimLeft(token, " ")
		if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > tokenMax {
			return fault.New(fault.Unauthenticated, "Authorization takes Bearer and a token.")
		}
		x.credential = token
		return nil
	default:
		return fault.New(fault.Malformed, "There is more than one Authorization header.")
	}
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		if err := x.sameOrigin(); err != nil {
			return err
		}
	}
	x.credential = x.cookie()
	x.byCookie = x.credential != ""
	return nil
}

// tokenMax bounds a session token, in bytes.
const tokenMax = 512

// version reads If-Match: one strong entity tag, or * for any.
func version(values []string) (int64, error) {
	if len(values) == 0 || len(values) == 1 && values[0] == "*" {
		return 0, nil
	}
	tag := values[0]
	if n := len(tag); len(values) == 1 && n > 2 && tag[0] == '"' && tag[n-1] == '"' {
		if v, ok := transport.ParseVersion(tag[1 : n-1]); ok {
			return v, nil
		}
	}
	return 0, fault.New(fault.Malformed, `If-Match takes the version that was read, as in "7".`)
}

// matches reports whether If-None-Match names the version, weakly compared.
func matches(values []string, tag string) bool {
	for _, list := range values {
		for t := range strings.SplitSeq(list, ",") {
			t = strings.TrimPrefix(strings.Trim(t, " \t"), "W/")
			if t == tag || t == "*" {
				return true
			}
		}
	}
	return false
}

// params reads the query. Each parameter stands in it once.
func params(r *http.Request) (url.Values, error) {
	if r.URL.RawQuery == "" {
		return nil, nil
	}
	if len(r.URL.RawQuery) > QueryMax {
		return nil, fault.New(fault.TooLarge, "The query is larger than %d bytes.", QueryMax)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Malformed, "The query is not URL-encoded as it should be.")
	}
	if len(values) > ParamsMax {
		return nil, fault.New(fault.Malformed, "There are more than %d parameters.", ParamsMax)
	}
	for name, v := range values {
		f := fault.New(fault.Malformed, "")
		f.At.Parameter = cut(name)
		switch {
		case len(v) > 1:
			f.Message = "This parameter stands there more than once."
		case !utf8.ValidString(name) || !utf8.ValidString(v[0]):
			f.Message, f.At.Parameter = "A parameter is not UTF-8.", ""
		case strings.IndexByte(v[0], 0) >= 0 || strings.IndexByte(name, 0) >= 0:
			f.Message = "A parameter holds a NUL."
		default:
			continue
		}
		return nil, f
	}
	return values, nil
}

// cut shortens what a caller sent before it is shown to him.
func cut(text string) string {
	const max = 48
	if len(text) <= max {
		return text
	}
	end := max
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// noParams refuses a query where none is known.
func noParams(r *http.Request) error {
	values, err := params(r)
	if err != nil {
		return err
	}
	for name := range values {
		f := fault.New(fault.Malformed, "There are no parameters here: this address knows none.")
		f.At.Parameter = cut(name)
		return f
	}
	return nil
}

// hasBody reports whether the request has a body, or says that it might.
func hasBody(r *http.Request) bool { return r.ContentLength != 0 }

// noBody refuses a body where none is taken.
func noBody(r *http.Request) error {
	if hasBody(r) {
		return fault.New(fault.Malformed, "%s takes no body here.", cut(r.Method))
	}
	return nil
}

// body reads the body, which must be JSON by its type. It is nil only if there was
// neither a body nor a word of one.
func (x *exchange) body(patch bool) ([]byte, error) {
	if err := contentType(x.r, patch); err != nil {
		return nil, err
	}
	most := x.door.BodyMax
	if x.r.ContentLength > most {
		x.w.Header()["Connection"] = closing // the rest is not read
		return nil, tooLarge(most)
	}
	if x.r.ContentLength == 0 {
		if x.r.Header["Content-Type"] == nil {
			return nil, nil
		}
		return nil, fault.New(fault.Malformed, "The body is empty, which is no JSON.")
	}
	text, err := read(http.MaxBytesReader(x.w, x.r.Body, most), x.r.ContentLength)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge(most)
	case err != nil:
		return nil, fault.Wrap(fault.Malformed, err, "The body ended before it was whole.")
	case len(text) == 0:
		return nil, fault.New(fault.Malformed, "The body is empty, which is no JSON.")
	}
	return text, nil
}

func tooLarge(most int64) error {
	return fault.New(fault.TooLarge, "The body is larger than %d bytes.", most)
}

// read reads all of a body whose length is known, or -1.
func read(body io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(body)
	}
	text := make([]byte, length)
	_, err := io.ReadFull(body, text)
	return text, err
}

// contentType refuses what is not JSON in UTF-8, as it is.
func contentType(r *http.Request, patch bool) error {
	if e := r.Header["Content-Encoding"]; len(e) > 1 || len(e) == 1 && e[0] != "identity" {
		return fault.New(fault.Unsupported, "A body cannot be compressed.")
	}
	types := r.Header["Content-Type"]
	if len(types) == 1 && types[0] == "application/json" || len(types) == 0 && !hasBody(r) {
		return nil
	}
	wanted := "application/json"
	if patch {
		wanted = "application/merge-patch+json or application/json"
	}
	refused := fault.New(fault.Unsupported, "The content type must be %s.", wanted)
	if len(types) != 1 {
		return refused
	}
	kind, params, err := mime.ParseMediaType(types[0])
	if err != nil || kind != "application/json" && !(patch &&
		kind == "application/merge-patch+json") {
		return refused
	}
	for name, v := range params {
		if name != "charset" || !strings.EqualFold(v, "utf-8") {
			return refused
		}
	}
	return nil
}
