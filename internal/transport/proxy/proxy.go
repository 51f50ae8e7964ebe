// Package proxy asks other servers on behalf of callers, as the app file's proxies say.
// It promises that nothing but the listed routes of the one host is asked for; that the
// app's secrets, which it adds, are in no answer, error or log; that of a request and of
// an answer only known headers are passed on; and that time, size and number are
// bounded. A server that fails again and again is left alone for a while. Who may ask is
// decided by the engine, which addresses can be reached by outbound.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/cache"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
)

// The bounds of proxies.
const (
	// Timeout is how long the other side may take, unless the proxy says another time;
	// timeoutMost is the longest that one may say.
	Timeout     = 10 * time.Second
	timeoutMost = 30 * time.Second
	// AnswerMax is the greatest size of an answer, in bytes.
	AnswerMax = 4 << 20
	// askedMax is how many requests of one proxy may be under way at a node.
	askedMax = 64
	// cacheSize is the memory for answers that are kept, of all proxies of a node.
	cacheSize = 32 << 20
	// queryMax bounds the query, in bytes, pathMax and segmentMax the path.
	queryMax   = 8 << 10
	pathMax    = 2 << 10
	segmentMax = 255
	// retryMost bounds the wait that the other side may ask for, in seconds.
	retryMost = 3600
)

// Config is what a Door needs.
type Config struct {
	// App returns the app in force.
	App func() *app.App
	// Admit decides who may ask.
	Admit func(context.Context, engine.Call) (*engine.Admission, error)
	// Wall is the way out.
	Wall *outbound.Wall
	// Secret returns the value of a secret of the app, "" where there is none.
	Secret func(name string) string
	// Mask knows the secrets that no answer may hold.
	Mask *observe.Mask
	// Log hears of what went wrong with another server; nil means nobody.
	Log *slog.Logger
	// Now tells the time; nil means the machine's clock.
	Now func() time.Time
	// Count counts what came of each request, by the proxy and its outcome; nil counts
	// nothing.
	Count func(operation, outcome string)
}

// Door asks other servers. It is safe for concurrent use.
type Door struct {
	Config
	kept *cache.Cache[*transport.Raw]

	mu      sync.Mutex
	targets map[string]*target
}

// target is a proxy with what is known of the server behind it.
type target struct {
	proxy   *app.Proxy
	base    string
	headers []spec.Header // with the secrets in them
	missing string        // the first secret without a value
	client  *http.Client
	circuit circuit
	places  chan struct{}
}

// New returns a door.
func New(c Config) *Door {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Count == nil {
		c.Count = func(string, string) {}
	}
	return &Door{Config: c, targets: map[string]*target{},
		kept: cache.New[*transport.Raw](cacheSize, timeoutMost, c.Now)}
}

// Close ends what is asked for the cache.
func (d *Door) Close() { d.kept.Close() }

// Ask passes a request on to the server of the proxy that is the call's Target, if the
// caller may, and returns its answer. An error is a *fault.Fault; that of a server that
// cannot be asked is proxy_failed or timeout.
func (d *Door) Ask(ctx context.Context, call engine.Call, p transport.Passed) (
	transport.Raw, error) {
	t := d.target(call.Target)
	if t == nil {
		return transport.Raw{}, errNowhere()
	}
	method := call.Request.Method
	segments, ok := listed(t.proxy.Spec, method, p.Path)
	if !ok {
		return transport.Raw{}, errNowhere()
	}
	if method == http.MethodGet && len(p.Body) > 0 {
		return transport.Raw{}, fault.New(fault.Malformed, "GET takes no body here.")
	}
	query, err := cleanQuery(p.Query)
	if err != nil {
		return transport.Raw{}, err
	}
	call.Verb = engine.Proxy
	admission, err := d.Admit(ctx, call)
	if err != nil {
		return transport.Raw{}, err
	}
	defer admission.End()
	call.Seen.Begin("outside")
	ask := request{method: method, path: escaped(segments), query: query, header: p.Header,
		body: p.Body, trace: trace(call.Seen)}
	answer, how, err := d.answer(ctx, t, ask)
	note(call.Seen, t, ask, answer, how, err)
	d.count(t, how, err)
	if err != nil {
		return transport.Raw{}, err
	}
	return conditional(p.Header, method, answer), nil
}

// count tells what came of a request: how the answer was come by, or why there is none.
func (d *Door) count(t *target, how string, err error) {
	switch {
	case err != nil:
		how = fault.From(err).CodeOr()
	case how == "":
		how = "asked"
	}
	d.Count("proxies."+t.proxy.Name, how)
}

