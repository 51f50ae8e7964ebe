package delivery_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/follow/delivery"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/observe"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/spec/appfile"
	"github.com/galleybackend/galley/internal/store/dbtest"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/sqlite"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const secret = "whsec_bWFya2VkLXNlY3JldC1vZi10aGUtcGFydG5lcg=="

type database = dbtest.Database

// message is what the other side got.
type message struct {
	id, record string
	n          int64
	header     http.Header
	body       string
}

// partner is the other side.
type partner struct {
	*httptest.Server
	t *testing.T
	// answer says what a message is answered, 0 for nothing before the end.
	answer func(m message, nth int) int
	after  atomic.Value // Retry-After

	mu   sync.Mutex
	got  []message
	more chan struct{}
	seen map[string]int
}

func newPartner(t *testing.T) *partner {
	p := &partner{t: t, more: make(chan struct{}), seen: map[string]int{},
		answer: func(message, int) int { return 204 }}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *partner) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	m := message{id: r.Header.Get("Webhook-Id"), header: r.Header.Clone(), body: string(text)}
	var body struct {
		Data struct {
			ID string `json:"id"`
			N  int64  `json:"n"`
		} `json:"data"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		p.t.Errorf("got %s", text)
	}
	m.record, m.n = body.Data.ID, body.Data.N
	err = auth.VerifyWebhook(&spec.Webhook{Verify: spec.VerifyStandard}, secret, r.Header, text, time.Now())
	if err != nil {
		p.t.Errorf("a message is not signed: %v", err)
	}
	p.mu.Lock()
	p.seen[m.id]++
	nth := p.seen[m.id]
	status := p.answer(m, nth)
	p.got = append(p.got, m)
	close(p.more)
	p.more = make(chan struct{})
	p.mu.Unlock()
	if status == 0 {
		<-r.Context().Done()
		return
	}
	if after, ok := p.after.Load().(string); ok {
		w.Header().Set("Retry-After", after)
	}
	w.WriteHeader(status)
}

// await waits until what was got is as asked for.
func (p *partner) await(what string, is func(got []message) bool) []message {
	p.t.Helper()
	late := time.After(time.Minute)
	for {
		p.mu.Lock()
		got, more := slices.Clone(p.got), p.more
		p.mu.Unlock()
		if is(got) {
			return got
		}
		select {
		case <-more:
		case <-late:
			var said []string
			for _, m := range got {
				said = append(said, fmt.Sprintf("%s %s %d", m.id, m.record, m.n))
			}
			p.t.Fatalf("%s: got %d messages: %v", what, len(got), said)
		}
	}
}

// node is a process: a store, an engine and its deliveries.
type node struct {
	t      *testing.T
	db     database
	engine *engine.Engine
	runner *follow.Runner
	of     *delivery.Deliveries
	once   sync.Once
}

// compiled is the app that delivers to the partner, with the deliveries named so or, where
// none is named, all.
func compiled(t *testing.T, to string, named ...string) *app.App {
	t.Helper()
	text := `app: shop
secrets: [HOOK_KEY]
collections:
  orders:
    fields:
      n: int
      cost: {type: int?, read: false}
deliveries:
`
	for _, d := range []struct{ name, when string }{{"made", "on: orders.created"},
		{"changed", "on: orders.updated"}, {"gone", "on: orders.deleted, if: record.n > 99"}} {
		if len(named) == 0 || slices.Contains(named, d.name) {
			text += fmt.Sprintf("  %s: {%s, to: %s/%[1]s, secret: HOOK_KEY, retry: 4}\n", d.name, d.when, to)
		}
	}
	s, findings := appfile.Parse(map[string][]byte{"galley.yaml": []byte(text)})
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	house := slices.Concat(follow.Collections(), delivery.Collections(s))
	a, findings := app.Compile(s, house, nil)
	if spec.Failed(findings) {
		t.Fatal(findings)
	}
	return a
}

// start opens a node of an app that delivers to the partner.
func start(t *testing.T, db database, shared bool, to string, change func(*delivery.Config)) *node {
	t.Helper()
	a := compiled(t, to)
	n := &node{t: t, db: db}
	dbtest.Install(t, db, a.Schema, time.Now())
	n.engine = engine.New(engine.Config{Store: db, App: a})
	n.runner = follow.New(follow.Config{Store: db, Shared: func() bool { return shared },
		Head: dbtest.Head(db)})
	mask := &observe.Mask{}
	mask.Set(map[string]string{"HOOK_KEY": secret})
	wall := outbound.New(outbound.Config{Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	cfg := delivery.Config{Store: db, Follow: n.runner, App: n.engine.App, Mask: mask, Wall: wall,
		Secret: func(string) string { return secret }, Log: slog.New(slog.DiscardHandler),
		Again: func(int64) time.Duration { return 5 * time.Millisecond }}
	if change != nil {
		change(&cfg)
	}
	n.of = delivery.New(cfg)
	n.of.Start(t.Context())
	if err := n.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.close(); wall.Close() })
	return n
}

func (n *node) close() {
	n.once.Do(func() {
		if err := n.runner.Close(); err != nil {
			n.t.Error(err)
		}
		if err := n.db.Close(); err != nil {
			n.t.Error(err)
		}
	})
}

// call does something with orders, as an administrator.
func (n *node) call(verb engine.Verb, id ident.Record, body string) ident.Record {
	n.t.Helper()
	c := engine.Call{ID: ident.NewCall(), Verb: verb, Target: "orders", Record: string(id), Trusted: true,
		Subject: ident.Subject{Who: ident.Admin, Name: "test"}}
	if body != "" {
		c.Body = []byte(body)
	}
	r, err := n.engine.Execute(n.t.Context(), c)
	if err != nil {
		n.t.Fatal(err)
	}
	return r.Record
}

// until waits until a list of deliveries is as asked for.
func (n *node) until(what string, is func([]delivery.Info) bool) []delivery.Info {
	n.t.Helper()
	late := time.After(time.Minute)
	for {
		list, err := n.of.List(n.t.Context(), "", "", "", delivery.ListMax)
		if err != nil {
			n.t.Fatal(err)
		}
		if is(list) {
			return list
		}
		poll := time.NewTimer(10 * time.Millisecond)
		select {
		case <-poll.C:
		case <-late:
			n.t.Fatalf("%s: of %d deliveries: %+v", what, len(list),
				slices.DeleteFunc(list, func(i delivery.Info) bool { return i.State == delivery.Done }))
		}
	}
}

func all(state string, count int) func([]delivery.Info) bool {
	return func(list []delivery.Info) bool {
		return len(list) == count && !slices.ContainsFunc(list, func(i delivery.Info) bool {
			return i.State != state
		})
	}
}

func TestAChangeIsDelivered(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		p := newPartner(t)
		n := start(t, open(), shared, p.URL, nil)
		id := n.call(engine.Create, "", `{"n":1,"cost":7}`)
		got := p.await("the order", func(got []message) bool { return len(got) == 1 })
		m := got[0]
		if m.record != string(id) || m.n != 1 || strings.Contains(m.body, "cost") ||
			!strings.HasPrefix(m.body, `{"type":"orders.created","timestamp":"20`) ||
			m.header.Get("Content-Type") != "application/json" ||
			!strings.HasPrefix(m.id, "msg_") {
			t.Errorf("got %s %v", m.body, m.header)
		}
		n.call(engine.Delete, id, "") // does not pass its if
		id = n.call(engine.Create, "", `{"n":100}`)
		n.call(engine.Delete, id, "")
		p.await("the delete", func(got []message) bool {
			return len(got) == 3 && slices.ContainsFunc(got, func(m message) bool {
				return strings.HasPrefix(m.body, `{"type":"orders.deleted"`) && m.n == 100
			})
		})
		list := n.until("all arrive", all(delivery.Done, 3))
		if list[0].Status != 204 || list[0].Tries != 1 || list[0].Ended.IsZero() || list[0].Body != nil {
			t.Errorf("got %+v", list[0])
		}
		// A human sends it again, under the same id.
		last := list[len(list)-1]
		if err := n.of.Retry(t.Context(), last.ID); err != nil {
			t.Fatal(err)
		}
		p.await("the repetition", func(got []message) bool {
			return len(got) == 4 && got[3].id == delivery.MessageID(last.ID)
		})
		if whole, err := n.of.Show(t.Context(), last.ID); err != nil || string(whole.Body) != m.body {
			t.Errorf("got %s, %v", whole.Body, err)
		}
		if err := n.of.Retry(t.Context(), ident.NewRecord()); err == nil {
			t.Error("a delivery that is not there is tried again")
		}
		if list, err := n.of.List(t.Context(), delivery.Done, "gone", "", 10); err != nil || len(list) != 1 {
			t.Errorf("got %v, %v", list, err)
		}
	})
}

