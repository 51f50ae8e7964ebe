package mail

import (
	"bytes"
	"context"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	netmail "net/mail"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// Letter is a letter as people see it.
type Letter struct {
	ID       ident.Record `json:"id"`
	Email    string       `json:"email"`
	To       string       `json:"to"`
	User     string       `json:"user,omitempty"`
	State    string       `json:"state"`
	Why      string       `json:"why,omitempty"`
	Subject  string       `json:"subject,omitempty"`
	Tries    int64        `json:"tries,omitempty"`
	Campaign string       `json:"campaign,omitempty"`
	Created  time.Time    `json:"created"`
	Due      *time.Time   `json:"due,omitempty"`
	Sent     *time.Time   `json:"sent,omitempty"`
	Clicked  *time.Time   `json:"clicked,omitempty"`
	// Source is the whole message, and HTML and Text its parts, for letters of the
	// mailbox that are shown alone.
	Source string `json:"source,omitempty"`
	HTML   string `json:"html,omitempty"`
	Text   string `json:"text,omitempty"`
}

// Campaign is a sending to a set of people, with how many of its letters are in each
// state.
type Campaign struct {
	ID    ident.Record `json:"id"`
	Email string       `json:"email"`
	At    time.Time    `json:"at"`
	State string       `json:"state"`
	Why   string       `json:"why,omitempty"`
	// Total is how many people were in the set when it began, Made how many letters
	// there are so far.
	Total   int64            `json:"total"`
	Made    int64            `json:"made"`
	Letters map[string]int64 `json:"letters,omitempty"`
}

// Person is what is remembered of somebody who gets mails: a user by his id, or an
// address.
type Person struct {
	Who          string     `json:"who"`
	Last         *time.Time `json:"last,omitempty"`
	Clicked      *time.Time `json:"clicked,omitempty"`
	Unsubscribed *time.Time `json:"unsubscribed,omitempty"`
	Bounced      *time.Time `json:"bounced,omitempty"`
	Why          string     `json:"why,omitempty"`
}

// Filter narrows a list of letters; zero fields do not.
type Filter struct {
	Email, State, To, Campaign string
	// Limit is how many are wanted, at most ListMax; the newest come first.
	Limit int
}

// ListMax bounds a list.
const ListMax = 1000

// List returns letters, the newest first.
func (m *Mails) List(ctx context.Context, f Filter) ([]Letter, error) {
	if !m.open() {
		return nil, nil
	}
	if f.Limit <= 0 || f.Limit > ListMax {
		f.Limit = ListMax
	}
	plan := &query.Plan{From: Letters, Limit: f.Limit, Sort: []query.Order{
		{By: column(Letters, spec.FieldCreated, value.TypeTime, false), Desc: true},
		{By: column(Letters, spec.FieldID, value.TypeID, false), Desc: true}}}
	var where []query.Expr
	var args []value.Value
	for _, x := range []struct{ field, want string }{{fieldEmail, f.Email}, {fieldState, f.State},
		{fieldAddress, f.To}, {fieldCampaign, f.Campaign}} {
		if x.want == "" {
			continue
		}
		where = append(where, query.Same{L: column(Letters, x.field, value.TypeString, false),
			R: param(len(args), value.TypeString)})
		args = append(args, value.OfText(x.want))
	}
	if len(where) > 0 {
		plan.Where = query.And{Of: where}
	}
	var out []Letter
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: plan, Args: args})
		out = make([]Letter, len(rows))
		for i, row := range rows {
			out[i] = letterOf(row)
		}
		return err
	})
	return out, err
}

// Get returns one letter with its parts.
func (m *Mails) Get(ctx context.Context, id ident.Record) (Letter, error) {
	var out Letter
	if !m.open() {
		return out, errNoLetter
	}
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		row, err := lenient(v.Get(ctx, Letters, id))
		if err != nil {
			return err
		}
		if row.Zero() {
			return errNoLetter
		}
		out = letterOf(row)
		out.Source = row.Get(fieldSource).Text()
		return nil
	})
	if err == nil && out.Source != "" {
		out.Text, out.HTML, err = parts(out.Source)
	}
	return out, err
}

