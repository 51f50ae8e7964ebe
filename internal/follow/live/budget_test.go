package live_test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/engine"
	"github.com/galleybackend/galley/internal/follow/live"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const papers = `
app: papers
collections:
  papers:
    fields: {text: {type: string, max: 10000}, kind: {type: int, default: 0}}
    allow: {read: "true"}
`

// fill makes records in commits of several.
func (n *node) fill(count, each int, text string, kind func(i int) int) journal.Seq {
	n.t.Helper()
	shape := n.engine.App().Collection("papers").Shape
	var last journal.Seq
	for i := 0; i < count; {
		e, err := n.store.Write(n.t.Context(), journal.Origin{Call: ident.NewCall(), Operation: "fill", Now: time.Now()},
			func(tx store.Tx) error {
				for range each {
					r := value.NewRecord(shape)
					r.Set("id", value.OfText(string(ident.NewRecord())))
					r.Set("text", value.OfText(text))
					r.Set("kind", value.OfInt(int64(kind(i))))
					if _, err := tx.Put(n.t.Context(), "papers", r); err != nil {
						return err
					}
					i++
				}
				return nil
			})
		if err != nil {
			n.t.Fatal(err)
		}
		last = e.Seq
	}
	return last
}

func zero(int) int { return 0 }

// handled waits until the hub has handled everything up to a place.
func (n *node) handled(at journal.Seq) {
	n.t.Helper()
	r := n.reader("")
	r.reached(at)
	r.conn.Close()
}

func TestTooMuchUnacknowledgedIsPausedAndThenToldAnew(t *testing.T) {
	n := onSQLite(t, papers)
	r, fast := n.reader(""), n.reader("")
	f, g := r.follow("papers", "sort", "-id", "limit", "500"), fast.follow("papers", "sort", "-id", "limit", "500")
	// 450 changes in 9 commits are within the budget, 1,200 more are not.
	r.reached(n.fill(450, 50, "x", zero))
	n.do(engine.Create, "papers", "", `{"text":"y"}`)
	at := n.fill(600, 50, "x", zero)
	n.handled(at)
	r.until("what was pushed", func() bool { return len(f.have) >= 450 })
	if len(f.have) < 450 || len(f.have) > 500 || f.resets != 0 {
		t.Fatalf("got %d papers and %d resets before any ack", len(f.have), f.resets)
	}
	paused := n.hub.Stats().Pushes
	own := n.fill(100, 10, "late", func(int) int { return -1 })
	r.conn.Wrote(own)
	n.handled(own)
	if late, err := r.conn.Take(); err != nil || slices.ContainsFunc(late,
		func(p live.Push) bool { return p.At == n.hub.At(own) }) {
		t.Errorf("a place is told beside a subscription that is paused: %v %v", late, err)
	}
	if got := n.hub.Stats().Pushes; got > paused+20 {
		t.Errorf("%d pushes to who does not acknowledge", got-paused)
	}
	if err := r.conn.Ack(f.at); err != nil {
		t.Fatal(err)
	}
	r.until("everything anew", func() bool { return f.resets == 1 })
	if err := n.same("", f); err != nil {
		t.Error(err)
	}
	if got := told(r.reached(n.update("papers", firstOf(f), `{"kind":3}`))); got != "s1 put" {
		t.Errorf("after the reset: got %q", got)
	}
	// Who acknowledges is never paused.
	fast.until("all pushes", func() bool {
		if err := fast.conn.Ack(g.at); err != nil {
			t.Fatal(err)
		}
		return g.at == f.at
	})
	if err := fast.conn.Ack("nonsense"); err == nil {
		t.Error("nonsense was acknowledged")
	}
	if n.same("", g) != nil && g.resets == 0 {
		t.Error("who read late knows neither the answer nor that he does not")
	}
}

func firstOf(f *followed) ident.Record {
	for id := range f.have {
		return id
	}
	return ""
}

// TestWhoNeverReadsCostsAFixedSum lets 4.5 kB records pass somebody who takes nothing;
// GALLEY_PAPERS says how many.
func TestWhoNeverReadsCostsAFixedSum(t *testing.T) {
	writes := 2000
	if text := os.Getenv("GALLEY_PAPERS"); text != "" {
		var err error
		if writes, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	n := onSQLite(t, papers)
	text := strings.Repeat("x", 4500)
	n.handled(n.fill(600, 1, text, zero))
	var readers []*live.Conn
	for range 4 { // each has a topic of its own, and a budget of its own
		c := n.connect("")
		if _, err := c.Follow(t.Context(), live.Query{Collection: "papers",
			Params: params("limit", fmt.Sprint(400+len(readers)), "sort", "-id")}); err != nil {
			t.Fatal(err)
		}
		readers = append(readers, c)
	}
	before := heap()
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() { n.fill(writes/4, 1, text, zero) })
	}
	calls.Wait()
	n.handled(n.fill(1, 1, text, zero))
	grown := heap() - before
	t.Logf("%d kB after %d writes of 4.5 kB", grown>>10, writes)
	if most := int64(4*(1<<20) + 12<<20); grown > most {
		t.Errorf("memory grew by %d kB, want at most %d", grown>>10, most>>10)
	}
	for i, c := range readers {
		taken, err := c.Take()
		if err != nil || len(taken) > 0 {
			t.Errorf("reader %d: got %d pushes that were void, %v", i, len(taken), err)
		}
		<-c.Ready()
		for len(taken) == 0 {
			if taken, err = c.Take(); err != nil {
				t.Fatal(err)
			}
			runtime.Gosched()
		}
		if taken[0].Reset == nil || len(taken[0].Reset.Items) != 400+i {
			t.Errorf("reader %d: got %s, want everything anew", i, told(taken))
		}
	}
}