func TestDeliveriesOfARecordComeInItsOrder(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		p := newPartner(t)
		chance := rand.New(rand.NewPCG(1, 2))
		p.answer = func(m message, nth int) int { // a hook that fails every other time
			if nth < 4 && chance.IntN(2) == 0 {
				return 503
			}
			return 200
		}
		first := start(t, open(), shared, p.URL, nil)
		nodes := []*node{first}
		if shared {
			nodes = append(nodes, start(t, open(), shared, p.URL, nil))
		}
		const records, changes = 6, 10
		var wg sync.WaitGroup
		for r := range records {
			wg.Go(func() {
				id := nodes[0].call(engine.Create, "", `{"n":0}`)
				for c := range changes {
					nodes[(r+c)%len(nodes)].call(engine.Update, id, fmt.Sprintf(`{"n":%d}`, c+1))
				}
			})
		}
		wg.Wait()
		first.until("all arrive", all(delivery.Done, records*(changes+1)))
		last := map[string]int64{}
		accepted := map[string]bool{}
		for _, m := range p.await("", func([]message) bool { return true }) {
			if !strings.HasPrefix(m.body, `{"type":"orders.updated"`) {
				continue
			}
			// A message may come again until it is answered, but none before one that
			// was not.
			if m.n < last[m.record] || m.n > last[m.record]+1 {
				t.Errorf("%s: %d came after %d", m.record, m.n, last[m.record])
			}
			last[m.record] = m.n
			accepted[m.record+fmt.Sprint(m.n)] = true
		}
		if len(accepted) != records*changes {
			t.Errorf("%d changes arrived, want %d", len(accepted), records*changes)
		}
	})
}

