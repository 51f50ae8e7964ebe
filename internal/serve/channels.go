package serve

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

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
	if m, ok := s.store.(*movable); ok {
		bus = roving{m}
	}
	s.channels = channel.New(channel.Config{Engine: calls{s}, Bus: bus, Revoked: revoked, Log: s.log})
	s.countChannels()
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

// countChannels has the metrics show the channels.
func (s *Server) countChannels() {
	gauge := func(name, help string, value func(channel.Numbers) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help},
			func() float64 { return float64(value(s.channels.Numbers())) })
	}
	s.metrics.Registry().MustRegister(
		gauge("galley_channels", "Channels that somebody is in.",
			func(n channel.Numbers) int { return n.Channels }),
		gauge("galley_channel_members", "Members of channels at this process.",
			func(n channel.Numbers) int { return n.Members }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "galley_channel_dropped_total",
			Help: "Messages that were dropped because a member or the bus was too slow."},
			func() float64 { return float64(s.channels.Numbers().Dropped) }))
}

// closeChannels ends what the hub does by itself.
func (s *Server) closeChannels() {
	if s.endChannels != nil {
		s.endChannels()
	}
}

// roving is the bus of the database in use, which may be another one later. A database
// without a bus is used by one process.
type roving struct{ *movable }

// Publish says a word.
func (r roving) Publish(ctx context.Context, word []byte) error {
	if b, ok := r.at.Load().database.(store.Bus); ok {
		return b.Publish(ctx, word)
	}
	return nil
}

// Listen hears words until ctx ends.
func (r roving) Listen(ctx context.Context, hear func([]byte)) error {
	for ctx.Err() == nil {
		h := r.at.Load()
		here, leave := context.WithCancel(ctx)
		go func() {
			select {
			case <-h.gone:
				leave()
			case <-here.Done():
			}
		}()
		if b, ok := h.database.(store.Bus); ok {
			_ = b.Listen(here, hear) // it ends with its context alone
		}
		<-here.Done()
		leave()
	}
	return nil
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
