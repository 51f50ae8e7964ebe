// Package sim is tests only: several engines on one database, callers who repeat
// themselves, commits that fail and followers that die, drawn by one printed seed; and
// histories of what concurrent callers heard, for which an order is looked for that
// explains them. It promises nothing to anybody; what it asks for stands in
// docs/guarantees.md.
package sim

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

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
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
	"github.com/galleybackend/galley/internal/store/sqlstore"
	"github.com/galleybackend/galley/internal/store/storetest"
)

// bank is the app: wallets that must not be overdrawn, counters, and wards in which a
// doctor stays on call.
var bank = map[string]string{"galley.yaml": `app: bank
auth: {sign_in: [password]}
collections:
  users:
    fields: {name: {type: string, max: 40}}
    allow: {read: record == auth}
  wallets:
    fields:
      owner: users
      balance: {type: money, default: 0}
      note: {type: string, max: 80, default: ""}
    check: {overdrawn: record.balance >= 0}
    allow:
      read: record.owner == auth
      update: {if: record.owner == auth, fields: [note]}
  transfers:
    fields: {from: wallets, to: wallets, amount: money}
    allow: {read: record.from.owner == auth || record.to.owner == auth}
  receipts:
    fields: {transfer: {type: transfers, unique: true}, amount: money}
  counters:
    fields: {name: {type: string, unique: true}, n: {type: int, default: 0}}
    allow:
      read: auth != null
      update: {if: auth != null, fields: [n]}
  doctors:
    fields: {ward: {type: string, max: 20}, on_call: bool}
    check:
      nobody_left: record.on_call || doctors.exists(d, d.ward == record.ward && d.on_call)
    allow:
      read: auth != null
      update: {if: auth != null, fields: [on_call]}
actions:
  transfer:
    allow: auth != null
    input: {from: wallets, to: wallets, amount: {type: money, min: 1}}
    output: {left: money}
  count:
    allow: auth != null
    input: {counter: counters}
    output: {n: int}
errors:
  not_yours: This wallet is somebody else's.
`, "actions/transfer.ts": `import { action, refuse } from "galley";
export default action("transfer", async (tx, input) => {
  const from = await tx.db.wallets.get(input.from);
  const to = await tx.db.wallets.get(input.to);
  if (from.owner !== tx.auth.id) throw refuse("not_yours");
  const left = await tx.db.wallets.update(from, { balance: from.balance - input.amount });
  await tx.db.wallets.update(to, { balance: to.balance + input.amount });
  await tx.db.transfers.insert({ from: from.id, to: to.id, amount: input.amount });
  return { left: left.balance };
});
`, "actions/count.ts": `import { action } from "galley";
export default action("count", async (tx, input) => {
  const c = await tx.db.counters.get(input.counter);
  const now = await tx.db.counters.update(c, { n: c.n + 1 });
  return { n: now.n };
});
`}

// compiled is the bank.
func compiled(t testing.TB) *app.App {
	t.Helper()
	files, tree := map[string][]byte{}, fstest.MapFS{}
	for name, text := range bank {
		files[name], tree[name] = []byte(text), &fstest.MapFile{Data: []byte(text)}
	}
	s, findings := appfile.Parse(files)
	if !spec.Failed(findings) {
		ts, found := tsaction.Load(tree, s)
		findings = append(findings, found...)
		a, found := app.Compile(s, auth.Collections(), []app.Code{{Language: "ts", Program: ts}})
		if findings = append(findings, found...); !spec.Failed(findings) {
			return a
		}
	}
	for _, f := range findings {
		t.Errorf("%v: %s", f.Pos, f.Message)
	}
	t.FailNow()
	return nil
}

// faults are asked at the points of every commit; a nil one lets them be.
type faults func(at sqlstore.Point) error

// handle is a store that can be opened again.
type handle interface {
	storetest.Store
	Failed() <-chan struct{}
}

// database is where stores are opened.
type database struct {
	name string
	// shared says that several handles may be open at once.
	shared bool
	// place makes an empty database and returns how a handle on it is opened.
	place func(t testing.TB) func(f faults) (handle, error)
}

