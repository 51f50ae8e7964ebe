package live_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/transport"
	"github.com/galleybackend/galley/internal/value"
)

// chaosWrites is how many calls the chaos makes on each database; GALLEY_CHAOS says
// another number.
const chaosWrites = 300

// TestChaosLeavesEverySubscriptionTrue lets writers change records, memberships and what
// rules look at, while clients drop, come back, follow elsewhere and read slowly, on every
// node. What each of them had after each push is held against the journal.
func TestChaosLeavesEverySubscriptionTrue(t *testing.T) {
	writes := chaosWrites
	if text := os.Getenv("GALLEY_CHAOS"); text != "" {
		var err error
		if writes, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("sqlite", func(t *testing.T) { chaos(t, []*node{onSQLite(t, board)}, writes) })
	t.Run("postgres", func(t *testing.T) { chaos(t, onPostgres(t, board, 2), writes) })
}

// model is the world as the journal tells it.
type model map[string]map[ident.Record]value.Record

func (m model) apply(e *journal.Entry) {
	for _, c := range e.Changes {
		if m[c.Collection] == nil {
			m[c.Collection] = map[ident.Record]value.Record{}
		}
		if c.After.Zero() {
			delete(m[c.Collection], c.ID)
		} else {
			m[c.Collection][c.ID] = c.After
		}
	}
}

func (m model) member(board string, who ident.Record) bool {
	for _, r := range m["members"] {
		if r.Get("board").Text() == board && r.Get("user").Text() == string(who) {
			return true
		}
	}
	return false
}

func (m model) boardOf(card value.Record) string {
	return m["lists"][ident.Record(card.Get("list").Text())].Get("board").Text()
}

// readable is the read rule of each collection, said again.
func (m model) readable(collection string, who ident.Record, r value.Record) bool {
	switch {
	case collection == "notes" || who == "carla":
		return true
	case collection == "boards":
		return m.member(r.Slots[spec.SlotID].Text(), who)
	case collection == "users":
		for _, x := range m["members"] {
			if x.Get("user").Text() == r.Slots[spec.SlotID].Text() && m.member(x.Get("board").Text(), who) {
				return true
			}
		}
		return r.Slots[spec.SlotID].Text() == string(who)
	case collection == "cards":
		return m.member(m.boardOf(r), who)
	default: // members, lists
		return m.member(r.Get("board").Text(), who)
	}
}

// asked is a query with what it means.
type asked struct {
	collection string
	params     []string
	fits       func(m model, r value.Record) bool
	sort       string
	desc       bool
	limit      int
	// mine asks for what is assigned to who asks, or to nobody if he is none.
	mine bool
}

func (m model) answer(q *asked, who ident.Record) []value.Record {
	var out []value.Record
	for _, r := range m[q.collection] {
		if q.mine && r.Get("assignee").Text() != strings.TrimPrefix(string(who), "carla") {
			continue
		}
		if m.readable(q.collection, who, r) && (q.fits == nil || q.fits(m, r)) {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b value.Record) int {
		c := 0
		if q.sort != "" {
			c = cmp.Compare(a.Get(q.sort).Float(), b.Get(q.sort).Float())
		}
		if q.desc {
			c = -c
		}
		return cmp.Or(c, cmp.Compare(a.Slots[spec.SlotID].Text(), b.Slots[spec.SlotID].Text()))
	})
	return out[:min(len(out), cmp.Or(q.limit, 50))]
}

// known is what a client had after a push.
type known struct {
	who  ident.Record
	q    *asked
	at   journal.Seq
	what string
	have map[ident.Record]int64
}

type chaosWorld struct {
	t       testing.TB
	nodes   []*node
	seed    uint64
	users   []ident.Record
	queries []*asked

	mu      sync.Mutex
	ids     map[string][]ident.Record
	log     []known
	wrong   []string
	done    atomic.Bool
	states  int
	returns atomic.Int64
	resets  atomic.Int64
	// model is the world at the place at, as far as it was judged.
	model model
	at    journal.Seq
}

const (
	// roundWrites is after how many calls what was seen is judged, roundTime what one such
	// round takes at the most.
	roundWrites = 3000
	roundTime   = 3 * time.Minute
)

func chaos(t *testing.T, nodes []*node, writes int) {
	w := &chaosWorld{t: t, nodes: nodes, seed: rand.Uint64(), ids: map[string][]ident.Record{},
		model: model{}}
	t.Logf("seed %d", w.seed)
	n := nodes[0]
	for i := range 5 {
		w.users = append(w.users, n.create("users", `{"name":"u%d","email":"u%d@x.org"}`, i, i))
	}
	for i := range 3 {
		b := n.create("boards", `{"name":"b%d"}`, i)
		w.ids["boards"] = append(w.ids["boards"], b)
		for range 2 {
			w.ids["lists"] = append(w.ids["lists"], n.create("lists", `{"board":%q,"name":"l"}`, b))
		}
		for _, u := range w.users[:3] {
			w.ids["members"] = append(w.ids["members"],
				n.create("members", `{"board":%q,"user":%q}`, b, u))
		}
	}
	for i := range 10 {
		w.ids["cards"] = append(w.ids["cards"], n.create("cards",
			`{"list":%q,"title":"x%d","position":%d}`, w.ids["lists"][i%6], i, i))
	}
	w.ask()
	made := 0
	for round := 0; made < writes && !t.Failed(); round++ {
		n := min(writes-made, roundWrites)
		w.round(uint64(round)<<32, n)
		w.judge()
		made += n
		if end, ok := t.Deadline(); ok && time.Until(end) < roundTime {
			break // the time that a long run was given is over
		}
	}
	t.Logf("%d calls, %d states seen, %d returns, %d resets, %+v", made, w.states, w.returns.Load(),
		w.resets.Load(), nodes[0].now.Load().Stats())
}

// round lets writers and clients loose, and once a hub that ends.
func (w *chaosWorld) round(salt uint64, writes int) {
	w.done.Store(false)
	var writers, clients sync.WaitGroup
	var made atomic.Int64
	half := make(chan struct{})
	for i := range uint64(3) {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(w.seed, salt|i))
			for range writes / 3 {
				w.write(r, w.nodes[r.IntN(len(w.nodes))])
				if made.Add(1) == int64(writes/2) {
					close(half)
				}
			}
		})
	}
	for i := range uint64(10) {
		clients.Go(func() { w.client(rand.New(rand.NewPCG(w.seed, salt|100+i))) })
	}
	<-half
	if err := w.nodes[0].restart(); err != nil {
		w.fail("restart: %v", err)
	}
	writers.Wait()
	w.done.Store(true)
	clients.Wait()
}

