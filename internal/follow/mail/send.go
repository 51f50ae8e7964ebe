package mail

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/outbound"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// work is a letter that this node has claimed.
type work struct {
	id     ident.Record
	email  *app.Email
	reader reader
	row    value.Record
	user   value.Record
	person ident.Record
	app    *app.App
	// claim is the number of this claim, holder this node with it, as the letter says.
	claim  int64
	holder string
	// over is the last state of a letter that ends here, "" for one that is to be sent.
	over string
}

// count tells what came of a letter, as it is written.
func (m *Mails) count(row value.Record) {
	outcome := row.Get(fieldState).Text()
	if outcome == Waiting {
		outcome = "again"
	}
	m.cfg.Count("emails."+row.Get(fieldEmail).Text(), outcome)
}

// sendAll sends what is due until ctx ends.
func (m *Mails) sendAll(ctx, grace context.Context) {
	todo := make(chan work)
	var workers sync.WaitGroup
	for range m.cfg.Pace.Workers {
		workers.Go(func() {
			for w := range todo {
				m.send(ctx, grace, w)
			}
		})
	}
	m.repeat(ctx, m.letters, func(ctx context.Context) (bool, error) {
		if err := m.recover(ctx); err != nil {
			return false, err
		}
		if wait := m.closed(); wait > 0 {
			pause(ctx, nil, wait)
			return true, nil
		}
		works, more, err := m.claim(ctx)
		for i, w := range works {
			select {
			case todo <- w:
			case <-ctx.Done():
				m.giveBack(grace, works[i:])
				return false, nil
			}
		}
		return more, err
	})
	close(todo)
	workers.Wait()
}

// closed returns how long no mail need be offered to the server.
func (m *Mails) closed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Until(m.until)
}

// Down says why the mail server takes no mails, "" while it does.
func (m *Mails) Down() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.down
}

// reached notes whether the server can be reached.
func (m *Mails) reached(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err == nil {
		if m.down != "" {
			m.cfg.Log.Info("the mail server takes mails again")
		}
		m.down, m.wait = "", 0
		return
	}
	if m.down == "" {
		m.cfg.Log.Error("the mail server cannot be reached; letters wait", "cause", err)
	}
	if time.Until(m.until) > 0 {
		return // another worker has told
	}
	m.wait = min(max(2*m.wait, m.cfg.Pace.Again/16), downMax)
	m.down, m.until = clip(err.Error()), time.Now().Add(jitter(m.wait))
}

// jitter spreads a wait, so that many do not come at once.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

// claim makes due letters this node's, and reports whether there may be more. Those that a
// promise forbids end here.
func (m *Mails) claim(ctx context.Context) (works []work, more bool, err error) {
	if !m.cfg.Nodes.Beaten() {
		return nil, false, nil // others may take this node for gone
	}
	now := m.cfg.Now()
	var ids []ident.Record
	var over []value.Record
	err = m.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: duePlan, Args: []value.Value{value.OfTime(now)}})
		ids = ids[:0]
		for _, row := range rows {
			ids = append(ids, idOf(row))
		}
		return err
	})
	if err != nil || len(ids) == 0 {
		return nil, false, err
	}
	err = m.write(ctx, Letters, func(tx store.Tx) error {
		if err := m.cfg.InForce(); err != nil {
			return err
		}
		a := m.cfg.App()
		works, over = works[:0], over[:0]
		for _, id := range ids {
			w, err := m.take(ctx, tx, a, id, now)
			switch {
			case err != nil:
				return err
			case w == nil:
			case w.over != "":
				over = append(over, w.row)
			default:
				works = append(works, *w)
			}
		}
		return nil
	})
	if err != nil {
		return nil, false, err
	}
	for _, row := range over {
		m.count(row)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range works {
		m.mine[w.id] = w.claim
	}
	return works, true, nil
}

// nextClaim returns the number of a claim, and who the letter says has it.
func (m *Mails) nextClaim() (int64, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.claims++
	return m.claims, fmt.Sprintf("%s/%d", m.cfg.Nodes.Node(), m.claims)
}

// release lets go of a claim. A letter may have been claimed again by now.
func (m *Mails) release(w work) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mine[w.id] == w.claim {
		delete(m.mine, w.id)
	}
}

