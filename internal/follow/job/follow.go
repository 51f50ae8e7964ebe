package job

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/follow"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

var _ follow.Preparer = (*Jobs)(nil)

const (
	// prepareTime is how long the jobs of a batch may run before they are written, and
	// prepareMax how long it may become while most of them come to their end.
	prepareTime = 4 * time.Millisecond
	prepareMax  = 40 * time.Millisecond
	// batchMin and batchMax bound the jobs that begin together.
	batchMin = 16
	batchMax = 512
)

// batch is the jobs of the entries that are accepted next.
type batch struct {
	of  map[journal.Seq][]*work
	all []*work
	// tx is the transaction for which the records were looked for, sure says that there
	// are none as far as this node knows, runs counts the transactions.
	tx   store.Tx
	sure bool
	runs int
	// left is closed when all jobs of the batch have ended, and open counts those that
	// have not.
	left chan struct{}
	open int
}

// Name implements follow.Follower.
func (j *Jobs) Name() string { return "jobs" }

// Kind implements follow.Follower.
func (j *Jobs) Kind() string { return journal.IntentJob }

// Gained implements follow.Preparer. Jobs that this node had begun, and of which it is
// not known whether they were written, are looked for.
func (j *Jobs) Gained(ctx context.Context, doubt journal.Seq) error {
	j.doubt = doubt
	j.mu.Lock()
	var following []*work
	for _, w := range j.works {
		if w.following {
			following = append(following, w)
		}
	}
	j.mu.Unlock()
	there := make([]bool, len(following))
	err := j.cfg.Store.Read(ctx, func(v store.View) error {
		for i, w := range following {
			_, err := v.Get(ctx, Collection, w.id)
			if there[i] = err == nil; err != nil && !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i, w := range following {
		if there[i] {
			j.written(w, running)
		}
	}
	return nil
}

// Lost implements follow.Preparer. What was begun and not written, another node begins.
func (j *Jobs) Lost() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, w := range j.works {
		switch {
		case !w.following:
		case w.kept:
			j.written(w, running)
		default:
			w.lost = true
			if w.cancel != nil {
				w.cancel()
			}
			j.drop(w)
		}
	}
}

// drop forgets a job. The caller holds j.mu.
func (j *Jobs) drop(w *work) {
	j.forget(w)
	if w.state == queued {
		j.todo = slices.DeleteFunc(j.todo, func(x *work) bool { return x == w })
	}
}

// forget takes a run of a job out of what this node has. The caller holds j.mu.
func (j *Jobs) forget(w *work) {
	if j.works[w.id] == w {
		delete(j.works, w.id)
	}
}

// written notes that the follower has written a job as what it was. The caller holds
// j.mu.
func (j *Jobs) written(w *work, saved state) {
	w.following = false
	switch {
	case saved == ended || saved == waiting:
		j.forget(w)
		if saved == ended {
			j.count(w)
		}
		if saved == waiting || w.end.state == Waiting {
			j.expect(w.end.due)
		}
	case w.state == ended:
		w.kept = true
		j.ended = append(j.ended, w)
		j.nudge()
	default:
		w.kept = true
	}
}

// payload is that of a job's intent.
type payload struct {
	ID    ident.Record    `json:"id"`
	Input json.RawMessage `json:"input"`
}

// read returns the jobs of an entry that this node does not have yet.
func (j *Jobs) read(e journal.Entry) ([]*work, error) {
	var out []*work
	for n, i := range e.Intents {
		if i.Kind != journal.IntentJob {
			continue
		}
		var p payload
		if err := json.Unmarshal(value.AppendJSON(nil, i.Payload), &p); err != nil {
			return nil, fmt.Errorf("read the payload of the job %s: %w", i.Name, err)
		}
		if _, err := ident.ParseRecord(string(p.ID)); err != nil {
			sum := sha256.Sum256(fmt.Appendf(nil, "job %s %d", e.Seq, n))
			sum[0] &= 0x7f
			p.ID = ident.FromBytes([16]byte(sum[:16]))
		}
		w := &work{id: p.ID, name: i.Name, owner: e.Origin.Subject.String(), run: 1,
			created: e.At, following: true, state: waiting}
		if len(p.Input) > 0 && string(p.Input) != "null" {
			w.input = string(p.Input)
		}
		if i.NotBefore.After(j.cfg.Now()) {
			w.end.due = i.NotBefore
		}
		out = append(out, w)
	}
	return out, nil
}

// Prepare implements follow.Preparer: jobs for which there is room begin.
func (j *Jobs) Prepare(ctx context.Context, entries []journal.Entry) int {
	b := batch{of: map[journal.Seq][]*work{}, left: make(chan struct{}), sure: true}
	most := j.batchSize()
	for i, e := range entries {
		if len(b.all) >= most {
			entries = entries[:i]
			break
		}
		works, err := j.read(e)
		if err != nil || len(works) == 0 {
			continue // Accept tells what is wrong
		}
		b.sure = b.sure && e.Seq.Compare(j.doubt) > 0
		b.of[e.Seq] = works
		b.all = append(b.all, works...)
	}
	if !b.sure {
		if err := j.known(ctx, b.all); err != nil {
			b.of, b.all = nil, nil // Accept finds out
		}
		kept := func(w *work) bool { return w.kept }
		b.all = slices.DeleteFunc(b.all, kept)
		for seq, works := range b.of {
			b.of[seq] = slices.DeleteFunc(works, kept)
		}
	}
	j.mu.Lock()
	if len(b.all) == 0 {
		j.batch = b
		j.mu.Unlock()
		return len(entries)
	}
	for seq, works := range b.of {
		for i, w := range works {
			if had := j.works[w.id]; had != nil {
				works[i], b.sure = had, false // begun before a commit that failed
			} else {
				j.works[w.id] = w
			}
		}
		b.of[seq] = works
	}
	b.all = b.all[:0]
	for _, e := range entries {
		for _, w := range b.of[e.Seq] {
			b.all = append(b.all, w)
			if w.state == waiting && j.ready(w) {
				w.state = queued
				j.todo = append(j.todo, w)
			}
			if w.state == queued || w.state == running {
				b.open++
			}
		}
	}
	if b.open == 0 {
		close(b.left)
	}
	j.batch = b
	j.hire()
	j.mu.Unlock()
	j.run(ctx, b.left)
	j.withdraw(b.all)
	return len(entries)
}

// batchSize is how many jobs will come to their end in a short time, as jobs have gone
// of late.
func (j *Jobs) batchSize() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.took <= 0 {
		return batchMax
	}
	return min(max(int(int64(prepareMax)/2*int64(j.cfg.Computing)/j.took), batchMin), batchMax)
}

// run lets the jobs of a batch run for a while: as long as so many of them come to their
// end that the others will, too.
func (j *Jobs) run(ctx context.Context, left <-chan struct{}) {
	began := time.Now()
	tick := time.NewTicker(prepareTime)
	defer tick.Stop()
	j.mu.Lock()
	open := j.batch.open
	j.mu.Unlock()
	for {
		select {
		case <-left:
			return
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		j.mu.Lock()
		now := j.batch.open
		j.mu.Unlock()
		if (open-now)*8 < now || time.Since(began) > prepareMax {
			return
		}
		open = now
	}
}

// ready reports whether a job may begin before it is written: one of which others must
// not be there has to be written first.
func (j *Jobs) ready(w *work) bool {
	if j.closing || !w.end.due.IsZero() {
		return false
	}
	job := j.cfg.Find(w.name)
	return job != nil && job.AtOnce == 0 && job.Once == nil
}

// withdraw leaves jobs to whoever has room for them that did not begin yet.
func (j *Jobs) withdraw(all []*work) {
	j.mu.Lock()
	defer j.mu.Unlock()
	some := false
	for _, w := range all {
		if w.state == queued && w.following {
			w.state, some = waiting, true
		}
	}
	if some {
		j.todo = slices.DeleteFunc(j.todo, func(w *work) bool { return w.state != queued })
	}
}

// known marks the jobs of which there is a record: they go their own ways.
func (j *Jobs) known(ctx context.Context, works []*work) error {
	if len(works) == 0 {
		return nil
	}
	least, most := works[0].id, works[0].id
	for _, w := range works {
		least, most = min(least, w.id), max(most, w.id)
	}
	return j.cfg.Store.Read(ctx, func(v store.View) error {
		// Ids are in the order of time, so that few others lie between.
		rows, err := v.Find(ctx, query.Query{Plan: agePlan, Args: []value.Value{
			value.OfText(string(least)), value.OfText(string(most))}})
		if err != nil {
			return err
		}
		known := map[ident.Record]bool{}
		for _, row := range rows {
			known[ident.Record(row.Slots[spec.SlotID].Text())] = true
		}
		for _, w := range works {
			w.kept = known[w.id]
			if !w.kept && len(rows) == turnMax {
				_, err := v.Get(ctx, Collection, w.id)
				if w.kept = err == nil; err != nil && !fault.Is(err, fault.NotFound) {
					return err
				}
			}
		}
		return nil
	})
}

// Accept implements follow.Follower.
func (j *Jobs) Accept(ctx context.Context, tx store.Tx, e journal.Entry) error {
	if !slices.ContainsFunc(e.Intents, isJob) {
		return nil
	}
	if j.batch.tx != tx {
		if err := j.expectRows(ctx, tx); err != nil {
			return err
		}
		for _, w := range j.batch.all {
			w.saved = 0
		}
		j.batch.tx = tx
	}
	works, ok := j.batch.of[e.Seq]
	if !ok { // not prepared
		var err error
		if works, err = j.read(e); err != nil {
			return err
		}
	}
	for _, w := range works {
		if err := j.accept(ctx, tx, w); err != nil {
			return err
		}
	}
	return nil
}

// Repair implements follow.Preparer: the jobs of the entry are written as waiting, unless
// they are there.
func (j *Jobs) Repair(ctx context.Context, tx store.Tx, e journal.Entry) error {
	works, err := j.read(e)
	if err != nil {
		return err
	}
	for _, w := range works {
		if err := j.accept(ctx, tx, w); err != nil {
			return err
		}
	}
	return nil
}

// expectRows reads the records of the batch ahead, or takes them for absent where no
// other can have written them.
func (j *Jobs) expectRows(ctx context.Context, tx store.Tx) error {
	j.batch.runs++
	ids := make([]ident.Record, len(j.batch.all))
	j.mu.Lock()
	sure := j.batch.sure && j.batch.runs == 1
	for i, w := range j.batch.all {
		ids[i] = w.id
		sure = sure && !w.kept
	}
	j.mu.Unlock()
	if a, ok := tx.(assumer); ok && sure {
		return a.Assume(ctx, Collection, ids)
	}
	return fetch(ctx, tx, ids)
}

// assumer is a transaction that takes records for absent without a look.
type assumer interface {
	Assume(ctx context.Context, collection string, ids []ident.Record) error
}

func isJob(i journal.Intent) bool { return i.Kind == journal.IntentJob }

// accept writes a job as what it has become.
func (j *Jobs) accept(ctx context.Context, tx store.Tx, w *work) error {
	j.mu.Lock()
	s := w.state
	if s == queued {
		s = running
	}
	w.saved = s
	j.mu.Unlock()
	if s == waiting && w.once == "" {
		if job := j.cfg.Find(w.name); job != nil && job.Once != nil {
			if w.once = j.once(ctx, job, w); w.once == "" {
				w.once = string(w.id)
			}
		}
	}
	if s == ended && w.end.written {
		return nil
	}
	return j.put(ctx, tx, w, s, j.cfg.Now())
}

// Committed implements follow.Follower.
func (j *Jobs) Committed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	some := false
	rest := j.batch.all[:0]
	for _, w := range j.batch.all {
		if w.saved == 0 { // its entry is not accepted yet
			rest = append(rest, w)
			continue
		}
		some = some || w.saved == waiting
		j.written(w, w.saved)
	}
	if j.batch.all = rest; len(rest) == 0 {
		j.batch = batch{}
	}
	if some {
		j.due = true
		j.nudge()
	}
	j.changed.tell()
}
