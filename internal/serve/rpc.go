package serve

import (
	"bytes"
	"context"
	"net/http"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/transport/rpc"
)

// openRPC makes the door of gRPC.
func (s *Server) openRPC() {
	s.rpc = rpc.New(rpc.Config{
		Engine: calls{s}, Live: s.live, Reflect: s.cfg.Dev, Mask: s.mask,
		App:    func() *app.App { return s.engine.App() },
		Lock:   func() []byte { return s.compiled.Load().lock },
		Health: func(ctx context.Context) error { return s.health(ctx) },
		Broken: func(err error) { s.log.Error("gRPC does not serve this app", "cause", err) },
	})
}

// withRPC has the door of gRPC take its calls out of those of HTTP.
func (s *Server) withRPC(door *rest.Door) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.rpc.Takes(r) {
			door.ServeHTTP(w, r)
			return
		}
		door.Remote(w, r, doorRPC, func(m *transport.Remote) int { return s.rpc.Answer(m) })
	})
}

// doorRPC is the name of the door in the journal.
const doorRPC = "rpc"

// Proto returns what an app opens, in the words of protobuf. Its Lock is what the file
// codegen.LockFile should hold.
func (c Compiled) Proto() (*codegen.Proto, error) { return rpc.Describe(c.App, c.lock) }

// checkLock finds out whether the file of numbers can be read and knows the whole app.
func (c *Compiled) checkLock() {
	at := spec.Pos{File: codegen.LockFile, Line: 1, Column: 1}
	p, err := c.Proto()
	switch {
	case err != nil:
		c.Findings = append(c.Findings, spec.Finding{Pos: at, Message: err.Error(),
			Help: "take the lines of both sides where two were merged, then run galley gen proto"})
		c.App = nil
	case c.lock != nil && !bytes.Equal(p.Lock(), c.lock):
		for _, b := range p.Breaks() {
			c.Findings = append(c.Findings, spec.Finding{Severity: spec.Warning,
				Pos: spec.Pos{File: codegen.LockFile, Line: b.Line, Column: 1}, Message: b.Text})
		}
		c.Findings = append(c.Findings, spec.Finding{Severity: spec.Warning, Pos: at,
			Message: "the numbers of protobuf's fields are not those of the app file",
			Help:    "run galley gen proto, and commit " + codegen.LockFile})
	}
}
