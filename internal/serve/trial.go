package serve

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

// Trial is an app that is open to be tried: on a database of its own that nobody else
// sees, at a time that moves when it is told to. It is safe for concurrent use.
type Trial struct {
	server *Server
	store  *sqlite.Store
	// local is the door of commands, public that of everybody, people that of users who
	// need not sign in.
	local, public, people http.RoundTripper
	data                  string
	mu                    sync.Mutex
	now                   time.Time
	// hosts answer for the world, by scheme and host; missed are those that were asked
	// and are not there.
	hosts  map[string]func(*http.Request) (*http.Response, error)
	missed []string
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
	if cfg.Data, err = os.MkdirTemp("", "galley-"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	t.data = cfg.Data
	cfg.database, cfg.door, cfg.Now, cfg.world = db, true, t.Now, world{t}
	cfg.Seed = func() uint64 {
		t.mu.Lock()
		defer t.mu.Unlock()
		seed += 2 // the engine takes odd ones only
		return seed
	}
	if t.server, err = Open(ctx, cfg); err != nil {
		return nil, errors.Join(err, db.Close(), os.RemoveAll(t.data))
	}
	values := map[string]string{}
	for _, name := range t.server.Spec().Secrets {
		values[name.Name] = trialSecret + base64.StdEncoding.EncodeToString([]byte(name.Name))
	}
	t.server.hold(values)
	t.local, t.public = direct{t.server.local()}, direct{t.server.Handler()}
	t.people = direct{t.server.trusted(false)}
	if err := t.server.followers.Strike(ctx); err != nil { // so that the clock runs from here on
		return nil, errors.Join(err, t.Close())
	}
	return t, nil
}

// trialSecret begins the value of every secret of a trial, so that it can be the key of
// any kind of webhook.
const trialSecret = "whsec_"

// Now is the app's own time.
func (t *Trial) Now() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.now
}

// Do sends a request as somebody: the id of a user, anonymous for what comes by the
// door of everybody, or "" for an admin.
func (t *Trial) Do(r *http.Request, as string) (*http.Response, error) {
	if as == "anonymous" {
		return t.public.RoundTrip(r)
	}
	if as != "" {
		r.Header.Set(HeaderAs, as)
		return t.people.RoundTrip(r)
	}
	return t.local.RoundTrip(r)
}

// Webhook sends a call that is signed as the sender of that webhook signs.
func (t *Trial) Webhook(r *http.Request, name, id string, body []byte) (*http.Response, error) {
	all := t.server.Spec().Webhooks
	i := slices.IndexFunc(all, func(w *spec.Webhook) bool { return w.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the app has no webhook %q", name)
	}
	auth.SignWebhook(r.Header, all[i], t.server.secret(all[i].Secret.Name), id, body, t.Now())
	return t.public.RoundTrip(r)
}

// Advance waits until whatever is due is done, lets time pass in one leap, and waits until
// whatever is due then was done. Several instants of one schedule are made up for by one.
func (t *Trial) Advance(ctx context.Context, d time.Duration) error {
	if err := t.settle(ctx); err != nil || d == 0 {
		return err
	}
	t.mu.Lock()
	t.now = t.now.Add(d)
	t.mu.Unlock()
	return t.settle(ctx)
}

// settle waits until whatever is due is done.
func (t *Trial) settle(ctx context.Context) error {
	s := t.server
	for {
		before, err := s.head(ctx)
		if err != nil {
			return err
		}
		if err := s.followers.Strike(ctx); err != nil {
			return err
		}
		s.followers.Wake()
		if err := s.followers.Settled(ctx); err != nil {
			return err
		}
		if err := s.jobs.Settled(ctx); err != nil {
			return err
		}
		if err := s.deliveries.Settled(ctx); err != nil {
			return err
		}
		mailed, err := s.mails.Settled(ctx)
		if err != nil {
			return err
		}
		after, err := s.head(ctx)
		if err != nil || mailed && after == before {
			return err
		}
		if !mailed {
			select {
			case <-time.After(settleEach):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
}

// settleEach is how often it is looked whether all letters are sent.
const settleEach = time.Millisecond

// Mail returns the letters of the mailbox, the first one first.
func (t *Trial) Mail(ctx context.Context) ([]mail.Letter, error) {
	all, err := t.server.mails.List(ctx, mail.Filter{Limit: mail.ListMax})
	slices.Reverse(all)
	for i := range all {
		if err == nil {
			all[i], err = t.server.mails.Get(ctx, all[i].ID)
		}
	}
	return all, err
}

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

// Missed returns the hosts that were asked and that nobody answered for.
func (t *Trial) Missed() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.missed)
}

func hostOf(u *url.URL) string { return strings.ToLower(u.Scheme + "://" + u.Host) }

// world is what is outside of a trial.
type world struct{ *Trial }

// RoundTrip implements http.RoundTripper.
func (t world) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	answer := t.hosts[hostOf(r.URL)]
	if answer == nil && !slices.Contains(t.missed, hostOf(r.URL)) {
		t.missed = append(t.missed, hostOf(r.URL))
	}
	t.mu.Unlock()
	if answer == nil {
		return nil, fmt.Errorf("the test has no host %s: write t.host(%q, …)", hostOf(r.URL),
			hostOf(r.URL))
	}
	return answer(r)
}

// Close ends the app, and what it kept is gone.
func (t *Trial) Close() error {
	return errors.Join(t.server.Close(), t.store.Close(), os.RemoveAll(t.data))
}
