package system

import (
	"context"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/limit"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/value"
)

// signUp makes a user with a password and signs him in.
func (s *System) signUp(sp *spec.Spec) action.House {
	fields := []value.Field{
		field(spec.FieldEmail, value.TypeEmail, false),
		secret(fieldPassword, auth.PasswordMin, false),
		field(fieldToken, value.TypeBool, true),
	}
	users := sp.Collection(spec.Users)
	for _, name := range sp.Auth.SignUp.Fields {
		f := users.Field(name.Name)
		// What has a default may be left out, as in any other create.
		fields = append(fields, value.Field{Name: f.Name, Type: f.Type, Default: f.Default})
	}
	return action.House{
		Name: "auth/sign-up", Secret: true, Output: opened(),
		Input: value.NewShape("auth/sign-up", fields),
		Prepare: func(ctx context.Context, c action.Caller, in value.Record) (value.Record, error) {
			// Each costs a hash and a record: one network makes a few.
			from := "sign-up from " + limit.Network(c.Address)
			if err := s.tries.Take(from, auth.TriesSignUp); err != nil {
				return value.Record{}, err
			}
			hash, err := s.hasher.Hash(ctx, in.Get(fieldPassword).Text())
			out := withSecrets(in)
			out.Set(fieldPassword, value.OfText(hash))
			return out, err
		},
		Run: func(ctx context.Context, h action.Host, c action.Caller, in value.Record) (
			value.Value, error) {
			row := value.NewRecord(h.Shape(spec.Users))
			id := h.NewID()
			row.Slots[spec.SlotID] = value.OfText(string(id))
			row.Set(spec.FieldEmail, in.Get(spec.FieldEmail))
			row.Set(spec.FieldVerified, value.OfBool(false))
			for _, name := range sp.Auth.SignUp.Fields {
				row.Set(name.Name, in.Get(name.Name))
			}
			if _, err := h.Put(ctx, spec.Users, row); err != nil {
				return value.Value{}, err
			}
			if err := s.accounts.SetPassword(ctx, h, id, in.Get(fieldPassword).Text()); err != nil {
				return value.Value{}, err
			}
			return s.open(ctx, h, c, id, in)
		},
	}
}

// open starts a session of the user, of the form that the input asks for.
func (s *System) open(ctx context.Context, h action.Host, c action.Caller, user ident.Record,
	in value.Record) (value.Value, error) {
	tokens, fresh := in.Get(fieldToken).Bool(), secretsOf(in)
	x := auth.Session{User: user, Address: c.Address, Agent: c.Agent,
		Token: fresh.Token, Refresh: fresh.Refresh}
	x, err := s.accounts.Open(ctx, h, x, tokens)
	return openedOf(x, tokens), err
}

// signIn turns an address and a password into a session. The password is looked at
// before the transaction, which makes sure that it was not changed meanwhile.
func (s *System) signIn() action.House {
	return action.House{
		Name: "auth/sign-in", Secret: true, Output: opened(),
		Input: value.NewShape("auth/sign-in", []value.Field{
			field(spec.FieldEmail, value.TypeEmail, false),
			secret(fieldPassword, 0, false),
			field(fieldToken, value.TypeBool, true),
		}),
		Prepare: s.prove,
		Run: func(ctx context.Context, h action.Host, c action.Caller, in value.Record) (
			value.Value, error) {
			user := ident.Record(in.Get(fieldUser).Text())
			hash, err := s.accounts.PasswordOf(ctx, h, user)
			if err != nil {
				return value.Value{}, err
			}
			if hash == "" || hash != in.Get(fieldHash).Text() {
				return value.Value{}, errWrong()
			}
			if fresh := in.Get(fieldPassword).Text(); fresh != "" {
				if err := s.accounts.SetPassword(ctx, h, user, fresh); err != nil {
					return value.Value{}, err
				}
			}
			return s.open(ctx, h, c, user, in)
		},
	}
}