// errNowhere is the answer for what is not listed: that a server has more than that is
// nobody's business.
func errNowhere() error { return fault.New(fault.NotFound, "There is nothing at this address.") }

// target returns what is behind a proxy of the app in force, nil if there is no such
// proxy.
func (d *Door) target(name string) *target {
	p := d.App().Proxy(name)
	if p == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.targets[name]
	if t != nil && t.proxy == p {
		return t
	}
	if t != nil {
		d.kept.Drop(name + " ") // another app may mean another server by the name
	}
	t = d.newTarget(p)
	d.targets[name] = t
	return t
}

func (d *Door) newTarget(p *app.Proxy) *target {
	t := &target{proxy: p, base: p.Spec.URL, places: make(chan struct{}, askedMax)}
	for _, h := range p.Spec.Headers {
		text, _ := spec.Expand(h.Value, func(name string) string {
			v := d.Secret(name)
			if v == "" && t.missing == "" {
				t.missing = name
			}
			return v
		})
		t.headers = append(t.headers, spec.Header{Name: h.Name, Value: text})
	}
	reach := outbound.Reach{Hosts: []string{hostOf(t.base)}, Timeout: p.Spec.Timeout,
		BodyMax: AnswerMax}
	if reach.Timeout == 0 {
		reach.Timeout = Timeout
	}
	t.client = d.Wall.Client(reach)
	return t
}

// hostOf returns the host and port of a URL that was read by the app file.
func hostOf(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		return "" // no host is that, so none is asked
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// request is what is asked of the other side.
type request struct {
	method, path, query, trace string
	header                     http.Header
	body                       []byte
}

// answer returns what the other side says, or said.
func (d *Door) answer(ctx context.Context, t *target, r request) (*transport.Raw, string, error) {
	age := t.proxy.Spec.Cache
	if age == 0 || r.method != http.MethodGet {
		raw, err := d.fetch(ctx, t, r)
		return raw, "", err
	}
	// What is kept is for everybody, so that nothing of one caller may form it.
	r.header, r.body = nil, nil
	key := t.proxy.Name + " " + r.path + "?" + r.query
	a, how, err := d.kept.Get(ctx, key, func(ctx context.Context) (
		cache.Answer[*transport.Raw], error) {
		raw, err := d.fetch(ctx, t, r)
		if err != nil {
			// Perhaps nobody waits for it, because all have the old one.
			d.Log.Warn("an answer could not be fetched to be kept", "proxy", t.proxy.Name,
				"path", r.path, "cause", err)
			return cache.Answer[*transport.Raw]{}, err
		}
		out := cache.Answer[*transport.Raw]{Value: raw, Size: int64(len(raw.Body)) + 1<<10}
		if raw.Status == http.StatusOK && keepable(raw.Header) {
			out.Fresh, out.Stale = age, age
		}
		return out, nil
	})
	switch {
	case err == nil && a.Fresh == 0 && how == cache.Joined:
		// It was somebody else's alone.
		raw, err := d.fetch(ctx, t, r)
		return raw, cache.Miss, err
	case err != nil && ctx.Err() != nil:
		err = fault.Wrap(fault.Timeout, err, "The other side took too long.")
	case err == nil && a.Fresh > 0:
		raw := *a.Value
		raw.Header = raw.Header.Clone()
		old := d.Now().Sub(a.Made)
		raw.Header.Set("Age", strconv.FormatInt(int64(old/time.Second), 10))
		raw.Header.Set("Cache-Control", fmt.Sprintf("private, max-age=%d",
			int64(max(0, a.Fresh-old)/time.Second)))
		return &raw, how, nil
	}
	return a.Value, how, err
}

// keepable reports whether the other side lets its answer be kept for everybody.
func keepable(h http.Header) bool {
	control := strings.ToLower(strings.Join(h["Cache-Control"], ","))
	h.Del("Cache-Control") // what callers may keep, we say
	for word := range strings.SplitSeq(control, ",") {
		word, _, _ = strings.Cut(strings.TrimSpace(word), "=")
		if word == "no-store" || word == "private" {
			return false
		}
	}
	return true
}

// fetch asks the other side.
func (d *Door) fetch(ctx context.Context, t *target, r request) (*transport.Raw, error) {
	if t.missing != "" {
		return nil, fault.Wrap(fault.Unavailable, fmt.Errorf("the secret %s has no value", t.missing),
			"This cannot be asked for now.")
	}
	select {
	case t.places <- struct{}{}:
		defer func() { <-t.places }()
	default:
		f := fault.New(fault.Unavailable, "More than %d requests are under way there.", askedMax)
		f.RetryAfter = 1
		return nil, f
	}
	if wait, ok := t.circuit.enter(d.Now()); !ok {
		f := fault.New(fault.Upstream, "The other side failed %d times in a row and is left alone "+
			"for a while.", failuresMax)
		f.RetryAfter = seconds(wait)
		return nil, f
	}
	raw, err := d.send(ctx, t, r)
	switch {
	case err == nil || errors.Is(err, errOurs):
		t.circuit.leave(d.Now(), worked)
	case errors.Is(ctx.Err(), context.Canceled):
		t.circuit.leave(d.Now(), unknown) // who asked is gone; that says nothing of them
	default:
		t.circuit.leave(d.Now(), failed)
	}
	if err != nil {
		return nil, d.failed(t, err)
	}
	return raw, nil
}

// failed makes a fault of an error. It says nothing of addresses, and its cause goes
// through the mask.
func (d *Door) failed(t *target, err error) error {
	var f *fault.Fault
	var u *url.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.As(err, &u):
		err = u.Err
	}
	err = d.Mask.Error(fmt.Errorf("proxy %s: %w", t.proxy.Name, err))
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		return fault.Wrap(fault.Timeout, err, "The other side took too long.")
	}
	return fault.Wrap(fault.Upstream, err, "The other side did not answer as it should.")
}