var errNoLetter = fault.New(fault.NotFound, "There is no such letter.")

func letterOf(row value.Record) Letter {
	return Letter{ID: idOf(row), Email: row.Get(fieldEmail).Text(), To: row.Get(fieldAddress).Text(),
		User: row.Get(fieldUser).Text(), State: row.Get(fieldState).Text(),
		Why: row.Get(fieldProblem).Text(), Subject: row.Get(fieldSubject).Text(),
		Tries: row.Get(fieldTries).Int(), Campaign: row.Get(fieldCampaign).Text(),
		Created: row.Slots[spec.SlotCreated].Time(), Due: timeOf(row, fieldDue),
		Sent: timeOf(row, fieldSent), Clicked: timeOf(row, fieldClicked)}
}

func timeOf(row value.Record, field string) *time.Time {
	v := row.Get(field)
	if v.IsNull() {
		return nil
	}
	t := v.Time()
	return &t
}

// parts returns the text and the page of a message.
func parts(source string) (plain, page string, err error) {
	msg, err := netmail.ReadMessage(strings.NewReader(source))
	if err != nil {
		return "", "", err
	}
	kind, params, err := mime.ParseMediaType(msg.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		text, err := io.ReadAll(quotedprintable.NewReader(msg.Body))
		return string(text), "", err
	}
	for r := multipart.NewReader(msg.Body, params["boundary"]); ; {
		part, err := r.NextPart()
		if err == io.EOF {
			return plain, page, nil
		}
		if err != nil {
			return "", "", err
		}
		var text bytes.Buffer
		if _, err := text.ReadFrom(part); err != nil {
			return "", "", err
		}
		if strings.HasPrefix(part.Header.Get("Content-Type"), "text/html") {
			page = text.String()
		} else {
			plain = text.String()
		}
	}
}

// campaignsShown is how many campaigns are told.
const campaignsShown = 100

// Campaigns returns the last campaigns, the newest first.
func (m *Mails) Campaigns(ctx context.Context) ([]Campaign, error) {
	if !m.open() {
		return nil, nil
	}
	plan := &query.Plan{From: Campaigns, Limit: campaignsShown, Sort: []query.Order{
		{By: column(Campaigns, spec.FieldCreated, value.TypeTime, false), Desc: true}}}
	state := column(Letters, fieldState, value.TypeString, false)
	count := &query.Plan{From: Letters, Where: query.Same{
		L: column(Letters, fieldCampaign, value.TypeString, true), R: param(0, value.TypeString)},
		Group: []query.Expr{state}, Aggregates: []query.Aggregate{{Func: "count"}},
		Out: value.NewShape("states", []value.Field{{Name: fieldState, Type: state.Type},
			{Name: "n", Type: value.Type{Kind: value.TypeInt}}})}
	var out []Campaign
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: plan})
		if err != nil {
			return err
		}
		out = make([]Campaign, len(rows))
		for i, row := range rows {
			c := Campaign{ID: idOf(row), Email: row.Get(fieldEmail).Text(), At: row.Get(fieldAt).Time(),
				State: row.Get(fieldState).Text(), Why: row.Get(fieldProblem).Text(),
				Total: row.Get(fieldTotal).Int(), Made: row.Get(fieldMade).Int(),
				Letters: map[string]int64{}}
			states, err := v.Find(ctx, query.Query{Plan: count,
				Args: []value.Value{value.OfText(string(c.ID))}})
			if err != nil {
				return err
			}
			for _, s := range states {
				c.Letters[s.Slots[0].Text()] = s.Slots[1].Int()
			}
			out[i] = c
		}
		return nil
	})
	return out, err
}

