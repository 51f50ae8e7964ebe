package sqlstore

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Brief reads are short and many, and so is what a call asks that runs ahead and names in
// its input what it needs. Where each is a round trip, what they cost is the trip and not
// the record. So those that come while others are on their way go together in the next
// trip: one snapshot, one look at the schema in force, and a question for each.

const (
	// tripMax bounds what is asked in a trip by others than who leads it.
	tripMax = 64
	// tripLanes is how many trips are under way at a time, at most. A lane is added where
	// as many as tripCrowd wait: sooner, trips would be many, and each take few along.
	tripLanes = 2
	tripCrowd = 8
)

// trips are the round trips that brief reads share.
type trips struct {
	lanes *pool
	// spec asks which schema is in force.
	spec  string
	mu    sync.Mutex
	busy  int
	queue []*question
}

// question is what one brief read asks, or one call that runs ahead.
type question struct {
	spec  string
	parts []part
	// stale says that another schema may be in force; err, that there is no answer.
	stale bool
	err   error
	// turn tells true to who is to lead the next trip, false to who has his answer.
	turn chan bool
}

// part is a statement of a question; each gets its rows.
type part struct {
	sql  string
	args []value.Value
	each func(Row) error
}

// add adds a statement. What is wrong with its rows is no fault of the others in the trip.
func (q *question) add(sql string, args []value.Value, each func(Row) error) {
	q.parts = append(q.parts, part{sql, slices.Clone(args), func(r Row) error {
		if q.err == nil {
			q.err = each(r)
		}
		return nil
	}})
}

// errAlone says that who shares a trip must begin again, alone.
var errAlone = errors.New("the read must begin again, alone")

// brief calls fn with a view that shares its one round trip. It reports false if fn must
// be called again with a view of its own.
func (s *Store) brief(ctx context.Context, fn func(store.View) error) (bool, error) {
	v := &view{store: s, catalog: s.catalog.Load(), brief: true}
	err := fn(v)
	return v.asked && !v.stale, err
}

// together asks the question of a brief view.
func (v *view) together(
	ctx context.Context, r *reader, sql string, args []value.Value,
) ([]value.Record, error) {
	if v.asked || v.stale {
		v.stale = true
		return nil, errAlone
	}
	q, found := &question{spec: v.catalog.hash, stale: true}, rows{reader: r}
	q.add(sql, args, found.add)
	v.asked = true
	if !v.store.trips.ask(ctx, q) {
		return nil, ended(ctx)
	}
	if v.stale = q.stale || q.err != nil; v.stale {
		return nil, errAlone
	}
	return found.records, nil
}

// ask reports true when the question has its answer, or an error. If ctx ends before
// that, the question is not the caller's any more.
func (t *trips) ask(ctx context.Context, q *question) bool {
	if !t.enter(q) {
		select {
		case lead := <-q.turn:
			if !lead {
				return true
			}
		case <-ctx.Done():
			t.withdraw(q)
			return false
		}
	}
	others := t.company()
	err := t.travel(ctx, append(others, q))
	t.leave()
	for _, o := range others {
		if err != nil {
			o.err = err
		}
		o.turn <- false
	}
	if err != nil {
		q.err = err
	}
	return err == nil || ctx.Err() == nil
}

// enter reports whether the question leads a trip, or lets it wait.
func (t *trips) enter(q *question) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.busy == 0 || t.busy < tripLanes && len(t.queue) >= tripCrowd {
		t.busy++
		return true
	}
	q.turn = make(chan bool, 1)
	t.queue = append(t.queue, q)
	return false
}

// company takes along who waits.
func (t *trips) company() []*question {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for asked := 0; n < len(t.queue); n++ {
		if asked += len(t.queue[n].parts); asked > tripMax {
			break
		}
	}
	out := make([]*question, n, n+1)
	copy(out, t.queue)
	t.queue = slices.Delete(t.queue, 0, n)
	return out
}

// leave lets the first who waits lead the next trip, or frees the lane.
func (t *trips) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 || t.busy > 1 && len(t.queue) < tripCrowd {
		t.busy--
		return
	}
	t.queue[0].turn <- true
	t.queue = slices.Delete(t.queue, 0, 1)
}

// withdraw takes back a question. One that is on its way is left to those who lead.
func (t *trips) withdraw(q *question) {
	t.mu.Lock()
	if i := slices.Index(t.queue, q); i >= 0 {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
	t.mu.Unlock()
	select {
	case lead := <-q.turn:
		if lead {
			t.leave()
		}
	default:
	}
}

// travel asks all questions in one round trip.
func (t *trips) travel(ctx context.Context, all []*question) error {
	c, err := t.lanes.take(ctx)
	if err != nil {
		return err
	}
	defer t.lanes.give(c)
	if err := c.Begin(false); err != nil {
		return err
	}
	defer func() {
		// A transaction that only read has nothing to lose.
		_ = c.Rollback()
	}()
	err = c.Expect(ctx, t.spec, nil, func(r Row) error {
		spec := string(r.Text(0))
		for _, q := range all {
			q.stale = spec != q.spec
		}
		return nil
	})
	for _, q := range all[:len(all)-1] {
		for _, p := range q.parts {
			if err == nil {
				err = c.Expect(ctx, p.sql, p.args, p.each)
			}
		}
	}
	mine := all[len(all)-1].parts
	last := mine[len(mine)-1]
	for _, p := range mine[:len(mine)-1] {
		if err == nil {
			err = c.Expect(ctx, p.sql, p.args, p.each)
		}
	}
	if err != nil {
		return err
	}
	return c.Query(ctx, last.sql, last.args, last.each)
}
