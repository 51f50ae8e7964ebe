package galley_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley"
	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/action/actiontest/testdata/twins"
	"github.com/galleybackend/galley/internal/action/goaction"
	"github.com/galleybackend/galley/internal/action/tsaction"
	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/codegen"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/value"
)

const twinsDir = "internal/action/actiontest/testdata/twins"

var update = flag.Bool("update", false, "write the generated package of the twins anew")

func TestMain(m *testing.M) { pgtest.Main(m) }

// languages are the two in which every action of the twins is written, databases those
// on which they run.
var (
	languages = []string{"ts", "go"}
	databases = []string{"sqlite", "postgres"}
)

// database is a store that tells its past.
type database interface {
	store.Store
	store.History
}

// places gives each twin a schema of its own in one database.
type places struct {
	url   string
	count int
}

// open opens a database that is empty and ends with the test.
func (p *places) open(t testing.TB, name string) database {
	t.Helper()
	var db database
	var err error
	if name == "sqlite" {
		db, err = sqlite.Open(t.Context(), sqlite.Config{})
	} else {
		p.count++
		db, err = postgres.Open(t.Context(), postgres.Config{Readers: 1,
			URL: fmt.Sprintf("%s&schema=twin%d", p.url, p.count)})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// twin is the app in one language over a store of its own.
type twin struct {
	t        testing.TB
	language string
	app      *app.App
	store    database
	engine   *engine.Engine
	ids      map[string]ident.Record
}

// byID signs people in by the id of their record.
type byID struct{}

func (byID) Authenticate(ctx context.Context, r auth.Reader, credential string) (
	ident.Subject, error) {
	_, err := r.Get(ctx, spec.Users, ident.Record(credential))
	return ident.Subject{Who: ident.User, ID: ident.Record(credential)}, err
}

// twice runs each write once for nothing before it counts, as a store does that lost
// a race.
type twice struct{ store.Store }

func (s twice) Write(ctx context.Context, o journal.Origin, fn func(store.Tx) error) (journal.Entry, error) {
	dry := o
	dry.DryRun = true
	var e journal.Entry
	if e, err := s.Store.Write(ctx, dry, fn); err != nil || e.Replayed {
		return s.Store.Write(ctx, o, fn)
	}
	e, err := s.Store.Write(ctx, o, fn)
	return e, err
}

// compiled holds the app in each language: it is compiled once and does not change.
var compiled sync.Map

func compile(t testing.TB, language string) *app.App {
	t.Helper()
	if a, ok := compiled.Load(language); ok {
		return a.(*app.App)
	}
	s, findings := appfile.Load(twinsDir)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	code := app.Code{Language: language}
	if language == "ts" {
		program, found := tsaction.Load(os.DirFS(twinsDir), s)
		findings = append(findings, found...)
		code.Program = program
	} else {
		g := galley.New(nil)
		twins.Register(g)
		findings = append(findings, g.Program().Check(s)...)
		code.Program = g.Program()
	}
	a, found := app.Compile(s, nil, []app.Code{code})
	if findings = append(findings, found...); spec.Failed(findings) {
		t.Fatal(findings)
	}
	compiled.Store(language, a)
	return a
}

func newTwin(t testing.TB, p *places, on, language string, retry bool) *twin {
	t.Helper()
	compiled := compile(t, language)
	w := &twin{t: t, language: language, app: compiled, ids: map[string]ident.Record{}}
	db := p.open(t, on)
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	origin := journal.Origin{Call: "schema", Operation: "schema", Now: now, Subject: ident.Subject{Who: ident.System}}
	if _, err := db.Apply(t.Context(), origin, spec.Diff(nil, compiled.Schema), nil); err != nil {
		t.Fatal(err)
	}
	seed := uint64(0)
	w.store = db
	config := engine.Config{Store: db, App: compiled, Authenticator: byID{},
		Clock:   func() time.Time { return now },
		Seed:    func() uint64 { seed += 1000; return seed },
		Runners: map[string]action.Runner{"ts": tsaction.Runner{}, "go": goaction.Runner{}}}
	if retry {
		config.Store = twice{db}
	}
	w.engine = engine.New(config)
	w.fill()
	return w
}

// fill makes the records that the scripts speak of by name.
func (w *twin) fill() {
	for i, r := range []struct{ name, collection, body string }{
		{"ana", "users", `{"name":"Ana","wallet":5000,"email":"ana@example.com"}`},
		{"pen", "products", `{"name":"Pen","price":300,"stock":10}`},
		{"ink", "products", `{"name":"Ink","price":450,"stock":1}`},
		{"desk", "products", `{"name":"Desk","price":900,"stock":5}`},
		{"secret", "products", `{"name":"Secret","price":100,"stock":5,"listed":false}`},
		{"box", "boxes", `{"label":"Box","open":true,"count":1,"tags":["old","x","old"]}`},
	} {
		body := strings.Replace(r.body, "{", fmt.Sprintf(`{"id":"0000000000000000000000000%d",`, i), 1)
		reply, err := w.engine.Execute(w.t.Context(), engine.Call{ID: "fill", Verb: engine.Create,
			Target: r.collection, Body: []byte(body), Trusted: true,
			Subject: ident.Subject{Who: ident.Admin, Name: "carla"}})
		if err != nil {
			w.t.Fatalf("%s: %v %+v", r.name, err, fault.From(err).Items)
		}
		w.ids[r.name] = reply.Record
	}
}

// call runs an action and tells all that can be told of its end.
func (w *twin) call(name, input, key string, signedIn bool) string {
	for n, id := range w.ids {
		input = strings.ReplaceAll(input, "$"+n, string(id))
	}
	c := engine.Call{ID: "call", Verb: engine.Action, Target: name, Body: []byte(input), Key: key}
	if input == "" {
		c.Body = nil
	}
	if signedIn {
		c.Credential = string(w.ids["ana"])
	}
	reply, err := w.engine.Execute(w.t.Context(), c)
	var f *fault.Fault
	if errors.As(err, &f) {
		if f.Kind == fault.Internal || f.Kind == fault.Timeout {
			// How the code went wrong, each language tells in its own way.
			return fmt.Sprintf("%s %s", f.Kind, f.CodeOr())
		}
		return fmt.Sprintf("%s %s %q %v %v", f.Kind, f.CodeOr(), f.Message, f.Data, f.Items)
	}
	body := reply.Body
	if reply.Output.Kind() != value.Absent {
		body = string(value.AppendJSON(nil, reply.Output))
	}
	return fmt.Sprintf("ok %s replayed=%v", body, reply.Replayed)
}

// journal writes all entries after those of fill.
func (w *twin) journal() string {
	list, err := w.store.Entries(w.t.Context(), store.Filter{}, journal.Seq{}, store.EntriesMax)
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(list)
	var b strings.Builder
	for _, e := range list[1+len(w.ids):] {
		fmt.Fprintf(&b, "%s %s %s key=%q %x\n", e.Seq, e.Origin.Subject, e.Origin.Operation, e.Origin.Key,
			e.Origin.Fingerprint)
		for _, c := range e.Changes {
			fmt.Fprintf(&b, "  %s/%s %s -> %s\n", c.Collection, c.ID, recordText(c.Before), recordText(c.After))
		}
		for _, i := range e.Intents {
			fmt.Fprintf(&b, "  intend %s %s %s\n", i.Kind, i.Name, value.AppendJSON(nil, i.Payload))
		}
		fmt.Fprintf(&b, "  reply %s refusal %v\n", value.AppendJSON(nil, e.Reply), e.Refusal)
	}
	return b.String()
}

func recordText(r value.Record) string {
	if r.Zero() {
		return "nothing"
	}
	return string(value.AppendJSON(nil, value.OfRecord(r)))
}

const line = `{"items":[{"product":"$pen","quantity":2},{"product":"$desk","quantity":1}]}`

// call is one call of a script: what it asks, under which key, and how its answer begins.
type call struct{ name, input, key, want string }

// scripts are calls in their order, each on a new app.
var scripts = map[string][]call{
	"a checkout, and its replay": {
		{"checkout", line, "k1", `ok {"order":`}, {"checkout", line, "k1", `ok {"order":`}},
	"a checkout of too much": {
		{"checkout", `{"items":[{"product":"$ink","quantity":2}]}`, "k1", "refused out_of_stock"},
		{"checkout", `{"items":[{"product":"$ink","quantity":2}]}`, "k1", "refused out_of_stock"},
		{"checkout", `{"items":[{"product":"$pen","quantity":2}]}`, "k2", "ok"}},
	"a checkout beyond the wallet": {
		{"checkout", `{"items":[{"product":"$desk","quantity":5},{"product":"$pen","quantity":9}]}`, "k1",
			"refused insufficient_funds"}},
	"a checkout of what is not there": {
		{"checkout", `{"items":[{"product":"$secret","quantity":1}]}`, "k1", "not found not_found"}},
	"the same product twice": {
		{"checkout", `{"items":[{"product":"$pen","quantity":1},{"product":"$pen","quantity":2}]}`, "k1", "ok"}},
	"all types": {
		{"everything", `{"label":"ä \"x\"","about":"long","share":0.1,"at":"2026-01-02T03:04:05.678Z",
			"day":"2026-02-28","span":"90s","tags":["b","a","b"],"data":{"z":1,"a":[null,true,"ü"]}}`, "k1", "ok"}},
	"all types without the optional ones": {
		{"everything", `{"label":"x","share":1,"at":"1969-12-31T23:59:59.999Z","span":"1ms","kind":"small",
			"tags":[],"data":null}`, "k1", "ok"}},
	"reads":     {{"reads", "", "k1", `ok {"cheap":["Ink","Pen"],"best":"Desk","none":null,"count":3,"all":4}`}},
	"operators": {{"operators", `{"box":"$box"}`, "k1", `ok {"count":7,"tags":["x","new"]}`}},
	"a stale update": {
		{"stale", `{"product":"$pen","catch":true}`, "k1", `ok {"code":"stale"}`},
		{"stale", `{"product":"$pen","catch":false}`, "k2", "stale stale"}},
	"a fault that is caught": {{"caught", `{"product":"$pen"}`, "k1", `ok {"code":"invalid_input"}`}},
	"a fault that is thrown": {{"missing", `{"product":"00000000000000000000000000"}`, "k1", "not found not_found"}},
	"chance":                 {{"chance", "", "k1", "ok"}, {"chance", "", "k2", "ok"}},
	"a mistake":              {{"breaks", "", "k1", "internal internal"}, {"nothing", "", "k2", "ok"}},
	"an endless loop":        {{"endless", "", "k1", "timeout timeout"}, {"nothing", "", "k2", "ok"}},
	"too many calls":         {{"many", "", "k1", "timeout timeout"}, {"nothing", "", "k2", "ok"}},
	"a huge text":            {{"huge", "", "k1", "invalid invalid_input"}, {"nothing", "", "k2", "ok"}},
	"hooks, and what is started": {
		{"like", `{"title":"open","amount":7}`, "k1", `ok {"likes":1,"job":`},
		{"like", `{"title":"open","amount":9}`, "k2", `ok {"likes":2,"job":`},
		{"like", `{"title":"closed","amount":7}`, "k3", `refused declined`},
		{"like", `{"title":"open","amount":0}`, "k4", `internal internal`},
		{"unlike", `{"title":"open"}`, "k5", `ok`}},
	"a delete that cascades": {
		{"checkout", line, "k1", "ok"}, {"removes", `{"order":"$last"}`, "k2", "ok"},
		{"removes", `{"order":"$last"}`, "k3", "not found not_found"}},
}

// TestTwins runs every script in both languages on every database, each with and
// without a retry, and wants the same answers and the same journal, byte for byte.
func TestTwins(t *testing.T) {
	type way struct {
		language string
		retry    bool
	}
	var ways []way
	p := &places{url: pgtest.Shared(t).Database(t)}
	for _, language := range languages {
		ways = append(ways, way{language, false}, way{language, true})
	}
	for name, calls := range scripts {
		t.Run(name, func(t *testing.T) {
			var answers, journals []string
			for _, on := range databases {
				for _, way := range ways {
					language := way.language
					w := newTwin(t, p, on, language, way.retry)
					var got []string
					for _, c := range calls {
						said := w.call(c.name, c.input, c.key, true)
						if !strings.HasPrefix(said, c.want) {
							t.Errorf("%s on %s: %s(%s)\n got %s\nwant %s", language, on, c.name, c.input,
								said, c.want)
						}
						var out struct{ Order ident.Record }
						if text, ok := strings.CutPrefix(said, "ok "); ok {
							_ = json.NewDecoder(strings.NewReader(text)).Decode(&out) // not all are orders
						}
						if out.Order != "" {
							w.ids["last"] = out.Order
						}
						got = append(got, said)
					}
					delete(w.ids, "last")
					answers = append(answers, strings.Join(got, "\n"))
					journals = append(journals, w.journal())
				}
			}
			for i := range answers {
				if answers[i] != answers[0] {
					t.Errorf("the answers differ\n%s\n%s", answers[0], answers[i])
				}
				if journals[i] != journals[0] {
					t.Errorf("the journals differ\n%s\n%s", journals[0], journals[i])
				}
			}
		})
	}
}

// TestTwinsAreGenerated compares the package of the twins with what is made today.
func TestTwinsAreGenerated(t *testing.T) {
	s, findings := appfile.Load(twinsDir)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	want, err := codegen.Go(s, "app")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(twinsDir+"/app/app.go", want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(twinsDir + "/app/app.go")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("run go test -run Generated -update . (%v)", err)
	}
}

// BenchmarkTwins is one checkout of two lines through the engine, in each language.
func BenchmarkTwins(b *testing.B) {
	for _, language := range languages {
		b.Run(language, func(b *testing.B) {
			w := newTwin(b, nil, "sqlite", language, false)
			for n, id := range w.ids {
				if n == "pen" || n == "ink" || n == "desk" || n == "ana" {
					collection, body := "products", `{"stock":1000000000}`
					if n == "ana" {
						collection, body = "users", `{"wallet":9000000000000}`
					}
					if _, err := w.engine.Execute(b.Context(), engine.Call{ID: "fill", Verb: engine.Update,
						Target: collection, Record: string(id), Body: []byte(body), Trusted: true,
						Subject: ident.Subject{Who: ident.Admin, Name: "carla"}}); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				if got := w.call("checkout", line, fmt.Sprint(i), true); !strings.HasPrefix(got, "ok") {
					b.Fatal(got)
				}
			}
		})
	}
}