// Suppressed returns the people who get no mails, or no marketing: addresses that
// bounced, and who unsubscribed.
func (m *Mails) Suppressed(ctx context.Context) ([]Person, error) {
	if !m.open() {
		return nil, nil
	}
	there := func(field string) query.Expr {
		return query.Not{Of: query.IsNull{Of: column(People, field, value.TypeTime, true)}}
	}
	plan := &query.Plan{From: People, Limit: ListMax,
		Where: query.Or{Of: []query.Expr{there(fieldBounced), there(fieldUnsubscribed)}},
		Sort:  []query.Order{{By: column(People, fieldWho, value.TypeString, false)}}}
	var out []Person
	err := m.cfg.Store.Read(ctx, func(v store.View) error {
		rows, err := v.Find(ctx, query.Query{Plan: plan})
		out = make([]Person, len(rows))
		for i, row := range rows {
			out[i] = Person{Who: row.Get(fieldWho).Text(), Last: timeOf(row, fieldLast),
				Clicked: timeOf(row, fieldClicked), Unsubscribed: timeOf(row, fieldUnsubscribed),
				Bounced: timeOf(row, fieldBounced), Why: row.Get(fieldProblem).Text()}
		}
		return err
	})
	return out, err
}

var errNoMail = fault.New(fault.NotFound, "This app has no emails.")

// Bounce notes that an address gets no mail, as a mail service tells it: nothing is sent
// there until somebody lifts it.
func (m *Mails) Bounce(ctx context.Context, address, why string) error {
	if !m.open() {
		return errNoMail
	}
	v, issues := value.Conform(&value.Type{Kind: value.TypeEmail}, value.OfText(address), "")
	if len(issues) > 0 {
		return fault.New(fault.Invalid, "%q is no address.", address)
	}
	if why == "" {
		why = "it was reported"
	}
	return m.write(ctx, People, func(tx store.Tx) error { return m.bounce(ctx, tx, v.Text(), why) })
}

// Lift lets mails go to an address again that bounced.
func (m *Mails) Lift(ctx context.Context, address string) error {
	if !m.open() {
		return errNoMail
	}
	return m.write(ctx, People, func(tx store.Tx) error {
		v, _ := value.Conform(&value.Type{Kind: value.TypeEmail}, value.OfText(address), "")
		row, err := lenient(tx.Get(ctx, People, named(People, v.Text())))
		if err != nil {
			return err
		}
		if row.Zero() || row.Get(fieldBounced).IsNull() {
			return fault.New(fault.NotFound, "The address %s did not bounce.", address)
		}
		row.Set(fieldBounced, value.OfNull())
		row.Set(fieldProblem, value.OfNull())
		_, err = tx.Put(ctx, People, row)
		return err
	})
}

// Retry sends a letter again that is parked, bounced or held, or of which nobody knows
// whether it was sent. What still forbids it holds it again.
func (m *Mails) Retry(ctx context.Context, id ident.Record) error {
	if !m.open() {
		return errNoMail
	}
	err := m.write(ctx, Letters, func(tx store.Tx) error {
		row, err := lenient(tx.Get(ctx, Letters, id))
		if err != nil {
			return err
		}
		if row.Zero() {
			return errNoLetter
		}
		switch state := row.Get(fieldState).Text(); state {
		case Parked, Bounced, Held, Unknown:
		default:
			return fault.New(fault.Refused, "The letter is %s.", state)
		}
		if row.Get(fieldAddress).Text() == "" {
			return fault.New(fault.Refused, "The letter has no recipient: %s.",
				row.Get(fieldProblem).Text())
		}
		set(row, map[string]value.Value{fieldState: value.OfText(Waiting), fieldTries: value.OfInt(0),
			fieldProblem: value.OfNull(), fieldDue: value.OfTime(m.cfg.Now())})
		_, err = tx.Put(ctx, Letters, row)
		return err
	})
	if err == nil {
		m.wakeLetters()
	}
	return err
}