// take claims one letter, or ends it; nil if there is nothing to send.
func (m *Mails) take(ctx context.Context, tx store.Tx, a *app.App, id ident.Record, now time.Time) (
	*work, error) {
	row, err := lenient(tx.Get(ctx, Letters, id))
	if err != nil || row.Zero() || row.Get(fieldState).Text() != Waiting {
		return nil, err
	}
	w := &work{id: id, app: a, email: a.Email(row.Get(fieldEmail).Text()),
		reader: reader{ident.Record(row.Get(fieldUser).Text()), row.Get(fieldAddress).Text()}}
	if w.email == nil {
		w.over, w.row = Parked, row
		return w, m.end(ctx, tx, row, Parked, "the app has no such email any more", nil)
	}
	if w.reader.user != "" {
		// The address is that of today.
		if w.user, err = lenient(tx.Get(ctx, spec.Users, w.reader.user)); err != nil {
			return nil, err
		}
		if !w.user.Zero() {
			w.reader.address = w.user.Get(spec.FieldEmail).Text()
			row.Set(fieldAddress, value.OfText(w.reader.address))
		}
	}
	people, err := m.persons(ctx, tx, w.reader)
	if err != nil {
		return nil, err
	}
	if why := people.forbids(w.email, id, now); why != "" {
		w.over, w.row = Held, row
		return w, m.end(ctx, tx, row, Held, why, w.email)
	}
	if err := m.reserve(ctx, tx, people, w.email, id); err != nil {
		return nil, err
	}
	w.person = idOf(people.self())
	w.claim, w.holder = m.nextClaim()
	set(row, map[string]value.Value{fieldState: value.OfText(Claimed), fieldDue: value.OfNull(),
		fieldNode: value.OfText(w.holder)})
	w.row, err = tx.Put(ctx, Letters, row)
	return w, err
}

// end writes a letter's last state.
func (m *Mails) end(ctx context.Context, tx store.Tx, row value.Record, state, problem string,
	email *app.Email) error {
	set(row, map[string]value.Value{fieldState: value.OfText(state), fieldDue: value.OfNull(),
		fieldNode: value.OfNull(), fieldProblem: nullOr(clip(problem))})
	if state == Sent || state == Unknown {
		row.Set(fieldSent, value.OfTime(m.cfg.Now()))
	}
	if _, err := tx.Put(ctx, Letters, row); err != nil {
		return err
	}
	return m.settle(ctx, tx, row.Get(fieldWho).Text(), idOf(row), email,
		state == Sent || state == Unknown)
}

// again has a letter wait for another try.
func (m *Mails) again(ctx context.Context, tx store.Tx, row value.Record, problem string,
	email *app.Email) error {
	tries := row.Get(fieldTries).Int() + 1
	if tries >= int64(m.cfg.Pace.Tries) {
		row.Set(fieldTries, value.OfInt(tries))
		return m.end(ctx, tx, row, Parked, problem, email)
	}
	wait := min(m.cfg.Pace.Again<<min(tries-1, 20), againMost)
	set(row, map[string]value.Value{fieldState: value.OfText(Waiting), fieldNode: value.OfNull(),
		fieldTries: value.OfInt(tries), fieldProblem: nullOr(clip(problem)),
		fieldDue: value.OfTime(m.cfg.Now().Add(jitter(wait)))})
	_, err := tx.Put(ctx, Letters, row)
	return err
}

// errForbidden says that a promise came between, errLost that the letter is not this
// node's any more.
var (
	errForbidden = errors.New("a promise forbids the mail")
	errLost      = errors.New("another node has the letter")
)

// send sends one letter and writes what became of it.
func (m *Mails) send(ctx, grace context.Context, w work) {
	defer m.release(w)
	if ctx.Err() != nil {
		m.giveBack(grace, []work{w})
		return
	}
	subject, source, err := m.source(grace, w)
	if err != nil {
		m.finish(grace, w, func(tx store.Tx, row value.Record) error {
			return m.end(grace, tx, row, Parked, "the template: "+err.Error(), w.email)
		})
		return
	}
	ready := func() error { return m.mark(grace, w) }
	if m.cfg.Sender == nil {
		if err = ready(); err == nil {
			m.finish(grace, w, func(tx store.Tx, row value.Record) error {
				row.Set(fieldSubject, value.OfText(subject))
				row.Set(fieldSource, value.OfText(string(source)))
				return m.end(grace, tx, row, Sent, "", w.email)
			})
		}
	} else {
		err = m.cfg.Sender.Send(grace, outbound.Mail{From: m.cfg.From.Address, To: w.reader.address,
			Source: source}, ready)
		m.ended(grace, w, subject, err)
	}
	if err != nil && !errors.Is(err, errForbidden) && !errors.Is(err, errLost) {
		m.cfg.Log.Warn("a mail was not sent", "letter", string(w.id), "email", w.email.Name,
			"cause", err)
	}
}

// ended writes what became of a letter at the mail server.
func (m *Mails) ended(ctx context.Context, w work, subject string, err error) {
	var failed *outbound.MailError
	switch {
	case errors.Is(err, errForbidden), errors.Is(err, errLost):
		return // it is written
	case err != nil && !errors.As(err, &failed):
		// The database did not take the mark, so that nothing was sent.
		m.finish(ctx, w, func(tx store.Tx, row value.Record) error {
			return m.again(ctx, tx, row, err.Error(), w.email)
		})
		return
	}
	if failed != nil && failed.Stage == outbound.StageConnect {
		m.reached(failed)
		m.put(ctx, w, "the mail server cannot be reached: "+failed.Err.Error())
		return
	}
	m.reached(nil)
	m.finish(ctx, w, func(tx store.Tx, row value.Record) error {
		row.Set(fieldSubject, value.OfText(subject))
		switch {
		case failed == nil:
			return m.end(ctx, tx, row, Sent, "", w.email)
		case failed.Unknown() && w.email.Marketing():
			return m.end(ctx, tx, row, Unknown, failed.Error(), w.email)
		case failed.NoRecipient():
			if err := m.bounce(ctx, tx, w.reader.address, failed.Err.Error()); err != nil {
				return err
			}
			return m.end(ctx, tx, row, Bounced, failed.Error(), w.email)
		case failed.Final():
			return m.end(ctx, tx, row, Parked, failed.Error(), w.email)
		default:
			return m.again(ctx, tx, row, failed.Error(), w.email)
		}
	})
}