// ask makes the queries.
func (w *chaosWorld) ask() {
	board, list := w.ids["boards"][0], w.ids["lists"][1]
	text := func(field string, want ident.Record) func(model, value.Record) bool {
		return func(_ model, r value.Record) bool { return r.Get(field).Text() == string(want) }
	}
	w.queries = []*asked{
		{collection: "cards", params: []string{"filter", `list.board == "` + string(board) + `"`,
			"sort", "position"}, fits: func(m model, r value.Record) bool {
			return m.boardOf(r) == string(board)
		}, sort: "position"},
		{collection: "cards", params: []string{"list", string(list)}, fits: text("list", list)},
		{collection: "cards", params: []string{"limit", "500"}, limit: 500},
		{collection: "cards", params: []string{"sort", "-position", "limit", "4"}, sort: "position",
			desc: true, limit: 4},
		{collection: "cards", params: []string{"sort", "position", "limit", "3", "filter",
			`title.contains("1")`}, fits: func(_ model, r value.Record) bool {
			return strings.Contains(r.Get("title").Text(), "1")
		}, sort: "position", limit: 3},
		{collection: "cards", params: []string{"expand", "assignee,list"}},
		{collection: "notes", params: []string{"kind", "a"}, fits: text("kind", "a")},
		{collection: "notes", params: []string{"filter", "size < 50", "sort", "size", "limit", "5"},
			fits: func(_ model, r value.Record) bool { return r.Get("size").Int() < 50 },
			sort: "size", limit: 5},
		{collection: "boards", params: []string{}},
		{collection: "users", params: []string{"sort", "id"}},
		{collection: "cards", params: []string{"filter", `assignee == auth`, "fields", "id,title,version,hint"}, mine: true},
		{collection: "members", params: []string{}},
	}
}

