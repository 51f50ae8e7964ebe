// Package faults is tests only: what is asked of a store with many nodes stays true
// while its servers are killed, its connections are cut and its nodes end in the midst
// of their work. Many callers write, each with a key that he repeats until he is
// answered, and followers read along; in the end every answer and every entry is
// compared with what the database holds. What is promised stands in docs/guarantees.md.
package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/store/postgres"
	"github.com/galleybackend/galley/internal/store/postgres/pgtest"
	"github.com/galleybackend/galley/internal/store/storetest"
	"github.com/galleybackend/galley/internal/value"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	// callers is how many write at each handle.
	callers = 3
	// patience bounds what must come by itself: an answer, the next entry.
	patience = 2 * time.Minute
	// attempt bounds one try of a call, and pause parts it from the next.
	attempt = 10 * time.Second
	pause   = 30 * time.Millisecond

	purses, money = 5, 200
	// codes is how many tickets can be had.
	codes = 40
)

// world is several handles on one database, with callers and followers at each.
type world struct {
	*testing.T
	ctx     context.Context
	seed    uint64
	handles []*postgres.Store
	wallets []ident.Record
	counter ident.Record

	stop    chan struct{}
	callers sync.WaitGroup
	readers []*reader
	reading sync.WaitGroup

	mu sync.Mutex
	// told is what each call was answered, done how many were at each handle; more is
	// closed and made anew with each.
	told map[string]answer
	done []int
	more chan struct{}
	// faults counts the answers that made a caller ask again, by kind.
	faults map[fault.Kind]int
}

// answer is what a call was answered in the end: its entry, and the code of a refusal.
type answer struct {
	kind, refusal string
	at            journal.Seq
}

// reader follows the journal at a handle.
type reader struct {
	store *postgres.Store
	first journal.Seq
	mu    sync.Mutex
	keys  []string
	at    journal.Seq
	moved chan struct{}
	again int
}

