package mail_test

import (
	"context"
	"fmt"
	"log/slog"
	netmail "net/mail"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/mail"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/outbound/smtptest"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// shop is the app that most tests send mails for.
const shop = `app: shop
currency: EUR
timezone: Europe/Lisbon
auth: {sign_in: [password]}
collections:
  users: {fields: {name: string, deals: {type: bool, default: true}}}
  orders:
    fields: {customer: users, total: money, note: string?}
emails:
  receipt: {on: orders.created, to: record.customer}
  shipped: {on: orders.updated, if: record.note != before.note, to: record.customer.email}
  friends: {on: orders.deleted, to: "users.filter(u, u != record.customer)"}
  news: {on: orders.created, if: record.total > 5000, to: record.customer, every: 14d}
  offer: {on: orders.created, if: record.total > 9000, to: record.customer, every: 7d, until: click}
  deals:
    cron: 0 9 * * MON
    to: users.filter(u, u.deals && u.verified)
    every: 14d
    until: click
  hello: {}
  way: {}
`

func templates() map[string][]byte {
	return map[string][]byte{
		"galley.yaml": []byte(shop),
		"emails/receipt.html": []byte("Subject: Your order of {{money .record.total}}\n" +
			"<h1>Thank you, {{.user.name}}</h1><p>{{.record.customer.name}} {{.record.note}}</p>"),
		"emails/shipped.html": []byte("Subject: {{.record.note}}\n<p>{{.app}}</p>"),
		"emails/friends.html": []byte("Subject: {{.user.name}}, {{.record.customer.name}} is back\n<p>x</p>"),
		"emails/news.html":    []byte("Subject: News\n<p>For {{.user.name}}</p>"),
		"emails/offer.html":   []byte("Subject: Offer\n<p><a href=\"{{link \"/offer\"}}\">See</a></p>"),
		"emails/deals.html": []byte("Subject: Deals for {{.user.name}}\n" +
			"<p><a href=\"{{link \"/deals?a=1&b=2\"}}\">See</a> <a href=\"{{.unsubscribe}}\">no more</a></p>"),
		"emails/way.html":   []byte("Subject: Way\n<p><a href=\"{{.unsubscribe}}\">no more</a></p>"),
		"emails/hello.html": []byte("Subject: Hello {{.data.name}}\n<p>{{with .record}}{{.total}}{{end}}</p>"),
	}
}

type database = dbtest.Database

// node is a process: a store, an engine and its mails.
type node struct {
	t      testing.TB
	db     database
	app    *app.App
	engine *engine.Engine
	runner *follow.Runner
	mails  *mail.Mails
	// clock is the app's own time, in milliseconds.
	clock *atomic.Int64
	stop  context.CancelFunc
	done  sync.WaitGroup
	count int
}

func compile(t testing.TB) *app.App {
	t.Helper()
	s, findings := appfile.Parse(templates())
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	a, findings := app.Compile(s, slices.Concat(auth.Collections(), follow.Collections(),
		mail.Collections(s)), nil)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	return a
}

// prepare opens a node without running it.
func prepare(t testing.TB, db database, shared bool, change func(*mail.Config)) *node {
	t.Helper()
	n := &node{t: t, db: db, app: compile(t), clock: &atomic.Int64{}}
	n.clock.Store(time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC).UnixMilli())
	dbtest.Install(t, db, n.app.Schema, n.now())
	log := slog.New(slog.DiscardHandler)
	n.engine = engine.New(engine.Config{Store: db, App: n.app, Clock: n.now, Log: log,
		Secret: []byte("a secret")})
	n.runner = follow.New(follow.Config{Store: db, Now: n.now, Log: log,
		Head:   dbtest.Head(db),
		Shared: func() bool { return shared }})
	config := mail.Config{Store: db, App: func() *app.App { return n.app }, Nodes: n.runner,
		From: netmail.Address{Address: "hello@shop.example"}, Now: n.now, Log: log,
		URL: func() string { return "https://shop.example" }, Key: []byte("a key"),
		Pace: mail.Pace{Again: 10 * time.Millisecond, Portion: 7}}
	if change != nil {
		change(&config)
	}
	n.mails = mail.New(config)
	n.runner.Add(n.mails)
	n.runner.OnWake(n.mails.Wake)
	return n
}

// start opens a node and runs it.
func start(t testing.TB, db database, shared bool, change func(*mail.Config)) *node {
	t.Helper()
	n := prepare(t, db, shared, change)
	n.run()
	t.Cleanup(n.close)
	return n
}

func (n *node) run() {
	if err := n.runner.Start(n.t.Context()); err != nil {
		n.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.done.Go(func() { n.mails.Run(ctx, context.Background()) })
}

func (n *node) close() {
	if n.stop == nil {
		return
	}
	n.stop()
	n.stop = nil
	n.done.Wait()
	if err := n.runner.Close(); err != nil {
		n.t.Error(err)
	}
	if err := n.db.Close(); err != nil {
		n.t.Error(err)
	}
}

// now is the app's own time, which passes, and leaps where a test wants it to.
func (n *node) now() time.Time { return time.UnixMilli(n.clock.Load()).UTC() }

func (n *node) advance(d time.Duration) {
	n.clock.Add(d.Milliseconds())
	n.mails.Wake()
}

// call makes a call as an admin.
func (n *node) call(verb engine.Verb, target, id, body string) string {
	n.t.Helper()
	n.count++
	reply, err := n.engine.Execute(n.t.Context(), engine.Call{Verb: verb, Target: target,
		Record: id, Body: []byte(body), ID: ident.NewCall(), Trusted: true, Key: fmt.Sprint("k", n.count),
		Subject: ident.Subject{Who: ident.Admin, Name: "test"}, Door: "test"})
	if err != nil {
		n.t.Fatal(err)
	}
	if reply.Item.Record.Zero() {
		return string(reply.Record)
	}
	return reply.Item.Record.Slots[spec.SlotID].Text()
}

func (n *node) user(name string) string {
	n.t.Helper()
	return n.call(engine.Create, "users", "", fmt.Sprintf(
		`{"name":%q,"email":%q,"verified":true}`, name, name+"@example.com"))
}

func (n *node) order(user string, total int) string {
	n.t.Helper()
	return n.call(engine.Create, "orders", "", fmt.Sprintf(`{"customer":%q,"total":%d}`, user, total))
}

// until waits until the letters of a filter are as they are asked for.
func (n *node) until(f mail.Filter, is func([]mail.Letter) bool) []mail.Letter {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		found, err := n.mails.List(ctx, f)
		if err == nil && is(found) {
			return found
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			for _, l := range found {
				n.t.Logf("%+v", l)
			}
			n.t.Fatalf("the letters of %+v are not as they were waited for (%v)", f, err)
		}
	}
}

// states waits until there are so many letters of a filter, and all are in one of the
// states.
func (n *node) states(f mail.Filter, count int, states ...string) []mail.Letter {
	n.t.Helper()
	return n.until(f, func(found []mail.Letter) bool {
		return len(found) == count && !slices.ContainsFunc(found, func(l mail.Letter) bool {
			return !slices.Contains(states, l.State)
		})
	})
}

// to returns a change of the config that sends to a server.
func to(t testing.TB, s *smtptest.Server) func(*mail.Config) {
	t.Helper()
	c, err := outbound.ParseSMTP("smtp://" + s.Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return func(config *mail.Config) { config.Sender = c }
}