func TestWhatFailsForGoodIsParkedAndHoldsUpNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		p := newPartner(t)
		var bad atomic.Bool
		bad.Store(true)
		p.answer = func(m message, nth int) int {
			if bad.Load() && m.n == 1 {
				return 500
			}
			if m.n == 3 {
				return 410
			}
			return 200
		}
		n := start(t, open(), shared, p.URL, nil)
		id := n.call(engine.Create, "", `{"n":0}`)
		n.call(engine.Update, id, `{"n":1}`)
		n.call(engine.Update, id, `{"n":2}`)
		n.call(engine.Update, id, `{"n":3}`)
		list := n.until("two fail", func(list []delivery.Info) bool {
			return len(list) == 4 && list[0].State == delivery.Failed && list[1].State == delivery.Done &&
				list[2].State == delivery.Failed
		})
		if list[2].Tries != 5 || list[2].Status != 500 || list[2].Problem != "the other side answered 500" ||
			list[0].Tries != 1 || list[0].Status != 410 {
			t.Errorf("got %+v and %+v", list[2], list[0])
		}
		bad.Store(false)
		if err := n.of.Retry(t.Context(), list[2].ID); err != nil {
			t.Fatal(err)
		}
		n.until("it arrives", func(list []delivery.Info) bool { return list[2].State == delivery.Done })
	})
}

func TestTheOtherSideSaysWhenToComeAgain(t *testing.T) {
	p := newPartner(t)
	p.after.Store("7200")
	p.answer = func(message, int) int { return 429 }
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, db, false, p.URL, nil)
	before := time.Now()
	n.call(engine.Create, "", `{"n":0}`)
	list := n.until("it waits", func(list []delivery.Info) bool {
		return len(list) == 1 && list[0].Tries == 1 && list[0].State == delivery.Waiting
	})
	if wait := list[0].Due.Sub(before); wait < 7190*time.Second || wait > 7300*time.Second {
		t.Errorf("it waits %v", wait)
	}
	p.mu.Lock()
	p.answer = func(message, int) int { return 200 }
	p.mu.Unlock()
	if err := n.of.Retry(t.Context(), list[0].ID); err != nil {
		t.Fatal(err)
	}
	n.until("it arrives", all(delivery.Done, 1))
}

func TestANodeThatEndsLosesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		p := newPartner(t)
		var slow atomic.Bool
		slow.Store(true)
		p.answer = func(message, int) int {
			if slow.Load() {
				return 0
			}
			return 200
		}
		n := start(t, open(), shared, p.URL, nil)
		for i := range 12 {
			n.call(engine.Create, "", fmt.Sprintf(`{"n":%d}`, i))
		}
		p.await("some are sent", func(got []message) bool { return len(got) >= 8 })
		slow.Store(false)
		n.close()
		next := start(t, open(), shared, p.URL, nil)
		next.until("all arrive", all(delivery.Done, 12))
		ids := map[string]bool{}
		for _, m := range p.await("", func([]message) bool { return true }) {
			ids[m.id] = true
		}
		if len(ids) != 12 {
			t.Errorf("there were %d messages, want 12", len(ids))
		}
	})
}

