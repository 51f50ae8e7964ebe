package engine_test

import (
	"bytes"
	"context"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/galleybackend/galley/examples"
	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/tsaction"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// database is a store that tells its past.
type database interface {
	store.Store
	store.History
}

// world is an engine over a real store, with an app.
type world struct {
	t      testing.TB
	store  database
	engine *engine.Engine
	app    *app.App
	clock  atomic.Int64
	config engine.Config
}

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

// compile reads and compiles the files of an app.
func compile(t testing.TB, files map[string][]byte) *app.App {
	t.Helper()
	a, findings := compileFiles(files)
	for _, f := range findings {
		if f.Severity == spec.Error {
			var b bytes.Buffer
			_ = appfile.Render(&b, findings, files, false)
			t.Fatalf("the app has errors:\n%s", b.String())
		}
	}
	return a
}

func compileFiles(files map[string][]byte) (*app.App, []spec.Finding) {
	s, findings := appfile.Parse(files)
	if spec.Failed(findings) {
		return nil, findings
	}
	tree := fstest.MapFS{}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: text}
	}
	ts, found := tsaction.Load(tree, s)
	findings = append(findings, found...)
	a, found := app.Compile(s, house(s), []app.Code{{Language: "ts", Program: ts}})
	return a, append(findings, found...)
}

func house(s *spec.Spec) []*spec.Collection {
	if s.Auth == nil {
		return nil
	}
	return auth.Collections()
}

// open opens a world of its own. change may alter the engine's config.
func open(t testing.TB, files map[string][]byte, change func(*engine.Config)) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return openOn(t, db, files, change)
}

// openOn opens a world on a database, which ends with it.
func openOn(t testing.TB, db database, files map[string][]byte,
	change func(*engine.Config)) *world {
	t.Helper()
	w := &world{t: t, app: compile(t, files), store: db}
	w.clock.Store(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixMilli())
	t.Cleanup(func() {
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	origin := journal.Origin{Call: ident.NewCall(), Operation: "schema", Now: w.now(),
		Subject: ident.Subject{Who: ident.System, Name: "migrate"}}
	if _, err := w.store.Apply(t.Context(), origin, spec.Diff(nil, w.app.Schema), nil); err != nil {
		t.Fatal(err)
	}
	w.config = engine.Config{Store: w.store, App: w.app, Authenticator: byID{}, Clock: w.now,
		Runners: map[string]action.Runner{"ts": tsaction.Runner{}}, Secret: []byte("a secret")}
	if change != nil {
		change(&w.config)
	}
	w.engine = engine.New(w.config)
	return w
}

func (w *world) now() time.Time { return time.UnixMilli(w.clock.Load()) }

func yaml(text string) map[string][]byte {
	return map[string][]byte{"galley.yaml": []byte(strings.TrimLeft(text, "\n"))}
}

// shop returns the files of the example shop.
func shop(t testing.TB) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	app, ok := examples.Template("shop")
	if !ok {
		t.Fatal("there is no shop")
	}
	err := fs.WalkDir(app, ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasPrefix(name, "seed/") {
			files[name], err = fs.ReadFile(app, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	files["public/index.html"] = nil
	return files
}

// admin makes a call as an administrator.
func (w *world) admin(c engine.Call) engine.Reply {
	w.t.Helper()
	c.ID, c.Trusted = ident.NewCall(), true
	c.Subject = ident.Subject{Who: ident.Admin, Name: "carla"}
	r, err := w.engine.Execute(w.t.Context(), c)
	if err != nil {
		w.t.Fatalf("%d %s as admin: %v %+v", c.Verb, c.Target, err, fault.From(err).Items)
	}
	return r
}

func (w *world) create(collection, body string) ident.Record {
	w.t.Helper()
	return w.admin(engine.Call{Verb: engine.Create, Target: collection, Body: []byte(body)}).Record
}

// get reads a record as an administrator.
func (w *world) get(collection string, id ident.Record) value.Record {
	w.t.Helper()
	a, err := w.engine.Query(w.t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Get,
		Target: collection, Record: string(id), Trusted: true,
		Subject: ident.Subject{Who: ident.Admin, Name: "carla"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return a.Items[0].Record
}

func archive(t testing.TB, path string) (script string, files map[string][]byte) {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string][]byte{}
	for _, f := range a.Files {
		files[f.Name] = f.Data
	}
	return string(a.Comment), files
}

// entries returns the journal but for its first entry, the schema, oldest first.
func (w *world) entries() []journal.Entry {
	w.t.Helper()
	list, err := w.store.Entries(w.t.Context(), store.Filter{}, journal.Seq{}, store.EntriesMax)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(list)
	return list[1:]
}
