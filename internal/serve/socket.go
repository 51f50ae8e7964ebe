package serve

import (
	"net/http"

	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/transport/rest"
	"github.com/galleybackend/galley/internal/transport/socket"
)

// openSockets makes the door for what goes on. What is asked over a socket is answered by
// a door for HTTP of its own, which has no pages.
func (s *Server) openSockets() {
	asked := rest.New(rest.Config{
		Engine: calls{s}, Spec: s.Spec, Observe: s.observe, Dev: s.cfg.Dev, Health: s.health,
		Broken: s.lastSave, Proxy: s.proxy.Ask, Mask: s.mask, At: s.live.At,
	})
	s.sockets = socket.New(socket.Config{
		Live: s.live, Channels: s.channels, Words: asked.Words, Observe: s.observe, Mask: s.mask,
		Log: s.log,
		Ask: func(w http.ResponseWriter, r *http.Request, door, credential string) journal.Seq {
			by := rest.Caller{Door: door, Credential: credential}
			asked.Ask(w, r, &by)
			return by.Seq
		},
	}, s.metrics.Registry())
}