// prove checks address and password. Known and unknown addresses take the same way
// and the same time. What it returns holds the user, the hash that was right, and in
// the password's place a fresh hash if the old one was made at another cost.
func (s *System) prove(ctx context.Context, c action.Caller, in value.Record) (value.Record, error) {
	email, password := in.Get(spec.FieldEmail).Text(), in.Get(fieldPassword).Text()
	var user ident.Record
	var hash string
	// Where the user is signed in already he is counted apart from strangers.
	from := limit.Network(c.Address)
	known := false
	err := s.read(ctx, func(r auth.Reader) error {
		row, err := s.accounts.UserOf(ctx, r, email)
		if err != nil {
			return err
		}
		if !row.Zero() {
			user = ident.Record(row.Slots[spec.SlotID].Text())
		}
		if hash, err = s.accounts.PasswordOf(ctx, r, user); err != nil {
			return err
		}
		list, err := s.accounts.List(ctx, r, user)
		for _, x := range list {
			known = known || x.Address != "" && limit.Network(x.Address) == from
		}
		return err
	})
	if err != nil {
		return value.Record{}, err
	}
	tries := []try{{"network " + from, auth.TriesAddress},
		{"account " + email + " from " + from, auth.TriesAccount}}
	if !known {
		tries = append(tries, try{"account " + email, auth.TriesEverywhere})
	}
	for _, t := range tries {
		if err := s.tries.Take(t.name, t.most); err != nil {
			return value.Record{}, err
		}
	}
	right, again, err := s.hasher.Verify(ctx, hash, password)
	if err != nil || !right {
		if err == nil {
			err = errWrong()
		}
		return value.Record{}, err
	}
	for _, t := range tries {
		s.tries.Give(t.name)
	}
	fresh := ""
	if again {
		if fresh, err = s.hasher.Hash(ctx, password); err != nil {
			return value.Record{}, err
		}
	}
	out := withSecrets(in, field(fieldUser, value.TypeString, false),
		field(fieldHash, value.TypeString, false))
	out.Set(fieldUser, value.OfText(string(user)))
	out.Set(fieldHash, value.OfText(hash))
	out.Set(fieldPassword, value.OfText(fresh))
	return out, nil
}

// try is a name that a try is counted under, with how many there may be.
type try struct {
	name string
	most int
}

// password changes the caller's password and ends all his other sessions.
func (s *System) password() action.House {
	return action.House{
		Name: "auth/password", SignedIn: true, Secret: true,
		Input: value.NewShape("auth/password", []value.Field{
			secret("old", 0, false), secret("new", auth.PasswordMin, false),
		}),
		Prepare: func(ctx context.Context, c action.Caller, in value.Record) (value.Record, error) {
			var who ident.Subject
			var hash string
			err := s.read(ctx, func(r auth.Reader) (err error) {
				if who, err = s.accounts.Authenticate(ctx, r, c.Credential); err == nil {
					hash, err = s.accounts.PasswordOf(ctx, r, who.ID)
				}
				return err
			})
			if err != nil {
				return value.Record{}, err
			}
			name := "password of " + string(who.ID)
			if err := s.tries.Take(name, auth.TriesAccount); err != nil {
				return value.Record{}, err
			}
			right, _, err := s.hasher.Verify(ctx, hash, in.Get("old").Text())
			if err != nil {
				return value.Record{}, err
			}
			if !right {
				return value.Record{}, &fault.Fault{Kind: fault.Invalid,
					Message: "The old password is wrong.",
					Items: []fault.Item{{Pointer: "#/old", Code: "wrong",
						Detail: "is not the password"}}}
			}
			s.tries.Give(name)
			fresh, err := s.hasher.Hash(ctx, in.Get("new").Text())
			out := prepared(in, field(fieldHash, value.TypeString, false))
			out.Set("old", value.OfText(hash))
			out.Set("new", value.Value{})
			out.Set(fieldHash, value.OfText(fresh))
			return out, err
		},
		Run: func(ctx context.Context, h action.Host, c action.Caller, in value.Record) (
			value.Value, error) {
			me := h.Subject()
			hash, err := s.accounts.PasswordOf(ctx, h, me.ID)
			if err != nil {
				return value.Value{}, err
			}
			if hash != in.Get("old").Text() {
				return value.Value{}, errWrong()
			}
			if err := s.accounts.SetPassword(ctx, h, me.ID, in.Get(fieldHash).Text()); err != nil {
				return value.Value{}, err
			}
			return value.OfNull(), s.revokeAll(ctx, h, me.ID, me.Session)
		},
	}
}
