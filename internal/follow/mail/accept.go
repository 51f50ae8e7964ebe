package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/rule"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// payload is that of an email's intent: the place of the change that caused it, or what
// the app's code gave.
type payload struct {
	Change *int `json:"change"`
	Given  struct {
		To     json.RawMessage `json:"to"`
		Record json.RawMessage `json:"record"`
		Data   json.RawMessage `json:"data"`
	} `json:"given"`
}

// Accept implements follow.Follower: what the entry asks for becomes letters, or a
// campaign that will.
func (m *Mails) Accept(ctx context.Context, tx store.Tx, e journal.Entry) error {
	for n, i := range e.Intents {
		if i.Kind != journal.IntentEmail {
			continue
		}
		if err := m.cfg.InForce(); err != nil {
			return err
		}
		a := m.cfg.App()
		email := a.Email(i.Name)
		if email == nil || a.Schema.Table(Letters) == nil {
			return fmt.Errorf("the app has no email %s any more", i.Name)
		}
		var p payload
		if err := json.Unmarshal(value.AppendJSON(nil, i.Payload), &p); err != nil {
			return fmt.Errorf("read the payload of the email %s: %w", i.Name, err)
		}
		w := &writing{Mails: m, tx: tx, app: a, email: email, at: e.At,
			cause: fmt.Sprintf("%s/%d", e.Seq, n)}
		if i.NotBefore.After(e.At) {
			w.at = i.NotBefore
		}
		var err error
		if p.Change != nil {
			err = w.changed(ctx, e, *p.Change)
		} else {
			err = w.given(ctx, p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// changed writes the letters that a change asks for.
func (w *writing) changed(ctx context.Context, e journal.Entry, n int) error {
	if n < 0 || n >= len(e.Changes) {
		return fmt.Errorf("the email %s is about change %d of %d", w.email.Name, n, len(e.Changes))
	}
	c := e.Changes[n]
	table := w.app.Schema.Table(c.Collection)
	if table == nil {
		return w.park(ctx, fmt.Sprintf("the app has no collection %s any more", c.Collection))
	}
	record := c.After
	if record.Zero() {
		record = c.Before
	}
	in := &rule.Input{Record: fit(record, table.Shape), Before: fit(c.Before, table.Shape),
		Now: e.At, View: w.tx}
	w.of, w.record = c.Collection, string(value.AppendRecord(nil, in.Record))
	if w.email.Set != nil {
		return w.campaign(ctx)
	}
	return w.one(ctx, in)
}

// one writes the letter to whom the rule names.
func (w *writing) one(ctx context.Context, in *rule.Input) error {
	if w.email.To == nil {
		return w.park(ctx, "the app does not say any more to whom it goes")
	}
	to, err := w.email.To.Eval(ctx, in)
	var broken *fault.Fault
	switch {
	case errors.As(err, &broken) || ctx.Err() != nil:
		return err
	case err != nil:
		return w.park(ctx, "to whom it goes cannot be said: "+err.Error())
	case to.IsNull() || to.Text() == "":
		return nil // there is nobody
	}
	return w.to(ctx, to.Text())
}

// given writes the letters that the app's code asked for.
func (w *writing) given(ctx context.Context, p payload) error {
	var several []string
	if one := ""; json.Unmarshal(p.Given.To, &one) == nil && one != "" {
		several = []string{one}
	} else if json.Unmarshal(p.Given.To, &several) != nil {
		several = nil
	}
	if err := w.about(ctx, p); err != nil {
		return err
	}
	in := &rule.Input{Now: w.at, View: w.tx}
	if w.of != "" {
		record, err := value.DecodeStored(w.app.Schema.Table(w.of).Shape, []byte(w.record))
		if err != nil {
			return err
		}
		in.Record = record
	}
	switch {
	case len(several) > givenMax:
		return w.park(ctx, fmt.Sprintf("code names at most %d recipients at once, not %d",
			givenMax, len(several)))
	case len(several) > 0:
		for _, to := range several {
			if err := w.to(ctx, to); err != nil {
				return err
			}
		}
		return nil
	case w.email.Set != nil:
		return w.campaign(ctx)
	case w.email.To != nil && (w.of != "" || w.email.Spec.On == nil):
		return w.one(ctx, in)
	}
	return w.park(ctx, "the code named no recipient")
}

// about notes what the code gave. A record of the collection that the email is about is
// read, so that the template finds in it what it always does.
func (w *writing) about(ctx context.Context, p payload) error {
	if len(p.Given.Data) > 0 && string(p.Given.Data) != "null" {
		w.data = string(p.Given.Data)
	}
	if len(p.Given.Record) == 0 || string(p.Given.Record) == "null" {
		return nil
	}
	w.record = string(p.Given.Record)
	var named struct {
		ID string `json:"id"`
	}
	if json.Unmarshal(p.Given.Record, &named) != nil &&
		json.Unmarshal(p.Given.Record, &named.ID) != nil {
		return nil
	}
	on := w.email.Spec.On
	if _, err := ident.ParseRecord(named.ID); err != nil || on == nil {
		return nil
	}
	row, err := lenient(w.tx.Get(ctx, on.Collection, ident.Record(named.ID)))
	if err != nil || row.Zero() {
		return err
	}
	w.of, w.record = on.Collection, string(value.AppendRecord(nil, row))
	return nil
}

// fit returns a record in a shape that may be another than its own.
func fit(r value.Record, shape *value.Shape) value.Record {
	if r.Zero() || r.Shape == shape {
		return r
	}
	out := value.NewRecord(shape)
	for i, f := range shape.Fields() {
		if out.Slots[i] = r.Get(f.Name); out.Slots[i].Kind() == value.Absent {
			out.Slots[i] = value.OfNull()
		}
	}
	return out
}

// reader of a letter: a user, or an address that no user has.
type reader struct {
	user    ident.Record
	address string
}

// who names the reader among all people.
func (r reader) who() string {
	if r.user != "" {
		return string(r.user)
	}
	return r.address
}

// find returns the reader that a text names: the id of a user, or an address. One who is
// gone is no reader.
func (w *writing) find(ctx context.Context, to string) (reader, string, error) {
	users := w.app.Schema.Table(spec.Users)
	if _, err := ident.ParseRecord(to); err == nil && users != nil {
		row, err := lenient(w.tx.Get(ctx, spec.Users, ident.Record(to)))
		if err != nil || row.Zero() {
			return reader{}, "", err
		}
		return reader{idOf(row), row.Get(spec.FieldEmail).Text()}, "", nil
	}
	v, issues := value.Conform(&value.Type{Kind: value.TypeEmail}, value.OfText(to), "")
	if len(issues) > 0 {
		return reader{}, fmt.Sprintf("%q is no address", to), nil
	}
	r := reader{address: v.Text()}
	if users == nil {
		return r, "", nil
	}
	rows, err := w.tx.Find(ctx, query.Query{Plan: addressPlan, Args: []value.Value{v}})
	if len(rows) > 0 {
		r.user = idOf(rows[0])
	}
	return r, "", err
}

// to writes the letter to one reader.
func (w *writing) to(ctx context.Context, text string) error {
	r, problem, err := w.find(ctx, text)
	switch {
	case err != nil:
		return err
	case problem != "":
		return w.park(ctx, problem)
	case r.address == "":
		return nil // the account is gone
	}
	return w.put(ctx, r, Waiting, "")
}

// park writes a letter that nobody can get, so that somebody sees it.
func (w *writing) park(ctx context.Context, problem string) error {
	return w.put(ctx, reader{}, Parked, problem)
}
