// Package rest is the door for HTTP and JSON: it reads a request into a call, asks the
// engine, and writes the answer. It promises that every answer has a Request-Id and
// every refusal is a problem, that nothing is read beyond a bound, and that each
// address and each body has one meaning. What a call means is left to the engine.
//
// A caller is known by a session, as a cookie or as a bearer token. A cookie is sent
// by browsers unasked, so a write that has only a cookie, or nothing, must come from
// the same origin; a bearer token is never sent unasked and needs no such proof.
// Where both are given, the bearer token counts.
package rest

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
)

// The bounds of this door.
const (
	// BodyMax is the greatest size of a body, in bytes, unless Config says another.
	BodyMax = 1 << 20
	// HeaderMax is the greatest size of a request's head, in bytes.
	HeaderMax = 16 << 10
	// QueryMax is the greatest size of a query, in bytes, ParamsMax the greatest
	// number of its parameters.
	QueryMax  = 8 << 10
	ParamsMax = 64
	// StreamsMax is how many requests one connection of HTTP/2 may have at once.
	StreamsMax = 100
	// HealthTime is how long it may take to find out whether the service can be given.
	// How long a call may take, the engine says.
	HealthTime = 15 * time.Second
	// HeaderTime, BodyTime, AnswerTime and IdleTime are how long a peer may take to
	// send a head, to send a whole request, to take the answer, and to say nothing.
	HeaderTime = 5 * time.Second
	BodyTime   = 30 * time.Second
	AnswerTime = 60 * time.Second
	IdleTime   = 2 * time.Minute
)

// Config is what a Door needs beside the engine.
type Config struct {
	// Engine answers the calls.
	Engine transport.Engine
	// Spec returns the app file in force; it is asked at each use, so that a reload
	// needs no word to the door. Nil means that there is none.
	Spec func() *spec.Spec
	// Observe sees every request; nil sees none.
	Observe *observe.Observer
	// Site serves what is not below /api; nil has nothing there.
	Site http.Handler
	// Health says whether the service can be given; nil means always.
	Health func(context.Context) error
	// Dev adds Server-Timing and the documents, and answers only to hosts that no
	// other page can name: localhost and IP addresses.
	Dev bool
	// Broken tells what is wrong with the app as it was last saved, while the one
	// before it is served, and "" where nothing is. Problems tell it on. Nil knows of
	// nothing.
	Broken func() string
	// Docs serves /api/openapi.json outside of dev as well.
	Docs bool
	// Identify, where set, says who asks in place of the credential. Only a door
	// that no network reaches has it.
	Identify func(*http.Request, *engine.Call) error
	// Unrouted leaves the app's own URLs out, so that its records are where they always
	// are.
	Unrouted bool
	// Proxy answers what is below /api/proxy/; nil has nothing there.
	Proxy Pass
	// Hook takes the signed calls below /hooks/; nil has nothing there.
	Hook Pass
	// Socket takes the requests that become sockets and Events those that become streams of
	// events; nil has neither.
	Socket, Events Stream
	// At writes the place of a commit as callers know it, for the header Galley-At; nil
	// tells none.
	At func(journal.Seq) string
	// Mask hides secrets in problems; nil hides nothing.
	Mask *observe.Mask
	// BodyMax bounds a body, in bytes; 0 means BodyMax.
	BodyMax int64
}

// Door answers HTTP requests. It is safe for concurrent use.
type Door struct {
	Config
	origin *http.CrossOriginProtection
	words  atomic.Pointer[wordsOf]
	doc    atomic.Pointer[docOf]
	live   atomic.Pointer[docOf]
	own    atomic.Pointer[routesOf]
}

// wordsOf and docOf are what was made of an app file, kept as long as it is in force.
type wordsOf struct {
	spec  *spec.Spec
	words *transport.Words
}

type docOf struct {
	spec *spec.Spec
	text []byte
}

