package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"sync/atomic"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/config"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/delivery"
	"github.com/galleybackend/galley/internal/follow/job"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/transport/hook"
	"github.com/galleybackend/galley/internal/transport/proxy"
	"github.com/galleybackend/galley/internal/value"
)

// outside is what an app has to do with others: its secrets, and the way out.
type outside struct {
	values atomic.Pointer[map[string]string]
	mask   *observe.Mask
	wall   *outbound.Wall
	proxy  *proxy.Door
	// deliveries follows the journal.
	deliveries *delivery.Deliveries
}

// openOutside makes the way out.
func (s *Server) openOutside() error {
	private, err := s.cfg.PrivateNetworks()
	if err != nil {
		return err
	}
	s.wall = outbound.New(outbound.Config{Private: private, World: s.cfg.world})
	s.proxy = proxy.New(proxy.Config{
		App:   func() *app.App { return s.engine.App() },
		Admit: calls{s}.Admit, Wall: s.wall, Secret: s.secret, Mask: s.mask, Log: s.log,
		Now: s.cfg.Now, Count: s.worked,
	})
	return nil
}

// hooks returns the door of webhooks.
func (s *Server) hooks() *hook.Door {
	return hook.New(hook.Config{Spec: s.Spec, Secret: s.secret, Now: s.cfg.Now, Take: s.takeEvent})
}

// takeEvent has the app's code take an event, and the jobs that wait for it go on.
func (s *Server) takeEvent(ctx context.Context, call engine.Call, event engine.Event) (
	engine.Reply, error) {
	event.Keep = func(ctx context.Context, tx store.Tx) error {
		body := event.Body
		if body == "" {
			body = "null"
		}
		payload := value.AppendQuoted([]byte(`{"id":`), event.ID)
		payload = append(append(append(payload, `,"body":`...), body...), '}')
		_, err := job.Signal(ctx, tx, "webhook:"+event.Webhook, value.OfJSON(string(payload)),
			s.cfg.Now())
		return err
	}
	reply, err := calls{s}.Take(ctx, call, event)
	if err == nil && !reply.Replayed {
		s.jobs.Wake()
	}
	return reply, err
}

// makeDeliveries makes what delivers to other people's hooks.
func (s *Server) makeDeliveries() {
	s.deliveries = delivery.New(delivery.Config{
		Store: s.store, Follow: s.followers, App: func() *app.App { return s.engine.App() },
		InForce: s.moved, Secret: s.secret, Wall: s.wall, Mask: s.mask, Now: s.cfg.Now, Log: s.log,
		Count: s.worked,
	})
}

// startDeliveries begins to deliver.
func (s *Server) startDeliveries(ctx context.Context) {
	if s.cfg.door && s.cfg.database == nil {
		return
	}
	s.deliveries.Start(ctx)
}

// localDeliveries is what commands ask of deliveries.
func (s *Server) localDeliveries(mux *http.ServeMux) {
	ready := func(w http.ResponseWriter) bool {
		if s.deliveries != nil && len(s.Spec().Deliveries) > 0 {
			return true
		}
		tell(w, nil, fault.New(fault.NotFound, "The app has no deliveries."))
		return false
	}
	mux.HandleFunc("GET /local/deliveries", func(w http.ResponseWriter, r *http.Request) {
		if !ready(w) {
			return
		}
		q := r.URL.Query()
		limit, err := listing(q, delivery.ListMax, delivery.Waiting, delivery.Sending, delivery.Done,
			delivery.Failed)
		if err != nil {
			tell(w, nil, err)
			return
		}
		all, err := s.deliveries.List(r.Context(), q.Get("state"), q.Get("name"),
			ident.Record(q.Get("cursor")), limit)
		out := page[delivery.Info]{Items: all}
		if len(all) == limit {
			out.Next = string(all[len(all)-1].ID)
		}
		tell(w, out, err)
	})
	mux.HandleFunc("GET /local/deliveries/{id}", func(w http.ResponseWriter, r *http.Request) {
		if ready(w) {
			one, err := s.deliveries.Show(r.Context(), ident.Record(r.PathValue("id")))
			tell(w, one, err)
		}
	})
	mux.HandleFunc("POST /local/deliveries/{id}/retry", func(w http.ResponseWriter, r *http.Request) {
		if !ready(w) {
			return
		}
		id := ident.Record(r.PathValue("id"))
		err := s.deliveries.Retry(r.Context(), id)
		var one delivery.Info
		if err == nil {
			one, err = s.deliveries.Show(r.Context(), id)
		}
		tell(w, one, err)
	})
}

// closeOutside ends what was asked of others.
func (s *Server) closeOutside() {
	if s.proxy != nil {
		s.proxy.Close()
	}
	if s.wall != nil {
		s.wall.Close()
	}
}

// maskLog makes a log one that tells no secrets.
func (s *Server) maskLog(log *slog.Logger) *slog.Logger {
	s.mask = &observe.Mask{}
	return slog.New(s.mask.Handler(log.Handler()))
}

// secret returns the value of a secret of the app, "" if there is none.
func (s *Server) secret(name string) string {
	if values := s.values.Load(); values != nil {
		return (*values)[name]
	}
	return ""
}

// secretsOf returns the values of the secrets that an app names. Those that everybody has
// will not do for a server that others can reach.
func (s *Server) secretsOf(c Compiled) (map[string]string, error) {
	if c.developed {
		return config.DevSecrets(c.Spec.App, c.Spec.Secrets, c.sealed, c.dev)
	}
	values, err := config.Secrets(c.Spec.App, c.Spec.Secrets, c.sealed)
	if err != nil {
		return values, err
	}
	if err = config.Published(values, c.dev); err != nil && s.cfg.Alone() {
		s.log.Warn("only this machine can reach the server, so it starts", "cause", err)
		err = nil
	}
	return values, err
}

// hold makes values the secrets of this process. What was hidden before stays hidden as
// long as the process lives: it may still be on its way somewhere.
func (s *Server) hold(values map[string]string) {
	hidden := map[string]string{}
	for name, v := range values {
		hidden[name] = v
	}
	if old := s.values.Load(); old != nil {
		for name, v := range *old {
			if now, found := hidden[name]; !found {
				hidden[name] = v
			} else if now != v {
				hidden[name+" before"] = v
			}
		}
	}
	s.mask.Set(hidden)
	s.values.Store(&values)
}

// readFile returns the text of one of an app's files, nil if there is none.
func readFile(files fs.FS, name string) ([]byte, error) {
	text, err := fs.ReadFile(files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return text, nil
}

// Admit is the engine's, for a call that streams.
func (c calls) Admit(ctx context.Context, call engine.Call) (*engine.Admission, error) {
	for try := 1; ; try++ {
		admission, err := c.engine.Admit(ctx, call)
		if err == nil {
			return admission, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return nil, err
		}
	}
}

// Take is the engine's, for a verified call from outside.
func (c calls) Take(ctx context.Context, call engine.Call, event engine.Event) (
	engine.Reply, error) {
	for try := 1; ; try++ {
		reply, err := c.engine.Take(ctx, call, event)
		if err == nil {
			return reply, nil
		}
		if err = c.anew(ctx, call.Seen, try, err); err != nil {
			return reply, err
		}
	}
}
