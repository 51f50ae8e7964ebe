package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// take makes deliveries that are due this node's and sends them. It returns when the
// next one may be due.
func (d *Deliveries) take(ctx context.Context) (time.Duration, error) {
	a := d.cfg.App()
	if a.Schema.Table(Collection) == nil || !d.cfg.Follow.Beaten() {
		return lookEach, nil
	}
	rest := lookEach
	for _, x := range a.Spec.Deliveries {
		for {
			room := d.room(x.Name)
			if room == 0 {
				break
			}
			n, err := d.claim(ctx, x.Name, room)
			if err != nil {
				return lookEach, err
			}
			if n < room {
				break
			}
		}
		rows, err := d.find(ctx, soonPlan, value.OfText(x.Name), value.OfTime(d.cfg.Now()))
		if err != nil {
			return lookEach, err
		}
		for _, row := range rows {
			wait := row.Get(fieldDue).Time().Sub(d.cfg.Now())
			rest = min(rest, max(wait, time.Millisecond))
		}
	}
	return rest, nil
}

// room is how many more of a name may be sent now.
func (d *Deliveries) room(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing {
		return 0
	}
	return max(0, min(namedMax-d.sending[name], workersMax-d.running))
}

// claim takes at most most due deliveries of a name.
func (d *Deliveries) claim(ctx context.Context, name string, most int) (int, error) {
	now := d.cfg.Now()
	due, err := d.find(ctx, duePlan, value.OfText(name), value.OfTime(now))
	if err != nil || len(due) == 0 {
		return 0, err
	}
	due = due[:min(len(due), most)]
	var mine []value.Record
	err = d.write(ctx, func(tx store.Tx) error {
		mine = mine[:0]
		for _, seen := range due {
			row, err := lenient(tx.Get(ctx, Collection, idOf(seen)))
			if err != nil {
				return err
			}
			if row.Zero() || row.Get(fieldState).Text() != Waiting || row.Get(fieldDue).IsNull() ||
				row.Get(fieldDue).Time().After(now) {
				continue // another node has it
			}
			row.Set(fieldState, value.OfText(Sending))
			row.Set(fieldDue, value.OfNull())
			row.Set(fieldNode, value.OfText(string(d.cfg.Follow.Node())))
			if row, err = tx.Put(ctx, Collection, row); err != nil {
				return err
			}
			mine = append(mine, row)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	d.sending[name] += len(mine)
	d.running += len(mine)
	d.mu.Unlock()
	for _, row := range mine {
		d.workers.Go(func() {
			defer func() {
				d.mu.Lock()
				d.sending[name]--
				d.running--
				d.mu.Unlock()
				d.Wake()
			}()
			d.deliver(row)
		})
	}
	return len(due), nil
}

// result is what came of one try.
type result struct {
	status  int
	problem string
	// final says that no further try would do better; after is the wait that the other
	// side asked for.
	final bool
	after time.Duration
	// broken says that the try was ours to break off, so that it counts for none.
	broken bool
}

// deliver sends one delivery and writes what came of it.
func (d *Deliveries) deliver(row value.Record) {
	x := d.cfg.App().Spec.Delivery(row.Get(fieldName).Text())
	var r result
	if x == nil {
		r = result{problem: errUnnamed, final: true}
	} else {
		r = d.send(d.ctx, x, row)
	}
	if d.ctx.Err() != nil && r.status == 0 && !r.final {
		r = result{problem: "the server ended while it was being sent", broken: true}
	}
	// What came of it is written even if the node is about to end.
	ctx := context.WithoutCancel(d.ctx)
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, lookEach) {
		outcome := ""
		err := d.write(ctx, func(tx store.Tx) (err error) {
			outcome, err = d.ended(ctx, tx, x, idOf(row), r)
			return err
		})
		if err == nil && outcome != "" {
			d.cfg.Count("deliveries."+row.Get(fieldName).Text(), outcome)
		}
		if err == nil || d.ctx.Err() != nil {
			return // or who comes next finds a delivery of a node that is gone
		}
		d.cfg.Log.Warn("what came of a delivery is written again", "delivery", string(idOf(row)),
			"cause", err)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-d.ctx.Done():
		}
		t.Stop()
	}
}

// send makes one try.
func (d *Deliveries) send(ctx context.Context, x *spec.Delivery, row value.Record) result {
	secret := d.cfg.Secret(x.Secret.Name)
	if secret == "" {
		return result{problem: "the secret " + x.Secret.Name + " has no value at this node"}
	}
	body := []byte(row.Get(fieldBody).Text())
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.To, bytes.NewReader(body))
	if err != nil {
		return result{problem: "the address is no URL", final: true}
	}
	req.Header.Set("Content-Type", "application/json")
	auth.SignStandard(req.Header, secret, MessageID(idOf(row)), body, d.cfg.Now())
	res, err := d.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return result{problem: d.cfg.Mask.Text(err.Error())}
	}
	// Only the status counts. The rest is read so that the connection can be kept.
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	r := result{status: res.StatusCode}
	switch {
	case r.status >= 200 && r.status < 300:
	case r.status == http.StatusGone:
		r.problem, r.final = "the other side answered 410: it wants no more", true
	default:
		r.problem = fmt.Sprintf("the other side answered %d", r.status)
		r.after = asked(res.Header.Get("Retry-After"), d.cfg.Now())
	}
	return r
}