// New returns a door.
func New(c Config) *Door {
	if c.BodyMax == 0 {
		c.BodyMax = BodyMax
	}
	return &Door{Config: c, origin: http.NewCrossOriginProtection()}
}

// Server returns a server for the handler with the bounds of this package. Its
// address and its listener are the caller's.
func Server(h http.Handler) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true) // which gRPC speaks where there is no TLS
	return &http.Server{
		Handler: h, MaxHeaderBytes: HeaderMax,
		Protocols: &protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: StreamsMax},
		ReadHeaderTimeout: HeaderTime, ReadTimeout: BodyTime,
		WriteTimeout: AnswerTime, IdleTimeout: IdleTime,
	}
}

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.serve(w, r, nil) }

func (d *Door) serve(w http.ResponseWriter, r *http.Request, by *Caller) {
	x := d.begin(w, r)
	if x.by = by; by != nil {
		x.seen.Door, _, _ = strings.Cut(by.Door, "/")
	}
	defer d.end(x)
	defer d.recover(x)
	path := r.URL.Path
	rest, ok := strings.CutPrefix(path, "/api/")
	switch {
	case d.Dev && !homely(r.Host):
		x.fail(fault.New(fault.Denied, "In dev only localhost and IP addresses are answered to, "+
			"so that no page of another name can come in through this machine."))
	case d.routed(x):
	case by == nil && d.Hook != nil && plainTarget(r) && strings.HasPrefix(path, "/hooks/") &&
		len(d.spec().Webhooks) > 0:
		d.hook(x, strings.TrimPrefix(path, "/hooks/"))
	case ok && plainTarget(r) && d.Proxy != nil && strings.HasPrefix(rest, "proxy/"):
		d.proxy(x, strings.TrimPrefix(rest, "proxy/"))
	case ok && plainTarget(r):
		d.api(x, transport.ParseRoute(rest))
	case ok || path == "/api":
		x.fail(fault.New(fault.NotFound, "There is nothing at this address."))
	case by == nil && d.Site != nil:
		d.site(x)
	default:
		x.fail(fault.New(fault.NotFound, "There is nothing at this address."))
	}
}

// plainTarget reports whether the path was sent as it reads: escapes that mean the
// same would be a second spelling of an address.
func plainTarget(r *http.Request) bool {
	return r.URL.RawPath == "" && r.URL.Fragment == ""
}

// recover turns a panic into an internal fault, which only its request hears of.
func (d *Door) recover(x *exchange) {
	cause := recover()
	if cause == nil {
		return
	}
	if cause == http.ErrAbortHandler {
		panic(cause)
	}
	err := fmt.Errorf("panic: %v\n%s", cause, debug.Stack())
	if x.wrote {
		x.seen.Cause = err
		panic(http.ErrAbortHandler) // the answer has begun: the peer must see that it broke
	}
	x.fail(fault.Wrap(fault.Internal, err, "Something went wrong on our side."))
}

// Words returns the codes of the app in force.
func (d *Door) Words() *transport.Words {
	sp := d.spec()
	if at := d.words.Load(); at != nil && at.spec == sp {
		return at.words
	}
	at := &wordsOf{sp, transport.NewWords(sp)}
	d.words.Store(at)
	return at.words
}

func (d *Door) spec() *spec.Spec {
	if d.Spec == nil {
		return nil
	}
	return d.Spec()
}

// openAPI returns the document of the app in force.
func (d *Door) openAPI() []byte {
	sp := d.spec()
	if at := d.doc.Load(); at != nil && at.spec == sp {
		return at.text
	}
	at := &docOf{sp, codegen.OpenAPI(sp)}
	d.doc.Store(at)
	return at.text
}

// asyncAPI returns the document of what may be followed.
func (d *Door) asyncAPI() []byte {
	sp := d.spec()
	if at := d.live.Load(); at != nil && at.spec == sp {
		return at.text
	}
	at := &docOf{sp, codegen.AsyncAPI(sp)}
	d.live.Store(at)
	return at.text
}