func (w *chaosWorld) any(r *rand.Rand, collection string) ident.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.ids[collection]
	if len(all) == 0 {
		return ident.NewRecord()
	}
	return all[r.IntN(len(all))]
}

// write makes one call. Many of them are refused, because a record is gone.
func (w *chaosWorld) write(r *rand.Rand, n *node) {
	remove := func(collection string) {
		id := w.any(r, collection)
		w.mu.Lock()
		w.ids[collection] = slices.DeleteFunc(w.ids[collection], func(x ident.Record) bool { return x == id })
		w.mu.Unlock()
		_, _ = n.try(engine.Delete, collection, id, "")
	}
	create := func(collection, format string, args ...any) {
		w.mu.Lock()
		many := len(w.ids[collection]) > 70
		w.mu.Unlock()
		if many {
			remove(collection)
			return
		}
		reply, err := n.try(engine.Create, collection, "", fmt.Sprintf(format, args...))
		if err == nil {
			w.mu.Lock()
			w.ids[collection] = append(w.ids[collection],
				ident.Record(reply.Item.Record.Slots[spec.SlotID].Text()))
			w.mu.Unlock()
		}
	}
	update := func(collection, format string, args ...any) {
		_, _ = n.try(engine.Update, collection, w.any(r, collection), fmt.Sprintf(format, args...))
	}
	switch k := r.IntN(100); {
	case k < 20:
		create("cards", `{"list":%q,"title":"c%d","position":%d}`, w.any(r, "lists"), r.IntN(30), r.IntN(50))
	case k < 40:
		update("cards", `{"position":%d}`, r.IntN(50))
	case k < 50:
		update("cards", `{"list":%q}`, w.any(r, "lists"))
	case k < 55:
		update("cards", `{"assignee":%q,"title":"t%d"}`, w.users[r.IntN(5)], r.IntN(30))
	case k < 62:
		remove("cards")
	case k < 69:
		create("members", `{"board":%q,"user":%q}`, w.any(r, "boards"), w.users[r.IntN(5)])
	case k < 76:
		remove("members")
	case k < 77:
		update("members", `{"role":%q}`, []string{"viewer", "owner"}[r.IntN(2)])
	case k < 78:
		update("lists", `{"board":%q}`, w.any(r, "boards"))
	case k < 79:
		_, _ = n.try(engine.Update, "users", w.users[r.IntN(5)], fmt.Sprintf(`{"name":"n%d"}`, r.IntN(99)))
	case k < 90:
		create("notes", `{"text":"n","kind":%q,"size":%d}`, string("abc"[r.IntN(3)]), r.IntN(100))
	case k < 97:
		update("notes", `{"kind":%q,"size":%d}`, string("abc"[r.IntN(3)]), r.IntN(100))
	default:
		remove("notes")
	}
}

func (w *chaosWorld) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
}

// chaosClient is one client on one connection.
type chaosClient struct {
	*chaosWorld
	rand *rand.Rand
	who  ident.Record
	node *node
	hub  *live.Hub
	conn *live.Conn
	subs map[string]*chaosSub
	last string
	// reached is the connection's own place, told when all were told what is before it.
	reached string
}

type chaosSub struct {
	q     *asked
	query live.Query
	have  map[ident.Record]int64
	text  map[ident.Record]string
	at    string
}

// client follows, drops and comes back until the writers have ended, and then has to know
// what the lists say.
func (w *chaosWorld) client(r *rand.Rand) {
	who := w.users[r.IntN(len(w.users))]
	if r.IntN(8) == 0 {
		who = "carla"
	}
	c := &chaosClient{chaosWorld: w, rand: r, who: who}
	var back []*chaosSub
	for range 2 + r.IntN(3) {
		back = append(back, &chaosSub{q: w.queries[r.IntN(len(w.queries))]})
	}
	for tries := 0; ; {
		err := c.connect(back)
		if tries++; later(err) && tries < 100 {
			if c.conn != nil {
				c.conn.Close()
			}
			<-time.After(20 * time.Millisecond) // the hub begins anew, or has much to do
			continue
		}
		tries = 0
		if err != nil {
			w.fail("connect: %v", err)
			return
		}
		ended := w.done.Load()
		if ended {
			c.finish()
			c.conn.Close()
			return
		}
		c.live(5 + r.IntN(40))
		c.conn.Close()
		w.returns.Add(1)
		back = back[:0]
		for _, s := range c.subs {
			if r.IntN(10) == 0 {
				s.at = "" // it forgot everything
			}
			back = append(back, s)
		}
	}
}

