package mail

import (
	"context"
	"errors"
	"time"

	"github.com/galleybackend/galley/internal/app"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// writing is the writing of letters, or of a campaign, in a transaction.
type writing struct {
	*Mails
	tx    store.Tx
	app   *app.App
	email *app.Email
	// cause names what asked for the letters: each has one for a reader.
	cause      string
	at         time.Time
	inCampaign ident.Record
	// of is the collection of record, "" if code gave it; data is what code gave beside.
	of, record, data string
}

// put writes a letter, unless the reader has one of the same cause.
func (w *writing) put(ctx context.Context, r reader, state, problem string) error {
	id := w.letter(r)
	if had, err := lenient(w.tx.Get(ctx, Letters, id)); err != nil || !had.Zero() {
		return err // two ways led to the same reader
	}
	row := value.NewRecord(w.app.Schema.Table(Letters).Shape)
	row.Slots[spec.SlotID] = value.OfText(string(id))
	set(row, map[string]value.Value{
		fieldEmail: value.OfText(w.email.Name), fieldCause: value.OfText(w.cause),
		fieldWho: value.OfText(r.who()), fieldAddress: value.OfText(r.address),
		fieldState: value.OfText(state), fieldTries: value.OfInt(0),
		fieldProblem: nullOr(clip(problem)), fieldOf: nullOr(w.of),
		fieldRecord: nullOr(w.record), fieldData: nullOr(w.data),
		fieldCampaign: nullOr(string(w.inCampaign)),
	})
	if state == Waiting {
		row.Set(fieldDue, value.OfTime(w.at))
	}
	if r.user != "" {
		row.Set(fieldUser, value.OfText(string(r.user)))
	}
	_, err := w.tx.Put(ctx, Letters, row)
	return err
}

// fetcher is a transaction that can read many records at once.
type fetcher interface {
	Fetch(ctx context.Context, collection string, ids []ident.Record) error
}

// fetch reads ahead what the letters to the readers need.
func (w *writing) fetch(ctx context.Context, people []reader) error {
	f, ok := w.tx.(fetcher)
	if !ok {
		return nil
	}
	users, letters := make([]ident.Record, len(people)), make([]ident.Record, len(people))
	for i, r := range people {
		users[i], letters[i] = r.user, w.letter(r)
	}
	if err := f.Fetch(ctx, spec.Users, users); err != nil {
		return err
	}
	return f.Fetch(ctx, Letters, letters)
}

// letter is the id of the one letter to a reader.
func (w *writing) letter(r reader) ident.Record {
	return named(Letters, w.cause+"\x00"+r.who())
}

// campaign writes a sending to a set of people.
func (w *writing) campaign(ctx context.Context) error {
	id := named(Campaigns, w.cause)
	if had, err := lenient(w.tx.Get(ctx, Campaigns, id)); err != nil || !had.Zero() {
		return err
	}
	row := value.NewRecord(w.app.Schema.Table(Campaigns).Shape)
	row.Slots[spec.SlotID] = value.OfText(string(id))
	set(row, map[string]value.Value{
		fieldEmail: value.OfText(w.email.Name), fieldCause: value.OfText(w.cause),
		fieldAt: value.OfTime(w.at), fieldState: value.OfText(Running),
		fieldOf: nullOr(w.of), fieldRecord: nullOr(w.record), fieldData: nullOr(w.data),
		fieldCursor: value.OfText(""), fieldMade: value.OfInt(0),
	})
	_, err := w.tx.Put(ctx, Campaigns, row)
	return err
}

// errElsewhere says that another node did the work meanwhile.
var errElsewhere = errors.New("another node did it")

// expand writes a portion of the letters of a campaign, and reports whether there is
// more to do.
func (m *Mails) expand(ctx context.Context) (bool, error) {
	var row value.Record
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: runningPlan})
		row = value.Record{}
		for _, r := range rows {
			node := ident.Record(r.Get(fieldNode).Text())
			if node == "" || node == m.cfg.Nodes.Node() || !m.cfg.Nodes.Alive(node) {
				row = r
				break
			}
		}
		return err
	})
	if err != nil || row.Zero() {
		return false, err
	}
	if err := m.cfg.InForce(); err != nil {
		return false, err
	}
	a := m.cfg.App()
	email := a.Email(row.Get(fieldEmail).Text())
	if email == nil || email.Set == nil {
		nothing := func(store.Tx, value.Record) error { return nil }
		err = m.step(ctx, row, nothing, map[string]value.Value{
			fieldState: value.OfText(Done), fieldNode: value.OfNull(),
			fieldProblem: value.OfText("the app has no such set of people any more")})
		return true, elsewhere(err)
	}
	p := &portion{Mails: m, app: a, email: email, row: row}
	if err := p.read(ctx); err != nil {
		return false, err
	}
	err = p.write(ctx)
	if err == nil {
		m.wakeLetters()
	}
	return true, elsewhere(err)
}