// begin opens a handle by each address, and lets callers and followers go.
func begin(t *testing.T, addresses ...string) *world {
	t.Helper()
	w := &world{T: t, seed: uint64(time.Now().UnixNano()), stop: make(chan struct{}),
		told: map[string]answer{}, done: make([]int, len(addresses)),
		more: make(chan struct{}), faults: map[fault.Kind]int{}}
	t.Logf("seed %d", w.seed)
	ctx, end := context.WithCancel(context.Background())
	w.ctx = ctx
	t.Cleanup(func() {
		end()
		w.callers.Wait()
		w.reading.Wait()
		for _, h := range w.handles {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	for i, address := range addresses {
		h, err := postgres.Open(ctx, postgres.Config{URL: address, Readers: 6})
		if err != nil {
			t.Fatal(err)
		}
		w.handles = append(w.handles, h)
		if i == 0 {
			w.fill(h)
		}
	}
	for i, h := range w.handles {
		r := &reader{store: h, first: w.last(), moved: make(chan struct{})}
		r.at = r.first
		w.readers = append(w.readers, r)
		w.reading.Go(func() { w.follow(r) })
		for n := range callers {
			w.callers.Go(func() { w.call(i, n) })
		}
	}
	return w
}

// fill makes the collections and what they begin with.
func (w *world) fill(h *postgres.Store) {
	text := value.Type{Kind: value.TypeString}
	none := &value.Bound{}
	tickets := storetest.Table("tickets", value.Field{Name: "code", Type: text},
		value.Field{Name: "holder", Type: text})
	tickets.Unique = [][]string{{"code"}}
	schema := &spec.Schema{Collections: []*spec.Table{
		storetest.Table("wallets", value.Field{Name: "balance",
			Type: value.Type{Kind: value.TypeMoney, Min: none}}),
		storetest.Table("transfers", value.Field{Name: "amount",
			Type: value.Type{Kind: value.TypeMoney}}),
		storetest.Table("counters", value.Field{Name: "n",
			Type: value.Type{Kind: value.TypeInt}}),
		tickets,
	}}
	if _, err := h.Apply(w.ctx, journal.Origin{Operation: "apply"}, storetest.Steps(schema), nil); err != nil {
		w.Fatal(err)
	}
	_, err := h.Write(w.ctx, journal.Origin{Operation: "fill"}, func(tx store.Tx) error {
		w.wallets = nil
		for range purses {
			rec, err := tx.Put(w.ctx, "wallets", w.record("wallets", "balance", value.OfInt(money)))
			if err != nil {
				return err
			}
			w.wallets = append(w.wallets, idOf(rec))
		}
		rec, err := tx.Put(w.ctx, "counters", w.record("counters", "n", value.OfInt(0)))
		if err == nil {
			w.counter = idOf(rec)
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
}

func idOf(r value.Record) ident.Record { return ident.Record(r.Slots[spec.SlotID].Text()) }

// record makes a record of pairs of field and value.
func (w *world) record(collection string, pairs ...any) value.Record {
	r := value.NewRecord(w.handles[0].Schema().Table(collection).Shape)
	for i := 0; i < len(pairs); i += 2 {
		if !r.Set(pairs[i].(string), pairs[i+1].(value.Value)) {
			w.Errorf("%s has no field %v", collection, pairs[i])
		}
	}
	return r
}

// last is the place of the last entry.
func (w *world) last() journal.Seq {
	w.Helper()
	found, err := w.handles[0].Entries(w.ctx, store.Filter{}, journal.Seq{}, 1)
	if err != nil || len(found) == 0 {
		w.Fatalf("the last entry: %v", err)
	}
	return found[0].Seq
}

// wait waits for a while, or until the world ends.
func (w *world) wait(d time.Duration) {
	select {
	case <-w.ctx.Done():
	case <-time.After(d):
	}
}

// call is a caller: he draws one call after the other, and asks until he is answered.
func (w *world) call(handle, n int) {
	rnd := rand.New(rand.NewPCG(w.seed, uint64(handle*callers+n)))
	for i := 0; w.ctx.Err() == nil; i++ {
		select {
		case <-w.stop:
			return
		default:
		}
		kind, act := w.draw(rnd, fmt.Sprintf("%d-%d", handle, n))
		if !w.insist(rnd, handle, fmt.Sprintf("%d-%d-%d", handle, n, i), kind, act) {
			return
		}
		if rnd.IntN(10) == 0 {
			w.look(w.handles[handle])
		}
	}
}

// insist asks, with one key, until there is an answer, and takes note of it.
func (w *world) insist(
	rnd *rand.Rand, handle int, key, kind string, act func(store.Tx) error,
) bool {
	origin := journal.Origin{Operation: kind, Key: key, Call: ident.NewCall()}
	unknown := false
	for began := time.Now(); w.ctx.Err() == nil; w.wait(pause) {
		if time.Since(began) > patience {
			w.Errorf("%s of %s was not answered in %v", kind, key, patience)
			return false
		}
		ctx, end := context.WithTimeout(w.ctx, attempt)
		e, err := w.handles[handle].Write(ctx, origin, act)
		end()
		f := fault.From(err)
		if err == nil || f.Kind == fault.Refused || f.Kind == fault.Exists {
			if e.Replayed && !unknown {
				w.Errorf("%s of %s was said not to be kept, and is entry %v", kind, key, e.Seq)
			}
			w.note(handle, key, answer{kind: kind, refusal: codeOf(err), at: e.Seq})
			return true
		}
		w.mu.Lock()
		w.faults[f.Kind]++
		w.mu.Unlock()
		switch f.Kind {
		case fault.Unknown:
			unknown = true
		case fault.Unavailable, fault.Timeout, fault.Conflict:
		default:
			if w.ctx.Err() == nil {
				w.Errorf("%s of %s: %v (%v)", kind, key, err, f.Cause)
			}
			return false
		}
		if rnd.IntN(3) == 0 { // the answer may come from another node
			handle = rnd.IntN(len(w.handles))
		}
	}
	return false
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).CodeOr()
}

func (w *world) note(handle int, key string, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told[key] = a
	w.done[handle]++
	close(w.more)
	w.more = make(chan struct{})
}

// draw returns what a call does. No two calls of a kind have the same keys.
func (w *world) draw(rnd *rand.Rand, caller string) (string, func(store.Tx) error) {
	from, to := rnd.IntN(purses), rnd.IntN(purses-1)
	if to >= from {
		to++
	}
	n := 1 + rnd.Int64N(60)
	code := fmt.Sprintf("c%d", rnd.IntN(codes))
	add := func(n int64) value.Value { return value.OfOp(value.OpAdd, value.OfInt(n)) }
	switch rnd.IntN(6) {
	case 0:
		return "add", func(tx store.Tx) error { // by an operator
			_, err := tx.Put(w.ctx, "counters", w.record("counters", "id",
				value.OfText(string(w.counter)), "version", value.OfNull(), "n", add(1)))
			return err
		}
	case 1:
		return "next", func(tx store.Tx) error { // by what was read
			rec, err := tx.Get(w.ctx, "counters", w.counter)
			if err != nil {
				return err
			}
			rec.Set("n", value.OfInt(rec.Get("n").Int()+1))
			_, err = tx.Put(w.ctx, "counters", rec)
			return err
		}
	case 2:
		return "ticket", func(tx store.Tx) error {
			_, err := tx.Put(w.ctx, "tickets", w.record("tickets", "code", value.OfText(code),
				"holder", value.OfText(caller)))
			return err
		}
	default:
		return "transfer", func(tx store.Tx) error {
			return w.transfer(tx, w.wallets[from], w.wallets[to], n)
		}
	}
}

// transfer moves money, if it is there, and writes a line about it.
func (w *world) transfer(tx store.Tx, from, to ident.Record, n int64) error {
	for id, n := range map[ident.Record]int64{from: -n, to: n} {
		rec, err := tx.Get(w.ctx, "wallets", id)
		if err != nil {
			return err
		}
		left := rec.Get("balance").Int() + n
		if left < 0 {
			return fault.WithCode(fault.Refused, "poor", "There is not enough money.")
		}
		rec.Set("balance", value.OfInt(left))
		if _, err := tx.Put(w.ctx, "wallets", rec); err != nil {
			return err
		}
	}
	_, err := tx.Put(w.ctx, "transfers", w.record("transfers", "amount", value.OfInt(n)))
	return err
}

// rows reads a collection.
func (w *world) rows(h *postgres.Store, name string) (out []value.Record, err error) {
	ctx, end := context.WithTimeout(w.ctx, attempt)
	defer end()
	plan := &query.Plan{From: name, Sort: []query.Order{{By: query.Row{}}}}
	err = h.Read(ctx, func(v store.View) error {
		out, err = v.Find(ctx, query.Query{Plan: plan})
		return err
	})
	return out, err
}

// look adds the money up.
func (w *world) look(h *postgres.Store) {
	found, err := w.rows(h, "wallets")
	if err != nil {
		if !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Timeout) {
			w.Errorf("read: %v", err)
		}
		return
	}
	var sum int64
	for _, r := range found {
		sum += r.Get("balance").Int()
	}
	if sum != purses*money {
		w.Errorf("a view adds up to %d, want %d", sum, purses*money)
	}
}

// follow reads along, and begins again at its place when it is broken off.
func (w *world) follow(r *reader) {
	for w.ctx.Err() == nil {
		for e, err := range r.store.Follow(w.ctx, r.at) {
			if err != nil {
				if !fault.Is(err, fault.Unavailable) && !fault.Is(err, fault.Timeout) {
					w.Errorf("follow: %v", err)
				}
				break
			}
			if e.Seq.Lo != r.at.Lo+1 {
				w.Errorf("entry %v came after entry %v", e.Seq, r.at)
			}
			r.mu.Lock()
			r.at, r.keys = e.Seq, append(r.keys, e.Origin.Key)
			close(r.moved)
			r.moved = make(chan struct{})
			r.mu.Unlock()
		}
		r.again++
		w.wait(pause)
	}
}

// progress waits until so many calls more were answered at each handle, or at those that
// are named.
func (w *world) progress(n int, at ...int) {
	w.Helper()
	limit := time.After(patience)
	w.mu.Lock()
	before := slices.Clone(w.done)
	w.mu.Unlock()
	for {
		w.mu.Lock()
		missing := false
		for i, done := range w.done {
			missing = missing || done < before[i]+n && (at == nil || slices.Contains(at, i))
		}
		more := w.more
		now := slices.Clone(w.done)
		w.mu.Unlock()
		if !missing {
			return
		}
		select {
		case <-more:
		case <-limit:
			w.Fatalf("the service did not resume in %v: %v calls were answered, and then %v",
				patience, before, now)
		}
	}
}

// end lets the callers finish, and compares what they were told with what is there.
func (w *world) end() {
	w.Helper()
	close(w.stop)
	w.callers.Wait()
	for i, h := range w.handles {
		if err := h.Failure(); err != nil {
			w.Errorf("handle %d takes no more writes: %v", i, err)
		}
	}
	entries, err := storetest.Journal(w.ctx, w.handles[0])
	if err != nil {
		w.Fatalf("the journal: %v", err)
	}
	if err := storetest.Fold(w.ctx, w.handles[0]); err != nil {
		w.Errorf("the fold of the journal: %v", err)
	}
	w.judgeEntries(entries)
	w.judgeTables()
	for i, r := range w.readers {
		w.judgeReader(i, r, entries)
	}
	w.Logf("%d calls, %v at the handles, asked again after %v", len(w.told), w.done,
		slices.Sorted(maps.Keys(w.names())))
}

// names are the faults that came, with their number.
func (w *world) names() map[string]bool {
	out := map[string]bool{}
	for k, n := range w.faults {
		out[fmt.Sprintf("%v %d", k, n)] = true
	}
	return out
}

// judgeEntries asks that each call that was answered has one entry, the one of the
// answer, and that no entry is nobody's.
func (w *world) judgeEntries(entries []journal.Entry) {
	seen := map[string]journal.Seq{}
	for i, e := range entries {
		if e.Seq.Lo != entries[0].Seq.Lo+uint64(i) {
			w.Errorf("the journal's %dth entry is %v", i, e.Seq)
		}
		key := e.Origin.Key
		if key == "" {
			continue
		}
		if first, ok := seen[key]; ok {
			w.Errorf("the call %s has the entries %v and %v", key, first, e.Seq)
		}
		seen[key] = e.Seq
		refusal := ""
		if e.Refusal != nil {
			refusal = e.Refusal.CodeOr()
		}
		want := answer{kind: e.Origin.Operation, refusal: refusal, at: e.Seq}
		if a, ok := w.told[key]; a != want {
			w.Errorf("the call %s is %+v, it was told (%t) %+v", key, want, ok, a)
		}
	}
	for key, a := range w.told {
		if _, ok := seen[key]; !ok {
			w.Errorf("the call %s was told of %+v and has no entry", key, a)
		}
	}
}

// judgeTables asks that each call had its effect once.
func (w *world) judgeTables() {
	want := map[string]int64{"wallets": purses * money}
	for _, a := range w.told {
		if a.refusal != "" {
			continue
		}
		switch a.kind {
		case "add", "next":
			want["counters"]++
		case "ticket":
			want["tickets"]++
		case "transfer":
			want["transfers"]++
		}
	}
	held := map[string]bool{}
	for name, sum := range want {
		found, err := w.rows(w.handles[0], name)
		if err != nil {
			w.Fatal(err)
		}
		got := int64(0)
		for _, r := range found {
			switch name {
			case "wallets":
				got += r.Get("balance").Int()
			case "counters":
				got += r.Get("n").Int()
			default:
				got++
			}
			if code := r.Get("code"); name == "tickets" {
				if held[code.Text()] {
					w.Errorf("ticket %s is there twice", code.Text())
				}
				held[code.Text()] = true
			}
		}
		if got != sum {
			w.Errorf("%s make %d, want %d", name, got, sum)
		}
	}
}

// judgeReader waits for a follower to come to the end, and asks that he saw each entry
// once, as it is.
func (w *world) judgeReader(n int, r *reader, entries []journal.Entry) {
	limit := time.After(patience)
	goal := entries[len(entries)-1].Seq
	for {
		r.mu.Lock()
		at, moved := r.at, r.moved
		r.mu.Unlock()
		if at.Compare(goal) >= 0 {
			break
		}
		select {
		case <-moved:
		case <-limit:
			w.Errorf("follower %d stands at %v, the journal ends at %v", n, at, goal)
			return
		}
	}
	var want []string
	for _, e := range entries {
		if e.Seq.Compare(r.first) > 0 {
			want = append(want, e.Origin.Key)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Equal(r.keys, want) {
		got, err := json.Marshal([][]string{r.keys, want})
		w.Errorf("follower %d saw other entries: %s %v", n, strings.TrimSpace(string(got)), err)
	}
}