func databases() []database {
	return []database{
		{"sqlite", false, func(t testing.TB) func(faults) (handle, error) {
			path := filepath.Join(t.TempDir(), "galley.db")
			return func(f faults) (handle, error) {
				return sqlite.Open(context.Background(), sqlite.Config{Path: path, Unsafe: true,
					Fault: f})
			}
		}},
		{"postgres", true, func(t testing.TB) func(faults) (handle, error) {
			url := pgtest.Shared(t).Database(t)
			return func(f faults) (handle, error) {
				return postgres.Open(context.Background(), postgres.Config{URL: url, Readers: 6,
					Fault: f})
			}
		}},
	}
}

// TestMain ends the PostgreSQL server that the tests share.
func TestMain(m *testing.M) { pgtest.Main(m) }

// byID signs people in by the id of their record.
type byID struct{}

// Authenticate returns the user whose id the credential is.
func (byID) Authenticate(ctx context.Context, r auth.Reader, credential string) (
	ident.Subject, error) {
	_, err := r.Get(ctx, spec.Users, ident.Record(credential))
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.Unauthenticated, "Nobody has this credential.")
	}
	return ident.Subject{Who: ident.User, ID: ident.Record(credential)}, err
}

// admin is who sets things up.
var admin = ident.Subject{Who: ident.Admin, Name: "sim"}

// newEngine makes an engine on a store, which has the bank's schema.
func newEngine(s store.Store, a *app.App) *engine.Engine {
	return engine.New(engine.Config{Store: s, App: a, Authenticator: byID{},
		Runners: map[string]action.Runner{"ts": tsaction.Runner{}}, Secret: []byte("a secret"),
		Rate: spec.Rate{Count: 1 << 30, Per: time.Second}})
}

// prepare gives an empty store the bank's schema.
func prepare(t testing.TB, s store.Store, a *app.App) {
	t.Helper()
	origin := journal.Origin{Call: ident.NewCall(), Operation: "schema", Subject: admin}
	if _, err := s.Apply(t.Context(), origin, spec.Diff(nil, a.Schema), nil); err != nil {
		t.Fatal(err)
	}
}

// create makes a record as the admin.
func create(t testing.TB, e *engine.Engine, collection, body string, args ...any) ident.Record {
	t.Helper()
	r, err := e.Execute(t.Context(), engine.Call{ID: ident.NewCall(), Verb: engine.Create,
		Target: collection, Body: fmt.Appendf(nil, body, args...), Subject: admin, Trusted: true})
	if err != nil {
		t.Fatalf("create in %s: %v", collection, err)
	}
	return r.Record
}

// people are the users of a bank with a wallet each.
type people struct {
	users, wallets []ident.Record
	counter        ident.Record
}

const money = 100

func populate(t testing.TB, e *engine.Engine, n int) *people {
	p := &people{}
	for i := range n {
		user := create(t, e, "users", `{"name":"u%d","email":"u%d@example.com"}`, i, i)
		p.users = append(p.users, user)
		p.wallets = append(p.wallets, create(t, e, "wallets", `{"owner":%q,"balance":%d}`, user,
			money))
	}
	p.counter = create(t, e, "counters", `{"name":"c"}`)
	return p
}

// transfer moves money from one person to another.
func (p *people) transfer(from, to int, amount int64, key string) engine.Call {
	return engine.Call{ID: ident.NewCall(), Verb: engine.Action, Target: "transfer", Key: key,
		Credential: string(p.users[from]), Body: fmt.Appendf(nil,
			`{"from":%q,"to":%q,"amount":%d}`, p.wallets[from], p.wallets[to], amount)}
}

// count counts, by what was read or by an operator.
func (p *people) count(who int, key string, operator bool) engine.Call {
	c := engine.Call{ID: ident.NewCall(), Key: key, Credential: string(p.users[who])}
	if operator {
		c.Verb, c.Target, c.Record = engine.Update, "counters", string(p.counter)
		c.Body = []byte(`{"n":{"$add":1}}`)
		return c
	}
	c.Verb, c.Target = engine.Action, "count"
	c.Body = fmt.Appendf(nil, `{"counter":%q}`, p.counter)
	return c
}

// read asks for one record.
func read(collection string, id ident.Record, who ident.Record) engine.Call {
	return engine.Call{ID: ident.NewCall(), Verb: engine.Get, Target: collection,
		Record: string(id), Credential: string(who)}
}

// clock counts, so that what began later has a greater number.
type clock struct{ atomic.Int64 }
