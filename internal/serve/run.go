package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/transport/rest"
)

// Bounds of a server's end and of its chores.
const (
	// closeTime is how long calls that run may take to end.
	closeTime = 10 * time.Second
	// sweepEach is how often records over their keep are looked for.
	sweepEach = time.Minute
)

// Listen opens the app's address, the local socket, and the admin's address if there
// is one, and answers on them. It returns the app's address as a URL.
func (s *Server) Listen() (string, error) {
	l, err := net.Listen("tcp", s.cfg.ListenAddr())
	if err != nil {
		return "", fmt.Errorf("listen: %w", err)
	}
	s.start(l, s.Handler())
	socket, err := listenSocket(s.cfg.Socket())
	if err != nil {
		return "", fmt.Errorf("listen for commands: %w", err)
	}
	s.start(socket, s.local())
	if s.cfg.Admin != "" {
		a, err := net.Listen("tcp", s.cfg.Admin)
		if err != nil {
			return "", fmt.Errorf("listen on the admin's address: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", s.metrics.Handler())
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		s.start(a, mux)
		s.admin = "http://" + a.Addr().String()
	}
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	address := "http://" + net.JoinHostPort(host, port)
	s.address.Store(&address)
	return address, nil
}

// Admin returns the admin's address as a URL, "" if there is none.
func (s *Server) Admin() string { return s.admin }

func (s *Server) start(l net.Listener, h http.Handler) {
	d := &drain{Listener: l, next: h}
	srv := rest.Server(d)
	srv.ConnState = d.state
	s.servers, s.drains = append(s.servers, srv), append(s.drains, d)
	s.listening.Go(func() {
		if err := srv.Serve(d); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("a listener ended", "address", l.Addr().String(), "cause", err)
		}
	})
}

// Run serves until ctx ends, or until the store fails, and closes the server. After
// Listen it is what a process waits for.
func (s *Server) Run(ctx context.Context) error {
	var failed error
	select {
	case <-ctx.Done():
	case <-s.store.Failed():
		failed = s.store.Failure()
		switch fault.From(failed).CodeOr() {
		case sqlstore.CodeMoved, sqlstore.CodeFilling, sqlstore.CodeRestored, sqlstore.CodeNewer:
			return errors.Join(failed, s.Close()) // nothing is broken: the data is another's
		}
		failed = fmt.Errorf("the database failed, and nothing is known of its last writes: "+
			"see to the disk and start again: %w", failed)
	}
	return errors.Join(failed, s.Close())
}

// sweep deletes what is over its keep, now and then.
func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEach)
	defer tick.Stop()
	for {
		_, err := s.engine.Sweep(ctx)
		if err != nil && ctx.Err() == nil && !errors.Is(err, errMoved) {
			s.log.Error("records over their keep were not deleted", "cause", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close ends the server: listeners first, then calls that run, then the store.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	var errs []error
	if s.rpc != nil {
		s.rpc.Close()
	}
	if s.sockets != nil {
		s.sockets.Close(ctx) // else what goes on would be waited for
	}
	s.closeLive()
	var leaving sync.WaitGroup
	for _, d := range s.drains {
		leaving.Go(d.end)
	}
	leaving.Wait()
	for _, srv := range s.servers {
		if err := srv.Shutdown(ctx); err != nil {
			errs = append(errs, srv.Close())
		}
	}
	s.listening.Wait()
	s.closeChannels()
	errs = append(errs, s.closeAfter())
	if s.endChores != nil {
		s.endChores()
		s.chores.Wait()
	}
	if s.endJourneys != nil {
		s.endJourneys()
		s.writing.Wait()
	}
	s.closeOutside()
	if s.store != nil && s.cfg.database == nil {
		errs = append(errs, s.store.Close())
	}
	errs = append(errs, s.site.Swap(nil).close())
	if len(s.servers) > 0 {
		if err := os.Remove(s.cfg.Socket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