// MessageID is the id by which the other side tells a delivery from its repetition.
func MessageID(id ident.Record) string { return "msg_" + string(id) }

// asked reads the wait that the other side asks for: seconds, or a date.
func asked(text string, now time.Time) time.Duration {
	if text == "" {
		return 0
	}
	var wait time.Duration
	if n, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(min(max(n, 0), int(askedMost/time.Second))) * time.Second
	} else if when, err := http.ParseTime(text); err == nil {
		wait = when.Sub(now)
	}
	return min(max(wait, 0), askedMost)
}

// ended writes what came of a try, and if it was the last one lets the next delivery of
// the record go. It returns how that is counted, "" for nothing.
func (d *Deliveries) ended(ctx context.Context, tx store.Tx, x *spec.Delivery, id ident.Record,
	r result) (string, error) {
	row, err := lenient(tx.Get(ctx, Collection, id))
	if err != nil || row.Zero() || row.Get(fieldNode).Text() != string(d.cfg.Follow.Node()) {
		return "", err // another node has it
	}
	now, tries := d.cfg.Now(), row.Get(fieldTries).Int()
	if !r.broken {
		tries++
	}
	row.Set(fieldNode, value.OfNull())
	row.Set(fieldTries, value.OfInt(tries))
	row.Set(fieldProblem, nullOr(r.problem))
	row.Set(fieldStatus, value.OfNull())
	if r.status != 0 {
		row.Set(fieldStatus, value.OfInt(int64(r.status)))
	}
	if r.problem != "" && !r.final && tries <= int64(x.Retry) {
		row.Set(fieldState, value.OfText(Waiting))
		wait := time.Duration(0)
		if !r.broken {
			wait = max(r.after, d.cfg.Again(tries))
		}
		row.Set(fieldDue, value.OfTime(now.Add(wait)))
		_, err := tx.Put(ctx, Collection, row)
		return "again", err
	}
	state := Done
	if r.problem != "" {
		state = Failed
		d.cfg.Log.Error("a delivery failed for good", "delivery", row.Get(fieldName).Text(),
			"id", string(id), "record", row.Get(fieldRecord).Text(), "problem", r.problem)
	}
	row.Set(fieldState, value.OfText(state))
	row.Set(fieldEnded, value.OfTime(now))
	lane := row.Get(fieldLane)
	row.Set(fieldLane, value.OfNull())
	if _, err := tx.Put(ctx, Collection, row); err != nil {
		return "", err
	}
	return state, d.next(ctx, tx, lane)
}

