package job

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

const (
	// turnMax is how many jobs one commit ends, and takes.
	turnMax = 256
	// againMin and againMax bound the wait after a commit that failed.
	againMin = 20 * time.Millisecond
	againMax = 2 * time.Second
	// crashMax is how often more than its retries a job is begun anew whose node died.
	crashMax = 5
)

// turns writes the ends of jobs and takes new ones until ctx ends.
func (j *Jobs) turns(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	again := againMin
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-j.wake:
		case <-timer.C:
			j.mu.Lock()
			j.due = true
			j.mu.Unlock()
		}
		err := j.scan(ctx)
		for err == nil && j.more() {
			err = j.turn(ctx, true)
		}
		timer.Stop()
		switch {
		case err == nil:
			again = againMin
			timer.Reset(j.rest())
		case ctx.Err() != nil:
			return
		default:
			j.cfg.Log.Warn("jobs are written and taken again", "cause", err)
			timer.Reset(again)
			again = min(again*2, againMax)
		}
	}
}

// more reports whether there is something to write or to take.
func (j *Jobs) more() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.ended) > 0 || j.due && !j.closing && j.room() > 0
}

// rest is how long nothing may be due.
func (j *Jobs) rest() time.Duration {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.soonest.IsZero() {
		return j.cfg.Follow.Beat()
	}
	return min(max(j.soonest.Sub(j.cfg.Now()), time.Millisecond), j.cfg.Follow.Beat())
}

// expect notes when a job is due. The caller holds j.mu.
func (j *Jobs) expect(due time.Time) {
	if due.IsZero() || !due.After(j.cfg.Now()) {
		j.due = true
		j.nudge()
		return
	}
	if j.soonest.IsZero() || due.Before(j.soonest) {
		j.soonest = due
		j.nudge()
	}
}

// room is how many more jobs will begin soon if they are taken. The caller holds j.mu.
func (j *Jobs) room() int {
	free := j.cfg.Workers - j.running - len(j.todo)
	if j.took > 0 && len(j.todo) < turnMax/2 {
		soon := int64(prepareTime) * int64(j.cfg.Computing) / j.took
		free = max(free, min(int(soon), turnMax)-len(j.todo))
	}
	return min(max(free, 0), turnMax)
}

