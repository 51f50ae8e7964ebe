package live_test

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/transport"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// database is a store as a node has it.
type database interface {
	store.Store
	store.History
	Epoch(ctx context.Context) (string, error)
}

// node is an engine and a hub on a database.
type node struct {
	t      testing.TB
	store  database
	engine *engine.Engine
	hub    *live.Hub
	// expires are the sessions of which the end is known.
	expires sync.Map
	// quick is the hub's Quick.
	quick time.Duration
	// now is the hub in use, which restart replaces.
	now   atomic.Pointer[live.Hub]
	epoch string
}

// byID signs people in by the id of their record.
type byID struct{}

func (byID) Authenticate(ctx context.Context, r auth.Reader, credential string) (
	ident.Subject, error) {
	_, err := r.Get(ctx, spec.Users, ident.Record(credential))
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Unauthenticated, "Nobody has this credential.")
	}
	return ident.Subject{Who: ident.User, ID: ident.Record(credential),
		Session: ident.Record(credential)}, err
}

func compile(t testing.TB, text string) *app.App {
	t.Helper()
	files := map[string][]byte{"galley.yaml": []byte(strings.TrimLeft(text, "\n"))}
	s, findings := appfile.Parse(files)
	if !spec.Failed(findings) {
		var a *app.App
		if a, findings = app.Compile(s, nil, nil); !spec.Failed(findings) {
			return a
		}
	}
	var b bytes.Buffer
	_ = appfile.Render(&b, findings, files, false)
	t.Fatalf("the app has errors:\n%s", b.String())
	return nil
}

func migrate(t testing.TB, db store.Store, before, next *app.App) {
	t.Helper()
	origin := journal.Origin{Call: ident.NewCall(), Operation: "schema", Now: time.Now(),
		Subject: ident.Subject{Who: ident.System, Name: "migrate"}}
	var old *spec.Schema
	if before != nil {
		old = before.Schema
	}
	if _, err := db.Apply(t.Context(), origin, spec.Diff(old, next.Schema), nil); err != nil {
		t.Fatal(err)
	}
}

// onBoth runs a test on a database of each kind.
func onBoth(t *testing.T, text string, fn func(t *testing.T, n *node)) {
	t.Run("sqlite", func(t *testing.T) { fn(t, onSQLite(t, text)) })
	t.Run("postgres", func(t *testing.T) { fn(t, onPostgres(t, text, 1)[0]) })
}

func onSQLite(t testing.TB, text string) *node {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{Path: t.TempDir() + "/data.db"})
	if err != nil {
		t.Fatal(err)
	}
	a := compile(t, text)
	migrate(t, db, nil, a)
	return newNode(t, db, a)
}

// onPostgres starts nodes on one database.
func onPostgres(t testing.TB, text string, nodes int) []*node {
	t.Helper()
	address := pgtest.Shared(t).Database(t)
	a := compile(t, text)
	var out []*node
	for i := range nodes {
		db, err := postgres.Open(t.Context(), postgres.Config{URL: address})
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			migrate(t, db, nil, a)
		}
		out = append(out, newNode(t, db, a))
	}
	return out
}