// next makes the first delivery of a lane due.
func (d *Deliveries) next(ctx context.Context, tx store.Tx, lane value.Value) error {
	rows, err := tx.Find(ctx, query.Query{Plan: lanePlan, Args: []value.Value{lane}})
	if err != nil || len(rows) == 0 {
		return err
	}
	row := rows[0]
	if row.Get(fieldState).Text() != Waiting || !row.Get(fieldDue).IsNull() {
		return nil
	}
	row.Set(fieldDue, value.OfTime(d.cfg.Now()))
	_, err = tx.Put(ctx, Collection, row)
	return err
}

// reap frees the deliveries of nodes that are gone.
func (d *Deliveries) reap(ctx context.Context) error {
	if d.cfg.App().Schema.Table(Collection) == nil {
		return nil
	}
	rows, err := d.find(ctx, heldPlan)
	if err != nil || !d.cfg.Follow.Beaten() {
		return err
	}
	for _, seen := range rows {
		if d.cfg.Follow.Alive(ident.Record(seen.Get(fieldNode).Text())) {
			continue
		}
		err := d.write(ctx, func(tx store.Tx) error {
			row, err := lenient(tx.Get(ctx, Collection, idOf(seen)))
			if err != nil || row.Zero() || row.Get(fieldNode).IsNull() ||
				d.cfg.Follow.Alive(ident.Record(row.Get(fieldNode).Text())) {
				return err
			}
			row.Set(fieldState, value.OfText(Waiting))
			row.Set(fieldNode, value.OfNull())
			row.Set(fieldDue, value.OfTime(d.cfg.Now()))
			_, err = tx.Put(ctx, Collection, row)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// sweepMax is how many old deliveries one commit deletes.
const sweepMax = 256

// sweep deletes, once in an hour, what ended long ago.
func (d *Deliveries) sweep(ctx context.Context) error {
	d.mu.Lock()
	early := time.Since(d.swept) < time.Hour
	d.swept = time.Now()
	d.mu.Unlock()
	if early || d.cfg.App().Schema.Table(Collection) == nil {
		return nil
	}
	for state, keep := range map[string]time.Duration{Done: Keep, Failed: KeepFailed} {
		for {
			rows, err := d.find(ctx, oldPlan, value.OfText(state), value.OfTime(d.cfg.Now().Add(-keep)))
			if err != nil || len(rows) == 0 {
				if err != nil {
					return err
				}
				break
			}
			err = d.write(ctx, func(tx store.Tx) error {
				for _, row := range rows {
					_, err := lenient(value.Record{}, tx.Delete(ctx, Collection, idOf(row)))
					if err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return d.giveUp(ctx)
}

// forgetTime is how long what waits is kept for an app that may name its delivery again.
const forgetTime = 24 * time.Hour

// giveUp ends what waits for a delivery that the app does not name any more.
func (d *Deliveries) giveUp(ctx context.Context) error {
	names := d.cfg.App().Spec.Deliveries
	args := []value.Value{value.OfText(Waiting), value.OfTime(d.cfg.Now().Add(-forgetTime))}
	for _, x := range names {
		args = append(args, value.OfText(x.Name))
	}
	plan := unnamedPlan(len(names))
	for {
		rows, err := d.find(ctx, plan, args...)
		if err != nil || len(rows) == 0 {
			return err
		}
		err = d.write(ctx, func(tx store.Tx) error {
			if err := d.cfg.InForce(); err != nil {
				return err
			}
			for _, seen := range rows {
				row, err := lenient(tx.Get(ctx, Collection, idOf(seen)))
				if err != nil {
					return err
				}
				if row.Zero() || row.Get(fieldState).Text() != Waiting {
					continue
				}
				row.Set(fieldState, value.OfText(Failed))
				row.Set(fieldProblem, value.OfText(errUnnamed))
				row.Set(fieldDue, value.OfNull())
				row.Set(fieldLane, value.OfNull())
				row.Set(fieldEnded, value.OfTime(d.cfg.Now()))
				if _, err := tx.Put(ctx, Collection, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		d.cfg.Log.Warn("deliveries were given up that the app does not name any more",
			"count", len(rows))
	}
}

// errUnnamed is why what the app does not name any more is given up.
const errUnnamed = "the app has no such delivery any more"