// turn is one commit: the ends of jobs are written, and others are taken.
func (j *Jobs) turn(ctx context.Context, take bool) error {
	j.mu.Lock()
	ends := slices.Clone(j.ended[:min(len(j.ended), turnMax)])
	room := 0
	if take && j.due && !j.closing {
		room = j.room()
		j.due = false
	}
	now := j.cfg.Now()
	if !j.soonest.After(now) {
		j.soonest = time.Time{}
	}
	j.mu.Unlock()
	var found []ident.Record
	var err error
	if room > 0 && j.cfg.Follow.Beaten() {
		if found, err = j.find(ctx, room, now); err != nil {
			j.mu.Lock()
			j.due = true
			j.mu.Unlock()
			return err
		}
	}
	if len(ends) == 0 && len(found) == 0 {
		return nil
	}
	var taken []*work
	_, err = j.cfg.Store.Write(ctx, j.origin(now), func(tx store.Tx) error {
		taken = nil
		ids := slices.Clone(found)
		for _, w := range ends {
			if !w.end.written {
				ids = append(ids, w.id)
			}
		}
		if err := fetch(ctx, tx, ids); err != nil {
			return err
		}
		for _, w := range ends {
			if w.end.written {
				continue
			}
			if err := j.put(ctx, tx, w, ended, now); err != nil {
				return err
			}
		}
		var err error
		taken, err = j.claim(ctx, tx, found, now)
		return err
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.due = j.due || len(found) > 0
		return err
	}
	j.finish(ends)
	j.due = j.due || len(found) == room && room > 0
	for _, w := range taken {
		j.works[w.id] = w // a run before may be about to be forgotten
		j.todo = append(j.todo, w)
	}
	if len(taken) > 0 {
		j.hire()
	}
	j.changed.tell()
	return nil
}

// count tells what came of a run that is written. One that only waits is not over.
func (j *Jobs) count(w *work) {
	switch {
	case w.end.state != Waiting:
		j.cfg.Count("jobs."+w.name, w.end.state)
	case w.end.problem != "":
		j.cfg.Count("jobs."+w.name, "again")
	}
}

// finish forgets the jobs whose ends are written. The caller holds j.mu.
func (j *Jobs) finish(ends []*work) {
	j.ended = slices.Delete(j.ended, 0, len(ends))
	for _, w := range ends {
		j.forget(w)
		j.count(w)
		if w.end.state == Waiting {
			j.expect(w.end.due)
		}
	}
	if len(ends) > 0 {
		j.due = true // one that may not run beside those may run now
	}
}

// find returns jobs that are due and that this node may run.
func (j *Jobs) find(ctx context.Context, room int, now time.Time) (out []ident.Record, err error) {
	names := slices.Sorted(slices.Values(j.cfg.Names()))
	if len(names) == 0 {
		return nil, nil
	}
	err = j.cfg.Store.Read(ctx, func(v store.View) error {
		out = out[:0]
		left := map[string]int{}
		free := names[:0:0]
		for _, name := range names {
			job := j.cfg.Find(name)
			if job == nil {
				continue
			}
			if job.AtOnce > 0 {
				n, err := runs(ctx, v, name)
				if err != nil {
					return err
				}
				if left[name] = job.AtOnce - n; left[name] <= 0 {
					continue
				}
			}
			free = append(free, name)
		}
		if len(free) == 0 {
			return nil
		}
		args := []value.Value{value.OfTime(now)}
		for _, name := range free {
			args = append(args, value.OfText(name))
		}
		rows, err := v.Find(ctx, query.Query{Plan: j.plan(planKey{names: len(free)}, duePlan), Args: args})
		for _, row := range rows {
			if len(out) == room {
				break
			}
			name := row.Get(fieldName).Text()
			if n, limited := left[name]; limited {
				if n == 0 {
					continue
				}
				left[name]--
			}
			out = append(out, ident.Record(row.Slots[spec.SlotID].Text()))
		}
		return err
	})
	return out, err
}

// planKey names a plan by how many names, or nodes, it asks for.
type planKey struct{ names, nodes int }

// plan returns a plan, which is made once.
func (j *Jobs) plan(k planKey, make func(int) *query.Plan) *query.Plan {
	if p, ok := j.plans.Load(k); ok {
		return p.(*query.Plan)
	}
	p, _ := j.plans.LoadOrStore(k, make(k.names+k.nodes))
	return p.(*query.Plan)
}

// runs is how many jobs of a name run, at whatever node.
func runs(ctx context.Context, v store.View, name string) (int, error) {
	rows, err := v.Find(ctx, query.Query{Plan: runsPlan, Args: []value.Value{value.OfText(name)}})
	return len(rows), err
}

// claim makes the jobs this node's that nobody took meanwhile.
func (j *Jobs) claim(ctx context.Context, tx store.Tx, ids []ident.Record, now time.Time) (
	[]*work, error) {
	var out []*work
	left := map[string]int{}
	for _, id := range ids {
		row, err := tx.Get(ctx, Collection, id)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		name := row.Get(fieldName).Text()
		job := j.cfg.Find(name)
		if job == nil || row.Get(fieldState).Text() != Waiting ||
			row.Get(fieldDue).Time().After(now) {
			continue
		}
		if job.AtOnce > 0 {
			if _, ok := left[name]; !ok {
				n, err := runs(ctx, tx, name)
				if err != nil {
					return nil, err
				}
				left[name] = job.AtOnce - n
			}
			if left[name] <= 0 {
				continue
			}
			left[name]--
		}
		w := workOf(row)
		w.run++
		row.Set(fieldState, value.OfText(Running))
		row.Set(fieldNode, value.OfText(string(j.cfg.Follow.Node())))
		row.Set(fieldRun, value.OfInt(w.run))
		row.Set(fieldDue, value.OfNull())
		if row.Get(fieldBegun).IsNull() {
			row.Set(fieldBegun, value.OfTime(now))
		}
		if _, err := tx.Put(ctx, Collection, row); err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// workOf returns the job of a record.
func workOf(row value.Record) *work {
	return &work{id: ident.Record(row.Slots[spec.SlotID].Text()), kept: true, state: queued,
		name: row.Get(fieldName).Text(), owner: row.Get(fieldOwner).Text(),
		input: row.Get(fieldInput).Text(), once: row.Get(fieldOnce).Text(),
		created: row.Slots[spec.SlotCreated].Time(), run: row.Get(fieldRun).Int(),
		tries: row.Get(fieldTries).Int(), again: row.Get(fieldAgain).Int(), done: row.Get(fieldDone).Int(),
		total: row.Get(fieldTotal).Int()}
}

// scan looks, now and then, at what nobody tells of: jobs of nodes that are gone, those
// that shall end, how far jobs are.
func (j *Jobs) scan(ctx context.Context) error {
	if time.Since(j.lastScan) < j.cfg.Follow.Beat()*9/10 {
		return nil
	}
	// Alone on a database, what others left behind is found at the beginning.
	if j.lastScan.IsZero() || j.cfg.Follow.Shared() {
		if err := j.reap(ctx); err != nil {
			return err
		}
	}
	if err := j.cancelled(ctx); err != nil {
		return err
	}
	if err := j.tell(ctx); err != nil {
		return err
	}
	if err := j.sweep(ctx); err != nil {
		return err
	}
	j.lastScan = time.Now()
	return nil
}

// reap frees the jobs of nodes that are gone.
func (j *Jobs) reap(ctx context.Context) error {
	for {
		freed, err := j.free(ctx)
		if err != nil || freed < turnMax {
			return err
		}
	}
}

// free frees some of them, and returns how many.
func (j *Jobs) free(ctx context.Context) (int, error) {
	var living []value.Value
	for _, id := range j.cfg.Follow.Living() {
		living = append(living, value.OfText(string(id)))
	}
	plan := j.plan(planKey{nodes: len(living)}, gonePlan)
	var gone []ident.Record
	err := j.cfg.Store.Read(ctx, func(v store.View) error {
		gone = gone[:0]
		rows, err := v.Find(ctx, query.Query{Plan: plan, Args: living})
		for _, row := range rows {
			gone = append(gone, ident.Record(row.Slots[spec.SlotID].Text()))
		}
		return err
	})
	if err != nil || len(gone) == 0 || !j.cfg.Follow.Beaten() {
		return 0, err
	}
	now := j.cfg.Now()
	_, err = j.cfg.Store.Write(ctx, j.origin(now), func(tx store.Tx) error {
		if err := fetch(ctx, tx, gone); err != nil {
			return err
		}
		for _, id := range gone {
			row, err := tx.Get(ctx, Collection, id)
			if err != nil {
				return err
			}
			node := ident.Record(row.Get(fieldNode).Text())
			if row.Get(fieldState).Text() != Running || j.cfg.Follow.Alive(node) {
				continue
			}
			w := workOf(row)
			w.tries++
			e := end{state: Waiting, due: now}
			if job := j.cfg.Find(w.name); job != nil && w.tries > int64(job.Retry+crashMax) {
				e = end{state: Failed, problem: problemOf(fault.WithCode(fault.Internal,
					"node_died", "The node died whenever the job ran."))}
			}
			if row.Get(fieldCancel).Bool() {
				e = end{state: Cancelled}
			}
			e.write(row, e.state, now)
			row.Set(fieldTries, value.OfInt(w.tries))
			if _, err := tx.Put(ctx, Collection, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		j.mu.Lock()
		j.due = true
		j.mu.Unlock()
	}
	return len(gone), err
}

// cancelled hears which of this node's jobs shall end.
func (j *Jobs) cancelled(ctx context.Context) error {
	if j.nobody() {
		return nil
	}
	return j.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: cancelPlan,
			Args: []value.Value{value.OfText(string(j.cfg.Follow.Node()))}})
		for _, row := range rows {
			j.drain(ident.Record(row.Slots[spec.SlotID].Text()))
		}
		return err
	})
}

func (j *Jobs) nobody() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.works) == 0
}