// later reports whether a client may ask again: the hub ends, or the machine is slow.
func later(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Timeout)
}

func (c *chaosClient) connect(back []*chaosSub) error {
	c.node = c.nodes[c.rand.IntN(len(c.nodes))]
	call := engine.Call{Credential: string(c.who)}
	if c.who == "carla" {
		call = engine.Call{Trusted: true, Subject: carla}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	c.hub = c.node.now.Load()
	if c.conn, err = c.hub.Connect(ctx, call); err != nil {
		return err
	}
	c.subs = map[string]*chaosSub{}
	for _, s := range back {
		s.query = live.Query{Collection: s.q.collection, Params: params(s.q.params...), Since: s.at}
		start, err := c.conn.Follow(ctx, s.query)
		if err != nil {
			return fmt.Errorf("follow %v: %w", s.q, err)
		}
		c.subs[start.Sub] = s
		c.start(s, &start)
	}
	return nil
}

func (c *chaosClient) start(s *chaosSub, start *live.Start) {
	if !start.Changed {
		s.have, s.text = map[ident.Record]int64{}, map[ident.Record]string{}
	}
	for i := range start.Items {
		s.put(&start.Items[i])
	}
	for _, x := range start.Changes {
		s.change(x)
	}
	s.at = start.At
	c.note(s, fmt.Sprintf("start reset=%v changed=%v since=%s node=%d", start.Reset, start.Changed,
		s.query.Since, slices.Index(c.nodes, c.node)))
}

func (s *chaosSub) put(item *engine.Item) {
	s.have[transport.ID(item)] = transport.Version(item)
	s.text[transport.ID(item)] = string(transport.AppendItem(nil, item))
}

func (s *chaosSub) change(x live.Change) (news bool) {
	if x.Put == nil {
		_, news = s.have[x.Del]
		delete(s.have, x.Del)
		delete(s.text, x.Del)
		return news
	}
	news = s.text[transport.ID(x.Put)] != string(transport.AppendItem(nil, x.Put))
	s.put(x.Put)
	return news
}

// note keeps what the client has, for the judge.
func (c *chaosClient) note(s *chaosSub, what string) {
	_, text, _ := strings.Cut(s.at, ":")
	at, err := journal.ParseSeq(text)
	if err != nil {
		c.fail("place %q: %v", s.at, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log = append(c.log, known{c.who, s.q, at, what, maps.Clone(s.have)})
}

// take takes pushes and applies them.
func (c *chaosClient) take() error {
	pushes, err := c.conn.Take()
	for _, p := range pushes {
		c.last = p.At
		s := c.subs[p.Sub]
		switch {
		case s == nil:
			c.reached = p.At
		case p.Ended != nil:
			c.fail("a subscription ended: %v", p.Ended)
		case p.Reset != nil:
			c.resets.Add(1)
			c.start(s, p.Reset)
		default:
			if p.At == s.at {
				c.fail("%s has two frames at %s", s.q.collection, p.At)
			}
			for _, x := range p.Frame.Changes() {
				if !s.change(x) {
					c.fail("%s %v at %s: a change that changes nothing: put %v del %v", s.q.collection,
						s.q.params, p.At, x.Put != nil, x.Del)
				}
			}
			s.at = p.At
			c.note(s, "frame")
		}
	}
	return err
}

// live reads for a while, sometimes not at all.
func (c *chaosClient) live(times int) {
	for range times {
		wait := time.After(time.Duration(c.rand.IntN(20)) * time.Millisecond)
		select {
		case <-c.conn.Ready():
			if err := c.take(); err != nil {
				if !fault.Is(err, fault.Unavailable) {
					c.fail("take: %v", err)
				}
				return
			}
			if c.rand.IntN(3) > 0 {
				_ = c.conn.Ack(c.last)
			}
		case <-wait:
		}
		if c.done.Load() {
			return
		}
		if c.rand.IntN(15) == 0 {
			<-time.After(time.Duration(c.rand.IntN(60)) * time.Millisecond)
		}
		if c.rand.IntN(12) == 0 && !c.again() {
			return
		}
	}
}

// again follows one of its queries again, from where it is. It reports false when the
// connection is at its end.
func (c *chaosClient) again() bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for name, s := range c.subs {
		if err := c.conn.Unfollow(name); err != nil {
			return false
		}
		s.query.Since = s.at
		start, err := c.conn.Follow(ctx, s.query)
		if err != nil {
			if !later(err) {
				c.fail("follow again: %v", err)
			}
			return false
		}
		delete(c.subs, name)
		c.subs[start.Sub] = s
		c.start(s, &start)
		return true
	}
	return true
}

// finish waits until everything was pushed and compares with the lists.
func (c *chaosClient) finish() {
	var head journal.Seq
	err := c.node.engine.Look(context.Background(), func(l *engine.Look) error {
		head = l.At()
		return nil
	})
	if err != nil {
		c.fail("head: %v", err)
		return
	}
	c.conn.Wrote(head)
	late := time.After(3 * patience)
	for want := c.hub.At(head); c.reached != want; {
		select {
		case <-c.conn.Ready():
			if err := c.take(); err != nil {
				c.fail("take: %v", err)
				return
			}
			_ = c.conn.Ack(c.last)
		case <-late:
			c.fail("the end did not come: at %s, want %s", c.last, want)
			return
		}
	}
	// Its own place is told once everything up to it was.
	for _, s := range c.subs {
		if err := c.differs(s); err != nil {
			c.fail("%s %v of %s at the end: %v", s.q.collection, s.q.params, c.who, err)
			return
		}
	}
}

// differs says how what is known differs from what the list says.
func (c *chaosClient) differs(s *chaosSub) error {
	return c.node.same(c.who, &followed{query: s.query, have: s.text})
}

// differ says how what was had differs from what was right.
func differ(have, want map[ident.Record]int64) string {
	var b strings.Builder
	for id, v := range have {
		if want[id] != v {
			fmt.Fprintf(&b, " has %s/%d, want /%d;", id, v, want[id])
		}
	}
	for id, v := range want {
		if _, ok := have[id]; !ok {
			fmt.Fprintf(&b, " has not %s/%d;", id, v)
		}
	}
	return b.String()
}

// judge holds everything that clients had against the journal.
func (w *chaosWorld) judge() {
	w.t.Helper()
	slices.SortStableFunc(w.log, func(a, b known) int { return a.at.Compare(b.at) })
	m, next := w.model, 0
	head := journal.Seq{}
	err := w.nodes[0].engine.Look(w.t.Context(), func(l *engine.Look) error {
		head = l.At()
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	check := func(at journal.Seq) {
		for ; next < len(w.log) && w.log[next].at.Compare(at) <= 0; next++ {
			k := &w.log[next]
			want := map[ident.Record]int64{}
			for _, r := range m.answer(k.q, k.who) {
				want[ident.Record(r.Slots[spec.SlotID].Text())] = r.Slots[spec.SlotVersion].Int()
			}
			if !maps.Equal(k.have, want) {
				w.fail("%s %v of %s at %v (%s): %s", k.q.collection, k.q.params, k.who, k.at, k.what,
					differ(k.have, want))
			}
		}
	}
	check(w.at)
	for e, err := range w.nodes[0].store.Follow(w.t.Context(), w.at) {
		if err != nil {
			w.t.Fatal(err)
		}
		m.apply(&e)
		w.at = e.Seq
		check(e.Seq)
		if e.Seq.Compare(head) >= 0 {
			break
		}
	}
	if next < len(w.log) {
		w.fail("%d states are of the future", len(w.log)-next)
	}
	w.states += len(w.log)
	w.log = nil
	for i, text := range w.wrong {
		if i == 10 {
			w.t.Errorf("and %d more", len(w.wrong)-i)
			break
		}
		w.t.Error(text)
	}
}
