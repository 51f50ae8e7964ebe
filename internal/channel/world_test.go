package channel_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/channel"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

const kanban = `app: kanban
auth: {sign_in: [password]}
define:
  member(board): members.exists(m, m.board == board && m.user == auth)
collections:
  users:
    fields: {name: {type: string, max: 80}, avatar: string?, phone: {type: string?, read: record == auth}}
    allow: {read: record == auth}
  boards:
    fields: {name: {type: string, max: 80}, muted: {type: bool, default: false}}
    allow: {read: member(record)}
  members:
    fields:
      board: {type: boards, on_delete: cascade}
      user:  {type: users, on_delete: cascade}
    unique: [[board, user]]
channels:
  board/{board:boards}:
    join: member(board)
    send: member(board)
    presence: [name, avatar]
  quiet/{board:boards}:
    join: member(board)
    send: member(board) && !board.muted
  room/{room}:
    join: true
    send: true
    presence: [name]
`

func TestMain(m *testing.M) { pgtest.Main(m) }

// byID signs people in by the id of their record.
type byID struct{}

func (byID) Authenticate(ctx context.Context, r auth.Reader, credential string) (
	ident.Subject, error) {
	_, err := r.Get(ctx, spec.Users, ident.Record(credential))
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Unauthenticated, "Nobody has this credential.")
	}
	return ident.Subject{Who: ident.User, ID: ident.Record(credential)}, err
}

// world is a hub with an engine over a real store, whose journal it follows.
type world struct {
	t      testing.TB
	store  store.Store
	engine *engine.Engine
	hub    *channel.Hub
	// followed is the place up to which the hub has followed the journal.
	mu       sync.Mutex
	followed journal.Seq
	last     journal.Entry
	moved    *sync.Cond
}

func compile(t testing.TB, text string) *app.App {
	t.Helper()
	files := map[string][]byte{"galley.yaml": []byte(text)}
	s, findings := appfile.Parse(files)
	var a *app.App
	if !spec.Failed(findings) {
		a, findings = app.Compile(s, auth.Collections(), nil)
	}
	if spec.Failed(findings) {
		var b bytes.Buffer
		_ = appfile.Render(&b, findings, files, false)
		t.Fatalf("the app has errors:\n%s", b.String())
	}
	return a
}

// open returns a world of its own.
func open(t testing.TB, text string) *world {
	t.Helper()
	db, a := database(t, text)
	return on(t, db, a, channel.Config{})
}

// database returns a database with the schema of an app.
func database(t testing.TB, text string) (store.Store, *app.App) {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	a := compile(t, text)
	apply(t, db, a)
	return db, a
}

// apply gives a database the schema of an app.
func apply(t testing.TB, db store.Store, a *app.App) {
	t.Helper()
	origin := journal.Origin{Call: ident.NewCall(), Operation: "schema", Now: time.Now(),
		Subject: ident.Subject{Who: ident.System, Name: "migrate"}}
	if _, err := db.Apply(t.Context(), origin, spec.Diff(nil, a.Schema), nil); err != nil {
		t.Fatal(err)
	}
}

// on returns a world on a store which has the app's schema.
func on(t testing.TB, db store.Store, a *app.App, c channel.Config) *world {
	t.Helper()
	return onWith(t, db, a, c, byID{})
}

// onWith is on with another way to sign in.
func onWith(t testing.TB, db store.Store, a *app.App, c channel.Config,
	who engine.Authenticator) *world {
	t.Helper()
	w := &world{t: t, store: db}
	w.moved = sync.NewCond(&w.mu)
	w.engine = engine.New(engine.Config{Store: db, App: a, Authenticator: who})
	c.Engine = w.engine
	w.hub = channel.New(c)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { w.hub.Run(ctx) })
	running.Go(func() {
		for e, err := range db.Follow(ctx, journal.Seq{}) {
			if err != nil {
				return
			}
			w.hub.Follow(e)
			w.mu.Lock()
			w.followed, w.last = e.Seq, e
			w.moved.Broadcast()
			w.mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return w
}

// admin makes a call as an administrator, and waits until the hub knows of it.
func (w *world) admin(c engine.Call) ident.Record {
	w.t.Helper()
	c.ID, c.Trusted = ident.NewCall(), true
	c.Subject = ident.Subject{Who: ident.Admin, Name: "carla"}
	r, err := w.engine.Execute(w.t.Context(), c)
	if err != nil {
		w.t.Fatalf("%d %s as admin: %v %+v", c.Verb, c.Target, err, fault.From(err).Items)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.followed.Compare(r.Seq) < 0 {
		w.moved.Wait()
	}
	return r.Record
}

func (w *world) create(collection, body string) string {
	w.t.Helper()
	return string(w.admin(engine.Call{Verb: engine.Create, Target: collection, Body: []byte(body)}))
}

func (w *world) update(collection, id, body string) {
	w.t.Helper()
	w.admin(engine.Call{Verb: engine.Update, Target: collection, Record: id, Body: []byte(body)})
}

func (w *world) remove(collection, id string) {
	w.t.Helper()
	w.admin(engine.Call{Verb: engine.Delete, Target: collection, Record: id})
}

// entry is the last that the hub has followed.
func (w *world) entry() journal.Entry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

// user makes a user.
func (w *world) user(name string) string {
	w.t.Helper()
	return w.create("users", `{"name":"`+name+`","email":"`+strings.ToLower(name)+`@example.com"}`)
}

// member puts a user on a board.
func (w *world) member(board, user string) string {
	w.t.Helper()
	return w.create("members", `{"board":"`+board+`","user":"`+user+`"}`)
}

// guest is a connection.
type guest struct {
	*channel.Member
	w    *world
	call engine.Call
	// got is what was taken and not asked for yet.
	got []string
}

func (w *world) connect(who, credential string) *guest {
	return &guest{Member: w.hub.Connect(who), w: w, call: engine.Call{ID: ident.NewCall(),
		Credential: credential, Door: "test"}}
}

func (g *guest) join(name, state string) (string, error) {
	var given []byte
	if state != "" {
		given = []byte(state)
	}
	all, err := g.Join(g.w.t.Context(), g.call, name, given)
	var out []string
	for _, p := range all {
		out = append(out, string(p.AppendJSON(nil)))
	}
	return strings.Join(out, " "), err
}

func (g *guest) send(name, message string) error {
	return g.Send(g.w.t.Context(), g.call, name, []byte(message))
}

// next returns the next event as it is pushed, waiting for it.
func (g *guest) next() string {
	g.w.t.Helper()
	for len(g.got) == 0 {
		select {
		case <-g.Ready():
			for _, e := range g.Take() {
				g.got = append(g.got, string(e.AppendJSON(nil)))
			}
		case <-time.After(time.Minute):
			g.w.t.Fatal("nothing came in a minute")
		}
	}
	first := g.got[0]
	g.got = g.got[1:]
	return first
}

// want asks for the next event.
func (g *guest) want(event string) {
	g.w.t.Helper()
	if got := g.next(); got != event {
		g.w.t.Fatalf("got  %s\nwant %s", got, event)
	}
}

// kind asks what kind of no an error is.
func kind(t testing.TB, err error, want fault.Kind) {
	t.Helper()
	if err == nil || fault.From(err).Kind != want {
		t.Errorf("got %v, want %v", err, want)
	}
}