// mark notes that a letter is being sent, at the last moment at which it need not be.
func (m *Mails) mark(ctx context.Context, w work) error {
	forbidden := false
	err := m.write(ctx, Letters, func(tx store.Tx) error {
		row, err := m.own(ctx, tx, w)
		if err != nil {
			return err
		}
		people, err := m.persons(ctx, tx, w.reader)
		if err != nil {
			return err
		}
		why := people.forbids(w.email, w.id, m.cfg.Now())
		if forbidden = why != ""; forbidden {
			return m.end(ctx, tx, row, Held, why, w.email)
		}
		row.Set(fieldState, value.OfText(Sending))
		_, err = tx.Put(ctx, Letters, row)
		return err
	})
	if err == nil && forbidden {
		m.cfg.Count("emails."+w.email.Name, Held)
		return errForbidden
	}
	return err
}

// own reads a letter that is still claimed as it was, or returns errLost.
func (m *Mails) own(ctx context.Context, tx store.Tx, w work) (value.Record, error) {
	row, err := lenient(tx.Get(ctx, Letters, w.id))
	if err == nil && (row.Zero() || row.Get(fieldNode).Text() != w.holder) {
		err = errLost
	}
	return row, err
}

// finish writes what became of a letter, again and again until it is written, or until
// ctx ends: then who comes next finds a letter of a node that is gone.
func (m *Mails) finish(ctx context.Context, w work, fn func(store.Tx, value.Record) error) {
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, lookEach) {
		var row value.Record
		err := m.write(ctx, Letters, func(tx store.Tx) (err error) {
			if row, err = m.own(ctx, tx, w); err != nil {
				return err
			}
			return fn(tx, row)
		})
		if err == nil {
			m.count(row)
		}
		if err == nil || errors.Is(err, errLost) || ctx.Err() != nil {
			return
		}
		m.cfg.Log.Warn("what became of a mail is written again", "letter", string(w.id), "cause", err)
		pause(ctx, nil, wait)
	}
}

// giveBack lets others have letters that were not begun.
func (m *Mails) giveBack(ctx context.Context, works []work) {
	for _, w := range works {
		m.put(ctx, w, "")
		m.release(w)
	}
}

// put has a letter wait that was not begun, whatever the reason.
func (m *Mails) put(ctx context.Context, w work, why string) {
	m.finish(ctx, w, func(tx store.Tx, row value.Record) error {
		set(row, map[string]value.Value{fieldState: value.OfText(Waiting), fieldNode: value.OfNull(),
			fieldDue: value.OfTime(m.cfg.Now()), fieldProblem: nullOr(clip(why))})
		_, err := tx.Put(ctx, Letters, row)
		return err
	})
}

// recover ends what nodes had begun that are gone.
func (m *Mails) recover(ctx context.Context) error {
	var gone []ident.Record
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: heldPlan})
		gone = gone[:0]
		for _, row := range rows {
			if m.lost(row) {
				gone = append(gone, idOf(row))
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, id := range gone {
		err := m.write(ctx, Letters, func(tx store.Tx) error {
			if err := m.cfg.InForce(); err != nil {
				return err
			}
			row, err := lenient(tx.Get(ctx, Letters, id))
			if err != nil || row.Zero() || !m.lost(row) {
				return err
			}
			email := m.cfg.App().Email(row.Get(fieldEmail).Text())
			const why = "a server ended while it was being sent"
			switch {
			case row.Get(fieldState).Text() == Claimed:
				set(row, map[string]value.Value{fieldState: value.OfText(Waiting),
					fieldNode: value.OfNull(), fieldDue: value.OfTime(m.cfg.Now())})
				_, err = tx.Put(ctx, Letters, row)
				return err
			case email == nil || email.Marketing():
				return m.end(ctx, tx, row, Unknown, why, email)
			}
			return m.again(ctx, tx, row, why, email)
		})
		if err != nil {
			return fmt.Errorf("look after the letter %s: %w", id, err)
		}
	}
	return nil
}

// lost reports whether a letter that a node has is nobody's.
func (m *Mails) lost(row value.Record) bool {
	node, claim, _ := strings.Cut(row.Get(fieldNode).Text(), "/")
	if node == "" {
		return false
	}
	if ident.Record(node) != m.cfg.Nodes.Node() {
		return !m.cfg.Nodes.Alive(ident.Record(node))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return fmt.Sprint(m.mine[idOf(row)]) != claim
}
