package auth

import (
	"context"
	"strings"
	"time"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/query"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// Reader is what reads of a transaction offer.
type Reader interface {
	Get(ctx context.Context, collection string, id ident.Record) (value.Record, error)
	Find(ctx context.Context, q query.Query) ([]value.Record, error)
}

// Writer is what writes of a transaction offer.
type Writer interface {
	Reader
	Put(ctx context.Context, collection string, r value.Record) (value.Record, error)
	Delete(ctx context.Context, collection string, id ident.Record) error
	Shape(collection string) *value.Shape
	NewID() ident.Record
}

// Accounts finds and keeps sessions and passwords in the transaction it is given.
// It keeps nothing between calls, so that a sign-out holds at once, everywhere.
type Accounts struct {
	now                                               func() time.Time
	session, refresh, family, ofUser, password, email *query.Plan
}

// NewAccounts returns Accounts by the given clock.
func NewAccounts(now func() time.Time) *Accounts {
	a := &Accounts{now: now}
	a.session = equal(Sessions, fieldHash, 1)
	a.refresh = equal(Sessions, fieldRefresh, 1)
	a.family = equal(Sessions, fieldFamily, 1)
	a.ofUser = equal(Sessions, fieldUser, 0)
	a.password = equal(Passwords, fieldUser, 1)
	a.email = equal(spec.Users, spec.FieldEmail, 1)
	return a
}

// equal returns the plan of the records of a collection whose field is the first
// argument, oldest first; limit 0 means all.
func equal(collection, field string, limit int) *query.Plan {
	t := value.Type{Kind: value.TypeString}
	at := func(name string) query.Expr {
		return query.Field{Of: query.Row{}, Collection: collection, Name: name, Type: t}
	}
	plan := &query.Plan{From: collection, Limit: limit}
	plan.Where = query.Same{L: at(field), R: query.Param{Index: 0, Type: t}}
	if limit != 1 {
		plan.Sort = []query.Order{{By: at(spec.FieldID)}}
	}
	return plan
}

// one returns the first row of a plan for one argument, or a zero record.
func one(ctx context.Context, r Reader, plan *query.Plan, arg string) (value.Record, error) {
	rows, err := r.Find(ctx, query.Query{Plan: plan, Args: []value.Value{value.OfText(arg)}})
	if err != nil || len(rows) == 0 {
		return value.Record{}, err
	}
	return rows[0], nil
}

// Authenticate returns the subject of a credential, zero for an empty one. A token that is unknown, ended or over its time is
// a fault of kind Unauthenticated.
func (a *Accounts) Authenticate(ctx context.Context, r Reader, credential string) (
	ident.Subject, error) {
	if credential == "" {
		return ident.Subject{}, nil
	}
	if len(credential) > tokenMax {
		return ident.Subject{}, errSession()
	}
	session, err := one(ctx, r, a.session, HashToken(credential))
	if err != nil {
		return ident.Subject{}, err
	}
	if session.Zero() || !session.Get(fieldExpires).Time().After(a.now()) {
		return ident.Subject{}, errSession()
	}
	return ident.Subject{Who: ident.User, ID: ident.Record(session.Get(fieldUser).Text()),
		Session: ident.Record(session.Slots[spec.SlotID].Text())}, nil
}

// Expires returns until when the credentials of a session hold, zero if it has ended.
func (a *Accounts) Expires(ctx context.Context, r Reader, session ident.Record) (
	time.Time, error) {
	row, err := r.Get(ctx, Sessions, session)
	if fault.Is(err, fault.NotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return row.Get(fieldExpires).Time(), nil
}

// UserOf returns the user with the address, zero if there is none.
func (a *Accounts) UserOf(ctx context.Context, r Reader, email string) (value.Record, error) {
	return one(ctx, r, a.email, email)
}

// PasswordOf returns the hash of the user's password, "" if he has none.
func (a *Accounts) PasswordOf(ctx context.Context, r Reader, user ident.Record) (string, error) {
	row, err := one(ctx, r, a.password, string(user))
	if err != nil || row.Zero() {
		return "", err
	}
	return row.Get(fieldHash).Text(), nil
}

// SetPassword stores the hash of a user's password in place of the one before.
func (a *Accounts) SetPassword(ctx context.Context, w Writer, user ident.Record, hash string) error {
	old, err := one(ctx, w, a.password, string(user))
	if err != nil {
		return err
	}
	row := value.NewRecord(w.Shape(Passwords))
	if old.Zero() {
		row.Slots[spec.SlotID] = value.OfText(string(w.NewID()))
	} else {
		row.Slots[spec.SlotID] = old.Slots[spec.SlotID]
		row.Slots[spec.SlotVersion] = old.Slots[spec.SlotVersion]
	}
	row.Set(fieldUser, value.OfText(string(user)))
	row.Set(fieldHash, value.OfText(hash))
	_, err = w.Put(ctx, Passwords, row)
	return err
}

// Session is a session as its owner may see it, and, when it was just made or
// renewed, its secrets.
type Session struct {
	ID      ident.Record
	User    ident.Record
	Created time.Time
	// Expires is when Token ends, Ends when it can no longer be renewed.
	Expires time.Time
	Ends    time.Time
	Address string
	Agent   string
	Token   string
	Refresh string
}

// Secrets are what a new session is made of. They are drawn before the transaction,
// because what runs in it must do the same when it is run again.
type Secrets struct{ Token, Refresh string }

// NewSecrets draws them.
func NewSecrets() Secrets { return Secrets{Token: NewToken(), Refresh: newRefresh(NewToken())} }

// Open starts a session. With tokens it is short and can be renewed; without, it
// is a browser's.
func (a *Accounts) Open(ctx context.Context, w Writer, s Session, tokens bool) (Session, error) {
	rows, err := a.rows(ctx, w, s.User)
	if err != nil {
		return Session{}, err
	}
	now := a.now()
	for i, row := range rows {
		over := !row.Get(fieldEnds).Time().After(now)
		if over || i <= len(rows)-sessionMax {
			id := ident.Record(row.Slots[spec.SlotID].Text())
			if err := w.Delete(ctx, Sessions, id); err != nil {
				return Session{}, err
			}
		}
	}
	s.ID, s.Ends = w.NewID(), now.Add(SessionTime)
	s.Expires = s.Ends
	row := value.NewRecord(w.Shape(Sessions))
	row.Slots[spec.SlotID] = value.OfText(string(s.ID))
	row.Set(fieldUser, value.OfText(string(s.User)))
	row.Set(fieldHash, value.OfText(HashToken(s.Token)))
	if tokens {
		s.Expires = now.Add(TokenTime)
		row.Set(fieldRefresh, value.OfText(HashToken(s.Refresh)))
		row.Set(fieldFamily, value.OfText(HashToken(familyOf(s.Refresh))))
	}
	row.Set(fieldExpires, value.OfTime(s.Expires))
	row.Set(fieldEnds, value.OfTime(s.Ends))
	row.Set(fieldAddress, value.OfText(cut(s.Address)))
	row.Set(fieldAgent, value.OfText(cut(s.Agent)))
	_, err = w.Put(ctx, Sessions, row)
	return s, err
}

// Renew turns a refresh token into a new pair, the second of the first's family. A
// refresh token works once: who shows one again that was used ends the session, for
// one of the two holders has stolen it.
func (a *Accounts) Renew(ctx context.Context, w Writer, refresh string, fresh Secrets) (
	Session, error) {
	row, err := one(ctx, w, a.refresh, HashToken(refresh))
	if err != nil {
		return Session{}, err
	}
	now := a.now()
	if row.Zero() || !row.Get(fieldEnds).Time().After(now) {
		return Session{}, errSession()
	}
	next := value.NewRecord(row.Shape)
	next.Slots[spec.SlotID] = row.Slots[spec.SlotID]
	next.Slots[spec.SlotVersion] = row.Slots[spec.SlotVersion]
	_, own, _ := strings.Cut(fresh.Refresh, ".")
	fresh.Refresh = familyOf(refresh) + "." + own
	next.Set(fieldHash, value.OfText(HashToken(fresh.Token)))
	next.Set(fieldRefresh, value.OfText(HashToken(fresh.Refresh)))
	expires := now.Add(TokenTime)
	if ends := row.Get(fieldEnds).Time(); expires.After(ends) {
		expires = ends
	}
	next.Set(fieldExpires, value.OfTime(expires))
	if row, err = w.Put(ctx, Sessions, next); err != nil {
		return Session{}, err
	}
	s := sessionOf(row)
	s.Token, s.Refresh = fresh.Token, fresh.Refresh
	return s, nil
}

// Stolen returns the session of whose refresh tokens this is one that does not count
// any more, "" if there is no such session.
func (a *Accounts) Stolen(ctx context.Context, r Reader, refresh string) (ident.Record, error) {
	row, err := one(ctx, r, a.family, HashToken(familyOf(refresh)))
	if err != nil || row.Zero() || row.Get(fieldRefresh).Text() == HashToken(refresh) {
		return "", err
	}
	return ident.Record(row.Slots[spec.SlotID].Text()), nil
}

// List returns the user's sessions, oldest first.
func (a *Accounts) List(ctx context.Context, r Reader, user ident.Record) ([]Session, error) {
	rows, err := a.rows(ctx, r, user)
	out := make([]Session, 0, len(rows))
	for _, row := range rows {
		if row.Get(fieldEnds).Time().After(a.now()) {
			out = append(out, sessionOf(row))
		}
	}
	return out, err
}

func (a *Accounts) rows(ctx context.Context, r Reader, user ident.Record) ([]value.Record, error) {
	args := []value.Value{value.OfText(string(user))}
	return r.Find(ctx, query.Query{Plan: a.ofUser, Args: args})
}

func sessionOf(row value.Record) Session {
	return Session{
		ID:      ident.Record(row.Slots[spec.SlotID].Text()),
		User:    ident.Record(row.Get(fieldUser).Text()),
		Created: row.Slots[spec.SlotCreated].Time(),
		Expires: row.Get(fieldExpires).Time(),
		Ends:    row.Get(fieldEnds).Time(),
		Address: row.Get(fieldAddress).Text(),
		Agent:   row.Get(fieldAgent).Text(),
	}
}

// cut keeps what fits into the field of a session; no one decides by it.
func cut(text string) string {
	const most = 200
	r := []rune(text)
	if len(r) > most {
		r = r[:most]
	}
	return string(r)
}
