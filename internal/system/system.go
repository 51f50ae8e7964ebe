// Package system holds the built-in actions, written as an app's own actions are:
// they reach records through a Host and nothing else, and every one of their
// commits is an entry of the journal. So far they are those of sign-in by password.
package system

import (
	"context"

	"github.com/galleybackend/galley/internal/action"
	"github.com/galleybackend/galley/internal/auth"
	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
	"github.com/galleybackend/galley/internal/value"
)

// System makes the built-in actions of an app.
type System struct {
	store    store.Store
	accounts *auth.Accounts
	hasher   *auth.Hasher
	tries    *auth.Tries
}

// New returns a System. tries may be nil, which switches the limits off.
func New(s store.Store, accounts *auth.Accounts, hasher *auth.Hasher, tries *auth.Tries) *System {
	return &System{store: s, accounts: accounts, hasher: hasher, tries: tries}
}

// The names of fields in inputs and outputs.
const (
	fieldPassword = "password"
	fieldToken    = "token"
	fieldTokens   = "tokens"
	fieldRefresh  = "refresh_token"
	fieldUser     = "user"
	fieldExpires  = "expires"
	fieldEnds     = "ends"
	fieldHash     = "hash"
	fieldID       = "id"
)

// The kinds of intents that sign-in leaves.
const (
	// IntentRevoke says that the session it names has ended.
	IntentRevoke = "revoke"
)

// Actions returns the built-in actions of an app: none without `auth:`.
func (s *System) Actions(sp *spec.Spec) []action.House {
	if sp.Auth == nil {
		return nil
	}
	out := []action.House{
		s.signIn(), s.signOut(), s.refresh(), s.session(), s.password(),
		s.sessions(), s.endSession(), s.deleteAccount(),
	}
	if sp.Auth.SignUp != nil {
		out = append(out, s.signUp(sp))
	}
	return out
}

func field(name string, kind value.TypeKind, optional bool) value.Field {
	return value.Field{Name: name, Type: value.Type{Kind: kind, Optional: optional}}
}

// secret is a text that is bounded but not shaped: a password as it is typed.
func secret(name string, least int64, optional bool) value.Field {
	t := value.Type{Kind: value.TypeString, Optional: optional,
		Min: &value.Bound{Int: least}, Max: &value.Bound{Int: auth.PasswordMax}}
	return value.Field{Name: name, Type: t}
}

// opened is the shape of what sign-up, sign-in and refresh return: the user's id,
// which the door shows as the record that he may see, and the session's secrets.
func opened() *value.Shape {
	return value.NewShape("session", []value.Field{
		{Name: fieldUser, Type: value.Type{Kind: value.TypeRelation, Of: spec.Users}},
		field(fieldToken, value.TypeString, true),
		field(fieldRefresh, value.TypeString, true),
		field(fieldExpires, value.TypeTime, false),
	})
}

func openedOf(x auth.Session, tokens bool) value.Value {
	r := value.NewRecord(opened())
	r.Set(fieldUser, value.OfText(string(x.User)))
	r.Set(fieldToken, value.OfText(x.Token))
	if tokens {
		r.Set(fieldRefresh, value.OfText(x.Refresh))
	}
	r.Set(fieldExpires, value.OfTime(x.Expires))
	return value.OfRecord(r)
}

// prepared is what Prepare hands to Run beside the input: slots that no caller can
// send, because Prepare overwrites them.
func prepared(in value.Record, extra ...value.Field) value.Record {
	fields := append(append([]value.Field(nil), in.Shape.Fields()...), extra...)
	out := value.NewRecord(value.NewShape(in.Shape.Name(), fields))
	copy(out.Slots, in.Slots)
	return out
}

// withSecrets adds fresh secrets to an input, so that Run does the same each time.
func withSecrets(in value.Record, extra ...value.Field) value.Record {
	out := prepared(in, append(extra, field("fresh_token", value.TypeString, false),
		field("fresh_refresh", value.TypeString, false))...)
	fresh := auth.NewSecrets()
	out.Set("fresh_token", value.OfText(fresh.Token))
	out.Set("fresh_refresh", value.OfText(fresh.Refresh))
	return out
}

func secretsOf(in value.Record) auth.Secrets {
	return auth.Secrets{Token: in.Get("fresh_token").Text(), Refresh: in.Get("fresh_refresh").Text()}
}

// read calls fn with a view of the store, outside the call's own transaction.
func (s *System) read(ctx context.Context, fn func(auth.Reader) error) error {
	return s.store.Read(ctx, func(v store.View) error { return fn(v) })
}

// revoke ends a session and says so in the entry.
func revoke(ctx context.Context, h action.Host, id ident.Record) error {
	if err := h.Delete(ctx, auth.Sessions, id); err != nil {
		return err
	}
	return h.Intend(ctx, journal.Intent{Kind: IntentRevoke, Name: string(id)})
}

// revokeAll ends all sessions of a user but the one that is kept, "" for none.
func (s *System) revokeAll(ctx context.Context, h action.Host, user, keep ident.Record) error {
	list, err := s.accounts.List(ctx, h, user)
	if err != nil {
		return err
	}
	for _, x := range list {
		if x.ID == keep {
			continue
		}
		if err := revoke(ctx, h, x.ID); err != nil {
			return err
		}
	}
	return nil
}

func errWrong() error {
	return fault.New(fault.Unauthenticated, "The address or the password is wrong.")
}