func TestNothingIsDeliveredBehindTheWall(t *testing.T) {
	p := newPartner(t)
	db, err := sqlite.Open(t.Context(), sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	wall := outbound.New(outbound.Config{})
	defer wall.Close()
	n := start(t, db, false, p.URL, func(c *delivery.Config) { c.Wall = wall })
	n.call(engine.Create, "", `{"n":0}`)
	list := n.until("it fails", all(delivery.Failed, 1))
	if !strings.Contains(list[0].Problem, "not public") || len(p.got) != 0 {
		t.Errorf("got %+v", list[0])
	}
}

func TestAgainTakesLongerAndLonger(t *testing.T) {
	var sum time.Duration
	for n := int64(1); n <= 12; n++ {
		sum += delivery.Again(n, 0.5)
	}
	if delivery.Again(1, 0.5) != 5*time.Second || delivery.Again(100, 0.5) != 6*time.Hour ||
		sum < 24*time.Hour || sum > 36*time.Hour {
		t.Errorf("12 tries take %v", sum)
	}
	if delivery.Again(2, 0) >= delivery.Again(2, 1) {
		t.Error("chance changes nothing")
	}
}

func TestANodeThatStandsStillIsNotWaitedFor(t *testing.T) {
	url := pgtest.Shared(t).Database(t)
	open := func() database {
		db, err := postgres.Open(t.Context(), postgres.Config{URL: url, Readers: 6})
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	p := newPartner(t)
	var held atomic.Int64
	p.answer = func(m message, nth int) int {
		if nth == 1 {
			held.Add(1)
			return 0 // the first node waits for ever
		}
		return 200
	}
	first := start(t, open(), true, p.URL, nil)
	id := first.call(engine.Create, "", `{"n":1}`)
	p.await("it is being sent", func(got []message) bool { return len(got) == 1 })
	first.runner.Halt()
	second := start(t, open(), true, p.URL, nil)
	second.until("another node sends it", all(delivery.Done, 1))
	got := p.await("", func([]message) bool { return true })
	if len(got) != 2 || got[0].id != got[1].id || got[1].record != string(id) {
		t.Errorf("got %v", got)
	}
	first.close() // what it makes of its own try changes nothing
	list := second.until("it stays", all(delivery.Done, 1))
	if list[0].Tries != 1 {
		t.Errorf("it took %d tries, want 1", list[0].Tries)
	}
}

func TestANodeWithAnotherAppLeavesDeliveriesAlone(t *testing.T) {
	p := newPartner(t)
	old := compiled(t, p.URL, "changed")
	var behind atomic.Bool
	n := start(t, dbtest.Memory(t), false, p.URL, func(c *delivery.Config) {
		now := c.App
		c.App = func() *app.App {
			if behind.Load() {
				return old // it does not know of made yet
			}
			return now()
		}
		c.InForce = func() error {
			if behind.Load() {
				return fault.New(fault.Unavailable, "The app is being changed.")
			}
			return nil
		}
	})
	behind.Store(true)
	n.call(engine.Create, "", `{"n":0}`)
	n.until("it is behind", func([]delivery.Info) bool {
		all, err := n.runner.Status(t.Context())
		return err == nil && len(all) == 1 && all[0].Lag > 0
	})
	behind.Store(false)
	n.until("it arrives", all(delivery.Done, 1))
}

func TestWhatTheAppNamesNoMoreIsGivenUp(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, open func() database, shared bool) {
		p := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		t.Cleanup(p.Close)
		slow := func(c *delivery.Config) { c.Again = func(int64) time.Duration { return time.Hour } }
		n := start(t, open(), shared, p.URL, slow)
		id := n.call(engine.Create, "", `{"n":1}`)
		n.call(engine.Update, id, `{"n":2}`)
		n.call(engine.Update, id, `{"n":3}`)
		n.until("both lanes were tried", func(l []delivery.Info) bool {
			tried := 0
			for _, i := range l {
				tried += int(i.Tries)
			}
			return len(l) == 3 && tried == 2
		})
		n.close()
		next := start(t, open(), shared, p.URL, func(c *delivery.Config) {
			slow(c)
			a := compiled(t, p.URL, "made")
			c.App = func() *app.App { return a }
			c.Now = func() time.Time { return time.Now().Add(25 * time.Hour) }
		})
		list := next.until("what has no name is given up", func(l []delivery.Info) bool {
			failed := slices.DeleteFunc(slices.Clone(l), func(i delivery.Info) bool {
				return i.State != delivery.Failed
			})
			return len(failed) == 2
		})
		for _, i := range list {
			if i.Name == "changed" && !strings.Contains(i.Problem, "no such delivery any more") ||
				i.Name == "made" && i.State == delivery.Failed {
				t.Errorf("%+v", i)
			}
		}
	})
}