func TestWholeAnswersDoNotPileUp(t *testing.T) {
	n := onSQLite(t, papers)
	n.quick = time.Hour
	if err := n.restart(); err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("x", 4500)
	n.handled(n.fill(400, 1, text, zero))
	r := n.reader("")
	for i := range 6 {
		r.follow("papers", "limit", fmt.Sprint(400+i), "sort", "-id")
	}
	n.handled(n.fill(400, 1, text, zero)) // too much of each, and of all
	anew := func() (all int) {
		for _, f := range r.subs {
			all += f.resets
			if err := r.conn.Ack(f.at); err != nil {
				t.Fatal(err)
			}
		}
		return all
	}
	for anew() < 6 {
		for range 6 { // what is wished for is there
			n.handled(n.fill(1, 1, "x", zero))
		}
		pushes, err := r.take(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, p := range pushes {
			if p.Reset != nil {
				for _, item := range p.Reset.Items {
					bytes += len(item.Record.Get("text").Text())
				}
			}
		}
		if bytes > 4<<20 {
			t.Fatalf("%d kB of whole answers waited to be taken", bytes>>10)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestAnIdleConnectionIsSmall(t *testing.T) {
	n := onSQLite(t, papers)
	n.handled(n.fill(10, 1, "x", zero))
	const conns = 1000
	before := heap()
	for range conns {
		if _, err := n.connect("").Follow(t.Context(), live.Query{Collection: "papers"}); err != nil {
			t.Fatal(err)
		}
	}
	each := (heap() - before) / conns
	t.Logf("%d bytes for a connection with a subscription", each)
	if each > 6<<10 {
		t.Errorf("an idle connection has %d bytes, want at most 6 kB", each)
	}
}

// TestAChangeCostsWhatItTouches asks for one judgement of a change that one of many
// subscriptions is about.
func TestAChangeCostsWhatItTouches(t *testing.T) {
	n := onSQLite(t, papers)
	const topics = 10_000
	var mine *reader
	for i := 0; i < topics; {
		r := n.reader("")
		for range live.SubsMax {
			if i == 4321 {
				mine = r
			}
			how := []string{"kind", strconv.Itoa(i)}
			if i%2 == 0 {
				how = []string{"filter", "kind == " + strconv.Itoa(i)}
			}
			if _, err := r.conn.Follow(t.Context(), live.Query{Collection: "papers", Params: params(how...)}); err != nil {
				t.Fatal(err)
			}
			i++
		}
	}
	judged := n.hub.Stats().Judged
	at := n.do(engine.Create, "papers", "", `{"text":"x","kind":4321}`).Seq
	if got := told(mine.reached(at)); !strings.HasSuffix(got, " put") {
		t.Errorf("got %q", got)
	}
	if s := n.hub.Stats(); s.Judged-judged != 1 || s.Topics != topics {
		t.Errorf("%d judgements with %d topics, want 1", s.Judged-judged, s.Topics)
	}
}

// BenchmarkFanOut is one change, committed, until 1,000 subscriptions of one query have
// its push.
func BenchmarkFanOut(b *testing.B) {
	n := onSQLite(b, papers)
	const clients = 1000
	id := n.create("papers", `{"text":"x"}`)
	seen := make(chan struct{}, clients)
	for range clients {
		c := n.connect("")
		if _, err := c.Follow(b.Context(), live.Query{Collection: "papers"}); err != nil {
			b.Fatal(err)
		}
		go func() {
			for range c.Ready() {
				pushes, err := c.Take()
				if err != nil {
					return
				}
				for _, p := range pushes {
					_ = c.Ack(p.At)
					seen <- struct{}{}
				}
			}
		}()
	}
	i := 0
	b.ResetTimer()
	for b.Loop() {
		i++
		n.update("papers", id, `{"kind":%d}`, i)
		for range clients {
			<-seen
		}
	}
	b.ReportMetric(float64(clients)*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkTopics is one change, committed, until the one subscription that it is about
// has its push, among others: 10,000 are to cost at most twice what 10 cost.
func BenchmarkTopics(b *testing.B) {
	for _, topics := range []int{10, 10_000} {
		b.Run(strconv.Itoa(topics), func(b *testing.B) {
			n := onSQLite(b, papers)
			var r *reader
			for i := range topics {
				if i%live.SubsMax == 0 {
					r = n.reader("")
				}
				if _, err := r.conn.Follow(b.Context(), live.Query{Collection: "papers",
					Params: params("kind", strconv.Itoa(i))}); err != nil {
					b.Fatal(err)
				}
			}
			id := n.create("papers", `{"text":"x","kind":%d}`, topics-1)
			r.until("the paper", func() bool { return true })
			i := 0
			b.ResetTimer()
			for b.Loop() {
				i++
				at := n.update("papers", id, `{"text":"%d"}`, i)
				r.reached(at)
			}
		})
	}
}

// TestAHugeCommitPasses lets a commit pass that alone is more than may wait.
func TestAHugeCommitPasses(t *testing.T) {
	n := onSQLite(t, papers)
	r := n.reader("")
	f := r.follow("papers", "kind", "7")
	text := strings.Repeat("x", 9000)
	n.fill(1900, 1900, text, zero)
	r.reached(n.fill(1, 1, "x", func(int) int { return 7 }))
	if len(f.have) != 1 {
		t.Errorf("got %d papers, want 1", len(f.have))
	}
}
