package serve

import (
	"context"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/store"
)

// talk is what members of channels say to one another.
type talk struct {
	channels    *channel.Hub
	endChannels func()
}

// openChannels makes the hub of channels, which follows the journal. It is made after the
// followers.
func (s *Server) openChannels(ctx context.Context) {
	bus, _ := s.store.(store.Bus)
	s.channels = channel.New(channel.Config{Engine: calls{s}, Bus: bus, Log: s.log})
	if s.cfg.door && s.cfg.database == nil {
		return
	}
	ctx, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.channels.Run(ctx)
	}()
	s.followers.Live(ctx, s.channels.Follow)
	s.endChannels = func() { end(); <-ended }
}

// closeChannels ends what the hub does by itself.
func (s *Server) closeChannels() {
	if s.endChannels != nil {
		s.endChannels()
	}
}

// Enter is the engine's, on the app in force.
func (c calls) Enter(ctx context.Context, call engine.Call) (engine.Entrance, error) {
	for try := 1; ; try++ {
		in, err := c.engine.Enter(ctx, call)
		if err == nil {
			return in, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return engine.Entrance{}, err
		}
	}
}

// App is the app in force, as this process knows it.
func (c calls) App() *app.App { return c.engine.App() }
