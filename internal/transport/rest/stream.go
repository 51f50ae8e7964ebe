package rest

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/journal"
)

// Stream takes over a request that goes on. The call says who asks and from where. An
// error means that nothing has been answered yet; else status is what was.
type Stream func(w http.ResponseWriter, r *http.Request, call engine.Call) (status int, err error)

// stream hands the request to what answers it for long. A browser sends its cookie to
// sockets unasked, and what a socket says is not hidden from other pages as the answers
// of requests are, so the origin is looked at as for a write.
func (d *Door) stream(x *exchange, to Stream) error {
	if to == nil {
		return fault.New(fault.NotFound, "There is nothing at this address.")
	}
	switch {
	case x.by != nil:
		return fault.New(fault.Malformed, "A socket cannot be opened in a socket.")
	case x.r.Method == http.MethodHead:
		return fault.New(fault.Malformed, "What goes on has no HEAD.")
	}
	if len(x.r.Header["Authorization"]) == 0 && !x.fromHere() {
		return fault.New(fault.Denied,
			"A page of another origin cannot listen here: it would hear what is yours.")
	}
	call, err := x.call()
	if err != nil {
		return err
	}
	if err := noBody(x.r); err != nil {
		return err
	}
	x.common(x.w.Header())
	status, err := to(x.w, x.r, call)
	if err == nil {
		x.wrote, x.seen.Status = true, status
	}
	return err
}

// fromHere reports whether a request comes from a page of this host, or from no page:
// browsers name the origin of whoever opens a socket.
func (x *exchange) fromHere() bool {
	origins := x.r.Header["Origin"]
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && len(origins) == 1 && u.Host != "" && strings.EqualFold(u.Host, x.r.Host)
}

// sameOrigin refuses a write that a page of another origin had a browser send.
func (x *exchange) sameOrigin() error {
	if x.door.origin.Check(x.r) == nil {
		return nil
	}
	return fault.New(fault.Denied,
		"A page of another origin cannot write here: it would act in your name.")
}

// Caller is who asks by another wire than HTTP, and learns what became of it.
type Caller struct {
	// Door names the wire and the connection, for the journal.
	Door string
	// Credential is the session, "" for a stranger.
	Credential string
	// Seq is set to the place of what was committed, the zero Seq for nothing.
	Seq journal.Seq
}

// Ask answers a request that came by another wire, as ServeHTTP would one that came over
// HTTP with the caller's session as a bearer token: the same addresses below /api and of
// the app's routes, the same answers. There are no pages, no cookies, no hooks and no
// sockets in it.
func (d *Door) Ask(w http.ResponseWriter, r *http.Request, by *Caller) { d.serve(w, r, by) }

// wire names the wire by which the request came, for the journal.
func (x *exchange) wire() string {
	if x.by != nil {
		return x.by.Door
	}
	return "rest"
}

// committed tells the caller what an Execute left: whether it was done before, and where
// it stands, so that he knows it again among the changes that he follows.
func (x *exchange) committed(reply *engine.Reply, err error) {
	if reply.Replayed {
		x.w.Header()["Idempotent-Replayed"] = yes
	}
	if err != nil || reply.Seq == (journal.Seq{}) {
		return
	}
	if x.by != nil {
		x.by.Seq = reply.Seq
	}
	if x.door.At != nil {
		x.set("Galley-At", x.door.At(reply.Seq))
	}
}