func (m *Mails) wakeLetters() {
	select {
	case m.letters <- struct{}{}:
	default:
	}
}

// elsewhere forgives that another node was faster.
func elsewhere(err error) error {
	if errors.Is(err, errElsewhere) {
		return nil
	}
	return err
}

// portion is a part of a campaign.
type portion struct {
	*Mails
	app   *app.App
	email *app.Email
	row   value.Record
	// people are the next readers; total is how many there are in all, less than 0 if
	// that is known.
	people []reader
	total  int64
}

// read asks the database for the next people of the set.
func (p *portion) read(ctx context.Context) error {
	in := &rule.Input{Now: p.row.Get(fieldAt).Time()}
	if of := p.row.Get(fieldOf).Text(); of != "" && p.app.Schema.Table(of) != nil {
		record, err := value.DecodeStored(p.app.Schema.Table(of).Shape,
			[]byte(p.row.Get(fieldRecord).Text()))
		if err != nil {
			return err
		}
		in.Record = record
	}
	cond := p.email.Set.Condition()
	id := column(spec.Users, spec.FieldID, value.TypeID, false)
	n := cond.Len()
	find := &query.Plan{From: spec.Users, Limit: p.cfg.Pace.Portion, Sort: []query.Order{{By: id}},
		Where: query.And{Of: []query.Expr{cond.Expr,
			query.Compare{Op: ">", L: id, R: param(n, value.TypeID)}}}}
	count := &query.Plan{From: spec.Users, Where: cond.Expr, Out: countShape,
		Aggregates: []query.Aggregate{{Func: "count"}}}
	return p.cfg.Store.Read(ctx, func(v store.View) error {
		in.View = v
		args, err := cond.Args(ctx, in)
		if err != nil {
			return err
		}
		p.total = -1
		if p.row.Get(fieldTotal).IsNull() {
			rows, err := v.Find(ctx, query.Query{Plan: count, Args: args})
			if err != nil {
				return err
			}
			p.total = rows[0].Slots[0].Int()
		}
		rows, err := v.Find(ctx, query.Query{Plan: find,
			Args: append(args[:n:n], value.OfText(p.row.Get(fieldCursor).Text()))})
		p.people = p.people[:0]
		for _, row := range rows {
			p.people = append(p.people, reader{idOf(row), row.Get(spec.FieldEmail).Text()})
		}
		return err
	})
}

var countShape = value.NewShape("count", []value.Field{
	{Name: "n", Type: value.Type{Kind: value.TypeInt}}})

// write writes their letters, and how far the campaign has come.
func (p *portion) write(ctx context.Context) error {
	next := map[string]value.Value{fieldNode: value.OfText(string(p.cfg.Nodes.Node())),
		fieldMade: value.OfInt(p.row.Get(fieldMade).Int() + int64(len(p.people)))}
	if p.total >= 0 {
		next[fieldTotal] = value.OfInt(p.total)
	}
	if n := len(p.people); n > 0 {
		next[fieldCursor] = value.OfText(string(p.people[n-1].user))
	}
	if len(p.people) < p.cfg.Pace.Portion {
		next[fieldState], next[fieldNode] = value.OfText(Done), value.OfNull()
	}
	now := p.cfg.Now()
	return p.step(ctx, p.row, func(tx store.Tx, row value.Record) error {
		w := &writing{Mails: p.Mails, tx: tx, app: p.app, email: p.email, at: now,
			cause: string(idOf(row)), inCampaign: idOf(row), of: row.Get(fieldOf).Text(),
			record: row.Get(fieldRecord).Text(), data: row.Get(fieldData).Text()}
		if err := w.fetch(ctx, p.people); err != nil {
			return err
		}
		for _, r := range p.people {
			// An account that is gone since the portion was read has nothing to point to.
			if user, err := lenient(tx.Get(ctx, spec.Users, r.user)); err != nil || user.Zero() {
				if err != nil {
					return err
				}
				continue
			}
			if err := w.put(ctx, r, Waiting, ""); err != nil {
				return err
			}
		}
		return nil
	}, next)
}

// step changes a campaign that stands as it was read.
func (m *Mails) step(ctx context.Context, row value.Record, also func(store.Tx, value.Record) error,
	next map[string]value.Value) error {
	return m.write(ctx, Campaigns, func(tx store.Tx) error {
		if err := m.cfg.InForce(); err != nil {
			return err
		}
		now, err := lenient(tx.Get(ctx, Campaigns, idOf(row)))
		if err != nil {
			return err
		}
		if now.Zero() || now.Slots[spec.SlotVersion].Int() != row.Slots[spec.SlotVersion].Int() {
			return errElsewhere
		}
		if err := also(tx, now); err != nil {
			return err
		}
		set(now, next)
		_, err = tx.Put(ctx, Campaigns, now)
		return err
	})
}