// errOurs marks an answer that cannot be passed on although the other side works.
var errOurs = errors.New("the answer is not passed on")

// send makes one request and reads its answer whole.
func (d *Door) send(ctx context.Context, t *target, r request) (*transport.Raw, error) {
	address := t.base + r.path
	if r.query != "" {
		address += "?" + r.query
	}
	req, err := http.NewRequestWithContext(ctx, r.method, address, body(r))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errOurs, err)
	}
	copyHeaders(req.Header, r.header, passedOn)
	if r.trace != "" {
		req.Header.Set("Traceparent", r.trace)
	}
	for _, h := range t.headers {
		req.Header.Set(h.Name, h.Value)
	}
	res, err := t.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if err := refused(res, r); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	raw := &transport.Raw{Status: res.StatusCode, Header: http.Header{}, Body: text}
	copyHeaders(raw.Header, res.Header, passedBack)
	if t.proxy.Spec.Cache > 0 {
		// What is said in several lines is said.
		control := strings.Join(res.Header["Cache-Control"], ",")
		if res.Header.Get("Set-Cookie") != "" ||
			strings.Contains(strings.Join(res.Header["Vary"], ","), "*") {
			control = "private"
		}
		if control != "" {
			raw.Header.Set("Cache-Control", control)
		}
	}
	if raw.Header.Get("Content-Type") == "" {
		raw.Header.Set("Content-Type", "application/octet-stream")
	}
	// It is shown under our own name, so that nothing in it may act as a page of ours.
	raw.Header.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	if d.echoes(raw) {
		d.Log.Error("an answer held a secret and was not passed on", "proxy", t.proxy.Name)
		return nil, fmt.Errorf("%w: it holds a secret of the app", errOurs)
	}
	return raw, nil
}

// echoes reports whether an answer holds a secret.
func (d *Door) echoes(raw *transport.Raw) bool {
	if d.Mask.Holds(raw.Body) {
		return true
	}
	for _, values := range raw.Header {
		for _, v := range values {
			if d.Mask.Holds([]byte(v)) {
				return true
			}
		}
	}
	return false
}

// refused returns why an answer is not one to pass on: it leads elsewhere, blames our
// own credentials, or tells of a failure.
func refused(res *http.Response, r request) error {
	asked := r.header.Get("If-None-Match") != "" || r.header.Get("If-Modified-Since") != ""
	switch s := res.StatusCode; {
	case s >= 500:
		f := fault.Wrap(fault.Upstream, fmt.Errorf("it answered %d", s),
			"The other side did not answer as it should.")
		if n, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && n > 0 {
			f.RetryAfter = min(n, retryMost)
		}
		return f
	case s == http.StatusNotModified && asked:
		return nil
	case s >= 300 && s < 400:
		return fmt.Errorf("%w: it answered %d, and redirects are not followed", errOurs, s)
	case s == http.StatusUnauthorized || s == http.StatusProxyAuthRequired:
		return fmt.Errorf("%w: it answered %d to our credentials", errOurs, s)
	}
	return nil
}

func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
