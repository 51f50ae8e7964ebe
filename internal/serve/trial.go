package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/store/sqlite"
)

// Trial is an app that is open to be tried: on a database of its own that nobody else
// sees, at a time that moves when it is told to. It is safe for concurrent use.
type Trial struct {
	server *Server
	store  *sqlite.Store
	client *http.Client
	mu     sync.Mutex
	now    time.Time
	// hosts answer for the world, by scheme and host.
	hosts map[string]func(*http.Request) (*http.Response, error)
}

// trialBegins is when every trial begins, so that it does the same on any day.
var trialBegins = time.Date(2026, time.January, 5, 9, 0, 0, 0, time.UTC)

// OpenTrial opens the app for one trial. Whatever the config says of databases and of
// time has no meaning.
func OpenTrial(ctx context.Context, cfg Config) (*Trial, error) {
	db, err := sqlite.Open(ctx, sqlite.Config{Readers: 3})
	if err != nil {
		return nil, err
	}
	t := &Trial{store: db, now: trialBegins,
		hosts: map[string]func(*http.Request) (*http.Response, error){}}
	seed := uint64(0)
	cfg.database, cfg.door, cfg.Now = db, true, t.Now
	cfg.Seed = func() uint64 {
		t.mu.Lock()
		defer t.mu.Unlock()
		seed += 2 // the engine takes odd ones only
		return seed
	}
	if t.server, err = Open(ctx, cfg); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	t.client = &http.Client{Transport: direct{t.server.local()}}
	return t, nil
}

// Now is the app's own time.
func (t *Trial) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// Do sends a request as somebody, as the local door takes it: the id of a user,
// anonymous, or "" for an admin.
func (t *Trial) Do(r *http.Request, as string) (*http.Response, error) {
	if as != "" {
		r.Header.Set(HeaderAs, as)
	}
	if !strings.HasPrefix(r.URL.Path, "/") {
		r.URL.Path = "/" + r.URL.Path
	}
	return t.client.Do(r)
}

// Advance lets time pass, and waits until whatever is due by then was done.
func (t *Trial) Advance(ctx context.Context, d time.Duration) error {
	t.mu.Lock()
	t.now = t.now.Add(d)
	t.mu.Unlock()
	return ctx.Err()
}

// Close ends the app, and what it kept is gone.
func (t *Trial) Close() error { return errors.Join(t.server.Close(), t.store.Close()) }

// Host lets a function answer for another host, such as https://api.example.com.
// Nothing else can be reached.
func (t *Trial) Host(address string, answer func(*http.Request) (*http.Response, error)) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Path != "" && u.Path != "/" {
		return fmt.Errorf("%q is no host: write https://api.example.com", address)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hosts[hostOf(u)] = answer
	return nil
}

func hostOf(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// world answers a request of the app's code to another host.
func (t *Trial) world(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	answer := t.hosts[hostOf(r.URL)]
	t.mu.Unlock()
	if answer == nil {
		return nil, fmt.Errorf("the test has no host %s: write t.host(%q, …)", hostOf(r.URL),
			hostOf(r.URL))
	}
	return answer(r)
}