func newNode(t testing.TB, db database, a *app.App) *node {
	t.Helper()
	n := &node{t: t, store: db}
	n.engine = engine.New(engine.Config{Store: db, App: a, Authenticator: byID{}})
	epoch, err := db.Epoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n.epoch = epoch
	if err := n.restart(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		n.now.Load().Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// restart begins a hub, in place of one that ends.
func (n *node) restart() error {
	if before := n.now.Load(); before != nil {
		before.Close()
	}
	n.hub = live.New(live.Config{Engine: n.engine, Follow: n.store.Follow, Epoch: n.epoch,
		Append: transport.AppendItem, Revoked: revoked, Again: 100 * time.Millisecond, Quick: n.quick,
		Expires: func(_ context.Context, _ auth.Reader, id ident.Record) (time.Time, error) {
			if at, ok := n.expires.Load(id); ok {
				return at.(func() time.Time)(), nil
			}
			return time.Now().Add(time.Hour), nil
		}})
	n.now.Store(n.hub)
	return n.hub.Start(context.Background())
}

// revoked takes each intent named revoke for the end of a session.
func revoked(e *journal.Entry) (out []ident.Record) {
	for _, i := range e.Intents {
		if i.Kind == "revoke" {
			out = append(out, ident.Record(i.Name))
		}
	}
	return out
}

var carla = ident.Subject{Who: ident.Admin, Name: "carla"}

// do makes a call as an administrator.
func (n *node) do(verb engine.Verb, collection string, id ident.Record, body string) engine.Reply {
	n.t.Helper()
	r, err := n.try(verb, collection, id, body)
	if err != nil {
		n.t.Fatalf("%d %s: %v %+v", verb, collection, err, fault.From(err).Items)
	}
	return r
}

func (n *node) try(verb engine.Verb, collection string, id ident.Record, body string) (
	engine.Reply, error) {
	c := engine.Call{ID: ident.NewCall(), Verb: verb, Target: collection, Record: string(id),
		Trusted: true, Subject: carla, Key: string(ident.NewCall())}
	if body != "" {
		c.Body = []byte(body)
	}
	return n.engine.Execute(context.Background(), c)
}

func (n *node) create(collection, format string, args ...any) ident.Record {
	n.t.Helper()
	return ident.Record(n.do(engine.Create, collection, "", fmt.Sprintf(format, args...)).
		Item.Record.Slots[spec.SlotID].Text())
}

func (n *node) update(collection string, id ident.Record, format string, args ...any) journal.Seq {
	n.t.Helper()
	return n.do(engine.Update, collection, id, fmt.Sprintf(format, args...)).Seq
}

func (n *node) delete(collection string, id ident.Record) journal.Seq {
	n.t.Helper()
	return n.do(engine.Delete, collection, id, "").Seq
}

// connect connects a user, or who is not signed in, or an administrator.
func (n *node) connect(who ident.Record) *live.Conn {
	n.t.Helper()
	call := engine.Call{Credential: string(who), Door: "test"}
	if who == "carla" {
		call = engine.Call{Trusted: true, Subject: carla}
	}
	c, err := n.hub.Connect(n.t.Context(), call)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(c.Close)
	return c
}

func params(pairs ...string) url.Values {
	out := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		out.Set(pairs[i], pairs[i+1])
	}
	return out
}

// patience bounds every wait of a test.
const patience = time.Minute

// reader is a connection with what it knows.
type reader struct {
	t    testing.TB
	conn *live.Conn
	subs map[string]*followed
}

// followed is what a client knows of a subscription: the records as JSON, by id.
type followed struct {
	query  live.Query
	have   map[ident.Record]string
	at     string
	ended  *fault.Fault
	resets int
}

func (n *node) reader(who ident.Record) *reader {
	return &reader{n.t, n.connect(who), map[string]*followed{}}
}

func (r *reader) follow(collection string, pairs ...string) *followed {
	r.t.Helper()
	return r.begin(live.Query{Collection: collection, Params: params(pairs...)})
}

func (r *reader) begin(q live.Query) *followed {
	r.t.Helper()
	s, err := r.conn.Follow(r.t.Context(), q)
	if err != nil {
		r.t.Fatalf("follow %s: %v", q.Collection, err)
	}
	f := &followed{query: q, have: map[ident.Record]string{}}
	f.start(&s)
	r.subs[s.Sub] = f
	return f
}

func (f *followed) start(s *live.Start) {
	if !s.Changed {
		clear(f.have)
	}
	for i := range s.Items {
		f.put(&s.Items[i])
	}
	f.apply(s.Changes)
	f.at = s.At
}

func (f *followed) put(item *engine.Item) {
	f.have[transport.ID(item)] = string(transport.AppendItem(nil, item))
}

func (f *followed) apply(changes []live.Change) {
	for i := range changes {
		if c := &changes[i]; c.Put != nil {
			f.put(c.Put)
		} else {
			delete(f.have, c.Del)
		}
	}
}

// take waits for pushes and takes note of them.
func (r *reader) take(ctx context.Context) ([]live.Push, error) {
	select {
	case <-r.conn.Ready():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	pushes, err := r.conn.Take()
	for i := range pushes {
		p := &pushes[i]
		f := r.subs[p.Sub]
		switch {
		case f == nil:
		case p.Frame != nil:
			f.apply(p.Frame.Changes())
			f.at = p.At
		case p.Reset != nil:
			f.start(p.Reset)
			f.resets++
		case p.Ended != nil:
			f.ended = p.Ended
		}
	}
	return pushes, err
}

// until takes pushes until what is known fulfils a condition.
func (r *reader) until(what string, ok func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for !ok() {
		if _, err := r.take(ctx); err != nil {
			r.t.Fatalf("waiting for %s: %v", what, err)
		}
	}
}

// reached takes pushes until all up to a place has been pushed, and returns them.
func (r *reader) reached(at journal.Seq) (out []live.Push) {
	r.t.Helper()
	r.conn.Wrote(at)
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for {
		pushes, err := r.take(ctx)
		if err != nil {
			r.t.Fatalf("waiting for the place %v: %v", at, err)
		}
		for _, p := range pushes {
			if p.Sub == "" && strings.HasSuffix(p.At, ":"+at.String()) {
				return out
			}
			out = append(out, p)
		}
	}
}

// told writes pushes in short: the changes of each.
func told(pushes []live.Push) string {
	var b strings.Builder
	for _, p := range pushes {
		if p.Sub == "" {
			continue
		}
		fmt.Fprintf(&b, "%s", p.Sub)
		if p.Frame != nil {
			for _, c := range p.Frame.Changes() {
				if c.Put != nil {
					b.WriteString(" put")
				} else {
					b.WriteString(" del")
				}
			}
		}
		if p.Reset != nil {
			fmt.Fprintf(&b, " reset %d", len(p.Reset.Items))
		}
		if p.Ended != nil {
			b.WriteString(" ended " + p.Ended.CodeOr())
		}
		if p.More {
			b.WriteString(" more")
		}
		b.WriteString("; ")
	}
	return strings.TrimSuffix(b.String(), "; ")
}

// same reports how what is known differs from the list of the same caller.
func (n *node) same(who ident.Record, f *followed) error {
	call := engine.Call{ID: ident.NewCall(), Verb: engine.List, Target: f.query.Collection,
		Params: f.query.Params, Credential: string(who)}
	if who == "carla" {
		call.Trusted, call.Subject, call.Credential = true, carla, ""
	}
	a, err := n.engine.Query(context.Background(), call)
	if err != nil {
		return err
	}
	want := map[ident.Record]string{}
	for i := range a.Items {
		want[transport.ID(&a.Items[i])] = string(transport.AppendItem(nil, &a.Items[i]))
	}
	for id, text := range want {
		if f.have[id] != text {
			return fmt.Errorf("record %s: got %q, want %q", id, f.have[id], text)
		}
	}
	for id := range f.have {
		if _, ok := want[id]; !ok {
			return fmt.Errorf("record %s is known, and not in the list", id)
		}
	}
	return nil
}
