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

// signOut ends the caller's session.
func (s *System) signOut() action.House {
	return action.House{
		Name: "auth/sign-out", SignedIn: true,
		Run: func(ctx context.Context, h action.Host, _ action.Caller, _ value.Record) (
			value.Value, error) {
			return value.OfNull(), revoke(ctx, h, h.Subject().Session)
		},
	}
}

// refresh turns a refresh token into a new pair of tokens.
func (s *System) refresh() action.House {
	return action.House{
		Name: "auth/refresh", Secret: true, Output: opened(),
		Input: value.NewShape("auth/refresh", []value.Field{
			field(fieldRefresh, value.TypeString, false),
		}),
		Prepare: func(ctx context.Context, c action.Caller, in value.Record) (value.Record, error) {
			refresh := in.Get(fieldRefresh).Text()
			var stolen ident.Record
			err := s.read(ctx, func(r auth.Reader) (err error) {
				stolen, err = s.accounts.Stolen(ctx, r, refresh)
				return err
			})
			if err == nil && stolen != "" {
				err = s.end(ctx, c, stolen)
			}
			return withSecrets(in), err
		},
		Run: func(ctx context.Context, h action.Host, _ action.Caller, in value.Record) (
			value.Value, error) {
			x, err := s.accounts.Renew(ctx, h, in.Get(fieldRefresh).Text(), secretsOf(in))
			return openedOf(x, true), err
		},
	}
}

// end ends a session whose refresh token was shown twice, in a commit of its own,
// because the call that showed it is refused.
func (s *System) end(ctx context.Context, c action.Caller, id ident.Record) error {
	origin := journal.Origin{Call: ident.NewCall(), Now: c.Now, Door: "system",
		Subject:   ident.Subject{Who: ident.System, Name: "auth"},
		Operation: "auth.token-used-twice"}
	_, err := s.store.Write(ctx, origin, func(tx store.Tx) error {
		if err := tx.Delete(ctx, auth.Sessions, id); err != nil {
			return err
		}
		return tx.Intend(ctx, journal.Intent{Kind: IntentRevoke, Name: string(id)})
	})
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return fault.New(fault.Unauthenticated,
		"This refresh token was used before, so its session was ended. Sign in again.")
}

// session tells who is signed in. That nobody is, is no refusal; a session that has ended is.
func (s *System) session() action.House {
	out := value.NewShape("session", []value.Field{
		{Name: fieldUser, Type: value.Type{Kind: value.TypeRelation, Of: spec.Users, Optional: true}},
		field(fieldExpires, value.TypeTime, true),
		{Name: "methods", Type: value.Type{Kind: value.TypeList, Optional: true,
			Elem: &value.Type{Kind: value.TypeString}}},
	})
	return action.House{
		Name: "auth/session", ReadOnly: true, Output: out,
		Run: func(ctx context.Context, h action.Host, _ action.Caller, _ value.Record) (
			value.Value, error) {
			me := h.Subject()
			r := value.NewRecord(out)
			r.Set(fieldUser, value.OfNull())
			if me.Who != ident.User {
				return value.OfRecord(r), nil
			}
			row, err := h.Get(ctx, auth.Sessions, me.Session)
			if err != nil {
				return value.Value{}, err
			}
			r.Set(fieldUser, value.OfText(string(me.ID)))
			r.Set(fieldExpires, row.Get(fieldExpires))
			r.Set("methods", value.OfList([]value.Value{value.OfText(fieldPassword)}))
			return value.OfRecord(r), nil
		},
	}
}

// sessions lists the caller's devices.
func (s *System) sessions() action.House {
	item := value.NewShape("device", []value.Field{
		field(fieldID, value.TypeID, false),
		field("created", value.TypeTime, false),
		field(fieldEnds, value.TypeTime, false),
		field("address", value.TypeString, false),
		field("agent", value.TypeString, false),
		field("current", value.TypeBool, false),
	})
	list := value.Type{Kind: value.TypeList,
		Elem: &value.Type{Kind: value.TypeObject, Fields: item}}
	out := value.NewShape("devices", []value.Field{{Name: "items", Type: list}})
	return action.House{
		Name: "auth/sessions", SignedIn: true, ReadOnly: true, Output: out,
		Run: func(ctx context.Context, h action.Host, _ action.Caller, _ value.Record) (
			value.Value, error) {
			me := h.Subject()
			sessions, err := s.accounts.List(ctx, h, me.ID)
			if err != nil {
				return value.Value{}, err
			}
			items := make([]value.Value, len(sessions))
			for i, x := range sessions {
				items[i] = value.OfRecord(value.Record{Shape: item, Slots: []value.Value{
					value.OfText(string(x.ID)), value.OfTime(x.Created), value.OfTime(x.Ends),
					value.OfText(x.Address), value.OfText(x.Agent), value.OfBool(x.ID == me.Session),
				}})
			}
			r := value.NewRecord(out)
			r.Slots[0] = value.OfList(items)
			return value.OfRecord(r), nil
		},
	}
}

// endSession ends one of the caller's sessions. Another's is not found.
func (s *System) endSession() action.House {
	return action.House{
		Name: "auth/sessions/end", SignedIn: true,
		Input: value.NewShape("auth/sessions/end", []value.Field{
			field(fieldID, value.TypeID, false),
		}),
		Run: func(ctx context.Context, h action.Host, _ action.Caller, in value.Record) (
			value.Value, error) {
			id := ident.Record(in.Get(fieldID).Text())
			row, err := h.Get(ctx, auth.Sessions, id)
			if err != nil {
				return value.Value{}, err
			}
			if row.Get(fieldUser).Text() != string(h.Subject().ID) {
				return value.Value{}, fault.New(fault.NotFound, "There is no such session.")
			}
			return value.OfNull(), revoke(ctx, h, id)
		},
	}
}

// deleteAccount deletes the caller's record of users. What points to it goes with
// it or stands against it, as the app file says.
func (s *System) deleteAccount() action.House {
	return action.House{
		Name: "auth/account/delete", SignedIn: true,
		Run: func(ctx context.Context, h action.Host, _ action.Caller, _ value.Record) (
			value.Value, error) {
			me := h.Subject()
			if err := s.revokeAll(ctx, h, me.ID, ""); err != nil {
				return value.Value{}, err
			}
			return value.OfNull(), h.Delete(ctx, spec.Users, me.ID)
		},
	}
}
