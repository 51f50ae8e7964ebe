package serve

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/system"
	"github.com/galleybackend/galley/internal/transport"
)

// openLive makes the hub of subscriptions, which follows the journal. A command in its
// own process has nobody who follows.
func (s *Server) openLive(ctx context.Context) error {
	epoch, err := s.store.Epoch(ctx)
	if err != nil {
		return err
	}
	s.live = live.New(live.Config{
		Engine: calls{s}, Follow: s.store.Follow, Epoch: epoch, Append: transport.AppendItem,
		Revoked: revoked, Expires: s.accounts.Expires, Now: s.cfg.Now, Log: s.log,
	})
	if s.cfg.door && s.cfg.database == nil {
		return nil
	}
	s.metrics.Registry().MustRegister(watched{s.live})
	return s.live.Start(ctx)
}

// closeLive tells those who follow that the server is closing.
func (s *Server) closeLive() {
	if s.live != nil {
		s.live.Close()
	}
}

// revoked returns the sessions that an entry ended.
func revoked(e *journal.Entry) (out []ident.Record) {
	for _, i := range e.Intents {
		if i.Kind == system.IntentRevoke {
			out = append(out, ident.Record(i.Name))
		}
	}
	return out
}

// Watch implements live.Engine.
func (c calls) Watch(ctx context.Context, call engine.Call) (*engine.Watch, engine.Rows, error) {
	for try := 1; ; try++ {
		w, rows, err := c.engine.Watch(ctx, call)
		if err == nil {
			return w, rows, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return nil, engine.Rows{}, err
		}
	}
}

// Look implements live.Engine. What is looked at is always of the app in force.
func (c calls) Look(ctx context.Context, fn func(*engine.Look) error) error {
	for try := 1; ; try++ {
		err := c.engine.Look(ctx, fn)
		if err == nil {
			return nil
		}
		if err = c.anew(ctx, nil, try, err); err != nil {
			return err
		}
	}
}

// Identify implements live.Engine.
func (c calls) Identify(ctx context.Context, call engine.Call) (ident.Subject, error) {
	for try := 1; ; try++ {
		who, err := c.engine.Identify(ctx, call)
		if err == nil {
			return who, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return ident.Subject{}, err
		}
	}
}

// watched tells of the hub whenever somebody wants to know.
type watched struct{ hub *live.Hub }

func figure(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("galley_live_"+name, help, nil, nil)
}

// Describe implements prometheus.Collector.
func (w watched) Describe(out chan<- *prometheus.Desc) {
	prometheus.DescribeByCollect(w, out)
}

// Collect implements prometheus.Collector.
func (w watched) Collect(out chan<- prometheus.Metric) {
	x := w.hub.Stats()
	tell := func(kind prometheus.ValueType, name, help string, n int64) {
		out <- prometheus.MustNewConstMetric(figure(name, help), kind, float64(n))
	}
	gauge, counter := prometheus.GaugeValue, prometheus.CounterValue
	tell(gauge, "connections", "Connections that may follow.", x.Conns)
	tell(gauge, "subscriptions", "Subscriptions.", x.Subs)
	tell(gauge, "topics", "Different queries that are kept true.", x.Topics)
	tell(gauge, "rows", "Records of these queries that are remembered.", x.Rows)
	tell(gauge, "lag", "Entries that the subscriptions have yet to see.", x.Lag)
	tell(counter, "frames_total", "Changes of answers that were written.", x.Frames)
	tell(counter, "pushes_total", "Frames that were given to subscriptions.", x.Pushes)
	tell(counter, "resets_total", "Whole answers that were sent anew.", x.Resets)
	tell(counter, "judged_total", "Records that were judged in memory.", x.Judged)
	tell(counter, "queries_total", "Queries that were asked again.", x.Queries)
}
