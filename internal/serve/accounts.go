package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io/fs"

	"github.com/galleybackend/galley/internal/fault"
	"github.com/galleybackend/galley/internal/ident"
	"github.com/galleybackend/galley/internal/journal"
	"github.com/galleybackend/galley/internal/spec"
	"github.com/galleybackend/galley/internal/store"
)

// seeder is who brings the records of a seed.
var seeder = ident.Subject{Who: ident.System, Name: "seed"}

// Account is a user whom the seed brought, with the password that the seed gave him.
type Account struct{ Email, Password string }

// Accounts returns the accounts that the seed of this app brought and that are still
// there under their address, in the order of the seed. Those without a password there
// are left out.
func (s *Server) Accounts(ctx context.Context) ([]Account, error) {
	text, err := fs.ReadFile(s.cfg.files(), "seed/"+spec.Users+".jsonl")
	if err != nil || s.Spec().Auth == nil {
		return nil, nil // there is no seed
	}
	entries, err := s.store.Entries(ctx, store.Filter{Collection: spec.Users,
		Subject: seeder.String()}, journal.Seq{}, store.EntriesMax)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	there := map[string]bool{}
	if err = s.store.Read(ctx, func(v store.View) error {
		for _, e := range entries {
			for _, c := range e.Changes {
				if c.Collection != spec.Users {
					continue
				}
				user, err := v.Get(ctx, spec.Users, c.ID)
				if fault.Is(err, fault.NotFound) {
					continue
				}
				if err != nil {
					return err
				}
				there[user.Get(spec.FieldEmail).Text()] = true
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	var out []Account
	for line := range bytes.Lines(text) {
		var a Account
		if json.Unmarshal(line, &a) == nil && a.Password != "" && there[a.Email] {
			out = append(out, a)
		}
	}
	return out, nil
}