// drain has a job of this node end before its next step.
func (j *Jobs) drain(id ident.Record) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if w := j.works[id]; w != nil {
		w.cancelled = true
	}
}

// tell writes how far jobs are that said so.
func (j *Jobs) tell(ctx context.Context) error {
	type progress struct {
		w           *work
		done, total int64
	}
	var all []progress
	j.mu.Lock()
	for _, w := range j.works {
		if w.told && w.kept && w.state == running && len(all) < turnMax {
			w.told = false
			all = append(all, progress{w, w.done, w.total})
		}
	}
	j.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	_, err := j.cfg.Store.Write(ctx, j.origin(j.cfg.Now()), func(tx store.Tx) error {
		for _, p := range all {
			row, err := tx.Get(ctx, Collection, p.w.id)
			if fault.Is(err, fault.NotFound) || err == nil && !j.mine(row, p.w) {
				continue
			}
			if err != nil {
				return err
			}
			row.Set(fieldDone, value.OfInt(p.done))
			row.Set(fieldTotal, value.OfInt(p.total))
			if _, err := tx.Put(ctx, Collection, row); err != nil {
				return err
			}
		}
		return nil
	})
	return err
}

// once is the text by which a job is one; "" if it cannot be told.
func (j *Jobs) once(ctx context.Context, job *Job, w *work) string {
	in, err := job.input(w.input)
	if err == nil {
		var v value.Value
		if v, err = job.Once(ctx, in); err == nil && !v.IsNull() {
			var b strings.Builder
			b.WriteString(w.name + " ")
			b.Write(value.AppendJSON(nil, v))
			return b.String()
		}
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		j.cfg.Log.Warn("once_per cannot be told", "job", w.name, "id", string(w.id), "cause", err)
	}
	return ""
}
